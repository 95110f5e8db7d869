"""How often something may be tried, and by whom. Kept in memory only, so that no address outlives its use."""

from bisect import bisect_right
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import TypeAlias

from service.core.networks import address_of
from service.errors import TooManyRequests
from service.web.requests import ApiRequest

Key: TypeAlias = tuple[str | bytes, ...]

# The number of keys is what an attacker controls. Beyond this the one that tried longest ago is forgotten.
KEYS_KEPT = 100_000


class Limit:
    """At most so many tries for one key within a period; 0 is no limit."""

    def __init__(self, tries: int, period: timedelta, keys_kept: int = KEYS_KEPT) -> None:
        self._tries = tries
        self._period = period
        self._keys_kept = keys_kept
        self._made: OrderedDict[Key, list[datetime]] = OrderedDict()  # by the last try, the oldest first

    def take(self, key: Key, now: datetime) -> None:
        """Count one try. Raises TooManyRequests, with the seconds until the next one is free."""
        if self._tries == 0:
            return
        self._forget(now)
        made = self._made.setdefault(key, [])
        del made[: bisect_right(made, now - self._period)]
        del made[bisect_right(made, now) :]  # of a clock that went ahead, and is right again
        if len(made) >= self._tries:
            raise TooManyRequests(int((made[0] + self._period - now).total_seconds()) + 1)
        made.append(now)
        self._made.move_to_end(key)

    def give_back(self, key: Key) -> None:
        """Do not count the last try after all."""
        if made := self._made.get(key):
            made.pop()
            if not made:
                del self._made[key]

    def _forget(self, now: datetime) -> None:
        while self._made:
            oldest = next(iter(self._made))
            if len(self._made) <= self._keys_kept and self._made[oldest][-1] > now - self._period:
                break
            del self._made[oldest]


def client_of(request: ApiRequest) -> str:
    """The address that the request came from, as far as proxies are trusted."""
    peer = request.client.host if request.client else ""
    return address_of(peer, request.headers.getall("x-forwarded-for", []), request.app.state.trusted_proxies)
