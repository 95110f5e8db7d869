"""Looking up events by id, by what they alter, and by what they are sealed for."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from asyncpg import Record

from events.chain import read_header
from events.encryption import RelationshipKeys
from events.heads import DbConnection
from events.records import Mention, StreamKey

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
    rows = await db.fetch(PRESENT, *_columns([(m.stream, m.event_id) for m in mentions]))
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
    return _with_streams(await db.fetch(FIND, *_columns([(m.stream, m.event_id) for m in mentions])))


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
    db: DbConnection, keys: Mapping[UUID, RelationshipKeys], mentions: Sequence[Mention]
) -> list[tuple[StreamKey, Record]]:
    """The rows of the events that retract or retell the mentioned ones, and of those that retract these.

    `keys` are those of each relationship.
    """
    found: list[tuple[StreamKey, Record]] = []
    looked_at: set[Mention] = set()
    # An id may stand in both streams, so what alters what can go in a circle: b alters a, and another a alters b.
    while mentions := [m for m in mentions if m not in looked_at]:
        looked_at.update(mentions)
        sought = [(m.stream, keys[m.stream.relationship_id].alters_index(m.event_id)) for m in mentions]
        rows = await _altering(db, sought)
        mentions = [Mention(stream, read_header(row["header"]).id) for stream, row in rows]
        found += rows
    return found


async def find_sealed(
    db: DbConnection, keys: RelationshipKeys, streams: Sequence[StreamKey], things: Iterable[str]
) -> list[tuple[StreamKey, Record]]:
    """The rows of the check-ins in those streams that are, or once were, sealed for one of the things."""
    return await _altering(db, [(stream, keys.sealed_for_index(thing)) for stream in streams for thing in things])


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
    db: DbConnection, keys: RelationshipKeys, streams: Sequence[StreamKey], things: Iterable[str]
) -> dict[StreamKey, set[str]]:
    """For which of the things something is, or once was, sealed in each of those streams. Reads no text."""
    sought = {keys.sealed_for_index(thing): thing for thing in things}
    rows = _with_streams(await db.fetch(SEALED, *_columns([(one, blinded) for one in streams for blinded in sought])))
    return {stream: {sought[row["alters"]] for at, row in rows if at == stream} for stream in streams}


async def _altering(db: DbConnection, sought: Sequence[tuple[StreamKey, UUID]]) -> list[tuple[StreamKey, Record]]:
    return _with_streams(await db.fetch(ALTERING, *_columns(sought)))


def _columns(sought: Sequence[tuple[StreamKey, UUID]]) -> tuple[list[UUID], list[UUID], list[UUID]]:
    return (
        [stream.relationship_id for stream, _ in sought],
        [stream.stream_id for stream, _ in sought],
        [name for _, name in sought],
    )


def _with_streams(rows: Iterable[Record]) -> list[tuple[StreamKey, Record]]:
    return [(StreamKey(row["relationship_id"], row["stream_id"]), row) for row in rows]
