"""Connections to PostgreSQL, for which nobody waits long: who cannot be served soon is told so at once."""

import asyncio
from asyncio import CancelledError
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg import Connection, Pool, Record
from asyncpg.pool import PoolAcquireContext, PoolConnectionProxy

from service.errors import StartupError

if TYPE_CHECKING:  # asyncpg's own classes do not know that they are generic
    _Pool = Pool[Record]
    _AcquireContext = PoolAcquireContext[Record]
else:
    _Pool, _AcquireContext = Pool, PoolAcquireContext

STATEMENT_SECONDS = 30
WAIT_SECONDS = 2.0
WAITING_AT_MOST = 500  # a connection is had for a few milliseconds, so these wait for about half a second
LOCK_SECONDS = 5
CLOSE_SECONDS = 5.0
# What PostgreSQL does for itself when it can no longer reach us: our locks go with the session.
SESSION_SETTINGS = {
    "application_name": "mutuality",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS}s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


class Connections(_Pool):
    """A pool with a bounded queue. Raises TimeoutError where it is full, and to who has waited too long."""

    waiting = 0

    def acquire(self, *, timeout: float | None = None) -> "_Acquiring":
        """A connection, for an `async with`."""
        if self.waiting >= WAITING_AT_MOST:
            raise TimeoutError
        return _Acquiring(self, timeout or WAIT_SECONDS)

    async def release(self, connection: Any, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 (asyncpg's)
        """Take a connection back. Tidying it up may take longer than anybody waits for one."""
        await super().release(connection, timeout=timeout or STATEMENT_SECONDS)

    async def close(self) -> None:
        """Wait for what is under way, but not for ever: a connection that got lost must not hold up the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await super().close()  # it terminates them all when it is given up


class _Acquiring(_AcquireContext):
    pool: Connections

    async def __aenter__(self) -> Any:
        self.pool.waiting += 1
        try:
            return await super().__aenter__()
        finally:
            self.pool.waiting -= 1


@asynccontextmanager
async def checked_out(pool: "Pool[Record]") -> AsyncIterator["PoolConnectionProxy[Record]"]:
    """A connection of the pool, which goes back to it unless it was left in the middle of something."""
    async with pool.acquire() as db:
        try:
            yield db
        except (CancelledError, TimeoutError):
            # Nobody knows what it is in the middle of: the next one gets another connection.
            db.terminate()
            raise


def create_pool(
    database_url: str,
    role: str,
    size: int,
    settings: Mapping[str, str] | None = None,
    reset: Callable[[Any], Awaitable[None]] | None = None,
) -> Connections:
    """Connections that gave up the rights of whoever migrates: their role can neither change nor delete an event.

    `settings` are more of PostgreSQL's. `reset` replaces what is done to a connection that comes back.
    """
    return Connections(
        database_url,
        min_size=1,
        max_size=size,
        max_queries=50_000,  # this and what follows: as asyncpg.create_pool has it
        max_inactive_connection_lifetime=300,
        connection_class=Connection,
        record_class=Record,
        loop=None,
        command_timeout=STATEMENT_SECONDS,
        server_settings={"role": role, **SESSION_SETTINGS, **(settings or {})},
        reset=reset,
    )


async def connect(url: str, **server_settings: str) -> "Connection[Record]":
    """One connection, for who waits as long as it takes. Raises StartupError where there is no database."""
    try:
        return await asyncpg.connect(url, server_settings=server_settings)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StartupError(f"The database cannot be reached: {type(error).__name__}.") from error
