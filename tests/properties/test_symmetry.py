"""The two members are equals: changed for each other in the log, they see what the other saw."""

from typing import Any

import pytest
from hypothesis import given

from tests.properties.histories import PROFILE, History, histories, one_by_one, swapped
from tests.properties.playing import SEATS, Place, looks, play, standings
from tests.support.phones import Json, Phone

SEAT_OF_OTHER = dict(zip(SEATS, reversed(SEATS), strict=True))
OTHER = {"me": "partner", "partner": "me", "leans_to_me": "leans_to_partner", "leans_to_partner": "leans_to_me"}


@PROFILE
@given(histories())
async def test_swapping_the_members_swaps_their_views_exactly(home: Place, history: History) -> None:
    couple, mirrored = await home.couple(), await home.couple()
    await play(couple, one_by_one(history))
    await play(mirrored, one_by_one(swapped(history)))
    # In both relationships the same member invited, so this says too that inviting gives no other view.
    for mine, yours in zip(couple, reversed(mirrored), strict=True):
        assert await looks(yours) == await looks(mine)
        assert await standings(yours) == await standings(mine)
        assert await recorded(yours) == await recorded(mine)
    changed = {
        tuple(SEAT_OF_OTHER.get(name, name) for name in key): n for key, n in (await home.tallies(couple)).items()
    }
    assert await home.tallies(mirrored) == changed


@PROFILE
@given(histories(all_shared=True))
async def test_swapping_the_members_swaps_mine_and_partners(home: Place, history: History) -> None:
    couple, mirrored = await home.couple(), await home.couple()
    await play(couple, one_by_one(history))
    await play(mirrored, one_by_one(swapped(history)))
    for phone, swapped_phone in zip(couple, mirrored, strict=True):
        before, after = await told(phone), await told(swapped_phone)
        assert after == {
            "asks": turned_split(before["asks"]),
            "mine": turned(before["partners"]),
            "partners": turned(before["mine"]),
            "tellings": before["tellings"],
        }


async def recorded(phone: Phone) -> list[Json]:
    """The events of both streams as this member reads them, behind the opening, whose id is the service's."""
    events: list[Json] = await phone.events("shared") + await phone.events("private")
    return [event for event in events if event["kind"] != "opened"]


async def told(phone: Phone) -> Json:
    read = await phone.get("/v1/relationships/{rid}/balances", window=366)
    return {name: read[name] for name in ("asks", "mine", "partners", "tellings")}


def turned(telling: Json) -> Json:
    """A telling, seen by the other: only who initiates and who decides depend on who looks."""
    splits = {measure: turned_split(telling[measure]) for measure in ("initiates", "decides")}
    return telling | splits | {"agreed": turned_counts(telling["agreed"])}


def turned_counts(counts: Json) -> Json:
    return counts | {"me": counts["partner"], "partner": counts["me"]}


def turned_split(split: Json) -> dict[str, Any]:
    share, low, high = (split[name] for name in ("share", "low", "high"))
    return split | {
        "counts": turned_counts(split["counts"]),
        "occasions": turned_counts(split["occasions"]),
        "share": None if share is None else pytest.approx(1 - share),
        "low": None if high is None else pytest.approx(1 - high),
        "high": None if low is None else pytest.approx(1 - low),
        "reading": OTHER.get(split["reading"], split["reading"]),
    }
