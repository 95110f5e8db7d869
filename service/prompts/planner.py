"""Plan prompts: each member's windows some hours ahead, and both members' prompts after a shared event.

Optimistic: it reads, computes (`planning`), and writes only if nobody else has planned for that member meanwhile. Any
number of workers may plan at once, and one that is killed leaves nothing behind. A prompt begins as `scheduled`
(`lifecycle`), with all times that `dispatch` will need of quiet hours computed here.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import structlog
from asyncpg import Record
from msgspec import Struct
from msgspec.structs import asdict, replace

from events.encryption import DecryptionFailed
from service.access.pauses import decrypt_pauses, spans_of
from service.context import Context
from service.core.tokens import new_id
from service.errors import KeyStoreError
from service.keys.keyring import Keyring
from service.prompts.catalogue import QuestionId
from service.prompts.ciphertexts import decrypt_schedule, encrypt_questions
from service.prompts.lifecycle import reminder_due_at, scheduled, sent
from service.prompts.planning import (
    ONE_DAY,
    AskedBefore,
    Occurrence,
    Paused,
    SharedEvent,
    Whereabouts,
    after_event,
    draw,
    instant_of,
    is_paused,
    plan_day,
    until_paused,
    until_quiet,
)
from service.prompts.schedule import Schedule

log = structlog.get_logger()

BATCH = 500
UNASKED_BATCH = 5000

# A day is planned from 6 to 12 hours before it begins: early enough for a service that was down for a while, and not
# for all members of a zone at the same moment.
LEAD, SPREAD = timedelta(hours=6), timedelta(hours=6)
# A prompt counts in the ISO week of its date, which is another one in another zone.
LOOK_BACK = timedelta(days=10)
# Later than that the moment has passed: it is left out.
WORTH_SENDING = timedelta(hours=1)

# What a member's schedule or key may raise; it must hold up nobody else.
UNREADABLE = (DecryptionFailed, KeyStoreError, msgspec.MsgspecError)


class PlannedMember(Struct, frozen=True):
    """What is known of a member for whom prompts are planned."""

    member_id: UUID
    schedule: Schedule
    seed: bytes
    place: Whereabouts
    plan_at: datetime | None
    planned: UUID | None


class PlannedPrompt(Struct, frozen=True):
    """A row to be, by its columns; the questions are encrypted when it is written."""

    member_id: UUID
    prompt_id: UUID
    relationship_id: UUID
    reason: Literal["schedule", "after_event"]
    item_id: UUID
    day: date
    asked_on: date
    questions: Sequence[QuestionId]
    due_at: datetime
    send_before: datetime
    remind_at: datetime | None
    remind_before: datetime | None
    expires_at: datetime


class Plan(Struct, frozen=True):
    """What one member's planning has come to, and when they are planned for next."""

    member: PlannedMember
    next_at: datetime | None
    prompts: list[PlannedPrompt]


# --- Windows


async def plan_windows(context: Context) -> int:
    """Plan for members for whom it is time, a batch at most; returns for how many it was done."""
    now = context.now()
    due = await context.scheduler_db.fetch(DUE, now, BATCH)
    members = await _members(context, [row["member_id"] for row in due]) if due else {}
    if not members:
        return 0
    asked, not_ended = await _asked_before(context, list(members), now), await _not_ended(context, list(members))
    plans = [_windows(context, one, asked[name], not_ended[name], now) for name, one in members.items()]
    return len(await _keep(context, plans))


DUE = """
SELECT member_id
FROM schedules
WHERE plan_at <= $1
ORDER BY plan_at
LIMIT $2
"""

MEMBERS = """
SELECT
    schedules.member_id,
    schedules.schedule,
    schedules.seed,
    schedules.since,
    schedules.plan_at,
    schedules.planned,
    members.time_zone,
    members.pauses
FROM schedules
JOIN members USING (member_id)
WHERE schedules.member_id = ANY ($1::uuid[])
"""


async def _members(context: Context, member_ids: Sequence[UUID]) -> dict[UUID, PlannedMember]:
    """By member id, without those whose zone does not exist any more or whose schedule cannot be read."""
    found = {}
    rows = await context.scheduler_db.fetch(MEMBERS, member_ids)
    await context.keys.fetch_for([row["member_id"] for row in rows])
    for row in rows:
        try:
            found[row["member_id"]] = await _member(context.keys, row)
        except (*UNREADABLE, ZoneInfoNotFoundError) as error:
            log.error("not_planned", member=str(row["member_id"]), error=type(error).__name__)
    return found


