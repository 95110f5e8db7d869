"""The one moment in which a transaction reads for both members: when both have sealed a check-in that can be compared.

Nobody can learn, and nobody has to wait because, the other has sealed something. A sealed check-in is recorded like any
private one, with the tags that it waits with. Only after its commit it is looked, by tag, whether the other's waits:
the same statements whatever they have sealed, none of which opens or locks anything. Of two who seal at once, the one
who commits later finds the other's. Who gets no answer sends it again, and then it is looked again.
"""

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from asyncpg import Record
from msgspec import Struct

from events.encryption import RelationshipKeys
from events.entries import CheckIn, Retraction, is_sealed
from events.heads import DbConnection, lock_heads
from events.lookups import find_altering, find_events, find_sealed
from events.reading import decrypt_row, in_slices
from events.records import Mention, Stored, StreamKey
from events.reveals import Copy, Original, copy_ids, may_be_revealed, partner_of, reveal, things_in, waiting
from events.rules import Known, Recorded
from events.waiting import Tag, add_waiting, filled, fillers, find_waiting, named, remove_waiting, tags_of
from projections import tallies
from projections.tallies import Counts
from service.access.consent import has_consented
from service.context import Context
from service.errors import Overloaded
from service.recording.append import append
from service.recording.load import WAIT_FOR_LOCKS, load_pages, load_write_set
from service.recording.write_set import AuthorBatch, RecordedEntry, Submission, SubmissionResult, WriteSet

# Of one answer for one thing so many of one author may wait. More would let one who guesses at what the other has
# sealed keep a stock of answers, each of which opens another.
MAX_WAITING = 4


# --- While it is recorded


async def keep_tags(db: DbConnection, write_set: WriteSet) -> None:
    """Let wait what was just sealed, and no longer what was taken back or shared. The private heads are locked."""
    for batch in write_set.all_batches:
        keys, appended = write_set.keys_of(batch), _appended(write_set, batch)
        if gone := [event for event in (_no_longer_waits(batch, one) for one in appended) if event]:
            tags = [tag for event in gone for tag in _all_tags(keys, batch.private, event)]
            await remove_waiting(db, batch.relationship_id, tags)
        if batch.author.active and (sealed := [event for event in appended if _may_wait(event)]):
            await _add(db, keys, batch.private, sealed)


def _appended(write_set: WriteSet, batch: AuthorBatch) -> list[Recorded]:
    own = [stored.event for stream, stored in write_set.appended if stream in batch.streams]
    return [event for event in own if event.author == batch.author.author_id]


def _may_wait(event: Recorded) -> bool:
    return event.audience == "private" and may_be_revealed(event)


def _no_longer_waits(batch: AuthorBatch, event: Recorded) -> Recorded | None:
    """The sealed check-in that is taken back, or shared under its id."""
    if isinstance(event.fact, Retraction) and event.audience == "private":
        found = batch.known.find(event.fact.event_id, "private")
    elif event.audience == "shared":
        found = batch.known.find(event.event_id, "private")
    else:
        return None
    return found if found and is_sealed(found.fact) else None


async def _add(db: DbConnection, keys: RelationshipKeys, stream: StreamKey, sealed: list[Recorded]) -> None:
    wanted = {event.event_id: tags_of(keys, stream, event.fact) for event in sealed if is_sealed(event.fact)}
    found = await find_waiting(db, stream.relationship_id, {tag for tags in wanted.values() for tag in tags})
    count, added = Counter(one.tag for one in found), list[Tag]()
    for event_id, tags in wanted.items():
        free = [tag for tag in tags if count[tag] < MAX_WAITING]
        count.update(free)
        added += named(keys, stream, event_id, filled(keys, stream, event_id, free)) if free else []
    if added:
        await add_waiting(db, stream.relationship_id, added)


def _all_tags(keys: RelationshipKeys, stream: StreamKey, event: Recorded) -> list[Tag]:
    """All with which a sealed check-in may wait."""
    assert is_sealed(event.fact)
    tags = [*tags_of(keys, stream, event.fact), *fillers(keys, stream, event.event_id)]
    return named(keys, stream, event.event_id, tags)


# --- Afterwards


