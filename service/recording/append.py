"""The one statement that writes the log: events, their heads, the pages that count them, or nothing at all."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from asyncpg import DivisionByZeroError
from msgspec import Struct

from events.heads import DbConnection
from events.records import transposed


class EventRow(NamedTuple):
    """A row of `events`, and of `occasions` where it is one. But for the last two it is what `event_row` makes.

    `beside` is the number of a stream in which its id must not be either; null where there is none.
    """

    relationship_id: UUID
    stream: int
    position: int
    author: int
    recorded_at: datetime
    alters: int
    event_id: UUID
    commitment: bytes
    link: bytes
    ciphertext: bytes | None
    is_occasion: bool
    beside: int | None


class HeadRow(NamedTuple):
    """What a stream's head becomes, and the version on which that follows."""

    relationship_id: UUID
    stream: int
    version: int
    position: int
    link: bytes


class PageRow(NamedTuple):
    """A page as it is to be. Its stream's head is among those that are written."""

    relationship_id: UUID
    stream: int
    author: int
    month: int
    ciphertext: bytes


PAGE_COLUMNS = len(PageRow._fields)


class Rows(Struct, frozen=True):
    """All that is written at once. The events of each stream are in order, and its head is the last of them."""

    events: list[EventRow]
    heads: list[HeadRow]
    pages: list[PageRow]


# Compare and swap: an event is written where its head still has the version on which it follows, and where its id is
# not taken meanwhile. Where that is not so for one of them the last line divides by zero, which takes all of it back: a
# statement that looked first, and locked what it saw, took PostgreSQL twice as long.
# Heads come by relationship, private ones before the shared one, and are written in that order, which avoids deadlock.
APPEND = """
WITH new_events AS (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::smallint[], $3::integer[], $4::smallint[], $5::timestamptz[], $6::bigint[], $7::uuid[],
        $8::bytea[], $9::bytea[], $10::bytea[], $11::boolean[], $12::smallint[]
    ) AS new_events (
        relationship_id, stream, position, author, recorded_at, alters, event_id, commitment, link, ciphertext,
        is_occasion, beside
    )
),
new_heads AS (
    SELECT *
    FROM unnest($13::uuid[], $14::smallint[], $15::bigint[], $16::bigint[], $17::bytea[]) AS new_heads (
        relationship_id, stream, version, position, link
    )
),
updated_heads AS (
    UPDATE heads
    SET
        version = heads.version + 1,
        position = new_heads.position,
        link = new_heads.link
    FROM new_heads
    WHERE heads.relationship_id = new_heads.relationship_id
        AND heads.stream = new_heads.stream
        AND heads.version = new_heads.version
    RETURNING
        heads.relationship_id,
        heads.stream
),
taken_ids AS (
    SELECT
    FROM new_events
    JOIN events AS present USING (event_id)
    WHERE ((present.relationship_id, present.stream) = (new_events.relationship_id, new_events.stream)) IS TRUE
        OR ((present.relationship_id, present.stream) = (new_events.relationship_id, new_events.beside)) IS TRUE
),
inserted_events AS (
    INSERT INTO events (
        relationship_id,
        stream,
        position,
        author,
        recorded_at,
        alters,
        event_id,
        commitment,
        link,
        ciphertext
    )
    SELECT
        new_events.relationship_id,
        new_events.stream,
        new_events.position,
        new_events.author,
        new_events.recorded_at,
        new_events.alters,
        new_events.event_id,
        new_events.commitment,
        new_events.link,
        new_events.ciphertext
    FROM new_events
    JOIN updated_heads USING (relationship_id, stream)
    WHERE NOT EXISTS (SELECT FROM taken_ids)
),
written_pages AS (
    INSERT INTO pages (
        relationship_id,
        stream,
        author,
        month,
        ciphertext
    )
    SELECT
        written.relationship_id,
        written.stream,
        written.author,
        written.month,
        written.ciphertext
    FROM unnest($18::uuid[], $19::smallint[], $20::smallint[], $21::integer[], $22::bytea[]) AS written (
        relationship_id, stream, author, month, ciphertext
    )
    JOIN updated_heads USING (relationship_id, stream)
    ON CONFLICT (relationship_id, stream, author, month)
    DO UPDATE SET ciphertext = excluded.ciphertext
),
inserted_occasions AS (
    INSERT INTO occasions (
        relationship_id,
        event_id,
        recorded_at
    )
    SELECT
        relationship_id,
        event_id,
        recorded_at
    FROM new_events
    WHERE is_occasion
)
SELECT 1 / (
    (SELECT count(*) FROM updated_heads) = (SELECT count(*) FROM new_heads)
    AND NOT EXISTS (SELECT FROM taken_ids)
)::integer
"""


async def append(db: DbConnection, rows: Rows) -> bool:
    """Append events, each to its stream, in order, and write the pages that count them.

    False where another was faster, or has used an id: then nothing is written, and a transaction around it is lost.
    """
    if not rows.events:
        return True
    heads = sorted(rows.heads, key=lambda head: (head.relationship_id, -head.stream))
    columns = (*transposed(rows.events), *transposed(heads), *(transposed(rows.pages) or [[]] * PAGE_COLUMNS))
    try:
        await db.fetchval(APPEND, *columns)
    except DivisionByZeroError:
        return False
    return True
