"""The one write path: whatever enters the log enters here, in one transaction with its tallies.

It is written for a group: whatever waits while one transaction commits goes into the next one together, so that many
phones share one commit. One PUT is a submission of one entry; the queue of a phone is a submission of many.
"""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import TypeAlias
from uuid import UUID

from asyncpg import Record
from msgspec import Struct, field
from msgspec.structs import replace

from events import rules
from events.append import append_events
from events.chain import Head
from events.encryption import NONCE_BYTES, OPENING_BYTES, RelationshipKeys
from events.entries import Audience, CheckIn, Ended, Entry, Fact, Opened, Retraction, is_sealed, refers_to
from events.errors import Refusal
from events.heads import DbConnection, lock_heads
from events.lookups import find_altering, find_events, ids_present
from events.reading import decrypt_row
from events.records import Draft, Mention, Stored, StreamKey, encrypt_event, transposed
from events.reveals import Copy, copy_ids, takes_back_revealed
from events.rules import Accepted, Author, Known, Recorded
from projections import tallies
from projections.tallies import Counts, Key
from service.access.consent import has_consented
from service.context import Context, reading_as_members
from service.core.tokens import new_id
from service.database.group_commit import GroupCommit
from service.errors import NotFound, Overloaded, WrongState
from service.prompts import answering
from service.prompts.answering import RecordedNotice
from service.recording import reveal
from service.recording.append import append


class Submission(Struct, frozen=True):
    """Entries of one member for one relationship, one at least, in the order in which they are to be recorded."""

    session_id: UUID
    member_id: UUID
    relationship_id: UUID
    entries: list[tuple[UUID, Entry]]


Names: TypeAlias = tuple[UUID, UUID]  # a member, a relationship
Asking: TypeAlias = tuple[UUID, UUID, UUID]  # a session, its member, a relationship


class RecordedEntry(Struct, frozen=True):
    """An entry that is in the log, and whether it is there since just now."""

    stored: Stored
    new: bool


Outcome: TypeAlias = RecordedEntry | Refusal


class SubmissionResult(Struct, frozen=True):
    """What became of each entry of a submission, and the id that its author has in the relationship."""

    author_id: UUID
    outcomes: list[Outcome]


class WriterStreams(Struct, frozen=True):
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


class AuthorStatus(Struct, frozen=True):
    """What an author may do at this moment, and who the other is."""

    author: Author
    partner_id: UUID | None


class AuthorBatch(Struct):
    """What one author's submissions have come to so far: nothing of what is appended is in the database yet."""

    seat: WriterStreams
    standing: AuthorStatus
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


class WriteSet(Struct):
    """What a group of submissions is recorded from, and what it comes to. A head's version is that of its row."""

    now: datetime
    rings: dict[UUID, RelationshipKeys]
    admitted: set[Asking]
    unconfirmed: set[Asking]
    batches: dict[Names, AuthorBatch]
    heads: dict[StreamKey, Head] = field(default_factory=dict)
    versions: dict[StreamKey, int] = field(default_factory=dict)
    readers: dict[UUID, list[AuthorBatch]] = field(default_factory=dict)
    appended: list[tuple[StreamKey, Stored]] = field(default_factory=list)
    counts: dict[Key, int] = field(default_factory=lambda: defaultdict(int))

    def count(self, counts: Counts) -> None:
        """Take what an event adds into account."""
        for key, count in counts:
            self.counts[key] += count


