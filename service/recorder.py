"""The one write path: whatever enters the log enters here, in one transaction with its tallies.

It is written for a group: whatever waits while one transaction commits goes into the next one together, so that many
phones share one commit. One PUT is a submission of one entry; the queue of a phone is a submission of many.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import TypeAlias
from uuid import UUID

from asyncpg import Record
from msgspec import Struct, field
from msgspec.structs import replace

from events import rules, streams
from events.chain import Head
from events.entries import Audience, Ended, Entry, Fact, Opened, Retraction, is_sealed, refers_to
from events.errors import Refusal
from events.reveals import Copy, copy_ids, takes_back_revealed
from events.rules import Accepted, Author, Known, Recorded
from events.sealing import Ring
from events.streams import Database, Draft, Mention, Stored, StreamKey
from projections import tallies
from projections.tallies import Key
from service import answering, reveals
from service.answering import News
from service.errors import NotFound, WrongState
from service.grouping import Grouped
from service.members import CONSENT_VERSION
from service.tokens import new_id
from service.world import World, reading_as


class Submission(Struct, frozen=True):
    """Entries of one member for one relationship, in the order in which they are to be recorded."""

    member_id: UUID
    relationship_id: UUID
    entries: list[tuple[UUID, Entry]]


class Done(Struct, frozen=True):
    """An entry that is in the log, and whether it is there since just now."""

    stored: Stored
    new: bool


Outcome: TypeAlias = Done | Refusal


class Answer(Struct, frozen=True):
    """What became of each entry of a submission, and the id that its author has in the relationship."""

    author_id: UUID
    outcomes: list[Outcome]


class Seat(Struct, frozen=True):
    """Where a member writes: their author id and the two streams that they can read."""

    relationship_id: UUID
    author_id: UUID
    shared: StreamKey
    private: StreamKey

    def key(self, audience: Audience) -> StreamKey:
        """The stream of that audience, as this writer has it."""
        return self.shared if audience == "shared" else self.private

    @property
    def keys(self) -> list[StreamKey]:
        """Both streams."""
        return [self.shared, self.private]


class Batch(Struct):
    """What one author's submissions have come to so far: nothing of what is appended is in the database yet."""

    seat: Seat
    submissions: list[Submission] = field(default_factory=list)
    known: Known = field(default_factory=Known)
    stored: dict[tuple[Audience, UUID], Stored] = field(default_factory=dict)

    def learn(self, stored: Stored) -> None:
        """Take an event of the log into account, once."""
        name = (stored.event.audience, stored.event.event_id)
        if name not in self.stored:
            self.stored[name] = stored
            rules.evolve(self.known, stored.event)

    @property
    def entries(self) -> Iterable[tuple[UUID, Entry]]:
        """All entries, in the order in which they came."""
        return (entry for submission in self.submissions for entry in submission.entries)


class Standing(Struct, frozen=True):
    """What an author may do at this moment, and who the other is."""

    author: Author
    partner_id: UUID | None
    confirmed: bool


class Group(Struct):
    """What a group of submissions is recorded from, and what it comes to."""

    rings: dict[UUID, Ring]
    heads: dict[StreamKey, Head]
    standings: dict[tuple[UUID, UUID], Standing]
    batches: dict[tuple[UUID, UUID], Batch]
    now: datetime
    readers: dict[UUID, list[Batch]] = field(default_factory=dict)
    appended: list[tuple[StreamKey, Stored]] = field(default_factory=list)
    counts: Counter[Key] = field(default_factory=Counter)


