"""When an entry may be recorded: pure functions of the entry, who records it, what is known and the time.

`decide` asks, `evolve` remembers. A rule may refuse; `evolve` never does, for what was recorded has happened.
"""

from datetime import datetime, timedelta
from typing import Literal, TypeGuard, assert_never
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import replace

from events.entries import (
    Audience,
    CheckIn,
    Decision,
    Ended,
    Entry,
    Erased,
    Fact,
    Opened,
    Opening,
    Request,
    Retraction,
    as_shared,
    audience_of_decision,
    compared,
    complete,
    is_decision_for_both,
    is_of_a_place,
    is_sealed,
    refers_to,
)
from events.errors import (
    AlreadyDecided,
    AlreadyRetracted,
    AlreadyTold,
    ConcernsStayPrivate,
    ConsentRequired,
    EmptyCheckIn,
    ExpiresTooEarly,
    IdTaken,
    IncompleteDecision,
    InTheFuture,
    NotActive,
    NotADecisionForBoth,
    NotAnOpening,
    NotARequest,
    NotARequestToMe,
    NotItsDay,
    NotMine,
    NotRetractable,
    OffsetOfNoPlace,
    OpeningWithdrawn,
    OwnDecision,
    OwnRequest,
    RequestLapsed,
    RequestRetracted,
    SealedAboutNothing,
    SealedForNothing,
    TwoForms,
    UnknownEvent,
)

MAY_BE_AHEAD = timedelta(minutes=5)
LATE_AFTER = timedelta(hours=48)
AUDIENCES: tuple[Audience, ...] = ("shared", "private")  # where both have an id, the shared one is meant


class Recorded(Struct, frozen=True):
    """An event as the log has it. `author` is null for what the service wrote."""

    audience: Audience
    position: int
    event_id: UUID
    author: UUID | None
    recorded_at: datetime
    fact: Fact


class Author(Struct, frozen=True):
    """Who records, and what they are free to do at this moment."""

    author_id: UUID
    consented: bool
    active: bool


class Accepted(Struct, frozen=True):
    """The entry, complete, and the stream that it belongs to."""

    audience: Audience
    entry: Entry


class Known(Struct):
    """What the author can read, as far as the entries at hand touch it."""

    events: dict[tuple[Audience, UUID], Recorded] = field(default_factory=dict)
    taken_back: set[tuple[Audience, UUID]] = field(default_factory=set)
    # Of each author's tellings of a decision, and of the shared decisions that close an opening, the last: none before
    # it stands, or the rules had refused it. So one costs the same, however often it was told and taken back before.
    tellings: dict[tuple[Audience, UUID, UUID | None], Recorded] = field(default_factory=dict)
    closings: dict[UUID, Recorded] = field(default_factory=dict)

    def find(self, event_id: UUID, *audiences: Audience) -> Recorded | None:
        """The event of that id in the first of the given streams that has it."""
        for audience in audiences:
            if (event := self.events.get((audience, event_id))) is not None:
                return event
        return None

    def named_by_retraction(self, event_id: UUID, author_id: UUID) -> Recorded | None:
        """The author's own event of that id, the shared one of two; where none is theirs, whichever there is."""
        named = [event for one in AUDIENCES if (event := self.find(event_id, one))]
        return next((event for event in named if event.author == author_id), named[0] if named else None)

    def retracted(self, event: Recorded) -> bool:
        """Whether the author of the event has taken it back."""
        return (event.audience, event.event_id) in self.taken_back

    def shared_later(self, event: Recorded) -> bool:
        """Whether the author of a private event has shared it too: from then on only the shared one counts."""
        return is_shared_later(event, self.find(event.event_id, "shared"))

    def told_by(self, author_id: UUID, decision_id: UUID) -> list[Recorded]:
        """The author's tellings of that decision that still stand."""
        last = [self.tellings.get((audience, decision_id, author_id)) for audience in AUDIENCES]
        return [one for one in last if one and not self.retracted(one) and not self.shared_later(one)]

    def decided(self, opening_id: UUID) -> bool:
        """Whether a decision for both that both can read, and that still stands, has closed that opening."""
        last = self.closings.get(opening_id)
        return last is not None and not self.retracted(last)


def evolve(known: Known, event: Recorded) -> None:
    """Remember one more event."""
    known.events[event.audience, event.event_id] = event
    match event.fact:
        case Retraction(event_id=target):
            known.taken_back.add((event.audience, target))
        case Decision(about=UUID() as decision_id):
            name = (event.audience, decision_id, event.author)
            known.tellings[name] = _later(known.tellings.get(name), event)
        case Decision(opening_id=UUID() as opening_id) if event.audience == "shared":
            known.closings[opening_id] = _later(known.closings.get(opening_id), event)


def _later(one: Recorded | None, other: Recorded) -> Recorded:
    """The one that has the later place in their stream."""
    return one if one and one.position > other.position else other


