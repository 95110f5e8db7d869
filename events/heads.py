"""The head of each stream: its last position and link. Whoever appends locks it."""

from collections.abc import Iterable
from typing import TypeAlias
from uuid import UUID

from asyncpg import Connection, Record
from asyncpg.pool import PoolConnectionProxy

from events.chain import Head, genesis
from events.entries import Audience
from events.records import StreamKey

DbConnection: TypeAlias = "Connection[Record] | PoolConnectionProxy[Record]"


CREATE = """
INSERT INTO heads (
    relationship_id,
    stream_id,
    position,
    link,
    private
) VALUES ($1, $2, $3, $4, $5)
"""


async def create_stream(db: DbConnection, stream: StreamKey, audience: Audience) -> None:
    """Create a stream without events."""
    head = genesis(stream.stream_id)
    await db.execute(CREATE, stream.relationship_id, stream.stream_id, head.position, head.link, audience == "private")


LOCK = """
SELECT
    heads.relationship_id,
    heads.stream_id,
    heads.position,
    heads.link
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (relationship_id, stream_id)
JOIN heads USING (relationship_id, stream_id)
ORDER BY heads.private DESC, heads.stream_id
FOR UPDATE OF heads
"""


async def lock_heads(db: DbConnection, streams: Iterable[StreamKey]) -> dict[StreamKey, Head]:
    """Lock heads until the transaction ends, and read them.

    Private heads before shared ones, each sort by id: everybody locks in this order, which avoids deadlock.
    """
    wanted = list(streams)
    rows = await db.fetch(LOCK, [one.relationship_id for one in wanted], [one.stream_id for one in wanted])
    return {StreamKey(row["relationship_id"], row["stream_id"]): Head(row["position"], row["link"]) for row in rows}


SHARED = """
SELECT stream_id
FROM heads
WHERE relationship_id = $1
    AND NOT private
"""


async def shared_stream_of(db: DbConnection, relationship_id: UUID) -> StreamKey:
    """The shared stream of a relationship."""
    return StreamKey(relationship_id, await db.fetchval(SHARED, relationship_id))


TOUCH = """
UPDATE heads
SET position = position
WHERE relationship_id = $1
    AND stream_id = $2
"""


async def touch_head(db: DbConnection, stream: StreamKey) -> None:
    """Give the head's row a new version: what is kept by it is computed again. It must be locked."""
    await db.execute(TOUCH, stream.relationship_id, stream.stream_id)


HEAD = """
SELECT
    position,
    link
FROM heads
WHERE relationship_id = $1
    AND stream_id = $2
"""


async def read_head(db: DbConnection, stream: StreamKey) -> Head:
    """The last position of a stream and its link, as of now; that of the empty chain where there is no stream yet."""
    row = await db.fetchrow(HEAD, stream.relationship_id, stream.stream_id)
    return Head(row["position"], row["link"]) if row else genesis(stream.stream_id)
