"""Let an epoch end: wrap the keys of all who live with the new epoch's key, then destroy the old one's.

What an erased member wrote is then closed for ever, in every backup that was made before: the key of their key is gone.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

import asyncpg
from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

from service.keys.key_store import KeyStore, epoch_of

Database: TypeAlias = "asyncpg.Connection[Record] | PoolConnectionProxy[Record]"

BATCH = 500

BEGIN_EPOCH = """
INSERT INTO keys.epochs (epoch)
VALUES ($1)
ON CONFLICT DO NOTHING
"""

IN_USE = """
SELECT epoch
FROM keys.epochs
ORDER BY epoch
"""


async def due(db: Database, now: datetime) -> list[str]:
    """The epochs before this month's that still have a key: what they wrapped can be opened from an old backup."""
    return [row["epoch"] for row in await db.fetch(IN_USE) if row["epoch"] < epoch_of(now)]


HOW_MANY = """
SELECT count(*)
FROM keys.wrapped
WHERE epoch <> $1
"""

WRAPPED_BEFORE = """
SELECT
    purpose,
    owner_id,
    epoch,
    wrapped
FROM keys.wrapped
WHERE epoch <> $1
ORDER BY
    purpose,
    owner_id
LIMIT $2
"""

# Whoever was erased meanwhile has no row any more, and gets none.
REWRAP = """
UPDATE keys.wrapped
SET
    epoch = $1,
    wrapped = anew.wrapped
FROM unnest($2::text[], $3::uuid[], $4::text[], $5::bytea[]) AS anew (purpose, owner_id, epoch, wrapped)
WHERE keys.wrapped.purpose = anew.purpose
    AND keys.wrapped.owner_id = anew.owner_id
    AND keys.wrapped.epoch = anew.epoch
"""


async def rotate(db: Database, store: KeyStore, now: datetime, tell: Callable[[int, int], None]) -> list[str]:
    """Rewrap in batches, each committed by itself, and destroy what is then of no use. Returns the destroyed epochs.

    Cut off at any point, it is simply run again. `tell` is called with how many are done, of how many.
    Raises KeyStoreError.
    """
    epoch = epoch_of(now)
    await db.execute(BEGIN_EPOCH, epoch)
    total, done = await db.fetchval(HOW_MANY, epoch), 0
    while rows := await db.fetch(WRAPPED_BEFORE, epoch, BATCH):
        anew = [store.wrap(epoch, store.unwrap(row["epoch"], row["wrapped"])) for row in rows]
        columns = [[row[name] for row in rows] for name in ("purpose", "owner_id", "epoch")]
        await db.execute(REWRAP, epoch, *columns, anew)
        done += len(rows)
        tell(done, total)
    return await _destroy(db, store, epoch)


OVER = """
SELECT epoch
FROM keys.epochs
WHERE epoch <> $1
    AND NOT EXISTS (
        SELECT
        FROM keys.wrapped
        WHERE wrapped.epoch = epochs.epoch
    )
ORDER BY epoch
"""

FORGET_EPOCH = """
DELETE FROM keys.epochs
WHERE epoch = $1
"""


async def _destroy(db: Database, store: KeyStore, epoch: str) -> list[str]:
    over = [row["epoch"] for row in await db.fetch(OVER, epoch)]
    for each in over:
        # The row keeps others from wrapping with it, and brings the store here again if this is cut off.
        async with db.transaction():
            await db.execute(FORGET_EPOCH, each)
            store.destroy(each)
    return over
