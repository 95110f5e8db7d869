"""What is due: prompts and reminders are put into the outbox, one row for each of the member's devices.

Each step is one statement that changes a prompt's state and puts its pushes down together: after a kill both are
there, or neither. What was not sent in time is over, and nothing tells of it.

Each holds its prompts in the order of member and prompt before it changes them, as whoever answers one does: so nobody
waits in a circle.
"""

from datetime import datetime
from uuid import UUID

import structlog

from service.context import Context
from service.prompts.catalogue import QuestionId
from service.prompts.self_questions import self_questions_paused, those_asked

log = structlog.get_logger()

BATCH = 1000


async def dispatch(context: Context) -> int:
    """Put what is due into the outbox, a batch at most; says how many prompts and reminders these were."""
    now = context.now()
    await _look_into(context, now)
    sent = await context.scheduler_db.fetch(SEND, now, BATCH)
    await context.scheduler_db.execute(FORGET_UNSENT, now)
    await context.scheduler_db.execute(LAPSE, now)
    return len(sent)


# Who has withdrawn their consent could not answer. A prompt and its reminder are never due at once (`lifecycle`).
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
            AND NOT prompts.reflects
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
), held AS (
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
        reminded_at = CASE held.class WHEN 'reminder' THEN $1 END
    FROM held
    WHERE prompts.member_id = held.member_id
        AND prompts.prompt_id = held.prompt_id
        AND prompts.state = held.state
        AND prompts.reminded_at IS NULL
    RETURNING
        prompts.member_id,
        prompts.prompt_id,
        held.class,
        CASE held.class WHEN 'prompt' THEN prompts.send_before ELSE prompts.remind_before END AS send_before
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

# Nobody has seen it, and nobody is to see that it was missed.
FORGET_UNSENT = """
WITH held AS (
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
USING held
WHERE prompts.member_id = held.member_id
    AND prompts.prompt_id = held.prompt_id
    AND prompts.state = 'scheduled'
"""

# The notification stays where it is until the next one takes its place: to take it back would wake a device at night.
LAPSE = """
WITH held AS (
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
FROM held
WHERE prompts.member_id = held.member_id
    AND prompts.prompt_id = held.prompt_id
    AND prompts.state = 'sent'
"""


# --- R15: whether questions about oneself rest, looked at when they are due


REFLECTING = """
SELECT
    prompts.member_id,
    prompts.prompt_id,
    prompts.questions
FROM prompts
WHERE prompts.state = 'scheduled'
    AND prompts.due_at <= $1
    AND prompts.send_before > $1
    AND prompts.reflects
ORDER BY prompts.due_at
LIMIT $2
"""

LOOKED_INTO = """
UPDATE prompts
SET
    questions = $3,
    reflects = false
WHERE member_id = $1
    AND prompt_id = $2
    AND state = 'scheduled'
"""

FORGET = """
DELETE FROM prompts
WHERE member_id = $1
    AND prompt_id = $2
    AND state = 'scheduled'
"""


async def _look_into(context: Context, now: datetime) -> None:
    """Leave out questions about oneself where they rest; a prompt of which nothing is left goes unseen."""
    for row in await context.scheduler_db.fetch(REFLECTING, now, BATCH):
        try:
            rest = await _rest(context, row["member_id"], now)
        except Exception as error:
            # What cannot be read must not hold up what can; it is looked into again until it is too late.
            log.warning("not_looked_into", prompt=str(row["prompt_id"]), error=type(error).__name__)
            continue
        asked: list[QuestionId] = those_asked(row["questions"], rest=rest)
        if asked:
            await context.scheduler_db.execute(LOOKED_INTO, row["member_id"], row["prompt_id"], asked)
        else:
            await context.scheduler_db.execute(FORGET, row["member_id"], row["prompt_id"])


async def _rest(context: Context, member_id: UUID, now: datetime) -> bool:
    async with context.acting_as(member_id) as db:
        return await self_questions_paused(context, db, member_id, now)