class Recorder:
    """Records what members submit; each submission gets an answer of its own, and none blocks the others."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._grouped = GroupCommit[Submission, SubmissionResult](
            self._commit,
            key=_held_up_with,
            rooms=_rooms,
            weight=lambda one: len(one.entries),
            apart=_seals,
            kind=_kind,
        )

    async def record(self, submission: Submission) -> SubmissionResult:
        """What became of each entry, once it is on disk.

        Raises NotFound where the member is nothing to the relationship or the session has ended, WrongState for who is
        not confirmed yet, and Overloaded.
        """
        if not _seals(submission):
            return await self._grouped.submit(submission)
        answers = [await self._grouped.submit(run) for run in _runs(submission)]
        return replace(answers[0], outcomes=[outcome for answer in answers for outcome in answer.outcomes])

    @property
    def waiting(self) -> int:
        """How many submissions wait for their group."""
        return self._grouped.length

    async def close(self) -> None:
        """Return when all that was submitted is answered."""
        await self._grouped.close()

    async def _commit(self, submissions: Sequence[Submission], patient: bool) -> Sequence[SubmissionResult | Exception]:
        async with self._context.writer() as db:
            done = None
            if _stands_alone(submissions[0]) and not patient:
                done = await record_optimistically(self._context, db, submissions)
            answers, appended = done or await record_under_locks(self._context, db, submissions, patient)
        # Nobody has to be woken for anything to be right: who is not, finds it within half a second.
        self._context.listeners.notify(key.stream_id for key, _ in appended)
        return answers


# How long to wait for one lock, until the end of the transaction. Otherwise the recorder's connections are impatient.
BE_PATIENT = """
SET LOCAL lock_timeout = '5s'
"""
# Each statement is planned once, by index: to plan one anew takes longer than to run it, and of many relationships
# PostgreSQL would do so again and again.
RECORDING = {"lock_timeout": "50ms", "plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}


def _held_up_with(submission: Submission) -> Hashable:
    """What somebody may hold who shares, and what only the member's own devices hold."""
    shares = any(rules.is_shared(entry) or isinstance(entry, Retraction) for _, entry in submission.entries)
    return submission.relationship_id, submission.member_id, shares


def _rooms(submission: Submission) -> list[Hashable]:
    """The streams that it may touch. Whoever shares must not wait for what the other keeps private."""
    private, shared = touched_audiences(submission.entries)
    return [name for name, needed in ((_names(submission), private), (submission.relationship_id, shared)) if needed]


def _names(submission: Submission) -> Names:
    return submission.member_id, submission.relationship_id


def _asking(submission: Submission) -> Asking:
    return submission.session_id, submission.member_id, submission.relationship_id


def _seals(submission: Submission) -> bool:
    """Who seals may have to wait for the other, and act for them: nobody else is to be in that transaction."""
    return any(is_sealed(entry) for _, entry in submission.entries)


def _runs(submission: Submission) -> list[Submission]:
    """The same entries, the sealed ones apart from the others: while they are recorded nothing else is locked."""
    runs = groupby(submission.entries, lambda named: is_sealed(named[1]))
    return [replace(submission, entries=list(entries)) for _, entries in runs]


# From so many entries on, a submission is a group's worth by itself.
QUEUE = 16
LANES = 2


def _kind(submission: Submission) -> Hashable:
    """What may be recorded together.

    Queues go beside single entries, which would wait for a hundred others, and several at a time: the database writes
    one while the next is made ready.
    """
    lane = hash(_names(submission)) % LANES if len(submission.entries) >= QUEUE else None
    return _stands_alone(submission), lane


def _stands_alone(submission: Submission) -> bool:
    """Whether nothing that is there bears on it, but an event of its id, and nothing but counts follows from it."""
    return not any(
        refers_to(entry) or is_sealed(entry) or (isinstance(entry, CheckIn) and entry.prompt_id)
        for _, entry in submission.entries
    )


# An answer to each submission, and what was appended.
Result: TypeAlias = tuple[list[SubmissionResult | Exception], list[tuple[StreamKey, Stored]]]


async def record_optimistically(context: Context, db: DbConnection, submissions: Sequence[Submission]) -> Result | None:
    """Record what stands alone, in two statements: nothing is held while it is made ready.

    None where an id is taken or another was faster, which the statement that appends finds under its locks, and where
    something is refused, for it may be a replay. Then nothing is written, and it is to be recorded holding all.
    """
    group = await load_write_set(context, db, submissions)
    answers = [_answer(context, group, submission) for submission in submissions]
    if any(
        isinstance(outcome, Refusal) for one in answers if isinstance(one, SubmissionResult) for outcome in one.outcomes
    ):
        return None
    appended = await append(db, group.rings, group.appended, group.counts, group.now, group.versions)
    return (answers, group.appended) if appended else None


