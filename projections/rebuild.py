"""Recompute every tally from the log, beside a running service, and tell where what was kept had differed."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from events import streams
from events.entries import Audience, CheckIn, Decision, Fact, Request, Retraction, day_of
from events.reveals import copy_ids, is_revealed, things_in
from events.rules import Recorded
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

    The lock on the head keeps writers of this stream, and of no other, waiting meanwhile; so nothing of a private
    stream is revealed meanwhile either.
    """
    async with db.transaction():
        await streams.lock(db, [stream.key])
        events, told = await recount(db, stream)
        amends = difference(told, await tallies.kept(db, stream.key))
        await tallies.add(db, {Key(stream.key, *place): count for place, count in amends.items()})
        if amends:
            await streams.touch(db, stream.key)
    return Rebuilt(events, len(amends))


async def recount(db: Database, stream: Stream) -> tuple[int, Counts]:
    """How many events of a stream still say something, and all counts that they come to."""
    tellers = {author: Tellers(author, _other(stream, author)) for author in stream.ring.authors}
    events, counts, taken_back, things = 0, Counts(), list[tuple[UUID, Tellers]](), set[str]()
    async for part in streams.facts(db, stream.ring, stream.key):
        events += len(part)
        if stream.audience == "private":
            things |= things_in(fact for _, fact in part)
        for author, fact in part:
            if isinstance(fact, Retraction) and author:
                taken_back.append((fact.event_id, tellers[author]))
            elif author:
                _count(counts, fact, tellers[author], 1)
    revealed = await _revealed(db, stream, things)
    for event in revealed.values():
        if event.author:
            _count(counts, event.fact, tellers[event.author], -1)
    await _take_back(db, stream, counts, [one for one in taken_back if one[0] not in revealed])
    return events, counts


async def _revealed(db: Database, stream: Stream, things: set[str]) -> dict[UUID, Recorded]:
    """What of a private stream counts where its copy lies, in the shared one, whether that was retracted or not."""
    if not things:
        return {}
    rows = await streams.find_sealed(db, stream.ring, [stream.key], things)
    sealed = [streams.stored(stream.ring, "private", row).event for _, row in rows]
    find = await _copies(db, stream, sealed)
    return {event.event_id: event for event in sealed if is_revealed(stream.key.stream_id, event, find)}


async def _copies(db: Database, stream: Stream, sealed: Iterable[Recorded]) -> Callable[[UUID], Recorded | None]:
    shared = await streams.shared_of(db, stream.key.relationship_id)
    names = {each for event in sealed for each in copy_ids(stream.key.stream_id, event.event_id)}
    rows = await streams.find(db, [Mention(shared, each) for each in names])
    found = [streams.stored(stream.ring, "shared", row).event for _, row in rows]
    return {event.event_id: event for event in found}.get


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
