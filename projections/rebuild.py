"""Recompute every tally from the log, beside a running service, and tell where what was kept had differed."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import date
from functools import lru_cache
from typing import TypeAlias
from uuid import UUID

import msgspec
from msgspec import Struct

from events.chain import Head
from events.encryption import RelationshipKeys
from events.entries import Audience, CheckIn, Decision, Fact, Request, Retraction, day_of, from_text
from events.heads import DbConnection, lock_heads, shared_stream_of, touch_head
from events.lookups import find_events, find_sealed
from events.reading import decrypt_row, read_bodies
from events.records import Mention, StreamKey
from events.reveals import copy_ids, is_revealed, things_in
from events.rules import Recorded
from projections import tallies
from projections.tallies import Key, Place, Tellers


class Stream(Struct, frozen=True):
    """One stream, and the author ids of the one or two members of its relationship."""

    key: StreamKey
    audience: Audience
    authors: tuple[UUID, ...]
    keys: RelationshipKeys


class Rebuilt(Struct, frozen=True):
    """What streams came to: how many events were read, how many counts had differed and were set right."""

    events: int
    differences: int


# How often, by the ordinal of the day.
Counts: TypeAlias = dict[Place, dict[int, int]]


async def rebuild(db: DbConnection, given: Sequence[Stream]) -> Rebuilt:
    """Set the tallies of streams to what their log says; where something does not open, those of none of them.

    The locks on the heads keep writers of these streams, and of no other, waiting meanwhile; so nothing of a private
    stream is revealed meanwhile either. Raises Unreadable.
    """
    streams = [stream.key for stream in given]
    async with db.transaction():
        heads = await lock_heads(db, streams)
        events, told = await recount(db, given, heads)
        amends = difference(told, await tallies.kept(db, streams))
        await tallies.add(db, amends)
        for key in {amended.stream for amended in amends}:
            await touch_head(db, key)
    return Rebuilt(events, len(amends))


async def recount(db: DbConnection, given: Sequence[Stream], heads: Mapping[StreamKey, Head]) -> tuple[int, Counts]:
    """How many events of some streams still say something, and all counts that they come to."""
    keys = {stream.key.relationship_id: stream.keys for stream in given}
    said = {stream.key: Said() for stream in given}
    events, counts = 0, Counts()
    async with aclosing(read_bodies(db, keys, heads)) as told:
        async for key, bodies in told:
            events += len(bodies)
            hear(said[key], bodies)
    for stream in given:
        counts |= await _counts(db, stream, said[stream.key])
    return events, counts


class Skimmed(Struct, frozen=True, gc=False):
    """An entry's text, as far as it is looked at for each of a million."""

    kind: str
    occurred_at: str = ""
    domain: str | None = None
    initiated_by: str | None = None
    decided_by: str | None = None
    raised_by: str | None = None
    my_input: str | None = None
    felt: msgspec.Raw = msgspec.Raw()
    audience: str | None = None


# What entries that count alike have in common, but for the day: author, kind, domain, initiated_by, decided_by,
# raised_by, my_input, and felt as it is written.
Gist: TypeAlias = tuple[UUID, str, str | None, str | None, str | None, str | None, str | None, bytes]


class Said(Struct):
    """What one stream has said: for each gist one of its entries, and its days; then what is not just added."""

    entries: dict[Gist, tuple[bytes, list[str]]] = {}
    taken_back: list[tuple[UUID, UUID]] = []  # by whom, and what
    sealed_for: set[str] = set()


_skim = msgspec.json.Decoder(list[Skimmed]).decode


def hear(said: Said, bodies: Sequence[tuple[UUID | None, bytes]]) -> None:
    """Take in a part of a stream. What the service says counts nothing."""
    # All texts at once, and no value that is not needed: to read each entry and to count it took three times as long.
    texts = b"[%b]" % b",".join([body for _, body in bodies])
    for (by, body), one in zip(bodies, _skim(texts), strict=True):
        if by is None:
            continue
        who = (one.initiated_by, one.decided_by, one.raised_by)
        gist = (by, one.kind, one.domain, *who, one.my_input, bytes(one.felt))
        said.entries.setdefault(gist, (body, []))[1].append(one.occurred_at[:10])
        if one.audience == "sealed":
            said.sealed_for |= things_in([from_text(body)])
        elif one.kind == "retraction":
            said.taken_back.append((by, _target(body)))


