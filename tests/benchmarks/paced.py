"""PUTs at a steady rate, whatever becomes of those before.

python -m tests.benchmarks.paced PORT TARGETS BODY RATE SECONDS

Each is timed from the moment when it was due, so that one which has to wait for a free connection is not forgiven it.
Prints JSON: percentiles in milliseconds, and how late the generator itself was at its 99th percentile.
"""

import asyncio
import random
import re
import sys
import time
from asyncio import Transport
from collections import deque
from pathlib import Path
from typing import cast
from uuid import uuid4

import msgspec
import uvloop
from msgspec import Struct

CONNECTIONS = 64
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Paced(Struct, frozen=True):
    """What came of it."""

    sent: int
    failed: int
    p50_ms: float
    p99_ms: float
    late_p99_ms: float


class Connection(asyncio.Protocol):
    """One connection, which carries one request at a time."""

    def __init__(self, pace: "Pace") -> None:
        self._pace = pace
        self._seen = b""
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        self._transport = cast(Transport, transport)  # uvloop's is one, and is not named so
        self._pace.free.append(self)

    def ask(self, request: bytes, due: float) -> None:
        """Send a request."""
        self._due, self._seen = due, b""
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """A part of an answer, or all of it."""
        self._seen += data
        head, ended, content = self._seen.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if ended and length and len(content) >= int(length[1]):
            self._pace.answered(self, self._due, head.startswith(b"HTTP/1.1 201 "))


class Pace:
    """Requests that are due, and connections that are free."""

    def __init__(self) -> None:
        self.free: deque[Connection] = deque()
        self.waiting: deque[tuple[bytes, float]] = deque()
        self.took: list[float] = []
        self.late: list[float] = []
        self.failed = 0

    def ask(self, request: bytes, due: float) -> None:
        """Send it, or let it wait for a connection."""
        self.late.append(time.perf_counter() - due)
        if self.free:
            self.free.popleft().ask(request, due)
        else:
            self.waiting.append((request, due))

    def answered(self, connection: Connection, due: float, recorded: bool) -> None:
        """Count it; the connection takes the next one."""
        self.took.append(time.perf_counter() - due)
        self.failed += not recorded
        if self.waiting:
            connection.ask(*self.waiting.popleft())
        else:
            self.free.append(connection)


def requests(targets: str, body: str) -> list[tuple[bytes, bytes]]:
    """What stands before and behind the id of a request, for each target."""
    made = []
    for line in targets.splitlines():
        path, token, _ = line.split("\t")
        head = f"Host: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json"
        made.append(
            (f"PUT {path}".encode(), f" HTTP/1.1\r\n{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        )
    return made


async def run(port: int, made: list[tuple[bytes, bytes]], rate: float, seconds: float) -> Paced:
    """Ask at that rate for so long, and wait for the last answers."""
    pace, loop = Pace(), asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Connection(pace), "127.0.0.1", port)
    began = time.perf_counter()
    count = int(rate * seconds)
    for i in range(count):
        due = began + i / rate
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        before, behind = random.choice(made)
        pace.ask(before + str(uuid4()).encode() + behind, due)
    async with asyncio.timeout(60):
        while len(pace.took) < count:  # noqa: ASYNC110 (answers are counted, not waited for)
            await asyncio.sleep(0.01)
    return Paced(
        count, pace.failed, _percentile(pace.took, 0.5), _percentile(pace.took, 0.99), _percentile(pace.late, 0.99)
    )


def _percentile(seconds: list[float], share: float) -> float:
    return sorted(seconds)[int(len(seconds) * share)] * 1000


def main() -> None:
    """Run as the arguments say."""
    port, targets, body, rate, seconds = sys.argv[1:]
    made = requests(Path(targets).read_text(), Path(body).read_text())
    paced = uvloop.run(run(int(port), made, float(rate), float(seconds)))
    print(msgspec.json.encode(paced).decode())


if __name__ == "__main__":
    main()