def same_but_for_readers(one: Fact, other: Fact) -> bool:
    """Whether two entries say the same, and differ at most in who may read them."""
    if not (isinstance(one, CheckIn | Decision) and isinstance(other, CheckIn | Decision)):
        return False
    return compared(as_shared(one)) == compared(as_shared(other))


def is_shared_later(event: Recorded, shared: Recorded | None) -> bool:
    """Whether an event of the shared stream is what the author of a private one has shared under the same id.

    Then only the shared one counts, whichever was recorded first, and whether it was taken back or not.
    """
    if shared is None or event.audience == "shared" or not isinstance(event.fact, CheckIn | Decision):
        return False
    same_name = (event.event_id, event.author) == (shared.event_id, shared.author)
    return same_name and compared(as_shared(event.fact)) == compared(shared.fact)


def is_late(event: Recorded) -> bool:
    """Whether it was recorded more than 48 hours after it happened."""
    match event.fact:
        case Opened() | Ended() | Erased():
            return False
        case entry:
            return event.recorded_at - entry.occurred_at > LATE_AFTER


def is_occasion(event: Recorded) -> bool:
    """Whether both may be asked after it: by the event alone, whatever anybody's settings are.

    A request, an opening, a decision (also about a request) or a check-in that both can read. Not a late one, from a
    phone that was offline for days: to ask how that was would puzzle. Not a check-in about something, for that was an
    occasion itself, and prompts would follow prompts for ever; whether it answers one is its author's alone. Nor what
    was revealed, for both have just described it. A retraction is nothing that happened.
    """
    if event.audience != "shared" or is_late(event):
        return False
    match event.fact:
        case CheckIn():
            return event.fact.about is None and event.fact.sealed_for is None
        case Request() | Opening() | Decision():
            return True
        case _:
            return False


def decide(entry_id: UUID, entry: Entry, author: Author, known: Known, now: datetime) -> Recorded | Accepted:
    """The first recording, for a replay, or the entry as it is to be recorded.

    Raises a Refusal. A replay comes before every rule about state, consent or time: a phone may retry anything, always.
    """
    first = _replayed(entry_id, entry, author, known)
    if first is None and _is_shared_about_what_is_gone(entry, known):
        # The other was erased while this phone was offline: nobody else can read it, and it is not refused for ever.
        entry = replace(entry, audience="private")
        first = _replayed(entry_id, entry, author, known)
    if first is not None:
        return first
    completed = complete(entry, now)
    audience = audience_of(completed, author.author_id, known)
    if known.find(entry_id, *([audience] if audience else AUDIENCES)) is not None:
        raise IdTaken
    if not author.consented:
        raise ConsentRequired
    if audience == "shared" and not author.active:
        raise NotActive
    if entry.occurred_at > now + MAY_BE_AHEAD:
        raise InTheFuture(now)
    if not is_of_a_place(entry.occurred_at):
        raise OffsetOfNoPlace
    _check(entry_id, completed, author, known)
    return Accepted(audience or "private", completed)


def _is_shared_about_what_is_gone(entry: Entry, known: Known) -> TypeGuard[CheckIn | Decision]:
    target = refers_to(entry)
    return target is not None and isinstance(entry, CheckIn | Decision) and is_shared(entry) and _gone(target, known)


def _gone(event_id: UUID, known: Known) -> bool:
    event = known.find(event_id, "shared")
    return event is not None and isinstance(event.fact, Erased)


def audience_of_new(entry: Entry) -> Audience | None:
    """The stream that the entry goes to, as far as it says so itself; a retraction goes where its target lies."""
    match entry:
        case CheckIn():
            return "shared" if entry.audience == "shared" else "private"
        case Request() | Opening():
            return "shared"
        case Decision():
            return audience_of_decision(entry)
        case Retraction():
            return None
        case _:
            assert_never(entry)


def is_shared(entry: Entry) -> bool:
    """Whether the entry goes to both, as far as it says so itself."""
    return audience_of_new(entry) == "shared"


def stands_alone(entry: Entry) -> bool:
    """Whether nothing in its author's other stream bears on it but an entry of its own id, which it may share.

    No telling there could be the second of a decision.
    """
    match entry:
        case Request() | Opening():
            return True
        case CheckIn():
            return entry.audience != "sealed"
        case Decision() | Retraction():
            return False


def _replayed(entry_id: UUID, entry: Entry, author: Author, known: Known) -> Recorded | None:
    # Of a sealed one that was revealed both streams have a recording: the first is the private one.
    audiences = AUDIENCES[::-1] if is_sealed(entry) else AUDIENCES
    for audience in audiences:
        first = known.find(entry_id, audience)
        if first is not None and first.author == author.author_id and _same(first, entry):
            return first
    return None


def _same(first: Recorded, entry: Entry) -> bool:
    return compared(first.fact) == compared(complete(entry, first.recorded_at))


def audience_of(entry: Entry, author_id: UUID, known: Known) -> Audience | None:
    """The stream that the entry belongs to; none for a retraction of what nobody knows."""
    if not isinstance(entry, Retraction):
        return audience_of_new(entry)
    target = known.named_by_retraction(entry.event_id, author_id)
    return target.audience if target else None