async def _member(keys: Keyring, row: Record) -> PlannedMember:
    schedule = await decrypt_schedule(keys, row["member_id"], row["schedule"])
    pauses = spans_of(await decrypt_pauses(keys, row["member_id"], row["pauses"]))
    place = Whereabouts(ZoneInfo(row["time_zone"]), row["since"], pauses)
    return PlannedMember(row["member_id"], schedule, row["seed"], place, row["plan_at"], row["planned"])


def _windows(
    context: Context, member: PlannedMember, asked: Iterable[AskedBefore], not_ended: set[UUID], now: datetime
) -> Plan:
    """The days from yesterday, whose windows may cross midnight, to the last one that begins before the next planning.

    The item of a relationship that has ended is as if it were not there.
    """
    zone, schedule = member.place.zone, member.schedule
    items = {item.id: item for item in schedule.check_ins if item.relationship_id in not_ended}
    left = replace(schedule, check_ins=list(items.values()))
    first, last = now.astimezone(zone).date() - ONE_DAY, (now + LEAD + SPREAD).astimezone(zone).date()
    asked_by_now, prompts = list(asked), list[PlannedPrompt]()
    for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
        for found in plan_day(left, member.place, day, member.seed, asked_by_now):
            if asked_now := _as_asked(found):
                asked_by_now.append(asked_now)
            item = items[found.item_id]
            if prompt := _prompt(context, member, found, item.relationship_id, "schedule", item.questions, now):
                prompts.append(prompt)
    # Without windows there is nothing to plan again for: a new schedule sets its own time.
    return Plan(member, _next_planning(member, last) if schedule.check_ins else None, prompts)


def _next_planning(member: PlannedMember, last: date) -> datetime:
    """Before the day after the last planned one, each member at a moment of their own."""
    midnight = datetime.fromtimestamp(instant_of(last + ONE_DAY, time.min, member.place.zone), UTC)
    spread = SPREAD.total_seconds() * (draw(member.seed, "planning") / 2**64)
    return midnight - LEAD - timedelta(seconds=int(spread))


# --- After shared events


class Paired(Struct, frozen=True):
    """One of the two members of a relationship, and the author ids of both."""

    member_id: UUID
    me: UUID
    partner: UUID


async def plan_after_events(context: Context) -> int:
    """Plan prompts after shared events, a batch at most; returns for how many events it was done.

    An occasion is deleted when both members are planned for. One whose plan was void, because somebody else planned
    at that moment, is looked at again; who has had their prompt by then is not asked twice.
    """
    now = context.now()
    await context.scheduler_db.execute(FORGET_UNASKED, UNASKED_BATCH)
    occasions = await context.scheduler_db.fetch(OCCASIONS, BATCH)
    if not occasions:
        return 0
    couples = await _couples(context, [one["relationship_id"] for one in occasions])
    members = await _members(context, list({paired.member_id for couple in couples.values() for paired in couple}))
    wanting = {name: one for name, one in members.items() if one.schedule.after_events.enabled}
    asked = await _asked_before(context, list(wanting), now)
    plans = [_after(context, one, asked[name], _events(occasions, couples, name), now) for name, one in wanting.items()]
    void = set(wanting) - await _keep(context, plans)
    done = [one for one in occasions if void.isdisjoint(paired.member_id for paired in couples[one["relationship_id"]])]
    await context.scheduler_db.execute(
        FORGET_OCCASIONS, [one["relationship_id"] for one in done], [one["event_id"] for one in done]
    )
    return len(done)


# Occasions of couples of whom nobody has a schedule are deleted unread: recording must stay fast beside it.
FORGET_UNASKED = """
DELETE FROM occasions
USING (
    SELECT
        relationship_id,
        event_id
    FROM occasions
    ORDER BY
        recorded_at,
        event_id
    LIMIT $1
) AS oldest
WHERE occasions.relationship_id = oldest.relationship_id
    AND occasions.event_id = oldest.event_id
    AND NOT EXISTS (
        SELECT
        FROM memberships
        JOIN schedules USING (member_id)
        WHERE memberships.relationship_id = occasions.relationship_id
    )
"""

OCCASIONS = """
SELECT
    occasions.relationship_id,
    occasions.event_id,
    occasions.recorded_at
FROM occasions
ORDER BY
    occasions.recorded_at,
    occasions.event_id
LIMIT $1
"""

