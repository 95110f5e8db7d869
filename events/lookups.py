"""Looking up events by id, by what they alter, and by what they are sealed for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias
from uuid import UUID

from asyncpg import Record

from events.encryption import RelationshipKeys
from events.heads import DbConnection
from events.records import Mention, StreamKey, transposed

Found: TypeAlias = list[tuple[StreamKey, Record]]

# Here and below, an id finds few rows, mostly one, and of these those of the stream are kept. Were the stream compared
# in the plain way, the planner could take an index that begins with it for as good as one of ids, and read all of it.
PRESENT = """
SELECT
    events.relationship_id,
    events.stream,
    events.event_id
FROM unnest($1::uuid[], $2::smallint[], $3::uuid[]) AS mentioned (relationship_id, stream, event_id)
JOIN events USING (event_id)
WHERE ((events.relationship_id, events.stream) = (mentioned.relationship_id, mentioned.stream)) IS TRUE
"""


async def ids_present(db: DbConnection, mentions: Sequence[Mention]) -> list[Mention]:
    """Those of the mentioned events that exist."""
    named = {(m.stream.relationship_id, m.stream.number, m.event_id): m for m in mentions}
    rows = await db.fetch(PRESENT, *_columns((m.stream, m.event_id) for m in mentions))
    return [named[row[:]] for row in rows]


FIND = """
SELECT
    events.relationship_id,
    events.stream,
    events.position,
    events.author,
    events.event_id,
    events.recorded_at,
    events.commitment,
    events.link,
    events.ciphertext
FROM unnest($1::uuid[], $2::smallint[], $3::uuid[]) AS mentioned (relationship_id, stream, event_id)
JOIN events USING (event_id)
WHERE ((events.relationship_id, events.stream) = (mentioned.relationship_id, mentioned.stream)) IS TRUE
"""


async def find_events(db: DbConnection, mentions: Sequence[Mention]) -> Found:
    """The rows of those mentioned events that exist."""
    return _keyed(
        (m.stream for m in mentions), await db.fetch(FIND, *_columns((m.stream, m.event_id) for m in mentions))
    )


# What alters an event may lie in another stream; what alters *that* lies beside it.
ALTERING = """
SELECT
    events.relationship_id,
    events.stream,
    events.position,
    events.author,
    events.event_id,
    events.recorded_at,
    events.commitment,
    events.link,
    events.ciphertext
FROM unnest($1::uuid[], $2::smallint[], $3::bigint[]) AS mentioned (relationship_id, stream, alters)
JOIN events USING (alters)
WHERE ((events.relationship_id, events.stream) = (mentioned.relationship_id, mentioned.stream)) IS TRUE
ORDER BY
    events.relationship_id,
    events.stream,
    events.position
"""


# Of those who tell of one decision, or close one opening, the last in a stream: none before it stands. The index has
# them in order, so that this takes as long however many there are.
LATEST = """
SELECT
    latest.relationship_id,
    latest.stream,
    latest.position,
    latest.author,
    latest.event_id,
    latest.recorded_at,
    latest.commitment,
    latest.link,
    latest.ciphertext
FROM unnest($1::uuid[], $2::smallint[], $3::bigint[]) AS mentioned (relationship_id, stream, alters)
CROSS JOIN LATERAL (
    SELECT
        events.relationship_id,
        events.stream,
        events.position,
        events.author,
        events.event_id,
        events.recorded_at,
        events.commitment,
        events.link,
        events.ciphertext
    FROM events
    WHERE events.alters = mentioned.alters
        AND ((events.relationship_id, events.stream) = (mentioned.relationship_id, mentioned.stream)) IS TRUE
    ORDER BY events.position DESC
    LIMIT 1
) AS latest
"""


async def find_altering(db: DbConnection, keys: Mapping[UUID, RelationshipKeys], mentions: Sequence[Mention]) -> Found:
    """What decides how the mentioned events stand: who retracts them, the last to tell of or to close each, and who
    retracts these.

    What was recorded before tellings had an index of their own stands among retractions, and is found there.
    """
    found: Found = []
    looked_at: set[Mention] = set()
    # An id may stand in both streams, so what alters what can go in a circle: b alters a, and another a alters b.
    while mentions := [m for m in mentions if m not in looked_at]:
        looked_at.update(mentions)
        named = [(m.stream, keys[m.stream.relationship_id], m.event_id) for m in mentions]
        rows = await _altering(db, [(s, of.alters_index(s.stream_id, event_id)) for s, of, event_id in named])
        rows += await _latest(
            db,
            [
                (s, index(s.stream_id, event_id))
                for s, of, event_id in named
                for index in (of.tells_index, of.closes_index)
            ],
        )
        mentions = [Mention(key, row["event_id"]) for key, row in rows]
        found += rows
    return found


async def find_sealed(
    db: DbConnection, keys: RelationshipKeys, streams: Sequence[StreamKey], things: Iterable[str]
) -> Found:
    """The rows of the check-ins in those streams that are, or once were, sealed for one of the things."""
    return await _altering(
        db, [(stream, keys.sealed_for_index(stream.stream_id, thing)) for stream in streams for thing in things]
    )


async def _altering(db: DbConnection, sought: Sequence[tuple[StreamKey, int]]) -> Found:
    return _keyed((stream for stream, _ in sought), await db.fetch(ALTERING, *_columns(sought)))


async def _latest(db: DbConnection, sought: Sequence[tuple[StreamKey, int]]) -> Found:
    return _keyed((stream for stream, _ in sought), await db.fetch(LATEST, *_columns(sought)))


def _columns(named: Iterable[tuple[StreamKey, UUID | int]]) -> list[list[object]]:
    rows = [(stream.relationship_id, stream.number, name) for stream, name in named]
    return transposed(rows) if rows else [[], [], []]


def _keyed(streams: Iterable[StreamKey], rows: Iterable[Record]) -> Found:
    named = {(stream.relationship_id, stream.number): stream for stream in streams}
    return [(named[row["relationship_id"], row["stream"]], row) for row in rows]
