"""What is true of every request: three ASGI wrappers, each with one concern, put around the application by `app`.

What only hands a call or a message on is no coroutine of its own: with three more, all this took 3.05 µs, not 2.8. And
what it returns has a name, for the annotations of functions in functions are made anew with each call.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias

import structlog
from litestar.types import HTTPScope, Message, Receive, Send

from service.core.randomness import RandomBytes
from service.core.tracing import Tracing
from service.metrics import Metrics
from service.web.rate_limits import ALLOWANCE

HandedOn: TypeAlias = Awaitable[None]
HttpApp: TypeAlias = Callable[[HTTPScope, Receive, Send], HandedOn]  # ASGI, called for HTTP alone
Headers: TypeAlias = list[tuple[bytes, bytes]]

REQUEST_ID = "mutuality_request_id"  # in the scope of a request, for its answer and its span


class RequestLog:
    """Logs one line for each request, and counts it; a line holds no address, no query and nothing that was sent.

    Line and answer have an id in common, drawn by chance: a count would tell how many others ask.
    """

    def __init__(self, app: HttpApp, random_bytes: RandomBytes, metrics: Metrics | None = None) -> None:
        self._app, self._random_bytes, self._metrics = app, random_bytes, metrics
        self._log = structlog.get_logger().bind()  # once: to bind takes as long as to make a line

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer, then log."""
        began, status = time.perf_counter(), 0
        scope[REQUEST_ID] = request_id = self._random_bytes(8, "request id").hex()  # type: ignore[literal-required]

        def note_status(message: Message) -> HandedOn:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        await self._app(scope, receive, note_status)
        seconds, route = time.perf_counter() - began, scope.get("path_template") or "unknown"
        self._log.info(
            "request",
            method=scope["method"],
            route=route,
            member=scope.get("mutuality_member"),
            request_id=request_id,
            status=status,
            milliseconds=round(seconds * 1000, 1),
        )
        if self._metrics:
            self._metrics.answered(route, scope["method"], status, seconds)


class Traced:
    """Makes a span of each request."""

    def __init__(self, app: HttpApp, tracing: Tracing) -> None:
        self._app, self._tracing = app, tracing

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer within a span."""
        told: dict[str, str | int] = {"http.request.method": scope["method"]}

        def note_start(message: Message) -> HandedOn:
            if message["type"] == "http.response.start":
                told["http.response.status_code"] = message["status"]
                told["mutuality.request_id"] = scope[REQUEST_ID]  # type: ignore[literal-required]
            return send(message)

        parents = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"}
        with self._tracing.request(parents) as span:
            await self._app(scope, receive, note_start)
            told["http.route"] = route = scope.get("path_template") or "unknown"
            span.update_name(f"{scope['method']} {route}")
            span.set_attributes(told)


class HeadAsGet:
    """Answers HEAD as GET is answered, without the body."""

    def __init__(self, app: HttpApp) -> None:
        self._app = app

    def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer; any other method passes."""
        return self._answer_head(scope, receive, send) if scope["method"] == "HEAD" else self._app(scope, receive, send)

    async def _answer_head(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        over = False

        async def send_without_body(message: Message) -> None:
            nonlocal over
            if over:
                return
            if message["type"] == "http.response.body":
                # All there is, of an endless answer too: the server then says that nobody listens.
                message["body"], message["more_body"], over = b"", False, True
            await send(message)

        # A copy: the server still has to know that this answer has no body. What is found out goes back for the log.
        as_get: HTTPScope = {**scope, "method": "GET"}
        await self._app(as_get, receive, send_without_body)
        scope.update({**as_get, "method": "HEAD"})


class Announcements:
    """Adds to the answers of some operations until when these can be used."""

    def __init__(self, app: HttpApp, headers: Mapping[tuple[str, str], Headers]) -> None:
        """`headers`: by path template and method."""
        self._app, self._headers = app, headers

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer, and announce."""

        def send_announced(message: Message) -> HandedOn:
            if message["type"] == "http.response.start":
                announced = self._headers.get((scope.get("path_template", ""), scope["method"]), [])
                message["headers"] = [*message["headers"], *announced]
            return send(message)

        await self._app(scope, receive, send_announced)


class DefaultHeaders:
    """Adds the headers that every answer has unless it says otherwise, its id, and to OPTIONS all methods."""

    def __init__(self, app: HttpApp, methods: Mapping[str, Iterable[Any]], public_url: str | None = None) -> None:
        """`methods`: those of each path template. Litestar names the methods of one handler only.

        `public_url`: where phones reach the service; if by TLS, each answer says that it is never to be otherwise.
        """
        self._app = app
        by_tls = (public_url or "").lower().startswith("https://")
        self._defaults = (*DEFAULT_HEADERS, ONLY_BY_TLS) if by_tls else DEFAULT_HEADERS
        self._allow = {path: _allow(named) for path, named in methods.items()}

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer, with all headers."""

        def send_with_headers(message: Message) -> HandedOn:
            if message["type"] == "http.response.start":
                headers = _with_defaults(message["headers"], self._defaults)
                headers.append((b"x-request-id", scope[REQUEST_ID].encode()))  # type: ignore[literal-required]
                if allowance := scope.get(ALLOWANCE):
                    headers += _told(allowance)
                if scope["method"] == "OPTIONS" and (allow := self._allow.get(scope.get("path_template", ""))):
                    headers = [(b"allow", allow), *(one for one in headers if one[0] != b"allow")]
                message["headers"] = headers
            return send(message)

        await self._app(scope, receive, send_with_headers)


def _told(allowance: Any) -> Headers:
    """What is left of the caller's own allowance, as draft-ietf-httpapi-ratelimit-headers has it."""
    policy = f'"requests";q={allowance.tries};w={allowance.period_seconds}'
    left = f'"requests";r={allowance.left};t={allowance.more_in_seconds}'
    return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", left.encode())]


def _allow(methods: Iterable[Any]) -> bytes:
    known = set(methods)
    return ", ".join(sorted(known | {"HEAD"} if "GET" in known else known)).encode()


DEFAULT_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
ONLY_BY_TLS = (b"strict-transport-security", b"max-age=31536000")  # a year, the least that is asked for


def _with_defaults(headers: Iterable[tuple[bytes, bytes]], defaults: tuple[tuple[bytes, bytes], ...]) -> Headers:
    # A set of names and a comprehension took twice as long, for so few.
    completed = list(headers)
    given = [name.lower() for name, _ in completed]
    for default in defaults:
        if default[0] not in given:
            completed.append(default)
    return completed
