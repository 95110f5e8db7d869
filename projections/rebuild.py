"""Recompute every tally from the log, beside a running service, and tell where what was kept had differed."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TypeAlias
from uuid import UUID

import msgspec
from msgspec import Struct

from events.encryption import RelationshipKeys
from events.entries import CheckIn, Fact, Retraction, from_text
from events.heads import DbConnection, VersionedHead, lock_heads, touch_head
from events.lookups import find_events, find_sealed
from events.reading import decrypt_row, read_bodies
from events.records import Mention, StreamKey, transposed
from events.reveals import copy_ids, has_moved, things_in
from events.rules import Recorded
from projections import pages, tallies
from projections.pages import Page, PageKey
from projections.tallies import Key, Place


class Stream(Struct, frozen=True):
    """One stream of a relationship, the shared one beside it, and the keys of both."""

    key: StreamKey
    shared: StreamKey
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
    stream is revealed or shared meanwhile either. Raises DecryptionFailed.
    """
    streams = [stream.key for stream in given]
    async with db.transaction():
        heads = await lock_heads(db, streams)
        events, told = await recount(db, given, heads)
        keys = {stream.key.relationship_id: stream.keys for stream in given}
        found = await pages.read_all(db, keys, streams)
        kept = {key: page for key, page in found.items() if page is not None}
        # A page is made from the log alone: one that does not open is written anew, and was as good as none.
        lost = {key: Page() for key in found.keys() - kept.keys()}
        corrections = difference(told, spelled(kept))
        await pages.write(db, keys, lost | amended(kept, corrections))
        for key in {one.stream for one in corrections} | {each.stream for each in lost}:
            await touch_head(db, key)
    return Rebuilt(events, len(corrections))


def spelled(kept: Mapping[PageKey, Page]) -> Counts:
    """What pages count, by place and day."""
    # By numbers first: to spell a place out, and look it up, for each cell took twice as long.
    numbered: dict[tuple[StreamKey, UUID], dict[tuple[int, int, int], dict[int, int]]] = {}
    for key, page in kept.items():
        before, own = pages.first_of(key.month).toordinal() - 1, numbered.setdefault(key[:2], {})
        for measure, value, domain, day, count in pages.cells(page, page):
            days = own.setdefault((measure, value, domain), {})
            days[before + day] = days.get(before + day, 0) + count
    return {
        (stream, author, pages.DOMAINS[domain], pages.MEASURES[measure], _value(measure, value)): days
        for (stream, author), own in numbered.items()
        for (measure, value, domain), days in own.items()
    }


def _value(measure: int, value: int) -> str:
    return pages.VALUES[pages.MEASURES[measure]][value]


def amended(kept: Mapping[PageKey, Page], corrections: Mapping[Key, int]) -> dict[PageKey, Page]:
    """The pages that differ, as they should be."""
    written: dict[PageKey, Page] = {}
    for one, count in corrections.items():
        key = pages.page_of(one)
        pages.add(written.setdefault(key, dict(kept.get(key, {}))), one, count)
    return written


async def recount(
    db: DbConnection, given: Sequence[Stream], heads: Mapping[StreamKey, VersionedHead]
) -> tuple[int, Counts]:
    """How many events of some streams still say something, and all counts that they come to."""
    keys = {stream.key.relationship_id: stream.keys for stream in given}
    summaries = {stream.key: StreamSummary() for stream in given}
    seen = {stream.key: set[UUID]() for stream in given}
    events, counts = 0, Counts()
    async with aclosing(read_bodies(db, keys, heads)) as told:
        async for key, event_ids, bodies in told:
            events += len(bodies)
            seen[key].update(event_ids)
            accumulate(summaries[key], bodies)
    twice = await _ids_in_both(db, given, seen)
    for stream in given:
        counts |= await _counts(db, stream, summaries[stream.key], twice.get(stream.key, set()))
    return events, counts


class EntryFields(Struct, frozen=True, gc=False):
    """An entry's text, as far as it is looked at for each of a million."""

    kind: str
    occurred_at: str = ""
    day: str | None = None
    domain: str | None = None
    about: str | None = None
    in_reply_to: str | None = None
    initiated_by: str | None = None
    decided_by: str | None = None
    raised_by: str | None = None
    my_input: str | None = None
    size: str | None = None
    as_agreed: bool | None = None
    felt: msgspec.Raw = msgspec.Raw()
    audience: str | None = None


