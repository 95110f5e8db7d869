"""Delete prompts and schedules: those about a relationship that ends, and all of a member who is erased."""

from uuid import UUID

from events.heads import DbConnection
from events.records import transposed
from service.context import Context

# Who may still be asked about a relationship: those in it, until it ends.
STILL_ASKED = """
SELECT memberships.member_id
FROM relationships
JOIN memberships USING (relationship_id)
WHERE relationships.relationship_id = $1
    AND relationships.state <> 'ended'
    AND memberships.member_id IS NOT NULL
"""

# Before their pushes: what sends meanwhile locks prompts. Where one has withdrawn, the other member keeps theirs.
FORGET_PROMPTS = """
DELETE FROM prompts
WHERE prompts.relationship_id = $1
    AND prompts.member_id <> ALL ($2::uuid[])
RETURNING
    prompts.member_id,
    prompts.prompt_id
"""

FORGET_PUSHES = """
DELETE FROM outbox
USING unnest($1::uuid[], $2::uuid[]) AS forgotten (member_id, prompt_id)
WHERE outbox.member_id = forgotten.member_id
    AND outbox.prompt_id = forgotten.prompt_id
"""

FORGET_OCCASIONS = """
DELETE FROM occasions
USING relationships
WHERE occasions.relationship_id = $1
    AND relationships.relationship_id = $1
    AND relationships.state = 'ended'
"""


async def forget_prompts(context: Context, relationship_id: UUID) -> None:
    """Delete the prompts about a relationship that has ended, and those of who is no member of it any more."""
    # Also where it had ended before: a caller who got no answer asks again.
    async with context.maintenance_db.acquire() as db, db.transaction():
        await db.execute(FORGET_OCCASIONS, relationship_id)
        still_asked = [row["member_id"] for row in await db.fetch(STILL_ASKED, relationship_id)]
        gone = await db.fetch(FORGET_PROMPTS, relationship_id, still_asked)
        if gone:
            await db.execute(FORGET_PUSHES, *transposed([tuple(row) for row in gone]))


FORGET_SCHEDULE_OF_MEMBER = """
DELETE FROM schedules
WHERE member_id = $1
"""

FORGET_PROMPTS_OF_MEMBER = """
DELETE FROM prompts
WHERE member_id = $1
"""


async def forget(db: DbConnection, member_id: UUID) -> None:
    """Delete a member's schedule, then their prompts, in the order in which planning locks them."""
    await db.execute(FORGET_SCHEDULE_OF_MEMBER, member_id)
    await db.execute(FORGET_PROMPTS_OF_MEMBER, member_id)
