"""Write relationships, their two seats, and who may read their streams: created, joined, left, forgotten."""

from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from msgspec import Struct
from msgspec.structs import astuple

from events.heads import DbConnection
from service.access.memberships import RelationshipState

MAKE_RELATIONSHIP = """
INSERT INTO relationships (
    relationship_id,
    state,
    shared_stream_id,
    created_at
) VALUES ($1, $2, $3, $4)
"""


async def insert(
    db: DbConnection, relationship_id: UUID, state: RelationshipState, shared_stream_id: UUID, created_at: datetime
) -> None:
    """Create a relationship without members. Its keys must be there."""
    await db.execute(MAKE_RELATIONSHIP, relationship_id, state, shared_stream_id, created_at)


# Who made the relationship, and who accepted an invite. Neither has any right more.
Seat: TypeAlias = Literal[1, 2]


class MembershipRow(Struct, frozen=True):
    """A row of memberships, in the order of its columns; `member_id` is null where nobody signs in as its author."""

    relationship_id: UUID
    seat: Seat
    member_id: UUID | None
    author_id: UUID
    private_stream_id: UUID
    name_ciphertext: bytes | None
    joined_at: datetime


JOIN = """
INSERT INTO memberships (
    relationship_id,
    seat,
    member_id,
    author_id,
    private_stream_id,
    name,
    joined_at
) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


async def join(db: DbConnection, seat: MembershipRow) -> None:
    """Add a member to a relationship."""
    await db.execute(JOIN, *astuple(seat))


LET_READ = """
INSERT INTO readers (
    relationship_id,
    stream,
    member_id
) VALUES
    ($1, 0, $3),
    ($1, $2, $3)
"""


async def let_read(db: DbConnection, relationship_id: UUID, seat: Seat, member_id: UUID) -> None:
    """Let a member read the shared stream and the private one of their seat; row-level security asks nothing else."""
    await db.execute(LET_READ, relationship_id, seat, member_id)


LET_READ_NO_MORE = """
DELETE FROM readers
WHERE relationship_id = $1
    AND member_id = $2
"""


async def let_read_no_more(db: DbConnection, relationship_id: UUID, member_id: UUID) -> None:
    """Take the right to read the relationship's streams from a member."""
    await db.execute(LET_READ_NO_MORE, relationship_id, member_id)


FORGET_MEMBERSHIP = """
UPDATE memberships
SET
    member_id = NULL,
    name = NULL
WHERE relationship_id = $1
    AND member_id = $2
"""


async def forget(db: DbConnection, relationship_id: UUID, member_id: UUID) -> None:
    """Forget who sat in a seat and what they were called. The seat stays: events name its author."""
    await db.execute(FORGET_MEMBERSHIP, relationship_id, member_id)
    await let_read_no_more(db, relationship_id, member_id)
