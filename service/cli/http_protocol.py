"""HTTP as uvicorn reads it, with bounds: a connection costs little, whoever opens it and whatever comes on it.

* So many connections are open at once. Where there are more, one that nothing is asked on gives way.
* A request's head comes within some seconds and is not long, and its body comes within a minute.
* An answer's head and body go out together: each write is a call into the kernel, and a packet.
"""

import asyncio
import resource
from http import HTTPStatus
from typing import Any, Final

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_CONNECTIONS = 10_000
DESCRIPTORS_FOR_OTHERS = 300  # of PostgreSQL, mail, pushes, logs
HEAD_SECONDS = 10.0  # also for the first byte on a new connection
BODY_SECONDS = 60.0
MAX_HEAD_BYTES = 64 * 1024

HEAD: Final = "head"
BODY: Final = "body"


def max_connections() -> int:
    """As many as the descriptors of this process allow for."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(min(MAX_CONNECTIONS, descriptors - DESCRIPTORS_FOR_OTHERS), 1)


class JoinedWrites(asyncio.Transport):
    """A transport on which what is written in one turn of the loop goes out two pieces at a time.

    No more is held: whoever writes much in one turn has to learn from the transport that nobody reads it.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: list[bytes | bytearray | memoryview] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Hold it for what follows in this turn. A stream, whose first piece may be far away, still has its head go."""
        self._held.append(data)
        if len(self._held) == 1:
            self._loop.call_soon(self.flush)
        else:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            held, self._held = self._held, []
            self._transport.write(b"".join(held))

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Write what is held, then close."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    awaited: str | None = HEAD  # the part of a request that is under way; none while it is answered
    leaving = False  # its process is: the next request on it is the last one
    _joined: JoinedWrites
    _timer: asyncio.TimerHandle | None = None
    _timed: str | None = None
    _since = 0.0
    _piece_bytes = 0  # of the latest piece
    _first_bytes = 0  # of the piece in which the head began, with what came before it
    _head_bytes = 0  # of that piece and all that came since

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, if there is room for one more connection."""
        super().connection_made(transport)
        self.transport = self._joined = JoinedWrites(transport, self.loop)
        self._since = self.loop.time()
        if len(self.connections) > max_connections():
            (self._longest_unasked() or self).transport.abort()
        self._watch()

    def _longest_unasked(self) -> "BoundedProtocol | None":
        """Another connection on which no request is answered, the one that has waited for longest."""
        others = (one for one in self.connections if isinstance(one, BoundedProtocol) and one is not self)
        unasked = [one for one in others if one.cycle is None or one.cycle.response_complete]
        return min(unasked, key=lambda one: one._since, default=None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._set_timer(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on. What has become too long is refused before more of it comes."""
        self._piece_bytes = len(data)
        self._head_bytes += self._piece_bytes
        super().data_received(data)
        if self.transport.is_closing():
            self._set_timer(None)
            return
        if self.awaited == HEAD and self._is_more_than_a_head():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        self._watch()

    def _is_more_than_a_head(self) -> bool:
        """Whether too much has come of one that is not there yet: of headers, or of one header."""
        if self._head_bytes <= MAX_HEAD_BYTES:
            return False
        return self._head_bytes - self._first_bytes > MAX_HEAD_BYTES or self._is_head_too_long()

    def on_message_begin(self) -> None:
        """A head comes."""
        super().on_message_begin()
        self.awaited, self._head_bytes, self._first_bytes = HEAD, self._piece_bytes, self._piece_bytes

    def _is_head_too_long(self) -> bool:
        """Counted header by header: that costs every request 2 %, so it is done where pieces alone make it doubtful."""
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES

    def on_headers_complete(self) -> None:
        """The head is there. Raises ValueError where it is too long."""
        if self._head_bytes > MAX_HEAD_BYTES and self._is_head_too_long():
            raise ValueError
        self.awaited = BODY
        super().on_headers_complete()
        if self.leaving and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The request is there."""
        self.awaited, self._since = None, self.loop.time()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is whole: it goes out before whatever comes next in this turn."""
        self._joined.flush()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is refused as everything is: as problem+json."""
        too_long = self.awaited == HEAD and self._is_head_too_long()
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_long else HTTPStatus.BAD_REQUEST)

    def _refuse(self, status: HTTPStatus) -> None:
        self._set_timer(None)
        content = msgspec.json.encode(_problem(status))
        lines = [
            STATUS_LINE[status],
            b"content-type: application/problem+json\r\n",
            b"content-length: %d\r\n" % len(content),
            b"cache-control: no-store\r\n",
            b"connection: close\r\n\r\n",
        ]
        self.transport.write(b"".join(lines) + content)
        self.transport.close()

    def _watch(self) -> None:
        """See to it that what has begun ends in time. A request that comes in one piece needs no timer."""
        if self._timed != self.awaited:
            self._set_timer(self.awaited)

    def _set_timer(self, awaited: str | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timed = None, awaited
        if awaited is not None:
            seconds = HEAD_SECONDS if awaited == HEAD else BODY_SECONDS
            self._timer = self.loop.call_later(seconds, self.transport.abort)


def _problem(status: HTTPStatus) -> dict[str, Any]:
    code, detail = (
        ("malformed_request", "This is no HTTP request that can be read.")
        if status == HTTPStatus.BAD_REQUEST
        else ("head_too_large", "The headers of a request may have 64 KiB together.")
    )
    return {
        "type": f"/docs/errors/{code}",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "code": code,
    }
