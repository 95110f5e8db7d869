"""What the tests of planning share: schedules in few words, and a clock on the wall that is read in another way."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from service.prompts.planning import Whereabouts
from service.prompts.schedule import WEEKDAYS, Quiet, Schedule, ScheduledCheckIn, Weekday

LONG_AGO = datetime(1980, 1, 1, tzinfo=UTC)
SEED = bytes(range(32))
NO_QUIET = Quiet("00:00", "00:00")
BERLIN = ZoneInfo("Europe/Berlin")


def item(from_: str, to: str, number: int = 1, weekdays: tuple[Weekday, ...] = WEEKDAYS) -> ScheduledCheckIn:
    return ScheduledCheckIn(UUID(int=number), UUID(int=7), list(weekdays), from_, to, ["close"])


def schedule(*items: ScheduledCheckIn, quiet: Quiet = NO_QUIET, **said: Any) -> Schedule:
    return Schedule(check_ins=list(items), quiet=quiet, **said)


def at_home(zone: ZoneInfo = BERLIN, since: datetime = LONG_AGO) -> Whereabouts:
    return Whereabouts(zone, since)


def between(shown: time, from_: str, to: str) -> bool:
    """Whether a time on the wall lies in hours that may cross midnight; from = to holds none."""
    begins, ends = time.fromisoformat(from_), time.fromisoformat(to)
    return begins <= shown < ends if begins <= ends else shown >= begins or shown < ends


def minutes_of(day: date, from_: str, to: str, zone: ZoneInfo) -> Iterator[datetime]:
    """Every minute of a window that the clock shows, the first time that it does."""
    shown = datetime.combine(day, time.fromisoformat(from_))
    while True:
        there = shown.replace(tzinfo=zone)
        if there.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == shown:
            yield there
        shown += timedelta(minutes=1)
        if shown.time() == time.fromisoformat(to):
            return
