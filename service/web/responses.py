"""Responses: JSON, with a strong ETag where it may be cached."""

import hashlib
from typing import Any

import msgspec
from litestar import Response
from litestar.background_tasks import BackgroundTask
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from service.web.requests import JSON, ApiRequest, headers_of


class RawResponse(Struct, frozen=True):
    """A response as an ASGI application that only sends it.

    By way of the framework's own, and with the tag computed again, a 304 took 180 µs instead of 147.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def json_answer(value: Any, status: int = 200) -> ASGIApp:
    """A value as JSON, not to be cached."""
    content = msgspec.json.encode(value)
    return RawResponse(status, _content_headers(content), content)


def _content_headers(content: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", JSON.encode()), (b"content-length", b"%d" % len(content))]


def empty_answer(afterwards: BackgroundTask | None = None) -> Response[None]:
    """204 No Content, and what is to be done once it is sent."""
    return Response(None, status_code=204, background=afterwards)


class Cacheable(Struct, frozen=True):
    """A JSON text, and a strong ETag made from these bytes alone."""

    content: bytes
    tag: bytes


def cacheable(value: Any) -> Cacheable:
    """A value as JSON with its ETag."""
    return tagged(msgspec.json.encode(value))


def tagged(content: bytes) -> Cacheable:
    """A JSON text with its ETag. The same bytes have the same tag, whoever asks, and whenever."""
    return Cacheable(content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'.encode())


def cacheable_answer(request: ApiRequest, body: Cacheable) -> ASGIApp:
    """200 with its ETag, or 304 where If-None-Match names it."""
    headers = [(b"etag", body.tag), (b"cache-control", b"private, no-cache"), (b"vary", b"Authorization")]
    if _matches(headers_of(request, b"if-none-match"), body.tag.decode()):
        return RawResponse(304, headers, b"")
    return RawResponse(200, headers + _content_headers(body.content), body.content)


def _matches(if_none_match: str, tag: str) -> bool:
    if if_none_match == tag:
        return True
    given = {candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")}
    return tag in given or "*" in given
