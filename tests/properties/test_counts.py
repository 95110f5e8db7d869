"""What is kept and read is what the contract's table of counts says, told here a second time, from the bodies alone."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.properties.histories import (
    PROFILE,
    History,
    Step,
    day_of,
    histories,
    is_answer,
    is_counted_already,
    one_by_one,
    without_the_retracted,
)
from tests.properties.playing import SEATS, Place, looks, play
from tests.support.phones import NOON, Json

TURNED = {"me": "partner", "partner": "me"}

# stream, author, day, domain, measure, value
Key = tuple[str, str, date, str, str, str]

windows = st.integers(7, 366)
days = st.integers(0, 40).map(lambda ago: NOON.date() - timedelta(days=ago))
domains = st.sampled_from([None, "home", "money", "other"])
sizes = st.sampled_from([None, None, "small", "big"])


def any_taken_back(history: History) -> bool:
    return any(step.kind == "retraction" for step in history)


@PROFILE
@given(histories(), windows, days, domains, sizes)
async def test_every_count_is_in_the_table(
    home: Place, history: History, window: int, on: date, domain: str | None, size: str | None
) -> None:
    couple, counts = await home.couple(), counted(history)
    await play(couple, one_by_one(history))
    assert await home.tallies(couple) == {key: count for key, count in counts.items() if count}
    asked: dict[str, Any] = {"window": window, "on": on} | {k: v for k, v in (("domain", domain), ("size", size)) if v}
    shown = Counter(
        {key: n for key, n in counts.items() if 0 <= (on - key[2]).days < window and domain in (None, key[3])}
    )
    for phone, me, partner in zip(couple, SEATS, reversed(SEATS), strict=True):
        read = await phone.get("/v1/relationships/{rid}/balances", **asked)
        asks = telling(shown, me, {"shared"}) + turned(telling(shown, partner, {"shared"}))
        assert split_of(read["asks"]) == split(asks, ["asks"])
        assert told_in(read["mine"]) == told(telling(shown, me, {"shared", me}), size)
        assert told_in(read["partners"]) == told(turned(telling(shown, partner, {"shared"})), size)


@PROFILE
@given((histories(least=8, sealed=False) | histories(least=8, all_shared=True)).filter(any_taken_back))
async def test_what_was_taken_back_leaves_nothing_behind(home: Place, history: History) -> None:
    one, other = await home.couple(), await home.couple()
    await play(one, one_by_one(history))
    await play(other, one_by_one(without_the_retracted(history)))
    assert await home.tallies(other) == await home.tallies(one)
    for mine, anew in zip(one, other, strict=True):
        assert await looks(anew) == await looks(mine)


def counted(history: History) -> Counter[Key]:
    """All counts of a history. What was taken back, and what was shared later, counts nothing where it was."""
    taken_back = {step.target for step in history if step.kind == "retraction"}
    moved = {step.shares for step in history if step.shares is not None}
    counts: Counter[Key] = Counter()
    for step in history:
        if step.index not in taken_back | moved:
            counts.update(keys_of(history, step))
    return counts


def keys_of(history: History, step: Step) -> list[Key]:
    stream, author = "shared" if step.audience == "shared" else SEATS[step.who], SEATS[step.who]
    day, domain = day_of(step.body), step.body.get("domain") or "other"
    return [(stream, author, day, domain, measure, value) for measure, value in said(history, step)]


def said(history: History, step: Step) -> Iterator[tuple[str, str]]:
    """What a step counts, for its author and relative to them."""
    body, size = step.body, f":{step.body['size']}" if "size" in step.body else ""
    if step.kind == "request" and "in_reply_to" not in body:
        yield "asks", "me"
    initiated, decided = body.get("initiated_by") or body.get("raised_by"), body.get("decided_by")
    if not (is_answer(step) or is_counted_already(history, step)):
        if initiated:
            yield "initiates", initiated
        if decided:
            yield f"decides{size}", decided
        if initiated and decided:
            yield f"roles{size}", f"{initiated}/{decided}"
        if decided != "me" and "my_input" in body:
            yield f"input:{decided}{size}", body["my_input"]
        if body.get("as_agreed"):
            yield "agreed", str(decided)
    for item, answer in body.get("felt", {}).items():
        yield f"felt:{item}", str(answer)


# By day, domain, measure and value.
Told = Counter[tuple[date, str, str, str]]


def telling(counts: Counter[Key], author: str, streams: set[str]) -> Told:
    """The counts of one member in some streams, relative to that member."""
    found: Told = Counter()
    for (stream, by, *what), count in counts.items():
        if by == author and stream in streams:
            found[tuple(what)] += count  # type: ignore[index]
    return found


def turned(counts: Told) -> Told:
    return Counter({(*where, TURNED.get(value, value)): n for (*where, value), n in counts.items()})  # type: ignore[misc]


def told(counts: Told, size: str | None) -> Json:
    """What a balance shows of a telling: counts and occasions."""
    suffixes = [f":{size}"] if size else ["", ":small", ":big"]
    items = {measure for _, _, measure, _ in counts if measure.startswith("felt:")}
    found = {measure: sums(counts, [measure]) for measure in ("agreed", *items)}
    for who, name in (("partner", "when_other_decided"), ("both", "when_both_decided")):
        found[name] = sums(counts, [f"input:{who}{suffix}" for suffix in suffixes])
    splits = {"initiates": split(counts, ["initiates"]), "decides": split(counts, [f"decides{s}" for s in suffixes])}
    return {name: one for name, one in found.items() if one} | splits


def sums(counts: Told, measures: list[str]) -> Json:
    """The sums by value."""
    found: Counter[str] = Counter()
    for (_, _, measure, value), count in counts.items():
        if measure in measures:
            found[value] += count
    return dict(+found)


def split(counts: Told, measures: list[str]) -> tuple[Json, tuple[int, int]]:
    """The sums by value, and on how many days and domains it was more often me, and more often the partner."""
    cells: dict[tuple[date, str], Counter[str]] = {}
    for (day, domain, measure, value), count in counts.items():
        if measure in measures:
            cells.setdefault((day, domain), Counter())[value] += count
    me, partner = (sum(cell[a] > cell[b] for cell in cells.values()) for a, b in (("me", "partner"), ("partner", "me")))
    return sums(counts, measures), (me, partner)


def told_in(read: Json) -> Json:
    """The same of a telling as it is read."""
    found = {
        f"felt:{item}": {str(i): n for i, n in enumerate(felt["counts"], 1)} for item, felt in read["felt"].items()
    }
    found |= {"agreed": read["agreed"]}
    answers = ("not_asked", "asked", "partly", "counted")
    found |= {name: {answer: one[answer] for answer in answers} for name, one in read["counted"].items()}
    found = {name: {value: n for value, n in one.items() if n} for name, one in found.items()}
    splits = {name: split_of(read[name]) for name in ("initiates", "decides")}
    return {name: one for name, one in found.items() if one} | splits


def split_of(read: Json) -> tuple[Json, tuple[int, int]]:
    occasions = read["occasions"]
    assert read["n"] == occasions["me"] + occasions["partner"]
    return {who: n for who, n in read["counts"].items() if n}, (occasions["me"], occasions["partner"])
