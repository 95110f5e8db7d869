"""The log as one reader sees it: their own stream and the shared one, each Who relative to them."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct
from msgspec.structs import replace

from events import chain
from events.encryption import RelationshipKeys
from events.entries import (
    KINDS,
    Audience,
    CheckIn,
    Decision,
    Ended,
    Erased,
    Opened,
    Opening,
    Request,
    Retraction,
    day_of,
    seen_by_partner,
)
from events.heads import DbConnection
from events.reading import read_page
from events.records import Stored, StreamKey, header_of
from events.rules import Recorded, is_late
from projections.reader import Reader

Position = Annotated[int, Meta(ge=0, le=2**63 - 1, description="1, 2, 3 … in one stream, without gaps.")]


class Proof(Struct, frozen=True):
    """The texts that the chain is made of, verbatim; body and opening (hex) are null once the event is erased."""

    header: str
    body: str | None
    opening: str | None


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event as its reader sees it. The field named as its kind holds the entry; skip kinds you do not know."""

    id: UUID
    stream: Audience
    position: Position
    kind: Literal["check_in", "request", "opening", "decision", "retraction", "erased", "opened", "ended"]
    by: Literal["me", "partner"] | None
    recorded_at: datetime
    late: bool
    day: Annotated[date, Meta(description="The day on which it counts, if it counts at all.")] | None = None
    check_in: CheckIn | None = None
    request: Request | None = None
    opening: Opening | None = None
    decision: Decision | None = None
    retraction: Retraction | None = None
    proof: Proof | None = None


class Head(Struct, frozen=True):
    """A position of a stream and the link of its chain there, in hex."""

    position: Position
    link: str


class Page(Struct, frozen=True):
    """Events in the order of their positions, the head of their stream, and whether more lie between."""

    events: list[Event]
    head: Head
    more: bool


async def page(
    db: DbConnection,
    keys: RelationshipKeys,
    reader: Reader,
    audience: Audience,
    after: int,
    limit: int,
    *,
    proof: bool = False,
) -> Page:
    """At most `limit` events of one of the reader's streams, behind a position."""
    stream = reader.shared if audience == "shared" else reader.private
    head, found = await read_page(db, keys, stream, after, limit)
    events = [with_proof(s, stream, reader.author_id) if proof else as_read(s.event, reader.author_id) for s in found]
    reached = events[-1].position if events else after
    return Page(events, as_head(head), reached < head.position)


def as_head(head: chain.Head) -> Head:
    """The head with its link in hex."""
    return Head(head.position, head.link.hex())


def as_read(event: Recorded, author_id: UUID) -> Event:
    """The event as the member with that author id reads it."""
    mine = event.author == author_id
    envelope = Event(
        id=event.event_id,
        stream=event.audience,
        position=event.position,
        kind=KINDS[type(event.fact)],
        by=None if event.author is None else "me" if mine else "partner",
        recorded_at=event.recorded_at,
        late=is_late(event),
    )
    if isinstance(event.fact, Opened | Ended | Erased):
        return envelope
    entry = event.fact if mine else seen_by_partner(event.fact)
    match entry:
        case CheckIn():
            return replace(envelope, day=day_of(entry), check_in=entry)
        case Request():
            return replace(envelope, day=day_of(entry), request=entry)
        case Opening():
            return replace(envelope, day=day_of(entry), opening=entry)
        case Decision():
            return replace(envelope, day=day_of(entry), decision=entry)
        case Retraction():
            return replace(envelope, retraction=entry)


def with_proof(stored: Stored, stream: StreamKey, author_id: UUID) -> Event:
    """The same, with what a client needs to verify the chain."""
    opening = stored.opening.hex() if stored.opening else None
    proof = Proof(header_of(stream, stored), stored.body, opening)
    return replace(as_read(stored.event, author_id), proof=proof)