class Pair(Struct, frozen=True):
    """The private streams of who has just sealed and of their partner, and what both read."""

    keys: RelationshipKeys
    mine: StreamKey
    theirs: StreamKey
    shared: StreamKey
    partner_id: UUID

    async def find_waiting(self, db: DbConnection, sealed: Iterable[Recorded]) -> set[Tag]:
        """What waits of the two with the answers of these: asked for equally many tags for each of these."""
        facts = [(event.event_id, event.fact) for event in sealed if is_sealed(event.fact)]
        tags = [
            tag
            for stream in (self.mine, self.theirs)
            for event_id, fact in facts
            for tag in filled(self.keys, stream, event_id, tags_of(self.keys, stream, fact))
        ]
        return set(await find_waiting(db, self.mine.relationship_id, tags))

    def may_meet(self, sealed: Recorded, found: set[Tag]) -> bool:
        """Whether it waits, and one of the other's waits with an answer to what it answers too."""
        assert is_sealed(sealed.fact)
        tags = {one.tag for one in found}
        theirs = tags_of(self.keys, self.theirs, sealed.fact)
        return self.waits(self.mine, sealed, found) and not tags.isdisjoint(theirs)

    def waits(self, stream: StreamKey, sealed: Recorded, found: set[Tag]) -> bool:
        """Whether the entry is among what was found."""
        return not found.isdisjoint(_all_tags(self.keys, stream, sealed))


async def reveal_waiting(context: Context, db: DbConnection, submission: Submission, done: WriteSet) -> WriteSet | None:
    """Reveal what can be, now that a submission of sealed check-ins is on disk; none where there is nothing."""
    batch = done.batches.get(submission.submitter)
    sealed = _recorded(done)
    if batch is None or not sealed or not batch.author.active:
        return None
    pair = await _pair(db, done.keys_of(batch), batch)
    if pair is None:
        return None
    found = await pair.find_waiting(db, (stored.event for stored in sealed))
    if not await _both_consent(db, batch, pair) or not any(pair.may_meet(stored.event, found) for stored in sealed):
        return None
    return await _reveal(context, db, submission, pair, sealed)


def _recorded(done: WriteSet) -> list[Stored]:
    """What was sealed, also what was sent again."""
    results = [answer for answer in done.answers if isinstance(answer, SubmissionResult)]
    outcomes = [outcome for result in results for outcome in result.outcomes if isinstance(outcome, RecordedEntry)]
    return [
        one.stored for one in outcomes if one.stored.event.audience == "private" and is_sealed(one.stored.event.fact)
    ]


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


async def _pair(db: DbConnection, keys: RelationshipKeys, batch: AuthorBatch) -> Pair | None:
    row = await db.fetchrow(PARTNER, batch.relationship_id, batch.member_id)
    if row is None or not keys.knows(row["author_id"]):
        return None
    theirs = StreamKey(batch.relationship_id, row["seat"], row["private_stream_id"])
    return Pair(keys, batch.private, theirs, batch.shared, row["member_id"])


CONSENT = """
SELECT consent_version
FROM members
WHERE member_id = $1
"""


async def _both_consent(db: DbConnection, batch: AuthorBatch, pair: Pair) -> bool:
    return has_consented(await db.fetchval(CONSENT, pair.partner_id)) and batch.author.consented


# Of two who reveal at once one is the first, and who leaves waits, or is waited for. Weaker than the lock of who
# leaves, so that rows that only refer to the relationship can be written meanwhile.
LOCK_RELATIONSHIP = """
SELECT state
FROM relationships
WHERE relationship_id = $1
FOR NO KEY UPDATE
"""


async def _reveal(
    context: Context, db: DbConnection, submission: Submission, pair: Pair, sealed: list[Stored]
) -> WriteSet | None:
    """Append the copies of all that still meets, in a transaction that holds all three heads."""
    async with db.transaction():
        await db.execute(WAIT_FOR_LOCKS)
        if await db.fetchval(LOCK_RELATIONSHIP, pair.mine.relationship_id) != "active":
            return None
        heads = await lock_heads(db, [pair.mine, pair.theirs, pair.shared])
        write_set = await load_write_set(context, db, [submission], locked=True)
        batch = write_set.batches.get(submission.submitter)
        if batch is None or not await _both_consent(db, batch, pair):
            return None
        write_set.heads |= heads
        found = await pair.find_waiting(db, (stored.event for stored in sealed))
        others = await _learn_all(context, pair, batch, sealed, found)
        gone = [tag for stored in sealed for tag in _add_copies(write_set, batch, pair, stored.event, others, found)]
        if gone:
            await remove_waiting(db, batch.relationship_id, gone)
        await load_pages(db, write_set)
        if not await append(db, write_set.rows()):
            raise Overloaded
    return write_set


