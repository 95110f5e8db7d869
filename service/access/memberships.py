"""Memberships: a member's place in a relationship, its streams and its state."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from events.heads import DbConnection
from events.records import SHARED, StreamKey
from projections.reader import Reader
from service.access.authentication import Bearer
from service.errors import NotFound
from service.web.requests import ApiRequest, context_of, path_uuid

RelationshipState = Literal["solo", "inviting", "confirming", "active", "ended"]


class Membership(Struct, frozen=True):
    """One member's place in one relationship, as they may see it."""

    relationship_id: UUID
    state: RelationshipState
    seat: Literal[1, 2]
    author_id: UUID
    shared_stream_id: UUID
    private_stream_id: UUID
    partner_id: UUID | None
    partner_member_id: UUID | None
    partner_name_ciphertext: bytes | None

    @property
    def shared(self) -> StreamKey:
        """The shared stream."""
        return StreamKey(self.relationship_id, SHARED, self.shared_stream_id)

    @property
    def private(self) -> StreamKey:
        """This member's private stream."""
        return StreamKey(self.relationship_id, self.seat, self.private_stream_id)


# An invite that expired leaves its maker alone again; nothing has to run for that.
OF_MEMBER = """
SELECT
    relationships.relationship_id,
    CASE
        WHEN relationships.state = 'inviting' AND relationships.invite_expires_at <= $2 THEN 'solo'
        ELSE relationships.state
    END AS state,
    mine.seat,
    mine.author_id,
    relationships.shared_stream_id,
    mine.private_stream_id,
    theirs.author_id AS partner_id,
    theirs.member_id AS partner_member_id,
    theirs.name AS partner_name_ciphertext
FROM memberships AS mine
JOIN relationships USING (relationship_id)
LEFT JOIN memberships AS theirs
    ON theirs.relationship_id = mine.relationship_id
    AND theirs.seat <> mine.seat
WHERE mine.member_id = $1
    AND ($3::uuid IS NULL OR mine.relationship_id = $3)
ORDER BY
    mine.joined_at DESC,
    mine.relationship_id
"""


async def membership_of(request: ApiRequest, member: Bearer, relationship_id: str) -> Membership:
    """The member's place in it. Raises NotFound, the same for foreign, unknown and malformed ids."""
    context, wanted = context_of(request), path_uuid(relationship_id)
    async with context.acting_as(member.member_id) as db:
        return await membership_in(db, member.member_id, context.now(), wanted)


async def membership_in(db: DbConnection, member_id: UUID, now: datetime, relationship_id: UUID) -> Membership:
    """The same, on a connection that acts for the member."""
    found = await memberships_of(db, member_id, now, relationship_id)
    if not found:
        raise NotFound
    return found[0]


async def memberships_of(
    db: DbConnection, member_id: UUID, now: datetime, relationship_id: UUID | None = None
) -> list[Membership]:
    """The member's places in all their relationships, the newest first, or in the one that is named."""
    return [Membership(**row) for row in await db.fetch(OF_MEMBER, member_id, now, relationship_id)]


def reader_of(membership: Membership) -> Reader:
    """The member as the reader of projections."""
    return Reader(
        membership.relationship_id,
        membership.seat,
        membership.author_id,
        membership.shared_stream_id,
        membership.private_stream_id,
    )
