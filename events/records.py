"""What the log consists of: streams, their events as stored, and drafts of new ones. Knows no database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from msgspec import Struct

from events import encryption, entries
from events.chain import Head, extend
from events.encryption import AssociatedData, RelationshipKeys
from events.entries import Audience, Fact
from events.rules import Recorded


class StreamKey(Struct, frozen=True, order=True):
    """Names one stream. Every statement carries the relationship, which distributes the tables."""

    relationship_id: UUID
    stream_id: UUID


class Stored(Struct, frozen=True):
    """An event as the log has it, and what it says. Once erased, body, opening and sealed are null."""

    header: str
    link: bytes
    sealed: bytes | None
    body: str | None
    opening: bytes | None
    event: Recorded


class Mention(Struct, frozen=True, order=True):
    """An id, looked for in one stream."""

    key: StreamKey
    event_id: UUID


def transposed(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


# The columns of events, then an author and a ciphertext.
EventColumns: TypeAlias = tuple[UUID, UUID, int, UUID, UUID, str, bytes, UUID | None, bytes | None]


def event_row(ring: RelationshipKeys, key: StreamKey, stored: Stored) -> EventColumns:
    """An event as it stands in the tables."""
    event = stored.event
    return (
        key.relationship_id,
        key.stream_id,
        event.position,
        event.event_id,
        _alters_column(ring, event),
        stored.header,
        stored.link,
        event.author,
        stored.sealed,
    )


def _alters_column(ring: RelationshipKeys, event: Recorded) -> UUID:
    """What the event is found by besides its id, blinded: what it alters, or what it is sealed for."""
    if altered := entries.alters(event.fact):
        return ring.alters_index(altered)
    if entries.is_sealed(event.fact):
        return ring.sealed_for_index(entries.thing_of(event.fact))
    return ring.alters_nothing_index(event.event_id)


class Draft(Struct, frozen=True):
    """What is to be appended. `at` is in UTC; `by` is null for what the service says.

    `opening` is 32 random bytes, `nonce` 12 that no attempt before has used; one is drawn where there is none.
    """

    event_id: UUID
    by: UUID | None
    at: datetime
    fact: Fact
    opening: bytes
    nonce: bytes | None = None


def encrypt_event(ring: RelationshipKeys, head: Head, key: StreamKey, audience: Audience, draft: Draft) -> Stored:
    """The event that follows `head`, ready to be appended."""
    body = entries.to_text(draft.fact)
    link = extend(head, key.stream_id, draft.event_id, draft.by, draft.at, body, draft.opening)
    place = AssociatedData(str(key.stream_id), str(draft.event_id), str(draft.by) if draft.by else None, link.commit)
    sealed = encryption.encrypt(ring.of(draft.by), place, draft.opening, body, draft.nonce)
    event = Recorded(audience, link.position, draft.event_id, draft.by, draft.at, draft.fact)
    return Stored(link.header.decode(), link.link, sealed, body.decode(), draft.opening, event)
