"""How one measure moves over months: the same window, looked at every few days."""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import accumulate
from typing import Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

from events.entries import Domain, FeltItem
from events.streams import Database
from projections import statistics
from projections.balances import Reader, first_day, turned

Measure = Literal["initiates", "decides", "counted", "felt"]

# A row for each value rather than for each day: what is sent and read is a tenth of it.
BY_VALUE = """
SELECT
    teller,
    value,
    array_agg(day) AS days,
    array_agg(count) AS counts
FROM tallies
WHERE relationship_id = $1
    AND stream_id = ANY ($2::uuid[])
    AND day BETWEEN $3 AND $4
    AND measure = $5
    AND ($6::text IS NULL OR domain = $6)
GROUP BY
    teller,
    value
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


# By value; [i] is all counts before the i-th day, so that a window is one subtraction.
Sums = dict[str, list[int]]


async def trend(db: Database, reader: Reader, asked: Asked) -> Trend:
    """The points from the last day back to the first, in ascending order."""
    kept_as = f"felt:{asked.item}" if asked.measure == "felt" else asked.measure
    since = first_day(asked.first, asked.window)
    rows = await db.fetch(BY_VALUE, reader.relationship_id, reader.streams, since, asked.last, kept_as, asked.domain)
    days = (asked.last - since).days + 1
    mine: Sums = {}
    partners: Sums = {}
    for teller, value, on, counts in rows:
        if teller == reader.author_id:
            mine[value] = _sums(since, days, on, counts)
        else:
            partners[turned(kept_as, value)] = _sums(since, days, on, counts)
    return Trend(
        asked.measure,
        asked.window,
        asked.step,
        asked.domain,
        asked.item,
        _points(asked, since, mine),
        _points(asked, since, partners),
    )


def _sums(since: date, days: int, on: Sequence[date], counts: Sequence[int]) -> list[int]:
    daily, before = [0] * days, since.toordinal()
    for day, count in zip(on, counts, strict=True):
        # Not reckoned in SQL, to which the calendar's first day is infinitely far away.
        daily[day.toordinal() - before] += count  # one day has a row for each domain and stream
    return list(accumulate(daily, initial=0))


def days_of(first: date, last: date, step: int) -> list[date]:
    """last, last - step, … back to first, ascending."""
    steps = (last - first).days // step
    return [last - timedelta(days=step * i) for i in range(steps, -1, -1)]


def _points(asked: Asked, since: date, sums: Sums) -> list[Point]:
    points = []
    for on in days_of(asked.first, asked.last, asked.step):
        behind, ahead = (first_day(on, asked.window) - since).days, (on - since).days + 1
        window = {value: total[ahead] - total[behind] for value, total in sums.items()}
        points.append(_point(asked.measure, on, window))
    return points


def _point(measure: Measure, on: date, counts: dict[str, int]) -> Point:
    match measure:
        case "counted":
            return Point(on=on, **asdict(statistics.counted(counts)))
        case "felt":
            return Point(on=on, **asdict(statistics.felt(counts)))
        case "initiates" | "decides":
            return Point(on=on, **asdict(statistics.split(counts)))
