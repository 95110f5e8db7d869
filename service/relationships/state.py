"""The state of a relationship, locked and changed."""

from datetime import datetime
from uuid import UUID

from events.heads import DbConnection
from service.access.memberships import Membership, RelationshipState
from service.errors import NotFound

LOCK_STATE = """
SELECT state
FROM relationships
WHERE relationship_id = $1
FOR UPDATE
"""

IS_MEMBER = """
SELECT count(*) > 0
FROM memberships
WHERE relationship_id = $1
    AND author_id = $2
"""


async def lock_state(db: DbConnection, membership: Membership) -> RelationshipState:
    """The state, locked until the transaction ends. Raises NotFound for who has left since the membership was read."""
    state: RelationshipState = await db.fetchval(LOCK_STATE, membership.relationship_id)
    if not await db.fetchval(IS_MEMBER, membership.relationship_id, membership.author_id):
        raise NotFound
    return state


SET_STATE = """
UPDATE relationships
SET
    state = $2,
    invite_expires_at = $3
WHERE relationship_id = $1
"""


async def set_state(
    db: DbConnection, relationship_id: UUID, state: RelationshipState, invite_expires_at: datetime | None = None
) -> None:
    """Change the state, which must be locked."""
    await db.execute(SET_STATE, relationship_id, state, invite_expires_at)


FORGET_INVITE = """
DELETE FROM invites
WHERE relationship_id = $1
"""


async def forget_invite(db: DbConnection, relationship_id: UUID) -> None:
    """Delete the invite of a relationship, if it has one."""
    await db.execute(FORGET_INVITE, relationship_id)
