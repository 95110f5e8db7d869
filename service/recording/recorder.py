"""The one write path: look, decide, append, count, commit. Whatever enters the log enters through this module.

It is written for a group: whatever waits while one transaction commits goes into the next one together, so that many
phones share one commit. One PUT is a submission of one entry; the queue of a phone is a submission of many, recorded
part by part.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from events.chain import Head
from events.encryption import RelationshipKeys
from events.entries import Ended, Opened
from events.heads import DbConnection, VersionedHead, lock_heads
from events.records import Stored, StreamKey, encrypt_event, event_row
from service.context import Context
from service.core.tokens import new_id
from service.database.group_commit import GroupCommit
from service.errors import Overloaded
from service.prompts import answering
from service.recording import reveal
from service.recording.append import EventRow, Rows, append
from service.recording.concurrency import is_optimistic, parts_of, seals, slot_of
from service.recording.decide import decide_entries
from service.recording.load import (
    WAIT_FOR_LOCKS,
    find_signed_in,
    load_pages,
    load_references,
    load_write_set,
    lock_stream_heads,
)
from service.recording.write_set import Submission, SubmissionResult, WriteSet, draft, head_row

# Settings of the recorder's connections. Each statement is planned once, by index: to plan one again takes longer than
# to run it, and of many relationships PostgreSQL would do so over and over.
RECORDING = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}


class Recorder:
    """Records what members submit; each submission gets an answer of its own, and none blocks the others."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._grouped = GroupCommit[Submission, SubmissionResult](self._commit, slot_of)

    async def record(self, submission: Submission) -> SubmissionResult:
        """What became of each entry, once it is on disk.

        Raises NotFound where the member is nothing to the relationship or the session has ended, WrongState for who is
        not confirmed yet, and Overloaded.
        """
        parts = parts_of(submission)
        if len(parts) == 1:
            return await self._grouped.submit(submission)
        answers = [await self._grouped.submit(part) for part in parts]
        return replace(answers[0], outcomes=[outcome for answer in answers for outcome in answer.outcomes])

    @property
    def waiting(self) -> int:
        """How many submissions wait for their group."""
        return self._grouped.length

    async def close(self) -> None:
        """Return when all that was submitted is answered."""
        await self._grouped.close()

    async def _commit(
        self, submissions: Sequence[Submission], wait_for_locks: bool
    ) -> Sequence[SubmissionResult | Exception]:
        async with self._context.writer() as db:
            done = None
            if is_optimistic(submissions[0]) and not wait_for_locks:
                done = await record_optimistically(self._context, db, submissions)
            done = done or await record_under_locks(self._context, db, submissions, wait_for_locks)
            revealed = None
            if seals(submissions[0]):
                revealed = await reveal.reveal_waiting(self._context, db, submissions[0], done)
        appended = [*done.appended, *(revealed.appended if revealed else [])]
        # Not before whoever submitted has their answer, whose time would tell that somebody listens. Nobody has to be
        # woken for anything to be right: who is not, finds it within half a second.
        self._context.listeners.notify(stream.stream_id for stream, _ in appended)
        return done.answers


async def record_optimistically(
    context: Context, db: DbConnection, submissions: Sequence[Submission]
) -> WriteSet | None:
    """Record without locks: nothing is held while it is made ready.

    None where an id is taken or another was faster, which the statement that appends finds, and where something is
    refused, for it may be a replay. Then nothing is written, and it is to be recorded under locks.
    """
    write_set = await load_write_set(context, db, submissions, locked=False)
    await decide_entries(write_set)
    if write_set.refuses_any or not await append(db, write_set.rows()):
        return None
    return write_set


async def record_under_locks(
    context: Context, db: DbConnection, submissions: Sequence[Submission], wait_for_locks: bool
) -> WriteSet:
    """Record what may be recorded, in order, in a transaction that holds all that it may follow on."""
    async with db.transaction():
        if wait_for_locks:
            await db.execute(WAIT_FOR_LOCKS)
        signed_in = await find_signed_in(db, [submission.submitter for submission in submissions])
        await lock_stream_heads(db, submissions, signed_in)
        # After acquiring the locks: whoever opens or leaves holds the shared head, so what is read here stays so, and
        # whose session has ended while this waited for them records nothing.
        write_set = await load_write_set(context, db, submissions, locked=True)
        await load_references(context, db, write_set)
        await decide_entries(write_set)
        await reveal.keep_tags(db, write_set)
        await load_pages(db, write_set)
        if not await append(db, write_set.rows()):
            # What was to be taken back came into the shared stream after the look for it: the next try finds it there.
            raise Overloaded
        if write_set.answered:
            await answering.answer_prompts(db, write_set.answered, write_set.now)
        return write_set


async def announce(context: Context, db: DbConnection, stream: StreamKey, fact: Opened | Ended) -> None:
    """Append what the service itself says to a shared stream, in the transaction of the caller."""
    keys = (await context.keys.fetch_relationship_keys([stream.relationship_id]))[stream.relationship_id]
    head = (await lock_heads(db, [stream]))[stream]
    event_id = new_id(context.random_bytes, f"event id {stream.stream_id}")
    drawn = draft(context.random_bytes, stream, event_id, None, context.now(), fact)
    said = encrypt_event(keys, Head(head.position, head.link), stream, drawn)
    await append_uncounted(db, keys, stream, head.version, [said])


async def append_uncounted(
    db: DbConnection, keys: RelationshipKeys, stream: StreamKey, version: int, log: Sequence[Stored]
) -> int:
    """Append events to one stream whose head the caller's transaction holds, and return the head's next version.

    For what the service says, and for an import, which counts by rebuilding: nothing is counted here, and nobody is
    asked about it. Raises Overloaded where an id is taken.
    """
    events = [EventRow._make((*event_row(keys, stream, stored), False, None)) for stored in log]
    last = VersionedHead(log[-1].event.position, log[-1].link, version)
    if not await append(db, Rows(events, [head_row(stream, last)], [])):
        raise Overloaded
    return version + 1
