"""Asks the rules about every entry of a group: what is accepted joins the write set, and is known to what follows."""

import asyncio
from uuid import UUID

from events import rules
from events.entries import CheckIn, Entry
from events.errors import Refusal
from events.rules import Recorded
from service.errors import NotFound, WrongState
from service.prompts.answering import PromptAnswer
from service.recording.write_set import AuthorBatch, Outcome, RecordedEntry, Submission, SubmissionResult, WriteSet

SLICE_ENTRIES = 64  # decided, chained and encrypted in some 5 ms, in which nobody else is answered


async def decide_entries(write_set: WriteSet) -> None:
    """Answer all submissions, in order. Others are answered between two slices of a long one."""
    for submission in write_set.submissions:
        batch = _batch_of(write_set, submission)
        if isinstance(batch, Exception):
            write_set.answers.append(batch)
            continue
        outcomes: list[Outcome] = []
        for number, entry in enumerate(submission.entries):
            if number and number % SLICE_ENTRIES == 0:
                await asyncio.sleep(0)
            outcomes.append(_decide(write_set, batch, *entry))
        write_set.answers.append(SubmissionResult(batch.author.author_id, outcomes))


def _batch_of(write_set: WriteSet, submission: Submission) -> AuthorBatch | WrongState | NotFound:
    if submission.submitter in write_set.unconfirmed:
        return WrongState("You can record here as soon as the invite's maker has confirmed you.")
    batch = write_set.batches.get(submission.submitter)
    # Who was erased while this waited for the locks is nobody here any more, and has no key.
    if batch is None or not write_set.keys_of(batch).knows(batch.author.author_id):
        return NotFound()
    return batch


def _decide(write_set: WriteSet, batch: AuthorBatch, entry_id: UUID, entry: Entry) -> Outcome:
    try:
        decided = rules.decide(entry_id, entry, batch.author, batch.known, write_set.now)
    except Refusal as refusal:
        return refusal
    if isinstance(decided, Recorded):
        return RecordedEntry(batch.stored[decided.audience, decided.event_id], new=False)
    # Which prompt an entry answers is no part of it: nothing but the entry as it was sent tells.
    if isinstance(entry, CheckIn) and entry.prompt_id:
        write_set.answered.append(PromptAnswer(batch.member_id, entry.prompt_id, entry.occurred_at))
    return RecordedEntry(write_set.accept(batch, entry_id, decided), new=True)
