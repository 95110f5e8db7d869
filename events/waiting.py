"""Which sealed check-ins still wait, found without opening any: a blinded tag for each answer for each thing.

Whether somebody's answer waits is found by its tag, by key, in the same time whether it is there or not. A tag names
neither its author nor what was answered nor for what, and no two rows name the same entry alike. Each entry has
equally many.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from events.encryption import RelationshipKeys
from events.entries import CheckIn, thing_of
from events.heads import DbConnection
from events.records import StreamKey, transposed
from events.reveals import MAX_ANSWERS, answers_of


class Tag(NamedTuple):
    """That an entry waits with an answer for a thing; `entry` is another number beside each of its tags."""

    tag: int
    entry: int


def tags_of(keys: RelationshipKeys, stream: StreamKey, check_in: CheckIn) -> list[int]:
    """What the answers of a check-in are found by, were they given by the author of that private stream."""
    return [keys.waiting_tag(stream.stream_id, thing_of(check_in), answer) for answer in answers_of(check_in)]


def fillers(keys: RelationshipKeys, stream: StreamKey, event_id: UUID) -> list[int]:
    """As many tags as an entry can have, by which nothing is found."""
    return [keys.waiting_filler(stream.stream_id, event_id, number) for number in range(MAX_ANSWERS)]


def filled(keys: RelationshipKeys, stream: StreamKey, event_id: UUID, tags: Sequence[int]) -> list[int]:
    """The tags, and so many of its fillers that all entries have equally many."""
    return [*tags, *fillers(keys, stream, event_id)][:MAX_ANSWERS]


def named(keys: RelationshipKeys, stream: StreamKey, event_id: UUID, tags: Sequence[int]) -> list[Tag]:
    """The tags as that entry waits with them."""
    return [Tag(tag, keys.waiting_entry_index(stream.stream_id, event_id, tag)) for tag in tags]


WAITING = """
SELECT
    tag,
    entry
FROM waiting
WHERE relationship_id = $1
    AND tag = ANY ($2::bigint[])
"""


async def find_waiting(db: DbConnection, relationship_id: UUID, tags: Collection[int]) -> list[Tag]:
    """The rows of those of the tags that wait."""
    return [Tag._make(row) for row in await db.fetch(WAITING, relationship_id, list(tags))]


ADD = """
INSERT INTO waiting (
    relationship_id,
    tag,
    entry
)
SELECT
    $1,
    tag,
    entry
FROM unnest($2::bigint[], $3::bigint[]) AS added (tag, entry)
"""


async def add_waiting(db: DbConnection, relationship_id: UUID, tags: Collection[Tag]) -> None:
    """Let entries wait. The head of their private stream must be locked."""
    # In the order of the tags, so that the place of a row tells nothing.
    await db.execute(ADD, relationship_id, *transposed(sorted(tags)))


REMOVE = """
DELETE FROM waiting
WHERE relationship_id = $1
    AND tag = ANY ($2::bigint[])
    AND entry = ANY ($3::bigint[])
"""


async def remove_waiting(db: DbConnection, relationship_id: UUID, tags: Collection[Tag]) -> None:
    """Let entries wait no longer. The head of their private stream must be locked."""
    await db.execute(REMOVE, relationship_id, *transposed(list(tags)))


FORGET = """
DELETE FROM waiting
WHERE relationship_id = $1
"""


async def forget_waiting(db: DbConnection, relationship_id: UUID) -> None:
    """Nothing waits in a relationship any more, whoever sealed it: one of the two is gone."""
    await db.execute(FORGET, relationship_id)
