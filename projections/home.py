"""A phone's first screen: the figures that hold something, each with how it was, and what it felt like beside them.

All of it follows from what other projections compute, and equals what they show: nothing here is weighed against
anything else, and the order is always the same.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Literal, TypeAlias, get_args

from msgspec import UNSET, Struct, UnsetType

from events.entries import FELT_ITEMS, Domain, FeltItem
from projections import balances
from projections.balances import Asked, Balances, Telling
from projections.counts import Counts, Told
from projections.occasions import figure
from projections.statistics import Answers, Counted, Felt, Occasions, Split, WhoCounts
from projections.windows import MEASURES, FigureName

LINE_DAYS, LINE_WINDOWS = 28, 13
# x, y: occasions of me and of the partner; of counted, answers in which input was counted, and the others.
Place: TypeAlias = list[int]

DOMAINS: tuple[Domain, ...] = get_args(Domain)
INPUT_COUNTED = ("partly", "counted")


class Now(Struct, frozen=True):
    """The window of today: the fields of a Split or, where the figure is counted, those of Counted."""

    counts: WhoCounts | UnsetType = UNSET
    occasions: Occasions | UnsetType = UNSET
    n: int | UnsetType = UNSET
    share: float | UnsetType | None = UNSET
    low: float | UnsetType | None = UNSET
    high: float | UnsetType | None = UNSET
    reading: Literal["too_few", "unclear", "leans_to_me", "leans_to_partner", "about_even"] | UnsetType | None = UNSET
    when_other_decided: Answers | UnsetType = UNSET
    when_both_decided: Answers | UnsetType = UNSET


class Cell(Struct, frozen=True):
    """A figure of one telling: the window of today, and 13 windows of 28 days, each apart from the others.

    In the line stand x, y for each, the latest at the end: occasions of me and of the partner or, where the figure is
    counted, answers in which input was partly or wholly counted, and all others. Null where nothing was told.
    """

    now: Now
    line: list[Place | None]


class HomeFigure(Struct, frozen=True):
    """A figure over all domains, or in one. What was asked is nobody's telling: it stands in `mine` alone."""

    figure: FigureName
    domain: Domain | None
    mine: Cell
    partners: Cell | None


class HomeFelt(Struct, frozen=True):
    """How one item felt to each, over the window of today."""

    item: FeltItem
    mine: Felt
    partners: Felt


class Figures(Struct, frozen=True):
    """The figures that hold something, those over all domains first, and what was felt; paused as in Balances."""

    paused: int
    figures: list[HomeFigure]
    felt: list[HomeFelt]


def days_needed(window: int) -> int:
    """How many days are looked at, for a window of today."""
    return max(window, LINE_DAYS * LINE_WINDOWS)


def fold(counts: Counts, on: date, window: int) -> Figures:
    """The figures, of all that a reader can count up to that day."""
    found: list[HomeFigure] = []
    everything = balances.fold(counts, Asked(on, window))
    for domain in (None, *DOMAINS):
        told = balances.fold(counts, Asked(on, window, domain)) if domain else everything
        found += _figures(counts, told, on, domain)
    return Figures(everything.paused, found, list(_felt(everything.mine, everything.partners)))


def _figures(counts: Counts, told: Balances, on: date, domain: Domain | None) -> Iterator[HomeFigure]:
    asked = Cell(_now(told.asks), _line(counts.asks, "asks", on, domain))
    if _holds(asked):
        yield HomeFigure("asks", domain, asked, None)
    rest: tuple[FigureName, ...] = ("initiates", "decides", "counted")
    for name in rest:
        mine, partners = (
            Cell(_now(getattr(telling, name)), _line(of, name, on, domain))
            for of, telling in ((counts.mine, told.mine), (counts.partners, told.partners))
        )
        if _holds(mine) or _holds(partners):
            yield HomeFigure(name, domain, mine, partners)


def _now(one: Split | Counted) -> Now:
    match one:
        case Split():
            return Now(one.counts, one.occasions, one.n, one.share, one.low, one.high, one.reading)
        case Counted():
            return Now(when_other_decided=one.when_other_decided, when_both_decided=one.when_both_decided)


def _holds(cell: Cell) -> bool:
    now = cell.now
    shown = now.reading is not UNSET and now.reading is not None
    answered = any(one is not UNSET and one.n for one in (now.when_other_decided, now.when_both_decided))
    return shown or answered or any(cell.line)


def _line(told: Told, name: FigureName, on: date, domain: Domain | None) -> list[Place | None]:
    last = on.toordinal()
    first = last - LINE_DAYS * LINE_WINDOWS + 1
    found = figure(told.of(MEASURES[name]), domain, first, last)
    places: list[Place | None] = [None] * LINE_WINDOWS
    for value, days in found.values.items():
        for day, count in days.items():
            place = places[(day - first) // LINE_DAYS] = places[(day - first) // LINE_DAYS] or [0, 0]
            if name == "counted":
                place[value not in INPUT_COUNTED] += count
    for side, days in ((0, found.me), (1, found.partner)):
        for day, count in days.items():
            place = places[(day - first) // LINE_DAYS] or [0, 0]
            place[side] += count
    return places


def _felt(mine: Telling, partners: Telling) -> Iterator[HomeFelt]:
    nothing = Felt(0, None, None, None, [0] * 7)
    for item in FELT_ITEMS:
        pair: Sequence[Felt] = [telling.felt.get(item, nothing) for telling in (mine, partners)]
        if any(one.n for one in pair):
            yield HomeFelt(item, *pair)
