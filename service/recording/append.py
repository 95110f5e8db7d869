"""The one statement that writes the log: events, their texts and heads, and what is counted from them, or nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from events.append import event_row
from events.encryption import RelationshipKeys
from events.heads import DbConnection
from events.records import Stored, StreamKey, transposed
from events.rules import is_occasion
from projections import tallies
from projections.tallies import Key

# Private heads before shared ones, as everywhere. While this waits for them another may have been faster: then a head's
# row has another version, nothing follows on it, and nothing at all is written.
APPEND = """
WITH appended AS (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::uuid[], $6::text[], $7::bytea[], $8::uuid[], $9::bytea[],
        $10::boolean[]
    ) AS appended (
        relationship_id, stream_id, position, event_id, alters, header, link, author_id, sealed, occasion
    )
),
last AS (
    SELECT *
    FROM unnest($11::uuid[], $12::uuid[], $13::bigint[], $14::bytea[], $15::bigint[]) AS last (
        relationship_id, stream_id, position, link, version
    )
),
held AS MATERIALIZED (
    SELECT heads.stream_id
    FROM last
    JOIN heads USING (relationship_id, stream_id)
    WHERE last.version IS NULL
        OR last.version = heads.xmin::text::bigint
    ORDER BY
        heads.private DESC,
        heads.stream_id
    FOR UPDATE OF heads
),
unchanged AS MATERIALIZED (
    SELECT
    WHERE (SELECT count(*) FROM held) = (SELECT count(*) FROM last)
        AND NOT EXISTS (
            SELECT
            FROM appended
            JOIN events USING (event_id)
            WHERE ((events.relationship_id, events.stream_id) = (appended.relationship_id, appended.stream_id)) IS TRUE
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
    CROSS JOIN unchanged
),
said AS (
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
    CROSS JOIN unchanged
    WHERE sealed IS NOT NULL
),
advanced AS (
    UPDATE heads
    SET
        position = last.position,
        link = last.link
    FROM last
    CROSS JOIN unchanged
    WHERE heads.relationship_id = last.relationship_id
        AND heads.stream_id = last.stream_id
),
counted AS (
    INSERT INTO tallies (
        relationship_id,
        stream_id,
        day,
        teller,
        domain,
        measure,
        value,
        count
    )
    SELECT
        (added ->> 0)::uuid,
        (added ->> 1)::uuid,
        (added ->> 2)::date,
        (added ->> 3)::uuid,
        added ->> 4,
        added ->> 5,
        added ->> 6,
        (added ->> 7)::bigint
    FROM json_array_elements(convert_from($16, 'UTF8')::json) AS added
    CROSS JOIN unchanged
    ON CONFLICT (relationship_id, stream_id, day, teller, domain, measure, value)
    DO UPDATE SET count = tallies.count + excluded.count
),
noted AS (
    INSERT INTO occasions (
        relationship_id,
        event_id,
        recorded_at
    )
    SELECT
        relationship_id,
        event_id,
        $17
    FROM appended
    CROSS JOIN unchanged
    WHERE occasion
)
SELECT EXISTS (SELECT FROM unchanged)
"""


async def append(
    db: DbConnection,
    rings: Mapping[UUID, RelationshipKeys],
    appended: Sequence[tuple[StreamKey, Stored]],
    counts: Mapping[Key, int],
    now: datetime,
    versions: Mapping[StreamKey, int],
) -> bool:
    """Append events, each to its stream, in order, with what they add to the counts, and what may be asked after.

    `versions` are those of the heads' rows on which the events follow; a head without one must be locked by this
    transaction. False where another was faster, or has used an id: then nothing is written.
    """
    if not appended:
        return True
    rows = [(*event_row(rings[k.relationship_id], k, one), is_occasion(one.event)) for k, one in appended]
    last = {k: (k.relationship_id, k.stream_id, one.event.position, one.link, versions.get(k)) for k, one in appended}
    columns = (*transposed(rows), *transposed(list(last.values())))
    written: bool = await db.fetchval(APPEND, *columns, tallies.as_rows(counts), now)
    return written
