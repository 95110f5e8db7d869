"""What each has asked of the other, and how it stands as far as this reader may know."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from msgspec import Struct

from events.encryption import RelationshipKeys
from events.entries import Decision, Request, Retraction
from events.heads import DbConnection
from events.reading import read_back
from events.rules import Recorded
from projections.aside import aside
from projections.feed import Event, as_read
from projections.reader import Reader
from projections.standing import standing

State = Literal["open", "decided", "answered_otherwise", "lapsed", "retracted"]
Listed = Literal["open", "recent"]

RECENT = timedelta(days=14)


class RequestStanding(Struct, frozen=True):
    """A request and the decision that holds, as this reader may know it.

    To the one who asked, a private answer is no answer: the request stays open until it lapses. One whose counter-offer
    was decided with a yes is answered otherwise.
    """

    event: Event
    state: State
    expires_at: datetime
    decision: Event | None


class Requests(Struct, frozen=True):
    """Requests, newest first, and whether older ones follow."""

    requests: list[RequestStanding]
    more: bool


class Asked(Struct, frozen=True):
    """Which requests: those that are open, or all of the last 14 days; at most `limit`, recorded before a position."""

    state: Listed
    before: int | None
    limit: int


async def requests(db: DbConnection, keys: RelationshipKeys, reader: Reader, asked: Asked, now: datetime) -> Requests:
    """Requests of the relationship, as this reader may know them.

    What bears on a request is recorded after it. One that is open may be of any time, for phones choose when it lapses.
    """
    since = None if asked.state == "open" else now - RECENT
    given = [
        event
        for stream in reader.streams
        async for part in read_back(db, keys, stream, since)
        for event in part
        if isinstance(event.fact, Request | Decision | Retraction)
    ]
    return await aside(len(given), lambda: fold(given, reader, asked, now))


def fold(events: Iterable[Recorded], reader: Reader, asked: Asked, now: datetime) -> Requests:
    """The same, of all events that this reader may read."""
    given = list(events)
    still_standing = standing(given)
    answers = _answers(still_standing)
    otherwise = _answered_otherwise(still_standing, answers)
    untouched = {e.event_id for e in still_standing if isinstance(e.fact, Request)}
    listed: list[tuple[Recorded, State]] = []
    for event in sorted((e for e in given if isinstance(e.fact, Request)), key=lambda e: -e.position):
        assert isinstance(event.fact, Request)
        assert event.fact.expires_at is not None
        state = _state(event, answers, otherwise, untouched, now)
        fits = state == "open" if asked.state == "open" else now - event.recorded_at < RECENT
        if fits and (asked.before is None or event.position < asked.before):
            listed.append((event, state))
    shown = [_shown(event, state, answers.get(event.event_id), reader) for event, state in listed[: asked.limit]]
    return Requests(shown, len(listed) > asked.limit)


def _shown(event: Recorded, state: State, answer: Recorded | None, reader: Reader) -> RequestStanding:
    assert isinstance(event.fact, Request)
    assert event.fact.expires_at is not None
    decision = as_read(answer, reader.author_id) if answer else None
    return RequestStanding(as_read(event, reader.author_id), state, event.fact.expires_at, decision)


def _answers(events: Iterable[Recorded]) -> dict[UUID, Recorded]:
    """The decision that holds for each request: the one that occurred last, then the larger id."""
    by_request: dict[UUID, list[tuple[datetime, UUID, Recorded]]] = defaultdict(list)
    for e in events:
        if isinstance(e.fact, Decision) and e.fact.request_id is not None:
            by_request[e.fact.request_id].append((e.fact.occurred_at, e.event_id, e))
    return {request_id: max(answers, key=lambda answer: answer[:2])[2] for request_id, answers in by_request.items()}


def _answered_otherwise(events: Iterable[Recorded], answers: Mapping[UUID, Recorded]) -> set[UUID]:
    """The requests to which there is a counter-offer that was decided with a yes."""
    offers = [(e.event_id, e.fact.in_reply_to) for e in events if isinstance(e.fact, Request) and e.fact.in_reply_to]
    return {original for offer, original in offers if _is_yes(answers.get(offer))}


def _is_yes(answer: Recorded | None) -> bool:
    return answer is not None and isinstance(answer.fact, Decision) and answer.fact.outcome == "yes"


def _state(
    event: Recorded,
    answers: Mapping[UUID, Recorded],
    otherwise: set[UUID],
    untouched: set[UUID],
    now: datetime,
) -> State:
    assert isinstance(event.fact, Request)
    assert event.fact.expires_at is not None
    if event.event_id not in untouched:
        return "retracted"
    if event.event_id in answers:
        return "decided"
    if event.event_id in otherwise:
        return "answered_otherwise"
    return "lapsed" if event.fact.expires_at <= now else "open"
