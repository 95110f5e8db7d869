"""How PostgreSQL keeps the log: one ordered stream per audience, appended to under a lock on its head.

Positions have no gaps because the head row is locked from reading the last position to the commit that uses the next,
or is found under its lock to be the very row that was read.
No statement joins streams of several relationships, so the tables can be distributed by relationship.
"""

import asyncio
from asyncio import Task
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from asyncpg import Connection, Record
from asyncpg.pool import PoolConnectionProxy
from msgspec import Struct

from events import entries, sealing
from events.chain import Head, extend, genesis, read_header
from events.entries import Audience, Erased, Fact
from events.rules import Recorded
from events.sealing import Opener, Place, Ring, Unreadable

DbConnection: TypeAlias = "Connection[Record] | PoolConnectionProxy[Record]"


class StreamKey(Struct, frozen=True, order=True):
    """Names one stream. Every statement carries the relationship, which distributes the tables."""

    relationship_id: UUID
    stream_id: UUID


class Stored(Struct, frozen=True):
    """An event as the log has it, and what it says. Once erased, body, opening and sealed are null."""

    header: str
    link: bytes
    sealed: bytes | None
    body: str | None
    opening: bytes | None
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


async def create_stream(db: DbConnection, key: StreamKey, audience: Audience) -> None:
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


async def lock_heads(db: DbConnection, keys: Iterable[StreamKey]) -> dict[StreamKey, Head]:
    """The heads, held until the transaction ends.

    Private heads before shared ones, each sort by id: everybody locks in this order, so nobody waits in a circle.
    """
    wanted = list(keys)
    rows = await db.fetch(LOCK, [k.relationship_id for k in wanted], [k.stream_id for k in wanted])
    return {StreamKey(row["relationship_id"], row["stream_id"]): Head(row["position"], row["link"]) for row in rows}


# Here and below, an id finds few rows, mostly one, and of these those of the stream are kept. Were the stream compared
# in the plain way, the planner could take an index that begins with it for as good as one of ids, and read all of it.
PRESENT = """
SELECT
    events.relationship_id,
    events.stream_id,
    events.event_id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS mentioned (relationship_id, stream_id, event_id)
JOIN events USING (event_id)
WHERE ((events.relationship_id, events.stream_id) = (mentioned.relationship_id, mentioned.stream_id)) IS TRUE
"""


async def ids_present(db: DbConnection, mentions: Sequence[Mention]) -> list[Mention]:
    """Those of the mentioned events that exist."""
    rows = await db.fetch(PRESENT, *_columns([(m.key, m.event_id) for m in mentions]))
    return [Mention(StreamKey(row["relationship_id"], row["stream_id"]), row["event_id"]) for row in rows]


# Each text by its key, here and below: while the planner does not know how long streams are, it would join them by
# comparing every event with every text.
FIND = """
SELECT
    events.relationship_id,
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
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS mentioned (relationship_id, stream_id, event_id)
JOIN events USING (event_id)
WHERE ((events.relationship_id, events.stream_id) = (mentioned.relationship_id, mentioned.stream_id)) IS TRUE
"""


async def find_events(db: DbConnection, mentions: Sequence[Mention]) -> list[tuple[StreamKey, Record]]:
    """The rows of those mentioned events that exist."""
    return _keyed(await db.fetch(FIND, *_columns([(m.key, m.event_id) for m in mentions])))


# What alters an event may lie in another stream; what alters *that* lies beside it.
ALTERING = """
SELECT
    events.relationship_id,
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
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS mentioned (relationship_id, stream_id, alters)
JOIN events USING (alters)
WHERE ((events.relationship_id, events.stream_id) = (mentioned.relationship_id, mentioned.stream_id)) IS TRUE
ORDER BY
    events.relationship_id,
    events.stream_id,
    events.position
"""


async def find_altering(
    db: DbConnection, rings: Mapping[UUID, Ring], mentions: Sequence[Mention]
) -> list[tuple[StreamKey, Record]]:
    """The rows of the events that retract or retell the mentioned ones, and of those that retract these."""
    found: list[tuple[StreamKey, Record]] = []
    looked_at: set[Mention] = set()
    # An id may stand in both streams, so what alters what can go in a circle: b alters a, and another a alters b.
    while mentions := [m for m in mentions if m not in looked_at]:
        looked_at.update(mentions)
        rows = await _altering(db, [(m.key, rings[m.key.relationship_id].altered(m.event_id)) for m in mentions])
        mentions = [Mention(key, read_header(row["header"]).id) for key, row in rows]
        found += rows
    return found


async def find_sealed(
    db: DbConnection, ring: Ring, keys: Sequence[StreamKey], things: Iterable[str]
) -> list[tuple[StreamKey, Record]]:
    """The rows of the check-ins in those streams that are, or once were, sealed for one of the things."""
    return await _altering(db, [(key, ring.sealed_for(thing)) for key in keys for thing in things])


SEALED = """
SELECT DISTINCT
    events.relationship_id,
    events.stream_id,
    events.alters
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS sought (relationship_id, stream_id, alters)
JOIN events USING (alters)
WHERE ((events.relationship_id, events.stream_id) = (sought.relationship_id, sought.stream_id)) IS TRUE
"""


async def sealed_things(
    db: DbConnection, ring: Ring, keys: Sequence[StreamKey], things: Iterable[str]
) -> dict[StreamKey, set[str]]:
    """For which of the things something is, or once was, sealed in each of those streams. Reads no text."""
    sought = {ring.sealed_for(thing): thing for thing in things}
    rows = _keyed(await db.fetch(SEALED, *_columns([(key, blinded) for key in keys for blinded in sought])))
    return {key: {sought[row["alters"]] for at, row in rows if at == key} for key in keys}


