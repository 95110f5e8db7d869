"""The five things a phone records, the two that the service does, and their text in the log."""

from datetime import date, datetime, timedelta
from typing import Annotated, Literal, TypeAlias, TypeGuard, get_args
from uuid import UUID

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from events.errors import UnknownKind

Who = Literal["me", "partner", "both", "neither"]
Domain = Literal["home", "money", "time", "intimacy", "family", "friends", "parenting", "plans", "chores", "other"]
FeltItem = Literal[
    "valued", "heard", "room_for_me", "free_to_say_no", "fair", "close", "enjoyed", "satisfied", "conflict"
]
Audience = Literal["shared", "private"]
EntryKind = Literal["check_in", "request", "opening", "decision", "retraction"]
MyInput = Literal["not_asked", "asked", "partly", "counted"]
Concern = Literal[
    "criticised",
    "mocked",
    "overruled",
    "kept_from_friends",
    "jealousy",
    "smothered",
    "pressured",
    "afraid",
    "hurt",
    "to_keep_peace",
]

WHO: tuple[Who, ...] = get_args(Who)
FELT_ITEMS: tuple[FeltItem, ...] = get_args(FeltItem)

REQUEST_OPEN_FOR = timedelta(days=7)
WESTERNMOST, EASTERNMOST = timedelta(hours=-12), timedelta(hours=14)

# PostgreSQL keeps no NUL in a text, and a note that one system can hold and another cannot is a lost note.
Text = Annotated[str, Meta(max_length=2000, pattern=r"^[^\x00]*$", description="At most 2,000 characters, no NUL.")]
OccurredAt = Annotated[
    datetime,
    Meta(
        tz=True,
        description="When it happened, RFC 3339 with the offset of the place; its own calendar date is the day. "
        "At most 5 minutes in the future, any time in the past.",
    ),
]
Felt = Annotated[int, Meta(ge=1, le=7, description="1 (not at all) to 7 (very much), a whole number.")]


class CheckIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How something was, in the words and numbers of the one who records it.

    At least one of initiated_by, decided_by, felt, words, concerns and note. Private unless `audience` says otherwise.

    A sealed one stays private until the other member has sealed one for the same thing that answers one of the same
    felt items or questions, while both consent, both on time (not late) and neither for a day to come. At that moment
    both are copied into the shared stream, and until then neither can tell that the other's exists.
    """

    occurred_at: OccurredAt
    day: (
        Annotated[
            date,
            Meta(
                description="The day that it is told of: the calendar date of occurred_at, or the one before, for who "
                "answers after midnight. Left out: the date of occurred_at."
            ),
        ]
        | None
    ) = None
    domain: Domain | None = None
    about: Annotated[UUID, Meta(description="The event that this is about.")] | None = None
    prompt_id: (
        Annotated[
            UUID, Meta(description="The prompt that this answers. It is no part of the entry, and is read by nobody.")
        ]
        | None
    ) = None
    initiated_by: Who | None = None
    decided_by: Who | None = None
    felt: dict[FeltItem, Felt] | None = None
    words: dict[Text, Text] | None = None
    concerns: (
        Annotated[
            list[Concern],
            Meta(
                max_length=10,
                description="What weighs on me, in a private check-in alone: it counts nowhere, and stands in my own "
                "events and my export only. For 90 days no question asks for my own part. GET /v1/help names places "
                "to turn to.",
            ),
        ]
        | None
    ) = None
    note: Text | None = None
    audience: Literal["private", "shared", "sealed"] | None = None
    sealed_for: (
        Annotated[
            Literal["about", "day", "week"],
            Meta(
                description="What it is sealed for: the event that it is about, its day, or its ISO week (Monday to "
                "Sunday). Left out: the event if it is about one, else the day."
            ),
        ]
        | None
    ) = None


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One member asks the other for something. Always shared.

    Open until decided, retracted or expired: by default 7 days after recording.
    """

    occurred_at: OccurredAt
    domain: Domain
    text: Text | None = None
    in_reply_to: Annotated[UUID, Meta(description="The other member's request that this one answers.")] | None = None
    expires_at: Annotated[datetime, Meta(tz=True, description="When it lapses, RFC 3339.")] | None = None


