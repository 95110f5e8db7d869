"""Looks up readers of relationships, all that wait with one statement, and a version of what each of them can read.

A session that has ended finds nothing: that it is still there is a condition of the same statement.
"""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID

from asyncpg import Record
from msgspec import Struct

from events.encryption import NONCE_BYTES
from events.records import transposed
from projections.reader import Reader
from service.context import ConnectionPool
from service.database.batching import BatchedLookup
from service.database.pool import checked_out
from service.errors import NotFound

LookupKey: TypeAlias = tuple[UUID, UUID, UUID]  # a session, its member, a relationship

# One plan for any number, by index, made once: planning takes longer than looking up.
PLANNED = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}

# It acts for members by itself, as service/context.py explains. A member's version is that of their own two heads:
# whatever touches their counts writes one of these rows again, but for an erasure, which takes the partner from the
# membership.
LOOK_UP = """
WITH acting AS MATERIALIZED (
    SELECT set_config('mutuality.members', $1::uuid[]::text, true) AS members
)
SELECT found.*
FROM acting
CROSS JOIN LATERAL (
    SELECT
        mine.member_id,
        mine.relationship_id,
        mine.seat,
        mine.author_id,
        relationships.shared_stream_id,
        mine.private_stream_id,
        concat_ws(' ', shared.version, private.version, theirs.member_id IS NULL) AS version
    FROM unnest($1::uuid[], $2::uuid[]) AS asked (member_id, relationship_id)
    JOIN memberships AS mine USING (member_id, relationship_id)
    JOIN relationships USING (relationship_id)
    LEFT JOIN memberships AS theirs
        ON theirs.relationship_id = mine.relationship_id
        AND theirs.seat <> mine.seat
    LEFT JOIN heads AS shared
        ON shared.relationship_id = mine.relationship_id
        AND shared.stream = 0
    LEFT JOIN heads AS private
        ON private.relationship_id = mine.relationship_id
        AND private.stream = mine.seat
    WHERE acting.members IS NOT NULL
    OFFSET 0
) AS found
"""

# Who is signed in, and where their days begin: members are looked up apart from relationships, of which another
# database may keep some.
SIGNED_IN = """
WITH acting AS MATERIALIZED (
    SELECT set_config('mutuality.members', $2::uuid[]::text, true) AS members
)
SELECT found.*
FROM acting
CROSS JOIN LATERAL (
    SELECT
        asked.session_id,
        asked.member_id,
        members.time_zone,
        members.pauses
    FROM unnest($1::uuid[], $2::uuid[]) AS asked (session_id, member_id)
    JOIN sessions USING (session_id, member_id)
    JOIN members USING (member_id)
    WHERE acting.members IS NOT NULL
    OFFSET 0
) AS found
"""


class ReaderAccess(Struct, frozen=True):
    """The member as a reader, their time zone, and a version: a text that differs whenever their counts may.

    Their pauses are encrypted, and in the version too.
    """

    reader: Reader
    time_zone: str
    version: str
    pauses: bytes | None


class ReaderLookup:
    """Looks up readers together. The pool's connections must belong to the service's role."""

    def __init__(self, db: ConnectionPool) -> None:
        self._db = db
        self._lookup: BatchedLookup[LookupKey, ReaderAccess] = BatchedLookup(self._look_up)

    @property
    def waiting(self) -> int:
        """How many requests wait for a statement that has not begun."""
        return self._lookup.waiting

    async def find(self, session_id: UUID, member_id: UUID, relationship_id: UUID) -> ReaderAccess:
        """The member as a reader of that relationship, as of now or later. Raises NotFound, without a session too."""
        found = await self._lookup.find((session_id, member_id, relationship_id))
        if found is None:
            raise NotFound
        return found

    async def _look_up(self, asked: Sequence[LookupKey]) -> dict[LookupKey, ReaderAccess]:
        sessions = list({(session_id, member_id) for session_id, member_id, _ in asked})
        memberships = list({(member_id, relationship_id) for _, member_id, relationship_id in asked})
        signed_in, found = await asyncio.gather(self._fetch(SIGNED_IN, sessions), self._fetch(LOOK_UP, memberships))
        members = {row[:2]: row for row in signed_in}
        readers = {row[:2]: row for row in found}
        return {
            one: _access(readers[one[1:]], members[one[:2]])
            for one in asked
            if one[:2] in members and one[1:] in readers
        }

    async def _fetch(self, statement: str, rows: Sequence[tuple[UUID, UUID]]) -> list[Record]:
        async with checked_out(self._db) as db:
            return await db.fetch(statement, *transposed(rows))


def _access(row: Record, member: Record) -> ReaderAccess:
    _, relationship_id, seat, author_id, shared_stream, private_stream, version = row
    reader, pauses = Reader(relationship_id, seat, author_id, shared_stream, private_stream), member["pauses"]
    # A ciphertext has a nonce of its own: another set of pauses has another one.
    version = version if pauses is None else f"{version} {pauses[:NONCE_BYTES].hex()}"
    return ReaderAccess(reader, member["time_zone"], version, pauses)
