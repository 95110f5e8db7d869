"""A clock that jumps is not believed, until it has told the same for long enough."""

from datetime import datetime, timedelta

import pytest

from service.core.clock import JumpGuardedClock
from service.errors import ClockJumped, TooManyRequests
from service.web.rate_limits import Limit
from tests.support.phones import NOON, Clock

DECADE = timedelta(days=3650)


class Machine:
    """A wall clock, and one that counts since the machine started."""

    def __init__(self) -> None:
        self.wall = Clock()
        self.seconds_since_boot = 5 * 3600.0
        self.clock = JumpGuardedClock(self.wall, lambda: self.seconds_since_boot)

    def wait(self, **time: float) -> None:
        """Let time pass on both."""
        self.wall.advance(**time)
        self.seconds_since_boot += timedelta(**time).total_seconds()


@pytest.fixture
def machine() -> Machine:
    """One that was started a while ago."""
    return Machine()


def test_time_passes(machine: Machine) -> None:
    machine.wait(days=400)
    assert machine.clock() == NOON + timedelta(days=400)


@pytest.mark.parametrize("jump", [DECADE, -DECADE, timedelta(hours=2)])
def test_a_jump_is_refused_until_the_clock_is_right_again(machine: Machine, jump: timedelta) -> None:
    machine.wall.time += jump
    for _ in range(3):
        machine.wait(minutes=3)
        with pytest.raises(ClockJumped):
            machine.clock()
    machine.wall.time -= jump
    assert machine.clock() == NOON + timedelta(minutes=9)


def test_a_clock_that_was_set_right_is_believed_after_a_while(machine: Machine) -> None:
    machine.wall.time += DECADE
    with pytest.raises(ClockJumped):
        machine.clock()
    machine.wait(minutes=11)
    assert machine.clock() == NOON + DECADE + timedelta(minutes=11)
    machine.wait(minutes=1)
    assert machine.clock() == NOON + DECADE + timedelta(minutes=12)


def test_who_has_waited_while_a_clock_was_set_right_believes_it(machine: Machine) -> None:
    machine.wall.time += DECADE
    machine.clock.believe()
    assert machine.clock() == NOON + DECADE
    machine.wall.time += DECADE
    with pytest.raises(ClockJumped):
        machine.clock()


def test_a_second_jump_is_doubted_anew(machine: Machine) -> None:
    for jump in (DECADE, -DECADE):
        machine.wall.time += jump
        with pytest.raises(ClockJumped):
            machine.clock()
        machine.wait(minutes=11)
        machine.clock()


def test_small_steps_add_up_to_whatever_is_right(machine: Machine) -> None:
    for _ in range(10):
        machine.wall.advance(minutes=50)
        machine.wait(minutes=1)
        machine.clock()


def test_tries_of_a_clock_that_was_ahead_lock_nobody_out() -> None:
    limit = Limit(2, timedelta(hours=1))
    for _ in range(2):
        limit.take(("somebody",), NOON + DECADE)
    limit.take(("somebody",), NOON)
    limit.take(("somebody",), NOON)
    with pytest.raises(TooManyRequests):
        limit.take(("somebody",), NOON)


def test_the_clock_of_the_machine_is_read() -> None:
    now: datetime = JumpGuardedClock()()
    assert now.tzinfo is not None
