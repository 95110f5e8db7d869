"""Evidence is counted in occasions: a day and domain on which one of the two stands more often than the other.

An episode may be told by many entries, and a burst of them on one evening says no more than one. So an occasion counts
once, for whom it names more often, and for nobody where it names both equally.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import TypeAlias

from msgspec import Struct

from events.entries import Domain
from projections.counts import Series

# How often, by the number of the day in the calendar.
Days: TypeAlias = dict[int, int]


class Figure(Struct, frozen=True):
    """One figure, day by day: how often each value was counted, and the occasions of me and of the partner."""

    values: dict[str, Days]
    me: Days
    partner: Days


SIGNS = {"me": 1, "partner": -1}


def figure(
    series: Iterable[Series], domain: Domain | None, first: int, last: int, signs: Mapping[str, int] = SIGNS
) -> Figure:
    """The figure of those series that belong to the domain, or of all, from a first day to a last.

    All that adds to it must be among them: an occasion is decided after both streams are added. `signs` say which
    values stand for me (1), and which for the partner (-1).
    """
    values: dict[str, Days] = {}
    ahead: defaultdict[tuple[int, str], int] = defaultdict(int)
    for one in series:
        if domain is not None and one.domain != domain:
            continue
        told = values.setdefault(one.value, {})
        sign = signs.get(one.value)
        for day, count in zip(one.days, one.counts, strict=True):
            if first <= day <= last:
                told[day] = told.get(day, 0) + count
                if sign:
                    ahead[day, one.domain] += sign * count
    me, partner = ([day for (day, _), by in ahead.items() if sign * by > 0] for sign in (1, -1))
    return Figure(values, Counter(me), Counter(partner))


def added(series: Iterable[Series], domain: Domain | None, first: int, last: int) -> dict[str, int]:
    """How often each value was counted in those days, where no occasions are asked for."""
    found: dict[str, int] = {}
    for one in series:
        if domain is None or one.domain == domain:
            for day, count in zip(one.days, one.counts, strict=True):
                if first <= day <= last:
                    found[one.value] = found.get(one.value, 0) + count
    return found


class Sums(Struct, frozen=True):
    """The same, added up: [i] is all before the i-th day, so that a window is one subtraction."""

    values: dict[str, list[int]]
    me: list[int]
    partner: list[int]


def summed(found: Figure, first: int, last: int) -> Sums:
    """The figure, added up from a first day to a last."""
    return Sums(
        {value: _running(days, first, last) for value, days in found.values.items()},
        _running(found.me, first, last),
        _running(found.partner, first, last),
    )


def _running(days: Days, first: int, last: int) -> list[int]:
    daily = [0] * (last - first + 1)
    for day, count in days.items():
        daily[day - first] = count
    return list(accumulate(daily, initial=0))


def total(days: Days) -> int:
    """How often, on all days together."""
    return sum(days.values())
