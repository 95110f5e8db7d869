"""Reading streams: a page, a whole stream, or the bodies of many."""

import asyncio
from asyncio import Task
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TypeAlias, TypeVar
from uuid import UUID

from asyncpg import Record
from msgspec import Struct

from events import encryption, entries
from events.chain import Head
from events.encryption import BulkDecryptor, DecryptionFailed, RelationshipKeys
from events.entries import Erased, Fact
from events.heads import DbConnection, VersionedHead, read_head
from events.records import Stored, StreamKey, transposed
from events.rules import Recorded

T = TypeVar("T")

PAGE = """
SELECT
    position,
    author,
    event_id,
    recorded_at,
    commitment,
    link,
    ciphertext
FROM events
WHERE relationship_id = $1
    AND stream = $2
    AND position > $3
    AND position <= $4
ORDER BY position
LIMIT $5
"""


async def read_page(
    db: DbConnection, keys: RelationshipKeys, stream: StreamKey, after: int, limit: int
) -> tuple[Head, list[Stored]]:
    """The head of a stream and at most `limit` of its events behind position `after`, none later than the head."""
    head = await read_head(db, stream)
    # Nothing lies behind the head, and what is asked for may be more than the column can hold.
    after = min(after, head.position)
    rows = await db.fetch(PAGE, stream.relationship_id, stream.number, after, head.position, limit)
    return head, [decrypt_row(keys, stream, row) for row in rows]


SLICE_EVENTS = 200  # decrypted in some 2 ms, in which nobody else is answered
TURN_EVENTS = 50  # and where one reads very many, so many: each step of another's call waits for that


async def in_slices(items: Sequence[T], size: int) -> AsyncGenerator[Sequence[T], None]:
    """The items, so many at once. Others are answered between two slices."""
    for begin in range(0, len(items), size):
        if begin:
            await asyncio.sleep(0)
        yield items[begin : begin + size]


async def read_back(
    db: DbConnection, keys: RelationshipKeys, stream: StreamKey, since: datetime | None = None
) -> AsyncGenerator[list[Recorded], None]:
    """A stream up to its head as of now, slice by slice, the newest first and each in order.

    Down to its first event, or until one was recorded before that time. Others are answered between two slices.
    """
    top = (await read_head(db, stream)).position
    while top > 0:
        bottom = max(top - SLICE_EVENTS, 0)
        rows = await db.fetch(PAGE, stream.relationship_id, stream.number, bottom, top, SLICE_EVENTS)
        found: list[Recorded] = []
        async for part in in_slices(rows, TURN_EVENTS):
            found += [decrypt_row(keys, stream, row).event for row in part]
        yield found
        top = 0 if since is not None and rows[0]["recorded_at"] < since else bottom


# A stream, ids of its events, and what those say that are not erased, each with its author.
Bodies: TypeAlias = tuple[StreamKey, list[UUID], list[tuple[UUID | None, bytes]]]


class Span(Struct, frozen=True):
    """Positions of one stream: those behind `after`, up to `until`."""

    key: StreamKey
    after: int
    until: int


# Each column as an array, and all of a stream in one row: a row for each event took PostgreSQL and us nearly three
# times as long.
BODIES = """
SELECT
    span.relationship_id,
    span.stream,
    span.after,
    span.until,
    found.authors,
    found.event_ids,
    found.commitments,
    found.ciphertexts
FROM unnest($1::uuid[], $2::smallint[], $3::integer[], $4::integer[]) AS span (relationship_id, stream, after, until)
CROSS JOIN LATERAL (
    SELECT
        array_agg(author) AS authors,
        array_agg(event_id) AS event_ids,
        array_agg(commitment) AS commitments,
        array_agg(ciphertext) AS ciphertexts
    FROM (
        SELECT
            author,
            event_id,
            commitment,
            ciphertext
        FROM events
        WHERE events.relationship_id = span.relationship_id
            AND events.stream = span.stream
            AND events.position > span.after
            AND events.position <= span.until
        ORDER BY events.position
    ) AS in_order
) AS found
"""
BODIES_AT_ONCE = 2_000


async def read_bodies(
    db: DbConnection, keys: Mapping[UUID, RelationshipKeys], heads: Mapping[StreamKey, VersionedHead]
) -> AsyncGenerator[Bodies, None]:
    """All ids and bodies of some streams, a part after the other.

    In a transaction that holds the heads. Whoever does not read to the end has to close it, before anything else is
    asked of the database. Raises DecryptionFailed.
    """
    named = {(key.relationship_id, key.number): key for key in heads}
    decryptors = {key: BulkDecryptor(keys[key.relationship_id], key.stream_id) for key in heads}
    async with aclosing(_fetched(db, _parts(heads))) as parts:
        async for rows in parts:
            for relationship_id, number, after, until, authors, event_ids, *texts in rows:
                if len(authors or ()) != until - after:
                    raise DecryptionFailed  # an event is missing: no text would be where it belongs
                key = named[relationship_id, number]
                yield key, event_ids, decryptors[key].bodies(authors, event_ids, *texts)


async def _fetched(db: DbConnection, parts: Iterable[Sequence[Span]]) -> AsyncGenerator[list[Record], None]:
    """The rows of each part. While they are worked on, PostgreSQL makes the next ones ready."""
    coming: Task[list[Record]] | None = None
    try:
        for spans in parts:
            wanted = transposed([(s.key.relationship_id, s.key.number, s.after, s.until) for s in spans])
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


def _parts(heads: Mapping[StreamKey, VersionedHead]) -> Iterator[list[Span]]:
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


def decrypt_row(keys: RelationshipKeys, stream: StreamKey, row: Record) -> Stored:
    """A row of events, decrypted; one without its text, or whose author has no key any more, is erased.

    Raises DecryptionFailed where its text is not the one that was encrypted.
    """
    event_id, by, commitment, ciphertext = (
        row["event_id"],
        keys.author_at(row["author"]),
        row["commitment"],
        row["ciphertext"],
    )
    opening: bytes | None = None
    body: str | None = None
    fact: Fact = Erased()
    if ciphertext is not None and keys.knows(by):
        bound = encryption.AssociatedData(stream.stream_id, event_id, by, commitment)
        opening, text = encryption.decrypt(keys, bound, ciphertext)
        body, fact = text.decode(), entries.from_text(text)
    event = Recorded(stream.audience, row["position"], event_id, by, row["recorded_at"], fact)
    return Stored(event, commitment, row["link"], ciphertext, body, opening)
