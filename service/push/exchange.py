"""One request to a provider and its answer: bounded in time and size, and told to no log."""

import asyncio
import logging
import ssl
from asyncio import Task
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Generic, Protocol, TypeVar

import httpx
import structlog
from msgspec import Struct

from service.push.notices import RetryAfter

log = structlog.get_logger()

# A connection that is silent for so long is given up, with all that wait on it: the network may have dropped it.
SILENCE_SECONDS = 5.0
# And no exchange takes longer than so many of these.
SILENCES = 2
ANSWER_BYTES = 16 * 1024

# An hour is about as long as a prompt is worth showing.
LONGEST_PAUSE_SECONDS = 3600
BUSY_PAUSE_SECONDS = 60
LOST_PAUSE_SECONDS = 5

# Device tokens are in addresses, which httpx logs, and in headers, which httpcore and hpack log.
TELLTALES = ("httpx", "httpcore", "hpack")

# Longer than httpx's 5 seconds: Apple takes it for an attack when connections come and go.
LIMITS = httpx.Limits(max_connections=4, max_keepalive_connections=4, keepalive_expiry=600)


class ProviderAnswer(Struct, frozen=True):
    """What came back."""

    status: int
    headers: dict[str, str]  # names in lower case
    content: bytes


class NoAnswer(Exception):
    """The provider could not be reached, went away in the middle, or was too slow or too long."""


def hush() -> None:
    """Let no library log what it sends, however verbose the process is."""
    for name in TELLTALES:
        logging.getLogger(name).setLevel(logging.WARNING)


def client(silence_seconds: float, tls: ssl.SSLContext | None) -> httpx.AsyncClient:
    """One that keeps its connections, follows no redirect, and logs nothing."""
    hush()
    return httpx.AsyncClient(
        http2=True, verify=tls or True, timeout=silence_seconds, limits=LIMITS, follow_redirects=False
    )


class Pool(Protocol):
    """Connections that are kept."""

    async def aclose(self) -> None: ...


AnyPool = TypeVar("AnyPool", bound=Pool)


class Line(Generic[AnyPool]):
    """The connections of a sender, and others in their place as soon as an exchange was broken off.

    What is cancelled halfway leaves httpcore's count of a connection's free streams wrong, and what is sent over that
    one later fails, though the provider is well. So these are left to what is under way on them, and then closed.
    A cancelled write even breaks its connection, with all that is under way on it: that is to be sent again. Not to
    cancel would be worse: what was told not to have been sent could be sent later, after it was taken back.
    `harmless` is what an exchange may fail with while the connections stay as good as they were.
    """

    def __init__(
        self, connect: Callable[[], AnyPool], silence_seconds: float, harmless: tuple[type[Exception], ...]
    ) -> None:
        self._connect = connect
        self._seconds = SILENCES * silence_seconds
        self._harmless = harmless
        self._pool = connect()
        self._under_way: Counter[AnyPool] = Counter()
        self._closing: set[Task[None]] = set()

    @asynccontextmanager
    async def exchange(self) -> AsyncIterator[AnyPool]:
        """For one exchange, which ends within two silences. Raises NoAnswer for all that is not harmless."""
        pool = self._pool
        self._under_way[pool] += 1
        try:
            async with asyncio.timeout(self._seconds):
                yield pool
        except BaseException as error:
            if isinstance(error, self._harmless) and not isinstance(error, TimeoutError):
                raise
            self._replace(pool)
            if not isinstance(error, Exception):
                raise
            log.warning("push_connections_replaced", error=type(error).__name__)
            raise NoAnswer from None
        finally:
            self._leave(pool)

    async def close(self) -> None:
        """Hang up."""
        pools = {self._pool, *self._under_way}
        await asyncio.gather(*(pool.aclose() for pool in pools), *self._closing)

    def _replace(self, pool: AnyPool) -> None:
        if pool is self._pool:
            self._pool = self._connect()

    def _leave(self, pool: AnyPool) -> None:
        self._under_way[pool] -= 1
        if self._under_way[pool] == 0:
            del self._under_way[pool]
            if pool is not self._pool:
                closing = asyncio.create_task(pool.aclose())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)


def line(silence_seconds: float, tls: ssl.SSLContext | None) -> Line[httpx.AsyncClient]:
    """Connections that are kept, follow no redirect, and log nothing."""
    return Line(lambda: client(silence_seconds, tls), silence_seconds, (httpx.HTTPError, httpx.InvalidURL))


async def post(to: Line[httpx.AsyncClient], url: str, headers: dict[str, str], content: bytes) -> ProviderAnswer:
    """The answer, its content cut off at 16 KiB. Raises NoAnswer."""
    try:
        async with to.exchange() as http, http.stream("POST", url, headers=headers, content=content) as answer:
            told = {name.lower(): value for name, value in answer.headers.items()}
            return ProviderAnswer(answer.status_code, told, await _beginning(answer))
    except (httpx.HTTPError, httpx.InvalidURL):
        # Not even as a cause: what these say may name the address.
        raise NoAnswer from None


async def _beginning(answer: httpx.Response) -> bytes:
    content = b""
    async for piece in answer.aiter_bytes(ANSWER_BYTES):
        content += piece
        if len(content) >= ANSWER_BYTES:
            break
    return content[:ANSWER_BYTES]


def pause(headers: dict[str, str], now: datetime, default_seconds: int = BUSY_PAUSE_SECONDS) -> RetryAfter:
    """As long as `Retry-After` says, in seconds or as a date, from 1 second to an hour."""
    asked = _asked_seconds(headers.get("retry-after", ""), now)
    return RetryAfter(min(max(default_seconds if asked is None else asked, 1), LONGEST_PAUSE_SECONDS))


def _asked_seconds(text: str, now: datetime) -> int | None:
    if text.isascii() and text.isdigit():
        return int(text[:9])
    try:
        return round((parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError, OverflowError):  # no date, or one without a zone
        return None
