"""Count again, after an erasure, what the partner keeps private about something that is gone.

How long it takes depends on how much somebody keeps, so it is done after the answer, which would tell that. What is due
is noted with the erasure itself: where a process ends in between, another one finds the note.
"""

import asyncio
from uuid import UUID

import structlog

from events.heads import DbConnection
from events.records import SHARED, StreamKey
from projections.rebuild import Stream, rebuild
from service.context import Context

log = structlog.get_logger()

LOOK_SECONDS = 3600.0

NOTE = """
INSERT INTO due_recounts (
    relationship_id,
    stream
) VALUES ($1, $2)
ON CONFLICT DO NOTHING
"""


async def note(db: DbConnection, relationship_id: UUID, seat: int) -> None:
    """Note that the private stream of that seat is to be counted again."""
    await db.execute(NOTE, relationship_id, seat)


DUE = """
SELECT
    relationship_id,
    stream
FROM due_recounts
ORDER BY
    relationship_id,
    stream
"""


async def recount_due(context: Context) -> None:
    """Count again what is due, one stream after the other. A stream that cannot be counted is logged, and stays due."""
    async with context.maintenance_db.acquire() as db:
        due = await db.fetch(DUE)
    for relationship_id, seat in due:
        try:
            await _recount(context, relationship_id, seat)
        except Exception as error:
            log.error("recount_failed", relationship=str(relationship_id), failure=type(error).__name__)


async def keep_recounting(context: Context) -> None:
    """Look at the start, then once an hour, what has been left due by a process that ended. Several may do so."""
    while True:
        try:
            await recount_due(context)
        except Exception as error:
            log.error("recounts_failed", failure=type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)


# Whoever comes second waits here for the first one, and then finds nothing to do.
TAKE = """
DELETE FROM due_recounts
WHERE relationship_id = $1
    AND stream = $2
RETURNING stream
"""

STREAM_IDS = """
SELECT
    memberships.private_stream_id,
    relationships.shared_stream_id
FROM memberships
JOIN relationships USING (relationship_id)
WHERE memberships.relationship_id = $1
    AND memberships.seat = $2
"""


async def _recount(context: Context, relationship_id: UUID, seat: int) -> None:
    keys = (await context.keys.fetch_relationship_keys([relationship_id]))[relationship_id]
    async with context.maintenance_db.acquire() as db, db.transaction():
        if await db.fetchval(TAKE, relationship_id, seat) is None:
            return
        (row,) = await db.fetch(STREAM_IDS, relationship_id, seat)
        private = StreamKey(relationship_id, seat, row["private_stream_id"])
        shared = StreamKey(relationship_id, SHARED, row["shared_stream_id"])
        await rebuild(db, [Stream(private, shared, keys)])
