"""What the log consists of: streams, their events as stored, and drafts of new ones. Knows no database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from events import encryption, entries
from events.chain import Head, extend, render_header
from events.encryption import RelationshipKeys
from events.entries import Audience, Decision, Fact, Retraction
from events.rules import Recorded

SHARED = 0  # the number of the shared stream of a relationship; a private one has that of its member's seat


class StreamKey(Struct, frozen=True, order=True):
    """Names one stream: within its relationship by a small number, and in headers by a random id.

    Every statement carries the relationship, which distributes the tables.
    """

    relationship_id: UUID
    number: int
    stream_id: UUID

    @property
    def audience(self) -> Audience:
        """Who reads it."""
        return "shared" if self.number == SHARED else "private"


class Stored(Struct, frozen=True):
    """An event as the log has it, and what it says. Once erased, body, opening and ciphertext are null."""

    event: Recorded
    commitment: bytes
    link: bytes
    ciphertext: bytes | None
    body: str | None
    opening: bytes | None


class Mention(Struct, frozen=True, order=True):
    """An id, looked for in one stream."""

    stream: StreamKey
    event_id: UUID


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


def encrypt_event(keys: RelationshipKeys, head: Head, key: StreamKey, draft: Draft) -> Stored:
    """The event that follows `head`, ready to be appended."""
    body = entries.to_text(draft.fact)
    link = extend(head, key.stream_id, draft.event_id, draft.by, draft.at, body, draft.opening)
    bound = encryption.AssociatedData(key.stream_id, draft.event_id, draft.by, link.commitment)
    ciphertext = encryption.encrypt(keys, bound, draft.opening, body, draft.nonce)
    event = Recorded(key.audience, link.position, draft.event_id, draft.by, draft.at, draft.fact)
    return Stored(event, link.commitment, link.link, ciphertext, body.decode(), draft.opening)


def header_of(key: StreamKey, stored: Stored) -> str:
    """The header of an event, which is a function of its fields: the same bytes whenever it is rendered."""
    event = stored.event
    return render_header(
        key.stream_id, event.position, event.event_id, event.author, event.recorded_at, stored.commitment
    ).decode()


def transposed(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows as columns, as a statement takes them."""
    return [list(column) for column in zip(*rows, strict=True)]


def event_row(keys: RelationshipKeys, key: StreamKey, stored: Stored) -> tuple[Any, ...]:
    """An event as it stands in the table: relationship, stream, position, seat, time, index, id, and what binds it."""
    event = stored.event
    return (
        key.relationship_id,
        key.number,
        event.position,
        keys.seat_of(event.author),
        event.recorded_at,
        _found_by(keys, key, event),
        event.event_id,
        stored.commitment,
        stored.link,
        stored.ciphertext,
    )


def _found_by(keys: RelationshipKeys, key: StreamKey, event: Recorded) -> int:
    match event.fact:
        case Retraction(event_id=target):
            return keys.alters_index(key.stream_id, target)
        case Decision(about=UUID() as decision_id):
            return keys.tells_index(key.stream_id, decision_id)
        case Decision(opening_id=UUID() as opening_id):
            return keys.closes_index(key.stream_id, opening_id)
        case fact if entries.is_sealed(fact):
            return keys.sealed_for_index(key.stream_id, entries.thing_of(fact))
        case _:
            return keys.alters_nothing_index(key.stream_id, event.event_id)