FORGET_OCCASIONS = """
DELETE FROM occasions
USING unnest($1::uuid[], $2::uuid[]) AS done (relationship_id, event_id)
WHERE occasions.relationship_id = done.relationship_id
    AND occasions.event_id = done.event_id
"""

COUPLES = """
SELECT
    mine.relationship_id,
    mine.member_id,
    mine.author_id AS me,
    theirs.author_id AS partner
FROM relationships
JOIN memberships AS mine
    ON mine.relationship_id = relationships.relationship_id
JOIN memberships AS theirs
    ON theirs.relationship_id = relationships.relationship_id
    AND theirs.seat <> mine.seat
WHERE relationships.relationship_id = ANY ($1::uuid[])
    AND relationships.state = 'active'
"""


async def _couples(context: Context, relationships: Sequence[UUID]) -> dict[UUID, list[Paired]]:
    """The members of those relationships that are active."""
    found: dict[UUID, list[Paired]] = defaultdict(list)
    for row in await context.scheduler_db.fetch(COUPLES, relationships):
        found[row["relationship_id"]].append(Paired(row["member_id"], row["me"], row["partner"]))
    return found


def _events(
    occasions: Iterable[Record], couples: dict[UUID, list[Paired]], member_id: UUID
) -> list[tuple[UUID, SharedEvent]]:
    """The events of one member's relationships, as seen by them."""
    return [
        (one["relationship_id"], SharedEvent(one["event_id"], one["recorded_at"], paired.me, paired.partner))
        for one in occasions
        for paired in couples[one["relationship_id"]]
        if paired.member_id == member_id
    ]


def _after(
    context: Context,
    member: PlannedMember,
    asked: Iterable[AskedBefore],
    events: Iterable[tuple[UUID, SharedEvent]],
    now: datetime,
) -> Plan:
    asked_by_now, prompts = list(asked), list[PlannedPrompt]()
    questions = member.schedule.after_events.questions
    for relationship_id, event in events:
        found = after_event(event, member.schedule, member.place, member.seed, asked_by_now)
        prompt = _prompt(context, member, found, relationship_id, "after_event", questions, now)
        # One that came too late was not asked, and takes nobody's place.
        if prompt and (asked_now := _as_asked(found)):
            prompts.append(prompt)
            asked_by_now.append(asked_now)
    return Plan(member, member.plan_at, prompts)


# --- What both share


ASKED_BEFORE = """
SELECT
    prompts.member_id,
    prompts.item_id,
    prompts.day,
    prompts.due_at,
    prompts.asked_on
FROM prompts
WHERE prompts.member_id = ANY ($1::uuid[])
    AND prompts.due_at > $2
"""


async def _asked_before(context: Context, members: Sequence[UUID], now: datetime) -> dict[UUID, list[AskedBefore]]:
    """Each member's prompts of the weeks around. Read after the members, so that nothing planned is missed."""
    found: dict[UUID, list[AskedBefore]] = defaultdict(list)
    for row in await context.scheduler_db.fetch(ASKED_BEFORE, members, now - LOOK_BACK):
        found[row["member_id"]].append(AskedBefore(row["item_id"], row["day"], row["due_at"], row["asked_on"]))
    return found


NOT_ENDED = """
SELECT
    memberships.member_id,
    memberships.relationship_id
FROM memberships
JOIN relationships USING (relationship_id)
WHERE memberships.member_id = ANY ($1::uuid[])
    AND relationships.state <> 'ended'
"""


async def _not_ended(context: Context, members: Sequence[UUID]) -> dict[UUID, set[UUID]]:
    """The relationships of each member that have not ended."""
    found: dict[UUID, set[UUID]] = defaultdict(set)
    for row in await context.scheduler_db.fetch(NOT_ENDED, members):
        found[row["member_id"]].add(row["relationship_id"])
    return found


def _as_asked(found: Occurrence) -> AskedBefore | None:
    return AskedBefore(found.item_id, found.day, found.at, found.on) if found.at and found.on else None


