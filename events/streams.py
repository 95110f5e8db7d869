"""How PostgreSQL keeps the log: one ordered stream per audience, appended to under a lock on its head.

Positions have no gaps because the head row is locked from reading the last position to the commit that uses the next.
No statement joins streams of several relationships, so the tables can be distributed by relationship.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from asyncpg import Connection, Record
from asyncpg.pool import PoolConnectionProxy
from msgspec import Struct

from events import entries
from events.chain import Head, Link, extend, genesis, read_header
from events.entries import Audience, Fact
from events.rules import Recorded

Database: TypeAlias = "Connection[Record] | PoolConnectionProxy[Record]"


class StreamKey(Struct, frozen=True, order=True):
    """Names one stream. Every statement carries the relationship, which distributes the tables."""

    relationship_id: UUID
    stream_id: UUID


class Stored(Struct, frozen=True):
    """An event as its row has it: the sealed texts, and what they say."""

    header: str
    body: str
    opening: bytes
    link: bytes
    event: Recorded


class Mention(Struct, frozen=True, order=True):
    """An id, looked for in one stream."""

    key: StreamKey
    event_id: UUID


CREATE = """
INSERT INTO heads (
    relationship_id,
    stream_id,
    position,
    link,
    private
) VALUES ($1, $2, $3, $4, $5)
"""


async def create(db: Database, key: StreamKey, audience: Audience) -> None:
    """Begin a stream that holds nothing yet."""
    head = genesis(key.stream_id)
    await db.execute(CREATE, key.relationship_id, key.stream_id, head.position, head.link, audience == "private")


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


async def lock(db: Database, keys: Iterable[StreamKey]) -> dict[StreamKey, Head]:
    """The heads, held until the transaction ends.

    Private heads before shared ones, each sort by id: everybody locks in this order, so nobody waits in a circle.
    """
    wanted = list(keys)
    rows = await db.fetch(LOCK, [k.relationship_id for k in wanted], [k.stream_id for k in wanted])
    return {StreamKey(row["relationship_id"], row["stream_id"]): Head(row["position"], row["link"]) for row in rows}


FIND = """
SELECT
    events.relationship_id,
    events.stream_id,
    events.event_id,
    events.position,
    events.header,
    events.body,
    events.opening,
    events.link
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS mentioned (relationship_id, stream_id, event_id)
JOIN events USING (relationship_id, stream_id, event_id)
"""


async def find(db: Database, mentions: Sequence[Mention]) -> list[tuple[StreamKey, Record]]:
    """The rows of those mentioned events that exist."""
    return _keyed(await db.fetch(FIND, *_columns(mentions)))


# What alters an event lies in a stream of its own author; what alters *that* lies beside it: hence two steps.
ALTERATIONS = """
WITH first_step AS (
    SELECT events.*
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS mentioned (relationship_id, stream_id, alters)
    JOIN events USING (relationship_id, stream_id, alters)
),
second_step AS (
    SELECT events.*
    FROM first_step
    JOIN events
        ON events.relationship_id = first_step.relationship_id
        AND events.stream_id = first_step.stream_id
        AND events.alters = first_step.event_id
)
SELECT
    relationship_id,
    stream_id,
    event_id,
    position,
    header,
    body,
    opening,
    link
FROM (SELECT * FROM first_step UNION SELECT * FROM second_step) AS steps
ORDER BY relationship_id, stream_id, position
"""


async def find_alterations(db: Database, mentions: Sequence[Mention]) -> list[tuple[StreamKey, Record]]:
    """The rows of the events that retract or retell the mentioned ones, and of those that retract these."""
    return _keyed(await db.fetch(ALTERATIONS, *_columns(mentions)))


def _columns(mentions: Sequence[Mention]) -> tuple[list[UUID], list[UUID], list[UUID]]:
    return (
        [m.key.relationship_id for m in mentions],
        [m.key.stream_id for m in mentions],
        [m.event_id for m in mentions],
    )


def _keyed(rows: Iterable[Record]) -> list[tuple[StreamKey, Record]]:
    return [(StreamKey(row["relationship_id"], row["stream_id"]), row) for row in rows]


APPEND = """
INSERT INTO events (
    relationship_id,
    stream_id,
    position,
    event_id,
    alters,
    header,
    body,
    opening,
    link
)
SELECT
    relationship_id,
    stream_id,
    position,
    event_id,
    alters,
    header,
    body,
    opening,
    link
