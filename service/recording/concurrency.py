"""Concurrency policy, as pure functions of a submission: what is recorded together, beside each other, or in turn.

`slot_of` is all of it that group commit knows; `is_optimistic` chooses between the two ways to record.
"""

from collections.abc import Hashable
from itertools import groupby
from uuid import UUID

from msgspec.structs import replace

from events import rules
from events.entries import CheckIn, Entry, Retraction, is_sealed, refers_to
from service.database.group_commit import Slot
from service.recording.write_set import Submission

# From so many entries on, a submission is a group's worth by itself.
QUEUE_ENTRIES = 16
QUEUE_LANES = 2
# Of a longer one so many are recorded in one transaction.
QUEUE_AT_ONCE = 64
SEALED_AT_ONCE = 32


def slot_of(submission: Submission) -> Slot:
    """Where a submission may be committed.

    Lane: what is recorded in the same way. Queues go beside single entries, which would wait for a hundred others, and
    several at a time: the database writes one while the next is made ready.

    Streams: those that it may touch, its ids, for one id may be in both streams of its author and count in one alone,
    and what it takes back. Whoever shares must not wait for what the other keeps private: so what is taken back is
    taken for private here. Where it was shared, it meets the partner's sharing in the database, which both can read of.

    Two queues of one relationship may have one lane, or not, as those of two strangers may: which lane an author has
    follows from their own ids alone.

    Blocking key: whoever shares may wait for what the partner holds, all others for the member's own devices alone.

    Alone: what is sealed may be revealed right after its commit, for which the other's head is locked, too.
    """
    _, member_id, relationship_id = submission.submitter
    author = (member_id, relationship_id)
    private = shared = takes_back = False
    streams: set[Hashable] = set()
    for entry_id, entry in submission.entries:
        shares = rules.is_shared(entry)
        shared |= shares
        private |= not (shares and rules.stands_alone(entry))
        takes_back |= isinstance(entry, Retraction)
        streams.add((*author, _named(entry_id, entry)))
    if private:
        streams.add(author)
    if shared:
        streams.add(relationship_id)
    is_queue, optimistic = len(submission.entries) >= QUEUE_ENTRIES, is_optimistic(submission)
    return Slot(
        lane=(optimistic, hash(author) % QUEUE_LANES if is_queue else None),
        streams=frozenset(streams),
        blocking_key=(author, shared or takes_back),
        weight=len(submission.entries),
        alone=not optimistic and seals(submission),
    )


def is_optimistic(submission: Submission) -> bool:
    """Whether it is tried without locks first: nothing in the log bears on it but an event of its id, and nothing but
    counts follows from it."""
    return not any(
        refers_to(entry) or is_sealed(entry) or (isinstance(entry, CheckIn) and entry.prompt_id)
        for _, entry in submission.entries
    )


def seals(submission: Submission) -> bool:
    """Whether some of its entries are sealed."""
    return any(is_sealed(entry) for _, entry in submission.entries)


def parts_of(submission: Submission) -> list[Submission]:
    """The same entries in their order, few at once, each part in a transaction of its own.

    Whoever leaves waits for what is being shared at that moment, and must not wait for a queue of 500. The sealed ones
    go apart from the others: while they are recorded nothing else is locked, and each is looked for by many tags.
    """
    if len(submission.entries) == 1 or (len(submission.entries) <= SEALED_AT_ONCE and not seals(submission)):
        return [submission]
    parts: list[list[tuple[UUID, Entry]]] = []
    for sealed, run in groupby(submission.entries, lambda named: is_sealed(named[1])):
        entries, size = list(run), SEALED_AT_ONCE if sealed else QUEUE_AT_ONCE
        parts += [entries[begin : begin + size] for begin in range(0, len(entries), size)]
    return [replace(submission, entries=part) for part in parts]


def _named(entry_id: UUID, entry: Entry) -> UUID:
    """By which id others of the same author take turns with it: its own, or that of what it takes back."""
    return entry.event_id if isinstance(entry, Retraction) else entry_id