async def record_under_locks(
    context: Context, db: DbConnection, submissions: Sequence[Submission], patient: bool
) -> Result:
    """Record what may be recorded, in order, in a transaction that holds all that it may follow on."""
    async with db.transaction():
        if patient:
            await db.execute(BE_PATIENT)
        sealing = [submission for submission in submissions if _seals(submission)]
        for submission in sealing:
            await reveal.lock_relationship(db, *_asking(submission))
        await lock_stream_heads(db, submissions)
        # Behind the locks: whoever opens or leaves holds the shared head, so what is read here stays so.
        group = await load_write_set(context, db, submissions)
        await load_references(db, group)
        answers = [_answer(context, group, submission) for submission in submissions]
        news = _news(group)
        if sealing and group.batches:
            await _reveal(context, db, group)
        if not await append(db, group.rings, group.appended, group.counts, group.now, group.versions):
            # What was to be taken back came into the shared stream behind the look for it: the next try finds it there.
            raise Overloaded
        await answering.on_recorded(db, news, group.now)
        return answers, group.appended


async def _reveal(context: Context, db: DbConnection, group: WriteSet) -> None:
    """Append what is revealed now that an author, who comes alone, has sealed something."""
    (batch,) = group.batches.values()
    seat, sealed = batch.seat, [stored.event for _, stored in group.appended]
    if not sealed or not batch.standing.author.active:
        return
    member_id = batch.submissions[0].member_id
    meeting = await reveal.meet(db, _ring(group, batch), member_id, seat.shared, seat.private, sealed)
    if meeting is None:
        return
    group.heads |= meeting.heads
    for key in meeting.heads:
        group.versions.pop(key, None)  # they are locked since they were looked at
    for stored in meeting.readable:
        batch.learn(stored)
    for event in sealed:
        for copy in meeting.copies(event, batch.known):
            _append(group, batch, "shared", _copied(context, group, batch, copy))
            group.count([(key, -count) for key, count in meeting.counts_of(copy)])


def _news(group: WriteSet) -> list[RecordedNotice]:
    """What the members of the group have recorded."""
    members = {(rid, batch.seat.author_id): member_id for (member_id, rid), batch in group.batches.items()}
    return [
        RecordedNotice(members[key.relationship_id, author], key.relationship_id, stored.event)
        for key, stored in group.appended
        if (author := stored.event.author) and (key.relationship_id, author) in members
    ]


async def announce(context: Context, db: DbConnection, key: StreamKey, fact: Opened | Ended) -> None:
    """Append what the service itself has to say to a shared stream, in the transaction of the caller."""
    ring = await context.keys.relationship_keys(key.relationship_id)
    heads = await lock_heads(db, [key])
    draft = _draft(context, key, new_id(context.random_bytes, f"event id {key.stream_id}"), None, context.now(), fact)
    said = encrypt_event(ring, heads[key], key, "shared", draft)
    await append_events(db, {key.relationship_id: ring}, [(key, said)])


def _answer(context: Context, group: WriteSet, submission: Submission) -> SubmissionResult | Exception:
    if _asking(submission) in group.unconfirmed:
        return WrongState("You can record here as soon as the invite's maker has confirmed you.")
    batch = group.batches[_names(submission)] if _asking(submission) in group.admitted else None
    # Who was erased while this waited for the locks is nobody here any more, and has no key.
    if batch is None or not _ring(group, batch).knows(batch.seat.author_id):
        return NotFound()
    outcomes = [_outcome(context, group, batch, *entry) for entry in submission.entries]
    return SubmissionResult(batch.seat.author_id, outcomes)


def _ring(group: WriteSet, batch: AuthorBatch) -> RelationshipKeys:
    return group.rings[batch.seat.relationship_id]


def _outcome(context: Context, group: WriteSet, batch: AuthorBatch, entry_id: UUID, entry: Entry) -> Outcome:
    try:
        decided = rules.decide(entry_id, entry, batch.standing.author, batch.known, group.now)
    except Refusal as refusal:
        return refusal
    if isinstance(decided, Recorded):
        return RecordedEntry(batch.stored[decided.audience, decided.event_id], new=False)
    return RecordedEntry(_accept(context, group, batch, entry_id, decided), new=True)


def _accept(context: Context, group: WriteSet, batch: AuthorBatch, entry_id: UUID, accepted: Accepted) -> Stored:
    key = batch.seat.key(accepted.audience)
    draft = _draft(context, key, entry_id, batch.seat.author_id, group.now, accepted.entry)
    return _append(group, batch, accepted.audience, draft)


def _copied(context: Context, group: WriteSet, batch: AuthorBatch, copy: Copy) -> Draft:
    original = copy.original.event
    return _draft(context, batch.seat.shared, copy.event_id, original.author, group.now, original.fact)


