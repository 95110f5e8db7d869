"""Send what is due: prompts and reminders into the outbox, a row for each device; and end what is over.

The states of a prompt and what leads from one to the next stand in `lifecycle`. A step is one statement that changes
a prompt's state and inserts its pushes: after a kill both are there, or neither.

Each step locks its prompts in the order of member and prompt before it changes them, as `answering` does: this avoids
deadlock.
"""

from datetime import datetime
from uuid import UUID

import structlog
from asyncpg import Record

from events.entries import Opening
from events.lookups import find_events
from events.reading import decrypt_row
from events.records import Mention, transposed
from service.access.memberships import memberships_of
from service.context import Context
from service.prompts.catalogue import OPENING_QUESTIONS
from service.prompts.ciphertexts import decrypt_questions, encrypt_questions
from service.prompts.self_questions import ask_of_oneself, asked_questions, self_questions_paused

log = structlog.get_logger()

BATCH = 1000


async def dispatch(context: Context) -> int:
    """Put what is due into the outbox, a batch at most; returns how many prompts and reminders these were."""
    now = context.now()
    await _look_into(context, now)
    sent = await context.scheduler_db.fetch(SEND, now, BATCH)
    await context.scheduler_db.execute(FORGET_UNSENT, now)
    await context.scheduler_db.execute(LAPSE, now)
    return len(sent)


# Who has withdrawn their consent could not answer. No prompt is due to be sent and reminded of at once.
SEND = """
WITH due AS (
    (
        SELECT
            prompts.member_id,
            prompts.prompt_id,
            prompts.state,
            'prompt' AS class
        FROM prompts
        JOIN relationships USING (relationship_id)
        JOIN members USING (member_id)
        WHERE prompts.state = 'scheduled'
            AND prompts.due_at <= $1
            AND prompts.send_before > $1
            AND prompts.looked_into
            AND relationships.state <> 'ended'
            AND members.consent_version IS NOT NULL
        ORDER BY prompts.due_at
        LIMIT $2
    )
    UNION ALL
    (
        SELECT
            prompts.member_id,
            prompts.prompt_id,
            prompts.state,
            'reminder' AS class
        FROM prompts
        JOIN relationships USING (relationship_id)
        JOIN members USING (member_id)
        WHERE prompts.state = 'sent'
            AND prompts.reminded_at IS NULL
            AND prompts.remind_at <= $1
            AND prompts.remind_before > $1
            AND relationships.state <> 'ended'
            AND members.consent_version IS NOT NULL
        ORDER BY prompts.remind_at
        LIMIT $2
    )
), locked_prompts AS (
    SELECT
        prompts.member_id,
        prompts.prompt_id,
        due.state,
        due.class
    FROM due
    JOIN prompts USING (member_id, prompt_id)
    ORDER BY
        prompts.member_id,
        prompts.prompt_id
    FOR UPDATE OF prompts
), sent AS (
    UPDATE prompts
    SET
        state = 'sent',
        reminded_at = CASE locked_prompts.class WHEN 'reminder' THEN $1 END
    FROM locked_prompts
    WHERE prompts.member_id = locked_prompts.member_id
        AND prompts.prompt_id = locked_prompts.prompt_id
        AND prompts.state = locked_prompts.state
        AND prompts.reminded_at IS NULL
    RETURNING
        prompts.member_id,
        prompts.prompt_id,
        locked_prompts.class,
        CASE locked_prompts.class WHEN 'prompt' THEN prompts.send_before ELSE prompts.remind_before END AS send_before
), put AS (
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
        sent.member_id,
        sent.prompt_id,
        devices.device_id,
        sent.class,
        $1,
        sent.send_before,
        0,
        false
    FROM sent
    JOIN devices USING (member_id)
    WHERE devices.disabled_at IS NULL
    ON CONFLICT DO NOTHING
)
SELECT
    sent.member_id,
    sent.prompt_id
FROM sent
"""

# Too late to be sent: nobody has seen it, and nobody is to see that it was missed.
FORGET_UNSENT = """
WITH locked_prompts AS (
    SELECT
        prompts.member_id,
        prompts.prompt_id
    FROM prompts
    WHERE prompts.state = 'scheduled'
        AND prompts.due_at <= $1
        AND prompts.send_before <= $1
    ORDER BY
        prompts.member_id,
        prompts.prompt_id
    FOR UPDATE
)
DELETE FROM prompts
USING locked_prompts
WHERE prompts.member_id = locked_prompts.member_id
    AND prompts.prompt_id = locked_prompts.prompt_id
    AND prompts.state = 'scheduled'
"""

