"""HTTP to a provider: one request and its answer, bounded in time and size, and logged nowhere."""

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

# A connection that is silent for so long is closed, with all exchanges on it: the network may have dropped it.
SILENCE_SECONDS = 5.0
# And no exchange takes longer than so many of these.
SILENCES = 2
ANSWER_BYTES = 16 * 1024

# An hour is about as long as a prompt is worth showing.
MAX_PAUSE_SECONDS = 3600
BUSY_PAUSE_SECONDS = 60
LOST_PAUSE_SECONDS = 5

# Device tokens are in URLs, which httpx logs, and in headers, which httpcore and hpack log.
LOGGERS_OF_LIBRARIES = ("httpx", "httpcore", "hpack")

# Longer than httpx's 5 seconds: Apple takes it for an attack when connections come and go.
LIMITS = httpx.Limits(max_connections=4, max_keepalive_connections=4, keepalive_expiry=600)


class ProviderAnswer(Struct, frozen=True):
    """What came back."""

    status: int
    headers: dict[str, str]  # names in lower case
    content: bytes


class NoAnswer(Exception):
    """The provider could not be reached, went away in the middle, or was too slow or too long."""


def silence_libraries() -> None:
    """Let no library log what it sends, however verbose the process is."""
    for name in LOGGERS_OF_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def client(silence_seconds: float, tls: ssl.SSLContext | None) -> httpx.AsyncClient:
    """A client that keeps its connections, follows no redirect, and logs nothing."""
    silence_libraries()
    return httpx.AsyncClient(
        http2=True, verify=tls or True, timeout=silence_seconds, limits=LIMITS, follow_redirects=False
    )


class Closable(Protocol):
    """A pool of connections that are kept."""

    async def aclose(self) -> None: ...


AnyPool = TypeVar("AnyPool", bound=Closable)


class ReplaceablePool(Generic[AnyPool]):
    """A sender's connection pool, replaced by a new one as soon as an exchange was cut off.

    An exchange that is cancelled halfway leaves httpcore's count of a connection's free streams wrong, and what is
    sent over that one later fails, though the provider is well. So the old pool is left to the exchanges under way on
    it, and then closed. A cancelled write even breaks its connection, with all exchanges on it: these are sent again.
    Not to cancel would be worse: a push that was reported as not sent could be sent later, after its withdrawal.
    `harmless` are the errors of an exchange after which the connections are as good as before.
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
        """The pool for one exchange, which ends within two silences. Raises NoAnswer for all that is not harmless."""
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
        """Close all connections."""
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


def http_pool(silence_seconds: float, tls: ssl.SSLContext | None) -> ReplaceablePool[httpx.AsyncClient]:
    """A pool of httpx for one provider."""
    harmless = (httpx.HTTPError, httpx.InvalidURL)
    return ReplaceablePool(lambda: client(silence_seconds, tls), silence_seconds, harmless)


async def post(
    pool: ReplaceablePool[httpx.AsyncClient], url: str, headers: dict[str, str], content: bytes
) -> ProviderAnswer:
    """The answer, its content cut off at 16 KiB. Raises NoAnswer."""
    try:
        async with pool.exchange() as http, http.stream("POST", url, headers=headers, content=content) as answer:
            lowered = {name.lower(): value for name, value in answer.headers.items()}
            return ProviderAnswer(answer.status_code, lowered, await _beginning(answer))
    except (httpx.HTTPError, httpx.InvalidURL):
        # Not even as a cause: their messages may name the address.
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
    return RetryAfter(min(max(default_seconds if asked is None else asked, 1), MAX_PAUSE_SECONDS))


def _asked_seconds(text: str, now: datetime) -> int | None:
    if text.isascii() and text.isdigit():
        return int(text[:9])
    try:
        return round((parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError, OverflowError):  # no date, or one without a zone
        return None