class Opening(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Something is to be decided for both of us, and nobody has decided yet. Always shared; it counts nothing.

    Each may say a view before: in a check-in `about` it, with the words my_view and their_sense, shared, or sealed for
    it, so that nobody's view stands before the other's. A shared decision with its `opening_id` closes it. For things
    that both live with, never for somebody's consent.
    """

    occurred_at: OccurredAt
    domain: Domain
    text: Text | None = None
    size: Literal["small", "big"] | None = None


class Decision(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A decision, in one of two forms.

    About a request made to me: `request_id`, `outcome`, and perhaps `note`.
    For both of us: `domain`, `decided_by`, and perhaps `text`, `size`, `raised_by`, `my_input`, `as_agreed`, and
    `opening_id` or `about`.
    """

    occurred_at: OccurredAt
    request_id: Annotated[UUID, Meta(description="The request, made to me, that this decides.")] | None = None
    outcome: Literal["yes", "not_now", "no"] | None = None
    note: Text | None = None
    domain: Domain | None = None
    text: Text | None = None
    size: Literal["small", "big"] | None = None
    raised_by: Who | None = None
    decided_by: Who | None = None
    my_input: MyInput | None = None
    as_agreed: Annotated[bool, Meta(description="Whether we had agreed who is to decide this.")] | None = None
    opening_id: (
        Annotated[UUID, Meta(description="The opening that this decides. A shared one closes it, once.")] | None
    ) = None
    about: Annotated[UUID, Meta(description="The other's decision, of which this is my telling.")] | None = None
    audience: Audience | None = None


class Retraction(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Takes back one of my own entries. Both stay in the log; the counts of the entry are undone on its day."""

    occurred_at: OccurredAt
    event_id: Annotated[UUID, Meta(description="The entry of mine to take back.")]


class Opened(Struct, frozen=True):
    """Both members are in."""


class Ended(Struct, frozen=True):
    """One of the two has left; it is not said which."""


class Erased(Struct, frozen=True):
    """What an erased member had recorded: only that it was."""


Entry: TypeAlias = CheckIn | Request | Opening | Decision | Retraction
Fact: TypeAlias = Entry | Opened | Ended | Erased
Kind = Literal["check_in", "request", "opening", "decision", "retraction", "opened", "ended", "erased"]

TYPES: dict[str, type[Fact]] = {
    "check_in": CheckIn,
    "request": Request,
    "opening": Opening,
    "decision": Decision,
    "retraction": Retraction,
    "opened": Opened,
    "ended": Ended,
    "erased": Erased,
}
KINDS: dict[type[Fact], Kind] = dict(zip(TYPES.values(), get_args(Kind), strict=True))

_encoder = msgspec.json.Encoder(order="deterministic")
# That something is erased is seen from what is missing; no text ever says so.
_decoders = {kind: msgspec.json.Decoder(fact) for kind, fact in TYPES.items() if fact is not Erased}


def complete(entry: Entry, recorded_at: datetime) -> Entry:
    """The entry with its defaults filled in, as it is recorded; which prompt it answers is no part of it.

    A replay is completed with the time of the first recording, so that the same body stays the same.
    """
    match entry:
        case CheckIn():
            return replace(entry, prompt_id=None, audience=entry.audience or "private", sealed_for=_sealed_for(entry))
        case Request(expires_at=None):
            return replace(entry, expires_at=recorded_at + REQUEST_OPEN_FOR)
        case Decision(audience=None):
            return replace(entry, audience=audience_of_decision(entry))
        case _:
            return entry


def _sealed_for(entry: CheckIn) -> Literal["about", "day", "week"] | None:
    if entry.audience != "sealed" or entry.sealed_for is not None:
        return entry.sealed_for
    return "day" if entry.about is None else "about"


def is_of_a_place(at: datetime) -> bool:
    """Whether the offset of the time is in use anywhere."""
    offset = at.utcoffset()
    return offset is not None and WESTERNMOST <= offset <= EASTERNMOST


def audience_of_decision(decision: Decision) -> Audience:
    """Who reads it: a no stays with its author unless they share it."""
    return decision.audience or ("shared" if decision.outcome == "yes" else "private")


def to_text(fact: Fact) -> bytes:
    """The JSON text that the log keeps: flat, its kind first, the same bytes for the same values."""
    fields = _encoder.encode(fact)
    kind = b'{"kind":"%s"' % KINDS[type(fact)].encode()
    return kind + b"}" if fields == b"{}" else kind + b"," + fields[1:]


def from_text(text: bytes) -> Fact:
    """The reverse of `to_text`.

    Raises UnknownKind for a text that this version cannot have written.
    """
    head, comma, fields = text.partition(b",")
    kind = head.removeprefix(b'{"kind":"').partition(b'"')[0].decode()
    if kind not in _decoders:
        raise UnknownKind(kind)
    return _decoders[kind].decode(b"{" + fields if comma else b"{}")


def compared(fact: Fact) -> bytes:
    """What two recordings are compared by, once complete: a day that is given and is the default says nothing more.

    Texts, not values: two times are equal in Python when only their offsets differ, but then the day may not be.
    """
    if isinstance(fact, CheckIn) and fact.day == fact.occurred_at.date():
        fact = replace(fact, day=None)
    return to_text(fact)


def as_shared(fact: CheckIn | Decision) -> CheckIn | Decision:
    """The entry as it is where its author shares it, now or later."""
    match fact:
        case CheckIn():
            return replace(fact, audience="shared", sealed_for=None)
        case Decision():
            return replace(fact, audience="shared")


def day_of(entry: CheckIn | Request | Opening | Decision) -> date:
    """The day that it counts on: the one that it says it is told of, or the calendar date where it happened."""
    if isinstance(entry, CheckIn) and entry.day is not None:
        return entry.day
    return entry.occurred_at.date()


def is_sealed(fact: Fact) -> TypeGuard[CheckIn]:
    """Whether it is a check-in that waits for the other's, or did so before it was revealed."""
    return isinstance(fact, CheckIn) and fact.audience == "sealed"


def is_decision_for_both(fact: Fact) -> TypeGuard[Decision]:
    """Whether it is a decision for both, or the other's telling of one; not an answer to a request."""
    return isinstance(fact, Decision) and fact.decided_by is not None


def thing_of(check_in: CheckIn) -> str:
    """What a sealed check-in is for: the same text where the other's is for the same thing."""
    match check_in.sealed_for:
        case "about":
            return f"about {check_in.about}"
        case "week":
            week = day_of(check_in).isocalendar()
            return f"week {week.year}-{week.week}"
        case _:
            return f"day {day_of(check_in)}"


def refers_to(entry: Entry) -> UUID | None:
    """The event that must exist, and be readable by the author, for this entry to be recorded."""
    match entry:
        case CheckIn():
            return entry.about
        case Request():
            return entry.in_reply_to
        case Opening():
            return None
        case Decision():
            return entry.request_id or entry.about or entry.opening_id
        case Retraction():
            return entry.event_id


_OTHER: dict[Who, Who] = {"me": "partner", "partner": "me", "both": "both", "neither": "neither"}


def other(who: Who) -> Who:
    """The same person, seen by the other member."""
    return _OTHER[who]


def seen_by_partner(entry: Entry) -> Entry:
    """The entry with each Who turned round: recorded relative to its author, read relative to the reader."""
    match entry:
        case CheckIn():
            return replace(
                entry,
                initiated_by=entry.initiated_by and other(entry.initiated_by),
                decided_by=entry.decided_by and other(entry.decided_by),
            )
        case Decision():
            return replace(
                entry,
                raised_by=entry.raised_by and other(entry.raised_by),
                decided_by=entry.decided_by and other(entry.decided_by),
            )
        case _:
            return entry
