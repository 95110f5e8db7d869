"""Rate limits: sliding windows by key. Kept in memory only, so that no address outlives its use.

Where several processes serve, they share them (`shared_limits`).
"""

import hashlib
import os
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from msgspec import Struct

from service.core.networks import Networks, address_of, networks
from service.errors import TooManyRequests
from service.settings import Settings
from service.web.requests import ApiRequest, state_of

LimitKey: TypeAlias = tuple[str | bytes, ...]

ALLOWANCE = "mutuality_allowance"  # in the scope of a request, for the headers that tell of it

# An attacker controls the number of keys. Those beyond this are counted in a sketch.
MAX_KEYS = 100_000
SKETCH_ROWS, SKETCH_CELLS = 4, 2**18


class Allowance(Struct, frozen=True):
    """So many tries in so many seconds; how many of them are left, and in how many seconds there will be more."""

    tries: int
    period_seconds: int
    left: int
    more_in_seconds: int


class Limit:
    """At most so many tries for one key within a period; 0 is no limit. No key is forgotten before its tries are."""

    def __init__(self, tries: int, period: timedelta, max_keys: int = MAX_KEYS) -> None:
        self._tries = tries
        self._period = period
        self._max_keys = max_keys
        self._made: OrderedDict[LimitKey, list[datetime]] = OrderedDict()  # by the last try, the oldest first
        self._sketch: Sketch | None = None

    def take(self, key: LimitKey, now: datetime, weight: int = 1) -> None:
        """Count one try, or as many as it weighs. Raises TooManyRequests, with the seconds until so many are free.

        What weighs more than the limit is taken where nothing else counts.
        """
        if self._tries == 0 or weight == 0:
            return
        weight = min(weight, self._tries)
        self._forget(now)
        made = self._made.get(key, [])
        del made[: bisect_right(made, now - self._period)]
        del made[bisect_right(made, now) :]  # from a clock that was ahead, and is right again
        elsewhere = self._sketch.count(key, now) if self._sketch else 0
        too_many = len(made) + elsewhere + weight - self._tries
        if too_many > 0:
            raise TooManyRequests(self._wait(made, now, too_many))
        self._note(key, made, now, weight)

    def left(self, key: LimitKey, now: datetime) -> "Allowance | None":
        """What is left of the tries of a key that has just made one; nothing where there is no limit."""
        if self._tries == 0:
            return None
        made = self._made.get(key, [])
        used = len(made) + (self._sketch.count(key, now) if self._sketch else 0)
        free_at = (made[0] if made else now) + self._period
        seconds = max(int((free_at - now).total_seconds()), 0) + 1
        return Allowance(self._tries, int(self._period.total_seconds()), max(self._tries - used, 0), seconds)

    def give_back(self, key: LimitKey) -> None:
        """Uncount the last try."""
        if made := self._made.get(key):
            made.pop()
            if not made:
                del self._made[key]

    def _note(self, key: LimitKey, made: list[datetime], now: datetime, weight: int) -> None:
        if key in self._made or len(self._made) < self._max_keys:
            made += [now] * weight
            self._made[key] = made
            self._made.move_to_end(key)
        else:
            self._sketch = self._sketch or Sketch(self._period)
            self._sketch.add(key, now, weight)

    def _wait(self, made: list[datetime], now: datetime, too_many: int) -> int:
        free_at = (made[too_many - 1] if too_many <= len(made) else now) + self._period
        return int((free_at - now).total_seconds()) + 1

    def _forget(self, now: datetime) -> None:
        while self._made:
            oldest = next(iter(self._made))
            if self._made[oldest][-1] > now - self._period:
                break
            del self._made[oldest]


class Sketch:
    """Counts for any number of keys in a fixed room: never too few, rarely too many.

    A count-min sketch with a keyed hash, so that nobody can choose whose cells they fill. Tries count in the period in
    which they are made and in the next one.
    """

    def __init__(self, period: timedelta) -> None:
        self._period, self._secret = period, os.urandom(16)
        self._begun: datetime | None = None
        self._current, self._previous = _cells(), _cells()

    def count(self, key: LimitKey, now: datetime) -> int:
        """How many tries the key has made, at least."""
        self._turn(now)
        return min(self._current[cell] + self._previous[cell] for cell in self._cells_of(key))

    def add(self, key: LimitKey, now: datetime, weight: int = 1) -> None:
        """Count one try, or as many as it weighs."""
        self._turn(now)
        cells = self._cells_of(key)
        fewest = min(self._current[cell] for cell in cells)
        for cell in cells:
            self._current[cell] = max(self._current[cell], min(fewest + weight, 2**16 - 1))

    def _turn(self, now: datetime) -> None:
        if self._begun is None:
            self._begun = now
        elapsed = now - self._begun
        if elapsed >= self._period:
            self._previous = self._current if elapsed < 2 * self._period else _cells()
            self._current, self._begun = _cells(), now

    def _cells_of(self, key: LimitKey) -> Sequence[int]:
        parts = (part if isinstance(part, bytes) else part.encode() for part in key)
        told = hashlib.blake2b(b"|".join(parts), digest_size=4 * SKETCH_ROWS, key=self._secret).digest()
        found = (int.from_bytes(told[4 * row : 4 * row + 4]) % SKETCH_CELLS for row in range(SKETCH_ROWS))
        return [row * SKETCH_CELLS + cell for row, cell in enumerate(found)]


def _cells() -> "array[int]":
    return array("H", bytes(2 * SKETCH_ROWS * SKETCH_CELLS))


# Of the codes that anybody may ask for to one address within 24 hours, a network may ask for a third.
CODES_BY_ONE_NETWORK = 33
# A nonce is not mailed, and guesses nothing.
NONCES_PER_SIGN_IN = 10


class Tries(Protocol):
    """A limit of one process (`Limit`), or one that several share (`shared_limits`)."""

    def take(self, key: LimitKey, now: datetime, weight: int = 1) -> None:
        """Count one try, or as many as it weighs. Raises TooManyRequests, with the seconds until so many are free."""

    def left(self, key: LimitKey, now: datetime) -> Allowance | None:
        """What is left of the tries of a key that has just made one; nothing where there is no limit."""

    def give_back(self, key: LimitKey) -> None:
        """Uncount the last try."""


class RateLimits(Struct, frozen=True):
    """All limits, and the proxies whose X-Forwarded-For is believed."""

    codes_asked: Tries
    codes_asked_for_address: Tries
    wrong_codes: Tries
    identities_tried: Tries
    nonces_asked: Tries
    invites_tried: Tries
    requests: Tries
    entries: Tries
    trusted_proxies: Networks


LIMITS = len(RateLimits.__struct_fields__) - 1


def rate_limits(settings: Settings, limit: Callable[[int, timedelta], Tries] = Limit) -> RateLimits:
    """The limits that are set, each made by `limit` of its tries and its period; always in the same order."""
    day, hour, minute = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
    sign_ins = settings.sign_ins_per_hour
    return RateLimits(
        codes_asked=limit(sign_ins, hour),
        codes_asked_for_address=limit(CODES_BY_ONE_NETWORK if sign_ins else 0, day),
        wrong_codes=limit(sign_ins, hour),
        identities_tried=limit(sign_ins, hour),
        nonces_asked=limit(sign_ins * NONCES_PER_SIGN_IN, hour),
        invites_tried=limit(settings.invite_tries_per_hour, hour),
        requests=limit(settings.requests_per_minute, minute),
        entries=limit(settings.entries_per_minute, minute),
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
