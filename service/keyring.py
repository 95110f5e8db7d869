"""The keys of members and relationships: made with them, fetched for a relationship, destroyed with a member.

All statements here run as a role of their own, on connections of their own: what serves requests cannot read a key row.
"""

import time
from typing import TypeAlias
from uuid import UUID

from asyncpg import Pool, Record

from events.sealing import KEY_BYTES, Ring
from service.keys import KeyStore, epoch_of
from service.outside import Chance, Clock

Database: TypeAlias = "Pool[Record]"

# How long a fetched ring serves; so long an erased member's key may outlive its row in the memory of another process.
RING_LIVES_SECONDS = 30.0
RINGS_KEPT = 20_000

KEEP_MEMBER_KEY = """
INSERT INTO keys.members (
    member_id,
    epoch,
    wrapped
) VALUES ($1, $2, $3)
"""

KEEP_RELATIONSHIP_KEY = """
INSERT INTO keys.relationships (
    relationship_id,
    epoch,
    wrapped
) VALUES ($1, $2, $3)
"""

DESTROY_MEMBER_KEY = """
DELETE FROM keys.members
WHERE member_id = $1
"""

RING = """
SELECT
    memberships.author_id,
    members.epoch,
    members.wrapped
FROM memberships
JOIN keys.members AS members USING (member_id)
WHERE memberships.relationship_id = $1
UNION ALL
SELECT
    NULL,
    epoch,
    wrapped
FROM keys.relationships
WHERE relationship_id = $1
"""


class Keyring:
    """Makes, fetches and destroys keys; fetched ones are kept in memory for half a minute."""

    def __init__(self, db: Database, store: KeyStore, now: Clock, chance: Chance) -> None:
        self._db, self._store, self._now, self._chance = db, store, now, chance
        self._rings: dict[UUID, tuple[float, Ring]] = {}

    async def make_for_member(self, member_id: UUID) -> None:
        """A random key for a new member; made before the member, who never is without one."""
        await self._make(KEEP_MEMBER_KEY, member_id)

    async def make_for_relationship(self, relationship_id: UUID) -> None:
        """A random key for a new relationship; made before it."""
        await self._make(KEEP_RELATIONSHIP_KEY, relationship_id)

    async def destroy_for_member(self, member_id: UUID) -> None:
        """Forget a member's key; with its epoch gone too, no backup has it any more."""
        await self._db.execute(DESTROY_MEMBER_KEY, member_id)
        self._rings.clear()

    async def ring(self, relationship_id: UUID) -> Ring:
        """The keys with which the texts of one relationship are sealed. Raises KeyStoreError."""
        fetched_at, ring = self._rings.get(relationship_id, (0.0, None))
        if ring is not None and time.monotonic() < fetched_at + RING_LIVES_SECONDS:
            return ring
        ring = await self._fetch(relationship_id)
        # One who is alone may be joined at any moment: only a couple's ring stays what it is.
        if len(ring.authors) == 2:
            if len(self._rings) >= RINGS_KEPT:
                self._rings.clear()
            self._rings[relationship_id] = (time.monotonic(), ring)
        return ring

    async def _fetch(self, relationship_id: UUID) -> Ring:
        rows = await self._db.fetch(RING, relationship_id)
        keys = {row["author_id"]: self._store.unwrap(row["epoch"], row["wrapped"]) for row in rows}
        return Ring(keys.pop(None), keys)

    async def _make(self, statement: str, owner: UUID) -> None:
        epoch = epoch_of(self._now())
        key = self._chance(KEY_BYTES, f"key of {owner}")
        await self._db.execute(statement, owner, epoch, self._store.wrap(epoch, key))
