"""Why an entry is not recorded. The docstring is the sentence that the phone shows.

Exception
 ├─ UnknownKind               the log holds what this version cannot read
 └─ Refusal
     ├─ IdTaken
     ├─ ConsentRequired
     ├─ NotActive
     ├─ UnknownEvent
     └─ RuleBroken
         ├─ InTheFuture, OffsetOfNoPlace, NotItsDay, EmptyCheckIn, ConcernsStayPrivate, ExpiresTooEarly
         ├─ SealedForNothing, SealedAboutNothing
         ├─ NotARequestToMe, NotARequest, OwnRequest, RequestLapsed, RequestRetracted
         ├─ TwoForms, IncompleteDecision
         ├─ OwnDecision, NotADecisionForBoth, AlreadyTold
         ├─ NotAnOpening, OpeningWithdrawn, AlreadyDecided
         └─ NotMine, NotRetractable, AlreadyRetracted
"""

from datetime import datetime


class UnknownKind(Exception):
    """The log holds an event of a kind that this version does not know."""


class Refusal(Exception):
    """The entry is not recorded."""

    code = "refused"
    pointer = ""

    @property
    def detail(self) -> str:
        """The sentence for the phone."""
        return " ".join((type(self).__doc__ or "").split())


class IdTaken(Refusal):
    """This id already names another entry; record this one under an id of its own."""

    code = "id_taken"


class ConsentRequired(Refusal):
    """Recording, inviting, accepting and confirming need your consent: PUT /v1/me/consent with the current version."""

    code = "consent_required"


class NotActive(Refusal):
    """Shared entries need a relationship that both have joined and nobody has left; private ones always work."""

    code = "relationship_not_active"


class UnknownEvent(Refusal):
    """The entry refers to an event that does not exist or that cannot be read by all who will read the entry."""

    code = "unknown_event"


class RuleBroken(Refusal):
    """The entry breaks a rule."""

    code = "rule_broken"


class InTheFuture(RuleBroken):
    """occurred_at may lie at most 5 minutes in the future."""

    code = "in_the_future"
    pointer = "/occurred_at"

    def __init__(self, server_time: datetime | None = None) -> None:
        super().__init__()
        self.server_time = server_time


class OffsetOfNoPlace(RuleBroken):
    """A time has the offset of a place, from -12:00 to +14:00."""

    code = "invalid"

    def __init__(self, pointer: str = "/occurred_at") -> None:
        super().__init__()
        self.pointer = pointer


class NotItsDay(RuleBroken):
    """day is the calendar date of occurred_at or, for what is told after midnight, the date before it."""

    code = "not_its_day"
    pointer = "/day"


class EmptyCheckIn(RuleBroken):
    """A check-in needs at least one of initiated_by, decided_by, felt, words, concerns and note."""

    code = "empty_check_in"


class ConcernsStayPrivate(RuleBroken):
    """Concerns go into a private check-in only: nobody else is to read them."""

    code = "concerns_stay_private"
    pointer = "/concerns"


class SealedForNothing(RuleBroken):
    """sealed_for goes with the audience sealed only."""

    code = "sealed_for_nothing"
    pointer = "/sealed_for"


class SealedAboutNothing(RuleBroken):
    """A check-in that is sealed for what it is about needs about."""

    code = "sealed_about_nothing"
    pointer = "/about"


class ExpiresTooEarly(RuleBroken):
    """A request must expire after it was made."""

    code = "expires_too_early"
    pointer = "/expires_at"


class NotARequestToMe(RuleBroken):
    """in_reply_to must name a request that the other member made."""

    code = "not_a_request_to_me"
    pointer = "/in_reply_to"


class OwnRequest(RuleBroken):
    """request_id must name a request that the other member made; your own can be retracted, not decided."""

    code = "own_request"
    pointer = "/request_id"


class NotARequest(RuleBroken):
    """request_id names something that is not a request."""

    code = "not_a_request"
    pointer = "/request_id"


class RequestLapsed(RuleBroken):
    """This decision was made after the request had lapsed."""

    code = "request_lapsed"
    pointer = "/occurred_at"


class RequestRetracted(RuleBroken):
    """The request was taken back by the one who made it."""

    code = "request_retracted"
    pointer = "/request_id"


class TwoForms(RuleBroken):
    """A decision is either about a request (request_id, outcome, note) or for both of you (domain, decided_by, text,
    size, raised_by, my_input, as_agreed, about); this one mixes the two."""

    code = "two_forms"


class IncompleteDecision(RuleBroken):
    """A decision about a request needs request_id and outcome; a decision for both of you needs domain and
    decided_by."""

    code = "incomplete_decision"


class OwnDecision(RuleBroken):
    """about must name a decision that the other member recorded; your own is already your telling."""

    code = "own_decision"
    pointer = "/about"


class NotADecisionForBoth(RuleBroken):
    """about must name a decision for both of you that the other member recorded first."""

    code = "not_a_decision_for_both"
    pointer = "/about"


class AlreadyTold(RuleBroken):
    """You have told this decision already; retract that telling to tell it anew."""

    code = "already_told"
    pointer = "/about"


class NotAnOpening(RuleBroken):
    """opening_id must name an opening."""

    code = "not_an_opening"
    pointer = "/opening_id"


class OpeningWithdrawn(RuleBroken):
    """This opening was withdrawn; what is decided all the same is recorded without it."""

    code = "opening_withdrawn"
    pointer = "/opening_id"


class AlreadyDecided(RuleBroken):
    """This opening was decided. How you tell that decision goes into one of your own about it."""

    code = "already_decided"
    pointer = "/opening_id"


class NotMine(RuleBroken):
    """Only your own entries can be retracted."""

    code = "not_mine"
    pointer = "/event_id"


class NotRetractable(RuleBroken):
    """Only check-ins, requests and decisions can be retracted."""

    code = "not_retractable"
    pointer = "/event_id"


class AlreadyRetracted(RuleBroken):
    """This entry was retracted before; once is enough."""

    code = "already_retracted"
    pointer = "/event_id"
