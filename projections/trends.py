"""How one measure moves over months: the same window, looked at every few days."""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import date
from typing import Literal, TypeAlias
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from events.encryption import RelationshipKeys
from events.entries import Domain, FeltItem
from events.heads import DbConnection
from projections import counts as counting
from projections import statistics
from projections.counts import ASKS, Counts, Told, first_day, of_size
from projections.occasions import Sums, figure, summed
from projections.reader import Reader
from projections.statistics import Answers, Felt, Looks, Occasions, Split, WhoCounts

Measure = Literal["asks", "initiates", "decides", "counted", "felt"]
When = Literal["other_decided", "both_decided"]

INPUT: dict[When, str] = {"other_decided": "input:partner", "both_decided": "input:both"}


class Point(Struct, frozen=True, kw_only=True):
    """One window. Which fields there are depends on the measure: those of Split, of Answers or of Felt.

    paused is how many of its days I leave out, where there are any.

    Of a Split with 8 occasions or more, wide_low to wide_high is the band in which the truth lies on most days at once,
    since many points are seen together: it is drawn outside of low to high.
    """

    on: date
    n: int
    counts: WhoCounts | list[int] | UnsetType = UNSET
    occasions: Occasions | UnsetType = UNSET
    not_asked: int | UnsetType = UNSET
    asked: int | UnsetType = UNSET
    partly: int | UnsetType = UNSET
    counted: int | UnsetType = UNSET
    share: float | UnsetType | None = UNSET
    mean: float | UnsetType | None = UNSET
    low: float | None
    high: float | None
    reading: (
        Literal["too_few", "unclear", "leans_to_me", "leans_to_partner", "about_even", "shown"] | UnsetType | None
    ) = UNSET
    wide_low: float | None
    wide_high: float | None
    paused: int | UnsetType = UNSET


class Trend(Struct, frozen=True):
    """Two tellings side by side, a point every `step` days, each over the `window` days that end on it.

    What was asked is nobody's telling: its points stand in `mine`, and `partners` is empty.
    """

    measure: Measure
    window: int
    step: int
    domain: Domain | None
    item: FeltItem | None
    mine: list[Point]
    partners: list[Point]


class Asked(Struct, frozen=True):
    """What trend is asked for; `item` goes with the measure felt, `when` with counted."""

    measure: Measure
    item: FeltItem | None
    when: When | None
    domain: Domain | None
    window: int
    step: int
    first: date
    last: date


async def trend(db: DbConnection, keys: RelationshipKeys, reader: Reader, asked: Asked, member_id: UUID) -> Trend:
    """The points from the last day back to the first, in ascending order. The database acts for that member."""
    since = first_day(asked.first, asked.window)
    return fold(await counting.read(db, keys, reader, since, asked.last, _measures(asked), member_id), asked)


def fold(counts: Counts, asked: Asked) -> Trend:
    """The trend, of all that a reader can count in its days; what lies outside is left aside."""
    statistics.forget()
    tellings = [counts.asks] if asked.measure == "asks" else [counts.mine, counts.partners]
    points = [_points(told, asked) for told in tellings]
    if counts.paused:
        points = [_marked(one, sorted(counts.paused), asked.window) for one in points]
    mine, partners = [*points, list[Point]()][:2]
    return Trend(asked.measure, asked.window, asked.step, asked.domain, asked.item, mine, partners)


def _marked(points: list[Point], paused: list[int], window: int) -> list[Point]:
    """The points, each with how many days of its window are paused."""
    ends = [one.on.toordinal() for one in points]
    counts = [bisect_right(paused, end) - bisect_right(paused, end - window) for end in ends]
    return [replace(one, paused=count or UNSET) for one, count in zip(points, counts, strict=True)]


def _measures(asked: Asked) -> list[str]:
    """As what the measure is kept."""
    match asked.measure:
        case "asks":
            return [ASKS]
        case "initiates":
            return ["initiates"]
        case "decides":
            return of_size("decides", None)
        case "counted":
            assert asked.when is not None
            return of_size(INPUT[asked.when], None)
        case "felt":
            return [f"felt:{asked.item}"]


def days_of(first: date, last: date, step: int) -> list[date]:
    """last, last - step, … back to first, ascending."""
    end = last.toordinal()
    return [date.fromordinal(day) for day in range(end - (last - first).days // step * step, end + 1, step)]


def _points(told: Told, asked: Asked) -> list[Point]:
    first, last = first_day(asked.first, asked.window).toordinal(), asked.last.toordinal()
    sums = summed(figure(told.of(_measures(asked)), asked.domain, first, last), first, last)
    days = days_of(asked.first, asked.last, asked.step)
    # As places in the sums; the calendar has no day before the first.
    spans = [(max(end - asked.window, 0), end) for end in (on.toordinal() - first + 1 for on in days)]
    match asked.measure:
        case "counted":
            answers = statistics.all_answers([_within(sums, span) for span in spans])
            return [_answers(on, found) for on, found in zip(days, answers, strict=True)]
        case "felt":
            windows = [_within(sums, span) for span in spans]
            felt = statistics.all_felt([[counts.get(answer, 0) for answer in ANSWERS] for counts in windows])
            return [_felt(on, found) for on, found in zip(days, felt, strict=True)]
        case _:
            splits = statistics.splits(_windows(told, sums, first, spans, asked))
            bands = statistics.wide_bands([(one.occasions.me, one.occasions.partner) for one in splits])
            return [_split(on, found, band) for on, found, band in zip(days, splits, bands, strict=True)]


ANSWERS = [str(answer) for answer in range(1, 8)]
Span: TypeAlias = tuple[int, int]


def _within(sums: Sums, span: Span) -> dict[str, int]:
    begin, end = span
    return {value: running[end] - running[begin] for value, running in sums.values.items()}


def _windows(
    told: Told, sums: Sums, first: int, spans: list[Span], asked: Asked
) -> list[tuple[Mapping[str, int], int, int, Looks]]:
    later, whole = [Looks(asked.window, asked.domain is not None, since_first) for since_first in (False, True)]
    # Up to that place in the sums, a window begins at or before the first day on which anything counts.
    last_whole = len(sums.me) if told.since is None else told.since + asked.window - first
    found: list[tuple[Mapping[str, int], int, int, Looks]] = []
    for begin, end in spans:
        looks = whole if end <= last_whole else later
        me, partner = sums.me[end] - sums.me[begin], sums.partner[end] - sums.partner[begin]
        found.append((_within(sums, (begin, end)), me, partner, looks))
    return found


# Field by field: by way of a mapping a point takes three times as long, and there may be 800.


def _split(on: date, found: Split, band: tuple[float, float] | None) -> Point:
    wide_low, wide_high = band or (None, None)
    return Point(
        on=on,
        n=found.n,
        counts=found.counts,
        occasions=found.occasions,
        share=found.share,
        low=found.low,
        high=found.high,
        reading=found.reading,
        wide_low=wide_low,
        wide_high=wide_high,
    )


def _answers(on: date, found: Answers) -> Point:
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
        wide_low=None,
        wide_high=None,
    )


def _felt(on: date, found: Felt) -> Point:
    return Point(
        on=on,
        n=found.n,
        mean=found.mean,
        low=found.low,
        high=found.high,
        counts=found.counts,
        wide_low=None,
        wide_high=None,
    )