class Recorder:
    """Records what members submit; each submission gets an answer of its own, and none blocks the others."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._grouped = Grouped[Submission, Answer](
            self._commit,
            key=_held_up_with,
            room=lambda one: one.relationship_id,
            weight=lambda one: len(one.entries),
            apart=_seals,
        )

    async def record(self, submission: Submission) -> Answer:
        """What became of each entry, once it is on disk.

        Raises NotFound where the member is nothing to the relationship, WrongState for who is not confirmed yet, and
        Overloaded.
        """
        answers = [await self._grouped.submit(run) for run in _runs(submission)]
        return replace(answers[0], outcomes=[outcome for answer in answers for outcome in answer.outcomes])

    @property
    def waiting(self) -> int:
        """How many submissions wait for their group."""
        return self._grouped.length

    async def close(self) -> None:
        """Return when all that was submitted is answered."""
        await self._grouped.close()

    async def _commit(self, submissions: Sequence[Submission], patient: bool) -> Sequence[Answer | Exception]:
        async with self._world.recording() as db:
            if patient:
                await db.execute(BE_PATIENT)
            answers, appended = await record(self._world, db, submissions)
        # Nobody has to be woken for anything to be right: who is not, finds it within half a second.
        self._world.listeners.stirred(key.stream_id for key, _ in appended)
        return answers


# How long to wait for one lock, until the end of the transaction. Otherwise the recorder's connections are impatient.
BE_PATIENT = """
SET LOCAL lock_timeout = '5s'
"""
IMPATIENT = {"lock_timeout": "50ms"}


def _held_up_with(submission: Submission) -> Hashable:
    """What somebody may hold who shares, and what only the member's own devices hold."""
    shares = any(rules.is_shared(entry) or isinstance(entry, Retraction) for _, entry in submission.entries)
    return submission.relationship_id, submission.member_id, shares


def _seals(submission: Submission) -> bool:
    """Who seals may have to wait for the other, and act for them: nobody else is to be in that transaction."""
    return any(is_sealed(entry) for _, entry in submission.entries)


def _runs(submission: Submission) -> list[Submission]:
    """The same entries, the sealed ones apart from the others: while they are recorded nothing else is locked."""
    runs = groupby(submission.entries, lambda named: is_sealed(named[1]))
    return [replace(submission, entries=list(entries)) for _, entries in runs] or [submission]


async def record(
    world: World, db: Database, submissions: Sequence[Submission]
) -> tuple[list[Answer | Exception], list[tuple[StreamKey, Stored]]]:
    """Record what may be recorded, in order, in the transaction of the caller.

    Returns an answer to each submission, and what was appended.
    """
    batches = await _batches(db, submissions)
    if not batches:
        return [NotFound() for _ in submissions], []
    sealing = [submission.relationship_id for submission in submissions if _seals(submission)]
    for relationship_id in sealing:
        await reveals.hold(db, relationship_id)
    heads = await _lock(db, batches.values())
    # Behind the locks: a partner who came in while this waited has written with a key of their own, and whoever opens
    # or leaves holds the shared head, so that what is read here stays so until the commit.
    rings = await world.keys.rings({batch.seat.relationship_id for batch in batches.values()})
    standings = await _standings(db, batches.values())
    await _learn(db, rings, batches.values())
    # The time is taken under the locks, so that it grows along a stream.
    group = Group(rings, heads, standings, batches, world.now())
    for batch in batches.values():
        group.readers.setdefault(batch.seat.relationship_id, []).append(batch)
    answers = [_answer(world, group, submission) for submission in submissions]
    news = _news(group)
    if sealing:
        await _reveal(world, db, group)
    await streams.append(db, rings, group.appended)
    await tallies.add(db, group.counts)
    await answering.follow(db, news, group.now)
    return answers, group.appended


async def _reveal(world: World, db: Database, group: Group) -> None:
    """Append what is revealed now that an author, who comes alone, has sealed something."""
    (batch,) = group.batches.values()
    seat, sealed = batch.seat, [stored.event for _, stored in group.appended]
    if not sealed or not (standing := group.standings[seat.relationship_id, seat.author_id]).author.active:
        return
    member_id = batch.submissions[0].member_id
    meeting = await reveals.meet(db, _ring(group, batch), member_id, seat.shared, seat.private, sealed)
    if meeting is None:
        return
    group.heads |= meeting.heads
    for stored in meeting.readable:
        batch.learn(stored)
    for event in sealed:
        for copy in meeting.copies(event, batch.known):
            _append(group, batch, standing, "shared", _copied(world, group, batch, copy))
            group.counts.subtract(meeting.counts_of(copy))


def _news(group: Group) -> list[News]:
    """What the members of the group have recorded."""
    members = {(rid, batch.seat.author_id): member_id for (rid, member_id), batch in group.batches.items()}
    return [
        News(members[key.relationship_id, author], key.relationship_id, stored.event)
        for key, stored in group.appended
        if (author := stored.event.author) and (key.relationship_id, author) in members
    ]


