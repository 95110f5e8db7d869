"""Whether what others have recorded slows anybody: few events against millions, few relationships against many."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import count

import asyncpg
from tqdm import tqdm

from tests.benchmarks import load
from tests.benchmarks.load import Load, Target
from tests.benchmarks.readings import cold_trends, tag_of
from tests.benchmarks.table import Figure, Setting, at_most, in_turn, median, ratio
from tests.benchmarks.writes import Stage, stage

FEW_EVENTS, MANY_EVENTS = 10_000, 10_000_000
FEW_COUPLES, MANY_COUPLES = 20, 20_000
DAYS = 250  # 20 couples have 10 thousand events then
PART = 100_000
ALONE = 4  # connections: how long one takes is looked at, not how many there are

# More of the same for everybody else's streams, with the lengths of real rows: nobody who is measured reads them.
# Beside 45 events, a month of one and a half a day, lies a page that counts them.
FILL = """
WITH place AS (
    SELECT relationship_id, row_number() OVER (ORDER BY relationship_id) - 1 AS number
    FROM relationships
    WHERE relationship_id <> ALL ($1)
),
made AS (
    SELECT relationship_id, ($2::bigint + made.nth / (SELECT count(*) FROM place))::integer AS position
    FROM generate_series(0, $3::bigint - 1) AS made (nth)
    JOIN place ON place.number = made.nth % (SELECT count(*) FROM place)
),
counted AS (
    INSERT INTO pages (relationship_id, stream, author, month, ciphertext)
    SELECT relationship_id, 0, 1, position, decode(repeat('ef', 28 + 320), 'hex')
    FROM made
    WHERE position % 45 = 0
)
INSERT INTO events (
    relationship_id, stream, author, position, recorded_at, alters, event_id, commitment, link, ciphertext
)
SELECT relationship_id, 0, 1, position, now(), (random() * 9e18)::bigint, gen_random_uuid(),
    decode(repeat('ab', 32), 'hex'), decode(repeat('cd', 32), 'hex'), decode(repeat('ef', 28 + 256), 'hex')
FROM made
"""


def measure(setting: Setting) -> list[Figure]:
    """The four of the speed table, each twice: how much longer one takes where there is more."""
    events, couples = round(MANY_EVENTS * setting.size), max(FEW_COUPLES, round(MANY_COUPLES * setting.size))
    with ExitStack() as stack:
        small = stack.enter_context(stage(setting, "few_of_all", FEW_COUPLES, DAYS))
        full = stack.enter_context(stage(setting, "many_events", 2 * FEW_COUPLES, DAYS))
        wide = stack.enter_context(stage(setting, "many_couples", FEW_COUPLES, DAYS, couples))
        asyncio.run(_fill(full.url, [c.relationship_id for c in full.couples[:FEW_COUPLES]], events))
        turns: dict[str, Callable[[], float]] = {}
        for name, on in (("small", small), ("full", full), ("wide", wide)):
            turns |= {f"{what} {name}": look for what, look in _looks(on).items()}
        found = in_turn(turns, setting.rounds)
    figures = []
    for what in _WHAT:
        for name, size in (("full", f"{events:,} events"), ("wide", f"{couples:,} relationships")):
            slower = ratio(found[f"{what} {name}"], found[f"{what} small"])
            note = f"{median(found[f'{what} small']):.2f} ms"
            figures.append(at_most(f"{what}: p50 with {size}, of that with few", slower, 1.1, note))
    return figures


_WHAT = ("PUT", "304", "200", "trend")


def _looks(on: Stage) -> dict[str, Callable[[], float]]:
    measured = on.couples[:FEW_COUPLES]
    whole = [Target(f"{c.path}/balances", c.first.token) for c in measured]
    known = [Target(t.path, t.token, tag_of(on.service, t)) for t in whole]
    put = on.requests(measured)
    loads = (Load("put", put.targets, put.body, ALONE), Load("get", known, "", ALONE), Load("get", whole, "", ALONE))
    turns: dict[str, Callable[[], float]] = {
        what: partial(_p50, on, one) for what, one in zip(_WHAT, loads, strict=False)
    }
    rounds = count()
    return turns | {"trend": lambda: cold_trends(on.service, measured, next(rounds))}


def _p50(on: Stage, one: Load) -> float:
    return load.run(on.service, one, on.setting.seconds, on.setting.folder).p50_ms


async def _fill(url: str, spared: list[object], events: int) -> None:
    """Rows for the other couples."""
    db = await asyncpg.connect(url)
    behind = 1_000_000  # all that is there
    for filled in tqdm(range(0, events, PART), unit_scale=PART, unit=" events", desc="Filling the log", leave=False):
        await db.execute(FILL, spared, behind + filled, PART)
    await db.execute("VACUUM ANALYZE")
    await db.close()
