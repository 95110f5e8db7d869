"""How one measure moves over months: the same window, looked at every few days."""

from collections import Counter, defaultdict
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

BY_DAY = """
SELECT
    teller,
    day,
    value,
    sum(count)::bigint AS count
FROM tallies
WHERE relationship_id = $1
    AND stream_id = ANY ($2::uuid[])
    AND day BETWEEN $3 AND $4
    AND measure = $5
    AND ($6::text IS NULL OR domain = $6)
GROUP BY
    teller,
    day,
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


DailyCounts = dict[str, Counter[int]]


async def trend(db: Database, reader: Reader, asked: Asked) -> Trend:
    """The points from the last day back to the first, in ascending order."""
    kept_as = f"felt:{asked.item}" if asked.measure == "felt" else asked.measure
    since = first_day(asked.first, asked.window)
    rows = await db.fetch(BY_DAY, reader.relationship_id, reader.streams, since, asked.last, kept_as, asked.domain)
    mine: DailyCounts = defaultdict(Counter)
    partners: DailyCounts = defaultdict(Counter)
    for row in rows:
        day = row["day"].toordinal()
        if row["teller"] == reader.author_id:
            mine[row["value"]][day] = row["count"]
        else:
            partners[turned(kept_as, row["value"])][day] = row["count"]
    return Trend(
        asked.measure,
        asked.window,
        asked.step,
        asked.domain,
        asked.item,
        _points(asked, since, mine),
        _points(asked, since, partners),
    )


def days_of(first: date, last: date, step: int) -> list[date]:
    """last, last - step, … back to first, ascending."""
    steps = (last - first).days // step
    return [last - timedelta(days=step * i) for i in range(steps, -1, -1)]


def _points(asked: Asked, since: date, daily: DailyCounts) -> list[Point]:
    begin, end = since.toordinal(), asked.last.toordinal()
    # sums[value][i]: all counts before day begin + i, so that a window is one subtraction
    sums = {
        value: list(accumulate((by_day[day] for day in range(begin, end + 1)), initial=0))
        for value, by_day in daily.items()
    }
    points = []
    for on in days_of(asked.first, asked.last, asked.step):
        behind, ahead = first_day(on, asked.window).toordinal() - begin, on.toordinal() - begin + 1
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
