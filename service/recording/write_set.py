"""What a group of submissions is recorded from, and what it comes to before any of it is written."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

from msgspec import Struct, field

from events import rules
from events.chain import Head
from events.encryption import NONCE_BYTES, OPENING_BYTES, RelationshipKeys
from events.entries import Audience, Entry, Fact
from events.errors import Refusal
from events.records import Draft, Stored, StreamKey, encrypt_event, event_row
from events.reveals import takes_back_revealed
from events.rules import Accepted, Author, Known, Recorded, is_occasion
from projections import tallies
from projections.tallies import Counts, Key
from service.core.randomness import RandomBytes
from service.prompts.answering import RecordedNotice
from service.recording.append import EventRow, HeadRow, Rows


class Submitter(NamedTuple):
    """Who submits, signed in by which session, and to which relationship."""

    session_id: UUID
    member_id: UUID
    relationship_id: UUID


class Submission(Struct, frozen=True):
    """Entries of one submitter, one at least, in the order in which they are to be recorded."""

    submitter: Submitter
    entries: list[tuple[UUID, Entry]]


class RecordedEntry(Struct, frozen=True):
    """An entry that is in the log, and whether it is there since just now."""

    stored: Stored
    new: bool


Outcome: TypeAlias = RecordedEntry | Refusal


class SubmissionResult(Struct, frozen=True):
    """What became of each entry of a submission, and the id that its author has in the relationship."""

    author_id: UUID
    outcomes: list[Outcome]


class AuthorBatch(Struct):
    """All that one author submits in a group, and what they know: also what the group has appended so far."""

    member_id: UUID
    author: Author
    partner_id: UUID | None
    shared: StreamKey
    private: StreamKey
    entries: list[tuple[UUID, Entry]] = field(default_factory=list)
    known: Known = field(default_factory=Known)
    stored: dict[tuple[Audience, UUID], Stored] = field(default_factory=dict)

    @property
    def relationship_id(self) -> UUID:
        """The relationship in which they are this author."""
        return self.shared.relationship_id

    @property
    def streams(self) -> list[StreamKey]:
        """Both streams that they can read, the shared one first."""
        return [self.shared, self.private]

    def stream(self, audience: Audience) -> StreamKey:
        """The stream of that audience, as this author has it."""
        return self.shared if audience == "shared" else self.private

    def learn(self, stored: Stored) -> None:
        """Take an event of the log into account, once."""
        name = (stored.event.audience, stored.event.event_id)
        if name not in self.stored:
            self.stored[name] = stored
            rules.evolve(self.known, stored.event)


class WriteSet(Struct):
    """A group: who submits, the heads that they follow on, and the events and counts that are to be written.

    A head moves with each event that is added. Its version is that of the row that was read; without one, it is locked.
    """

    now: datetime
    random_bytes: RandomBytes
    keys: Mapping[UUID, RelationshipKeys]  # by relationship
    submissions: Sequence[Submission]
    unconfirmed: set[Submitter]
    batches: dict[Submitter, AuthorBatch] = field(default_factory=dict)  # two phones of one author have one
    heads: dict[StreamKey, Head] = field(default_factory=dict)
    versions: dict[StreamKey, int] = field(default_factory=dict)
    authors: dict[UUID, list[AuthorBatch]] = field(default_factory=dict)  # by relationship
    answers: list[SubmissionResult | Exception] = field(default_factory=list)
    appended: list[tuple[StreamKey, Stored]] = field(default_factory=list)
    notices: list[RecordedNotice] = field(default_factory=list)
    counts: dict[Key, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def all_batches(self) -> list[AuthorBatch]:
        """One for each author."""
        return [batch for batches in self.authors.values() for batch in batches]

    @property
    def refuses_any(self) -> bool:
        """Whether some entry breaks a rule."""
        results = [answer for answer in self.answers if isinstance(answer, SubmissionResult)]
        return any(isinstance(outcome, Refusal) for result in results for outcome in result.outcomes)

    def keys_of(self, batch: AuthorBatch) -> RelationshipKeys:
        """The keys of its relationship."""
        return self.keys[batch.relationship_id]

    def follow_locked(self, heads: Mapping[StreamKey, Head]) -> None:
        """Follow on heads as they are now, locked since they were first read."""
        for stream, head in heads.items():
            self.heads[stream] = head
            self.versions.pop(stream, None)

    def accept(self, batch: AuthorBatch, entry_id: UUID, accepted: Accepted) -> Stored:
        """Add an entry of the batch's author, who may have answered a prompt with it."""
        stored = self.add_event(batch, accepted.audience, entry_id, batch.author.author_id, accepted.entry)
        self.notices.append(RecordedNotice(batch.member_id, batch.relationship_id, stored.event))
        return stored

    def add_event(self, batch: AuthorBatch, audience: Audience, event_id: UUID, by: UUID | None, fact: Fact) -> Stored:
        """The event that follows on a stream of the batch: from now on it counts, and whoever can read it knows it."""
        stream = batch.stream(audience)
        drawn = draft(self.random_bytes, stream, event_id, by, self.now, fact)
        stored = encrypt_event(self.keys_of(batch), self.heads[stream], stream, audience, drawn)
        self.heads[stream] = Head(stored.event.position, stored.link)
        self.appended.append((stream, stored))
        self.add_counts(_tally(batch, stream, stored.event))
        for reader in [batch] if audience == "private" else self.authors[batch.relationship_id]:
            reader.learn(stored)
        return stored

    def add_counts(self, counts: Counts) -> None:
        """Add to what is counted."""
        for key, count in counts:
            self.counts[key] += count

    def rows(self) -> Rows:
        """What is to be written, as the tables have it."""
        events = [self._event_row(stream, stored) for stream, stored in self.appended]
        heads = [self._head_row(stream) for stream in {stream for stream, _ in self.appended}]
        return Rows(events, heads, self.counts)

    def _event_row(self, stream: StreamKey, stored: Stored) -> EventRow:
        occasion_at = stored.event.recorded_at if is_occasion(stored.event) else None
        return EventRow(*event_row(self.keys[stream.relationship_id], stream, stored), occasion_at)

    def _head_row(self, stream: StreamKey) -> HeadRow:
        head = self.heads[stream]
        return HeadRow(stream.relationship_id, stream.stream_id, head.position, head.link, self.versions.get(stream))


def _tally(batch: AuthorBatch, stream: StreamKey, event: Recorded) -> Counts:
    events = batch.known.events
    if takes_back_revealed(stream.stream_id, event, batch.known):
        return []  # its counts have gone to the shared stream, and are taken back there
    return tallies.tally(stream, event, batch.partner_id, lambda target: events[event.audience, target].fact)


def draft(
    random_bytes: RandomBytes, stream: StreamKey, event_id: UUID, by: UUID | None, at: datetime, fact: Fact
) -> Draft:
    """An event that is to be appended to a stream, with an opening and a nonce drawn for it."""
    drawn = random_bytes(OPENING_BYTES + NONCE_BYTES, f"opening and nonce {stream.stream_id} {event_id}")
    return Draft(event_id, by, at, fact, drawn[:OPENING_BYTES], drawn[OPENING_BYTES:])