async def _learn_all(
    context: Context, pair: Pair, batch: AuthorBatch, sealed: list[Stored], found: set[Tag]
) -> list[Recorded]:
    """Let the batch know what decides under which ids copies appear and what they count; what the other has sealed."""
    meeting = [stored for stored in sealed if pair.may_meet(stored.event, found)]
    async with context.reading_for([batch.member_id, pair.partner_id]) as reader:
        theirs = await _sealed_by_partner(reader, pair, things_in(stored.event.fact for stored in meeting), found)
        originals = [(pair.mine, stored.event) for stored in meeting] + [(pair.theirs, event) for event in theirs]
        for stored in _decrypted(pair.keys, await find_events(reader, list(_shared_names(pair, originals)))):
            batch.learn(stored)
    for stored in meeting:
        batch.learn(stored)
    return theirs


SLICE_TAGS = 2_000  # more than any meeting has; hashed in some 5 ms, in which nobody else is answered


async def _sealed_by_partner(db: DbConnection, pair: Pair, things: set[str], found: set[Tag]) -> list[Recorded]:
    """What they have sealed for the things and still waits, and what has taken it back.

    Of what no longer waits, however much, nothing is opened, and others are answered meanwhile.
    """
    tags, rows = list({one.tag for one in found}), list[tuple[StreamKey, Record]]()
    async for part in in_slices(await find_sealed(db, pair.keys, [pair.theirs], things), SLICE_TAGS // (len(tags) + 1)):
        for stream, row in part:
            if not found.isdisjoint(named(pair.keys, stream, row["event_id"], tags)):
                rows.append((stream, row))
    sealed = _decrypted(pair.keys, rows)
    mentions = [Mention(pair.theirs, stored.event.event_id) for stored in sealed]
    keys = {pair.theirs.relationship_id: pair.keys}
    return [one.event for one in (*sealed, *_decrypted(pair.keys, await find_altering(db, keys, mentions)))]


def _shared_names(pair: Pair, originals: list[tuple[StreamKey, Recorded]]) -> set[Mention]:
    """The ids that copies could have, and what the originals are about."""
    names = {each for stream, event in originals for each in copy_ids(stream.stream_id, event.event_id)}
    names |= {event.fact.about for _, event in originals if isinstance(event.fact, CheckIn) and event.fact.about}
    return {Mention(pair.shared, name) for name in names}


def _decrypted(keys: RelationshipKeys, rows: Iterable[tuple[StreamKey, Record]]) -> list[Stored]:
    return [decrypt_row(keys, stream, row) for stream, row in rows]


def _add_copies(
    write_set: WriteSet, batch: AuthorBatch, pair: Pair, sealed: Recorded, others: list[Recorded], found: set[Tag]
) -> list[Tag]:
    """Add the copies of one that was sealed and of the oldest that meets it. The tags of the two, gone from `found`."""
    if not pair.may_meet(sealed, found):
        return []
    left = waiting(pair.theirs.stream_id, others, lambda event_id: batch.known.find(event_id, "shared"))
    other = partner_of(sealed, [one for one in left if pair.waits(pair.theirs, one.event, found)])
    if other is None:
        return []
    for copy in reveal(Original(pair.mine.stream_id, sealed), other, batch.known):
        original = copy.original.event
        write_set.add_event(batch, "shared", copy.event_id, original.author, original.fact)
        write_set.add_counts([(key, -count) for key, count in _counts_of(pair, copy, batch.known)])
    gone = [*_all_tags(pair.keys, pair.mine, sealed), *_all_tags(pair.keys, pair.theirs, other.event)]
    found.difference_update(gone)
    return gone


def _counts_of(pair: Pair, copy: Copy, known: Known) -> Counts:
    """What the original of a copy had added to the counts of its private stream."""
    original = copy.original
    stream = pair.mine if original.stream_id == pair.mine.stream_id else pair.theirs
    return tallies.tally(stream, original.event, lambda audience, event_id: known.find(event_id, audience))
