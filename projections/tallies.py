"""Daily counts, added up in the transaction that appends: addition forgets order, delay and grouping.

Every count belongs to the author of its event, in the stream of its event: nobody can put one into the other's telling.
A value is kept relative to that author, so that one count serves both readers.

What is counted is a measure and a value, from a vocabulary that is small and closed (168 pairs, so that a number of one
byte names any of them; with the day and one of ten domains a page needs four bytes for most counts):

    asks                          me
    initiates                     me, partner, both, neither
    decides[:size]                me, partner, both, neither
    agreed                        me, partner, both, neither        who decided, where that was agreed
    roles[:size]                  raised/decided, each of the four  who raised it, and who decided it
    input:decided_by[:size]       not_asked, asked, partly, counted
    felt:item                     1 … 7

The measures of a decision for both end in its size, `decides:big`, where it has one: only few have, so that a further
field would be empty in most rows, and whoever asks for all sizes adds up three measures.
"""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Literal, TypeAlias
from uuid import UUID

from msgspec import Struct

from events.entries import (
    WHO,
    Audience,
    CheckIn,
    Decision,
    Fact,
    Request,
    Retraction,
    Who,
    day_of,
    is_decision_for_both,
    is_sealed,
    other,
)
from events.records import StreamKey
from events.reveals import has_moved
from events.rules import Known, Recorded, is_shared_later

Size = Literal["small", "big"]


class Key(Struct, frozen=True, order=True):
    """What is counted: in which stream, on which day, by which author, in which domain, which value of what."""

    stream: StreamKey
    day: date
    author: UUID
    domain: str
    measure: str
    value: str


# The same but for the day: stream, author, domain, measure, value.
Place: TypeAlias = tuple[StreamKey, UUID, str, str, str]

# What is added to each key.
Counts: TypeAlias = list[tuple[Key, int]]

# An event of a stream by its audience and id, as far as it is known.
Found: TypeAlias = Recorded | None
Find: TypeAlias = Callable[[Audience, UUID], Found]


def recorded(stream: StreamKey, private: StreamKey, event: Recorded, known: Known) -> Counts:
    """What recording an event adds, in its own stream and, where it is shared later, in its author's private one.

    `known` has, of what the author can read, the events of the same id, and those that it refers to: what is taken
    back, and what that or the event itself is about; not yet the event.
    """

    # Types that have names: one that is spelled here is made each time that this is called.
    def find(audience: Audience, event_id: UUID) -> Found:
        return known.find(event_id, audience)

    if event.audience == "private":
        moved = _moves(event, private, known)
        return [] if moved else tally(stream, event, find)
    counts = tally(stream, event, find)
    original = known.find(event.event_id, "private")
    if original is not None and is_shared_later(original, event) and not known.retracted(original):
        counts += [(key, -count) for key, count in tally(private, original, find)]
    return counts


def _moves(event: Recorded, private: StreamKey, known: Known) -> bool:
    """Whether what a private event says, or takes back, counts in the shared stream already."""
    if isinstance(event.fact, Retraction):
        taken_back = known.find(event.fact.event_id, "private")
        return taken_back is not None and has_moved(
            private.stream_id, taken_back, lambda event_id: known.find(event_id, "shared")
        )
    return known.shared_later(event)


def tally(stream: StreamKey, event: Recorded, find: Find) -> Counts:
    """What one event counts in its stream; a retraction subtracts what its target had added, on the target's day."""
    if isinstance(event.fact, Retraction):
        target = find(event.audience, event.fact.event_id)
        return [] if target is None else [(key, -count) for key, count in tally(stream, target, find)]
    if event.author is None or not isinstance(event.fact, CheckIn | Request | Decision):
        return []  # an opening, for one
    day, domain = day_of(event.fact), event.fact.domain or "other"
    counted = told(event.fact, is_counted_already(event, about(event, find)))
    return [(Key(stream, day, event.author, domain, measure, value), 1) for measure, value in counted]


def about(event: Recorded, find: Find) -> Recorded | None:
    """The event that a check-in is about. Where its id names two, the shared one is meant, as everywhere."""
    if not isinstance(event.fact, CheckIn) or event.fact.about is None:
        return None
    shared = find("shared", event.fact.about)
    if shared is not None or event.audience == "shared" or is_sealed(event.fact):
        return shared
    return find("private", event.fact.about)


def is_counted_already(check_in: Recorded, target: Recorded | None) -> bool:
    """Whether what a check-in is about has counted the episode: then it counts only how that felt.

    What was erased counts nothing any more, and so it cannot.
    """
    if target is None:
        return False
    return target.author == check_in.author or isinstance(target.fact, Request) or is_decision_for_both(target.fact)


def told(fact: Fact, counted_already: bool = False) -> Iterator[tuple[str, str]]:
    """What an entry counts: measures and values, relative to its author."""
    match fact:
        case Request(in_reply_to=None):
            yield "asks", "me"
        case CheckIn():
            if not counted_already:
                yield from _told_of_who(fact.initiated_by, fact.decided_by, None)
            for item, answer in (fact.felt or {}).items():
                yield f"felt:{item}", str(answer)
        case Decision(decided_by=None):
            return  # an answer to a request counts nothing, ever
        case Decision():
            yield from _told_of_who(fact.raised_by, fact.decided_by, fact.size)
            if fact.my_input and fact.decided_by and fact.decided_by != "me":
                yield sized(f"input:{fact.decided_by}", fact.size), fact.my_input
            if fact.as_agreed and fact.decided_by:
                yield "agreed", fact.decided_by


def _told_of_who(initiated_by: Who | None, decided_by: Who | None, size: Size | None) -> Iterator[tuple[str, str]]:
    if initiated_by:
        yield "initiates", initiated_by
    if decided_by:
        yield sized("decides", size), decided_by
    if initiated_by and decided_by:
        yield sized("roles", size), f"{initiated_by}/{decided_by}"


def sized(measure: str, size: Size | None) -> str:
    """The measure as it is kept of decisions of that size; of those that tell none, and of check-ins, where null."""
    return measure if size is None else f"{measure}:{size}"


def turned(measure: str, value: str) -> str:
    """A value of the other's, seen from the reader. Only who did something depends on who looks."""
    if measure.startswith("roles"):
        return "/".join(_TURNED[who] for who in value.split("/"))
    if measure.startswith(("asks", "initiates", "decides", "agreed")):
        return _TURNED[value]
    return value


_TURNED: dict[str, Who] = {who: other(who) for who in WHO}
