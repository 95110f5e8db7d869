"""The outbox: rows are claimed under a lease, sent, and deleted when they are delivered or of no use any more.

A lease is a row's `due_at` moved on, with an id of its own: that of a worker that dies expires, and another goes on. A
push is sent at least once: a worker that is killed between sending it and writing so down has it sent again. On the
screen the second takes the place of the first, since all pushes share a collapse id.
"""

import asyncio
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

import structlog
from asyncpg import Record
from msgspec import Struct

from events.heads import DbConnection
from service.context import Context
from service.core.tokens import new_id
from service.database.outages import DATABASE_UNAVAILABLE
from service.push.addresses import decrypt_address
from service.push.exchange import LOST_PAUSE_SECONDS
from service.push.notices import (
    Delivered,
    Failure,
    Notice,
    PushClass,
    PushOutcome,
    Refused,
    RetryAfter,
    Sender,
    Unregistered,
)
from service.push.payloads import TTL_SECONDS

log = structlog.get_logger()

LEASE = timedelta(seconds=30)
SENDING_SECONDS = 25  # so that nobody sends under a lease that has expired
MAX_BACK_OFF_SECONDS = 300
# A device whose pushes are refused for so long is disabled: what is wrong with it does not mend itself.
MAX_FAILING = timedelta(days=3)
# What fails so often without an answer of a provider is a mistake of ours: no further try mends it.
MAX_FAILURES = 5


class Push(Struct, frozen=True):
    """A claimed row, and its device as it was registered then. Not `wanted` where there is no use in sending it."""

    member_id: UUID
    prompt_id: UUID
    device_id: UUID
    kind: PushClass
    send_before: datetime
    attempts: int
    lease: UUID
    provider: str | None
    address: bytes | None
    registration: UUID | None
    is_failing: bool
    wanted: bool

    @property
    def row(self) -> tuple[UUID, UUID, UUID, PushClass, UUID]:
        """The parameters by which the statements below find it, as long as the lease is ours."""
        return self.member_id, self.prompt_id, self.device_id, self.kind, self.lease


# --- Telling that an invite was accepted

# In the place of a prompt's id stands the relationship's.
TELL_ACCEPTED = """
INSERT INTO outbox (
    member_id,
    prompt_id,
    device_id,
    class,
    due_at,
    send_before,
    attempts,
    parked
)
SELECT
    devices.member_id,
    $2::uuid,
    devices.device_id,
    'accepted',
    $3::timestamptz,
    $4::timestamptz,
    0,
    false
FROM devices
WHERE devices.member_id = $1
    AND devices.disabled_at IS NULL
ON CONFLICT DO NOTHING
"""


async def tell_accepted(context: Context, member_id: UUID, relationship_id: UUID) -> None:
    """Put a push to each device of the one who invited into the outbox: there is something to look at, and no more."""
    now = context.now()
    until = now + timedelta(seconds=TTL_SECONDS[PushClass.ACCEPTED])
    try:
        await context.scheduler_db.execute(TELL_ACCEPTED, member_id, relationship_id, now, until)
    except DATABASE_UNAVAILABLE as failure:  # who invited looks anyway: nothing but the push is lost
        log.warning("accepted_untold", failure=type(failure).__name__)


# --- Claiming

# A withdrawal waits for the push that it withdraws: sent in the other order, the notification would stay.
CLAIM = """
WITH waiting AS (
    SELECT
        outbox.member_id,
        outbox.prompt_id,
        outbox.device_id,
        outbox.class,
        outbox.due_at,
        outbox.lease
    FROM outbox
    WHERE NOT outbox.parked
        AND outbox.due_at <= $1
        AND (
            outbox.class <> 'withdraw'
            OR NOT EXISTS (
                SELECT
                FROM outbox AS earlier
                WHERE earlier.member_id = outbox.member_id
                    AND earlier.prompt_id = outbox.prompt_id
                    AND earlier.device_id = outbox.device_id
                    AND earlier.class <> 'withdraw'
                    AND NOT earlier.parked
            )
        )
    ORDER BY outbox.due_at
    LIMIT $2
), claimed AS (
    UPDATE outbox
    SET
        lease = $3,
        due_at = $4,
        attempts = outbox.attempts + 1
    FROM waiting
    WHERE outbox.member_id = waiting.member_id
        AND outbox.prompt_id = waiting.prompt_id
        AND outbox.device_id = waiting.device_id
        AND outbox.class = waiting.class
        AND outbox.due_at = waiting.due_at
        AND outbox.lease IS NOT DISTINCT FROM waiting.lease
    RETURNING
        outbox.member_id,
        outbox.prompt_id,
        outbox.device_id,
        outbox.class,
        outbox.send_before,
        outbox.attempts,
        outbox.lease
)
SELECT
    claimed.member_id,
    claimed.prompt_id,
    claimed.device_id,
    claimed.class,
    claimed.send_before,
    claimed.attempts,
    claimed.lease,
    devices.provider,
    devices.address,
    devices.registration,
    devices.failing_since IS NOT NULL AS is_failing,
    devices.device_id IS NOT NULL
        AND devices.disabled_at IS NULL
        AND claimed.send_before > $1
        AND CASE claimed.class
            WHEN 'withdraw' THEN true
            WHEN 'accepted' THEN coalesce(relationships.state = 'confirming', false)
            ELSE coalesce(prompts.state = 'sent' AND relationships.state <> 'ended', false)
        END AS wanted
FROM claimed
LEFT JOIN devices USING (member_id, device_id)
LEFT JOIN prompts USING (member_id, prompt_id)
LEFT JOIN relationships
    ON relationships.relationship_id = coalesce(prompts.relationship_id, claimed.prompt_id)
"""


