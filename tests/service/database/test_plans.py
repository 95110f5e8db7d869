"""What is looked for by an id is found by its index, whatever else the stream holds and whoever looks."""

from uuid import UUID

import pytest

from events.lookups import ALTERING, FIND, PRESENT, SEALED
from service.context import Context, reading_as_members
from tests.support.phones import Running

# Many short streams and a long one: the planner believes that a stream is as good as an id.
FILL = """
INSERT INTO events (
    relationship_id,
    stream,
    author,
    position,
    recorded_at,
    alters,
    event_id,
    commitment,
    link
)
SELECT
    CASE WHEN number < 1000 THEN $1::text::uuid ELSE gen_random_uuid() END,
    0,
    1,
    number,
    now(),
    number,
    gen_random_uuid(),
    decode(repeat('00', 32), 'hex'),
    decode(repeat('00', 32), 'hex')
FROM generate_series(10, 20000) AS number
"""

SOME = """
SELECT
    event_id,
    alters
FROM events
WHERE relationship_id = $1::text::uuid
    AND stream = 0
LIMIT 20
"""


@pytest.mark.parametrize(
    ("statement", "name", "index"),
    [
        (PRESENT, "event_id", "events_by_id"),
        (FIND, "event_id", "events_by_id"),
        (ALTERING, "alters", "events_altering"),
        (SEALED, "alters", "events_altering"),
    ],
)
async def test_no_stream_is_read_for_an_id(service: Running, statement: str, name: str, index: str) -> None:
    one, _ = await service.couple()
    await service.ask(FILL, one.rid)
    await service.ask("ANALYZE")
    ids = [row[name] for row in await service.ask(SOME, one.rid)]
    context: Context = service.app.state.context
    async with context.writer() as db, db.transaction(), reading_as_members(db, [UUID(one.member_id)]):
        columns = ([UUID(one.rid)] * len(ids), [0] * len(ids), ids)
        plan = "\n".join(row[0] for row in await db.fetch(f"EXPLAIN (ANALYZE) {statement}", *columns))
    assert index in plan, plan
    assert "Removed by Filter" not in plan, plan
