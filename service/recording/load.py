"""What a group is recorded from, read from the database: who submits, the heads, and what the entries refer to."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import TypeAlias
from uuid import UUID

from asyncpg import Record

from events import rules
from events.entries import CheckIn, Opening, Request, Retraction, day_of, refers_to
from events.heads import DbConnection, VersionedHead, lock_heads
from events.lookups import find_altering, find_events, ids_present
from events.reading import SLICE_EVENTS, decrypt_row, in_slices
from events.records import SHARED, Mention, StreamKey, transposed
from events.reveals import copy_ids
from events.rules import Author
from projections import pages
from projections.pages import PageKey
from service.access.consent import has_consented
from service.context import ConnectionPool, Context
from service.recording.write_set import AuthorBatch, Submission, Submitter, WriteSet

# Who is signed in, and what they have agreed to. Members and their sessions are looked up apart from relationships, of
# which another database may keep some.
SIGNED_IN = """
SELECT
    submitted.session_id,
    submitted.member_id,
    members.consent_version
FROM unnest($1::uuid[], $2::uuid[]) AS submitted (session_id, member_id)
JOIN sessions USING (session_id, member_id)
JOIN members USING (member_id)
"""

SignedIn: TypeAlias = dict[tuple[UUID, UUID], str | None]


async def find_signed_in(db: "DbConnection | ConnectionPool", submitters: Iterable[Submitter]) -> SignedIn:
    """The version that each submitter has agreed to, by session and member; without those whose session has ended."""
    asked = list({(one.session_id, one.member_id) for one in submitters})
    return {row[:2]: row[2] for row in await db.fetch(SIGNED_IN, *transposed(asked))}


# How long to wait for one lock, until the end of the transaction, in place of the 50 ms of the recorder's connections.
WAIT_FOR_LOCKS = """
SET LOCAL lock_timeout = '5s'
"""

STREAMS_OF_AUTHORS = """
SELECT
    memberships.member_id,
    memberships.relationship_id,
    memberships.seat,
    memberships.private_stream_id,
    relationships.shared_stream_id
FROM unnest($1::uuid[], $2::uuid[]) AS submitted (member_id, relationship_id)
JOIN memberships USING (member_id, relationship_id)
JOIN relationships USING (relationship_id)
"""


async def lock_stream_heads(db: DbConnection, submissions: Sequence[Submission], signed_in: SignedIn) -> None:
    """Lock the private head of each author, and then the shared ones that the entries touch.

    The first keeps two devices of one member apart. More shared heads than needed would let the partner's writing wait
    for a private entry, and so disclose it: after acquiring the private locks, it looks whether what is taken back is
    shared.
    """
    authors = list({one.author for one in _submitters(submissions) if one.session in signed_in})
    rows = await db.fetch(STREAMS_OF_AUTHORS, *transposed(authors)) if authors else []
    private = {row[:2]: StreamKey(row["relationship_id"], row["seat"], row["private_stream_id"]) for row in rows}
    # Who is not confirmed yet has no head. A seat never changes, and all else is read again once the locks are held.
    locked = await lock_heads(db, private.values())
    shared = {
        row[:2]: StreamKey(row["relationship_id"], SHARED, row["shared_stream_id"])
        for row in rows
        if private[row[:2]] in locked
    }
    admitted = [submission for submission in submissions if submission.submitter.author in shared]
    entries = [(shared[one.submitter.author], entry) for one in admitted for _, entry in one.entries]
    taken_back = [Mention(stream, entry.event_id) for stream, entry in entries if isinstance(entry, Retraction)]
    needed = {stream for stream, entry in entries if rules.is_shared(entry)}
    needed |= {mention.stream for mention in await ids_present(db, taken_back)} if taken_back else set()
    await lock_heads(db, needed)


def _submitters(submissions: Sequence[Submission]) -> list[Submitter]:
    return list({one.submitter for one in submissions})


# The heads, and the pages of the months in which the entries count, as of one moment: whoever writes such a page gives
# its head another version.
# OFFSET has each page looked for by its key. The statement is planned once, perhaps while the table is nearly empty;
# as a join it then read all pages for each group (2,000 couples: 107 µs of PostgreSQL an event, in place of 11).
LOAD = """
SELECT
    mine.member_id,
    mine.relationship_id,
    mine.seat,
    mine.author_id,
    relationships.shared_stream_id,
    mine.private_stream_id,
    relationships.state = 'active' AS active,
    shared.version AS shared_version,
    shared.position AS shared_position,
    shared.link AS shared_link,
    private.version AS private_version,
    private.position AS private_position,
    private.link AS private_link,
    NULL::smallint AS stream,
    NULL::integer AS month,
    NULL::bytea AS page
