"""Connection pools with a bounded queue: whoever cannot be served soon is refused at once."""

import asyncio
from asyncio import CancelledError
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg import Connection, Pool, Record
from asyncpg.pool import PoolAcquireContext, PoolConnectionProxy

from service.database.logins import Login, login_of
from service.errors import StartupError

if TYPE_CHECKING:  # asyncpg's own classes do not know that they are generic
    _Pool = Pool[Record]
    _AcquireContext = PoolAcquireContext[Record]
else:
    _Pool, _AcquireContext = Pool, PoolAcquireContext

STATEMENT_SECONDS = 30
MAX_STATEMENTS = 1000  # more than there are, so that none is forgotten for another
# The last three are for when PostgreSQL can no longer reach us: it ends the session, and our locks go with it. How long
# a lock is waited for belongs to the role.
SESSION_SETTINGS = {
    "application_name": "mutuality",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


class Connections(_Pool):
    """A pool with a bounded queue. Raises TimeoutError where it is full, and for whom it takes too long."""

    wait_seconds = 2.0
    max_waiting = 500  # a connection is used for a few milliseconds, so these wait for about half a second
    close_seconds = 5.0
    waiting = 0

    def acquire(self, *, timeout: float | None = None) -> "_Acquiring":
        """A connection, for an `async with`."""
        if self.waiting >= self.max_waiting:
            raise TimeoutError
        return _Acquiring(self, timeout or self.wait_seconds)

    async def release(self, connection: Any, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 (asyncpg's)
        """Take a connection back. Resetting it may take longer than anybody waits for one."""
        await super().release(connection, timeout=timeout or STATEMENT_SECONDS)

    async def close(self) -> None:
        """Wait for what is under way, but not for ever: a lost connection must not block the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.close_seconds):
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
    """A connection of the pool, which goes back to it unless it was interrupted in the middle of something."""
    async with pool.acquire() as db:
        try:
            yield db
        except (CancelledError, TimeoutError):
            # Nobody knows what it is in the middle of: it must not be used again.
            db.terminate()
            raise


def create_pool(
    database_url: str,
    role: str,
    size: int,
    settings: Mapping[str, str] | None = None,
    reset: Callable[[Any], Awaitable[None]] | None = None,
    seconds: float = STATEMENT_SECONDS,
) -> Connections:
    """A pool whose connections log in as that role, and are nobody else until they end.

    `settings` are further ones of PostgreSQL. `reset` replaces what is done to a connection that is released. A
    statement may take so many seconds.
    """
    login = login_of(database_url, role)
    return Connections(
        database_url,
        min_size=1,
        max_size=size,
        max_queries=50_000,  # as asyncpg.create_pool has it
        # As asyncpg has it, a connection that rests for 300 s is closed, and a statement prepared 300 s ago is prepared
        # again: then who calls seldom could tell by one answer whether somebody else has called since.
        max_inactive_connection_lifetime=0,
        max_cached_statement_lifetime=0,
        statement_cache_size=MAX_STATEMENTS,
        connection_class=Connection,
        record_class=Record,
        loop=None,
        command_timeout=seconds,
        server_settings={**SESSION_SETTINGS, **(settings or {})},
        reset=reset,
        user=login.user,
        password=login.password,
    )


async def connect(url: str, role: str | None = None, **server_settings: str) -> "Connection[Record]":
    """One connection without a pool, of that role, or of who the URL names. Raises StartupError where there is none."""
    login = login_of(url, role) if role else Login(None, None)
    try:
        return await asyncpg.connect(url, user=login.user, password=login.password, server_settings=server_settings)
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        who = f"{role} in: python -m service migrate sets its password" if role else "in whom its URL names"
        raise StartupError(f"The database cannot be reached: it does not let {who}.") from error
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StartupError(f"The database cannot be reached: {type(error).__name__}.") from error
