"""The life of a prompt: each step, and any steps in any order on any number of devices."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from service.prompts.lifecycle import (
    OPEN_FOR,
    PromptLife,
    answered,
    dismissed,
    lapsed,
    reminded,
    reminder_due_at,
    scheduled,
    sent,
    withdraws,
)
from service.prompts.schedule import Quiet
from tests.support.planned import BERLIN, NO_QUIET

DUE = datetime(2026, 6, 15, 18, 30, tzinfo=UTC)  # half past eight in Berlin
OVER = DUE + OPEN_FOR
MINUTE = timedelta(minutes=1)
WAITING = scheduled(DUE)
SENT = sent(WAITING, DUE)


def test_it_is_sent_when_due_and_not_before() -> None:
    assert sent(WAITING, DUE - MINUTE) == WAITING
    assert SENT.state == "sent"


@pytest.mark.parametrize("done", [SENT, answered(WAITING, DUE), dismissed(WAITING), lapsed(WAITING, OVER)])
def test_it_is_sent_once_and_never_after_its_end(done: PromptLife) -> None:
    assert sent(done, DUE + MINUTE) == done


def test_what_could_not_be_sent_in_time_lapses() -> None:
    assert sent(WAITING, OVER).state == "lapsed"


def test_it_lapses_when_its_time_is_over() -> None:
    assert lapsed(SENT, OVER - MINUTE) == SENT
    assert lapsed(SENT, OVER).state == "lapsed"


@pytest.mark.parametrize(("minutes", "late"), [(-30, False), (5, False), (12 * 60 - 1, False), (12 * 60, True)])
def test_an_answer_is_late_when_it_was_given_after_the_end(minutes: int, late: bool) -> None:
    found = answered(SENT, DUE + timedelta(minutes=minutes))
    assert (found.state, found.late) == ("answered", late)


def test_an_answer_given_in_time_and_heard_of_later_is_not_late() -> None:
    assert not answered(lapsed(SENT, OVER), DUE + MINUTE).late
    assert answered(lapsed(SENT, OVER), OVER + MINUTE).late


def test_answered_offline_before_it_was_due_it_is_not_asked_again() -> None:
    early = answered(WAITING, DUE - MINUTE)
    assert sent(early, DUE) == early
    assert not withdraws(WAITING, early)


@pytest.mark.parametrize("after", [answered(SENT, DUE), dismissed(SENT), lapsed(SENT, OVER)])
def test_what_is_done_on_one_device_is_withdrawn_from_the_others(after: PromptLife) -> None:
    assert withdraws(SENT, after)
    assert not withdraws(after, after)
    assert not withdraws(SENT, reminded(SENT, DUE))


def test_what_was_put_aside_can_still_be_answered_and_not_the_other_way_round() -> None:
    assert answered(dismissed(SENT), DUE).state == "answered"
    assert dismissed(answered(SENT, DUE)).state == "answered"
    assert dismissed(lapsed(SENT, OVER)).state == "lapsed"


def test_there_is_one_reminder() -> None:
    once = reminded(SENT, DUE + MINUTE)
    assert once.reminded_at == DUE + MINUTE
    assert reminded(once, DUE + 2 * MINUTE) == once
    assert reminder_due_at(once, NO_QUIET, BERLIN) is None


@pytest.mark.parametrize("done", [WAITING, answered(SENT, DUE), dismissed(SENT), lapsed(SENT, OVER)])
def test_nobody_is_reminded_of_what_is_not_open(done: PromptLife) -> None:
    assert reminded(done, DUE + MINUTE) == done
    assert reminder_due_at(done, NO_QUIET, BERLIN) is None


@pytest.mark.parametrize(("quiet_from", "reminds"), [("22:30", False), ("22:31", True)])
def test_nobody_is_reminded_in_quiet_hours(quiet_from: str, reminds: bool) -> None:
    at = reminder_due_at(SENT, Quiet(quiet_from, "07:00"), BERLIN)
    assert at == (DUE + timedelta(hours=2) if reminds else None)


MINUTES = st.integers(-120, 900).map(lambda minutes: DUE + timedelta(minutes=minutes))
STEPS = st.one_of(
    MINUTES.map(lambda at: lambda prompt: sent(prompt, at)),
    MINUTES.map(lambda at: lambda prompt: reminded(prompt, at)),
    MINUTES.map(lambda at: lambda prompt: answered(prompt, at)),
    MINUTES.map(lambda at: lambda prompt: lapsed(prompt, at)),
    st.just(dismissed),
)


@for_any(st.lists(STEPS, max_size=12))
def test_in_any_order_it_is_sent_and_reminded_of_at_most_once(steps: list[Callable[[PromptLife], PromptLife]]) -> None:
    lives = [WAITING]
    for step in steps:
        lives.append(step(lives[-1]))
        assert lives[-1].state == "answered" or lives[-2].state != "answered"
    states = [one.state for one in lives]
    assert sum(now == "sent" != before for before, now in pairwise(states)) <= 1
    assert len({one.reminded_at for one in lives}) <= 2


@for_any(st.lists(STEPS, max_size=6), st.permutations([DUE + timedelta(hours=hours) for hours in (-1, 1, 13)]))
def test_several_answers_end_the_same_in_any_order(
    steps: list[Callable[[PromptLife], PromptLife]], times: list[datetime]
) -> None:
    prompt = WAITING
    for step in [*(lambda one, at=at: answered(one, at) for at in times), *steps]:
        prompt = step(prompt)
    assert prompt.state == "answered"
    assert prompt.answered_at is not None
    assert prompt.answered_at <= DUE - timedelta(hours=1)
    assert not prompt.late
