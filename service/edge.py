"""The edge: what is true of every request."""

import asyncio
import time
from collections.abc import Iterable

import structlog
from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from service.database.outages import DATABASE_UNAVAILABLE
from service.metrics import Metrics
from service.push import outbox

LOOK_SECONDS = 2.0  # who collects figures waits for 10 by default


class Edge:
    """What is true of every request: HEAD answers as GET does, nobody keeps an answer unasked, one line is logged."""

    def __init__(self, app: Litestar, metrics: Metrics | None = None) -> None:
        self.litestar = app
        self.metrics = metrics
        if metrics:
            metrics.watch("lookups_waiting", "Requests that wait for their membership", self._lookups_waiting)
            metrics.watch("submissions_waiting", "Submissions that wait for their group", self._submissions_waiting)
            metrics.watch_pushes(self._pushes)
        self._app: ASGIApp = app
        self._log = structlog.get_logger().bind()  # once: to bind takes as long as to make a line
        self._allowed = {route.path_format: _named(route.methods) for route in app.routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the lifespan."""
        if scope["type"] == ScopeType.HTTP:
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def end_streams(self) -> None:
        """End all live streams: a server waits for open answers before it stops, and these never end by themselves."""
        self.litestar.state.context.listeners.close()

    async def _answer(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        began, status, method, over = time.perf_counter(), 0, scope["method"], False
        if method == "HEAD":
            # A copy: the server still has to know that this answer has no body.
            scope = {**scope, "method": "GET"}

        async def finish(message: Message) -> None:
            nonlocal status, over
            if over:
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_defaults(list(message["headers"]))
                allowed = self._allowed.get(scope.get("path_template", ""))
                if method == "OPTIONS" and allowed:
                    # Litestar names the methods of one handler only, where an address has several.
                    message["headers"] = [(b"allow", allowed), *(h for h in message["headers"] if h[0] != b"allow")]
            elif method == "HEAD" and message["type"] == "http.response.body":
                # All there is, of an endless answer too: the server then says that nobody listens.
                message["body"], message["more_body"], over = b"", False, True
            await send(message)

        await self._app(scope, receive, finish)
        seconds, route = time.perf_counter() - began, scope.get("path_template") or "unknown"
        self._log.info(
            "request",
            method=method,
            route=route,
            member=scope.get("mutuality_member"),
            status=status,
            milliseconds=round(seconds * 1000, 1),
        )
        if self.metrics:
            self.metrics.answered(route, method, status, seconds)

    def _lookups_waiting(self) -> int:
        return int(self.litestar.state.lookup.waiting)

    def _submissions_waiting(self) -> int:
        return int(self.litestar.state.recorder.waiting)

    def _pushes(self) -> list[outbox.Waiting]:
        """Asked of the database, in the loop that has its connections; nothing where it does not answer soon."""
        state = self.litestar.state
        looking = asyncio.run_coroutine_threadsafe(outbox.waiting(state.context), state.loop)
        try:
            return looking.result(LOOK_SECONDS)
        except DATABASE_UNAVAILABLE:
            looking.cancel()
            return []


def _named(methods: Iterable[str]) -> bytes:
    known = set(methods)
    return ", ".join(sorted(known | {"HEAD"} if "GET" in known else known)).encode()


DEFAULT_HEADERS = {b"cache-control": b"no-store", b"x-content-type-options": b"nosniff"}


def _with_defaults(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    given = {name.lower() for name, _ in headers}
    return headers + [(name, value) for name, value in DEFAULT_HEADERS.items() if name not in given]
