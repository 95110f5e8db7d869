"""R15: when questions about oneself are paused, by what the member has recorded."""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from uuid import UUID

from events.encryption import RelationshipKeys
from events.entries import CheckIn
from events.heads import DbConnection, read_head
from events.reading import read_page
from events.records import StreamKey
from events.rules import MAY_BE_AHEAD, Recorded
from service.access.memberships import memberships_of
from service.context import Context
from service.prompts.catalogue import SELF_QUESTIONS, QuestionId

PAUSE = timedelta(days=90)
LOW, HIGH = 2, 6  # what is felt from 1 to 7


def paused_by(entries: Iterable[Recorded], member: UUID, now: datetime) -> bool:
    """Whether entries pause questions about oneself: 90 days after free_to_say_no of 2 or less, or a private concern.

    Who may not be free to say no must not be asked for their own part in it. `member` is the author's id in these
    entries; what the other has shared does not count. The days run from the later of happening and recording, since
    who writes it down now is concerned now. What was retracted still counts: it may have been retracted for another
    reader, and a question less costs nothing.
    """
    return any(
        now < max(entry.recorded_at, entry.fact.occurred_at) + PAUSE and _is_concern(entry, entry.fact)
        for entry in entries
        if entry.author == member and isinstance(entry.fact, CheckIn)
    )


def _is_concern(entry: Recorded, check_in: CheckIn) -> bool:
    """Whether it names concerns, or numbers say so, since nothing here reads texts: free_to_say_no of 2 or less, and
    in a check-in kept to oneself (private, or sealed) conflict of 6 or more, or any other item of 2 or less.
    """
    felt = check_in.felt or {}
    if check_in.concerns or felt.get("free_to_say_no", LOW + 1) <= LOW:
        return True
    return entry.audience == "private" and any(
        value >= HIGH if item == "conflict" else value <= LOW for item, value in felt.items()
    )


def ask_of_oneself(questions: Iterable[QuestionId]) -> bool:
    """Whether there are questions about oneself among these."""
    return not set(SELF_QUESTIONS).isdisjoint(questions)


def asked_questions(chosen: Iterable[QuestionId], *, paused: bool) -> list[QuestionId]:
    """The chosen questions, in their order, without those about oneself while these are paused."""
    return [one for one in chosen if not (paused and one in SELF_QUESTIONS)]


CHUNK_EVENTS = 200


async def self_questions_paused(context: Context, db: DbConnection, member_id: UUID, now: datetime) -> bool:
    """Whether they are paused for a member, by their own check-ins in both streams of all their relationships: two
    who link again are the same two. The connection acts for the member.
    """
    for membership in await memberships_of(db, member_id, now):
        keys = await context.keys.relationship_keys(membership.relationship_id, membership.author_id)
        entries = [one async for one in _recent(db, keys, membership.private, now)]
        entries += [one async for one in _recent(db, keys, membership.shared, now)]
        if paused_by(entries, membership.author_id, now):
            return True
    return False


async def _recent(db: DbConnection, keys: RelationshipKeys, key: StreamKey, now: datetime) -> AsyncIterator[Recorded]:
    """The events of a stream that may still matter, from its end backwards, a chunk at a time."""
    before = (await read_head(db, key)).position
    while before > 0:
        after = max(0, before - CHUNK_EVENTS)
        _, page = await read_page(db, keys, key, after, before - after)
        for stored in reversed(page):
            # Positions follow the time of recording, and nothing occurs more than a little after it is recorded.
            if stored.event.recorded_at + MAY_BE_AHEAD + PAUSE <= now:
                return
            yield stored.event
        before = after
