"""When sealed check-ins are revealed: as soon as both members have sealed one for the same thing, and can be compared.

What is revealed is a copy in the shared stream, of the same body and the same author; the original stays in its private
stream. The copy has the original's id or, where that is taken in the shared stream, one that follows from it: so it is
known for ever, and without a further record, which original was revealed.
"""

from collections.abc import Callable, Iterable
from uuid import UUID

from msgspec import Struct

from events.chain import digest
from events.entries import CheckIn, Fact, Retraction, day_of, is_sealed, thing_of, to_text
from events.rules import Known, Recorded, is_late, is_shared_later

# As many as the catalogue has questions. What somebody answers beyond that is not compared.
MAX_ANSWERS = 16


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


def answers_of(check_in: CheckIn) -> list[str]:
    """What another's can be compared with: each felt item and each question that was answered in words.

    White space answers nothing: for that nobody is to show what they have said.
    """
    felt = [f"felt {item}" for item in sorted(check_in.felt or {})]
    words = [f"words {question}" for question, text in sorted((check_in.words or {}).items()) if text.strip()]
    return [*felt, *words][:MAX_ANSWERS]


def may_be_revealed(event: Recorded) -> bool:
    """Whether a sealed check-in, as it was recorded, may ever be shown for the other's.

    Not one that was late, nor one of a day that had not come yet where its author was: of days gone by, and of days to
    come, one could seal anything to read what the other has sealed.
    """
    if not is_sealed(event.fact) or is_late(event):
        return False
    today = event.recorded_at.astimezone(event.fact.occurred_at.tzinfo).date()
    return day_of(event.fact) <= today


def waiting(
    stream_id: UUID, events: Iterable[Recorded], find_shared: Callable[[UUID], Recorded | None]
) -> list[Original]:
    """What waits of a private stream, the oldest first: neither taken back, nor shared meanwhile, nor revealed."""
    given = list(events)
    gone = {event.fact.event_id for event in given if isinstance(event.fact, Retraction)}
    sealed = [e for e in given if may_be_revealed(e) and e.event_id not in gone]
    left = [e for e in sealed if not has_moved(stream_id, e, find_shared)]
    return [Original(stream_id, event) for event in sorted(left, key=lambda event: event.position)]


def partner_of(sealed: Recorded, others: Iterable[Original]) -> Original | None:
    """The first of the other's that is for the same thing and has an answer to what this one answers too."""
    if not (is_sealed(sealed.fact) and may_be_revealed(sealed)):
        return None
    thing, answers = thing_of(sealed.fact), set(answers_of(sealed.fact))
    facts = ((other, other.event.fact) for other in others)
    same = (other for other, fact in facts if is_sealed(fact) and thing_of(fact) == thing and _meets(answers, fact))
    return next(same, None)


def _meets(answers: set[str], check_in: CheckIn) -> bool:
    return not answers.isdisjoint(answers_of(check_in))


def reveal(one: Original, other: Original, known: Known) -> list[Copy]:
    """The copies of what the two have sealed for the same thing, in their order.

    `known` has all of the shared stream that has an id that a copy could have. None where both ids of one are taken:
    nobody but its author could have taken the second.
    """
    copies: list[Copy] = []
    for original in sorted((one, other), key=_order):
        taken = {copy.event_id for copy in copies}
        names = [each for each in copy_ids(original.stream_id, original.event.event_id) if each not in taken]
        free = [each for each in names if known.find(each, "shared") is None]
        if not free:
            return []
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
