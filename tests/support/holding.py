"""Rows held by somebody else, so that a test decides who waits for whom."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tests.support.phones import Running

# What to hold: the head of the shared stream of a relationship, the head of the private one of an author of it, and the
# pages that count what is private in it.
SHARED_HEAD = """
SELECT position
FROM heads
WHERE relationship_id = $1::text::uuid
    AND stream = 0
FOR UPDATE
"""

PRIVATE_HEAD = """
SELECT heads.position
FROM heads
JOIN memberships
    ON memberships.relationship_id = heads.relationship_id
    AND memberships.seat = heads.stream
WHERE author_id = $1::text::uuid
FOR UPDATE OF heads
"""

PRIVATE_PAGES = """
SELECT month
FROM pages
WHERE relationship_id = $1::text::uuid
    AND stream <> 0
FOR UPDATE
"""

WAITING = """
SELECT count(*)
FROM pg_stat_activity
WHERE datname = current_database()
    AND wait_event_type = 'Lock'
"""

END_WAITING = """
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database()
    AND wait_event_type = 'Lock'
"""


class Held:
    """The rows are held until the block ends."""

    def __init__(self, watcher: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._watcher = watcher

    async def until_waiting(self, calls: int = 1) -> None:
        """Return once so many statements of the service wait for a lock."""
        for _ in range(1000):
            if await self._watcher.fetchval(WAITING) == calls:
                return
            await asyncio.sleep(0.005)
        raise AssertionError("nobody came to wait")

    async def end_waiting(self) -> None:
        """End the connections of those who wait, as an administrator would."""
        await self._watcher.execute(END_WAITING)


@asynccontextmanager
async def holding(service: Running, rows: str, *names: Any) -> AsyncIterator[Held]:
    """Hold the rows that a SELECT … FOR UPDATE names, or an UPDATE … RETURNING, which is in force at the end."""
    holder, watcher = [await asyncpg.connect(service.database_url) for _ in range(2)]
    try:
        async with holder.transaction():
            assert await holder.fetch(rows, *names), "there is nothing to hold"
            yield Held(watcher)
    finally:
        await holder.close()
        await watcher.close()
