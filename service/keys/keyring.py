"""The keys of members and relationships: created with them, fetched and cached, destroyed when a member is erased.

All statements here run as a role of their own, on connections of their own: what serves requests cannot read a key row.
"""

import hmac
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Literal, TypeAlias
from uuid import UUID

from asyncpg import Pool, Record

from events import chain
from events.encryption import KEY_BYTES, DecryptionFailed, RelationshipKeys
from events.heads import DbConnection
from service.core.clock import Clock
from service.core.randomness import RandomBytes
from service.errors import KeyStoreError
from service.keys import field_encryption
from service.keys.key_store import KeyStore, epoch_of

PoolOrConnection: TypeAlias = "Pool[Record] | DbConnection"

# So long an erased member's key may outlive its row in the memory of another process.
KEY_CACHE_TTL_SECONDS = 30.0
MAX_CACHED_KEYS = 20_000

Purpose = Literal["member", "relationship", "look-up"]
NOBODY = UUID(int=0)  # the look-up key has no owner

# An epoch begins with the first key that it wraps. Of two who create the same key, the second changes nothing.
KEEP_KEY = """
WITH begun AS (
    INSERT INTO keys.epochs (epoch)
    VALUES ($3)
    ON CONFLICT DO NOTHING
)
INSERT INTO keys.wrapped (
    purpose,
    owner_id,
    epoch,
    wrapped
) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
"""

DESTROY_KEY = """
DELETE FROM keys.wrapped
WHERE purpose = 'member'
    AND owner_id = $1
"""

WRAPPED_KEY = """
SELECT
    epoch,
    wrapped
FROM keys.wrapped
WHERE purpose = $1
    AND owner_id = $2
"""

# Who has been erased has a seat still, and is nobody.
SEATS = """
SELECT
    relationship_id,
    author_id,
    member_id
FROM memberships
WHERE relationship_id = ANY ($1::uuid[])
ORDER BY
    relationship_id,
    seat
"""

MEMBERS = """
SELECT
    owner_id,
    epoch,
    wrapped
FROM keys.wrapped
WHERE purpose = 'member'
    AND owner_id = ANY ($1::uuid[])
"""

OWNED = """
SELECT
    purpose,
    owner_id,
    epoch,
    wrapped
FROM keys.wrapped
WHERE (purpose = 'relationship' AND owner_id = ANY ($1::uuid[]))
    OR (purpose = 'member' AND owner_id = ANY ($2::uuid[]))
"""


