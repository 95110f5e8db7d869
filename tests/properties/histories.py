"""Histories of two members, as strategies: what each records, and what has to be recorded before what.

Every step of a history can be recorded, in each order that keeps to `after`: a refused one is a failure.
The ids are small numbers, so that a failing history can be read.
"""

import os
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any, Literal, TypeAlias, TypeVar
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import fields, replace

from events.entries import TYPES, Audience, EntryKind
from tests.support.phones import NOON, Json

CI = settings(
    max_examples=25,
    deadline=None,
    print_blob=True,
    phases=set(Phase) - {Phase.explain},  # which runs every example under a tracer
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
PROFILES = {"ci": CI, "soak": settings(CI, max_examples=5000)}

# HYPOTHESIS_PROFILE=soak looks for hours. Each test is decorated with the profile: loading it would change the tests
# of other folders too.
PROFILE = PROFILES[os.environ.get("HYPOTHESIS_PROFILE", "ci")]

T = TypeVar("T")
Thing: TypeAlias = date | tuple[int, int]
Draw: TypeAlias = Any
Does = Literal[
    "check in", "seal", "ask", "decide for both", "answer", "open", "close", "tell too", "share later", "take back"
]

WHO = st.sampled_from(["me", "partner", "both", "neither"])
# Few domains and items, so that entries meet.
DOMAINS = st.sampled_from(["home", "money", "other"])
ITEMS = st.sampled_from(["close", "fair", "conflict"])
SIZES = st.sampled_from(["small", "big"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
ZONES = st.sampled_from([timezone(timedelta(hours=hours)) for hours in (0, 2, -5, 14, -12, 5.5)])
DAYS_AGO = st.sampled_from([0, 0, 0, 1, 1, 6, 7, 27, 28, 60, 150])
MINUTES = st.integers(0, 1439)
MICROSECONDS = st.integers(0, 1)


@st.composite
def times(draw: Draw) -> datetime:
    """Some time in the last five months, on the clock of some place."""
    ago = timedelta(days=draw(DAYS_AGO), minutes=draw(MINUTES), microseconds=draw(MICROSECONDS))
    return (NOON - ago).astimezone(draw(ZONES))


TIMES = times()


@st.composite
def times_on_time(draw: Draw) -> datetime:
    """Some time in the last two days: what is recorded at noon is not late."""
    ago = timedelta(days=draw(st.integers(0, 1)), minutes=draw(MINUTES))
    return (NOON - ago).astimezone(draw(ZONES))


ON_TIME = times_on_time()
DAYS_BEFORE = st.integers(0, 1)
ONE_IN_FOUR = st.sampled_from([False, False, False, True])
YES_OR_NO = st.booleans()
MEMBERS = st.integers(0, 1)
IDS = st.integers(0, 99)
OUTCOMES = st.sampled_from(["yes", "not_now", "no"])
EXPIRES_AFTER = st.sampled_from([None, timedelta(hours=1), timedelta(days=3), timedelta(days=90)])
AUDIENCES = st.sampled_from([None, "shared", "shared", "private"])
ALL_SHARED = st.just("shared")
SEALED_FOR = st.sampled_from([None, "day", "day", "week"])
FELT = st.dictionaries(ITEMS, st.integers(1, 7), min_size=1, max_size=2)

CHECK_INS = st.fixed_dictionaries(
    {},
    optional={
        "domain": DOMAINS,
        "initiated_by": WHO,
        "decided_by": WHO,
        "felt": FELT,
        "words": st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=1),
        "note": TEXTS.filter(bool),
    },
)
REQUESTS = st.fixed_dictionaries({"domain": DOMAINS}, optional={"text": TEXTS})
OPENINGS = st.fixed_dictionaries({"domain": DOMAINS}, optional={"text": TEXTS, "size": SIZES})
ANSWERS = st.fixed_dictionaries({"outcome": OUTCOMES}, optional={"note": TEXTS})
DECISIONS_FOR_BOTH = st.fixed_dictionaries(
    {"domain": DOMAINS, "decided_by": WHO},
    optional={
        "text": TEXTS,
        "size": SIZES,
        "raised_by": WHO,
        "my_input": st.sampled_from(["not_asked", "asked", "partly", "counted"]),
        "as_agreed": YES_OR_NO,
    },
)
PLAIN: st.SearchStrategy[Json] = st.fixed_dictionaries({})


class Step(Struct, frozen=True):
    """One entry of one of the two, the step that it refers to, and all steps that must come before it.

    The audience is that of the whole history: a sealed one that is revealed in its course counts as shared. `shares` is
    the private step of the same id that this one shares later.
    """

    index: int
    who: int
    event_id: UUID
    kind: EntryKind
    audience: Audience
    body: Json
    target: int | None
    after: frozenset[int]
    shares: int | None = None


History: TypeAlias = list[Step]


class Call(Struct, frozen=True):
    """Steps of one member that are sent at once: through sync, or, if it is a single one, perhaps by its own PUT."""

    steps: list[Step]
    queued: bool

    @property
    def who(self) -> int:
        """Whose steps they are."""
        return self.steps[0].who


@st.composite
def histories(draw: Draw, least: int = 0, most: int = 16, *, all_shared: bool = False, sealed: bool = True) -> History:
    """What the two record: every kind, every audience, with references to what came before.

    For one thing each seals at most one, and takes back what is revealed only afterwards: else the order would count.
    """
    told = _Telling(draw, all_shared, sealed and not all_shared)
    for _ in range(draw(st.integers(least, most))):
        told.go_on()
    return told.steps


class _Telling:
    """A history while it grows. It knows what each member could still do, so that nothing has to be thrown away."""

    def __init__(self, draw: Draw, all_shared: bool, sealed: bool) -> None:
        self.draw, self._seals = draw, sealed
        self._audiences = ALL_SHARED if all_shared else AUDIENCES
        self.steps: History = []
        self._taken_back: dict[int, int] = {}
        self._sealed: dict[Thing, dict[int, int]] = {}  # for each thing the step of who has sealed for it
        # Private entries that have the id of a shared one. Whoever names that id means the shared one, so nothing is
        # about a twin; but a retraction names what its author can take back.
        self._twins: set[int] = set()

    def go_on(self) -> None:
        """Add one step."""
        who: int = self.draw(MEMBERS)
        match self.draw(st.sampled_from(self._possible(who))):
            case "check in":
                self._check_in(who)
            case "seal":
                self._seal(who)
            case "ask":
                self._ask(who)
            case "decide for both":
                self._decide_for_both(who)
            case "answer":
                self._answer(who)
            case "open":
                self._add(who, "opening", "shared", self._body(OPENINGS), None)
            case "close":
                self._decide_for_both(who, opening=self.draw(st.sampled_from(self._undecided())))
            case "tell too":
                self._tell_too(who)
            case "share later":
                self._share_later(who)
            case "take back":
                self._take_back(who)

    def _possible(self, who: int) -> list[Does]:
        always: list[Does] = ["check in", "check in", "ask", "ask", "open", "decide for both", "decide for both"]
        if self._seals:
            always += ["seal"] * 3
        if self._asked_of(who):
            always += ["answer"] * 4
        if self._undecided():
            always += ["close"] * 2
        if self._tellable(who):
            always += ["tell too"] * 3
        if self._shareable(who):
            always += ["share later"] * 2
        if self._own(who):
            always += ["take back"] * 2
        return always

    def _check_in(self, who: int) -> None:
        body = self._check_in_body()
        audience = self._audience(body, "private")
        about = self._perhaps(self._readable(who, audience))
        if about:
            body["about"] = str(about.event_id)
        self._add(who, "check_in", audience, body, about)

    def _check_in_body(self, at: datetime | None = None) -> Json:
        body = self._body(CHECK_INS) | ({"occurred_at": at.isoformat()} if at else {})
        if not body.keys() - {"occurred_at", "domain"}:
            body["felt"] = self.draw(FELT)
        if self.draw(ONE_IN_FOUR):
            body["day"] = str(date.fromisoformat(body["occurred_at"][:10]) - timedelta(days=self.draw(DAYS_BEFORE)))
        return body

    def _seal(self, who: int) -> None:
        body = self._check_in_body(self.draw(ON_TIME)) | {"audience": "sealed"}
        if sealed_for := self.draw(SEALED_FOR):
            body["sealed_for"] = sealed_for
        both = self._sealed.setdefault(thing_of(body), {})
        if who in both or any(index in self._taken_back for index in both.values()):
            return
        both[who] = len(self.steps)
        self._add(who, "check_in", "private", body, None)
        if len(both) == 2 and meet(*(self.steps[index].body for index in both.values())):
            for index in both.values():
                self.steps[index] = replace(self.steps[index], audience="shared")

    def _ask(self, who: int) -> None:
        body = self._body(REQUESTS)
        if lasts := self.draw(EXPIRES_AFTER):
            body["expires_at"] = (datetime.fromisoformat(body["occurred_at"]) + lasts).isoformat()
        answered = self._perhaps([s for s in self.steps if s.kind == "request" and s.who != who])
        if answered:
            body["in_reply_to"] = str(answered.event_id)
        self._add(who, "request", "shared", body, answered)

    def _decide_for_both(
        self, who: int, about: Step | None = None, after: int | None = None, opening: Step | None = None
    ) -> None:
        body = self._body(DECISIONS_FOR_BOTH)
        if about:
            body["about"] = str(about.event_id)
        if opening:
            body["opening_id"] = str(opening.event_id)
        audience = self._audience(body, "private")
        self._add(who, "decision", audience, body, about or opening, [] if after is None else [after])

    def _undecided(self) -> list[Step]:
        """Openings that neither were withdrawn nor decided, not even for a while: else the order would count."""
        decided = {s.target for s in self.steps if "opening_id" in s.body}
        free = [s for s in self.steps if s.kind == "opening" and s.index not in self._taken_back]
        return [s for s in free if s.index not in decided]

    def _answer(self, who: int) -> None:
        request: Step = self.draw(st.sampled_from(self._asked_of(who)))
        body = self._body(ANSWERS) | {"request_id": str(request.event_id)}
        if expires_at := request.body.get("expires_at"):
            body["occurred_at"] = min(body["occurred_at"], expires_at, key=datetime.fromisoformat)
        audience = self._audience(body, "shared" if body["outcome"] == "yes" else "private")
        self._add(who, "decision", audience, body, request)

    def _tell_too(self, who: int) -> None:
        about, after = self.draw(st.sampled_from(self._tellable(who)))
        self._decide_for_both(who, about, after)

    def _share_later(self, who: int) -> None:
        private: Step = self.draw(st.sampled_from(self._shareable(who)))
        # Taken back in private, it is shared anew: what takes it back would name the shared one otherwise. And of a
        # decision there is one telling at a time. Else either may come first.
        earlier = [self._taken_back[private.index]] if private.index in self._taken_back else []
        if private.kind == "decision" and "about" in private.body:
            earlier.append(private.index)
        target = None if private.target is None else self.steps[private.target]
        body = private.body | {"audience": "shared"}
        self._add(who, "decision" if private.kind == "decision" else "check_in", "shared", body, target, earlier)
        self.steps[-1] = replace(self.steps[-1], event_id=private.event_id, shares=private.index)
        self._twins.add(private.index)

    def _shareable(self, who: int) -> list[Step]:
        """What the member keeps private and can share under its id."""
        taken = {s.event_id for s in self.steps if s.audience == "shared"}
        kept = [s for s in self.steps if s.who == who and s.audience == "private" and not is_sealed(s)]
        free = [s for s in kept if s.kind != "retraction" and s.event_id not in taken and "opening_id" not in s.body]
        return [s for s in free if self._may_be_read_by_both(s)]

    def _may_be_read_by_both(self, step: Step) -> bool:
        if step.target is None:
            return True
        target = self.steps[step.target]
        if target.audience == "private" or is_sealed(target):
            return False
        if is_answer(step):
            return target.index not in self._taken_back
        return step.kind != "decision" or step.index not in self._taken_back

    def _take_back(self, who: int) -> None:
        target: Step = self.draw(st.sampled_from(self._own(who)))
        # A request that was taken back can no longer be answered, so its answers come first; so it is with openings.
        earlier = [s.index for s in self.steps if is_answer(s) and s.target == target.index]
        earlier += [s.index for s in self.steps if "opening_id" in s.body and s.target == target.index]
        if is_sealed(target):
            earlier += self._sealed[thing_of(target.body)].values()
        self._taken_back[target.index] = len(self.steps)
        body = self._body(PLAIN) | {"event_id": str(target.event_id)}
        self._add(who, "retraction", target.audience, body, target, earlier)

    def _asked_of(self, who: int) -> list[Step]:
        return [s for s in self.steps if s.kind == "request" and s.who != who and s.index not in self._taken_back]

    def _tellable(self, who: int) -> list[tuple[Step, int | None]]:
        """The other's decisions that the member has not told, and the step that took an earlier telling back."""
        first = [s for s in self.steps if s.who != who and s.audience == "shared" and _is_for_both(s)]
        return [(s, back) for s in first if (back := self._last_telling(who, s)) != "stands"]

    def _last_telling(self, who: int, decision: Step) -> int | Literal["stands"] | None:
        told = [s for s in self.steps if s.kind == "decision" and s.who == who and s.target == decision.index]
        if not told:
            return None
        return self._taken_back.get(told[-1].index, "stands")

    def _own(self, who: int) -> list[Step]:
        """What the member may take back, and can name."""
        shared = {s.event_id for s in self.steps if s.who == who and s.audience == "shared"}
        free = [s for s in self.steps if s.who == who and s.kind != "retraction" and s.index not in self._taken_back]
        return [s for s in free if s.audience == "shared" or s.event_id not in shared]

    def _readable(self, who: int, audience: Audience) -> list[Step]:
        """What an entry for that audience may be about."""
        plain = [s for s in self.steps if not is_sealed(s)]
        shared = [s for s in plain if s.audience == "shared"]
        own = [s for s in plain if s.audience == "private" and s.who == who and s.index not in self._twins]
        return shared if audience == "shared" else shared + own

    def _body(self, fields: st.SearchStrategy[Json]) -> Json:
        body: Json = {"occurred_at": self.draw(TIMES).isoformat()} | self.draw(fields)
        return body

    def _audience(self, body: Json, default: Audience) -> Audience:
        given: Audience | None = self.draw(self._audiences)
        if given:
            body["audience"] = given
        return given or default

    def _perhaps(self, some: list[T]) -> T | None:
        return self.draw(st.sampled_from(some)) if some and self.draw(YES_OR_NO) else None

    def _add(
        self,
        who: int,
        kind: EntryKind,
        audience: Audience,
        body: Json,
        target: Step | None,
        earlier: Sequence[int] = (),
    ) -> None:
        index = len(self.steps)
        # The order of ids has nothing to do with the order of steps.
        event_id = UUID(int=self.draw(IDS) << 64 | index)
        elsewhere = self._elsewhere(who) if audience == "private" and body.get("audience") != "sealed" else []
        if elsewhere and self.draw(ONE_IN_FOUR):
            event_id = self.draw(st.sampled_from(elsewhere))
            if any(s.event_id == event_id for s in self.steps if s.audience == "shared"):
                self._twins.add(index)
        referred = None if target is None else target.index
        after = frozenset(earlier) | ({referred} if referred is not None else frozenset())
        self.steps.append(Step(index, who, event_id, kind, audience, body, referred, after))

    def _elsewhere(self, who: int) -> list[UUID]:
        """Ids that other streams have and the member's private stream does not."""
        own = {s.event_id for s in self.steps if (s.audience == "private" or is_sealed(s)) and s.who == who}
        return [s.event_id for s in self.steps if s.event_id not in own]


def _is_for_both(step: Step) -> bool:
    return "decided_by" in step.body and step.kind == "decision" and "about" not in step.body


def is_answer(step: Step) -> bool:
    """Whether the step decides about a request."""
    return "request_id" in step.body


def is_sealed(step: Step) -> bool:
    """Whether the step is a sealed check-in."""
    return step.body.get("audience") == "sealed"


def day_of(body: Json) -> date:
    """The day that an entry is told of."""
    return date.fromisoformat(body.get("day") or body["occurred_at"][:10])


def is_counted_already(history: History, step: Step) -> bool:
    """Whether what a check-in is about has counted the episode: a request, a decision for both, or an own entry."""
    if step.kind != "check_in" or step.target is None:
        return False
    target = history[step.target]
    counts_all = target.kind == "request" or (target.kind == "decision" and not is_answer(target))
    return target.who == step.who or counts_all


def thing_of(body: Json) -> Thing:
    """What a sealed check-in is for: its day, or the year and week of ISO 8601."""
    day = day_of(body)
    year, week, _ = day.isocalendar()
    return (year, week) if body.get("sealed_for") == "week" else day


def meet(one: Json, other: Json) -> bool:
    """Whether both answer one felt item or one question."""
    felt = one.get("felt", {}).keys() & other.get("felt", {}).keys()
    words = [{name for name, text in body.get("words", {}).items() if text.strip()} for body in (one, other)]
    return bool(felt or words[0] & words[1])


def one_by_one(history: History) -> list[Call]:
    """Each step by a PUT of its own, in order."""
    return [Call([step], queued=False) for step in history]


@st.composite
def schedules(draw: Draw, history: History) -> list[Call]:
    """The same steps in another order, some of them again, in batches."""
    order = _reordered(history, draw(st.permutations(range(len(history)))))
    again = draw(st.lists(st.sampled_from(history), max_size=len(history))) if history else []
    for step in again:
        first = order.index(step)
        order.insert(draw(st.integers(first + 1, len(order))), step)
    calls: list[Call] = []
    for step in order:
        joins = draw(YES_OR_NO)
        if joins and calls and calls[-1].queued and calls[-1].who == step.who:
            calls[-1].steps.append(step)
        else:
            calls.append(Call([step], queued=draw(YES_OR_NO)))
    return calls


def _reordered(history: History, places: list[int]) -> list[Step]:
    """The order in which, of all steps that may come next, that of the lowest place does."""
    order: list[Step] = []
    left = sorted(history, key=lambda step: places[step.index])
    while left:
        done = {step.index for step in order}
        order.append(next(step for step in left if step.after <= done))
        left.remove(order[-1])
    return order


def respelled(step: Step) -> Json:
    """The same entry with each default spelled out: null is what was left out, and the audience what it had."""
    spelled = {field.name: step.body.get(field.name) for field in fields(TYPES[step.kind])}
    audience = step.body.get("audience", step.audience)
    return spelled | {"audience": audience} if "audience" in spelled else spelled


def swapped(history: History) -> History:
    """The same history with the two members changed for each other."""
    return [replace(step, who=1 - step.who) for step in history]


@st.composite
def answered_in_two_ways(draw: Draw) -> tuple[History, History]:
    """Two histories that differ only in what is answered to requests: other answers, hidden ones, or none."""
    history: History = draw(histories(least=4).filter(lambda steps: any(map(is_answer, steps))))
    answers = {step.index: _another_answer(draw, step) for step in history if is_answer(step)}
    # What is about an answer, or about its retraction, cannot be recorded where the answer is hidden.
    unsteady = answers.keys() | {step.index for step in history if step.target in answers}
    one, other = [], []
    for step in history:
        plain = _about_nothing(step) if step.kind == "check_in" and step.target in unsteady else step
        one.append(plain)
        if step.index in answers:
            other.append(answers[step.index])
        elif step.kind == "retraction" and step.target in answers:
            other.append(_retraction_of(answers[step.target], step))
        else:
            other.append(plain)
    return one, [step for step in other if step]


def _another_answer(draw: Draw, step: Step) -> Step | None:
    audience: Audience | None = draw(st.sampled_from([None, "private", "shared"]))
    if audience is None:
        return None
    said = {"outcome": draw(OUTCOMES), "audience": audience}
    return replace(step, event_id=_fresh_id(step), audience=audience, body=step.body | said)


def _retraction_of(answer: Step | None, step: Step) -> Step | None:
    if answer is None:
        return None
    body = step.body | {"event_id": str(answer.event_id)}
    return replace(step, event_id=_fresh_id(step), audience=answer.audience, body=body)


def _fresh_id(step: Step) -> UUID:
    # In the other stream the old one may be taken.
    return UUID(int=1 << 100 | step.index)


def _about_nothing(step: Step) -> Step:
    return replace(
        step,
        body={name: value for name, value in step.body.items() if name not in ("about", "in_reply_to", "opening_id")},
    )


def without_the_retracted(history: History) -> History:
    """The history as if what was taken back had never been recorded, nor answered, nor referred to."""
    gone = {step.target for step in history if step.kind == "retraction"}
    # What was shared later and taken back is gone as the private one too.
    gone |= {step.shares for step in history if step.index in gone and step.shares is not None}
    # Answers and counter-offers to a request that is gone could not be recorded, but count nothing.
    for step in history:
        if (is_answer(step) or step.kind == "request") and step.target in gone:
            gone.add(step.index)
    gone |= {step.index for step in history if step.kind == "retraction"}
    left = [_telling_nobody(step) if is_counted_already(history, step) else step for step in history]
    left = [step for step in left if step.index not in gone]
    return [_about_nothing(step) if step.target is not None and step.target in gone else step for step in left]


def _telling_nobody(step: Step) -> Step:
    """The check-in without who initiated and decided, which it does not count."""
    body = {name: value for name, value in step.body.items() if name not in ("initiated_by", "decided_by")}
    return replace(step, body=body | {"note": "x"})
