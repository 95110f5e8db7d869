"""Plan prompts: each member's windows some hours ahead, and both members' after a shared event.

Whoever plans reads, reckons and then keeps what came of it only if nobody else has planned for that member meanwhile:
any number of workers may do so at once, and one that is killed leaves nothing behind. What dispatching will have to
know of quiet hours is reckoned here, so that it needs no more than a look at the time.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import structlog
from asyncpg import Record
from msgspec import Struct
from msgspec.structs import replace

from service.context import Context
from service.core.tokens import new_id
from service.prompts.catalogue import SELF_QUESTIONS
from service.prompts.lifecycle import reminder_due_at, scheduled, sent
from service.prompts.planning import (
    ONE_DAY,
    AskedBefore,
    Occurrence,
    SharedEvent,
    Whereabouts,
    after_event,
    draw,
    instant_of,
    plan_day,
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


class Planner(Struct, frozen=True):
    """What is known of a member when their prompts are planned."""

    member_id: UUID
    schedule: Schedule
    seed: bytes
    place: Whereabouts
    plan_at: datetime | None
    planned: UUID | None


class PlannedPrompt(Struct, frozen=True):
    """A row to be, by its columns."""

    member_id: UUID
    prompt_id: UUID
    relationship_id: UUID
    reason: Literal["schedule", "after_event"]
    item_id: UUID
    day: date
    asked_on: date
    questions: Sequence[str]
    reflects: bool
    due_at: datetime
    send_before: datetime
    remind_at: datetime | None
    remind_before: datetime | None
    expires_at: datetime


class Plan(Struct, frozen=True):
    """What one member's planning has come to, and when they are planned for next."""

    planner: Planner
    next_at: datetime | None
    prompts: list[PlannedPrompt]


# --- Windows


async def plan_windows(context: Context) -> int:
    """Plan for members for whom it is time, a batch at most; says for how many it was done."""
    now = context.now()
    due = await context.scheduler_db.fetch(DUE, now, BATCH)
    planners = await _planners(context, [row["member_id"] for row in due]) if due else {}
    if not planners:
        return 0
    asked, living = await _asked(context, list(planners), now), await _living(context, list(planners))
    plans = [_windows(context, one, asked[name], living[name], now) for name, one in planners.items()]
    return len(await _keep(context, plans))


DUE = """
SELECT member_id
FROM schedules
WHERE plan_at <= $1
ORDER BY plan_at
LIMIT $2
"""

PLANNERS = """
SELECT
    schedules.member_id,
    schedules.schedule,
    schedules.seed,
    schedules.since,
    schedules.plan_at,
    schedules.planned,
    members.time_zone
FROM schedules
JOIN members USING (member_id)
WHERE schedules.member_id = ANY ($1::uuid[])
"""


async def _planners(context: Context, member_ids: Sequence[UUID]) -> dict[UUID, Planner]:
    """By member. Who cannot be planned for, because a zone is gone or a schedule is not understood, is left out."""
    found = {}
    for row in await context.scheduler_db.fetch(PLANNERS, member_ids):
        try:
            found[row["member_id"]] = _planner(row)
        except (msgspec.MsgspecError, ZoneInfoNotFoundError) as error:
            log.error("not_planned", member=str(row["member_id"]), error=type(error).__name__)
    return found


def _planner(row: Record) -> Planner:
    schedule = msgspec.json.decode(row["schedule"], type=Schedule)
    place = Whereabouts(ZoneInfo(row["time_zone"]), row["since"])
    return Planner(row["member_id"], schedule, row["seed"], place, row["plan_at"], row["planned"])


def _windows(
    context: Context, planner: Planner, asked: Iterable[AskedBefore], living: set[UUID], now: datetime
) -> Plan:
    """The days from yesterday, whose windows may cross midnight, to the last one that begins before the next planning.

    The item of a relationship that has ended is as if it were not there.
    """
    zone, schedule = planner.place.zone, planner.schedule
    items = {item.id: item for item in schedule.check_ins if item.relationship_id in living}
    left = replace(schedule, check_ins=list(items.values()))
    first, last = now.astimezone(zone).date() - ONE_DAY, (now + LEAD + SPREAD).astimezone(zone).date()
    standing, prompts = list(asked), list[PlannedPrompt]()
    for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
        for found in plan_day(left, planner.place, day, planner.seed, standing):
            if stands := _stands(found):
                standing.append(stands)
            item = items[found.item_id]
            if prompt := _prompt(context, planner, found, item.relationship_id, "schedule", item.questions, now):
                prompts.append(prompt)
    # Without windows there is nothing to come back for: a new schedule says itself when it is due.
    return Plan(planner, _next_planning(planner, last) if schedule.check_ins else None, prompts)