async def claim(context: Context, limit: int) -> list[Push]:
    """Claim pushes that are due, under a lease of 30 seconds."""
    now = context.now()
    rows = await context.scheduler_db.fetch(CLAIM, now, limit, new_id(context.random_bytes, "lease"), now + LEASE)
    return [_push(row) for row in rows]


def _push(row: Record) -> Push:
    return Push(
        row["member_id"],
        row["prompt_id"],
        row["device_id"],
        PushClass(row["class"]),
        row["send_before"],
        row["attempts"],
        row["lease"],
        row["provider"],
        row["address"],
        row["registration"],
        row["is_failing"],
        row["wanted"],
    )


# --- Sending


async def deliver(context: Context, sender: Sender, push: Push) -> int:
    """Send a push, as one step, and record the outcome; one that is not wanted is deleted as if it were delivered."""
    await _record(context, push, await send(context, sender, push) if push.wanted else Delivered())
    return 1


async def send(context: Context, sender: Sender, push: Push) -> PushOutcome:
    """Decrypt the device's address and send there; whatever fails is an outcome."""
    assert push.provider is not None
    assert push.address is not None
    try:
        async with asyncio.timeout(SENDING_SECONDS):
            device = await decrypt_address(context, push.member_id, push.provider, push.address)
            return await sender.send(Notice(device, push.kind))
    except TimeoutError:
        return RetryAfter(LOST_PAUSE_SECONDS)
    except Exception as error:
        # Whatever is wrong with one row, the others go on. The error's message may hold an address.
        log.error("push_failed", push=push.kind, prompt=str(push.prompt_id), error=type(error).__name__)
        return RetryAfter(LOST_PAUSE_SECONDS) if push.attempts < MAX_FAILURES else Refused()


async def _record(context: Context, push: Push, outcome: PushOutcome) -> None:
    match outcome:
        case Delivered():
            await context.scheduler_db.execute(DONE, *push.row)
            if push.is_failing and push.wanted:
                await context.scheduler_db.execute(ARRIVES, push.member_id, push.device_id, push.registration)
        case Unregistered():
            await _disable(context, push, outcome.failure)
        case RetryAfter():
            await _try_again(context, push, outcome.seconds)
        case Refused():
            await context.scheduler_db.execute(PARK, *push.row)
            log.error("push_parked", push=push.kind, prompt=str(push.prompt_id), device=str(push.device_id))
            if outcome.by_device:
                await _note_refusal(context, push)
        case never:
            assert_never(never)


DONE = """
DELETE FROM outbox
WHERE member_id = $1
    AND prompt_id = $2
    AND device_id = $3
    AND class = $4
    AND lease = $5
"""

PARK = """
UPDATE outbox
SET
    parked = true,
    lease = NULL
WHERE member_id = $1
    AND prompt_id = $2
    AND device_id = $3
    AND class = $4
    AND lease = $5
"""

TRY_AGAIN = """
UPDATE outbox
SET
    due_at = $6,
    lease = NULL
WHERE member_id = $1
    AND prompt_id = $2
    AND device_id = $3
    AND class = $4
    AND lease = $5
"""


async def _try_again(context: Context, push: Push, seconds: int) -> None:
    """Exponential back-off with full jitter, after the pause that the provider asked for; not once it is too late.

    The whole back-off is random, so that pushes which failed together are not sent again together.
    """
    longest = min(2**push.attempts, MAX_BACK_OFF_SECONDS)
    share = int.from_bytes(context.random_bytes(8, f"back-off {push.prompt_id} {push.device_id}")) / 2**64
    due_at = context.now() + timedelta(seconds=seconds + longest * share)
    if due_at < push.send_before:
        await context.scheduler_db.execute(TRY_AGAIN, *push.row, due_at)
    else:
        await context.scheduler_db.execute(DONE, *push.row)
        log.warning("push_given_up", push=push.kind, prompt=str(push.prompt_id), attempts=push.attempts)


