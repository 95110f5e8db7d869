"""What each has asked of the other, and how it stands as far as this reader may know."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from events.encryption import RelationshipKeys
from events.entries import Decision, Request
from events.heads import DbConnection
from events.reading import read_streams
from events.rules import Recorded
from projections.balances import Reader
from projections.feed import Event, as_read
from projections.standing import standing

State = Literal["open", "decided", "lapsed", "retracted"]


class RequestStanding(Struct, frozen=True):
    """A request and the decision that holds, as this reader may know it.

    To the one who asked, a private answer is no answer: the request stays open until it lapses.
    """

    event: Event
    state: State
    expires_at: datetime
    decision: Event | None


class Requests(Struct, frozen=True):
    """Requests, newest first."""

    requests: list[RequestStanding]


async def requests(
    db: DbConnection, keys: RelationshipKeys, reader: Reader, state: State | None, now: datetime
) -> Requests:
    """All requests of the relationship, or those in one state."""
    stored = await read_streams(
        db, keys, reader.relationship_id, {reader.shared_stream: "shared", reader.private_stream: "private"}
    )
    events = [s.event for s in stored]
    still_standing = standing(events)
    answers = _answers(still_standing)
    untouched = {e.event_id for e in still_standing if isinstance(e.fact, Request)}
    asked = sorted((e for e in events if isinstance(e.fact, Request)), key=lambda e: -e.position)
    listed = [_standing(e, reader, answers.get(e.event_id), e.event_id not in untouched, now) for e in asked]
    return Requests([r for r in listed if state is None or r.state == state])


def _answers(events: Iterable[Recorded]) -> dict[UUID, Recorded]:
    """The decision that holds for each request: the one that occurred last, then the larger id."""
    by_request: dict[UUID, list[tuple[datetime, UUID, Recorded]]] = defaultdict(list)
    for e in events:
        if isinstance(e.fact, Decision) and e.fact.request_id is not None:
            by_request[e.fact.request_id].append((e.fact.occurred_at, e.event_id, e))
    return {request_id: max(answers, key=lambda answer: answer[:2])[2] for request_id, answers in by_request.items()}


def _standing(
    event: Recorded, reader: Reader, answer: Recorded | None, retracted: bool, now: datetime
) -> RequestStanding:
    assert isinstance(event.fact, Request)
    assert event.fact.expires_at is not None
    return RequestStanding(
        event=as_read(event, reader.author_id),
        state=_state(event.fact.expires_at, answer, retracted, now),
        expires_at=event.fact.expires_at,
        decision=as_read(answer, reader.author_id) if answer else None,
    )


def _state(expires_at: datetime, answer: Recorded | None, retracted: bool, now: datetime) -> State:
    if retracted:
        return "retracted"
    if answer:
        return "decided"
    return "lapsed" if expires_at <= now else "open"
