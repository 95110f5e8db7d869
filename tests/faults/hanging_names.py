"""`python -m service`, where some names are never found, and pushes to them are under way all the time."""

import asyncio
import socket
import sys
import time
from typing import Any

from service.__main__ import main
from service.context import Context
from service.push.ssrf_guard import PublicNetwork
from service.reading import live

SLOW = ".slow.example"
ADDRESSES = 100
HANGS_SECONDS = 30.0

real_getaddrinfo = socket.getaddrinfo
real_poll_forever = live.poll_forever


def getaddrinfo(host: Any, *given: Any, **options: Any) -> Any:
    """As the standard library has it, but that a name server of somebody's does not answer."""
    if str(host).endswith(SLOW):
        time.sleep(HANGS_SECONDS)
        raise socket.gaierror
    return real_getaddrinfo(host, *given, **options)


async def push_forever(number: int, network: PublicNetwork) -> None:
    """Connect to such an address, again and again."""
    while True:
        await asyncio.gather(network.connect_tcp(f"{number}{SLOW}", 443, 5), return_exceptions=True)
        await asyncio.sleep(0.1)


async def poll_and_push(context: Context, seconds: float) -> None:
    """What the service does all the time, and such pushes beside it."""
    network = PublicNetwork()
    await asyncio.gather(
        real_poll_forever(context, seconds), *(push_forever(number, network) for number in range(ADDRESSES))
    )


if __name__ == "__main__":
    vars(socket)["getaddrinfo"] = getaddrinfo
    vars(live)["poll_forever"] = poll_and_push
    sys.exit(main())
