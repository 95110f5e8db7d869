"""The context that is handed to everything: connections, keys, the clock, random bytes and mail.

What comes from outside comes from here, so that tests can bring their own.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

from asyncpg import Pool, Record
from msgspec import Struct, field

from events.heads import DbConnection
from service.core.clock import Clock
from service.core.listeners import Listeners
from service.core.mail import Postman
from service.core.randomness import RandomBytes
from service.database.pool import checked_out
from service.keys.keyring import Keyring

ConnectionPool: TypeAlias = "Pool[Record]"

# Row-level security shows a connection the rows of the members that this setting names, and none while it names nobody.
#
# ACT sets it for several statements, until the connection goes back to the pool, which resets it.
#
# A statement that runs all the time sets it for itself alone (access.reader_lookup, projections.counts), which saves
# those before and after it. A CTE `acting` calls set_config until the end of the transaction, the statement's own, so
# the connection keeps nothing. What policies look at stands in a LATERAL subquery with `WHERE
# acting.members IS NOT NULL … OFFSET 0`: the condition makes it depend on the setting, OFFSET keeps the planner from
# taking it apart. Evaluated before the setting, it would see no row.
ACT = "SELECT set_config('mutuality.members', $1::uuid[]::text, false)"


ACCESS_TTL = timedelta(minutes=15)


class Context(Struct, frozen=True):
    """Connections by role, keys, the clock, random bytes, mail and live listeners: one of each in a process."""

    db: ConnectionPool
    auth_db: ConnectionPool
    admission_db: ConnectionPool
    maintenance_db: ConnectionPool
    scheduler_db: ConnectionPool
    writer_db: ConnectionPool
    references_db: ConnectionPool
    keys: Keyring
    now: Clock
    random_bytes: RandomBytes
    mailer: Postman
    listeners: Listeners = field(default_factory=Listeners)
    access_ttl: timedelta = ACCESS_TTL  # of access tokens; only the demo, in which nobody is, has another

    @asynccontextmanager
    async def acting_as(self, *member_ids: UUID) -> AsyncIterator[DbConnection]:
        """A connection that acts for signed-in members: it sees the rows of no one else."""
        async with _acting(self.db, member_ids) as db:
            yield db

    def writer(self) -> AbstractAsyncContextManager[DbConnection]:
        """A connection of the recorder: it appends for many members, and reads no text."""
        return checked_out(self.writer_db)

    def reading_for(self, member_ids: Sequence[UUID]) -> AbstractAsyncContextManager[DbConnection]:
        """A second connection beside a writer's, which reads what those members may read, as of now.

        Only who holds a writer's connection may ask for one. There are as many of these, and they wait for no lock: so
        nobody waits here for somebody who waits for them.
        """
        return _acting(self.references_db, member_ids)


@asynccontextmanager
async def _acting(pool: ConnectionPool, member_ids: Sequence[UUID]) -> AsyncIterator[DbConnection]:
    async with checked_out(pool) as db:
        await db.execute(ACT, member_ids)
        yield db
