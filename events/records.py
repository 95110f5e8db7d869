"""What the log consists of: streams, events as they are stored, and drafts of new ones. Knows no database."""

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
    """Names a stream. Every statement carries the relationship, by which the tables can be distributed."""

    relationship_id: UUID
    stream_id: UUID


class Stored(Struct, frozen=True):
    """An event as the log has it, and what it says. Once erased, ciphertext, body and opening are null."""

    header: str
    link: bytes
    ciphertext: bytes | None
    body: str | None
    opening: bytes | None
    event: Recorded


class Mention(Struct, frozen=True, order=True):
    """An id, looked for in one stream."""

    stream: StreamKey
    event_id: UUID


def transposed(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Columns from rows, one at least: a statement takes each as an array."""
    return [list(column) for column in zip(*rows, strict=True)]


# The columns of events, then an author and a ciphertext.
EventColumns: TypeAlias = tuple[UUID, UUID, int, UUID, UUID, str, bytes, UUID | None, bytes | None]


def event_row(keys: RelationshipKeys, stream: StreamKey, stored: Stored) -> EventColumns:
    """An event as it stands in the tables."""
    event = stored.event
    return (
        stream.relationship_id,
        stream.stream_id,
        event.position,
        event.event_id,
        _alters_column(keys, event),
        stored.header,
        stored.link,
        event.author,
        stored.ciphertext,
    )


def _alters_column(keys: RelationshipKeys, event: Recorded) -> UUID:
    """What the event is found by besides its id, blinded: what it alters, or what it is sealed for."""
    if altered := entries.alters(event.fact):
        return keys.alters_index(altered)
    if entries.is_sealed(event.fact):
        return keys.sealed_for_index(entries.thing_of(event.fact))
    return keys.alters_nothing_index(event.event_id)


class Draft(Struct, frozen=True):
    """An event to be appended. `at` is in UTC; `by` is null for what the service says.

    `opening` is 32 random bytes, `nonce` 12 that no earlier attempt has used; without one, one is drawn.
    """

    event_id: UUID
    by: UUID | None
    at: datetime
    fact: Fact
    opening: bytes
    nonce: bytes | None = None


def encrypt_event(keys: RelationshipKeys, head: Head, stream: StreamKey, audience: Audience, draft: Draft) -> Stored:
    """The event that follows `head`, ready to be appended."""
    body = entries.to_text(draft.fact)
    link = extend(head, stream.stream_id, draft.event_id, draft.by, draft.at, body, draft.opening)
    place = AssociatedData(str(stream.stream_id), str(draft.event_id), str(draft.by) if draft.by else None, link.commit)
    ciphertext = encryption.encrypt(keys.of(draft.by), place, draft.opening, body, draft.nonce)
    event = Recorded(audience, link.position, draft.event_id, draft.by, draft.at, draft.fact)
    return Stored(link.header.decode(), link.link, ciphertext, body.decode(), draft.opening, event)