# The notification stays until the next one takes its place: to withdraw it would wake a device at night.
LAPSE = """
WITH locked_prompts AS (
    SELECT
        prompts.member_id,
        prompts.prompt_id
    FROM prompts
    WHERE prompts.state = 'sent'
        AND prompts.expires_at <= $1
    ORDER BY
        prompts.member_id,
        prompts.prompt_id
    FOR UPDATE
)
UPDATE prompts
SET state = 'lapsed'
FROM locked_prompts
WHERE prompts.member_id = locked_prompts.member_id
    AND prompts.prompt_id = locked_prompts.prompt_id
    AND prompts.state = 'sent'
"""


# --- R15: questions about oneself may be paused, which is looked up when they are due

# All that is due is looked into and written again, whatever it asks: a row tells neither before nor after whether there
# are questions about oneself, nor whether any were dropped.

NOT_LOOKED_INTO = """
SELECT
    prompts.member_id,
    prompts.prompt_id,
    prompts.questions,
    prompts.relationship_id,
    prompts.reason,
    prompts.item_id
FROM prompts
WHERE prompts.state = 'scheduled'
    AND prompts.due_at <= $1
    AND prompts.send_before > $1
    AND NOT prompts.looked_into
ORDER BY prompts.due_at
LIMIT $2
"""

KEEP_QUESTIONS = """
WITH locked_prompts AS (
    SELECT
        prompts.member_id,
        prompts.prompt_id,
        kept.questions
    FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS kept (member_id, prompt_id, questions)
    JOIN prompts USING (member_id, prompt_id)
    ORDER BY
        prompts.member_id,
        prompts.prompt_id
    FOR UPDATE OF prompts
)
UPDATE prompts
SET
    questions = locked_prompts.questions,
    looked_into = true
FROM locked_prompts
WHERE prompts.member_id = locked_prompts.member_id
    AND prompts.prompt_id = locked_prompts.prompt_id
    AND prompts.state = 'scheduled'
"""

FORGET_PROMPT = """
DELETE FROM prompts
WHERE member_id = $1
    AND prompt_id = $2
    AND state = 'scheduled'
"""


async def _look_into(context: Context, now: datetime) -> None:
    """Remove questions about oneself where they are paused, and a prompt of which nothing is left.

    After an opening, views are asked for: what kind an event is of, nobody could tell who planned the prompt.
    """
    due, kept = await context.scheduler_db.fetch(NOT_LOOKED_INTO, now, BATCH), list[tuple[UUID, UUID, bytes]]()
    await context.keys.fetch_for({row["member_id"] for row in due})
    for row in due:
        member_id, prompt_id = row["member_id"], row["prompt_id"]
        try:
            chosen = await decrypt_questions(context.keys, member_id, row["questions"])
            if row["reason"] == "after_event" and await _is_opening(context, row):
                chosen = list(OPENING_QUESTIONS)
            paused = ask_of_oneself(chosen) and await _are_paused(context, member_id, now)
            asked = asked_questions(chosen, paused=paused)
            ciphertext = await encrypt_questions(context.keys, member_id, asked)
        except Exception as error:
            # What cannot be read must not hold up what can; it is tried again until it is too late.
            log.warning("not_looked_into", prompt=str(prompt_id), error=type(error).__name__)
            continue
        if asked or not chosen:
            kept.append((member_id, prompt_id, ciphertext))
        else:
            await context.scheduler_db.execute(FORGET_PROMPT, member_id, prompt_id)
    if kept:
        await context.scheduler_db.execute(KEEP_QUESTIONS, *transposed(kept))


async def _are_paused(context: Context, member_id: UUID, now: datetime) -> bool:
    async with context.acting_as(member_id) as db:
        return await self_questions_paused(context, db, member_id, now)


async def _is_opening(context: Context, row: Record) -> bool:
    """Whether the shared event that a prompt follows opened something that is to be decided."""
    member_id, relationship_id = row["member_id"], row["relationship_id"]
    async with context.acting_as(member_id) as db:
        for one in await memberships_of(db, member_id, context.now(), relationship_id):
            keys = await context.keys.relationship_keys(relationship_id, one.author_id)
            found = await find_events(db, [Mention(one.shared, row["item_id"])])
            return any(isinstance(decrypt_row(keys, stream, each).event.fact, Opening) for stream, each in found)
    return False
