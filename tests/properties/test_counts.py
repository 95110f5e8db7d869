"""What is kept and read is what the contract's table of counts says, told here a second time, from the bodies alone."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.histories import PROFILE, History, Step, histories, is_answer, one_by_one, without_the_retracted
from tests.properties.playing import Place, looks, play, tallies
from tests.support.phones import NOON, Json

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEATS = ("first", "second")
TURNED = {"me": "partner", "partner": "me"}

# stream, teller, day, domain, measure, value
Key = tuple[str, str, date, str, str, str]

windows = st.integers(7, 366)
days = st.integers(0, 40).map(lambda ago: NOON.date() - timedelta(days=ago))
domains = st.sampled_from([None, "home", "money", "other"])


def any_taken_back(history: History) -> bool:
    return any(step.kind == "retraction" for step in history)


@PROFILE
@given(histories(), windows, days, domains)
async def test_every_count_is_in_the_table(
    home: Place, history: History, window: int, on: date, domain: str | None
) -> None:
    couple, counts = await home.couple(), counted(history)
    await play(couple, one_by_one(history))
    assert await tallies(home.db, couple) == {key: count for key, count in counts.items() if count}
    asked = {"window": window, "on": on} | ({"domain": domain} if domain else {})
    shown = {key: n for key, n in counts.items() if 0 <= (on - key[2]).days < window and domain in (None, key[3])}
    for phone, me, partner in zip(couple, SEATS, reversed(SEATS), strict=True):
        read = await phone.get("/v1/relationships/{rid}/balances", **asked)
        assert counts_of(read["mine"]) == telling(shown, me, {"shared", me})
        assert counts_of(read["partners"]) == turned(telling(shown, partner, {"shared"}))


@PROFILE
@given((histories(least=8, sealed=False) | histories(least=8, all_shared=True)).filter(any_taken_back))
async def test_what_was_taken_back_leaves_nothing_behind(home: Place, history: History) -> None:
    one, other = await home.couple(), await home.couple()
    await play(one, one_by_one(history))
    await play(other, one_by_one(without_the_retracted(history)))
    assert await tallies(home.db, other) == await tallies(home.db, one)
    for mine, anew in zip(one, other, strict=True):
        assert await looks(anew) == await looks(mine)


def counted(history: History) -> Counter[Key]:
    counts: Counter[Key] = Counter()
    for step in history:
        if step.kind == "retraction":
            assert step.target is not None
            counts.subtract(keys_of(history[step.target]))
        else:
            counts.update(keys_of(step))
    return counts


def keys_of(step: Step) -> list[Key]:
    stream = "shared" if step.audience == "shared" else SEATS[step.who]
    day, domain = date.fromisoformat(step.body["occurred_at"][:10]), step.body.get("domain") or "other"
    return [(stream, SEATS[teller], day, domain, measure, value) for teller, measure, value in told(step)]


def told(step: Step) -> Iterator[tuple[int, str, str]]:
    """In whose telling the step counts, as which value of which measure."""
    if step.kind == "request":
        yield from [(step.who, "initiates", "me"), (step.who, "decides", "partner")]
        yield from [(1 - step.who, "initiates", "partner"), (1 - step.who, "decides", "me")]
    elif not is_answer(step):
        for name, measure in NAMED.items():
            if name in step.body:
                yield step.who, measure, step.body[name]
        for item, answer in step.body.get("felt", {}).items():
            yield step.who, f"felt:{item}", str(answer)


NAMED = {"initiated_by": "initiates", "raised_by": "initiates", "decided_by": "decides", "my_input": "counted"}


def telling(counts: dict[Key, int], teller: str, streams: set[str]) -> Counter[tuple[str, str]]:
    """The sums by measure and value of one member's telling, relative to that member."""
    found: Counter[tuple[str, str]] = Counter()
    for (stream, by, _, _, measure, value), count in counts.items():
        if by == teller and stream in streams:
            found[measure, value] += count
    return +found


def turned(sums: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    return Counter({(measure, TURNED.get(value, value)): count for (measure, value), count in sums.items()})


def counts_of(read: Json) -> Counter[tuple[str, str]]:
    """The counts of a telling as it is read, by measure and value."""
    found: dict[tuple[str, str], Any] = {}
    for measure, values in VALUES.items():
        found |= {(measure, value): read[measure][value] for value in values}
    for item, felt in read["felt"].items():
        found |= {(f"felt:{item}", str(answer)): count for answer, count in enumerate(felt["counts"], 1)}
    return +Counter(found)


VALUES = {
    "initiates": ("me", "partner", "both", "neither"),
    "decides": ("me", "partner", "both", "neither"),
    "counted": ("not_asked", "asked", "partly", "counted"),
}
