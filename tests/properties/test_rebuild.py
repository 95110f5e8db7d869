"""The pages count what the log says: recounted they are the same, and damaged ones are set right."""

from datetime import date, timedelta
from typing import Literal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from events.encryption import RelationshipKeys
from projections import pages
from projections.rebuild import rebuild
from projections.tallies import Key
from tests.properties.histories import PROFILE, Call, histories, schedules
from tests.properties.playing import SEATS, Place, looks, pages_of, play, streams_of
from tests.support.couples import Couple

Damage = tuple[Literal["lose", "miscount", "invent"], int]

told = histories(least=2).flatmap(schedules)
damages = st.lists(
    st.tuples(st.sampled_from(["lose", "miscount", "invent"]), st.integers(0, 30)), min_size=1, max_size=4
)

VERSIONS = """
SELECT
    stream,
    version
FROM heads
WHERE relationship_id = $1
"""

EMPTY = """
DELETE FROM pages
WHERE relationship_id = $1
"""

LOSE = """
DELETE FROM pages
WHERE relationship_id = $1
    AND stream = $2
    AND author = $3
    AND month = $4
"""


@PROFILE
@given(told, damages)
async def test_a_recount_finds_nothing_but_damage_and_sets_it_right(
    home: Place, calls: list[Call], damages: list[Damage]
) -> None:
    couple = await home.couple()
    await play(couple, calls)
    kept, read = await home.tallies(couple), [await looks(phone) for phone in couple]
    assert await rebuilt(home, couple) == 0
    for damage in damages:
        await inflict(home, couple, damage)
    damaged, before = await home.tallies(couple), await versions(home, couple)
    amiss = [key for key in kept | damaged if kept.get(key, 0) != damaged.get(key, 0)]
    assert await rebuilt(home, couple) == len(amiss)
    assert await home.tallies(couple) == kept
    assert [await looks(phone) for phone in couple] == read
    # Whoever keeps an answer, or is about to write a page, finds that what it was made from is not the same any more.
    after = await versions(home, couple)
    assert {name for name in after if after[name] != before[name]} == {key[0] for key in amiss}


@PROFILE
@given(told)
async def test_from_nothing_it_writes_what_was_kept_up_to_date(home: Place, calls: list[Call]) -> None:
    couple = await home.couple()
    await play(couple, calls)
    kept = await home.tallies(couple)
    await home.db.execute(EMPTY, UUID(couple[0].rid))
    assert await home.tallies(couple) == {}
    assert await rebuilt(home, couple) == len(kept)
    assert await home.tallies(couple) == kept


async def versions(at: Place, couple: Couple) -> dict[str, int]:
    """The versions of the three heads."""
    names = ("shared", *SEATS)
    return {names[row["stream"]]: row["version"] for row in await at.db.fetch(VERSIONS, UUID(couple[0].rid))}


async def inflict(at: Place, couple: Couple, damage: Damage) -> None:
    """Do that to one of the pages, or to one that is not there yet."""
    kind, place = damage
    keys = await at.service.keys_of(couple[0].rid)
    kept = [*(await pages_of(at.db, couple, keys)).items()]
    if kind == "invent":
        streams = await streams_of(at.db, couple, keys)
        for stream in streams.values():
            day = date(2026, 6, 1) + timedelta(days=place)
            await add(at, keys, Key(stream.key, day, keys.seats[place % 2], "home", "decides", "me"), 7)
    elif kept:
        key, page = kept[place % len(kept)]
        if kind == "lose":
            await at.db.execute(LOSE, couple[0].rid, key.stream.number, keys.seat_of(key.author), key.month)
        elif page:
            counted = sorted(pages.counted(key, page))
            await add(at, keys, counted[place % len(counted)], -1 if place % 2 else 300)


async def add(at: Place, keys: RelationshipKeys, counted: Key, count: int) -> None:
    """Count something so often more on its page."""
    by_id, place = {counted.stream.relationship_id: keys}, pages.page_of(counted)
    page = (await pages.read_some(at.db, by_id, [place])).get(place, {})
    pages.add(page, counted, count)
    await pages.write(at.db, by_id, {place: page})


async def rebuilt(at: Place, couple: Couple) -> int:
    """How many counts had differed in the three streams together."""
    streams = await streams_of(at.db, couple, await at.service.keys_of(couple[0].rid))
    return (await rebuild(at.db, [*streams.values()])).differences
