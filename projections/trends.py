"""How one measure moves over months: the same window, looked at every few days."""

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import accumulate
from typing import Literal, TypeAlias
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from events.entries import Domain, FeltItem
from events.heads import DbConnection
from projections import statistics, tallies
from projections.balances import Reader, first_day
from projections.statistics import Counted, Felt, Split

Measure = Literal["initiates", "decides", "counted", "felt"]

# A row for all days on which a value was counted so many times (mostly once): most of what is sent and read are days.
# Each is its number in the calendar, read in half the time that a date takes; the first may stand as infinitely far.
# It tells for whom it acts as that of balances does.
BY_VALUE = """
WITH acting AS MATERIALIZED (
    SELECT set_config('mutuality.members', ARRAY[$7::uuid]::text, true) AS members
)
SELECT found.*
FROM acting
CROSS JOIN LATERAL (
    SELECT
        teller,
        measure,
        value,
        count,
        array_agg(greatest(day, DATE '0001-01-01') - DATE '0001-01-01' + 1) AS days
    FROM tallies
    WHERE acting.members IS NOT NULL
        AND relationship_id = $1
        AND stream_id = ANY ($2::uuid[])
        AND day BETWEEN $3 AND greatest($4, DATE '0001-01-01')
        AND measure = ANY ($5::text[])
        AND ($6::text IS NULL OR domain = $6)
    GROUP BY
        teller,
        measure,
        value,
        count
    OFFSET 0
) AS found
"""


class Point(Struct, frozen=True, kw_only=True):
    """One window. Which fields there are depends on the measure: those of Split, of Counted or of Felt."""

    on: date
    n: int
    me: int | UnsetType = UNSET
    partner: int | UnsetType = UNSET
    both: int | UnsetType = UNSET
    neither: int | UnsetType = UNSET
    not_asked: int | UnsetType = UNSET
    asked: int | UnsetType = UNSET
    partly: int | UnsetType = UNSET
    counted: int | UnsetType = UNSET
    share: float | UnsetType | None = UNSET
    low: float | UnsetType | None = UNSET
    high: float | UnsetType | None = UNSET
    reading: (
        Literal["too_few", "unclear", "leans_to_me", "leans_to_partner", "about_even", "shown"] | UnsetType | None
    ) = UNSET
    mean: float | UnsetType | None = UNSET
    counts: list[int] | UnsetType = UNSET


class Trend(Struct, frozen=True):
    """Two tellings side by side, a point every `step` days, each over the `window` days that end on it."""

    measure: Measure
    window: int
    step: int
    domain: Domain | None
    item: FeltItem | None
    mine: list[Point]
    partners: list[Point]


class Asked(Struct, frozen=True):
    """What trend is asked for; `item` goes with the measure felt."""

    measure: Measure
    item: FeltItem | None
    domain: Domain | None
    window: int
    step: int
    first: date
    last: date


# A value, a count, and the days that have it, by their numbers in the calendar.
Told: TypeAlias = tuple[str, int, Sequence[int]]
# By value; [i] is all counts before the i-th day, so that a window is one subtraction.
Sums: TypeAlias = dict[str, list[int]]


async def trend(db: DbConnection, reader: Reader, asked: Asked, member_id: UUID) -> Trend:
    """The points from the last day back to the first, in ascending order. The database acts for that member."""
    wanted = f"felt:{asked.item}" if asked.measure == "felt" else asked.measure
    kept_as = [wanted, tallies.ASKS] if wanted in dict(tallies.ASKED) else [wanted]
    since = first_day(asked.first, asked.window)
    named = (reader.relationship_id, reader.streams, since, asked.last, kept_as, asked.domain)
    rows = await db.fetch(BY_VALUE, *named, member_id)
    mine: list[Told] = []
    partners: list[Told] = []
    for teller, measure, kept, count, days in rows:
        for in_mine, counted, value in tallies.read(teller == reader.author_id, measure, kept):
            if counted == wanted:
                (mine if in_mine else partners).append((value, count, days))
    length = (asked.last - since).days + 1
    return Trend(
        asked.measure,
        asked.window,
        asked.step,
        asked.domain,
        asked.item,
        _points(asked, since, _sums(since, length, mine)),
        _points(asked, since, _sums(since, length, partners)),
    )


def _sums(since: date, length: int, told: Iterable[Told]) -> Sums:
    """Over so many days. One of them may have several counts of a value, from other domains and streams."""
    daily: dict[str, list[int]] = {}
    first = since.toordinal()
    for value, count, days in told:
        counts = daily.setdefault(value, [0] * length)
        for day in days:
            counts[day - first] += count
    return {value: list(accumulate(counts, initial=0)) for value, counts in daily.items()}


def days_of(first: date, last: date, step: int) -> list[date]:
    """last, last - step, … back to first, ascending."""
    end = last.toordinal()
    return [date.fromordinal(day) for day in range(end - (last - first).days // step * step, end + 1, step)]


def _points(asked: Asked, since: date, sums: Sums) -> list[Point]:
    days, first, windows = days_of(asked.first, asked.last, asked.step), since.toordinal(), []
    for on in days:
        end = on.toordinal() - first + 1
        begin = max(end - asked.window, 0)  # the calendar has no day before the first
        windows.append({value: total[end] - total[begin] for value, total in sums.items()})
    match asked.measure:
        case "counted":
            return [_counted(on, found) for on, found in zip(days, statistics.all_counted(windows), strict=True)]
        case "felt":
            return [_felt(on, statistics.felt(counts)) for on, counts in zip(days, windows, strict=True)]
        case "initiates" | "decides":
            return [_split(on, found) for on, found in zip(days, statistics.splits(windows), strict=True)]


# Field by field: by way of a mapping a point takes three times as long, and there may be 800.


def _split(on: date, found: Split) -> Point:
    return Point(
        on=on,
        n=found.n,
        me=found.me,
        partner=found.partner,
        both=found.both,
        neither=found.neither,
        share=found.share,
        low=found.low,
        high=found.high,
        reading=found.reading,
    )


def _counted(on: date, found: Counted) -> Point:
    return Point(
        on=on,
        n=found.n,
        not_asked=found.not_asked,
        asked=found.asked,
        partly=found.partly,
        counted=found.counted,
        share=found.share,
        low=found.low,
        high=found.high,
        reading=found.reading,
    )


def _felt(on: date, found: Felt) -> Point:
    return Point(on=on, n=found.n, mean=found.mean, counts=found.counts)