def _next_planning(planner: Planner, last: date) -> datetime:
    """Before the day after the last planned one, each member at a moment of their own."""
    midnight = datetime.fromtimestamp(instant_of(last + ONE_DAY, time.min, planner.place.zone), UTC)
    spread = SPREAD.total_seconds() * (draw(planner.seed, "planning") / 2**64)
    return midnight - LEAD - timedelta(seconds=int(spread))


# --- After shared events


class Two(Struct, frozen=True):
    """One of the two members of a relationship and the other, by the ids that they have as authors."""

    member_id: UUID
    me: UUID
    partner: UUID


async def plan_after_events(context: Context) -> int:
    """Plan what follows shared events, a batch at most; says how many events there were.

    An event goes when both members are done with it. One that could not be planned for, because somebody else planned
    at that moment, is looked at again; who has had their prompt by then is not asked twice.
    """
    now = context.now()
    await context.scheduler_db.execute(FORGET_UNASKED, UNASKED_BATCH)
    events = await context.scheduler_db.fetch(OCCASIONS, BATCH)
    if not events:
        return 0
    couples = await _couples(context, [event["relationship_id"] for event in events])
    members = {two.member_id for twos in couples.values() for two in twos}
    planners = await _planners(context, list(members))
    wanting = {name: one for name, one in planners.items() if one.schedule.after_events.enabled}
    asked = await _asked(context, list(wanting), now)
    plans = [_after(context, one, asked[name], _lived(events, couples, name), now) for name, one in wanting.items()]
    missed = set(wanting) - await _keep(context, plans)
    done = [one for one in events if missed.isdisjoint(two.member_id for two in couples[one["relationship_id"]])]
    await context.scheduler_db.execute(
        FORGET, [one["relationship_id"] for one in done], [one["event_id"] for one in done]
    )
    return len(done)


# What is of nobody who is ever asked need not be looked at here one by one: recording must stay fast beside it.
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

FORGET = """
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


async def _couples(context: Context, relationships: Sequence[UUID]) -> dict[UUID, list[Two]]:
    """The members of those relationships that have not ended."""
    found: dict[UUID, list[Two]] = defaultdict(list)
    for row in await context.scheduler_db.fetch(COUPLES, relationships):
        found[row["relationship_id"]].append(Two(row["member_id"], row["me"], row["partner"]))
    return found


def _lived(events: Iterable[Record], couples: dict[UUID, list[Two]], member_id: UUID) -> list[tuple[UUID, SharedEvent]]:
    """The events of one member's relationships, as seen by them."""
    return [
        (event["relationship_id"], SharedEvent(event["event_id"], event["recorded_at"], two.me, two.partner))
        for event in events
        for two in couples[event["relationship_id"]]
        if two.member_id == member_id
    ]


def _after(
    context: Context,
    planner: Planner,
    asked: Iterable[AskedBefore],
    events: Iterable[tuple[UUID, SharedEvent]],
    now: datetime,
) -> Plan:
    standing, prompts = list(asked), list[PlannedPrompt]()
    questions = planner.schedule.after_events.questions
    for relationship_id, event in events:
        found = after_event(event, planner.schedule, planner.place, planner.seed, standing)
        prompt, stands = (
            _prompt(context, planner, found, relationship_id, "after_event", questions, now),
            _stands(found),
        )
        # One that came too late was not asked, and takes nobody's place.
        if prompt and stands:
            prompts.append(prompt)
            standing.append(stands)
    return Plan(planner, planner.plan_at, prompts)


# --- What both share


