"""What a recorded entry does to prompts, in its own transaction: it answers one of its author's, or is an occasion.

The states of a prompt are those of `lifecycle`. Nothing of this shows in the answer to the caller: an unknown prompt
and another member's are as good as none.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from events.heads import DbConnection
from events.records import transposed
from service.prompts import lifecycle
from service.prompts.lifecycle import PromptLife

WITHDRAW_FOR = timedelta(hours=24)  # a device that was off for longer has let the notification go by itself


class PromptAnswer(Struct, frozen=True):
    """A check-in that was recorded just now and names a prompt, which may be anybody's, or nobody's."""

    member_id: UUID
    prompt_id: UUID
    occurred_at: datetime


class PromptStep(Struct, frozen=True):
    """What became of one prompt."""

    member_id: UUID
    prompt_id: UUID
    before: PromptLife
    after: PromptLife


# By member, and of one member by prompt: in this order everywhere, which avoids deadlock.
LOCK = """
SELECT
    prompts.member_id,
    prompts.prompt_id,
    prompts.state,
    prompts.due_at,
    prompts.expires_at,
    prompts.reminded_at,
    prompts.answered_at,
    prompts.late
FROM prompts
WHERE prompts.member_id = $1
    AND prompts.prompt_id = ANY ($2::uuid[])
ORDER BY prompts.prompt_id
FOR UPDATE
"""


async def lock_prompts(db: DbConnection, names: Sequence[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], PromptLife]:
    """Those prompts that exist, by member and prompt id, locked until the transaction ends. The names are distinct."""
    by_member: dict[UUID, list[UUID]] = {}
    for member_id, prompt_id in sorted(names):
        by_member.setdefault(member_id, []).append(prompt_id)
    rows = await db.fetchmany(LOCK, list(by_member.items())) if by_member else []
    return {
        (row["member_id"], row["prompt_id"]): PromptLife(
            row["state"], row["due_at"], row["expires_at"], row["reminded_at"], row["answered_at"], row["late"]
        )
        for row in rows
    }


async def answer_prompts(db: DbConnection, answers: Sequence[PromptAnswer], now: datetime) -> None:
    """Answer each prompt that is the member's own, as of when its earliest answer says; leave all others alone."""
    earliest: dict[tuple[UUID, UUID], datetime] = {}
    for one in answers:
        name = one.member_id, one.prompt_id
        earliest[name] = min(one.occurred_at, earliest.get(name, one.occurred_at))
    locked = await lock_prompts(db, list(earliest))
    steps = [PromptStep(*name, was, lifecycle.answered(was, earliest[name])) for name, was in locked.items()]
    await apply_steps(db, steps, now)


APPLY = """
UPDATE prompts
SET
    state = step.state,
    answered_at = step.answered_at,
    late = step.late
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::boolean[]) AS step (
    member_id, prompt_id, state, answered_at, late
)
WHERE prompts.member_id = step.member_id
    AND prompts.prompt_id = step.prompt_id
"""


async def apply_steps(db: DbConnection, steps: Sequence[PromptStep], now: datetime) -> None:
    """Write the new states of locked prompts, and withdraw the notifications that these make useless."""
    changed = [one for one in steps if one.after != one.before]
    if not changed:
        return
    rows = [(s.member_id, s.prompt_id, s.after.state, s.after.answered_at, s.after.late) for s in changed]
    await db.execute(APPLY, *transposed(rows))
    withdrawn = [one for one in changed if lifecycle.withdraws(one.before, one.after)]
    if withdrawn:
        await _withdraw(db, withdrawn, now)


# A push under a lease stays: the withdrawal waits until it has arrived.
STOP = """
DELETE FROM outbox
USING unnest($1::uuid[], $2::uuid[]) AS stopped (member_id, prompt_id)
WHERE outbox.member_id = stopped.member_id
    AND outbox.prompt_id = stopped.prompt_id
    AND outbox.class <> 'withdraw'
    AND outbox.lease IS NULL
"""

# To all devices: which of them shows it is not known.
WITHDRAW = """
INSERT INTO outbox (
    member_id,
    prompt_id,
    device_id,
    class,
    due_at,
    send_before,
    attempts,
    lease,
    parked
)
SELECT
    member_id,
    withdrawn.prompt_id,
    devices.device_id,
    'withdraw',
    $4,
    withdrawn.send_before,
    0,
    NULL,
    false
FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS withdrawn (member_id, prompt_id, send_before)
JOIN devices USING (member_id)
WHERE devices.disabled_at IS NULL
    AND withdrawn.send_before > $4
ON CONFLICT DO NOTHING
"""


async def _withdraw(db: DbConnection, steps: list[PromptStep], now: datetime) -> None:
    rows = [(one.member_id, one.prompt_id, one.after.due_at + WITHDRAW_FOR) for one in steps]
    members, prompts, ends = transposed(rows)
    await db.execute(STOP, members, prompts)
    await db.execute(WITHDRAW, members, prompts, ends, now)
