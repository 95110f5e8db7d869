"""Looks up the hosts of push addresses in few threads of its own.

Who registers an address chooses whose name server is asked, and that one may take as long as the system lets it. In the
threads that the loop shares, a few such look-ups would keep mail, keys of providers and the database from theirs.
"""

import asyncio
import socket
import threading
from asyncio import AbstractEventLoop, Future
from contextlib import suppress
from typing import TypeAlias

Place: TypeAlias = tuple[str, int]
LookUp: TypeAlias = "Future[list[str]]"

THREADS = 8
SECONDS = 5.0  # then nobody waits any longer, though the thread may


class Resolver:
    """At most so many look-ups at once, each waited for so long, and of one host one at a time."""

    def __init__(self, threads: int = THREADS, seconds: float = SECONDS) -> None:
        self._free, self._seconds = asyncio.Semaphore(threads), seconds
        self._under_way: dict[Place, LookUp] = {}

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host, each once. Raises OSError, UnicodeError and TimeoutError."""
        place = (host, port)
        async with asyncio.timeout(self._seconds):
            if place not in self._under_way:
                await self._free.acquire()
                self._begin(place)
            # Others may wait for the same; and the thread goes on, whoever waits.
            return await asyncio.shield(self._under_way[place])

    def _begin(self, place: Place) -> None:
        if place in self._under_way:  # another has begun while this waited for a thread
            self._free.release()
            return
        loop = asyncio.get_running_loop()
        self._under_way[place] = loop.create_future()
        # A daemon: no process waits at its end for a name server, as it would for a thread of the loop's.
        threading.Thread(target=self._look_up, args=(loop, place), daemon=True).start()

    def _look_up(self, loop: AbstractEventLoop, place: Place) -> None:
        found: list[str] | Exception
        try:
            rows = socket.getaddrinfo(*place, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(row[4][0]) for row in rows))
        except (OSError, UnicodeError) as failure:
            found = failure
        with suppress(RuntimeError):  # where the loop has ended meanwhile
            loop.call_soon_threadsafe(self._end, place, found)

    def _end(self, place: Place, found: list[str] | Exception) -> None:
        self._free.release()
        under_way = self._under_way.pop(place)
        if isinstance(found, Exception):
            under_way.set_exception(found)
            under_way.exception()  # perhaps nobody waits any longer
        else:
            under_way.set_result(found)