# A device that was registered again since has another registration: it is there, and is tried again.
DISABLE = """
WITH disabled AS (
    UPDATE devices
    SET
        disabled_at = $4,
        failing_since = coalesce(failing_since, $4),
        failure = $5
    WHERE member_id = $1
        AND device_id = $2
        AND registration = $3
        AND disabled_at IS NULL
    RETURNING
        member_id,
        device_id
)
DELETE FROM outbox
USING disabled
WHERE outbox.member_id = disabled.member_id
    AND outbox.device_id = disabled.device_id
"""


async def _disable(context: Context, push: Push, failure: Failure) -> None:
    device = (push.member_id, push.device_id, push.registration)
    if await context.scheduler_db.execute(DISABLE, *device, context.now(), failure) == "DELETE 0":
        await _try_again(context, push, 0)


NOTE_REFUSAL = """
UPDATE devices
SET
    failing_since = coalesce(failing_since, $4),
    failure = 'refused'
WHERE member_id = $1
    AND device_id = $2
    AND registration = $3
    AND disabled_at IS NULL
RETURNING failing_since
"""

ARRIVES = """
UPDATE devices
SET
    failing_since = NULL,
    failure = NULL
WHERE member_id = $1
    AND device_id = $2
    AND registration = $3
    AND disabled_at IS NULL
"""


async def _note_refusal(context: Context, push: Push) -> None:
    device, now = (push.member_id, push.device_id, push.registration), context.now()
    since = await context.scheduler_db.fetchval(NOTE_REFUSAL, *device, now)
    if since and now >= since + MAX_FAILING:
        await context.scheduler_db.execute(DISABLE, *device, now, "refused")


END_PARKED = """
DELETE FROM outbox
WHERE parked
    AND send_before <= $1
"""


async def end_parked(context: Context) -> int:
    """Delete the parked pushes whose time is over, as one step."""
    await context.scheduler_db.execute(END_PARKED, context.now())
    return 0


FORGET = """
DELETE FROM outbox
WHERE member_id = $1
"""


async def forget(db: DbConnection, member_id: UUID) -> None:
    """Delete all pushes of a member. Their devices go with the sessions that registered them."""
    await db.execute(FORGET, member_id)


# --- What an operator looks at


class Parked(Struct, frozen=True):
    """A push that its provider refused for good: of which class, to which device, and until when it stays."""

    kind: PushClass
    provider: str | None
    failure: str | None
    device_id: UUID
    prompt_id: UUID
    send_before: datetime


PARKED = """
SELECT
    outbox.class,
    devices.provider,
    devices.failure,
    outbox.device_id,
    outbox.prompt_id,
    outbox.send_before
FROM outbox
LEFT JOIN devices USING (member_id, device_id)
WHERE outbox.parked
ORDER BY
    outbox.send_before,
    outbox.prompt_id,
    outbox.device_id
"""

CLEAR_PARKED = """
DELETE FROM outbox
WHERE parked
"""


async def parked(db: DbConnection) -> list[Parked]:
    """All parked pushes, those first that end first."""
    return [Parked(PushClass(row["class"]), *row[1:]) for row in await db.fetch(PARKED)]


async def clear_parked(db: DbConnection) -> int:
    """Delete all parked pushes; returns how many there were."""
    return int((await db.execute(CLEAR_PARKED)).rpartition(" ")[2])


# --- Figures


class Waiting(Struct, frozen=True):
    """Figures of one class of pushes: how many wait, how many are parked, and for how long the oldest has been due."""

    kind: PushClass
    waiting: int = 0
    parked: int = 0
    late_seconds: float = 0


WAITING = """
SELECT
    outbox.class,
    count(*) FILTER (WHERE NOT outbox.parked) AS waiting,
    count(*) FILTER (WHERE outbox.parked) AS parked,
    min(outbox.due_at) FILTER (WHERE NOT outbox.parked) AS due_since
FROM outbox
GROUP BY outbox.class
"""


async def waiting(context: Context) -> list[Waiting]:
    """Figures of the outbox, by class."""
    found = {row["class"]: row for row in await context.scheduler_db.fetch(WAITING)}
    return [_waiting(kind, found[kind], context.now()) if kind in found else Waiting(kind) for kind in PushClass]


def _waiting(kind: PushClass, row: Record, now: datetime) -> Waiting:
    # A push under a lease is due when that expires.
    late = max(now - row["due_since"], timedelta()) if row["due_since"] else timedelta()
    return Waiting(kind, row["waiting"], row["parked"], late.total_seconds())
