"""Ways to a server that are cut after some bytes, wherever that falls."""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeAlias

Way: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
RESET = struct.pack("ii", 1, 0)  # no lingering: the other side gets a reset, not an end
CHUNK_BYTES = 1 << 16


class Cutter:
    """Hands on what comes in at `port`, in both directions, and cuts each connection once its bytes are used up."""

    def __init__(self, reach: Callable[[], Awaitable[Way]], bytes_left: Callable[[], int]) -> None:
        self._reach, self._bytes_left = reach, bytes_left
        self.cutting = False
        self.cuts = 0
        self.port = 0
        self.loop = asyncio.new_event_loop()
        self._ready = threading.Event()

    def run(self) -> None:
        """Serve until the loop is stopped; in a thread of its own."""
        self.loop.run_until_complete(self._listen())
        self._ready.set()
        self.loop.run_forever()
        self._server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0.1))
        self.loop.close()

    def wait(self) -> None:
        """Return once it listens."""
        assert self._ready.wait(60)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _carry(self, *near: *Way) -> None:
        ways: list[Way] = [near]
        with suppress(OSError, asyncio.CancelledError):
            ways.append(await self._reach())
            await self._between(*ways)
        for _, writer in ways:
            _hang_up(writer)

    async def _between(self, near: Way, far: Way) -> None:
        left: int | None = None

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            nonlocal left
            while said := await source.read(CHUNK_BYTES):
                if left is None and self.cutting:
                    left = self._bytes_left()
                target.write(said[:left])
                await target.drain()
                if left is not None:
                    left -= min(left, len(said))
                    if left == 0:
                        self.cuts += 1
                        return

        pumps = [asyncio.ensure_future(pump(near[0], far[1])), asyncio.ensure_future(pump(far[0], near[1]))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in pumps:
                each.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)


def _hang_up(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with suppress(OSError):
        if sock.family == socket.AF_INET and random.random() < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


@contextmanager
def cutter(reach: Callable[[], Awaitable[Way]], bytes_left: Callable[[], int]) -> Iterator[Cutter]:
    """A way that works, until it is told to cut."""
    made = Cutter(reach, bytes_left)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    made.wait()
    try:
        yield made
    finally:
        made.loop.call_soon_threadsafe(made.loop.stop)
        thread.join(60)