def _append(group: WriteSet, batch: AuthorBatch, audience: Audience, draft: Draft) -> Stored:
    key = batch.seat.key(audience)
    stored = encrypt_event(_ring(group, batch), group.heads[key], key, audience, draft)
    group.heads[key] = Head(stored.event.position, stored.link)
    group.appended.append((key, stored))
    group.count(_tally(batch, key, stored.event))
    for reader in _readers(group, batch, audience):
        reader.learn(stored)
    return stored


def _readers(group: WriteSet, batch: AuthorBatch, audience: Audience) -> Iterable[AuthorBatch]:
    """Those of the group who can read what the author of the batch records."""
    return [batch] if audience == "private" else group.readers[batch.seat.relationship_id]


def _tally(batch: AuthorBatch, key: StreamKey, event: Recorded) -> Counts:
    events = batch.known.events
    if takes_back_revealed(key.stream_id, event, batch.known):
        return []  # its counts have gone to the shared stream, and are taken back there
    return tallies.tally(key, event, batch.standing.partner_id, lambda target: events[event.audience, target].fact)


def _draft(context: Context, key: StreamKey, event_id: UUID, by: UUID | None, now: datetime, fact: Fact) -> Draft:
    drawn = context.random_bytes(OPENING_BYTES + NONCE_BYTES, f"opening and nonce {key.stream_id} {event_id}")
    return Draft(event_id, by, now, fact, drawn[:OPENING_BYTES], drawn[OPENING_BYTES:])


HOLD_PRIVATE = """
SELECT
    memberships.member_id,
    memberships.relationship_id,
    relationships.shared_stream_id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS submitted (session_id, member_id, relationship_id)
JOIN sessions USING (session_id, member_id)
JOIN memberships USING (member_id, relationship_id)
JOIN relationships USING (relationship_id)
JOIN heads
    ON heads.relationship_id = memberships.relationship_id
    AND heads.stream_id = memberships.private_stream_id
ORDER BY heads.stream_id
FOR UPDATE OF heads
"""


async def lock_stream_heads(db: DbConnection, submissions: Sequence[Submission]) -> None:
    """Lock the private head of each author, and then the shared ones that the entries touch.

    The first keeps two devices of one member apart. The second would let the partner's writing wait for a private
    entry, and so tell of it: whether what is taken back is shared is looked up behind the private locks.
    """
    rows = await db.fetch(HOLD_PRIVATE, *transposed(list({_asking(one) for one in submissions})))
    shared = {(member_id, rid): StreamKey(rid, stream_id) for member_id, rid, stream_id in rows}
    entries = [(shared[_names(one)], entry) for one in submissions if _names(one) in shared for _, entry in one.entries]
    taken_back = [Mention(key, entry.event_id) for key, entry in entries if isinstance(entry, Retraction)]
    needed = {key for key, entry in entries if rules.is_shared(entry)}
    needed |= {mention.key for mention in await ids_present(db, taken_back)} if taken_back else set()
    await lock_heads(db, needed)


def touched_audiences(entries: Iterable[tuple[UUID, Entry]]) -> tuple[bool, bool]:
    """Whether they may touch their author's private stream, and the shared one."""
    private = shared = False
    for _, entry in entries:
        shares = rules.is_shared(entry)
        shared = shared or shares or isinstance(entry, Retraction)
        private = private or not (shares and rules.stands_alone(entry))
    return private, shared


# The versions are those of the rows: whatever happens to a head writes its row anew.
LOOK = """
SELECT
    submitted.session_id,
    mine.member_id,
    mine.relationship_id,
    mine.author_id,
    relationships.shared_stream_id,
    mine.private_stream_id,
    members.consent_version,
    relationships.state = 'active' AS active,
    theirs.author_id AS partner_id,
    shared.position AS shared_position,
    shared.link AS shared_link,
    shared.xmin::text::bigint AS shared_version,
    private.position AS private_position,
    private.link AS private_link,
    private.xmin::text::bigint AS private_version
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS submitted (session_id, member_id, relationship_id)
JOIN sessions USING (session_id, member_id)
JOIN memberships AS mine USING (member_id, relationship_id)
JOIN members USING (member_id)
JOIN relationships USING (relationship_id)
JOIN heads AS shared
    ON shared.relationship_id = mine.relationship_id
    AND shared.stream_id = relationships.shared_stream_id
JOIN heads AS private
    ON private.relationship_id = mine.relationship_id
    AND private.stream_id = mine.private_stream_id
LEFT JOIN memberships AS theirs
    ON theirs.relationship_id = mine.relationship_id
    AND theirs.seat <> mine.seat
"""


