"""How far the two tellings agree, over what both have shared. It is not said who is right."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Literal, TypeVar
from uuid import UUID

from msgspec import Struct

from events.encryption import RelationshipKeys
from events.entries import WHO, CheckIn, Decision, Fact, FeltItem, Retraction, Who, day_of, is_decision_for_both, other
from events.heads import DbConnection
from events.reading import read_back
from events.rules import Recorded
from projections import statistics
from projections.aside import aside
from projections.reader import Reader
from projections.standing import standing

Value = TypeVar("Value")

Pair = tuple[Value, Value]


class Perspectives(Struct, frozen=True):
    """A square table: rows my telling, columns the partner's, both seen from the reader, in the order of `values`.

    n is the sum of the table, agree the share on its diagonal with its 95 % interval, low to high. Of what was felt,
    near is the share within one step of the diagonal. Below 8 all four are null, below 20 agree and near are.
    """

    measure: Literal["decides", "initiates", "felt"]
    item: FeltItem | None
    values: list[str | int]
    table: list[list[int]]
    n: int
    agree: float | None
    low: float | None
    high: float | None
    near: float | None


class Period(Struct, frozen=True):
    """Days from first to last, each open where null."""

    first: date | None
    last: date | None

    def __contains__(self, day: date) -> bool:
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


class Asked(Struct, frozen=True):
    """What is compared, on which days; `item` goes with the measure felt."""

    measure: Literal["decides", "initiates", "felt"]
    item: FeltItem | None
    period: Period


async def perspectives(db: DbConnection, keys: RelationshipKeys, reader: Reader, asked: Asked) -> Perspectives:
    """How far the two tellings agree."""
    if asked.measure == "felt":
        assert asked.item is not None
        return await _felt_on_the_same_day(db, keys, reader, asked.item, asked.period)
    return await _decisions_told_twice(db, keys, reader, asked.measure, asked.period)


async def _decisions_told_twice(
    db: DbConnection, keys: RelationshipKeys, reader: Reader, measure: Literal["decides", "initiates"], period: Period
) -> Perspectives:
    """The decisions that both described: a decision and the other member's telling about it."""
    given = await _shared(db, keys, reader, is_decision_for_both)
    pairs = await aside(len(given), lambda: list(_told_pairs(standing(given), reader.author_id, measure, period)))
    return _tabled(measure, None, list(WHO), pairs)


async def _felt_on_the_same_day(
    db: DbConnection, keys: RelationshipKeys, reader: Reader, item: FeltItem, period: Period
) -> Perspectives:
    """The days on which both shared how the item felt; of several answers on a day the last one counts."""
    given = await _shared(db, keys, reader, lambda fact: isinstance(fact, CheckIn) and item in (fact.felt or ()))
    pairs = await aside(len(given), lambda: _felt_pairs(standing(given), reader.author_id, item, period))
    return _tabled("felt", item, list(range(1, 8)), pairs)


async def _shared(
    db: DbConnection, keys: RelationshipKeys, reader: Reader, told: Callable[[Fact], bool]
) -> list[Recorded]:
    """Some entries that both shared, and what takes entries back, in order."""
    parts = [
        [event for event in part if told(event.fact) or isinstance(event.fact, Retraction)]
        async for part in read_back(db, keys, reader.shared)
    ]
    return [event for part in reversed(parts) for event in part]


def _felt_pairs(shared: Sequence[Recorded], me: UUID, item: FeltItem, period: Period) -> list[Pair[int]]:
    mine = _felt_by_day((e for e in shared if e.author == me), item)
    partners = _felt_by_day((e for e in shared if e.author != me), item)
    return [(mine[day], partners[day]) for day in mine.keys() & partners.keys() if day in period]


def _told_pairs(
    shared: Sequence[Recorded], me: UUID, measure: Literal["decides", "initiates"], period: Period
) -> Iterable[Pair[Who]]:
    by_id = {e.event_id: e for e in shared}
    for telling in shared:
        if not isinstance(telling.fact, Decision) or telling.fact.about is None:
            continue
        first = by_id.get(telling.fact.about)
        if first is None or not isinstance(first.fact, Decision) or day_of(first.fact) not in period:
            continue
        mine, partners = (telling, first) if telling.author == me else (first, telling)
        my_value, partners_value = _value(mine, measure), _value(partners, measure)
        if my_value and partners_value:
            yield my_value, other(partners_value)


def _value(event: Recorded, measure: Literal["decides", "initiates"]) -> Who | None:
    if not isinstance(event.fact, Decision):
        return None
    return event.fact.decided_by if measure == "decides" else event.fact.raised_by


def _felt_by_day(events: Iterable[Recorded], item: FeltItem) -> dict[date, int]:
    answers = [
        (e.fact.occurred_at, e.event_id, day_of(e.fact), e.fact.felt[item])
        for e in events
        if isinstance(e.fact, CheckIn) and e.fact.felt and item in e.fact.felt
    ]
    return {day: answer for _, _, day, answer in sorted(answers)}


def _tabled(
    measure: Literal["decides", "initiates", "felt"],
    item: FeltItem | None,
    values: list[Who] | list[int],
    pairs: Iterable[Pair[Who]] | Iterable[Pair[int]],
) -> Perspectives:
    row_of = {value: i for i, value in enumerate(values)}
    table = [[0] * len(values) for _ in values]
    for mine, partners in pairs:
        table[row_of[mine]][row_of[partners]] += 1
    statistics.forget()
    found = statistics.agreement(table, near=measure == "felt")
    return Perspectives(measure, item, list(values), table, found.n, found.agree, found.low, found.high, found.near)
