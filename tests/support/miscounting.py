"""Pages that count more than the log says, as after a restore that lost some of what came later."""

from uuid import UUID

import asyncpg

from events.records import StreamKey
from projections import pages
from service.core.clock import utc_now
from service.core.randomness import system_random_bytes
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring

STREAMS = """
SELECT
    relationship_id,
    0 AS stream,
    shared_stream_id AS stream_id
FROM relationships
UNION ALL
SELECT
    relationship_id,
    seat,
    private_stream_id
FROM memberships
"""


async def miscount(url: str, store: KeyStore, measure: str = "asks", rid: UUID | None = None) -> int:
    """Count three more of all that is counted by a measure, in one relationship or in all; how many counts differ now.

    The heads are left alone, so that what is kept by their versions stays as it was.
    """
    db = await asyncpg.connect(url)
    try:
        streams = [StreamKey(*row) for row in await db.fetch(STREAMS) if rid in (None, row["relationship_id"])]
        keyring = Keyring(db, store, utc_now, system_random_bytes)
        keys = await keyring.fetch_relationship_keys({stream.relationship_id for stream in streams})
        kept = await pages.read_all(db, keys, streams)
        found = [(key, page, each) for key, page in kept.items() if page for each in pages.counted(key, page)]
        miscounted = [(key, page, each) for key, page, each in found if each.measure == measure]
        for _, page, each in miscounted:
            pages.add(page, each, 3)
        await pages.write(db, keys, {key: page for key, page, _ in miscounted})
        return len(miscounted)
    finally:
        await db.close()
