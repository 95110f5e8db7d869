"""Clocks, handed in so that tests can bring their own."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, partial
from zoneinfo import ZoneInfo, available_timezones

from service.errors import ClockJumped

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


@cache
def load_zones() -> tuple[ZoneInfo, ...]:
    """All time zones, kept in memory from then on: `zoneinfo` alone keeps those that somebody uses, and whoever asked
    for one could tell by the time that it takes whether the other lives there."""
    return tuple(ZoneInfo(name) for name in sorted(available_timezones()))


MAX_JUMP_SECONDS = 3600.0
# After so long a new time is believed: somebody has set the clock right.
DOUBTED_SECONDS = 600.0
# Where there is one, a clock that goes on while the machine sleeps.
BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


_since_boot = partial(time.clock_gettime, BOOT_CLOCK)


class JumpGuardedClock:
    """Wall time, unless it has jumped: a clock that is years ahead would end sessions and let requests lapse."""

    def __init__(self, wall: Clock = utc_now, since_boot: Callable[[], float] = _since_boot) -> None:
        """`since_boot`: seconds."""
        self._wall, self._since_boot = wall, since_boot
        self.believe()

    def believe(self) -> None:
        """Take the wall time for right, as at the start: for who has waited long, and asked for no time meanwhile."""
        self._booted_at = self._wall().timestamp() - self._since_boot()
        self._doubted_since: float | None = None

    def __call__(self) -> datetime:
        """The time, in UTC. Raises ClockJumped while it is more than an hour away from what it should be."""
        now, elapsed = self._wall(), self._since_boot()
        booted_at = now.timestamp() - elapsed
        if abs(booted_at - self._booted_at) > MAX_JUMP_SECONDS and not self._believed_at(elapsed):
            raise ClockJumped
        # Clocks are adjusted in small steps all the time.
        self._booted_at, self._doubted_since = booted_at, None
        return now

    def _believed_at(self, elapsed: float) -> bool:
        if self._doubted_since is None:
            self._doubted_since = elapsed
        return elapsed - self._doubted_since > DOUBTED_SECONDS