# What entries that count alike have in common, but for the day: author, kind, domain, whether it is a counter-offer,
# initiated_by, decided_by, raised_by, my_input, size, as_agreed, and felt as it is written.
TallyShape: TypeAlias = tuple[
    UUID, str, str | None, bool, str | None, str | None, str | None, str | None, str | None, bool | None, bytes
]


class StreamSummary(Struct):
    """What one stream has said: for each shape one of its entries, and its days; then what is not just added."""

    entries: dict[TallyShape, tuple[bytes, list[str]]] = {}
    about: list[tuple[UUID, bytes]] = []  # check-ins of which it matters what they are about: by whom, and their text
    taken_back: list[tuple[UUID, UUID]] = []  # by whom, and what
    sealed_for: set[str] = set()


_skim = msgspec.json.Decoder(list[EntryFields]).decode


def accumulate(summary: StreamSummary, bodies: Sequence[tuple[UUID | None, bytes]]) -> None:
    """Take in a part of a stream. What the service says counts nothing."""
    # All texts at once, and no value that is not needed: to read each entry and to count it took three times as long.
    texts = b"[%b]" % b",".join([body for _, body in bodies])
    for (by, body), one in zip(bodies, _skim(texts), strict=True):
        if by is None:
            continue
        if one.about and one.kind == "check_in" and (one.initiated_by or one.decided_by):
            summary.about.append((by, body))
        else:
            who = (one.initiated_by, one.decided_by, one.raised_by)
            decided = (one.my_input, one.size, one.as_agreed)
            shape = (by, one.kind, one.domain, one.in_reply_to is not None, *who, *decided, bytes(one.felt))
            summary.entries.setdefault(shape, (body, []))[1].append(one.day or one.occurred_at[:10])
        if one.audience == "sealed":
            summary.sealed_for |= things_in([from_text(body)])
        elif one.kind == "retraction":
            summary.taken_back.append((by, _target(body)))


def _target(body: bytes) -> UUID:
    fact = from_text(body)
    assert isinstance(fact, Retraction)
    return fact.event_id


def added_up(key: StreamKey, summary: StreamSummary) -> Counts:
    """What that comes to, as long as nothing is taken back, and nothing matters that something is about."""
    days: defaultdict[Place, list[int]] = defaultdict(list)
    for shape, (body, told_on) in summary.entries.items():
        ordinals = [*map(_ordinal, told_on)]
        for place in _places(key, from_text(body), shape[0]):
            days[place] += ordinals
    return {place: dict(Counter(told_on)) for place, told_on in days.items()}


@lru_cache(10_000)
def _ordinal(day: str) -> int:
    return date.fromisoformat(day).toordinal()


def _places(key: StreamKey, fact: Fact, author: UUID) -> list[Place]:
    domain = getattr(fact, "domain", None) or "other"
    return [(key, author, domain, measure, value) for measure, value in tallies.told(fact)]


async def _counts(db: DbConnection, stream: Stream, summary: StreamSummary, twice: set[UUID]) -> Counts:
    counts = added_up(stream.key, summary)
    about = [_as_event(stream, by, body) for by, body in summary.about]
    moved = await _moved(db, stream, summary.sealed_for, twice)
    # What has moved counts nothing here, whether it was taken back as well or not.
    gone = {event_id for _, event_id in summary.taken_back} - moved.keys()
    taken_back = [*moved.values(), *(await _found(db, stream, gone)).values()]
    find = await _what_they_are_about(db, stream, [*about, *taken_back])
    for event in about:
        _add(counts, tallies.tally(stream.key, event, find), 1)
    for event in taken_back:
        _add(counts, tallies.tally(stream.key, event, find), -1)
    return counts


def _as_event(stream: Stream, by: UUID, body: bytes) -> Recorded:
    """The event that says that, as far as it is looked at here."""
    return Recorded(stream.key.audience, 0, UUID(int=0), by, datetime.min.replace(tzinfo=UTC), from_text(body))


def _add(counts: Counts, added: tallies.Counts, times: int) -> None:
    for key, count in added:
        days = counts.setdefault((key.stream, key.author, key.domain, key.measure, key.value), {})
        day = key.day.toordinal()
        days[day] = days.get(day, 0) + times * count