class Keyring:
    """Creates, fetches and destroys keys; caches fetched ones in memory for half a minute."""

    def __init__(self, db: PoolOrConnection, store: KeyStore, now: Clock, random_bytes: RandomBytes) -> None:
        self._db, self._store, self._now, self._random_bytes = db, store, now, random_bytes
        self._relationships: dict[UUID, tuple[float, RelationshipKeys]] = {}
        self._members: dict[UUID, tuple[float, bytes]] = {}
        self._look_up_key: bytes | None = None

    async def make_for_member(self, member_id: UUID) -> None:
        """A random key for a new member; created before the member, who never is without one."""
        await self._make("member", member_id)

    async def make_for_relationship(self, relationship_id: UUID) -> None:
        """A random key for a new relationship; created before it."""
        await self._make("relationship", relationship_id)

    async def destroy_for_member(self, member_id: UUID) -> None:
        """Delete a member's key; once its epoch is destroyed too, no backup has it any more."""
        await self._db.execute(DESTROY_KEY, member_id)
        self._relationships.clear()
        self._members.pop(member_id, None)

    async def relationship_keys(self, relationship_id: UUID) -> RelationshipKeys:
        """The keys that encrypt the texts of one relationship. Raises KeyStoreError."""
        return (await self.many_relationship_keys([relationship_id]))[relationship_id]

    async def many_relationship_keys(self, relationship_ids: Collection[UUID]) -> dict[UUID, RelationshipKeys]:
        """The same for several, by relationship."""
        found = {rid: keys for rid in relationship_ids if (keys := self._cached(rid))}
        if missing := [rid for rid in relationship_ids if rid not in found]:
            fetched = await self._fetch(missing)
            self._cache(fetched)
            found |= fetched
        return found

    def _cached(self, relationship_id: UUID) -> RelationshipKeys | None:
        fetched_at, keys = self._relationships.get(relationship_id, (0.0, None))
        return keys if time.monotonic() < fetched_at + KEY_CACHE_TTL_SECONDS else None

    def _cache(self, fetched: dict[UUID, RelationshipKeys]) -> None:
        if len(self._relationships) + len(fetched) > MAX_CACHED_KEYS:
            self._relationships.clear()
        # One who is alone may be joined at any moment: only a couple's keys stay the same.
        couples = {rid: keys for rid, keys in fetched.items() if len(keys.authors) == 2}
        self._relationships |= {rid: (time.monotonic(), keys) for rid, keys in couples.items()}

    async def fetch_for(self, member_ids: Collection[UUID]) -> None:
        """Fetch the keys of several members at once, so that encrypting and decrypting for them fetches none.

        Who has no key, or one that does not open, holds up nobody: encrypting for them raises what is wrong.
        """
        if missing := [member_id for member_id in member_ids if self._cached_member(member_id) is None]:
            for owner, epoch, wrapped in await self._db.fetch(MEMBERS, missing):
                with suppress(KeyStoreError):
                    self._cache_member(owner, self._store.unwrap(epoch, wrapped))

    async def encrypt_for(self, member_id: UUID, field: field_encryption.Field, text: str) -> bytes:
        """Encrypt what a member says of themselves. Raises DecryptionFailed for who is erased, KeyStoreError."""
        return field_encryption.encrypt(await self._of_member(member_id), member_id, field, text)

    async def decrypt_for(self, member_id: UUID, field: field_encryption.Field, ciphertext: bytes) -> str:
        """The reverse; it raises the same."""
        return field_encryption.decrypt(await self._of_member(member_id), member_id, field, ciphertext)

    async def blind_index(self, kind: Literal["address", "identity", "id token", "push address"], *parts: str) -> bytes:
        """A keyed hash to look something up by: equal for equal texts, opaque without the key."""
        if self._look_up_key is None:
            self._look_up_key = await self._fetch_look_up_key()
        message = chain.digest(f"mutuality/look-up/v1/{kind}", *(part.encode() for part in parts))
        return hmac.digest(self._look_up_key, message, "sha256")

    async def _of_member(self, member_id: UUID) -> bytes:
        if key := self._cached_member(member_id):
            return key
        key = await self._one("member", member_id)
        if key is None:
            raise DecryptionFailed
        self._cache_member(member_id, key)
        return key

    def _cached_member(self, member_id: UUID) -> bytes | None:
        fetched_at, key = self._members.get(member_id, (0.0, None))
        return key if time.monotonic() < fetched_at + KEY_CACHE_TTL_SECONDS else None

    def _cache_member(self, member_id: UUID, key: bytes) -> None:
        if len(self._members) >= MAX_CACHED_KEYS:
            self._members.clear()
        self._members[member_id] = (time.monotonic(), key)

    async def _fetch_look_up_key(self) -> bytes:
        key = await self._one("look-up", NOBODY)
        if key is None:
            await self._make("look-up", NOBODY)
            key = await self._one("look-up", NOBODY)
            assert key is not None
        return key

    async def _one(self, purpose: Purpose, owner: UUID) -> bytes | None:
        row = await self._db.fetchrow(WRAPPED_KEY, purpose, owner)
        return self._store.unwrap(row["epoch"], row["wrapped"]) if row else None

    async def _fetch(self, relationship_ids: list[UUID]) -> dict[UUID, RelationshipKeys]:
        seats: dict[UUID, dict[UUID, UUID | None]] = {rid: {} for rid in relationship_ids}
        for relationship_id, author_id, member_id in await self._db.fetch(SEATS, relationship_ids):
            seats[relationship_id][author_id] = member_id
        members = {member for seated in seats.values() for member in seated.values() if member}
        rows = await self._db.fetch(OWNED, relationship_ids, list(members))
        keys = {(row["purpose"], row["owner_id"]): self._store.unwrap(row["epoch"], row["wrapped"]) for row in rows}
        return {
            rid: RelationshipKeys(
                keys["relationship", rid],
                {author: keys["member", member] for author, member in seated.items() if ("member", member) in keys},
                tuple(seated),
            )
            for rid, seated in seats.items()
        }

    async def _make(self, purpose: Purpose, owner: UUID) -> None:
        epoch = epoch_of(self._now())
        key = self._random_bytes(KEY_BYTES, f"key of {owner}")
        await self._db.execute(KEEP_KEY, purpose, owner, epoch, self._store.wrap(epoch, key))
