"""When sealed check-ins are revealed: as soon as both members have sealed one for the same thing, and then once.

What is revealed is a copy in the shared stream, of the same body and the same author; the original stays in its private
stream. The copy has the original's id or, where that is taken in the shared stream, one that follows from it: so it is
known for ever, and without a further record, which original was revealed.
"""

from collections.abc import Callable, Iterable
from uuid import UUID

from msgspec import Struct

from events.chain import digest
from events.entries import Fact, Retraction, is_sealed, thing_of, to_text
from events.rules import Known, Recorded, is_shared_later


class Original(Struct, frozen=True):
    """A sealed check-in, and the private stream in which it lies."""

    stream_id: UUID
    event: Recorded


class Copy(Struct, frozen=True):
    """What both are to read, and under which id."""

    event_id: UUID
    original: Original


def things_in(facts: Iterable[Fact]) -> set[str]:
    """What those of the facts that are sealed are sealed for. Entries must be complete."""
    return {thing_of(fact) for fact in facts if is_sealed(fact)}


def oldest(
    stream_id: UUID, events: Iterable[Recorded], thing: str, find_shared: Callable[[UUID], Recorded | None]
) -> Original | None:
    """The check-in of a private stream that waits longest for the other's: neither taken back nor shared meanwhile."""
    given = list(events)
    gone = {event.fact.event_id for event in given if isinstance(event.fact, Retraction)}
    sealed = [e for e in given if is_sealed(e.fact) and thing_of(e.fact) == thing and e.event_id not in gone]
    waiting = [e for e in sealed if not is_shared_later(e, find_shared(e.event_id))]
    first = min(waiting, key=lambda event: event.position, default=None)
    return Original(stream_id, first) if first else None


def reveal(one: Original, other: Original, known: Known) -> list[Copy]:
    """The copies of what the two have sealed for the same thing, in their order; none where it was revealed before.

    `known` has all of the shared stream that is for the thing, or has an id that a copy could have.
    """
    shared = {event_id: event.fact for (audience, event_id), event in known.events.items() if audience == "shared"}
    if things_in([one.event.fact]) <= things_in(shared.values()):
        return []
    copies: list[Copy] = []
    for original in sorted((one, other), key=_order):
        taken = {*shared, *(copy.event_id for copy in copies)}
        free = [each for each in copy_ids(original.stream_id, original.event.event_id) if each not in taken]
        if not free:
            return []  # nobody but its author could have taken the second
        copies.append(Copy(free[0], original))
    return copies


def _order(original: Original) -> tuple[UUID, bytes, str]:
    # Both may have used one id. Then what they say decides, so that members changed for each other change nothing else.
    return original.event.event_id, to_text(original.event.fact), str(original.event.author)


def copy_ids(stream_id: UUID, event_id: UUID) -> tuple[UUID, UUID]:
    """The ids that the copy of an original may have: its own, and the one for where that is taken.

    The second is known to whom the private stream's id is known, and so to its author alone.
    """
    derived = digest("mutuality/copy/v1", stream_id.bytes, event_id.bytes)
    return event_id, UUID(bytes=derived[:16], version=4)


def is_revealed(stream_id: UUID, event: Recorded, find_shared: Callable[[UUID], Recorded | None]) -> bool:
    """Whether an event of a private stream is the original of a copy."""
    found = [find_shared(each) for each in copy_ids(stream_id, event.event_id)] if is_sealed(event.fact) else []
    return any(one is not None and one.author == event.author and _same(one.fact, event.fact) for one in found)


def has_moved(stream_id: UUID, event: Recorded, find_shared: Callable[[UUID], Recorded | None]) -> bool:
    """Whether what an event of a private stream says counts in the shared one: it was revealed, or shared later."""
    return is_shared_later(event, find_shared(event.event_id)) or is_revealed(stream_id, event, find_shared)


def _same(one: Fact, other: Fact) -> bool:
    return to_text(one) == to_text(other)