async def load_write_set(context: Context, db: DbConnection, submissions: Sequence[Submission]) -> WriteSet:
    """Who submits, as what, and the heads of what they can write to, as of now."""
    asking = {_asking(one) for one in submissions}
    found = await db.fetch(LOOK, *transposed(list(asking)))
    admitted = {row[:3] for row in found}
    rows = {row[1:3]: row for row in found}  # of two phones of one member either tells where they write
    batches = {names: _batch(row) for names, row in rows.items()}
    unconfirmed = await _unconfirmed(db, asking - admitted)
    # A partner who came in while this waited for a lock has written with a key of their own.
    rings = await context.keys.many_relationship_keys({relationship_id for _, relationship_id in batches})
    # The time is taken behind the heads on which the events follow, so that it grows along a stream.
    group = WriteSet(context.now(), rings, admitted, unconfirmed, batches)
    for names, batch in batches.items():
        row, (shared, private) = rows[names], batch.seat.keys
        group.heads[shared] = Head(row["shared_position"], row["shared_link"])
        group.heads[private] = Head(row["private_position"], row["private_link"])
        group.versions[shared], group.versions[private] = row["shared_version"], row["private_version"]
        group.readers.setdefault(shared.relationship_id, []).append(batch)
    for submission in submissions:
        if _asking(submission) in admitted:
            batches[_names(submission)].submissions.append(submission)
    return group


def _batch(row: Record) -> AuthorBatch:
    rid, author_id = row["relationship_id"], row["author_id"]
    shared, private = StreamKey(rid, row["shared_stream_id"]), StreamKey(rid, row["private_stream_id"])
    author = Author(author_id, has_consented(row["consent_version"]), row["active"])
    return AuthorBatch(WriterStreams(rid, author_id, shared, private), AuthorStatus(author, row["partner_id"]))


# Who has accepted and had no streams a moment ago was not confirmed yet, even if they have been since.
UNCONFIRMED = """
SELECT
    session_id,
    member_id,
    relationship_id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS submitted (session_id, member_id, relationship_id)
JOIN sessions USING (session_id, member_id)
JOIN memberships USING (member_id, relationship_id)
"""


async def _unconfirmed(db: DbConnection, without_streams: Collection[Asking]) -> set[Asking]:
    if not without_streams:
        return set()
    rows = await db.fetch(UNCONFIRMED, *transposed(list(without_streams)))
    return {row[:] for row in rows}


def _mentioned(batches: Iterable[AuthorBatch]) -> tuple[set[Mention], set[Mention]]:
    """The ids at hand and those that they refer to, and of the latter those of which it matters what altered them."""
    named: set[Mention] = set()
    altered: set[Mention] = set()
    for batch in batches:
        for entry_id, entry in batch.entries:
            audience = None if is_sealed(entry) else rules.audience_of_new(entry)
            own = [batch.seat.key(audience)] if audience else batch.seat.keys
            named.update(Mention(key, entry_id) for key in own)
            if target := refers_to(entry):
                altered.update(Mention(key, target) for key in batch.seat.keys)
                # What is taken back may be the original of a copy that has another id.
                named.add(Mention(batch.seat.shared, copy_ids(batch.seat.private.stream_id, target)[1]))
    return named | altered, altered


async def load_references(db: DbConnection, group: WriteSet) -> None:
    """Let each know what its author can read of the ids at hand, of what they refer to, and of what altered that."""
    named, altered = _mentioned(group.batches.values())
    # Most often nothing is there yet, and nothing is referred to.
    if not altered and not await ids_present(db, list(named)):
        return
    async with reading_as_members(db, [member_id for member_id, _ in group.batches]):
        rows = await find_events(db, list(named)) + await find_altering(db, group.rings, list(altered))
    found: dict[StreamKey, list[Record]] = {}
    for key, row in rows:
        found.setdefault(key, []).append(row)
    for batch in group.batches.values():
        for audience in rules.AUDIENCES:
            for row in found.get(batch.seat.key(audience), []):
                batch.learn(decrypt_row(_ring(group, batch), audience, row))
