"""The keys of members and relationships: created with them, fetched and cached, destroyed when a member is erased.

All statements here run as a role of their own, on connections of their own: what serves requests cannot read a key row.
"""

import hmac
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Generic, Literal, TypeAlias, TypeVar
from uuid import UUID

from asyncpg import ForeignKeyViolationError, Pool, Record

from events import chain
from events.encryption import KEY_BYTES, DecryptionFailed, RelationshipKeys
from events.heads import DbConnection
from service.core.clock import Clock
from service.core.randomness import RandomBytes
from service.errors import KeyStoreError
from service.keys import field_encryption
from service.keys.epochs import Epochs, current_epoch, epochs_in_use
from service.keys.key_store import KeyStore

PoolOrConnection: TypeAlias = "Pool[Record] | DbConnection"

# So long an erased member's key may outlive its row in the memory of another process.
KEY_CACHE_TTL_SECONDS = 30.0
MAX_CACHED_KEYS = 40_000

Value = TypeVar("Value")
Purpose = Literal["member", "relationship", "look-up"]
IndexKind = Literal["address", "identity", "allowance", "device secret", "step-up code", "address code", "push address"]
NOBODY = UUID(int=0)  # the look-up key has no owner

# Of two who create the same key, the second changes nothing.
KEEP_KEY = """
INSERT INTO keys.wrapped (
    purpose,
    owner_id,
    epoch,
    wrapped
) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
"""

DESTROY_KEY = """
WITH destroyed AS (
    DELETE FROM keys.wrapped
    WHERE purpose = 'member'
        AND owner_id = $1
    RETURNING epoch
)
UPDATE keys.epochs
SET erasures = erasures + 1
FROM destroyed
WHERE epochs.epoch = destroyed.epoch
"""

WRAPPED_KEY = """
SELECT
    epoch,
    wrapped
FROM keys.wrapped
WHERE purpose = $1
    AND owner_id = $2
"""

# Who has been erased has a seat still, and is nobody. Who is not confirmed yet may go, and another one take the seat.
SEATS = """
SELECT
    memberships.relationship_id,
    memberships.author_id,
    memberships.member_id,
    relationships.state IN ('active', 'ended') AS lasting
FROM memberships
JOIN relationships USING (relationship_id)
WHERE memberships.relationship_id = ANY ($1::uuid[])
ORDER BY
    memberships.relationship_id,
    memberships.seat
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


class _Cache(Generic[Value]):
    """What was fetched within the last half a minute, by who has fetched it and what it is.

    What one reader fetches makes nothing faster for another, who could tell by it that the first one is there.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[UUID, UUID], tuple[float, Value]] = {}

    def get(self, reader: UUID, name: UUID) -> Value | None:
        fetched_at, value = self._kept.get((reader, name), (0.0, None))
        return value if time.monotonic() < fetched_at + KEY_CACHE_TTL_SECONDS else None

    def put(self, reader: UUID, name: UUID, value: Value) -> None:
        """Keep it; the oldest goes where there are too many."""
        self._kept.pop((reader, name), None)
        if len(self._kept) >= MAX_CACHED_KEYS:
            del self._kept[next(iter(self._kept))]
        self._kept[reader, name] = time.monotonic(), value

    def clear(self) -> None:
        self._kept.clear()