async def announce(world: World, db: Database, key: StreamKey, fact: Opened | Ended) -> None:
    """Append what the service itself has to say to a shared stream, in the transaction of the caller."""
    ring = await world.keys.ring(key.relationship_id)
    heads = await streams.lock(db, [key])
    draft = _draft(world, key, new_id(world, f"event id {key.stream_id}"), None, world.now(), fact)
    await streams.append(db, {key.relationship_id: ring}, [(key, streams.seal(ring, heads[key], key, "shared", draft))])


def _answer(world: World, group: Group, submission: Submission) -> Answer | Exception:
    batch = group.batches.get((submission.relationship_id, submission.member_id))
    standing = group.standings.get((batch.seat.relationship_id, batch.seat.author_id)) if batch else None
    # Who was erased while this waited for the locks is nobody here any more, and has no key.
    if batch is None or standing is None or not _ring(group, batch).knows(batch.seat.author_id):
        return NotFound()
    if not standing.confirmed:
        return WrongState("You can record here as soon as the invite's maker has confirmed you.")
    outcomes = [_outcome(world, group, batch, standing, *entry) for entry in submission.entries]
    return Answer(batch.seat.author_id, outcomes)


def _ring(group: Group, batch: Batch) -> Ring:
    return group.rings[batch.seat.relationship_id]


def _outcome(world: World, group: Group, batch: Batch, standing: Standing, entry_id: UUID, entry: Entry) -> Outcome:
    try:
        decided = rules.decide(entry_id, entry, standing.author, batch.known, group.now)
    except Refusal as refusal:
        return refusal
    if isinstance(decided, Recorded):
        return Done(batch.stored[decided.audience, decided.event_id], new=False)
    return Done(_accept(world, group, batch, standing, entry_id, decided), new=True)


def _accept(world: World, group: Group, batch: Batch, standing: Standing, entry_id: UUID, accepted: Accepted) -> Stored:
    key = batch.seat.key(accepted.audience)
    draft = _draft(world, key, entry_id, batch.seat.author_id, group.now, accepted.entry)
    return _append(group, batch, standing, accepted.audience, draft)


def _copied(world: World, group: Group, batch: Batch, copy: Copy) -> Draft:
    original = copy.original.event
    return _draft(world, batch.seat.shared, copy.event_id, original.author, group.now, original.fact)


def _append(group: Group, batch: Batch, standing: Standing, audience: Audience, draft: Draft) -> Stored:
    key = batch.seat.key(audience)
    stored = streams.seal(_ring(group, batch), group.heads[key], key, audience, draft)
    group.heads[key] = Head(stored.event.position, stored.link)
    group.appended.append((key, stored))
    group.counts.update(_tally(batch, standing, key, stored.event))
    for reader in _readers(group, batch, audience):
        reader.learn(stored)
    return stored


def _readers(group: Group, batch: Batch, audience: Audience) -> Iterable[Batch]:
    """Those of the group who can read what the author of the batch records."""
    return [batch] if audience == "private" else group.readers[batch.seat.relationship_id]


def _tally(batch: Batch, standing: Standing, key: StreamKey, event: Recorded) -> Counter[Key]:
    events = batch.known.events
    if takes_back_revealed(key.stream_id, event, batch.known):
        return Counter()  # its counts have gone to the shared stream, and are taken back there
    return tallies.tally(key, event, standing.partner_id, lambda target: events[event.audience, target].fact)


def _draft(world: World, key: StreamKey, event_id: UUID, by: UUID | None, now: datetime, fact: Fact) -> Draft:
    return Draft(event_id, by, now, fact, world.chance(32, f"opening {key.stream_id} {event_id}"))


SEATS = """
SELECT
    memberships.member_id,
    memberships.relationship_id,
    memberships.author_id,
    relationships.shared_stream_id,
    memberships.private_stream_id
FROM unnest($1::uuid[], $2::uuid[]) AS submitted (member_id, relationship_id)
JOIN memberships USING (member_id, relationship_id)
JOIN relationships USING (relationship_id)
"""


