"""How often something may be tried, and by whom. Kept in memory only, so that no address outlives its use."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from service.errors import TooManyRequests
from service.http import Call

Key: TypeAlias = tuple[str | bytes, ...]
Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]

# The number of keys is what an attacker controls. Beyond this the one that tried longest ago is forgotten.
KEYS_KEPT = 100_000
# Who has one IPv6 address has the other 2^64 of its network too.
IPV6_PREFIX_BITS = 64


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


def networks(text: str | None) -> Networks:
    """Networks as a setting names them: separated by commas. Raises ValueError."""
    return tuple(ip_network(one.strip()) for one in (text or "").split(",") if one.strip())


def client_of(request: Call) -> str:
    """The address that the request came from, as far as proxies are trusted."""
    peer = request.client.host if request.client else ""
    return address_of(peer, request.headers.getall("x-forwarded-for", []), request.app.state.trusted_proxies)


def address_of(peer: str, forwarded_for: Sequence[str], trusted: Networks) -> str:
    """The nearest address that is not a trusted proxy's; what stands left of it, anybody may have written."""
    hops = [_parsed(hop) for line in forwarded_for for hop in line.split(",")]
    found = _parsed(peer)
    while hops and found and any(found in network for network in trusted) and hops[-1]:
        found = hops.pop()
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found.packed, IPV6_PREFIX_BITS), strict=False))
    return str(found or "")


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
