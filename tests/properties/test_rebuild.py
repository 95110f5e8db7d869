"""The tallies are what the log says: recounted they are the same, and damaged ones are set right."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.rebuild import rebuild
from tests.properties.histories import PROFILE, Call, histories, schedules
from tests.properties.playing import Database, Place, looks, play, rows, streams_of
from tests.support.couples import Couple

pytestmark = pytest.mark.asyncio(loop_scope="module")

Damage = tuple[Literal["lose", "miscount", "invent"], int]

told = histories(least=2).flatmap(schedules)
damages = st.lists(
    st.tuples(st.sampled_from(["lose", "miscount", "invent"]), st.integers(0, 30)), min_size=1, max_size=4
)

LOSE = """
DELETE FROM tallies
WHERE relationship_id = $1
    AND ctid = (SELECT ctid FROM tallies WHERE relationship_id = $1 ORDER BY ctid OFFSET $2 LIMIT 1)
"""

MISCOUNT = """
UPDATE tallies
SET count = count - 2
WHERE relationship_id = $1
    AND ctid = (SELECT ctid FROM tallies WHERE relationship_id = $1 ORDER BY ctid OFFSET $2 LIMIT 1)
"""

INVENT = """
INSERT INTO tallies
SELECT
    relationship_id,
    stream_id,
    DATE '2026-06-01' + $2::integer,
    $3,
    'home',
    'decides',
    'me',
    7
FROM heads
WHERE relationship_id = $1
ON CONFLICT DO NOTHING
"""


@PROFILE
@given(told, damages)
async def test_a_recount_finds_nothing_but_damage_and_sets_it_right(
    home: Place, calls: list[Call], damages: list[Damage]
) -> None:
    couple = await home.couple()
    await play(couple, calls)
    kept, read = await rows(home.db, couple), [await looks(phone) for phone in couple]
    assert await rebuilt(home, couple) == 0
    for damage in damages:
        await inflict(home.db, couple, damage)
    damaged = await rows(home.db, couple)
    assert await rebuilt(home, couple) == sum(kept.get(k, 0) != damaged.get(k, 0) for k in kept | damaged)
    assert await rows(home.db, couple) == kept
    assert [await looks(phone) for phone in couple] == read


async def inflict(db: Database, couple: Couple, damage: Damage) -> None:
    kind, place = damage
    match kind:
        case "lose":
            await db.execute(LOSE, couple[0].rid, place)
        case "miscount":
            await db.execute(MISCOUNT, couple[0].rid, place)
        case "invent":
            await db.execute(INVENT, couple[0].rid, place, couple[place % 2].author)


async def rebuilt(at: Place, couple: Couple) -> int:
    """How many counts had differed in the three streams together."""
    streams = await streams_of(at.db, couple, await at.service.ring(couple[0].rid))
    return (await rebuild(at.db, [*streams.values()])).differences
