"""Epochs: numbered 1, 2, 3 …; the last one wraps what is wrapped from now on, those before it are to be destroyed."""

from datetime import datetime

from asyncpg import Pool, Record
from msgspec import Struct

from events.heads import DbConnection

FIRST_EPOCH = 1


class Epochs(Struct, frozen=True):
    """Epochs that are not destroyed, the current one last, since when it is, and erasures that backups still open."""

    numbers: list[int]
    began_at: datetime | None
    erasures: int


IN_USE = """
SELECT
    epoch,
    began_at,
    erasures
FROM keys.epochs
ORDER BY epoch
"""


async def epochs_in_use(db: "Pool[Record] | DbConnection") -> Epochs:
    """The epochs whose keys the store holds. An erased member's key can be opened while its epoch is one of them."""
    rows = await db.fetch(IN_USE)
    began_at = rows[-1]["began_at"] if rows else None
    return Epochs([row["epoch"] for row in rows], began_at, sum(row["erasures"] for row in rows))


CURRENT_EPOCH = """
SELECT max(epoch)
FROM keys.epochs
"""

BEGIN_EPOCH = """
INSERT INTO keys.epochs (
    epoch,
    began_at
) VALUES ($1, $2)
ON CONFLICT DO NOTHING
RETURNING epoch
"""


async def current_epoch(db: "Pool[Record] | DbConnection", now: datetime) -> int:
    """The epoch that keys are wrapped in now; the first one begins with the first key."""
    epoch: int | None = await db.fetchval(CURRENT_EPOCH)
    if epoch is None:
        await db.execute(BEGIN_EPOCH, FIRST_EPOCH, now)
    return epoch or FIRST_EPOCH


async def begin_epoch(db: DbConnection, after: int, now: datetime) -> int:
    """Begin the epoch that follows one; of two who do so at once, both have the same."""
    await db.execute(BEGIN_EPOCH, after + 1, now)
    return after + 1
