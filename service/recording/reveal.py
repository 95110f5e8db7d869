"""The one moment in which a transaction reads for both members: when both have sealed a check-in for the same thing.

Nobody can learn, and nobody has to wait because, the other has sealed something: until it comes to a reveal only the
writer's own head is locked, and only the writer's own texts are read.
"""

from collections.abc import Callable, Iterable
from uuid import UUID

from asyncpg import Record
from msgspec import Struct

from events.encryption import RelationshipKeys
from events.entries import CheckIn, is_sealed, thing_of
from events.heads import DbConnection, VersionedHead, lock_heads
from events.lookups import find_altering, find_events, find_sealed, sealed_things
from events.reading import decrypt_row
from events.records import Mention, Stored, StreamKey
from events.reveals import Copy, copy_ids, oldest, reveal, things_in
from events.rules import Known, Recorded
from projections import tallies
from projections.tallies import Counts
from service.context import reading_as_members
from service.recording.write_set import AuthorBatch, Submitter, WriteSet


class Meeting(Struct, frozen=True):
    """What the other has sealed for things for which the writer has now sealed too. All three heads are locked."""

    mine: StreamKey
    theirs: StreamKey
    heads: dict[StreamKey, VersionedHead]  # the other's private one and the shared one
    waiting: list[Recorded]  # the other's, and what has taken some of it back
    readable: list[Stored]  # of the writer's streams, as far as it decides what is revealed

    def copies(self, sealed: Recorded, known: Known) -> list[Copy]:
        """What is to be revealed now that this one is recorded."""
        assert is_sealed(sealed.fact)
        thing = thing_of(sealed.fact)
        private = [event for (audience, _), event in known.events.items() if audience == "private"]
        mine = oldest(self.mine.stream_id, private, thing, _shared(known))
        theirs = oldest(self.theirs.stream_id, self.waiting, thing, _shared(known))
        return reveal(mine, theirs, known) if mine and theirs else []

    def counts_of(self, copy: Copy, known: Known) -> Counts:
        """What the original of a copy had added to the counts of its private stream."""
        original = copy.original
        stream = self.mine if original.stream_id == self.mine.stream_id else self.theirs
        return tallies.tally(stream, original.event, lambda audience, event_id: known.find(event_id, audience))


def _shared(known: Known) -> Callable[[UUID], Recorded | None]:
    return lambda event_id: known.find(event_id, "shared")


# Two who seal at once take turns, and who leaves waits, or is waited for. Weaker than the lock of who leaves, so that
# rows that only refer to the relationship can be written meanwhile. A stranger locks nothing.
LOCK_RELATIONSHIP = """
SELECT relationships.state
FROM relationships
JOIN memberships USING (relationship_id)
WHERE member_id = $1
    AND relationship_id = $2
FOR NO KEY UPDATE OF relationships
"""


async def lock_relationship(db: DbConnection, submitter: Submitter) -> None:
    """Let nobody else seal here, nor leave, until the transaction ends. To be called before any head is locked."""
    await db.execute(LOCK_RELATIONSHIP, *submitter.author)


async def add_copies(db: DbConnection, write_set: WriteSet) -> None:
    """Add what is revealed now that an author, who is alone in the group, has sealed something.

    What is refused or sent again looks for nothing: how long that takes would disclose whether somebody waits.
    """
    sealed = [stored.event for _, stored in write_set.appended]
    if not sealed:
        return
    (batch,) = write_set.all_batches
    meeting = await _meet(db, write_set.keys_of(batch), batch, sealed) if batch.author.active else None
    if meeting is None:
        return
    write_set.heads |= meeting.heads
    for stored in meeting.readable:
        batch.learn(stored)
    for event in sealed:
        for copy in meeting.copies(event, batch.known):
            original = copy.original.event
            write_set.add_event(batch, "shared", copy.event_id, original.author, original.fact)
            write_set.add_counts([(key, -count) for key, count in meeting.counts_of(copy, batch.known)])


# Who is erased is null here.
PARTNER = """
SELECT
    member_id,
    seat,
    author_id,
    private_stream_id
FROM memberships
WHERE relationship_id = $1
    AND member_id <> $2
"""


async def _meet(
    db: DbConnection, keys: RelationshipKeys, batch: AuthorBatch, sealed: Iterable[Recorded]
) -> Meeting | None:
    """What the other has waiting for the same things as these check-ins, just accepted; none where nobody waits.

    The relationship and the writer's private head are locked, the shared one is not.
    """
    partner = await db.fetchrow(PARTNER, batch.relationship_id, batch.member_id)
    if partner is None or not keys.knows(partner["author_id"]):
        return None
    things = things_in(event.fact for event in sealed)
    theirs = StreamKey(batch.relationship_id, partner["seat"], partner["private_stream_id"])
    there = await sealed_things(db, keys, [theirs, batch.shared], things)
    if there[theirs] <= there[batch.shared]:
        return None
    # Nobody seals meanwhile, but until the heads are locked something may be taken back.
    heads = await lock_heads(db, [theirs, batch.shared])
    async with reading_as_members(db, [batch.member_id, partner["member_id"]]):
        found = await _read(db, keys, batch.shared, [batch.private, theirs], things)
    waiting = [stored.event for stream, stored in found if stream == theirs]
    readable = [stored for stream, stored in found if stream != theirs]
    return Meeting(batch.private, theirs, heads, waiting, readable)


async def _read(
    db: DbConnection, keys: RelationshipKeys, shared: StreamKey, private: list[StreamKey], things: set[str]
) -> list[tuple[StreamKey, Stored]]:
    """All that is sealed for the things, what has taken it back, what that is about, and what a copy's ids name."""
    found = _decrypted(keys, await find_sealed(db, keys, [*private, shared], things))
    originals = [Mention(stream, stored.event.event_id) for stream, stored in found if stream != shared]
    found += _decrypted(keys, await find_altering(db, {shared.relationship_id: keys}, originals))
    names = {Mention(shared, each) for one in originals for each in copy_ids(one.stream.stream_id, one.event_id)}
    facts = [stored.event.fact for _, stored in found]
    names |= {Mention(shared, fact.about) for fact in facts if isinstance(fact, CheckIn) and fact.about}
    return found + _decrypted(keys, await find_events(db, list(names)))


def _decrypted(keys: RelationshipKeys, rows: Iterable[tuple[StreamKey, Record]]) -> list[tuple[StreamKey, Stored]]:
    return [(stream, decrypt_row(keys, stream, row)) for stream, row in rows]
