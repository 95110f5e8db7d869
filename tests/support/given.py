"""The words of the tests of rules: given what I can read, when I record an entry, then …

    given(partners(ASKED, ask())).when(answer(ASKED, "yes")).then("shared")

Then an audience: the entry is accepted there. Then an event: it is a replay of that one. Then a class: it is refused.
"""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args
from uuid import UUID

from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from events.entries import (
    FELT_ITEMS,
    WHO,
    Audience,
    CheckIn,
    Decision,
    Domain,
    Ended,
    Entry,
    Erased,
    Fact,
    MyInput,
    Opened,
    Opening,
    Request,
    Retraction,
    complete,
)
from events.errors import Refusal
from events.rules import Accepted, Author, Known, Recorded, decide, evolve

NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
RECENTLY = NOW - timedelta(hours=1)
MOMENT = timedelta(microseconds=1)
ME, PARTNER = UUID(int=1), UUID(int=2)
NEW = UUID("00000000-0000-4000-8000-000000000000")
NOWHERE = UUID("ffffffff-ffff-4fff-8fff-ffffffffffff")


class Then(Struct, frozen=True):
    """What came of an entry."""

    outcome: Recorded | Accepted | Refusal

    def then(self, expected: Audience | Recorded | type[Refusal]) -> None:
        """It was accepted into that stream, or is a replay of that event, or was refused for exactly that."""
        if isinstance(expected, Recorded):
            assert self.outcome is expected, self.outcome
        elif isinstance(expected, str):
            assert isinstance(self.outcome, Accepted), repr(self.outcome)
            assert self.outcome.audience == expected
        else:
            assert type(self.outcome) is expected, repr(self.outcome)

    @property
    def entry(self) -> Any:
        """The entry as it is to be recorded."""
        assert isinstance(self.outcome, Accepted), repr(self.outcome)
        return self.outcome.entry


class Given(Struct, frozen=True):
    """What I can read."""

    known: Known

    def when(
        self, entry: Entry, entry_id: UUID = NEW, *, now: datetime = NOW, consented: bool = True, active: bool = True
    ) -> Then:
        """I record an entry."""
        try:
            return Then(decide(entry_id, entry, Author(ME, consented, active), self.known, now))
        except Refusal as refusal:
            return Then(refusal)


def given(*events: Recorded) -> Given:
    """These events have happened, and I can read them: to the rules, what I cannot read is not there."""
    known = Known()
    for event in events:
        assert event.audience == "shared" or event.author == ME, "only its author can read a private event"
        evolve(known, event)
    return Given(known)


def recorded(
    by: UUID | None, event_id: UUID, fact: Fact, audience: Audience = "shared", at: datetime = RECENTLY
) -> Recorded:
    """The event as the log has it. Rules never look at positions, so any will do."""
    if isinstance(fact, CheckIn | Decision):
        fact = replace(fact, audience=audience)
    if not isinstance(fact, Opened | Ended | Erased):
        fact = complete(fact, at)
    return Recorded(audience, 1, event_id, by, at, fact)


def mine(event_id: UUID, fact: Fact, audience: Audience = "shared", at: datetime = RECENTLY) -> Recorded:
    """An event that I recorded."""
    return recorded(ME, event_id, fact, audience, at)


def partners(event_id: UUID, fact: Fact, audience: Audience = "shared", at: datetime = RECENTLY) -> Recorded:
    """An event that the other member recorded."""
    return recorded(PARTNER, event_id, fact, audience, at)


def check_in(**fields: Any) -> CheckIn:
    """A check-in with a note, unless it says something else."""
    said = any(fields.get(name) for name in ("initiated_by", "decided_by", "felt", "words", "concerns", "note"))
    return CheckIn(**_recent(fields, **({} if said else {"note": "a walk"})))


def ask(**fields: Any) -> Request:
    """A request."""
    return Request(**_recent(fields, domain="home"))


def answer(request_id: UUID, outcome: str, **fields: Any) -> Decision:
    """A decision about a request."""
    return Decision(**_recent(fields, request_id=request_id, outcome=outcome))


def open_up(**fields: Any) -> Opening:
    """An opening."""
    return Opening(**_recent(fields, domain="home"))


def settle(**fields: Any) -> Decision:
    """A decision for both."""
    return Decision(**_recent(fields, domain="home", decided_by="me"))


def retract(event_id: UUID, **fields: Any) -> Retraction:
    """A retraction."""
    return Retraction(**_recent(fields, event_id=event_id))


def _recent(fields: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    return {"occurred_at": RECENTLY} | defaults | fields


# Whatever a phone may send: each field there or not, every offset, and texts in every script.

offsets = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(timezones=offsets)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
who = st.sampled_from(WHO)
domains = st.sampled_from(get_args(Domain))


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """That, or nothing."""
    return st.none() | strategy


check_ins = st.builds(
    CheckIn,
    occurred_at=times,
    day=maybe(st.dates()),
    domain=maybe(domains),
    about=maybe(st.uuids()),
    prompt_id=maybe(st.uuids()),
    initiated_by=maybe(who),
    decided_by=maybe(who),
    felt=maybe(st.dictionaries(st.sampled_from(FELT_ITEMS), st.integers(1, 7))),
    words=maybe(st.dictionaries(texts, texts, max_size=3)),
    note=maybe(texts),
    audience=st.sampled_from([None, "private", "shared", "sealed"]),
    sealed_for=st.sampled_from([None, "about", "day", "week"]),
)
requests = st.builds(
    Request,
    occurred_at=times,
    domain=domains,
    text=maybe(texts),
    in_reply_to=maybe(st.uuids()),
    expires_at=maybe(times),
)
openings = st.builds(
    Opening,
    occurred_at=times,
    domain=domains,
    text=maybe(texts),
    size=st.sampled_from([None, "small", "big"]),
)
decisions = st.builds(
    Decision,
    occurred_at=times,
    request_id=maybe(st.uuids()),
    outcome=st.sampled_from([None, "yes", "not_now", "no"]),
    note=maybe(texts),
    domain=maybe(domains),
    text=maybe(texts),
    size=st.sampled_from([None, "small", "big"]),
    raised_by=maybe(who),
    decided_by=maybe(who),
    my_input=maybe(st.sampled_from(get_args(MyInput))),
    as_agreed=maybe(st.booleans()),
    opening_id=maybe(st.uuids()),
    about=maybe(st.uuids()),
    audience=st.sampled_from([None, "shared", "private"]),
)
retractions = st.builds(Retraction, occurred_at=times, event_id=st.uuids())
any_entry: st.SearchStrategy[Entry] = st.one_of(check_ins, requests, openings, decisions, retractions)
any_fact: st.SearchStrategy[Fact] = st.one_of(any_entry, st.just(Opened()), st.just(Ended()))
