"""A guard against server-side request forgery: connections to hosts that a phone named, on the open internet alone.

The endpoint of a subscription comes from a phone. Followed blindly, it would let anybody reach the service's own
network, a cloud's metadata service among it. So the check is where the connection is made: a name is resolved once,
all of its addresses are checked, and one of exactly these is connected to. A name that resolves differently the next
time (DNS rebinding) gains nothing.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeAlias

import httpcore
from httpcore import SOCKET_OPTION, AsyncNetworkBackend, AsyncNetworkStream

from service.core.networks import Networks
from service.push.resolver import Resolver

IPAddress: TypeAlias = IPv4Address | IPv6Address

# A translator puts an IPv4 address in the last 32 bits of these (RFC 6052), so that one is checked.
NAT64 = ip_network("64:ff9b::/96")
# What some releases of Python count as global: IANA's special-purpose blocks, tunnels, site-local.
SPECIAL = tuple(
    ip_network(one)
    for one in (
        *("192.0.0.0/24", "192.88.99.0/24"),
        *("64:ff9b:1::/48", "2001::/23", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10"),
    )
)


class NotPublicAddress(Exception):
    """The name resolves to an address that is not on the open internet."""


class PublicNetwork(AsyncNetworkBackend):
    """Connects to public addresses alone, and to those in the networks that are allowed besides."""

    def __init__(self, allowed: Networks = ()) -> None:
        self._allowed = allowed
        self._network = httpcore.AnyIOBackend()
        self._resolver = Resolver()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 the interface is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        """A connection to the first address that answers.

        Raises NotPublicAddress, httpcore.ConnectError and httpcore.ConnectTimeout.
        """
        failure: Exception = httpcore.ConnectError("no address")
        for address in await self._resolved(host, port):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _resolved(self, host: str, port: int) -> list[str]:
        try:
            addresses = await self._resolver.resolve(host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout("not resolved in time") from None
        except (OSError, UnicodeError):
            raise httpcore.ConnectError("not resolved") from None
        if not all(self._may_be_reached(address) for address in addresses):
            raise NotPublicAddress
        return addresses

    def _may_be_reached(self, text: str) -> bool:
        address = ip_address(text)
        return is_public(address) or any(address in network for network in self._allowed)


def is_public(address: IPAddress) -> bool:
    """Whether it is on the open internet; of an IPv4 address embedded in an IPv6 one, whether that is."""
    inner = _embedded_ipv4(address) if isinstance(address, IPv6Address) else None
    if inner is not None:
        return is_public(inner)
    local = address.is_private or address.is_loopback or address.is_link_local or address.is_unspecified
    special = address.is_multicast or address.is_reserved or any(address in block for block in SPECIAL)
    return address.is_global and not local and not special


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    return IPv4Address(address.packed[-4:]) if address in NAT64 else address.ipv4_mapped
