"""What is looked for by an id is found by its index, whatever else the stream holds and whoever looks."""

import re
from uuid import UUID

import pytest

from events.lookups import ALTERING, FIND, LATEST, PRESENT
from projections.pages import SOME as SOME_PAGES
from service.context import Context
from service.recording.load import LOAD
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
        (LATEST, "alters", "events_altering"),
    ],
)
async def test_no_stream_is_read_for_an_id(service: Running, statement: str, name: str, index: str) -> None:
    one, _ = await service.couple()
    await service.ask(FILL, one.rid)
    await service.ask("ANALYZE")
    ids = [row[name] for row in await service.ask(SOME, one.rid)]
    context: Context = service.app.state.context
    async with context.reading_for([UUID(one.member_id)]) as db:
        columns = ([UUID(one.rid)] * len(ids), [0] * len(ids), ids)
        plan = "\n".join(row[0] for row in await db.fetch(f"EXPLAIN (ANALYZE) {statement}", *columns))
    assert index in plan, plan
    # Of the few rows of `readers` some releases of PostgreSQL look at all.
    assert [int(rows) for rows in re.findall(r"Rows Removed by Filter: (\d+)", plan) if int(rows) > 10] == [], plan
    assert statement != LATEST or "Sort" not in plan, plan  # the index has them in order


@pytest.mark.parametrize("couples", [0, 200])
async def test_a_page_is_looked_for_by_its_key_however_few_there_were_when_it_was_planned(
    service: Running, couples: int
) -> None:
    one, _ = await service.couple()
    await one.put("check-ins", {"occurred_at": "2026-06-15T10:00:00Z", "initiated_by": "me"})
    await service.ask(MORE_PAGES, couples)
    await service.ask("ANALYZE")
    author = [UUID(one.member_id)], [UUID(one.rid)]
    context: Context = service.app.state.context
    async with context.writer() as db:
        for statement, asked in (
            (LOAD, (*author, *author, [False], [24317])),
            (SOME_PAGES, ([UUID(one.rid)], [1], [1], [24317])),
        ):
            plan = "\n".join(row[0] for row in await db.fetch(f"EXPLAIN {statement}", *asked))
            assert re.search(r"pages_pkey on pages\b.*\n +Index Cond: .*month = ", plan), plan


MORE_PAGES = """
INSERT INTO pages (
    relationship_id,
    stream,
    author,
    month,
    ciphertext
)
SELECT
    gen_random_uuid(),
    1,
    1,
    24317,
    decode('00', 'hex')
FROM generate_series(1, $1)
"""