async def _altering(db: DbConnection, sought: Sequence[tuple[StreamKey, UUID]]) -> list[tuple[StreamKey, Record]]:
    return _keyed(await db.fetch(ALTERING, *_columns(sought)))


def _columns(mentions: Sequence[tuple[StreamKey, UUID]]) -> tuple[list[UUID], list[UUID], list[UUID]]:
    return (
        [key.relationship_id for key, _ in mentions],
        [key.stream_id for key, _ in mentions],
        [name for _, name in mentions],
    )


def _keyed(rows: Iterable[Record]) -> list[tuple[StreamKey, Record]]:
    return [(StreamKey(row["relationship_id"], row["stream_id"]), row) for row in rows]


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
    db: DbConnection, rings: Mapping[UUID, Ring], appended: Sequence[tuple[StreamKey, Stored]]
) -> None:
    """Append events, each to its stream, in order. The heads must be locked by this transaction."""
    if not appended:
        return
    rows = [event_row(rings[key.relationship_id], key, stored) for key, stored in appended]
    last = {key: (key.relationship_id, key.stream_id, e.event.position, e.link) for key, e in appended}
    await db.execute(APPEND, *transposed(rows), *transposed(list(last.values())))


def event_row(ring: Ring, key: StreamKey, stored: Stored) -> tuple[Any, ...]:
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


def _found_by(ring: Ring, event: Recorded) -> UUID:
    if altered := entries.alters(event.fact):
        return ring.altered(altered)
    if entries.is_sealed(event.fact):
        return ring.sealed_for(entries.thing_of(event.fact))
    return ring.altering_nothing(event.event_id)


def transposed(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


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


async def touch_head(db: DbConnection, key: StreamKey) -> None:
    """Write the head anew, as it is: whoever keeps something by its row's version makes it anew. It must be locked."""
    await db.execute(TOUCH, key.relationship_id, key.stream_id)


HEAD = """
SELECT
    position,
    link
FROM heads
WHERE relationship_id = $1
    AND stream_id = $2
"""


async def read_head(db: DbConnection, key: StreamKey) -> Head:
    """The last position of a stream and its link, as of now; that of the empty chain where there is no stream yet."""
    row = await db.fetchrow(HEAD, key.relationship_id, key.stream_id)
    return Head(row["position"], row["link"]) if row else genesis(key.stream_id)


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
    db: DbConnection, ring: Ring, key: StreamKey, audience: Audience, after: int, limit: int
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
    db: DbConnection, ring: Ring, relationship_id: UUID, audiences: dict[UUID, Audience]
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
    db: DbConnection, rings: Mapping[UUID, Ring], heads: Mapping[StreamKey, Head]
) -> AsyncGenerator[tuple[StreamKey, list[tuple[UUID | None, bytes]]], None]:
    """All bodies of some streams, each with its author, a part after the other; what is erased is left out.

    In a transaction that holds the heads. Whoever does not read to the end has to close it, before anything else is
    asked of the database. Raises sealing.Unreadable.
    """
    openers = {key.relationship_id: Opener(rings[key.relationship_id]) for key in heads}
    async with aclosing(_fetched(db, _parts(heads))) as parts:
        async for rows in parts:
            for relationship_id, stream_id, after, until, headers, positions, texts in rows:
                if len(headers) != until - after:
                    raise Unreadable  # an event is missing: no text would be where it belongs
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


def decrypt_row(ring: Ring, audience: Audience, row: Record) -> Stored:
    """A row of events, opened; one without its text, or whose author has no key any more, is erased.

    Raises sealing.Unreadable where its text is not the one that was sealed.
    """
    header, sealed = read_header(row["header"]), row["sealed"]
    opening: bytes | None = None
    body: str | None = None
    fact: Fact = Erased()
    if sealed is not None and ring.knows(header.by):
        opening, text = sealing.unseal(ring.of(header.by), sealing.place_of(row["header"]), sealed)
        body, fact = text.decode(), entries.from_text(text)
    event = Recorded(audience, header.position, header.id, header.by, header.recorded_at, fact)
    return Stored(row["header"], row["link"], sealed, body, opening, event)


ERASE = """
DELETE FROM texts
WHERE relationship_id = $1
    AND author_id = $2
"""


async def erase_texts(db: DbConnection, relationship_id: UUID, author_id: UUID) -> None:
    """Forget what an author has said; that they said something, and the chain, stay. The heads must be locked."""
    await db.execute(ERASE, relationship_id, author_id)


class Draft(Struct, frozen=True):
    """What is to be appended. `at` is in UTC; `by` is null for what the service says.

    `opening` is 32 random bytes, `nonce` 12 that no attempt before has used; one is drawn where there is none.
    """

    event_id: UUID
    by: UUID | None
    at: datetime
    fact: Fact
    opening: bytes
    nonce: bytes | None = None


def encrypt_event(ring: Ring, head: Head, key: StreamKey, audience: Audience, draft: Draft) -> Stored:
    """The event that follows `head`, ready to be appended."""
    body = entries.to_text(draft.fact)
    link = extend(head, key.stream_id, draft.event_id, draft.by, draft.at, body, draft.opening)
    place = Place(str(key.stream_id), str(draft.event_id), str(draft.by) if draft.by else None, link.commit)
    sealed = sealing.seal(ring.of(draft.by), place, draft.opening, body, draft.nonce)
    event = Recorded(audience, link.position, draft.event_id, draft.by, draft.at, draft.fact)
    return Stored(link.header.decode(), link.link, sealed, body.decode(), draft.opening, event)