def _check(entry_id: UUID, entry: Entry, author: Author, known: Known) -> None:
    match entry:
        case CheckIn():
            _check_check_in(entry, known)
        case Request():
            _check_request(entry, author, known)
        case Opening():
            pass
        case Decision(request_id=None, outcome=None):
            _check_decision_for_both(entry_id, entry, author, known)
        case Decision():
            _check_answer(entry, author, known)
        case Retraction():
            _check_retraction(entry, author, known)
        case _:
            assert_never(entry)


def _referred(event_id: UUID, audience: Audience | Literal["sealed"] | None, known: Known) -> Recorded:
    """What an entry refers to. One that both will read, now or later, may name only what both can read."""
    readable: list[Audience] = ["shared", "private"] if audience == "private" else ["shared"]
    target = known.find(event_id, *readable)
    if target is None:
        raise UnknownEvent
    return target


def _check_check_in(entry: CheckIn, known: Known) -> None:
    if not (entry.initiated_by or entry.decided_by or entry.felt or entry.words or entry.concerns or entry.note):
        raise EmptyCheckIn
    if entry.concerns and entry.audience != "private":
        raise ConcernsStayPrivate
    if entry.day is not None and (entry.occurred_at.date() - entry.day).days not in (0, 1):
        raise NotItsDay
    if entry.sealed_for is not None and entry.audience != "sealed":
        raise SealedForNothing
    if entry.sealed_for == "about" and entry.about is None:
        raise SealedAboutNothing
    if entry.about is not None:
        _referred(entry.about, entry.audience, known)


def _check_request(entry: Request, author: Author, known: Known) -> None:
    if entry.expires_at is not None and entry.expires_at <= entry.occurred_at:
        raise ExpiresTooEarly
    if entry.expires_at is not None and not is_of_a_place(entry.expires_at):
        raise OffsetOfNoPlace("/expires_at")
    if entry.in_reply_to is not None:
        replied_to = _referred(entry.in_reply_to, "shared", known)
        if not isinstance(replied_to.fact, Request) or replied_to.author == author.author_id:
            raise NotARequestToMe


def _check_answer(entry: Decision, author: Author, known: Known) -> None:
    if entry.domain or entry.text is not None or entry.size or entry.raised_by or entry.decided_by:
        raise TwoForms
    if entry.my_input or entry.as_agreed is not None or entry.about or entry.opening_id:
        raise TwoForms
    if entry.request_id is None or entry.outcome is None:
        raise IncompleteDecision
    if _gone(entry.request_id, known):
        return  # whatever it was
    request = _referred(entry.request_id, entry.audience, known)
    if not isinstance(request.fact, Request):
        raise NotARequest
    if request.author == author.author_id:
        raise OwnRequest
    if known.retracted(request):
        raise RequestRetracted
    if request.fact.expires_at is not None and entry.occurred_at > request.fact.expires_at:
        raise RequestLapsed


def _check_decision_for_both(entry_id: UUID, entry: Decision, author: Author, known: Known) -> None:
    if entry.note is not None:
        raise TwoForms
    if entry.domain is None or entry.decided_by is None:
        raise IncompleteDecision
    if entry.opening_id is not None:
        _check_closing(entry, entry.opening_id, known)
    if entry.about is None:
        return
    decision = _referred(entry.about, entry.audience, known)
    if decision.author == author.author_id:
        raise OwnDecision
    if not (_gone(entry.about, known) or _is_first_telling(decision.fact)):
        raise NotADecisionForBoth
    told = known.told_by(author.author_id, entry.about)
    if any(not (one.event_id == entry_id and same_but_for_readers(one.fact, entry)) for one in told):
        raise AlreadyTold  # but a telling that is shared later tells nothing a second time


def _check_closing(entry: Decision, opening_id: UUID, known: Known) -> None:
    if entry.about is not None:
        raise TwoForms  # a telling of a decision closes nothing: the decision has
    if _gone(opening_id, known):
        return  # whatever it was
    opening = _referred(opening_id, entry.audience, known)
    if not isinstance(opening.fact, Opening):
        raise NotAnOpening
    if known.retracted(opening):
        raise OpeningWithdrawn
    # What its author keeps to themselves closes nothing: it may stand beside a shared one, and says nothing about it.
    if entry.audience == "shared" and known.decided(opening_id):
        raise AlreadyDecided


def _is_first_telling(fact: Fact) -> bool:
    return is_decision_for_both(fact) and fact.about is None


def _check_retraction(entry: Retraction, author: Author, known: Known) -> None:
    target = known.named_by_retraction(entry.event_id, author.author_id)
    if target is None:
        raise UnknownEvent
    if target.author != author.author_id:
        raise NotMine
    if isinstance(target.fact, Retraction | Opened | Ended | Erased):
        raise NotRetractable
    if known.retracted(target):
        raise AlreadyRetracted
