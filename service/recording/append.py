"""The one statement that writes the log: events with their texts, heads, counts and occasions, or nothing at all."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct

from events.heads import DbConnection
from events.records import transposed
from projections import tallies
from projections.tallies import Key


class EventRow(NamedTuple):
    """A row of `events`, of `texts` where there is a ciphertext, and of `occasions` where there is the time of one.

    But for the last column it is what `events.records.event_row` makes.
    """

    relationship_id: UUID
    stream_id: UUID
    position: int
    event_id: UUID
    alters: UUID
    header: str
    link: bytes
    author_id: UUID | None
    ciphertext: bytes | None
    occasion_at: datetime | None


class HeadRow(NamedTuple):
    """What a stream's head becomes; `version` is that of the row that it follows on, or null where that is locked."""

    relationship_id: UUID
    stream_id: UUID
    position: int
    link: bytes
    version: int | None


class Rows(Struct, frozen=True):
    """All that is written at once. The events of each stream are in order, and its head is the last of them."""

    events: list[EventRow]
    heads: list[HeadRow]
    counts: Mapping[Key, int]


# Private heads before shared ones, as everywhere, to avoid deadlock. While this waits for them another may have been
# faster: then a head's row has another version, nothing follows on it, and nothing at all is written.
APPEND = """
WITH new_events AS (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::uuid[], $6::text[], $7::bytea[], $8::uuid[], $9::bytea[],
        $10::timestamptz[]
    ) AS new_events (
        relationship_id, stream_id, position, event_id, alters, header, link, author_id, ciphertext, occasion_at
    )
),
new_heads AS (
    SELECT *
    FROM unnest($11::uuid[], $12::uuid[], $13::bigint[], $14::bytea[], $15::bigint[]) AS new_heads (
        relationship_id, stream_id, position, link, version
    )
),
locked_heads AS MATERIALIZED (
    SELECT heads.stream_id
    FROM new_heads
    JOIN heads USING (relationship_id, stream_id)
    WHERE new_heads.version IS NULL
        OR new_heads.version = heads.xmin::text::bigint
    ORDER BY
        heads.private DESC,
        heads.stream_id
    FOR UPDATE OF heads
),
unchanged AS MATERIALIZED (
    SELECT
    WHERE (SELECT count(*) FROM locked_heads) = (SELECT count(*) FROM new_heads)
        AND NOT EXISTS (
            SELECT
            FROM new_events
            JOIN events AS present USING (event_id)
            WHERE ((present.relationship_id, present.stream_id) = (new_events.relationship_id, new_events.stream_id))
                IS TRUE
        )
),
inserted_events AS (
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
    FROM new_events
    CROSS JOIN unchanged
),
inserted_texts AS (
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
        ciphertext
    FROM new_events
    CROSS JOIN unchanged
    WHERE ciphertext IS NOT NULL
),
updated_heads AS (
    UPDATE heads
    SET
        position = new_heads.position,
        link = new_heads.link
    FROM new_heads
    CROSS JOIN unchanged
    WHERE heads.relationship_id = new_heads.relationship_id
        AND heads.stream_id = new_heads.stream_id
),
added_tallies AS (
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
inserted_occasions AS (
    INSERT INTO occasions (
        relationship_id,
        event_id,
        recorded_at
    )
    SELECT
        relationship_id,
        event_id,
        occasion_at
    FROM new_events
    CROSS JOIN unchanged
    WHERE occasion_at IS NOT NULL
)
SELECT EXISTS (SELECT FROM unchanged)
"""


async def append(db: DbConnection, rows: Rows) -> bool:
    """Append events, each to its stream, in order.

    False where another was faster, or has used an id: then nothing is written. A head without a version must be locked
    by this transaction.
    """
    if not rows.events:
        return True
    columns = (*transposed(rows.events), *transposed(rows.heads), tallies.as_rows(rows.counts))
    written: bool = await db.fetchval(APPEND, *columns)
    return written
