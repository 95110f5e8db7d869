"""The one write path: whatever enters the log enters here, in one transaction with its tallies.

It is written for a batch. One PUT is a batch of one entry; the queue of a phone is a batch of many.
"""

from collections import Counter
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct, field

from events import rules, streams
from events.chain import Head
from events.entries import Audience, Ended, Entry, Fact, Opened, Retraction, refers_to
from events.errors import Refusal
from events.rules import Accepted, Author, Known, Recorded
from events.sealing import Ring
from events.streams import Database, Draft, Mention, Stored, StreamKey
from projections import tallies
from projections.tallies import Key
from service import answering
from service.answering import News
from service.errors import NotFound
from service.tokens import new_id
from service.world import World


class Writer(Struct, frozen=True):
    """Who records, in which relationship."""

    relationship_id: UUID
    member_id: UUID
    author_id: UUID
    shared_stream: UUID
    private_stream: UUID
    consented: bool

    def key(self, audience: Audience) -> StreamKey:
        """The stream of that audience, as this writer has it."""
        return StreamKey(self.relationship_id, self.shared_stream if audience == "shared" else self.private_stream)

    @property
    def keys(self) -> list[StreamKey]:
        """Both streams that this writer can read."""
        return [self.key("shared"), self.key("private")]


class Submission(Struct, frozen=True):
    """Entries of one writer, in the order in which they are to be recorded."""

    writer: Writer
    entries: list[tuple[UUID, Entry]]


class Done(Struct, frozen=True):
    """An entry that is in the log, and whether it is there since just now."""

    stored: Stored
    new: bool


Outcome: TypeAlias = Done | Refusal


class Batch(Struct):
    """What a submission has come to so far: nothing of what it appends is in the database yet."""

    writer: Writer
    ring: Ring
    partner_id: UUID | None
    heads: dict[StreamKey, Head]
    known: Known = field(default_factory=Known)
    stored: dict[tuple[Audience, UUID], Stored] = field(default_factory=dict)
    appended: list[tuple[StreamKey, Stored]] = field(default_factory=list)
    counts: Counter[Key] = field(default_factory=Counter)

    def learn(self, stored: Stored) -> None:
        """Take an event of the log into account, once."""
        name = (stored.event.audience, stored.event.event_id)
        if name not in self.stored:
            self.stored[name] = stored
            rules.evolve(self.known, stored.event)


async def record(world: World, db: Database, submission: Submission) -> list[Outcome]:
    """Record what may be recorded, in order; each entry gets its own outcome, and none blocks the others.

    The connection acts for the writer.
    """
    async with db.transaction():
        heads = await _lock(db, submission)
        # Behind the locks: a partner who came in while this waited has written with a key of their own.
        ring = await world.keys.ring(submission.writer.relationship_id)
        author, partner_id = await _members(db, submission.writer)
        if not ring.knows(author.author_id):
            raise NotFound  # its author is being erased
        batch = Batch(submission.writer, ring, partner_id, heads)
        for known in await _readable(db, ring, submission):
            batch.learn(known)
        # The time is taken under the locks, so that it grows along a stream.
        now = world.now()
        outcomes = [_outcome(world, batch, author, entry_id, entry, now) for entry_id, entry in submission.entries]
        await streams.append(db, ring, batch.appended)
        await tallies.add(db, batch.counts)
        writer = submission.writer
        new = [News(writer.member_id, writer.relationship_id, stored.event) for _, stored in batch.appended]
        await answering.follow(db, new, now)
    return outcomes


async def announce(world: World, db: Database, key: StreamKey, fact: Opened | Ended) -> None:
    """Append what the service itself has to say to a shared stream, in the transaction of the caller."""
    ring = await world.keys.ring(key.relationship_id)
    heads = await streams.lock(db, [key])
    draft = _draft(world, key, new_id(world, f"event id {key.stream_id}"), None, world.now(), fact)
    await streams.append(db, ring, [(key, streams.seal(ring, heads[key], key, "shared", draft))])


def _outcome(world: World, batch: Batch, author: Author, entry_id: UUID, entry: Entry, now: datetime) -> Outcome:
    try:
        decided = rules.decide(entry_id, entry, author, batch.known, now)
    except Refusal as refusal:
        return refusal
    if isinstance(decided, Recorded):
        return Done(batch.stored[decided.audience, decided.event_id], new=False)
    return Done(_accept(world, batch, author, entry_id, decided, now), new=True)


def _accept(world: World, batch: Batch, author: Author, entry_id: UUID, accepted: Accepted, now: datetime) -> Stored:
    key = batch.writer.key(accepted.audience)
    draft = _draft(world, key, entry_id, author.author_id, now, accepted.entry)
    stored = streams.seal(batch.ring, batch.heads[key], key, accepted.audience, draft)
    batch.heads[key] = Head(stored.event.position, stored.link)
    batch.appended.append((key, stored))
    batch.counts.update(_tally(batch, key, stored.event))
    batch.learn(stored)
    return stored


def _tally(batch: Batch, key: StreamKey, event: Recorded) -> Counter[Key]:
    return tallies.tally(key, event, batch.partner_id, lambda target: batch.known.events[event.audience, target].fact)


def _draft(world: World, key: StreamKey, event_id: UUID, by: UUID | None, now: datetime, fact: Fact) -> Draft:
    return Draft(event_id, by, now, fact, world.chance(32, f"opening {key.stream_id} {event_id}"))


async def _lock(db: Database, submission: Submission) -> dict[StreamKey, Head]:
    """Lock one's own private stream, always, and the shared one only where the entries may touch it.

    The first keeps two devices of one member apart. The second would let the partner's writing wait for a private
    entry, and so tell of it.
    """
    shared, private = submission.writer.keys
    if any(rules.is_shared(entry) for _, entry in submission.entries):
        return await streams.lock(db, [private, shared])
    heads = await streams.lock(db, [private])
    taken_back = [e.event_id for _, e in submission.entries if isinstance(e, Retraction)]
    if taken_back and await streams.find(db, [Mention(shared, event_id) for event_id in taken_back]):
        heads |= await streams.lock(db, [shared])
    return heads


async def _readable(db: Database, ring: Ring, submission: Submission) -> list[Stored]:
    """What the writer can read of the ids at hand, of what they refer to, and of what has altered that since."""
    keys = submission.writer.keys
    ids = {entry_id for entry_id, _ in submission.entries}
    targets = {target for _, entry in submission.entries if (target := refers_to(entry))}
    rows = await streams.find(db, [Mention(key, one) for key in keys for one in ids | targets])
    rows += await streams.find_altering(db, ring, [Mention(key, one) for key in keys for one in targets])
    audiences: dict[StreamKey, Audience] = {keys[0]: "shared", keys[1]: "private"}
    return [streams.stored(ring, audiences[key], row) for key, row in rows]


MEMBERS = """
SELECT
    relationships.state = 'active' AS active,
    theirs.author_id AS partner_id
FROM relationships
LEFT JOIN memberships AS theirs
    ON theirs.relationship_id = relationships.relationship_id
    AND theirs.author_id <> $2
WHERE relationships.relationship_id = $1
"""


async def _members(db: Database, writer: Writer) -> tuple[Author, UUID | None]:
    # Read behind the locks: whoever opens or leaves holds the shared head, so this stays so until the commit.
    row = await db.fetchrow(MEMBERS, writer.relationship_id, writer.author_id)
    if row is None:
        raise NotFound  # its author was erased while this waited for the locks
    return Author(writer.author_id, writer.consented, row["active"]), row["partner_id"]
