"""Openings and voice, given what has happened: how each stands, and whose view stood before it was decided."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from events.entries import CheckIn, complete
from events.rules import Recorded
from projections import openings, voice
from projections.openings import Openings, Spoken
from projections.voice import Heard, Voice
from projections.windows import Window
from tests.support.counting import I_READ
from tests.support.given import ME, NOW, check_in, mine, open_up, partners, retract, settle

A, B, C, D, E = (UUID(int=n) for n in range(10, 15))
VIEW: dict[str, Any] = {"words": {"my_view": "Blue"}, "audience": "shared"}


def placed(events: tuple[Recorded, ...]) -> list[Recorded]:
    return [replace(event, position=i) for i, event in enumerate(events, 1)]


def sealed(event_id: UUID, fact: CheckIn) -> Recorded:
    """One of mine that waits for the other's."""
    return Recorded("private", 1, event_id, ME, NOW, complete(fact, NOW))


def listed(*events: Recorded, **asked: Any) -> Openings:
    which: dict[str, Any] = {"state": None, "before": None, "limit": 50} | asked
    return openings.fold(placed(events), I_READ, openings.Asked(**which))


def heard(*events: Recorded, **asked: Any) -> Voice:
    which: dict[str, Any] = {"on": NOW.date(), "window": 28} | asked
    return voice.fold(openings.opened(placed(events)), I_READ, Window(**which))


def test_it_is_open_until_it_is_decided_or_withdrawn() -> None:
    asked = mine(A, open_up())
    assert [one.state for one in listed(asked).openings] == ["open"]
    decided = listed(asked, partners(B, settle(opening_id=A, decided_by="me"))).openings[0]
    assert (decided.state, decided.decision and decided.decision.id) == ("decided", B)
    assert listed(asked, mine(B, retract(A))).openings[0].state == "withdrawn"
    back = (partners(B, settle(opening_id=A)), partners(C, retract(B)))
    assert listed(asked, *back).openings[0].state == "open"


def test_a_decision_that_i_keep_to_myself_closes_nothing() -> None:
    found = listed(partners(A, open_up()), mine(B, settle(opening_id=A), "private")).openings[0]
    assert (found.state, found.decision) == ("open", None)


@pytest.mark.parametrize(
    ("state", "expected"), [(None, [C, B, A]), ("open", [C]), ("decided", [A]), ("withdrawn", [B])]
)
def test_they_are_listed_newest_first_by_state(state: Any, expected: list[UUID]) -> None:
    events = [mine(A, open_up()), partners(B, open_up()), mine(C, open_up())]
    events += [mine(D, settle(opening_id=A)), partners(E, retract(B))]
    assert [one.event.id for one in listed(*events, state=state).openings] == expected
    page = listed(*events, limit=2)
    assert ([one.event.id for one in page.openings], page.more) == ([C, B], True)
    assert [one.event.id for one in listed(*events, before=2).openings] == [A]


@pytest.mark.parametrize(
    ("said", "spoken"),
    [
        (mine(B, check_in(about=A, **VIEW)), Spoken(True, False)),
        (sealed(B, check_in(about=A, **VIEW | {"audience": "sealed"})), Spoken(True, False)),
        (mine(B, check_in(about=A, **VIEW | {"audience": "private"}), "private"), Spoken(False, False)),
        (partners(B, check_in(about=A, **VIEW)), Spoken(False, True)),
        (partners(B, check_in(about=C, **VIEW)), Spoken(False, False)),
        (partners(B, check_in(**VIEW)), Spoken(False, False)),
    ],
)
def test_whose_view_is_there(said: Recorded, spoken: Spoken) -> None:
    assert listed(mine(A, open_up()), said).openings[0].spoken == spoken


def test_a_view_that_was_taken_back_is_there_no_more() -> None:
    said = partners(B, check_in(about=A, **VIEW))
    assert listed(mine(A, open_up()), said, partners(C, retract(B))).openings[0].spoken == Spoken(False, False)


# Voice


def twelve() -> list[Recorded]:
    """A decides 12 openings; B's view stood before 5, came after 3, and never for 4; A's always did."""
    events: list[Recorded] = []
    for i in range(12):
        opening, decision = UUID(int=1000 + i), UUID(int=2000 + i)
        decided = NOW - timedelta(days=i + 1)
        events.append(mine(opening, open_up(occurred_at=decided - timedelta(hours=5))))
        events.append(mine(UUID(int=3000 + i), check_in(about=opening, occurred_at=decided, **VIEW)))
        if i < 8:
            when = decided - timedelta(minutes=1) if i < 5 else decided + timedelta(minutes=1)
            events.append(partners(UUID(int=4000 + i), check_in(about=opening, occurred_at=when, **VIEW)))
        events.append(mine(decision, settle(opening_id=opening, decided_by="me", occurred_at=decided)))
    return events


def test_the_reference_example() -> None:
    told = heard(*twelve())
    low, high = told.me.low, told.me.high
    assert told.me == Heard(12, 5, 7, 0, 0, None, low, high)
    assert (low, high) == pytest.approx((0.180479, 0.688060), abs=1e-6)
    assert told.partner == told.both == Heard(0, 0, 0, 0, 0, None, None, None)


@pytest.mark.parametrize(
    ("by", "decided_by", "decider"),
    [
        (mine, "me", "me"),
        (mine, "partner", "partner"),
        (partners, "me", "partner"),
        (partners, "partner", "me"),
        (mine, "both", "both"),
        (partners, "neither", None),
    ],
)
def test_it_stands_under_who_decided_whoever_wrote_it_down(by: Any, decided_by: Any, decider: str | None) -> None:
    told = heard(partners(A, open_up()), by(B, settle(opening_id=A, decided_by=decided_by)))
    assert {name for name in ("me", "partner", "both") if getattr(told, name).n} == ({decider} if decider else set())


@pytest.mark.parametrize(
    ("who", "mine_there", "partners_there", "expected"),
    [
        ("me", True, False, "only_decider"),
        ("me", False, True, "only_other"),
        ("partner", True, False, "only_other"),
        ("partner", False, True, "only_decider"),
        ("both", True, False, "only_decider"),
        ("both", True, True, "both_spoke"),
        ("me", False, False, "neither"),
    ],
)
def test_whose_view_stood_before(who: Any, mine_there: bool, partners_there: bool, expected: str) -> None:
    events = [partners(A, open_up())]
    events += [mine(B, check_in(about=A, **VIEW))] if mine_there else []
    events += [partners(C, check_in(about=A, **VIEW))] if partners_there else []
    told = getattr(heard(*events, mine(D, settle(opening_id=A, decided_by=who, occurred_at=NOW))), who)
    assert (told.n, getattr(told, expected)) == (1, 1)


def test_a_domain_and_the_days_narrow_it() -> None:
    long_ago = NOW - timedelta(days=40)
    events = [mine(A, open_up(domain="money")), mine(B, settle(opening_id=A, domain="home"))]
    events += [mine(C, open_up()), mine(D, settle(opening_id=C, occurred_at=long_ago))]
    assert [heard(*events, **asked).me.n for asked in ({}, {"domain": "money"}, {"domain": "home"})] == [1, 1, 0]
    assert heard(*events, window=90).me.n == 2


def test_what_was_withdrawn_after_all_is_heard_of_no_more() -> None:
    events = [mine(A, open_up()), mine(B, settle(opening_id=A)), mine(C, retract(A))]
    assert heard(*events).me.n == 0