async def _batches(db: Database, submissions: Sequence[Submission]) -> dict[tuple[UUID, UUID], Batch]:
    """What belongs together, by relationship and member; nothing for who is no member there."""
    asked = list({(one.member_id, one.relationship_id) for one in submissions})
    rows = await db.fetch(SEATS, *streams.transposed(asked))
    batches = {(row["relationship_id"], row["member_id"]): Batch(_seat(row)) for row in rows}
    for submission in submissions:
        if batch := batches.get((submission.relationship_id, submission.member_id)):
            batch.submissions.append(submission)
    return batches


def _seat(row: Record) -> Seat:
    rid = row["relationship_id"]
    shared, private = StreamKey(rid, row["shared_stream_id"]), StreamKey(rid, row["private_stream_id"])
    return Seat(rid, row["author_id"], shared, private)


async def _lock(db: Database, batches: Iterable[Batch]) -> dict[StreamKey, Head]:
    """Lock each author's private stream where the entries may touch it, and the shared one where they may touch that.

    The first keeps two devices of one member apart. The second would let the partner's writing wait for a private
    entry, and so tell of it. All private ones come before all shared ones, as everywhere.
    """
    private, shared = set(), set()
    taken_back: list[Mention] = []
    for batch in batches:
        for _, entry in batch.entries:
            shares = rules.is_shared(entry)
            if shares:
                shared.add(batch.seat.shared)
            if not (shares and rules.stands_alone(entry)):
                private.add(batch.seat.private)
            if isinstance(entry, Retraction):
                taken_back.append(Mention(batch.seat.shared, entry.event_id))
    if not taken_back:
        return await streams.lock(db, private | shared)
    heads = await streams.lock(db, private)
    shared |= {mention.key for mention in await streams.present(db, taken_back)}
    return heads | await streams.lock(db, shared)


async def _learn(db: Database, rings: dict[UUID, Ring], batches: Iterable[Batch]) -> None:
    """Let each know what its author can read of the ids at hand, of what they refer to, and of what altered that."""
    named: set[Mention] = set()
    altered: set[Mention] = set()
    for batch in batches:
        for entry_id, entry in batch.entries:
            audience = None if is_sealed(entry) else rules.audience_of_new(entry)
            own = [batch.seat.key(audience)] if audience else batch.seat.keys
            named.update(Mention(key, entry_id) for key in own)
            if target := refers_to(entry):
                named.update(Mention(key, target) for key in batch.seat.keys)
                altered.update(Mention(key, target) for key in batch.seat.keys)
                # What is taken back may be the original of a copy that has another id.
                named.add(Mention(batch.seat.shared, copy_ids(batch.seat.private.stream_id, target)[1]))
    # Most often nothing is there yet, and nothing is referred to.
    if not altered and not await streams.present(db, list(named)):
        return
    async with reading_as(db, [batch.submissions[0].member_id for batch in batches]):
        rows = await streams.find(db, list(named)) + await streams.find_altering(db, rings, list(altered))
    found: dict[StreamKey, list[Record]] = {}
    for key, row in rows:
        found.setdefault(key, []).append(row)
    for batch in batches:
        ring = rings[batch.seat.relationship_id]
        for audience in rules.AUDIENCES:
            for row in found.get(batch.seat.key(audience), []):
                batch.learn(streams.stored(ring, audience, row))


STANDINGS = """
SELECT
    mine.relationship_id,
    mine.author_id,
    relationships.state = 'active' AS active,
    relationships.state <> 'confirming' OR mine.seat = 'first' AS confirmed,
    members.consent_version,
    theirs.author_id AS partner_id
FROM unnest($1::uuid[], $2::uuid[]) AS writing (relationship_id, author_id)
JOIN memberships AS mine USING (relationship_id, author_id)
JOIN relationships USING (relationship_id)
JOIN members USING (member_id)
LEFT JOIN memberships AS theirs
    ON theirs.relationship_id = mine.relationship_id
    AND theirs.seat <> mine.seat
"""


async def _standings(db: Database, batches: Iterable[Batch]) -> dict[tuple[UUID, UUID], Standing]:
    writing = [(batch.seat.relationship_id, batch.seat.author_id) for batch in batches]
    rows = await db.fetch(STANDINGS, *streams.transposed(writing))
    return {(row["relationship_id"], row["author_id"]): _standing(row) for row in rows}


def _standing(row: Record) -> Standing:
    author = Author(row["author_id"], row["consent_version"] == CONSENT_VERSION, row["active"])
    return Standing(author, row["partner_id"], row["confirmed"])