def _prompt(
    context: Context,
    member: PlannedMember,
    found: Occurrence,
    relationship_id: UUID,
    reason: Literal["schedule", "after_event"],
    questions: Sequence[QuestionId],
    now: datetime,
) -> PlannedPrompt | None:
    """The prompt of an occurrence; null where a rule forbids it or it is too late, which only the debug log says."""
    if not (found.at and found.on):
        log.debug("not_asked", member=str(member.member_id), day=str(found.day), why=found.omitted)
        return None
    quiet, zone, paused = member.schedule.quiet, member.place.zone, member.place.paused
    send_before = until_quiet(found.at, _until(found.at, paused, zone), quiet, zone)
    if send_before <= now:
        log.debug("not_asked", member=str(member.member_id), day=str(found.day), why="too_late")
        return None
    life = scheduled(found.at)
    remind_at = reminder_due_at(sent(life, found.at), quiet, zone)
    if remind_at and is_paused(remind_at, paused, zone):
        remind_at = None
    return PlannedPrompt(
        member_id=member.member_id,
        prompt_id=new_id(context.random_bytes, f"prompt id {member.member_id} {found.item_id} {found.day}"),
        relationship_id=relationship_id,
        reason=reason,
        item_id=found.item_id,
        day=found.day,
        asked_on=found.on,
        questions=questions,
        due_at=found.at,
        send_before=send_before,
        remind_at=remind_at,
        remind_before=remind_at and until_quiet(remind_at, _until(remind_at, paused, zone), quiet, zone),
        expires_at=life.expires_at,
    )


def _until(at: datetime, paused: Paused, zone: ZoneInfo) -> datetime:
    return until_paused(at, at + WORTH_SENDING, paused, zone)


# A plan is void where the member was planned for, or their schedule or zone changed, since it was read.
KEEP_PLANS = """
WITH planned AS (
    UPDATE schedules
    SET
        plan_at = plan.next_at,
        planned = $1
    FROM json_to_recordset($2) AS plan (
        member_id uuid,
        since timestamptz,
        planned uuid,
        next_at timestamptz
    )
    WHERE schedules.member_id = plan.member_id
        AND schedules.since = plan.since
        AND schedules.planned IS NOT DISTINCT FROM plan.planned
    RETURNING schedules.member_id
), inserted_prompts AS (
    INSERT INTO prompts (
        member_id,
        prompt_id,
        relationship_id,
        reason,
        item_id,
        day,
        asked_on,
        questions,
        looked_into,
        due_at,
        send_before,
        remind_at,
        remind_before,
        expires_at,
        state,
        late
    )
    SELECT
        prompt.member_id,
        prompt.prompt_id,
        prompt.relationship_id,
        prompt.reason,
        prompt.item_id,
        prompt.day,
        prompt.asked_on,
        prompt.questions,
        false,
        prompt.due_at,
        prompt.send_before,
        prompt.remind_at,
        prompt.remind_before,
        prompt.expires_at,
        'scheduled',
        false
    FROM json_to_recordset($3) AS prompt (
        member_id uuid,
        prompt_id uuid,
        relationship_id uuid,
        reason text,
        item_id uuid,
        day date,
        asked_on date,
        questions bytea,
        due_at timestamptz,
        send_before timestamptz,
        remind_at timestamptz,
        remind_before timestamptz,
        expires_at timestamptz
    )
    JOIN planned USING (member_id)
    ON CONFLICT (member_id, item_id, day) DO NOTHING
)
SELECT planned.member_id
FROM planned
"""


async def _keep(context: Context, plans: Iterable[Plan]) -> set[UUID]:
    """Write the plans that are not void, each whole; returns the ids of their members."""
    read, prompts = list[dict[str, Any]](), list[dict[str, Any]]()
    # By id: two workers who write plans of the same members lock them in one order, which avoids deadlock.
    for plan in sorted(plans, key=lambda plan: plan.member.member_id):
        member = plan.member
        try:
            prompts += [await _row(context.keys, prompt) for prompt in plan.prompts]
        except UNREADABLE as error:  # erased since they were read
            log.error("not_planned", member=str(member.member_id), error=type(error).__name__)
            continue
        read.append(
            {
                "member_id": member.member_id,
                "since": member.place.since,
                "planned": member.planned,
                "next_at": plan.next_at,
            }
        )
    planning_id = new_id(context.random_bytes, "planning id")
    rows = await context.scheduler_db.fetch(KEEP_PLANS, planning_id, _as_json(read), _as_json(prompts))
    return {row["member_id"] for row in rows}


async def _row(keys: Keyring, prompt: PlannedPrompt) -> dict[str, Any]:
    questions = await encrypt_questions(keys, prompt.member_id, prompt.questions)
    return asdict(prompt) | {"questions": rf"\x{questions.hex()}"}  # as PostgreSQL spells bytes in JSON


def _as_json(rows: Sequence[object]) -> str:
    return msgspec.json.encode(rows).decode()