FROM unnest($1::uuid[], $2::uuid[]) AS submitted (member_id, relationship_id)
JOIN memberships AS mine USING (member_id, relationship_id)
JOIN relationships USING (relationship_id)
JOIN heads AS shared
    ON shared.relationship_id = mine.relationship_id
    AND shared.stream = 0
JOIN heads AS private
    ON private.relationship_id = mine.relationship_id
    AND private.stream = mine.seat
UNION ALL
SELECT
    mine.member_id,
    mine.relationship_id,
    mine.seat,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    pages.stream,
    pages.month,
    pages.ciphertext
FROM unnest($3::uuid[], $4::uuid[], $5::boolean[], $6::integer[]) AS counted (
    member_id, relationship_id, shared, month
)
JOIN memberships AS mine USING (member_id, relationship_id)
CROSS JOIN LATERAL (
    SELECT
        stream,
        month,
        ciphertext
    FROM pages
    WHERE relationship_id = mine.relationship_id
        AND stream = CASE WHEN counted.shared THEN 0 ELSE mine.seat END
        AND author = mine.seat
        AND month = counted.month
    OFFSET 0
) AS pages
"""


async def load_write_set(
    context: Context, db: DbConnection, submissions: Sequence[Submission], *, locked: bool
) -> WriteSet:
    """Who submits, as what, and the heads and pages of what they can write to, as of now.

    Where locks are held everything is asked of the one connection that holds them; otherwise of two, beside each other.
    """
    submitters = _submitters(submissions)
    if locked:
        found, rows = await find_signed_in(db, submitters), await _load(db, submissions)
    else:
        found, rows = await asyncio.gather(find_signed_in(context.admission_db, submitters), _load(db, submissions))
    heads = {row[:2]: row for row in rows if row["month"] is None}
    admitted = [one for one in submitters if one.session in found and one.author in heads]
    unconfirmed = await find_unconfirmed(db, [o for o in submitters if o.session in found and o.author not in heads])
    # A partner who came in while this waited for a lock has written with a key of their own.
    authors = {(one.relationship_id, heads[one.author]["author_id"]) for one in admitted}
    keys = await context.keys.many_relationship_keys(authors)
    # The time is taken after the heads on which the events follow were read, so that it grows along a stream.
    write_set = WriteSet(context.now(), context.random_bytes, keys, submissions, unconfirmed, not locked)
    for submitter in admitted:
        accepted_version = found[submitter.session]
        known = _batch_of_author(write_set, submitter)
        write_set.batches[submitter] = known or _admit(write_set, heads[submitter.author], accepted_version)
    for submission in submissions:
        if batch := write_set.batches.get(submission.submitter):
            batch.entries += submission.entries
    _read_pages(write_set, [row for row in rows if row["month"] is not None])
    return write_set


async def _load(db: DbConnection, submissions: Sequence[Submission]) -> list[Record]:
    authors = list({one.submitter.author for one in submissions})
    counted = _counted_pages(submissions)
    return await db.fetch(LOAD, *transposed(authors), *(transposed(counted) or [[]] * 4))


def _counted_pages(submissions: Sequence[Submission]) -> list[tuple[UUID, UUID, bool, int]]:
    """In which months of which of their author's streams the entries count, as far as they say so themselves."""
    return list(
        {
            (*one.submitter.author, rules.is_shared(entry), pages.month_of(day_of(entry)))
            for one in submissions
            for _, entry in one.entries
            if not isinstance(entry, Retraction)
        }
    )


def _read_pages(write_set: WriteSet, rows: Iterable[Record]) -> None:
    batches = {(batch.member_id, batch.relationship_id): batch for batch in write_set.all_batches}
    for row in rows:
        batch = batches.get(row[:2])
        # Who was erased a moment ago has no key, and is refused.
        if batch is not None and write_set.keys_of(batch).knows(batch.author.author_id):
            stream = batch.shared if row["stream"] == SHARED else batch.private
            key = PageKey(stream, batch.author.author_id, row["month"])
            write_set.pages[key] = pages.decrypt(write_set.keys_of(batch), key, row["page"])


async def load_pages(db: DbConnection, write_set: WriteSet) -> None:
    """Read the pages that are to be written and were not read yet. Their heads must be locked."""
    missing = write_set.touched_pages - write_set.pages.keys()
    write_set.pages |= await pages.read_some(db, write_set.keys, missing)


def _batch_of_author(write_set: WriteSet, submitter: Submitter) -> AuthorBatch | None:
    """The batch of another phone of the same member."""
    authors = write_set.authors.get(submitter.relationship_id, [])
    return next((batch for batch in authors if batch.member_id == submitter.member_id), None)


