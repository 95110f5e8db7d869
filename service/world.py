"""What comes from outside: the database, the time, chance and mail. Tests bring their own."""

from asyncio import CancelledError
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias
from uuid import UUID

import asyncpg
from asyncpg import Pool, Record
from msgspec import Struct

from events import streams
from service.keyring import Keyring
from service.mail import Mailer
from service.outside import Chance, Clock

Database: TypeAlias = "Pool[Record]"

ACT = "SELECT set_config('mutuality.members', '{' || $1::text || '}', false)"


class ServiceConnection(asyncpg.Connection):
    """A connection that remembers for whom it acts, so that it is told once where one request uses it again."""

    _member_id: UUID | None = None

    async def act_for(self, member_id: UUID) -> None:
        """Row-level security shows what that member may see, and nothing else, until somebody else is named."""
        if member_id != self._member_id:
            self._member_id = None
            await self.execute(ACT, str(member_id))
            self._member_id = member_id


class World(Struct, frozen=True):
    """All that a request may need besides what it carries itself."""

    db: Database
    door: Database
    keeper: Database
    keys: Keyring
    now: Clock
    chance: Chance
    mailer: Mailer

    @asynccontextmanager
    async def acting(self, member_id: UUID) -> AsyncIterator[streams.Database]:
        """A connection that acts for a signed-in member: it sees the rows of no one else."""
        async with self.db.acquire() as db:
            try:
                await db.act_for(member_id)  # type: ignore[attr-defined]  # the proxy of a ServiceConnection
                yield db
            except (CancelledError, TimeoutError):
                # Nobody knows what it is in the middle of: the next member gets another one.
                db.terminate()
                raise
