"""Plan a member's prompts again when their schedule, time zone or pauses change.

What the schedule itself asks for is deleted, and `planner` plans it again. A prompt after a shared event cannot be
planned again, for its occasion is gone by then: it stays where it is, unless the schedule now forbids it.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record
from msgspec.structs import replace

from events.heads import DbConnection
from events.records import transposed
from service.access.pauses import decrypt_pauses, spans_of
from service.keys.keyring import Keyring
from service.prompts.ciphertexts import decrypt_schedule
from service.prompts.planning import (
    AskedBefore,
    Paused,
    Whereabouts,
    is_paused,
    is_quiet,
    over_cap,
    until_paused,
    until_quiet,
)
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

PLACE = """
SELECT
    time_zone,
    pauses
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


async def place_of(db: DbConnection, keys: Keyring, member_id: UUID, now: datetime) -> Whereabouts:
    """Where a member is, and when they pause; planned for from now on."""
    row = await db.fetchrow(PLACE, member_id)
    assert row is not None
    paused = spans_of(await decrypt_pauses(keys, member_id, row["pauses"]))
    return Whereabouts(ZoneInfo(row["time_zone"]), now, paused)


async def change_time_zone(db: DbConnection, keys: Keyring, member_id: UUID, time_zone: str, now: datetime) -> None:
    """Plan again for a member whose time zone is about to change; where it is that zone already, do nothing.

    Locks the schedule's row before the member's row is written, as all others do: this avoids deadlock.
    """
    ciphertext = await db.fetchval(LOCK_SCHEDULE, member_id)
    place, zone = await place_of(db, keys, member_id, now), ZoneInfo(time_zone)
    if ciphertext is not None and zone != place.zone:
        await _plan_from_now(db, keys, member_id, ciphertext, replace(place, zone=zone))


async def lock_schedule(db: DbConnection, member_id: UUID) -> None:
    """Lock the schedule's row, if there is one: before the member's row, as all do who write both."""
    await db.fetchval(LOCK_SCHEDULE, member_id)


async def change_pauses(db: DbConnection, keys: Keyring, member_id: UUID, paused: Paused, now: datetime) -> None:
    """Plan again for a member whose pauses are about to change; it locks as `change_time_zone` does."""
    ciphertext = await db.fetchval(LOCK_SCHEDULE, member_id)
    place = await place_of(db, keys, member_id, now)
    if ciphertext is not None and paused != place.paused:
        await _plan_from_now(db, keys, member_id, ciphertext, replace(place, paused=paused))


async def _plan_from_now(
    db: DbConnection, keys: Keyring, member_id: UUID, ciphertext: bytes, place: Whereabouts
) -> None:
    await db.execute(PLAN_FROM_NOW, member_id, place.since)
    await plan_again(db, member_id, await decrypt_schedule(keys, member_id, ciphertext), place)


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


async def plan_again(db: DbConnection, member_id: UUID, schedule: Schedule, place: Whereabouts) -> None:
    """Delete what is scheduled, but for what follows a shared event and is still allowed."""
    await db.execute(FORGET_PLANNED, member_id)
    recent = await db.fetch(RECENT_PROMPTS, member_id, place.since - LOOK_BACK)
    kept, forbidden = keep_or_cancel(recent, schedule, place)
    await db.execute(FORGET_THOSE, member_id, forbidden)
    if kept:
        await db.execute(SET_TIMES, member_id, *transposed([_times(row, schedule, place) for row in kept]))


def keep_or_cancel(recent: list[Record], schedule: Schedule, place: Whereabouts) -> tuple[list[Record], list[UUID]]:
    """Those prompts from which something may still be sent, and the ids of those that must not be, the earlier first.

    A prompt that was sent stays, and counts against the caps.
    """
    waiting = sorted((row for row in recent if row["state"] == "scheduled"), key=lambda row: row["due_at"])
    asked = [_asked_before(row) for row in recent if row["state"] != "scheduled"]
    kept, forbidden = [row for row in recent if row["state"] == "sent" and row["reminded_at"] is None], []
    for row in waiting:
        if _is_forbidden(row["due_at"], schedule, place) or over_cap(row["due_at"], place.zone, schedule, asked):
            forbidden.append(row["prompt_id"])
        else:
            asked.append(_asked_before(row))
            kept.append(row)
    return kept, forbidden


def _asked_before(row: Record) -> AskedBefore:
    return AskedBefore(row["item_id"], row["day"], row["due_at"], row["asked_on"])


def _is_forbidden(due_at: datetime, schedule: Schedule, place: Whereabouts) -> bool:
    return not schedule.after_events.enabled or _is_silent(due_at, schedule, place)


def _is_silent(at: datetime, schedule: Schedule, place: Whereabouts) -> bool:
    put_off = schedule.paused_until is not None and at < schedule.paused_until
    return put_off or is_paused(at, place.paused, place.zone) or is_quiet(at, schedule.quiet, place.zone)


def _times(row: Record, schedule: Schedule, place: Whereabouts) -> tuple[Any, ...]:
    """A prompt's id, until when it may be sent, and from when until when reminded of: not while all is silent."""
    send_before = _until(row["due_at"], row["send_before"], schedule, place)
    remind_at, remind_before = row["remind_at"], row["remind_before"]
    if remind_at is None or _is_silent(remind_at, schedule, place):
        return row["prompt_id"], send_before, None, None
    return row["prompt_id"], send_before, remind_at, remind_before and _until(remind_at, remind_before, schedule, place)


def _until(at: datetime, before: datetime, schedule: Schedule, place: Whereabouts) -> datetime:
    return until_quiet(at, until_paused(at, before, place.paused, place.zone), schedule.quiet, place.zone)
