"""How fast prompts are planned and claimed for 100,000 members, and how late they are, 1,000 in a minute."""

import asyncio
import logging
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import msgspec
import structlog

from events.encryption import KEY_BYTES
from service import worker
from service.app import open_context
from service.context import Context
from service.core.clock import utc_now
from service.core.mail import ConsoleMailer
from service.core.randomness import system_random_bytes
from service.keys import field_encryption
from service.keys.epochs import FIRST_EPOCH
from service.keys.key_store import FileKeyStore
from service.prompts import dispatch, planner
from service.prompts.ciphertexts import encrypt_questions
from service.prompts.schedule import WEEKDAYS, Schedule, ScheduledCheckIn
from service.push import outbox
from service.push.notices import AppleDevice, Delivered, Notice, PushOutcome
from service.settings import Settings
from tests.benchmarks.servers import migrated
from tests.benchmarks.table import Figure, Setting, only
from tests.support.postgres import execute

MEMBERS = 100_000
DUE, DUE_SECONDS = 1000, 60

FILL_BATCH = 1000

# Everybody has a key, and a schedule that is encrypted with it.
WANTING = """
WITH kept AS (
    INSERT INTO keys.wrapped (purpose, owner_id, epoch, wrapped)
    SELECT 'member', member_id, $2, wrapped
    FROM unnest($1::uuid[], $3::bytea[]) AS wrapped (member_id, wrapped)
), made AS (
    INSERT INTO members (member_id, time_zone, consent_version, created_at)
    SELECT member_id, 'Europe/Berlin', '1', now() FROM unnest($1::uuid[]) AS made (member_id)
)
INSERT INTO schedules (member_id, schedule, seed, since, plan_at)
SELECT member_id, schedule, sha256(member_id::text::bytea), now() - interval '30 days', now()
FROM unnest($1::uuid[], $4::bytea[]) AS wanting (member_id, schedule)
"""

# Everybody is alone in a relationship, has one device, and is asked in the evening.
FILL = """
INSERT INTO relationships (relationship_id, state, shared_stream_id, created_at)
SELECT member_id, 'solo', gen_random_uuid(), now() FROM members;
INSERT INTO memberships (relationship_id, seat, member_id, author_id, private_stream_id, joined_at)
SELECT member_id, 1, member_id, gen_random_uuid(), gen_random_uuid(), now() FROM members;
INSERT INTO sessions (session_id, member_id, device_name, created_at, refreshed_at)
SELECT member_id, member_id, '', now(), now() FROM members;
INSERT INTO devices (
    member_id, device_id, session_id, platform, provider, address, address_hash, registration, registered_at
)
SELECT member_id, member_id, member_id, 'ios', 'apns', '', uuid_send(member_id), gen_random_uuid(), now() FROM members;
ANALYZE
"""


def measure(setting: Setting) -> list[Figure]:
    """Rates over everybody, and lateness through the worker as it runs."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    members, share = max(1000, int(MEMBERS * setting.size)), min(1.0, max(0.1, setting.size))
    url = migrated(setting.url, "asking")
    store = FileKeyStore(setting.folder / "asking-keys")
    asyncio.run(_fill(url, store, members))
    return asyncio.run(_measured(url, store, members, share))


async def _fill(url: str, store: FileKeyStore, members: int) -> None:
    db, epoch = await asyncpg.connect(url), FIRST_EPOCH
    await db.execute("INSERT INTO keys.epochs (epoch, began_at) VALUES ($1, $2)", epoch, utc_now())
    for first in range(0, members, FILL_BATCH):
        keys = {uuid4(): os.urandom(KEY_BYTES) for _ in range(min(FILL_BATCH, members - first))}
        wrapped = [store.wrap(epoch, key) for key in keys.values()]
        await db.execute(WANTING, list(keys), epoch, wrapped, [_wanted(member, key) for member, key in keys.items()])
    await db.execute(FILL)
    await db.close()


def _wanted(member: UUID, key: bytes) -> bytes:
    """A member's schedule, encrypted; the relationship has their id."""
    item = ScheduledCheckIn(uuid4(), member, list(WEEKDAYS), "20:00", "22:00", ["close"])
    return field_encryption.encrypt(key, member, "schedule", field_encryption.padded_json(Schedule(check_ins=[item])))


