"""The state of a relationship, held and changed."""

from events.heads import DbConnection
from service.access.memberships import Membership, RelationshipState
from service.errors import NotFound

STATE = """
SELECT state
FROM relationships
WHERE relationship_id = $1
FOR UPDATE
"""

STILL_IN = """
SELECT count(*) > 0
FROM memberships
WHERE relationship_id = $1
    AND author_id = $2
"""

SET_STATE = """
UPDATE relationships
SET
    state = $2,
    invite_expires_at = $3
WHERE relationship_id = $1
"""

FORGET_INVITE = """
DELETE FROM invites
WHERE relationship_id = $1
"""


async def lock_state(db: DbConnection, membership: Membership) -> RelationshipState:
    """The state, held until the transaction ends. Raises NotFound for who has left since the membership was read."""
    state: RelationshipState = await db.fetchval(STATE, membership.relationship_id)
    if not await db.fetchval(STILL_IN, membership.relationship_id, membership.author_id):
        raise NotFound
    return state