def _admit(write_set: WriteSet, row: Record, accepted_version: str | None) -> AuthorBatch:
    """Begin the batch of an author, with the heads that it follows on."""
    rid = row["relationship_id"]
    shared = StreamKey(rid, SHARED, row["shared_stream_id"])
    private = StreamKey(rid, row["seat"], row["private_stream_id"])
    write_set.heads[shared] = VersionedHead(row["shared_position"], row["shared_link"], row["shared_version"])
    write_set.heads[private] = VersionedHead(row["private_position"], row["private_link"], row["private_version"])
    author = Author(row["author_id"], has_consented(accepted_version), row["active"])
    batch = AuthorBatch(row["member_id"], author, shared, private)
    write_set.authors.setdefault(rid, []).append(batch)
    return batch


# Who has accepted and had no streams a moment ago was not confirmed yet, even if they have been since.
UNCONFIRMED = """
SELECT
    member_id,
    relationship_id
FROM unnest($1::uuid[], $2::uuid[]) AS submitted (member_id, relationship_id)
JOIN memberships USING (member_id, relationship_id)
"""


async def find_unconfirmed(db: DbConnection, without_streams: Sequence[Submitter]) -> set[Submitter]:
    """Those of the submitters who are members all the same: they have accepted an invite."""
    if not without_streams:
        return set()
    members = {row[:] for row in await db.fetch(UNCONFIRMED, *transposed([one.author for one in without_streams]))}
    return {one for one in without_streams if one.author in members}


async def load_references(context: Context, db: DbConnection, write_set: WriteSet) -> None:
    """Let each author know what they can read of the ids at hand, of what these refer to, and of what altered that.

    Nothing was written yet, so a second connection finds what this one would, if it might read.
    """
    batches = write_set.all_batches
    named, altered = _mentioned(batches)
    # Most often nothing is there yet, and nothing is referred to.
    if not altered and not await ids_present(db, list(named)):
        return
    async with context.reading_for([batch.member_id for batch in batches]) as reader:
        await _learn(write_set, await find_events(reader, list(named)))
        await _learn(write_set, await find_altering(reader, write_set.keys, list(altered)))
        # What is taken back, or shared now, had counted by what it is about, if it had not been taken back before.
        about = {mention for batch in batches for mention in (*_own_are_about(batch), *_own_tellings(batch))} - named
        shared = {mention for batch in batches for mention in _own_shared_now(batch)} - altered
        if about or shared:
            await _learn(write_set, await find_events(reader, list(about)))
            await _learn(write_set, await find_altering(reader, write_set.keys, list(shared)))


async def _learn(write_set: WriteSet, rows: Iterable[tuple[StreamKey, Record]]) -> None:
    """Let each batch know what it can read of the rows. Others are answered between two slices."""
    readers: dict[StreamKey, list[AuthorBatch]] = {}
    for batch in write_set.all_batches:
        for stream in batch.streams:
            readers.setdefault(stream, []).append(batch)
    read = [(batch, stream, row) for stream, row in rows for batch in readers.get(stream, [])]
    async for part in in_slices(read, SLICE_EVENTS):
        for batch, stream, row in part:
            batch.learn(decrypt_row(write_set.keys_of(batch), stream, row))


def _mentioned(batches: Iterable[AuthorBatch]) -> tuple[set[Mention], set[Mention]]:
    """The ids at hand and those that they refer to, and of the latter those of which it matters what altered them."""
    named: set[Mention] = set()
    altered: set[Mention] = set()
    for batch in batches:
        for entry_id, entry in batch.entries:
            # In either stream it may be a replay, or what the author shares later.
            own = [batch.shared] if isinstance(entry, Request | Opening) else batch.streams
            named.update(Mention(stream, entry_id) for stream in own)
            if target := refers_to(entry):
                altered.update(Mention(stream, target) for stream in batch.streams)
                # What is taken back may be the original of a copy that has another id.
                named.add(Mention(batch.shared, copy_ids(batch.private.stream_id, target)[1]))
    return named | altered, altered


def _own_are_about(batch: AuthorBatch) -> Iterable[Mention]:
    """What those check-ins of the author are about that are looked at."""
    facts = [event.fact for event in batch.known.events.values() if event.author == batch.author.author_id]
    named = {fact.about for fact in facts if isinstance(fact, CheckIn) and fact.about}
    return (Mention(stream, event_id) for event_id in named for stream in batch.streams)


def _own_tellings(batch: AuthorBatch) -> Iterable[Mention]:
    """What the author tells in private, where it would stand had they shared it later."""
    private = (event for event in batch.known.tellings.values() if event.audience == "private")
    return (Mention(batch.shared, event.event_id) for event in private)


def _own_shared_now(batch: AuthorBatch) -> Iterable[Mention]:
    """What the author keeps private under ids that they now share."""
    shared = {entry_id for entry_id, entry in batch.entries if rules.is_shared(entry)}
    return (Mention(batch.private, each) for each in shared if batch.known.find(each, "private"))