async def _measured(url: str, store: FileKeyStore, members: int, share: float) -> list[Figure]:
    opened = open_context(url, Settings(), ConsoleMailer(), store, utc_now, system_random_bytes)
    async with opened as context:
        planning = await _seconds(lambda: planner.plan_windows(context))
        prompts = await context.scheduler_db.fetchval("SELECT count(*) FROM prompts")
        await execute(url, "DELETE FROM prompts WHERE day > (SELECT min(day) FROM prompts)")
        due = await context.scheduler_db.fetchval("SELECT count(*) FROM prompts")
        await execute(
            url, "UPDATE prompts SET due_at = now(), send_before = now() + interval '1 hour'; ANALYZE prompts"
        )
        dispatching = await _seconds(lambda: dispatch.dispatch(context))
        claiming = await _seconds(lambda: _claimed(context))
        await execute(url, "DELETE FROM outbox; DELETE FROM prompts")
        late = await _late(context, url, int(DUE * share), DUE_SECONDS * share)
    late.sort()
    middle, last = statistics.median(late), late[int(len(late) * 0.99)]
    return [
        only(f"prompts planned for {members:,} members", f"{prompts / planning:,.0f} a second"),
        only("due prompts put into the outbox", f"{due / dispatching:,.0f} a second"),
        only("pushes claimed from the outbox", f"{due / claiming:,.0f} a second"),
        only(
            f"from due to the sender, {len(late):,} due in {DUE_SECONDS * share:.0f} s",
            f"p50 {middle:.2f} s, p99 {last:.2f} s",
        ),
    ]


async def _seconds(step: Callable[[], Awaitable[int]]) -> float:
    """How long it takes until a step finds nothing more to do."""
    began = time.perf_counter()
    while await step():
        pass
    return time.perf_counter() - began


async def _claimed(context: Context) -> int:
    return len(await outbox.claim(context, worker.MAX_IN_FLIGHT))


class Noting:
    """A sender that notes when each device's push was handed to it."""

    def __init__(self) -> None:
        self.came: dict[str, datetime] = {}

    async def send(self, notice: Notice) -> PushOutcome:
        """Take it at once."""
        assert isinstance(notice.device, AppleDevice)
        self.came[notice.device.token] = utc_now()
        return Delivered()


ADDRESS = "UPDATE devices SET address = $2 WHERE member_id = $1"

PROMPT = """
INSERT INTO prompts (
    member_id, prompt_id, relationship_id, reason, item_id, day, asked_on, questions, looked_into, due_at, send_before,
    expires_at, state, late
) VALUES ($1, $1, $1, 'schedule', $1, $2::timestamptz, $2, $5, false, $2, $3, $4, 'scheduled', false)
"""


async def _late(context: Context, url: str, count: int, seconds: float) -> list[float]:
    """The seconds from due to handed over, of so many prompts that are due in so long a time."""
    members = [
        row["member_id"] for row in await context.scheduler_db.fetch("SELECT member_id FROM schedules LIMIT $1", count)
    ]
    db, chance = await asyncpg.connect(url), random.Random(8)
    for member in members:
        told = msgspec.json.encode(AppleDevice(member.hex)).decode()
        await db.execute(ADDRESS, member, await context.keys.encrypt_for(member, "push_address", told))
    begin = utc_now() + timedelta(seconds=2)
    due = {member.hex: begin + timedelta(seconds=seconds * chance.random()) for member in members}
    times = [(member, due[member.hex]) for member in members]
    rows = [
        (
            member,
            at,
            at + timedelta(hours=1),
            at + timedelta(hours=12),
            await encrypt_questions(context.keys, member, []),
        )
        for member, at in times
    ]
    await db.executemany(PROMPT, rows)
    await db.close()
    sender, stop = Noting(), asyncio.Event()
    running = asyncio.create_task(worker.run(context, sender, stop))
    await asyncio.sleep(seconds + 6)
    stop.set()
    await running
    assert sender.came.keys() == due.keys()
    return [(sender.came[name] - at).total_seconds() for name, at in due.items()]
