"""Recompute every tally from the log, beside a running service, and tell where what was kept had differed."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from events import streams
from events.entries import Audience, Fact
from events.rules import Recorded
from events.sealing import Ring
from events.streams import Database, StreamKey
from projections import tallies
from projections.tallies import Key


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


async def rebuild(db: Database, stream: Stream) -> Rebuilt:
    """Set the tallies of one stream to what its log says.

    The lock on the head keeps writers of this stream, and of no other, waiting meanwhile.
    """
    async with db.transaction():
        await streams.lock(db, [stream.key])
        audiences = {stream.key.stream_id: stream.audience}
        log = await streams.read_all(db, stream.ring, stream.key.relationship_id, audiences)
        amends = difference(recount([s.event for s in log], stream), await tallies.kept(db, stream.key))
        await tallies.add(db, amends)
    return Rebuilt(len(log), len(amends))


def recount(log: Sequence[Recorded], stream: Stream) -> Counter[Key]:
    """All counts that the log of a stream comes to."""
    facts: dict[UUID, Fact] = {event.event_id: event.fact for event in log}
    counts: Counter[Key] = Counter()
    for event in log:
        partner = next((author for author in stream.authors if author != event.author), None)
        counts.update(tallies.tally(stream.key, event, partner, facts.__getitem__))
    return counts


def difference(told: Counter[Key], kept: Counter[Key]) -> Counter[Key]:
    """What must be added to the kept counts to make them the told ones."""
    amends = Counter(told)
    amends.subtract(kept)
    return Counter({key: count for key, count in amends.items() if count})
