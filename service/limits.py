"""How often something may be tried. Kept in memory only, so that no address outlives its use."""

from collections import defaultdict, deque
from datetime import datetime, timedelta

from service.errors import TooManyRequests
from service.http import Call


class Limit:
    """At most so many tries for one key within a period; 0 is no limit."""

    def __init__(self, tries: int, period: timedelta) -> None:
        self._tries = tries
        self._period = period
        self._made: dict[tuple[str | bytes, ...], deque[datetime]] = defaultdict(deque)

    def take(self, key: tuple[str | bytes, ...], now: datetime) -> None:
        """Count one try. Raises TooManyRequests, with the seconds until the next one is free."""
        if self._tries == 0:
            return
        self._forget(now)
        made = self._made[key]
        if len(made) >= self._tries:
            raise TooManyRequests(int((made[0] + self._period - now).total_seconds()) + 1)
        made.append(now)

    def _forget(self, now: datetime) -> None:
        # Every key is looked at: the number of keys is what an attacker controls, and a stale one is an address kept.
        for key in list(self._made):
            made = self._made[key]
            while made and made[0] <= now - self._period:
                made.popleft()
            if not made:
                del self._made[key]


def client_of(request: Call) -> str:
    """The address that the request came from."""
    return request.client.host if request.client else ""
