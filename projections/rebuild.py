"""Recompute every tally from the log, beside a running service, and tell where what was kept had differed."""

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from events import streams
from events.entries import Audience, CheckIn, Decision, Fact, Request, Retraction, day_of
from events.sealing import Ring
from events.streams import Database, Mention, StreamKey
from projections import tallies
from projections.tallies import Key, Place, Tellers


class Stream(Struct, frozen=True):
    """One stream, and the author ids of the one or two members of its relationship."""

    key: StreamKey
    audience: Audience
    authors: tuple[UUID, ...]
    ring: Ring


class Rebuilt(Struct, frozen=True):
    """What one stream came to: how many events were read, how many counts had differed and were set right."""

    events: int
    differences: int


Counts: TypeAlias = dict[Place, int]


async def rebuild(db: Database, stream: Stream) -> Rebuilt:
    """Set the tallies of one stream to what its log says.

    The lock on the head keeps writers of this stream, and of no other, waiting meanwhile.
    """
    async with db.transaction():
        await streams.lock(db, [stream.key])
        events, told = await recount(db, stream)
        amends = difference(told, await tallies.kept(db, stream.key))
        await tallies.add(db, Counter({Key(stream.key, *place): count for place, count in amends.items()}))
        if amends:
            await streams.touch(db, stream.key)
    return Rebuilt(events, len(amends))


async def recount(db: Database, stream: Stream) -> tuple[int, Counts]:
    """How many events of a stream still say something, and all counts that they come to."""
    tellers = {author: Tellers(author, _other(stream, author)) for author in stream.ring.authors}
    events, counts, taken_back = 0, Counts(), list[tuple[UUID, Tellers]]()
    async for part in streams.facts(db, stream.ring, stream.key):
        events += len(part)
        for author, fact in part:
            if isinstance(fact, Retraction) and author:
                taken_back.append((fact.event_id, tellers[author]))
            elif author:
                _count(counts, fact, tellers[author], 1)
    await _take_back(db, stream, counts, taken_back)
    return events, counts


def _other(stream: Stream, author: UUID) -> UUID | None:
    return next((other for other in stream.authors if other != author), None)


def _count(counts: Counts, fact: Fact, tellers: Tellers, times: int) -> None:
    """Written for a million of them: no value is made that is not kept."""
    if isinstance(fact, CheckIn | Request | Decision):
        day, domain = day_of(fact), fact.domain or "other"
        for teller, measure, value in tallies.told(fact, tellers):
            place = (day, teller, domain, measure, value)
            counts[place] = counts.get(place, 0) + times


async def _take_back(db: Database, stream: Stream, counts: Counts, taken_back: Sequence[tuple[UUID, Tellers]]) -> None:
    """What was retracted, wherever in the stream it stands: it subtracts what it had added."""
    rows = await streams.find(db, [Mention(stream.key, event_id) for event_id, _ in taken_back])
    found = [streams.stored(stream.ring, stream.audience, row).event for _, row in rows]
    facts = {event.event_id: event.fact for event in found}
    for event_id, tellers in taken_back:
        _count(counts, facts[event_id], tellers, -1)


def difference(told: Counts, kept: Counts) -> Counts:
    """What must be added to the kept counts to make them the told ones."""
    amends = {place: count - kept.get(place, 0) for place, count in told.items() if count != kept.get(place, 0)}
    return amends | {place: -count for place, count in kept.items() if place not in told}
