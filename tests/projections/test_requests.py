"""How requests stand, given what this reader may read: states, which decision holds, what is listed."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from events.rules import Recorded
from projections.requests import Asked, Listed, fold
from projections.standing import standing
from tests.support.counting import I_READ
from tests.support.given import NOW, answer, ask, check_in, mine, partners, retract, settle

A, B, C, D, E = (UUID(int=n) for n in range(10, 15))


def states(*events: Recorded, state: Listed = "recent") -> dict[UUID, str]:
    """The state of each request that is listed, newest first."""
    return {one.event.id: one.state for one in listed(*events, state=state)}


def listed(*events: Recorded, state: Listed = "recent", now: Any = NOW, before: int | None = None) -> list[Any]:
    placed = [replace(event, position=i) for i, event in enumerate(events, 1)]
    return fold(placed, I_READ, Asked(state, before, 50), now).requests


# Answered otherwise


def counter_offer(outcome: str | None, audience: Any = "shared") -> list[Recorded]:
    """I ask, the other asks for something else instead, and I say yes, no or nothing."""
    offered = [mine(A, ask()), partners(B, ask(in_reply_to=A))]
    return offered + ([mine(C, answer(B, outcome), audience)] if outcome else [])


@pytest.mark.parametrize("audience", ["shared", "private"])
def test_a_request_whose_counter_offer_is_decided_yes_is_answered_otherwise(audience: Any) -> None:
    assert states(*counter_offer("yes", audience)) == {B: "decided", A: "answered_otherwise"}


@pytest.mark.parametrize("outcome", [None, "no", "not_now"])
def test_any_other_outcome_leaves_it_open(outcome: str | None) -> None:
    assert states(*counter_offer(outcome))[A] == "open"


@pytest.mark.parametrize("taken_back", [B, C])
def test_so_does_a_yes_or_an_offer_that_was_taken_back(taken_back: UUID) -> None:
    by: Any = partners if taken_back == B else mine
    assert states(*counter_offer("yes"), by(D, retract(taken_back)))[A] == "open"


def test_a_later_no_to_the_offer_holds() -> None:
    later = mine(D, answer(B, "no", occurred_at=NOW))
    assert states(*counter_offer("yes"), later)[A] == "open"


def test_an_own_decision_and_a_retraction_come_first() -> None:
    assert states(*counter_offer("yes"), partners(D, answer(A, "yes")))[A] == "decided"
    assert states(*counter_offer("yes"), mine(D, retract(A)))[A] == "retracted"


def test_only_what_the_offer_replies_to_is_answered_by_it() -> None:
    further = [
        partners(A, ask()),
        mine(B, ask(in_reply_to=A)),
        partners(C, ask(in_reply_to=B)),
        mine(D, answer(C, "yes")),
    ]
    assert states(*further) == {C: "decided", B: "answered_otherwise", A: "open"}


# Which decision holds


def test_of_several_decisions_the_last_to_occur_holds_and_then_the_larger_id() -> None:
    asked = [partners(A, ask())]
    said = [mine(C, answer(A, "no")), mine(B, answer(A, "yes")), mine(D, answer(A, "not_now", occurred_at=NOW))]
    (one,) = listed(*asked, *said[:2])
    assert one.decision.id == C
    (one,) = listed(*asked, *said)
    assert one.decision.id == D


def test_a_quiet_no_that_was_shared_later_holds_as_the_shared_one() -> None:
    no = answer(A, "no")
    for shared in ([mine(B, no, "private"), mine(B, no)], [mine(B, no), mine(B, no, "private")]):
        (one,) = listed(partners(A, ask()), *shared)
        assert (one.state, one.decision.stream) == ("decided", "shared")
        assert states(partners(A, ask()), *shared, mine(C, retract(B))) == {A: "open"}


# What is listed


def test_open_ones_are_listed_however_old_and_of_the_others_what_is_recent() -> None:
    long_ago = NOW - timedelta(days=20)
    old = [mine(A, ask(expires_at=NOW + timedelta(days=1)), at=long_ago), mine(B, ask(), at=long_ago)]
    new = [mine(C, ask()), mine(D, ask(expires_at=NOW)), partners(E, ask(), at=NOW - timedelta(days=14))]
    assert states(*old, *new, state="open") == {C: "open", A: "open"}
    assert states(*old, *new) == {D: "lapsed", C: "open"}


def test_a_page_goes_back_from_a_position() -> None:
    asked = [mine(UUID(int=i), ask()) for i in range(1, 8)]
    placed = [replace(event, position=2 * i) for i, event in enumerate(asked, 1)]
    pages = [fold(placed, I_READ, Asked("recent", before, 3), NOW) for before in (None, 10, 4, 2)]
    assert [[one.event.position for one in page.requests] for page in pages] == [[14, 12, 10], [8, 6, 4], [2], []]
    assert [page.more for page in pages] == [True, True, False, False]


def test_exactly_a_page_has_no_more() -> None:
    asked = [replace(mine(UUID(int=i), ask()), position=i) for i in range(1, 4)]
    assert not fold(asked, I_READ, Asked("recent", None, 3), NOW).more


# What stands


def test_what_was_shared_later_stands_once() -> None:
    private, shared, back = mine(A, check_in(), "private"), mine(A, check_in()), mine(B, retract(A))
    another = mine(C, settle(), "private")
    assert standing([another, private, shared]) == [another, shared]
    assert standing([private, shared]) == [shared]
    assert standing([private, shared, back]) == [back]
    assert standing([private, mine(A, settle())]) == [private, mine(A, settle())]
