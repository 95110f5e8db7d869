"""What is asked of the database, so that a test can tell what was done rather than how long it took."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from asyncpg import Record
from asyncpg.connection import LoggedQuery
from asyncpg.pool import PoolConnectionProxy

from service.context import ConnectionPool


@asynccontextmanager
async def overheard(*pools: ConnectionPool) -> AsyncIterator[list[str]]:
    """The statements that these pools run until the block ends, in order."""
    statements: list[str] = []

    def note(query: LoggedQuery) -> None:
        statements.append(query.query)

    await _on_each(pools, lambda db: db.add_query_logger(note))
    yield statements
    await _on_each(pools, lambda db: db.remove_query_logger(note))


async def _on_each(pools: Sequence[ConnectionPool], do: "Callable[[PoolConnectionProxy[Record]], None]") -> None:
    async with AsyncExitStack() as held:
        for pool in pools:
            for _ in range(pool.get_max_size()):
                do(await held.enter_async_context(pool.acquire()))
