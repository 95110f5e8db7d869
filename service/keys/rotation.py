"""Key rotation: wrap the keys of all members with a new epoch's key, then destroy the epochs before it.

From then on nothing that an erased member wrote can be decrypted, not even from older backups: the key of their key is
gone. Until then a backup from before the erasure, with its keys, can still be opened.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from msgspec import Struct

from events.heads import DbConnection
from service.core.clock import Clock
from service.database.pool import connect
from service.database.roles import KEYS_ROLE
from service.keys.epochs import FIRST_EPOCH, begin_epoch, epochs_in_use
from service.keys.key_store import KeyStore

log = structlog.get_logger()

BATCH = 500
SMALL_BATCH = 50  # beside requests, which wait while a batch is unwrapped and wrapped
LOOK_SECONDS = 3600.0


class Rotation(Struct, frozen=True):
    """The epoch that wraps everything now, those destroyed, and of how many erasures no backup opens any more."""

    epoch: int
    destroyed: list[int]
    erasures: int


HOW_MANY = """
SELECT count(*)
FROM keys.wrapped
WHERE epoch < $1
"""

WRAPPED_BEFORE = """
SELECT
    purpose,
    owner_id,
    epoch,
    wrapped
FROM keys.wrapped
WHERE epoch < $1
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
FROM unnest($2::text[], $3::uuid[], $4::integer[], $5::bytea[]) AS rewrapped (purpose, owner_id, epoch, wrapped)
WHERE keys.wrapped.purpose = rewrapped.purpose
    AND keys.wrapped.owner_id = rewrapped.owner_id
    AND keys.wrapped.epoch = rewrapped.epoch
"""


def quietly(done: int, total: int) -> None:
    """Report no progress."""


async def rotate(
    db: DbConnection,
    store: KeyStore,
    now: datetime,
    on_progress: Callable[[int, int], None] = quietly,
    batch: int = BATCH,
) -> Rotation:
    """Begin a new epoch, however young the last one is, rewrap all keys, and destroy what is then of no use.

    Batches are committed one by one. Cut off at any point, it is simply run again. `on_progress` is called with how
    many are done, of how many. Raises KeyStoreError.
    """
    numbers = (await epochs_in_use(db)).numbers
    epoch = await begin_epoch(db, numbers[-1] if numbers else FIRST_EPOCH - 1, now)
    return await _rewrap(db, store, epoch, on_progress, batch)


async def rotate_when_due(db: DbConnection, store: KeyStore, now: datetime, after: timedelta) -> Rotation | None:
    """Rotate if the epoch is so old, finish a rotation that was cut off, or else do nothing. Raises KeyStoreError."""
    epochs = await epochs_in_use(db)
    if epochs.began_at is None:
        return None
    if now - epochs.began_at >= after:
        return await rotate(db, store, now, batch=SMALL_BATCH)
    if len(epochs.numbers) > 1:
        return await _rewrap(db, store, epochs.numbers[-1], quietly, SMALL_BATCH)
    return None


async def keep_rotating(url: str, store: KeyStore, now: Clock, after: timedelta) -> None:
    """Look once an hour whether a rotation is due. Several services may do so: what one has begun is done once."""
    while True:
        try:
            await _look(url, store, now(), after)
        except Exception as error:
            log.error("rotation_failed", failure=type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)


async def _look(url: str, store: KeyStore, now: datetime, after: timedelta) -> None:
    db = await connect(url, role=KEYS_ROLE)
    try:
        await rotate_when_due(db, store, now, after)
    finally:
        await db.close()


async def _rewrap(
    db: DbConnection, store: KeyStore, epoch: int, on_progress: Callable[[int, int], None], batch: int
) -> Rotation:
    total, done = await db.fetchval(HOW_MANY, epoch), 0
    while rows := await db.fetch(WRAPPED_BEFORE, epoch, batch):
        rewrapped = [store.wrap(epoch, store.unwrap(row["epoch"], row["wrapped"])) for row in rows]
        columns = [[row[name] for row in rows] for name in ("purpose", "owner_id", "epoch")]
        await db.execute(REWRAP, epoch, *columns, rewrapped)
        done += len(rows)
        on_progress(done, total)
    rotation = await _destroy(db, store, epoch)
    log.info("keys_rotated", epoch=epoch, destroyed=rotation.destroyed, erasures=rotation.erasures)
    return rotation


OVER = """
SELECT epoch
FROM keys.epochs
WHERE epoch < $1
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
RETURNING erasures
"""


async def _destroy(db: DbConnection, store: KeyStore, epoch: int) -> Rotation:
    over, erasures = [row["epoch"] for row in await db.fetch(OVER, epoch)], 0
    for each in over:
        # The deleted row's lock keeps others from wrapping with it; cut off before the commit, this is done again.
        async with db.transaction():
            erasures += await db.fetchval(FORGET_EPOCH, each) or 0
            store.destroy(each)
    return Rotation(epoch, over, erasures)