FROM unnest(
    $1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::bytea[], $9::bytea[]
) AS appended (
    relationship_id, stream_id, position, event_id, alters, header, body, opening, link
)
"""

ADVANCE = """
UPDATE heads
SET
    position = advanced.position,
    link = advanced.link
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bytea[]) AS advanced (
    relationship_id, stream_id, position, link
)
WHERE heads.relationship_id = advanced.relationship_id
    AND heads.stream_id = advanced.stream_id
"""


async def append(db: Database, appended: Sequence[tuple[StreamKey, Stored]]) -> None:
    """Append events, each to its stream, in order. The heads must be locked by this transaction."""
    if not appended:
        return
    await db.execute(APPEND, *transposed([_row(key, stored) for key, stored in appended]))
    last = {key: (key.relationship_id, key.stream_id, e.event.position, e.link) for key, e in appended}
    await db.execute(ADVANCE, *transposed(list(last.values())))


def _row(key: StreamKey, stored: Stored) -> tuple[Any, ...]:
    event = stored.event
    return (
        key.relationship_id,
        key.stream_id,
        event.position,
        event.event_id,
        entries.alters(event.fact),
        stored.header,
        stored.body,
        stored.opening,
        stored.link,
    )


def transposed(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


HEAD = """
SELECT
    position,
    link
FROM heads
WHERE relationship_id = $1
    AND stream_id = $2
"""

PAGE = """
SELECT
    event_id,
    position,
    header,
    body,
    opening,
    link
FROM events
WHERE relationship_id = $1
    AND stream_id = $2
    AND position > $3
    AND position <= $4
ORDER BY position
LIMIT $5
"""


async def read(db: Database, key: StreamKey, audience: Audience, after: int, limit: int) -> tuple[Head, list[Stored]]:
    """The head of a stream and at most `limit` of its events behind position `after`, none later than the head."""
    row = await db.fetchrow(HEAD, key.relationship_id, key.stream_id)
    head = Head(row["position"], row["link"]) if row else genesis(key.stream_id)
    rows = await db.fetch(PAGE, key.relationship_id, key.stream_id, after, head.position, limit)
    return head, [stored(audience, row) for row in rows]


ALL = """
SELECT
    stream_id,
    event_id,
    position,
    header,
    body,
    opening,
    link
FROM events
WHERE relationship_id = $1
    AND stream_id = ANY ($2::uuid[])
ORDER BY stream_id, position
"""


async def read_all(db: Database, relationship_id: UUID, audiences: dict[UUID, Audience]) -> list[Stored]:
    """Every event of the given streams of one relationship, as of one moment, each stream in order."""
    rows = await db.fetch(ALL, relationship_id, list(audiences))
    return [stored(audiences[row["stream_id"]], row) for row in rows]


def stored(audience: Audience, row: Record) -> Stored:
    """A row of events as values."""
    header = read_header(row["header"])
    event = Recorded(
        audience=audience,
        position=row["position"],
        event_id=row["event_id"],
        author=header.by,
        recorded_at=header.recorded_at,
        fact=entries.from_text(row["body"].encode()),
    )
    return Stored(row["header"], row["body"], row["opening"], row["link"], event)


def seal(
    head: Head,
    key: StreamKey,
    audience: Audience,
    event_id: UUID,
    by: UUID | None,
    at: datetime,
    fact: Fact,
    opening: bytes,
) -> Stored:
    """The event that follows `head`, ready to be appended. `opening` is 32 random bytes."""
    body = entries.to_text(fact)
    link: Link = extend(head, key.stream_id, event_id, by, at, body, opening)
    event = Recorded(audience, link.position, event_id, by, at, fact)
    return Stored(link.header.decode(), body.decode(), opening, link.link, event)
