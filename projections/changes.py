"""A calendar quarter beside the one before: has something moved? Looked at once, when the quarter is over.

The source of the evidence K and of the interval of a difference is named in `statistics`.
"""

import math
from calendar import monthrange
from datetime import date
from typing import Literal, TypeAlias
from uuid import UUID

from msgspec import Struct

from events.encryption import RelationshipKeys
from events.entries import Domain
from events.heads import DbConnection
from projections import counts as counting
from projections import statistics, windows
from projections.counts import ASKS, Counts, Told, of_size
from projections.occasions import added
from projections.reader import Reader
from projections.statistics import Counted, Pair, Split
from projections.windows import Window

Reading: TypeAlias = Literal["too_few", "unclear", "steady", "moved_to_me", "moved_to_partner"]
CountedReading: TypeAlias = Literal["too_few", "unclear", "steady", "more", "less"]


class Bar(Struct, frozen=True):
    """From how many on each quarter is compared, and how much evidence K it takes: over all domains, or in one."""

    least: int
    all_domains: float
    one_domain: float


# The design's 50 and 500 raise a change that is none in up to 3 of 100 years of all figures together (`make simulate`);
# answers, which are compared from 8 on and of which few swing far, did so in 1 of 100 by themselves.
SPLITS = Bar(least=20, all_domains=100, one_domain=1000)
COUNTED = Bar(least=8, all_domains=100, one_domain=1000)
STEADY_WITHIN = 0.2

DECIDES = of_size("decides", None)
INPUT = (of_size("input:partner", None), of_size("input:both", None))


class SplitChange(Struct, frozen=True):
    """A split in the quarter before and in this one; difference is that of the shares, low to high its 95 % interval.

    Below 20 occasions in either quarter the three are null.
    """

    before: Split
    now: Split
    difference: float | None
    low: float | None
    high: float | None
    reading: Reading


class CountedChange(Struct, frozen=True):
    """The same for whose input was counted; compared is what was told of decisions that the other one made.

    Below 8 answers in either quarter the three are null.
    """

    before: Counted
    now: Counted
    difference: float | None
    low: float | None
    high: float | None
    reading: CountedReading


class ChangesTold(Struct, frozen=True):
    """One telling, seen from the reader."""

    initiates: SplitChange
    decides: SplitChange
    counted: CountedChange


class Changes(Struct, frozen=True):
    """Two tellings side by side; what was asked stands beside both. paused is how many days of both I leave out."""

    quarter: str
    domain: Domain | None
    paused: int
    asks: SplitChange
    mine: ChangesTold
    partners: ChangesTold


class Quarter(Struct, frozen=True):
    """A quarter of a year of the calendar; `number` is 1 to 4."""

    year: int
    number: int

    @property
    def first(self) -> date:
        """Its first day."""
        return date(self.year, 3 * self.number - 2, 1)

    @property
    def last(self) -> date:
        """Its last day."""
        month = 3 * self.number
        return date(self.year, month, monthrange(self.year, month)[1])

    @property
    def before(self) -> "Quarter":
        """The quarter before."""
        return Quarter(self.year - 1, 4) if self.number == 1 else Quarter(self.year, self.number - 1)

    def __str__(self) -> str:
        return f"{self.year:04}-Q{self.number}"


class Asked(Struct, frozen=True):
    """Which quarter is looked at, and in which domain."""

    quarter: Quarter
    domain: Domain | None = None

    @property
    def spans(self) -> tuple[Window, Window]:
        """The quarter before, and this one."""
        before, now = (self._span(one) for one in (self.quarter.before, self.quarter))
        return before, now

    def _span(self, quarter: Quarter) -> Window:
        return Window(quarter.last, (quarter.last - quarter.first).days + 1, self.domain)


async def changes(db: DbConnection, keys: RelationshipKeys, reader: Reader, asked: Asked, member_id: UUID) -> Changes:
    """The quarter beside the one before. The database acts for that member."""
    measures = [ASKS, "initiates", *DECIDES, *INPUT[0], *INPUT[1]]
    first, last = asked.quarter.before.first, asked.quarter.last
    return fold(await counting.read(db, keys, reader, first, last, measures, member_id), asked)


def fold(counts: Counts, asked: Asked) -> Changes:
    """The same, of all that a reader can count in both quarters; what lies outside is left aside."""
    statistics.forget()
    asks = _change(counts.asks, [ASKS], asked)
    mine, partners = (_told(told, asked) for told in (counts.mine, counts.partners))
    paused = sum(span.paused(counts.paused) for span in asked.spans)
    return Changes(str(asked.quarter), asked.domain, paused, asks, mine, partners)


def _told(told: Told, asked: Asked) -> ChangesTold:
    initiates, decides = (_change(told, measures, asked) for measures in (["initiates"], DECIDES))
    return ChangesTold(initiates, decides, _counted_change(told, asked))


def _change(told: Told, measures: list[str], asked: Asked) -> SplitChange:
    before, now = (windows.split(told, measures, span) for span in asked.spans)
    first, second = ((one.occasions.me, one.occasions.partner) for one in (before, now))
    found = compared(first, second, SPLITS, asked.domain is not None)
    return SplitChange(before, now, found.difference, found.low, found.high, OF_SPLIT[found.direction])


def _counted_change(told: Told, asked: Asked) -> CountedChange:
    before, now = (_counted(told, span) for span in asked.spans)
    answers = (one.when_other_decided for one in (before, now))
    first, second = ((one.partly + one.counted, one.not_asked + one.asked) for one in answers)
    found = compared(first, second, COUNTED, asked.domain is not None)
    return CountedChange(before, now, found.difference, found.low, found.high, OF_COUNTED[found.direction])


def _counted(told: Told, span: Window) -> Counted:
    return Counted(*(statistics.answers(added(told.of(measures), span.domain, *span.days)) for measures in INPUT))


Direction: TypeAlias = Literal["too_few", "unclear", "steady", "up", "down"]

OF_SPLIT: dict[Direction, Reading] = {
    "too_few": "too_few",
    "unclear": "unclear",
    "steady": "steady",
    "up": "moved_to_me",
    "down": "moved_to_partner",
}
OF_COUNTED: dict[Direction, CountedReading] = {
    "too_few": "too_few",
    "unclear": "unclear",
    "steady": "steady",
    "up": "more",
    "down": "less",
}


class Comparison(Struct, frozen=True):
    """Two shares: their difference with its interval, and whether the second is larger or smaller than the first."""

    difference: float | None
    low: float | None
    high: float | None
    direction: Direction


def compared(before: Pair, now: Pair, bar: Bar, one_domain: bool) -> Comparison:
    """Two pairs of a part and the rest; where there are too few in either, nothing is said."""
    if min(sum(before), sum(now)) < bar.least:
        return Comparison(None, None, None, "too_few")
    difference, low, high = statistics.difference(*before, *now)
    needed = bar.one_domain if one_domain else bar.all_domains
    if statistics.log_change(*before, *now) >= math.log(needed):
        return Comparison(difference, low, high, "up" if difference > 0 else "down")
    steady = low > -STEADY_WITHIN and high < STEADY_WITHIN
    return Comparison(difference, low, high, "steady" if steady else "unclear")