async def _found(db: DbConnection, stream: Stream, event_ids: Collection[UUID]) -> dict[UUID, Recorded]:
    """Those events of the stream, by id."""
    if not event_ids:
        return {}
    rows = await find_events(db, [Mention(stream.key, event_id) for event_id in event_ids])
    found = [decrypt_row(stream.keys, stream.key, row).event for _, row in rows]
    return {event.event_id: event for event in found}


async def _what_they_are_about(db: DbConnection, stream: Stream, events: Iterable[Recorded]) -> tallies.Find:
    """What the check-ins among the events are about, to be found where the author of each can read it."""
    named = {e.fact.about for e in events if isinstance(e.fact, CheckIn) and e.fact.about}
    if not named:
        return lambda audience, event_id: None
    own = {stream.key.audience: await _found(db, stream, named)}
    found = own | {"shared": await _found(db, _shared_of(stream), named)}
    return lambda audience, event_id: found.get(audience, {}).get(event_id)


def _shared_of(stream: Stream) -> Stream:
    return Stream(stream.shared, stream.shared, stream.keys)


async def _moved(db: DbConnection, stream: Stream, things: set[str], twice: set[UUID]) -> dict[UUID, Recorded]:
    """What of a private stream counts where it lies too, in the shared one: what was revealed, and shared later."""
    if stream.key.audience == "shared" or not (things or twice):
        return {}
    rows = await find_sealed(db, stream.keys, [stream.key], things)
    sealed = [decrypt_row(stream.keys, stream.key, row).event for _, row in rows]
    events = {event.event_id: event for event in sealed} | await _found(db, stream, twice)
    names = {each for event_id in events for each in copy_ids(stream.key.stream_id, event_id)}
    find_shared = (await _found(db, _shared_of(stream), names)).get
    return {
        event_id: event for event_id, event in events.items() if has_moved(stream.key.stream_id, event, find_shared)
    }


# Of a private stream each id is looked for once, by the index that keeps ids apart in the shared one.
IN_BOTH = """
SELECT
    private.relationship_id,
    private.stream,
    private.event_id
FROM unnest($1::uuid[], $2::smallint[]) AS wanted (relationship_id, stream)
JOIN events AS private USING (relationship_id, stream)
JOIN events AS shared
    ON shared.relationship_id = private.relationship_id
    AND shared.stream = 0
    AND shared.event_id = private.event_id
"""


async def _ids_in_both(
    db: DbConnection, given: Sequence[Stream], seen: Mapping[StreamKey, set[UUID]]
) -> dict[StreamKey, set[UUID]]:
    """The ids that each private stream and the shared one of its relationship have both used.

    Mostly both were read; PostgreSQL is asked for the others alone, and while it looked nothing else could be done.
    """
    private = [stream for stream in given if stream.key.audience == "private"]
    found = {one.key: seen[one.key] & seen[one.shared] for one in private if one.shared in seen}
    return found | await _look_in_shared(db, [one.key for one in private if one.shared not in seen])


async def _look_in_shared(db: DbConnection, private: Sequence[StreamKey]) -> dict[StreamKey, set[UUID]]:
    named = {(key.relationship_id, key.number): key for key in private}
    found: defaultdict[StreamKey, set[UUID]] = defaultdict(set)
    if named:
        for relationship_id, number, event_id in await db.fetch(IN_BOTH, *transposed(list(named))):
            found[named[relationship_id, number]].add(event_id)
    return found


def difference(told: Counts, kept: Counts) -> Counter[Key]:
    """What must be added to the kept counts to make them the told ones."""
    # Most are equal as a whole: only where they are not, each day is looked at.
    amiss = [place for place in told.keys() | kept.keys() if told.get(place) != kept.get(place)]
    return Counter({key: count for place in amiss for key, count in _amends(place, told, kept) if count})


def _amends(place: Place, told: Counts, kept: Counts) -> Iterator[tuple[Key, int]]:
    stream, author, domain, measure, value = place
    counts, before = told.get(place, {}), kept.get(place, {})
    for day in counts.keys() | before.keys():
        yield (
            Key(stream, date.fromordinal(day), author, domain, measure, value),
            counts.get(day, 0) - before.get(day, 0),
        )