ASKED = """
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


async def _asked(context: Context, members: Sequence[UUID], now: datetime) -> dict[UUID, list[AskedBefore]]:
    """What stands of each member, of the weeks around. Read behind the planners, so that nothing planned is missed."""
    found: dict[UUID, list[AskedBefore]] = defaultdict(list)
    for row in await context.scheduler_db.fetch(ASKED, members, now - LOOK_BACK):
        found[row["member_id"]].append(AskedBefore(row["item_id"], row["day"], row["due_at"], row["asked_on"]))
    return found


LIVING = """
SELECT
    memberships.member_id,
    memberships.relationship_id
FROM memberships
JOIN relationships USING (relationship_id)
WHERE memberships.member_id = ANY ($1::uuid[])
    AND relationships.state <> 'ended'
"""


async def _living(context: Context, members: Sequence[UUID]) -> dict[UUID, set[UUID]]:
    """The relationships of each member that have not ended."""
    found: dict[UUID, set[UUID]] = defaultdict(set)
    for row in await context.scheduler_db.fetch(LIVING, members):
        found[row["member_id"]].add(row["relationship_id"])
    return found


def _stands(found: Occurrence) -> AskedBefore | None:
    return AskedBefore(found.item_id, found.day, found.at, found.on) if found.at and found.on else None


def _prompt(
    context: Context,
    planner: Planner,
    found: Occurrence,
    relationship_id: UUID,
    reason: Literal["schedule", "after_event"],
    questions: Sequence[str],
    now: datetime,
) -> PlannedPrompt | None:
    """The prompt that an occurrence comes to, or none: a day that is left out has a reason, in the log at most."""
    if not (found.at and found.on):
        log.debug("not_asked", member=str(planner.member_id), day=str(found.day), why=found.omitted)
        return None
    quiet, zone = planner.schedule.quiet, planner.place.zone
    send_before = until_quiet(found.at, found.at + WORTH_SENDING, quiet, zone)
    if send_before <= now:
        log.debug("not_asked", member=str(planner.member_id), day=str(found.day), why="too_late")
        return None
    life = scheduled(found.at)
    remind_at = reminder_due_at(sent(life, found.at), quiet, zone)
    return PlannedPrompt(
        member_id=planner.member_id,
        prompt_id=new_id(context.random_bytes, f"prompt id {planner.member_id} {found.item_id} {found.day}"),
        relationship_id=relationship_id,
        reason=reason,
        item_id=found.item_id,
        day=found.day,
        asked_on=found.on,
        questions=questions,
        reflects=not set(SELF_QUESTIONS).isdisjoint(questions),
        due_at=found.at,
        send_before=send_before,
        remind_at=remind_at,
        remind_before=remind_at and until_quiet(remind_at, remind_at + WORTH_SENDING, quiet, zone),
        expires_at=life.expires_at,
    )


# Who has planned for a member, or changed what is to be planned, since it was read, makes the plan void.
KEEP = """
WITH planned AS (
    UPDATE schedules
    SET
        plan_at = planner.next_at,
        planned = $1
    FROM json_to_recordset($2) AS planner (
        member_id uuid,
        since timestamptz,
        planned uuid,
        next_at timestamptz
    )
    WHERE schedules.member_id = planner.member_id
        AND schedules.since = planner.since
        AND schedules.planned IS NOT DISTINCT FROM planner.planned
    RETURNING schedules.member_id
), kept AS (
    INSERT INTO prompts (
        member_id,
        prompt_id,
        relationship_id,
        reason,
        item_id,
        day,
        asked_on,
        questions,
        reflects,
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
        prompt.reflects,
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
        questions text[],
        reflects boolean,
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
    """Keep what was planned, where it still holds; the members for whom it does."""
    # By id, so that two who keep plans of the same members do not wait for each other in a circle.
    ordered = sorted(plans, key=lambda plan: plan.planner.member_id)
    planners = [
        {
            "member_id": one.planner.member_id,
            "since": one.planner.place.since,
            "planned": one.planner.planned,
            "next_at": one.next_at,
        }
        for one in ordered
    ]
    prompts = [prompt for plan in ordered for prompt in plan.prompts]
    planning_id = new_id(context.random_bytes, "planning id")
    rows = await context.scheduler_db.fetch(KEEP, planning_id, _as_json(planners), _as_json(prompts))
    return {row["member_id"] for row in rows}


def _as_json(rows: Sequence[object]) -> str:
    return msgspec.json.encode(rows).decode()
