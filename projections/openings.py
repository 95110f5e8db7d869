"""What is, or was, to be decided for both: how each opening stands, and whose view stood before the decision.

It is told whether a view is there, never who has been silent, nor for how long.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from events.encryption import RelationshipKeys
from events.entries import CheckIn, Decision, Fact, Opening, Retraction
from events.heads import DbConnection
from events.reading import read_back
from events.rules import Recorded
from projections.aside import aside
from projections.feed import Event, as_read
from projections.reader import Reader
from projections.standing import standing

State = Literal["open", "decided", "withdrawn"]


class Spoken(Struct, frozen=True):
    """Whether input about the opening stands where I can read it: shared, or, of mine, also sealed."""

    me: bool
    partner: bool


class OpeningStanding(Struct, frozen=True):
    """An opening and the shared decision that closed it."""

    event: Event
    state: State
    spoken: Spoken
    decision: Event | None


class Openings(Struct, frozen=True):
    """Openings, newest first, and whether older ones follow."""

    openings: list[OpeningStanding]
    more: bool


class Asked(Struct, frozen=True):
    """Which openings: those of one state, or all where null; at most `limit`, recorded before a position."""

    state: State | None
    before: int | None
    limit: int


class Opened(Struct, frozen=True):
    """An opening with what a reader can read about it, in order: the decision that closed it, and all input."""

    event: Recorded
    withdrawn: bool
    decision: Recorded | None
    input: Sequence[Recorded]

    def spoken(self, me: UUID, until: datetime | None = None) -> Spoken:
        """Whose input is among it, of until a moment, or of any time."""
        authors = {one.author for one in self.input if until is None or _occurred_at(one) <= until}
        return Spoken(me in authors, bool(authors - {me}))


def _occurred_at(event: Recorded) -> datetime:
    assert isinstance(event.fact, CheckIn | Decision)
    return event.fact.occurred_at


async def openings(db: DbConnection, keys: RelationshipKeys, reader: Reader, asked: Asked) -> Openings:
    """Openings of the relationship, as this reader can know them."""
    events = await read(db, keys, reader)
    return await aside(len(events), lambda: fold(events, reader, asked))


async def read(db: DbConnection, keys: RelationshipKeys, reader: Reader) -> list[Recorded]:
    """All events that bear on openings, of both streams, each in order."""
    found: list[Recorded] = []
    for stream in reader.streams:
        parts = [[event for event in part if _bears(event.fact)] async for part in read_back(db, keys, stream)]
        found += [event for part in reversed(parts) for event in part]
    return found


def _bears(fact: Fact) -> bool:
    match fact:
        case Opening() | Retraction():
            return True
        case CheckIn():
            return fact.about is not None
        case Decision():
            return fact.opening_id is not None
        case _:
            return False


def fold(events: Iterable[Recorded], reader: Reader, asked: Asked) -> Openings:
    """The same, of all events that this reader may read."""
    me = reader.author_id
    listed = [
        one
        for one in sorted(opened(events), key=lambda one: -one.event.position)
        if asked.state in (None, _state(one)) and (asked.before is None or one.event.position < asked.before)
    ]
    return Openings([_shown(one, me) for one in listed[: asked.limit]], len(listed) > asked.limit)


def _shown(one: Opened, me: UUID) -> OpeningStanding:
    decision = as_read(one.decision, me) if one.decision else None
    return OpeningStanding(as_read(one.event, me), _state(one), one.spoken(me), decision)


def _state(one: Opened) -> State:
    return "withdrawn" if one.withdrawn else "decided" if one.decision else "open"


def opened(events: Iterable[Recorded]) -> list[Opened]:
    """Each opening with what bears on it, of all events that a reader may read."""
    given = list(events)
    stands = standing(given)
    untouched = {event.event_id for event in stands if isinstance(event.fact, Opening)}
    decisions: dict[UUID, Recorded] = {}
    said = defaultdict[UUID, list[Recorded]](list)
    for event in stands:
        if isinstance(event.fact, Decision) and event.fact.opening_id and event.audience == "shared":
            decisions.setdefault(event.fact.opening_id, event)
        elif isinstance(event.fact, CheckIn) and event.fact.about and _is_input(event):
            said[event.fact.about].append(event)
    return [
        Opened(event, event.event_id not in untouched, decisions.get(event.event_id), said[event.event_id])
        for event in given
        if isinstance(event.fact, Opening)
    ]


def _is_input(event: Recorded) -> bool:
    """Shared, or sealed so that it will be: what somebody keeps to themselves is no view that they say."""
    return event.audience == "shared" or (isinstance(event.fact, CheckIn) and event.fact.audience == "sealed")
