"""One window of days, and the splits that are read from it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Literal, TypeAlias

from msgspec import Struct

from events.entries import Domain
from projections import statistics
from projections.counts import ASKS, Told, of_size
from projections.occasions import SIGNS, figure, total
from projections.statistics import Looks, Split

FigureName: TypeAlias = Literal["asks", "initiates", "decides", "counted"]

# As what each figure is kept. What was counted is told by who decided: here the other one.
MEASURES: Mapping[FigureName, Sequence[str]] = {
    "asks": [ASKS],
    "initiates": ["initiates"],
    "decides": of_size("decides", None),
    "counted": of_size("input:partner", None),
}


class Window(Struct, frozen=True):
    """So many days that end on a date; all domains, or one."""

    on: date
    window: int
    domain: Domain | None = None

    @property
    def days(self) -> tuple[int, int]:
        """The first and the last day, by their numbers in the calendar."""
        last = self.on.toordinal()
        return last - self.window + 1, last

    def covers(self, day: date) -> bool:
        """Whether a day is one of these."""
        first, last = self.days
        return first <= day.toordinal() <= last

    def paused(self, days: Iterable[int]) -> int:
        """How many of those days are in it."""
        first, last = self.days
        return sum(first <= day <= last for day in days)

    def looks(self, told: Told) -> Looks:
        """What the bar of a figure of that telling allows for."""
        begin, _ = self.days
        return Looks(self.window, self.domain is not None, told.since is None or begin <= told.since)


def split(told: Told, measures: Sequence[str], window: Window, signs: Mapping[str, int] = SIGNS) -> Split:
    """The split of a window. `signs` say which values stand for me (1) and for the partner (-1) in occasions."""
    found = figure(told.of(measures), window.domain, *window.days, signs)
    counts = {value: total(days) for value, days in found.values.items()}
    if signs is not SIGNS:
        counts = {who: counts.get(value, 0) for value, sign in signs.items() for who in [_WHOSE[sign]]}
    return statistics.split(counts, total(found.me), total(found.partner), window.looks(told))


_WHOSE = {1: "me", -1: "partner"}
