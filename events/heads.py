"""The head of each stream: its last position and link. Whoever appends writes it."""

from collections.abc import Iterable
from typing import TypeAlias
from uuid import UUID

from asyncpg import Connection, Record
from asyncpg.pool import PoolConnectionProxy
from msgspec import Struct

from events.chain import Head, genesis
from events.records import StreamKey

DbConnection: TypeAlias = "Connection[Record] | PoolConnectionProxy[Record]"


class VersionedHead(Struct, frozen=True):
    """A head, and its version: who appends writes it on the condition that this is still the same."""

    position: int
    link: bytes
    version: int


CREATE = """
INSERT INTO heads (
    relationship_id,
    stream,
    version,
    position,
    link
) VALUES ($1, $2, 1, $3, $4)
"""


async def create_stream(db: DbConnection, key: StreamKey) -> None:
    """Begin a stream that holds nothing yet."""
    head = genesis(key.stream_id)
    await db.execute(CREATE, key.relationship_id, key.number, head.position, head.link)


LOCK = """
SELECT
    relationship_id,
    stream,
    version,
    position,
    link
FROM heads
WHERE relationship_id = $1
    AND stream = ANY ($2::smallint[])
ORDER BY stream DESC
FOR NO KEY UPDATE
"""


async def lock_heads(db: DbConnection, keys: Iterable[StreamKey]) -> dict[StreamKey, VersionedHead]:
    """The heads, locked until the transaction ends.

    By relationship, and within one the private heads before the shared one: everybody locks in this order, which avoids
    deadlock. One statement a relationship, because a lock under a join fails silently where rows are distributed; all
    of them go in one round trip.
    """
    wanted = {(key.relationship_id, key.number): key for key in keys}
    numbers: dict[UUID, list[int]] = {}
    for relationship_id, number in sorted(wanted):
        numbers.setdefault(relationship_id, []).append(number)
    rows = await db.fetchmany(LOCK, list(numbers.items())) if numbers else []
    return {wanted[row[0], row[1]]: VersionedHead(row["position"], row["link"], row["version"]) for row in rows}


TOUCH = """
UPDATE heads
SET version = version + 1
WHERE relationship_id = $1
    AND stream = $2
"""


async def touch_head(db: DbConnection, key: StreamKey) -> None:
    """Give the head another version: whoever keeps something by it computes it again."""
    await db.execute(TOUCH, key.relationship_id, key.number)


HEAD = """
SELECT
    position,
    link
FROM heads
WHERE relationship_id = $1
    AND stream = $2
"""


async def read_head(db: DbConnection, key: StreamKey) -> Head:
    """The last position of a stream and its link, as of now; that of the empty chain where there is no stream yet."""
    row = await db.fetchrow(HEAD, key.relationship_id, key.number)
    return Head(row["position"], row["link"]) if row else genesis(key.stream_id)
