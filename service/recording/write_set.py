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
from events.entries import Audience, CheckIn, Decision, Entry, Fact
from events.errors import Refusal
from events.heads import VersionedHead
from events.records import SHARED, Draft, Stored, StreamKey, encrypt_event, event_row
from events.rules import Accepted, Author, Known, is_occasion
from projections import pages, tallies
from projections.pages import Page, PageKey
from projections.tallies import Counts, Key
from service.core.randomness import RandomBytes
from service.prompts.answering import PromptAnswer
from service.recording.append import EventRow, HeadRow, PageRow, Rows


class Submitter(NamedTuple):
    """Who submits, signed in by which session, and to which relationship."""

    session_id: UUID
    member_id: UUID
    relationship_id: UUID

    @property
    def session(self) -> tuple[UUID, UUID]:
        """The session, and whose it must be."""
        return self.session_id, self.member_id

    @property
    def author(self) -> tuple[UUID, UUID]:
        """The member, and where they write."""
        return self.member_id, self.relationship_id


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
    """One group: who submits, the heads that they follow on, and the events and pages to be written.

    A head has the version that it was read with, and moves with what is appended. `checks_beside` where nothing is
    locked: then an id must not be in its author's other stream either, for what is shared later counts in one alone.
    """

    now: datetime
    random_bytes: RandomBytes
    keys: Mapping[UUID, RelationshipKeys]
    submissions: Sequence[Submission]
    unconfirmed: set[Submitter]
    checks_beside: bool
    batches: dict[Submitter, AuthorBatch] = field(default_factory=dict)  # two phones of one author have one
    heads: dict[StreamKey, VersionedHead] = field(default_factory=dict)
    pages: dict[PageKey, Page] = field(default_factory=dict)  # as they were read
    authors: dict[UUID, list[AuthorBatch]] = field(default_factory=dict)  # by relationship
    answers: list[SubmissionResult | Exception] = field(default_factory=list)
    appended: list[tuple[StreamKey, Stored]] = field(default_factory=list)
    answered: list[PromptAnswer] = field(default_factory=list)
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
        """The keys that the events of its relationship are encrypted with."""
        return self.keys[batch.relationship_id]

    def accept(self, batch: AuthorBatch, entry_id: UUID, accepted: Accepted) -> Stored:
        """Add an entry of the batch's author."""
        return self.add_event(batch, accepted.audience, entry_id, batch.author.author_id, accepted.entry)

    def add_event(self, batch: AuthorBatch, audience: Audience, event_id: UUID, by: UUID | None, fact: Fact) -> Stored:
        """The event that follows on a stream of the batch: from now on it counts, and whoever can read it knows it."""
        stream = batch.stream(audience)
        head = self.heads[stream]
        drawn = draft(self.random_bytes, stream, event_id, by, self.now, fact)
        stored = encrypt_event(self.keys_of(batch), Head(head.position, head.link), stream, drawn)
        self.heads[stream] = VersionedHead(stored.event.position, stored.link, head.version)
        self.appended.append((stream, stored))
        self.add_counts(tallies.recorded(stream, batch.private, stored.event, batch.known))
        for reader in [batch] if audience == "private" else self.authors[batch.relationship_id]:
            reader.learn(stored)
        return stored

    def add_counts(self, counts: Counts) -> None:
        """Add to what is counted."""
        for key, count in counts:
            self.counts[key] += count

    @property
    def touched_pages(self) -> set[PageKey]:
        """The pages that count something else than before."""
        return {pages.page_of(key) for key, count in self.counts.items() if count}

    def rows(self) -> Rows:
        """What is to be written, as the tables have it. All touched pages that there are must have been read."""
        written: dict[PageKey, Page] = {}
        for key, count in self.counts.items():
            if count:
                name = pages.page_of(key)
                pages.add(written.setdefault(name, dict(self.pages.get(name, {}))), key, count)
        # Where counts have moved, a page is written beside a stream to which nothing was appended.
        streams = {stream for stream, _ in self.appended} | {name.stream for name in written}
        return Rows(
            [self._event_row(stream, stored) for stream, stored in self.appended],
            [head_row(stream, self.heads[stream]) for stream in streams],
            [self._page_row(name, page) for name, page in written.items()],
        )

    def _event_row(self, stream: StreamKey, stored: Stored) -> EventRow:
        event, keys = stored.event, self.keys[stream.relationship_id]
        beside = None
        if self.checks_beside and isinstance(event.fact, CheckIn | Decision):
            beside = SHARED if stream.number else keys.seat_of(event.author)
        return EventRow._make((*event_row(keys, stream, stored), is_occasion(event), beside))

    def _page_row(self, name: PageKey, page: Page) -> PageRow:
        nonce = self.random_bytes(NONCE_BYTES, "page", name.stream.stream_id, name.author, name.month)
        return PageRow._make(pages.page_row(self.keys[name.stream.relationship_id], name, page, nonce))


def head_row(stream: StreamKey, head: VersionedHead) -> HeadRow:
    """A head as it is to be."""
    return HeadRow(stream.relationship_id, stream.number, head.version, head.position, head.link)


def draft(
    random_bytes: RandomBytes, stream: StreamKey, event_id: UUID, by: UUID | None, at: datetime, fact: Fact
) -> Draft:
    """An event that is to be appended to a stream, with an opening and a nonce drawn for it."""
    drawn = random_bytes(OPENING_BYTES + NONCE_BYTES, "opening and nonce", stream.stream_id, event_id)
    return Draft(event_id, by, at, fact, drawn[:OPENING_BYTES], drawn[OPENING_BYTES:])
