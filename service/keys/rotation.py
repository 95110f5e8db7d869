"""Key rotation: wrap the keys of all members with the new epoch's key, then destroy the old epoch's.

From then on nothing that an erased member wrote can be decrypted, not even from older backups: the key of their key is
gone.
"""

from collections.abc import Callable
from datetime import datetime

from events.heads import DbConnection
from service.keys.key_store import KeyStore, epoch_of

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


async def due(db: DbConnection, now: datetime) -> list[str]:
    """The epochs before this month's that are not destroyed: an old backup can still be decrypted with them."""
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

# A member who was erased meanwhile has no row any more, and gets none.
REWRAP = """
UPDATE keys.wrapped
SET
    epoch = $1,
    wrapped = rewrapped.wrapped
FROM unnest($2::text[], $3::uuid[], $4::text[], $5::bytea[]) AS rewrapped (purpose, owner_id, epoch, wrapped)
WHERE keys.wrapped.purpose = rewrapped.purpose
    AND keys.wrapped.owner_id = rewrapped.owner_id
    AND keys.wrapped.epoch = rewrapped.epoch
"""


async def rotate(
    db: DbConnection, store: KeyStore, now: datetime, on_progress: Callable[[int, int], None], batch: int = BATCH
) -> list[str]:
    """Rewrap in batches, each committed by itself, and destroy what is then of no use. Returns the destroyed epochs.

    Cut off at any point, it is simply run again. `on_progress` is called with how many are done, of how many.
    Raises KeyStoreError.
    """
    epoch = epoch_of(now)
    await db.execute(BEGIN_EPOCH, epoch)
    total, done = await db.fetchval(HOW_MANY, epoch), 0
    while rows := await db.fetch(WRAPPED_BEFORE, epoch, batch):
        rewrapped = [store.wrap(epoch, store.unwrap(row["epoch"], row["wrapped"])) for row in rows]
        columns = [[row[name] for row in rows] for name in ("purpose", "owner_id", "epoch")]
        await db.execute(REWRAP, epoch, *columns, rewrapped)
        done += len(rows)
        on_progress(done, total)
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


async def _destroy(db: DbConnection, store: KeyStore, epoch: str) -> list[str]:
    over = [row["epoch"] for row in await db.fetch(OVER, epoch)]
    for each in over:
        # The deleted row's lock keeps others from wrapping with it; cut off before the commit, this is done again.
        async with db.transaction():
            await db.execute(FORGET_EPOCH, each)
            store.destroy(each)
    return over