class Keyring:
    """Creates, fetches and destroys keys; caches fetched ones in memory for half a minute, for each reader apart."""

    def __init__(self, db: PoolOrConnection, store: KeyStore, now: Clock, random_bytes: RandomBytes) -> None:
        self._db, self._store, self._now, self._random_bytes = db, store, now, random_bytes
        self._relationships = _Cache[RelationshipKeys]()
        self._members = _Cache[bytes]()
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
        self._members.clear()

    async def relationship_keys(self, relationship_id: UUID, reader: UUID) -> RelationshipKeys:
        """The keys that encrypt the texts of one relationship, for one of its authors. Raises KeyStoreError."""
        return (await self.many_relationship_keys([(relationship_id, reader)]))[relationship_id]

    async def many_relationship_keys(self, wanted: Collection[tuple[UUID, UUID]]) -> dict[UUID, RelationshipKeys]:
        """The same for several, by relationship; `wanted` are relationships, each with the author who needs them.

        Where two of one relationship need them, each finds what they have fetched themselves, and nothing else.
        """
        found = {one: self._relationships.get(one[1], one[0]) for one in wanted}
        missing = [one for one, keys in found.items() if keys is None]
        fetched = await self._fetch(list({relationship_id for relationship_id, _ in missing})) if missing else {}
        for relationship_id, reader in missing:
            keys, lasting = fetched[relationship_id]
            if lasting:
                self._relationships.put(reader, relationship_id, keys)
        kept = {relationship_id: keys for (relationship_id, _), keys in found.items() if keys}
        return kept | {relationship_id: keys for relationship_id, (keys, _) in fetched.items()}

    async def fetch_relationship_keys(self, relationship_ids: Collection[UUID]) -> dict[UUID, RelationshipKeys]:
        """The same as they are now, for nobody in particular: nothing is cached."""
        fetched = await self._fetch(list(relationship_ids)) if relationship_ids else {}
        return {relationship_id: keys for relationship_id, (keys, _) in fetched.items()}

    async def fetch_for(self, member_ids: Collection[UUID]) -> None:
        """Fetch the keys of several members at once, so that encrypting and decrypting for them fetches none.

        Who has no key, or one that does not open, holds up nobody: encrypting for them raises what is wrong.
        """
        if missing := [member_id for member_id in member_ids if self._members.get(member_id, member_id) is None]:
            for owner, epoch, wrapped in await self._db.fetch(MEMBERS, missing):
                with suppress(KeyStoreError):
                    self._members.put(owner, owner, self._store.unwrap(epoch, wrapped))

    async def encrypt_for(self, member_id: UUID, field: field_encryption.Field, text: str) -> bytes:
        """Encrypt what a member says of themselves. Raises DecryptionFailed for who is erased, KeyStoreError."""
        return field_encryption.encrypt(await self._of_member(member_id, member_id), member_id, field, text)

    async def decrypt_for(
        self, member_id: UUID, field: field_encryption.Field, ciphertext: bytes, reader: UUID | None = None
    ) -> str:
        """The reverse; it raises the same. `reader` names who reads it, where that is somebody else."""
        key = await self._of_member(member_id, reader or member_id)
        return field_encryption.decrypt(key, member_id, field, ciphertext)

    async def blind_index(self, kind: IndexKind, *parts: str) -> bytes:
        """A keyed hash to look something up by: equal for equal texts, opaque without the key."""
        if self._look_up_key is None:
            self._look_up_key = await self._fetch_look_up_key()
        message = chain.digest(f"mutuality/look-up/v1/{kind}", *(part.encode() for part in parts))
        return hmac.digest(self._look_up_key, message, "sha256")

    async def _of_member(self, member_id: UUID, reader: UUID) -> bytes:
        if key := self._members.get(reader, member_id):
            return key
        key = await self._one("member", member_id)
        if key is None:
            raise DecryptionFailed
        self._members.put(reader, member_id, key)
        return key

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

    async def _fetch(self, relationship_ids: list[UUID]) -> dict[UUID, tuple[RelationshipKeys, bool]]:
        """The keys, and whether they last: until a couple is confirmed, its second member may be another one."""
        seats: dict[UUID, dict[UUID, UUID | None]] = {rid: {} for rid in relationship_ids}
        lasting: set[UUID] = set()
        for relationship_id, author_id, member_id, lasts in await self._db.fetch(SEATS, relationship_ids):
            seats[relationship_id][author_id] = member_id
            lasting |= {relationship_id} if lasts else set()
        members = {member for seated in seats.values() for member in seated.values() if member}
        rows = await self._db.fetch(OWNED, relationship_ids, list(members))
        keys = {(row["purpose"], row["owner_id"]): self._store.unwrap(row["epoch"], row["wrapped"]) for row in rows}
        return {rid: (_keys_of(rid, seated, keys), rid in lasting) for rid, seated in seats.items()}

    async def epochs(self) -> Epochs:
        """The epochs in use, and how many erasures wait for the next rotation."""
        return await epochs_in_use(self._db)

    async def _make(self, purpose: Purpose, owner: UUID) -> None:
        key = self._random_bytes(KEY_BYTES, f"key of {owner}")
        while not await self._keep(purpose, owner, key):
            pass

    async def _keep(self, purpose: Purpose, owner: UUID, key: bytes) -> bool:
        """Whether the key was kept; not, where its epoch was destroyed at this moment, and another one has begun."""
        epoch = await current_epoch(self._db, self._now())
        wrapped = self._store.wrap(epoch, key)
        with suppress(ForeignKeyViolationError):
            await self._db.execute(KEEP_KEY, purpose, owner, epoch, wrapped)
            return True
        return False


def _keys_of(
    relationship_id: UUID, seated: dict[UUID, UUID | None], keys: dict[tuple[str, UUID | None], bytes]
) -> RelationshipKeys:
    authors = {author: keys["member", member] for author, member in seated.items() if ("member", member) in keys}
    return RelationshipKeys(keys["relationship", relationship_id], authors, tuple(seated))
