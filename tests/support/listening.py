"""A phone that listens to a live stream, frame by frame."""

import asyncio
import json
from contextlib import suppress
from types import TracebackType
from typing import Any

from service.app import App
from service.reading.live import KEEP_ALIVE
from tests.support.phones import Json, Phone

PATIENCE_SECONDS = 10
FULL = 8  # chunks that wait for a reader before the service has to


class Listening:
    """A phone that listens, given to the application as a server would give it."""

    def __init__(
        self, app: App, phone: Phone, last: str | None = None, method: str = "GET", ticket: str | None = None
    ) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.seen: list[bytes] = []
        self.id = ""
        self._app = app
        self._scope = _scope(method, phone, last, ticket)
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(FULL)
        self._full = asyncio.Event()
        self._hung_up = asyncio.Event()

    async def __aenter__(self) -> "Listening":
        self.task = asyncio.create_task(self._app(self._scope, self._receive, self._send))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self._hung_up.set()
        while not self.task.done():
            with suppress(asyncio.QueueEmpty):
                self._chunks.get_nowait()
            await asyncio.sleep(0)
        await self.task

    async def _receive(self) -> Any:
        await self._hung_up.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            if self._chunks.full():
                self._full.set()
            await self._chunks.put(message["body"])
            if not message.get("more_body"):
                self._hung_up.set()

    async def chunk(self) -> bytes:
        """What comes next; nothing at the end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            self.seen.append(await self._chunks.get())
        return self.seen[-1]

    async def caught_up(self) -> list[Json]:
        """The events that come before everything up to now is told."""
        found: list[Json] = []
        while (chunk := await self.chunk()) != KEEP_ALIVE:
            found += self._read(chunk)
        return found

    async def events(self, count: int) -> list[Json]:
        """So many events, as they come."""
        found: list[Json] = []
        while len(found) < count:
            chunk = await self.chunk()
            assert chunk, "the stream has ended"
            found += self._read(chunk)
        return found

    async def ended(self) -> None:
        """Return once the stream has ended, whatever came before."""
        while await self.chunk():
            pass

    async def stuck(self) -> None:
        """Return once the service has to wait for this reader."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._full.wait()

    def _read(self, chunk: bytes) -> list[Json]:
        lines = dict(line.split(": ", 1) for line in chunk.decode().splitlines() if line and line[0] != ":")
        self.id = lines.get("id", self.id)
        # A client asks for events without a name; it skips what has another one.
        return [json.loads(lines["data"])] if "data" in lines and "event" not in lines else []


def _scope(method: str, phone: Phone, last: str | None, ticket: str | None) -> Any:
    headers = [] if ticket else [(b"authorization", f"Bearer {phone.access_token}".encode())]
    path = f"/v1/relationships/{phone.rid}/live"
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": f"ticket={ticket}".encode() if ticket else b"",
        "root_path": "",
        "headers": headers if last is None else [*headers, (b"last-event-id", last.encode())],
        "server": ("mutuality.test", 80),
        "client": ("127.0.0.1", 1),
    }
