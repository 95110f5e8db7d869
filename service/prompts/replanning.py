"""Plan a member's prompts again when their schedule or time zone changes.

What the schedule itself asks for is deleted, and `planner` plans it again. A prompt after a shared event cannot be
planned again, for its occasion is gone by then: it stays where it is, unless the schedule now forbids it.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record

from events.heads import DbConnection
from events.records import transposed
from service.keys.keyring import Keyring
from service.prompts.ciphertexts import decrypt_schedule
from service.prompts.planning import AskedBefore, is_quiet, over_cap, until_quiet
from service.prompts.schedule import Schedule

# Caps look at the ISO weeks around a prompt.
LOOK_BACK = timedelta(days=9)


def is_on(schedule: Schedule) -> bool:
    """Whether anything is ever to be asked."""
    return bool(schedule.check_ins) or schedule.after_events.enabled


LOCK_SCHEDULE = """
SELECT schedule
FROM schedules
WHERE member_id = $1
FOR UPDATE
"""

ZONE = """
SELECT time_zone
FROM members
WHERE member_id = $1
"""

PLAN_FROM_NOW = """
UPDATE schedules
SET
    since = $2,
    plan_at = CASE WHEN plan_at IS NOT NULL THEN $2::timestamptz END
WHERE member_id = $1
"""


async def zone_of(db: DbConnection, member_id: UUID) -> ZoneInfo:
    """The time zone of a member."""
    return ZoneInfo(await db.fetchval(ZONE, member_id))


async def change_time_zone(db: DbConnection, keys: Keyring, member_id: UUID, time_zone: str, now: datetime) -> None:
    """Plan again for a member whose time zone is about to change; where it is that zone already, do nothing.

    Locks the schedule's row before the member's row is written, as all others do: this avoids deadlock.
    """
    ciphertext = await db.fetchval(LOCK_SCHEDULE, member_id)
    zone = ZoneInfo(time_zone)
    if ciphertext is None or zone == await zone_of(db, member_id):
        return
    await db.execute(PLAN_FROM_NOW, member_id, now)
    await plan_again(db, member_id, await decrypt_schedule(keys, member_id, ciphertext), zone, now)


# In the order of dispatching and answering.
FORGET_PLANNED = """
WITH locked_prompts AS (
    SELECT
        prompts.member_id,
        prompts.prompt_id
    FROM prompts
    WHERE prompts.member_id = $1
        AND prompts.reason = 'schedule'
        AND prompts.state = 'scheduled'
    ORDER BY prompts.prompt_id
    FOR UPDATE
)
DELETE FROM prompts
USING locked_prompts
WHERE prompts.member_id = locked_prompts.member_id
    AND prompts.prompt_id = locked_prompts.prompt_id
    AND prompts.state = 'scheduled'
"""

RECENT_PROMPTS = """
SELECT
    prompt_id,
    item_id,
    day,
    asked_on,
    state,
    due_at,
    send_before,
    remind_at,
    remind_before,
    reminded_at
FROM prompts
WHERE member_id = $1
    AND due_at > $2
ORDER BY
    member_id,
    prompt_id
FOR UPDATE
"""

FORGET_THOSE = """
DELETE FROM prompts
WHERE member_id = $1
    AND prompt_id = ANY ($2::uuid[])
"""

SET_TIMES = """
UPDATE prompts
SET
    send_before = kept.send_before,
    remind_at = kept.remind_at,
    remind_before = kept.remind_before
FROM unnest($2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[]) AS kept (
    prompt_id, send_before, remind_at, remind_before
)
WHERE prompts.member_id = $1
    AND prompts.prompt_id = kept.prompt_id
"""


async def plan_again(db: DbConnection, member_id: UUID, schedule: Schedule, zone: ZoneInfo, now: datetime) -> None:
    """Delete what is scheduled, but for what follows a shared event and is still allowed."""
    await db.execute(FORGET_PLANNED, member_id)
    recent = await db.fetch(RECENT_PROMPTS, member_id, now - LOOK_BACK)
    kept, forbidden = keep_or_cancel(recent, schedule, zone)
    await db.execute(FORGET_THOSE, member_id, forbidden)
    if kept:
        await db.execute(SET_TIMES, member_id, *transposed([_times(row, schedule, zone) for row in kept]))


def keep_or_cancel(recent: list[Record], schedule: Schedule, zone: ZoneInfo) -> tuple[list[Record], list[UUID]]:
    """Those prompts from which something may still be sent, and the ids of those that must not be, the earlier first.

    A prompt that was sent stays, and counts against the caps.
    """
    waiting = sorted((row for row in recent if row["state"] == "scheduled"), key=lambda row: row["due_at"])
    asked = [_asked_before(row) for row in recent if row["state"] != "scheduled"]
    kept, forbidden = [row for row in recent if row["state"] == "sent" and row["reminded_at"] is None], []
    for row in waiting:
        if _is_forbidden(row["due_at"], schedule, zone) or over_cap(row["due_at"], zone, schedule, asked):
            forbidden.append(row["prompt_id"])
        else:
            asked.append(_asked_before(row))
            kept.append(row)
    return kept, forbidden


def _asked_before(row: Record) -> AskedBefore:
    return AskedBefore(row["item_id"], row["day"], row["due_at"], row["asked_on"])


def _is_forbidden(due_at: datetime, schedule: Schedule, zone: ZoneInfo) -> bool:
    return not schedule.after_events.enabled or _is_silent(due_at, schedule, zone)


def _is_silent(at: datetime, schedule: Schedule, zone: ZoneInfo) -> bool:
    paused = schedule.paused_until is not None and at < schedule.paused_until
    return paused or is_quiet(at, schedule.quiet, zone)


def _times(row: Record, schedule: Schedule, zone: ZoneInfo) -> tuple[Any, ...]:
    """A prompt's id, until when it may be sent, and from when until when reminded of, outside quiet hours."""
    send_before = until_quiet(row["due_at"], row["send_before"], schedule.quiet, zone)
    remind_at, remind_before = row["remind_at"], row["remind_before"]
    if remind_at is None or _is_silent(remind_at, schedule, zone):
        return row["prompt_id"], send_before, None, None
    remind_before = remind_before and until_quiet(remind_at, remind_before, schedule.quiet, zone)
    return row["prompt_id"], send_before, remind_at, remind_before
