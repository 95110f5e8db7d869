"""Networks and addresses of clients, as far as proxies are trusted."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]
# Who has one IPv6 address has the other 2^64 of its network too.
IPV6_PREFIX_BITS = 64


def networks(text: str | None) -> Networks:
    """Networks as a setting names them: separated by commas. Raises ValueError."""
    return tuple(ip_network(one.strip()) for one in (text or "").split(",") if one.strip())


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
