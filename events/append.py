"""Appending to streams, and forgetting what somebody has said."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from events import entries
from events.encryption import RelationshipKeys
from events.heads import DbConnection
from events.records import Stored, StreamKey, transposed
from events.rules import Recorded

APPEND = """
WITH appended AS (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::uuid[], $6::text[], $7::bytea[], $8::uuid[], $9::bytea[]
    ) AS appended (
        relationship_id, stream_id, position, event_id, alters, header, link, author_id, sealed
    )
),
kept AS (
    INSERT INTO events (
        relationship_id,
        stream_id,
        position,
        event_id,
        alters,
        header,
        link
    )
    SELECT
        relationship_id,
        stream_id,
        position,
        event_id,
        alters,
        header,
        link
    FROM appended
),
advanced AS (
    UPDATE heads
    SET
        position = last.position,
        link = last.link
    FROM unnest($10::uuid[], $11::uuid[], $12::bigint[], $13::bytea[]) AS last (
        relationship_id, stream_id, position, link
    )
    WHERE heads.relationship_id = last.relationship_id
        AND heads.stream_id = last.stream_id
)
INSERT INTO texts (
    relationship_id,
    stream_id,
    position,
    author_id,
    sealed
)
SELECT
    relationship_id,
    stream_id,
    position,
    author_id,
    sealed
FROM appended
WHERE sealed IS NOT NULL
"""


async def append_events(
    db: DbConnection, rings: Mapping[UUID, RelationshipKeys], appended: Sequence[tuple[StreamKey, Stored]]
) -> None:
    """Append events, each to its stream, in order. The heads must be locked by this transaction."""
    if not appended:
        return
    rows = [event_row(rings[key.relationship_id], key, stored) for key, stored in appended]
    last = {key: (key.relationship_id, key.stream_id, e.event.position, e.link) for key, e in appended}
    await db.execute(APPEND, *transposed(rows), *transposed(list(last.values())))


def event_row(ring: RelationshipKeys, key: StreamKey, stored: Stored) -> tuple[Any, ...]:
    """An event as it stands in the tables: the columns of events, then author and sealed text."""
    event = stored.event
    return (
        key.relationship_id,
        key.stream_id,
        event.position,
        event.event_id,
        _found_by(ring, event),
        stored.header,
        stored.link,
        event.author,
        stored.sealed,
    )


def _found_by(ring: RelationshipKeys, event: Recorded) -> UUID:
    if altered := entries.alters(event.fact):
        return ring.alters_index(altered)
    if entries.is_sealed(event.fact):
        return ring.sealed_for_index(entries.thing_of(event.fact))
    return ring.alters_nothing_index(event.event_id)


ERASE = """
DELETE FROM texts
WHERE relationship_id = $1
    AND author_id = $2
"""


async def erase_texts(db: DbConnection, relationship_id: UUID, author_id: UUID) -> None:
    """Forget what an author has said; that they said something, and the chain, stay. The heads must be locked."""
    await db.execute(ERASE, relationship_id, author_id)
