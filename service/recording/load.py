"""What a group is recorded from, read from the database: who submits, the heads, and what the entries refer to."""

from collections.abc import Iterable, Sequence

from asyncpg import Record

from events import rules
from events.chain import Head
from events.entries import Retraction, is_sealed, refers_to
from events.heads import DbConnection, lock_heads
from events.lookups import find_altering, find_events, ids_present
from events.reading import decrypt_row
from events.records import Mention, StreamKey, transposed
from events.reveals import copy_ids
from events.rules import Author
from service.access.consent import has_consented
from service.context import Context, reading_as_members
from service.recording.write_set import AuthorBatch, Submission, Submitter, WriteSet

LOCK_PRIVATE_HEADS = """
SELECT
    submitted.session_id,
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

    The first keeps two devices of one member apart. More shared heads than needed would let the partner's writing wait
    for a private entry, and so disclose it: after acquiring the private locks, it looks whether what is taken back is
    shared.
    """
    rows = await db.fetch(LOCK_PRIVATE_HEADS, *transposed(_submitters(submissions)))
    shared = {Submitter(*row[:3]): StreamKey(row["relationship_id"], row["shared_stream_id"]) for row in rows}
    admitted = [submission for submission in submissions if submission.submitter in shared]
    entries = [(shared[one.submitter], entry) for one in admitted for _, entry in one.entries]
    taken_back = [Mention(stream, entry.event_id) for stream, entry in entries if isinstance(entry, Retraction)]
    needed = {stream for stream, entry in entries if rules.is_shared(entry)}
    needed |= {mention.stream for mention in await ids_present(db, taken_back)} if taken_back else set()
    await lock_heads(db, needed)


def _submitters(submissions: Sequence[Submission]) -> list[Submitter]:
    return list({one.submitter for one in submissions})


# The versions are those of the rows: whatever happens to a head writes its row again.
LOAD = """
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
    submitters = _submitters(submissions)
    rows = {Submitter(*row[:3]): row for row in await db.fetch(LOAD, *transposed(submitters))}
    unconfirmed = await find_unconfirmed(db, [one for one in submitters if one not in rows])
    # A partner who came in while this waited for a lock has written with a key of their own.
    keys = await context.keys.many_relationship_keys({row["relationship_id"] for row in rows.values()})
    # The time is taken after the heads on which the events follow were read, so that it grows along a stream.
    write_set = WriteSet(context.now(), context.random_bytes, keys, submissions, unconfirmed)
    for submitter, row in rows.items():
        write_set.batches[submitter] = _batch_of_author(write_set, submitter) or _admit(write_set, row)
    for submission in submissions:
        if batch := write_set.batches.get(submission.submitter):
            batch.entries += submission.entries
    return write_set


def _batch_of_author(write_set: WriteSet, submitter: Submitter) -> AuthorBatch | None:
    """The batch of another phone of the same member."""
    authors = write_set.authors.get(submitter.relationship_id, [])
    return next((batch for batch in authors if batch.member_id == submitter.member_id), None)


def _admit(write_set: WriteSet, row: Record) -> AuthorBatch:
    """Begin the batch of an author, with the heads that it follows on."""
    rid = row["relationship_id"]
    shared, private = StreamKey(rid, row["shared_stream_id"]), StreamKey(rid, row["private_stream_id"])
    write_set.heads[shared] = Head(row["shared_position"], row["shared_link"])
    write_set.heads[private] = Head(row["private_position"], row["private_link"])
    write_set.versions[shared], write_set.versions[private] = row["shared_version"], row["private_version"]
    author = Author(row["author_id"], has_consented(row["consent_version"]), row["active"])
    batch = AuthorBatch(row["member_id"], author, row["partner_id"], shared, private)
    write_set.authors.setdefault(rid, []).append(batch)
    return batch


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


async def find_unconfirmed(db: DbConnection, without_streams: Sequence[Submitter]) -> set[Submitter]:
    """Those of the submitters who are members all the same: they have accepted an invite."""
    if not without_streams:
        return set()
    return {Submitter(*row) for row in await db.fetch(UNCONFIRMED, *transposed(without_streams))}


async def load_references(db: DbConnection, write_set: WriteSet) -> None:
    """Let each author know what they can read of the ids at hand, of what these refer to, and of what altered that."""
    batches = write_set.all_batches
    named, altered = _mentioned(batches)
    # Most often nothing is there yet, and nothing is referred to.
    if not altered and not await ids_present(db, list(named)):
        return
    async with reading_as_members(db, [batch.member_id for batch in batches]):
        rows = await find_events(db, list(named)) + await find_altering(db, write_set.keys, list(altered))
    found: dict[StreamKey, list[Record]] = {}
    for stream, row in rows:
        found.setdefault(stream, []).append(row)
    for batch in batches:
        for audience in rules.AUDIENCES:
            for row in found.get(batch.stream(audience), []):
                batch.learn(decrypt_row(write_set.keys_of(batch), audience, row))


def _mentioned(batches: Iterable[AuthorBatch]) -> tuple[set[Mention], set[Mention]]:
    """The ids at hand and those that they refer to, and of the latter those of which it matters what altered them."""
    named: set[Mention] = set()
    altered: set[Mention] = set()
    for batch in batches:
        for entry_id, entry in batch.entries:
            audience = None if is_sealed(entry) else rules.audience_of_new(entry)
            own = [batch.stream(audience)] if audience else batch.streams
            named.update(Mention(stream, entry_id) for stream in own)
            if target := refers_to(entry):
                altered.update(Mention(stream, target) for stream in batch.streams)
                # What is taken back may be the original of a copy that has another id.
                named.add(Mention(batch.shared, copy_ids(batch.private.stream_id, target)[1]))
    return named | altered, altered
