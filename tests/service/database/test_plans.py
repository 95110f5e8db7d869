"""What is looked for by an id is found by its index, whatever else the stream holds and whoever looks."""

from uuid import UUID

import pytest

from events.lookups import ALTERING, FIND, PRESENT, SEALED
from service.context import Context, reading_as_members
from tests.support.phones import Running

# Many short streams and a long one: the planner believes that a stream is as good as an id.
FILL = """
INSERT INTO events
SELECT
    CASE WHEN number < 1000 THEN $1::text::uuid ELSE gen_random_uuid() END,
    CASE WHEN number < 1000 THEN $2::text::uuid ELSE gen_random_uuid() END,
    number,
    gen_random_uuid(),
    gen_random_uuid(),
    '{}',
    decode(repeat('00', 32), 'hex')
FROM generate_series(10, 20000) AS number
"""

SOME = """
SELECT
    event_id,
    alters
FROM events
WHERE stream_id = $1::text::uuid
LIMIT 20
"""


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        (PRESENT, "event_id"),
        (FIND, "event_id"),
        (ALTERING, "alters"),
        (SEALED, "alters"),
    ],
)
async def test_no_stream_is_read_for_an_id(service: Running, statement: str, name: str) -> None:
    one, _ = await service.couple()
    shared = (await one.get("/v1/relationships/{rid}"))["streams"]["shared"]
    await service.ask("SET session_replication_role = replica")  # these streams have no heads
    await service.ask(FILL, one.rid, shared)
    await service.ask("ANALYZE")
    ids = [row[name] for row in await service.ask(SOME, shared)]
    context: Context = service.app.state.context
    async with context.writer() as db, db.transaction(), reading_as_members(db, [UUID(one.member_id)]):
        columns = ([UUID(one.rid)] * len(ids), [UUID(shared)] * len(ids), ids)
        plan = "\n".join(row[0] for row in await db.fetch(f"EXPLAIN (ANALYZE) {statement}", *columns))
    assert "Removed by Filter" not in plan, plan
