"""Turns for what reads a long stream: one at a time for each member, and few at once in a process.

Whoever asks for many waits for themselves. What is read is read in slices, so that all others are answered between.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

AT_ONCE = 2


class Turns:
    """Who reads a long stream now, and who waits."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._room = asyncio.Semaphore(at_once)
        self._own: dict[UUID, asyncio.Lock] = {}
        self._wanted: dict[UUID, int] = {}

    @asynccontextmanager
    async def take(self, member_id: UUID) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the end of the block."""
        own = self._own.setdefault(member_id, asyncio.Lock())
        self._wanted[member_id] = self._wanted.get(member_id, 0) + 1
        try:
            # One's own first: who waits for themselves takes no room from others.
            async with own, self._room:
                yield
        finally:
            self._wanted[member_id] -= 1
            if not self._wanted[member_id]:
                del self._wanted[member_id], self._own[member_id]
