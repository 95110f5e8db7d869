"""Reads streams: a page of one, all of some, or the bodies of many."""

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
    db: DbConnection, keys: RelationshipKeys, stream: StreamKey, audience: Audience, after: int, limit: int
) -> tuple[Head, list[Stored]]:
    """The head of a stream and at most `limit` of its events after position `after`, none later than the head."""
    head = await read_head(db, stream)
    rows = await db.fetch(PAGE, stream.relationship_id, stream.stream_id, after, head.position, limit)
    return head, [decrypt_row(keys, audience, row) for row in rows]


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
    db: DbConnection, keys: RelationshipKeys, relationship_id: UUID, audiences: dict[UUID, Audience]
) -> list[Stored]:
    """All events of the given streams of one relationship, as of one moment, each stream in order."""
    rows = await db.fetch(ALL, relationship_id, list(audiences))
    return [decrypt_row(keys, audiences[row["stream_id"]], row) for row in rows]


class Span(Struct, frozen=True):
    """Positions of one stream: those after `after`, up to `until`."""

    stream: StreamKey
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
    db: DbConnection, keys: Mapping[UUID, RelationshipKeys], heads: Mapping[StreamKey, Head]
) -> AsyncGenerator[tuple[StreamKey, list[tuple[UUID | None, bytes]]], None]:
    """All bodies of some streams, each with its author, part by part; what is erased is left out.

    In a transaction that holds the heads; `keys` are those of each relationship. A caller who does not read to the end
    has to close it before anything else is asked of the database. Raises DecryptionFailed.
    """
    decryptors = {stream.relationship_id: BulkDecryptor(keys[stream.relationship_id]) for stream in heads}
    async with aclosing(_fetched(db, _parts(heads))) as parts:
        async for rows in parts:
            for relationship_id, stream_id, after, until, headers, positions, texts in rows:
                if len(headers) != until - after:
                    raise DecryptionFailed  # an event is missing: no text would be where it belongs
                ciphertexts = dict(zip(positions, texts, strict=True))
                in_order = [ciphertexts.get(position) for position in range(after + 1, until + 1)]
                yield StreamKey(relationship_id, stream_id), decryptors[relationship_id].bodies(headers, in_order)


async def _fetched(db: DbConnection, parts: Iterable[Sequence[Span]]) -> AsyncGenerator[list[Record], None]:
    """The rows of each part. While the caller works on them, PostgreSQL makes the next ones ready."""
    coming: Task[list[Record]] | None = None
    try:
        for spans in parts:
            wanted = transposed([(s.stream.relationship_id, s.stream.stream_id, s.after, s.until) for s in spans])
            rows = await coming if coming else None
            coming = asyncio.create_task(db.fetch(BODIES, *wanted))
            await asyncio.sleep(0)  # it is sent now
            if rows is not None:
                yield rows
        if coming:
            yield await coming
    finally:
        if coming:
            await asyncio.gather(coming, return_exceptions=True)  # only then is the connection free for others


def _parts(heads: Mapping[StreamKey, Head]) -> Iterator[list[Span]]:
    """All positions of the streams, at most BODIES_AT_ONCE in a part."""
    spans, room = list[Span](), BODIES_AT_ONCE
    for stream, head in heads.items():
        after = 0
        while after < head.position:
            until = min(head.position, after + room)
            spans.append(Span(stream, after, until))
            after, room = until, room - (until - after)
            if not room:
                yield spans
                spans, room = [], BODIES_AT_ONCE
    if spans:
        yield spans


def decrypt_row(keys: RelationshipKeys, audience: Audience, row: Record) -> Stored:
    """A row of events, decrypted; one without its text, or whose author has no key any more, is erased.

    Raises DecryptionFailed where its text is not the one that was encrypted.
    """
    header, ciphertext = read_header(row["header"]), row["sealed"]
    opening: bytes | None = None
    body: str | None = None
    fact: Fact = Erased()
    if ciphertext is not None and keys.knows(header.by):
        place = encryption.associated_data_of(row["header"])
        opening, text = encryption.decrypt(keys.of(header.by), place, ciphertext)
        body, fact = text.decode(), entries.from_text(text)
    event = Recorded(audience, header.position, header.id, header.by, header.recorded_at, fact)
    return Stored(row["header"], row["link"], ciphertext, body, opening, event)
