"""Reading streams: a page, a whole stream, or the bodies of many."""

import asyncio
from asyncio import Task
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from uuid import UUID

from asyncpg import Record
from msgspec import Struct

from events import encryption, entries
from events.chain import Head, read_header
from events.encryption import BulkDecryptor, DecryptionFailed, RelationshipKeys
from events.entries import Audience, Erased, Fact
from events.heads import DbConnection, read_head
from events.records import Stored, StreamKey, transposed
from events.rules import Recorded

PAGE = """
SELECT
    events.header,
    events.link,
    (
        SELECT texts.sealed
        FROM texts
        WHERE texts.relationship_id = events.relationship_id
            AND texts.stream_id = events.stream_id
            AND texts.position = events.position
    ) AS sealed
FROM events
WHERE events.relationship_id = $1
    AND events.stream_id = $2
    AND events.position > $3
    AND events.position <= $4
ORDER BY events.position
LIMIT $5
"""


async def read_page(
    db: DbConnection, ring: RelationshipKeys, key: StreamKey, audience: Audience, after: int, limit: int
) -> tuple[Head, list[Stored]]:
    """The head of a stream and at most `limit` of its events behind position `after`, none later than the head."""
    head = await read_head(db, key)
    rows = await db.fetch(PAGE, key.relationship_id, key.stream_id, after, head.position, limit)
    return head, [decrypt_row(ring, audience, row) for row in rows]


ALL = """
SELECT
    events.stream_id,
    events.header,
    events.link,
    (
        SELECT texts.sealed
        FROM texts
        WHERE texts.relationship_id = events.relationship_id
            AND texts.stream_id = events.stream_id
            AND texts.position = events.position
    ) AS sealed
FROM events
WHERE events.relationship_id = $1
    AND events.stream_id = ANY ($2::uuid[])
ORDER BY
    events.stream_id,
    events.position
"""


async def read_streams(
    db: DbConnection, ring: RelationshipKeys, relationship_id: UUID, audiences: dict[UUID, Audience]
) -> list[Stored]:
    """Every event of the given streams of one relationship, as of one moment, each stream in order."""
    rows = await db.fetch(ALL, relationship_id, list(audiences))
    return [decrypt_row(ring, audiences[row["stream_id"]], row) for row in rows]


class Span(Struct, frozen=True):
    """Positions of one stream: those behind `after`, up to `until`."""

    key: StreamKey
    after: int
    until: int


# Each array in the order of one index, and all of a stream in one row: a row for each event, its text found by a
# sub-select, took PostgreSQL and us nearly three times as long. And no plan can compare every event with every text.
BODIES = """
SELECT
    heads.relationship_id,
    heads.stream_id,
    span.after,
    span.until,
    ARRAY (
        SELECT events.header
        FROM events
        WHERE events.relationship_id = heads.relationship_id
            AND events.stream_id = heads.stream_id
            AND events.position > span.after
            AND events.position <= span.until
        ORDER BY events.position
    ) AS headers,
    ARRAY (
        SELECT texts.position
        FROM texts
        WHERE texts.relationship_id = heads.relationship_id
            AND texts.stream_id = heads.stream_id
            AND texts.position > span.after
            AND texts.position <= span.until
        ORDER BY texts.position
    ) AS positions,
    ARRAY (
        SELECT texts.sealed
        FROM texts
        WHERE texts.relationship_id = heads.relationship_id
            AND texts.stream_id = heads.stream_id
            AND texts.position > span.after
            AND texts.position <= span.until
        ORDER BY texts.position
    ) AS texts
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) AS span (relationship_id, stream_id, after, until)
JOIN heads USING (relationship_id, stream_id)
"""
BODIES_AT_ONCE = 2_000


async def read_bodies(
    db: DbConnection, rings: Mapping[UUID, RelationshipKeys], heads: Mapping[StreamKey, Head]
) -> AsyncGenerator[tuple[StreamKey, list[tuple[UUID | None, bytes]]], None]:
    """All bodies of some streams, each with its author, a part after the other; what is erased is left out.

    In a transaction that holds the heads. Whoever does not read to the end has to close it, before anything else is
    asked of the database. Raises sealing.Unreadable.
    """
    openers = {key.relationship_id: BulkDecryptor(rings[key.relationship_id]) for key in heads}
    async with aclosing(_fetched(db, _parts(heads))) as parts:
        async for rows in parts:
            for relationship_id, stream_id, after, until, headers, positions, texts in rows:
                if len(headers) != until - after:
                    raise DecryptionFailed  # an event is missing: no text would be where it belongs
                sealed = dict(zip(positions, texts, strict=True))
                in_order = [sealed.get(position) for position in range(after + 1, until + 1)]
                yield StreamKey(relationship_id, stream_id), openers[relationship_id].bodies(headers, in_order)


async def _fetched(db: DbConnection, parts: Iterable[Sequence[Span]]) -> AsyncGenerator[list[Record], None]:
    """The rows of each part. While they are worked on, PostgreSQL makes the next ones ready."""
    coming: Task[list[Record]] | None = None
    try:
        for spans in parts:
            wanted = transposed([(s.key.relationship_id, s.key.stream_id, s.after, s.until) for s in spans])
            rows = await coming if coming else None
            coming = asyncio.create_task(db.fetch(BODIES, *wanted))
            await asyncio.sleep(0)  # it is sent now
            if rows is not None:
                yield rows
        if coming:
            yield await coming
    finally:
        if coming:
            await asyncio.gather(coming, return_exceptions=True)  # the connection is the next one's only then


def _parts(heads: Mapping[StreamKey, Head]) -> Iterator[list[Span]]:
    """All positions of the streams, so many at once."""
    spans, room = list[Span](), BODIES_AT_ONCE
    for key, head in heads.items():
        after = 0
        while after < head.position:
            until = min(head.position, after + room)
            spans.append(Span(key, after, until))
            after, room = until, room - (until - after)
            if not room:
                yield spans
                spans, room = [], BODIES_AT_ONCE
    if spans:
        yield spans


def decrypt_row(ring: RelationshipKeys, audience: Audience, row: Record) -> Stored:
    """A row of events, opened; one without its text, or whose author has no key any more, is erased.

    Raises sealing.Unreadable where its text is not the one that was sealed.
    """
    header, sealed = read_header(row["header"]), row["sealed"]
    opening: bytes | None = None
    body: str | None = None
    fact: Fact = Erased()
    if sealed is not None and ring.knows(header.by):
        opening, text = encryption.decrypt(ring.of(header.by), encryption.associated_data_of(row["header"]), sealed)
        body, fact = text.decode(), entries.from_text(text)
    event = Recorded(audience, header.position, header.id, header.by, header.recorded_at, fact)
    return Stored(row["header"], row["link"], sealed, body, opening, event)
