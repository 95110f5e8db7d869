"""The one moment in which a transaction reads for both members: when both have sealed a check-in for the same thing.

Nobody can be told, and nobody has to wait for it, that the other has sealed something: until it comes to a reveal only
the writer's own head is locked, and only the writer's own texts are read.
"""

from collections.abc import Iterable
from uuid import UUID

from asyncpg import Record
from msgspec import Struct

from events.chain import Head
from events.encryption import RelationshipKeys
from events.entries import is_sealed, thing_of
from events.heads import DbConnection, lock_heads
from events.lookups import find_altering, find_events, find_sealed, sealed_things
from events.reading import decrypt_row
from events.records import Mention, Stored, StreamKey
from events.reveals import Copy, copy_ids, oldest, reveal, things_in
from events.rules import Known, Recorded
from projections import tallies
from projections.tallies import Counts
from service.context import reading_as_members


class Meeting(Struct, frozen=True):
    """What the other has sealed for things for which the writer has now sealed too. All three heads are locked."""

    mine: StreamKey
    theirs: StreamKey
    heads: dict[StreamKey, Head]  # the other's private one and the shared one
    waiting: list[Recorded]  # the other's, and what has taken some of it back
    readable: list[Stored]  # of the writer's streams, as far as it decides what is revealed

    def copies(self, sealed: Recorded, known: Known) -> list[Copy]:
        """What is to be revealed now that this one is recorded."""
        assert is_sealed(sealed.fact)
        thing = thing_of(sealed.fact)
        private = [event for (audience, _), event in known.events.items() if audience == "private"]
        mine = oldest(self.mine.stream_id, private, thing)
        theirs = oldest(self.theirs.stream_id, self.waiting, thing)
        return reveal(mine, theirs, known) if mine and theirs else []

    def counts_of(self, copy: Copy) -> Counts:
        """What the original of a copy had added to the counts of its private stream."""
        original = copy.original
        key = self.mine if original.stream_id == self.mine.stream_id else self.theirs
        return tallies.tally(key, original.event, None, lambda _: original.event.fact)


# Two who seal at once take turns, and who leaves waits, or is waited for. Weaker than the lock of who leaves, so that
# rows that only refer to the relationship can be written meanwhile. A stranger holds nothing, nor who was signed out.
HOLD = """
SELECT relationships.state
FROM relationships
JOIN memberships USING (relationship_id)
JOIN sessions USING (member_id)
WHERE session_id = $1
    AND member_id = $2
    AND relationship_id = $3
FOR NO KEY UPDATE OF relationships
"""


async def lock_relationship(db: DbConnection, session_id: UUID, member_id: UUID, relationship_id: UUID) -> None:
    """Let nobody else seal here, nor leave, until the transaction ends. To be called before any head is locked."""
    await db.execute(HOLD, session_id, member_id, relationship_id)


# Who is erased is null here.
PARTNER = """
SELECT
    member_id,
    author_id,
    private_stream_id
FROM memberships
WHERE relationship_id = $1
    AND member_id <> $2
"""


async def meet(
    db: DbConnection,
    ring: RelationshipKeys,
    member_id: UUID,
    shared: StreamKey,
    private: StreamKey,
    sealed: Iterable[Recorded],
) -> Meeting | None:
    """What the other has waiting for the same things as these check-ins, just accepted; none where nobody waits.

    The relationship and the writer's private head are locked, the shared one is not. What is refused or sent again must
    not come here: how long that takes would tell whether somebody waits.
    """
    partner = await db.fetchrow(PARTNER, shared.relationship_id, member_id)
    if partner is None or not ring.knows(partner["author_id"]):
        return None
    things = things_in(event.fact for event in sealed)
    theirs = StreamKey(shared.relationship_id, partner["private_stream_id"])
    there = await sealed_things(db, ring, [theirs, shared], things)
    if there[theirs] <= there[shared]:
        return None
    # Nobody seals meanwhile, but until the heads are locked something may be taken back.
    heads = await lock_heads(db, [theirs, shared])
    async with reading_as_members(db, [member_id, partner["member_id"]]):
        found = await _read(db, ring, shared, [private, theirs], things)
    waiting = [stored.event for key, stored in found if key == theirs]
    return Meeting(private, theirs, heads, waiting, [stored for key, stored in found if key != theirs])


async def _read(
    db: DbConnection, ring: RelationshipKeys, shared: StreamKey, private: list[StreamKey], things: set[str]
) -> list[tuple[StreamKey, Stored]]:
    """All that is sealed for the things, what has taken it back, and what has an id that a copy could have."""
    found = _opened(ring, shared, await find_sealed(db, ring, [*private, shared], things))
    originals = [Mention(key, stored.event.event_id) for key, stored in found if key != shared]
    found += _opened(ring, shared, await find_altering(db, {shared.relationship_id: ring}, originals))
    names = {Mention(shared, each) for one in originals for each in copy_ids(one.key.stream_id, one.event_id)}
    return found + _opened(ring, shared, await find_events(db, list(names)))


def _opened(
    ring: RelationshipKeys, shared: StreamKey, rows: Iterable[tuple[StreamKey, Record]]
) -> list[tuple[StreamKey, Stored]]:
    return [(key, decrypt_row(ring, "shared" if key == shared else "private", row)) for key, row in rows]
