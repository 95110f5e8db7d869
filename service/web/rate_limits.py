"""Rate limits: sliding windows by key. Kept in memory only, so that no address outlives its use."""

from bisect import bisect_right
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import TypeAlias

from msgspec import Struct

from service.core.networks import Networks, address_of, networks
from service.errors import TooManyRequests
from service.settings import Settings
from service.web.requests import ApiRequest, state_of

LimitKey: TypeAlias = tuple[str | bytes, ...]

# An attacker controls the number of keys. Beyond this the one that tried longest ago is forgotten.
MAX_KEYS = 100_000


class Limit:
    """At most so many tries for one key within a period; 0 is no limit."""

    def __init__(self, tries: int, period: timedelta, max_keys: int = MAX_KEYS) -> None:
        self._tries = tries
        self._period = period
        self._max_keys = max_keys
        self._made: OrderedDict[LimitKey, list[datetime]] = OrderedDict()  # by the last try, the oldest first

    def take(self, key: LimitKey, now: datetime) -> None:
        """Count one try. Raises TooManyRequests, with the seconds until the next one is free."""
        if self._tries == 0:
            return
        self._forget(now)
        made = self._made.setdefault(key, [])
        del made[: bisect_right(made, now - self._period)]
        del made[bisect_right(made, now) :]  # from a clock that was ahead, and is right again
        if len(made) >= self._tries:
            raise TooManyRequests(int((made[0] + self._period - now).total_seconds()) + 1)
        made.append(now)
        self._made.move_to_end(key)

    def give_back(self, key: LimitKey) -> None:
        """Uncount the last try."""
        if made := self._made.get(key):
            made.pop()
            if not made:
                del self._made[key]

    def _forget(self, now: datetime) -> None:
        while self._made:
            oldest = next(iter(self._made))
            if len(self._made) <= self._max_keys and self._made[oldest][-1] > now - self._period:
                break
            del self._made[oldest]


class RateLimits(Struct, frozen=True):
    """All limits of this process, and the proxies whose X-Forwarded-For is believed."""

    codes_asked: Limit
    codes_tried: Limit
    invites_tried: Limit
    requests: Limit
    trusted_proxies: Networks


def rate_limits(settings: Settings) -> RateLimits:
    """The limits that are set, with nothing tried yet."""
    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    return RateLimits(
        codes_asked=Limit(settings.sign_ins_per_hour, hour),
        codes_tried=Limit(settings.sign_ins_per_hour, hour),
        invites_tried=Limit(settings.invite_tries_per_hour, hour),
        requests=Limit(settings.requests_per_minute, minute),
        trusted_proxies=networks(settings.trusted_proxies),
    )


def limits_of(request: ApiRequest) -> RateLimits:
    """The limits of this process."""
    limits: RateLimits = state_of(request).rate_limits
    return limits


def client_of(request: ApiRequest) -> str:
    """The address that the request came from, as far as proxies are trusted."""
    peer = request.client.host if request.client else ""
    return address_of(peer, request.headers.getall("x-forwarded-for", []), limits_of(request).trusted_proxies)