def _target(body: bytes) -> UUID:
    fact = from_text(body)
    assert isinstance(fact, Retraction)
    return fact.event_id


def added_up(key: StreamKey, tellers: Mapping[UUID, Tellers], said: Said) -> Counts:
    """What that comes to, as long as nothing is taken back."""
    days: defaultdict[Place, list[int]] = defaultdict(list)
    for gist, (body, told_on) in said.entries.items():
        ordinals = [*map(_ordinal, told_on)]
        for place in _places(key, from_text(body), tellers[gist[0]]):
            days[place] += ordinals
    return {place: dict(Counter(told_on)) for place, told_on in days.items()}


@lru_cache(10_000)
def _ordinal(day: str) -> int:
    return date.fromisoformat(day).toordinal()


def _places(key: StreamKey, fact: Fact, tellers: Tellers) -> list[Place]:
    if not isinstance(fact, CheckIn | Request | Decision):
        return []
    domain = fact.domain or "other"
    return [(key, teller, domain, measure, value) for teller, measure, value in tallies.told(fact, tellers)]


async def _counts(db: DbConnection, stream: Stream, said: Said) -> Counts:
    tellers = {author: Tellers(author, _other(stream, author)) for author in stream.keys.authors}
    counts = added_up(stream.key, tellers, said)
    revealed = await _revealed(db, stream, said.sealed_for)
    for event in revealed.values():
        if event.author:
            _take_back(counts, stream.key, event.fact, tellers[event.author])
    kept = [(by, event_id) for by, event_id in said.taken_back if event_id not in revealed]
    facts = await _facts(db, stream, [event_id for _, event_id in kept])
    for by, event_id in kept:
        _take_back(counts, stream.key, facts[event_id], tellers[by])
    return counts


async def _facts(db: DbConnection, stream: Stream, event_ids: Sequence[UUID]) -> dict[UUID, Fact]:
    if not event_ids:
        return {}
    rows = await find_events(db, [Mention(stream.key, event_id) for event_id in event_ids])
    found = [decrypt_row(stream.keys, stream.audience, row).event for _, row in rows]
    return {event.event_id: event.fact for event in found}


def _take_back(counts: Counts, key: StreamKey, fact: Fact, tellers: Tellers) -> None:
    """What was retracted, wherever in the stream it stands, subtracts what it had added."""
    for place in _places(key, fact, tellers):
        assert isinstance(fact, CheckIn | Request | Decision)
        counts[place][day_of(fact).toordinal()] -= 1


async def _revealed(db: DbConnection, stream: Stream, things: set[str]) -> dict[UUID, Recorded]:
    """What of a private stream counts where its copy lies, in the shared one, whether that was retracted or not."""
    if stream.audience == "shared" or not things:
        return {}
    rows = await find_sealed(db, stream.keys, [stream.key], things)
    sealed = [decrypt_row(stream.keys, "private", row).event for _, row in rows]
    find = await _copies(db, stream, sealed)
    return {event.event_id: event for event in sealed if is_revealed(stream.key.stream_id, event, find)}


async def _copies(db: DbConnection, stream: Stream, sealed: Iterable[Recorded]) -> Callable[[UUID], Recorded | None]:
    shared = await shared_stream_of(db, stream.key.relationship_id)
    names = {each for event in sealed for each in copy_ids(stream.key.stream_id, event.event_id)}
    rows = await find_events(db, [Mention(shared, each) for each in names])
    found = [decrypt_row(stream.keys, "shared", row).event for _, row in rows]
    return {event.event_id: event for event in found}.get


def _other(stream: Stream, author: UUID) -> UUID | None:
    return next((other for other in stream.authors if other != author), None)


def difference(told: Counts, kept: Counts) -> Counter[Key]:
    """What must be added to the kept counts to make them the told ones."""
    # Most are equal as a whole: only where they are not, each day is looked at.
    amiss = [place for place in told.keys() | kept.keys() if told.get(place) != kept.get(place)]
    return Counter({key: count for place in amiss for key, count in _amends(place, told, kept) if count})


def _amends(place: Place, told: Counts, kept: Counts) -> Iterator[tuple[Key, int]]:
    stream, teller, domain, measure, value = place
    counts, before = told.get(place, {}), kept.get(place, {})
    for day in counts.keys() | before.keys():
        yield (
            Key(stream, date.fromordinal(day), teller, domain, measure, value),
            counts.get(day, 0) - before.get(day, 0),
        )
