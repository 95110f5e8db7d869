"""Limits that several processes share: as those of one process, and one allowance for all of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, islice

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from service.errors import TooManyRequests
from service.web.rate_limits import LIMITS, Allowance, LimitKey, rate_limits
from service.web.shared_limits import WAYS, SharedLimit, SharedMemory, _first_slot, make_shared_memory
from tests.support.phones import unlimited

NOON = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
PART = HOUR / 60
MOMENT = timedelta(microseconds=1)
HERE = ("192.0.2.1", "one@example.org")


@pytest.fixture
def descriptor() -> Iterator[int]:
    """Memory for some limits."""
    made = make_shared_memory(LIMITS)
    yield made
    os.close(made)


@pytest.fixture
def memory(descriptor: int) -> SharedMemory:
    """That memory, as the first of the processes sees it."""
    return SharedMemory(descriptor)


def allowed(limit: SharedLimit, key: LimitKey, now: datetime) -> bool:
    try:
        limit.take(key, now)
    except TooManyRequests:
        return False
    return True


def refused(limit: SharedLimit, key: LimitKey, now: datetime) -> int:
    """The seconds to wait after a try that is refused."""
    with pytest.raises(TooManyRequests) as refusal:
        limit.take(key, now)
    return refusal.value.retry_after_seconds


def test_so_many_tries_over_all_processes_and_not_one_more(descriptor: int) -> None:
    one, other = (SharedLimit(3, HOUR, SharedMemory(descriptor)) for _ in range(2))
    assert [allowed(limit, HERE, NOON) for limit in (one, other, one, other, one)] == [True] * 3 + [False] * 2
    assert allowed(other, ("192.0.2.2",), NOON)


def test_without_a_limit_anything_goes(memory: SharedMemory) -> None:
    assert all(allowed(SharedLimit(0, HOUR, memory), HERE, NOON) for _ in range(3))


def test_two_limits_do_not_share_their_tries(memory: SharedMemory) -> None:
    limits = [SharedLimit(1, HOUR, memory) for _ in range(LIMITS)]
    assert [allowed(limit, HERE, NOON) for limit in limits] == [True] * LIMITS
    assert [allowed(limit, HERE, NOON) for limit in limits] == [False] * LIMITS


def test_a_try_is_free_again_after_the_period_and_at_most_a_part_of_it(memory: SharedMemory) -> None:
    limit = SharedLimit(1, HOUR, memory)
    limit.take(HERE, NOON)
    assert not allowed(limit, HERE, NOON + HOUR - MOMENT)
    assert allowed(limit, HERE, NOON + HOUR + PART)


def test_a_refused_try_costs_nothing_and_one_given_back_is_free(memory: SharedMemory) -> None:
    limit = SharedLimit(1, HOUR, memory)
    limit.take(HERE, NOON)
    refused(limit, HERE, NOON + timedelta(minutes=59))
    limit.give_back(HERE)
    assert [allowed(limit, HERE, NOON) for _ in range(2)] == [True, False]
    limit.give_back(("nobody",))


@for_any(st.lists(st.integers(0, 900), min_size=3, max_size=8), st.integers(1, 3))
def test_who_waits_as_told_gets_through(pauses: list[int], tries: int) -> None:
    descriptor = make_shared_memory(1)
    limit, now = SharedLimit(tries, timedelta(minutes=10), SharedMemory(descriptor)), NOON
    for pause in pauses:
        now += timedelta(seconds=pause)
        if not allowed(limit, HERE, now):
            wait = refused(limit, HERE, now)
            assert 1 <= wait <= 611
            now += timedelta(seconds=wait)
            assert allowed(limit, HERE, now)
    os.close(descriptor)


@for_any(st.lists(st.integers(0, 200), max_size=40))
def test_no_period_ever_holds_more_tries_than_allowed(pauses: list[int]) -> None:
    descriptor = make_shared_memory(1)
    limit, now, made = SharedLimit(3, timedelta(minutes=10), SharedMemory(descriptor)), NOON, list[datetime]()
    for pause in pauses:
        now += timedelta(seconds=pause)
        made += [now] if allowed(limit, HERE, now) else []
    os.close(descriptor)
    assert all(later - made[i] >= timedelta(minutes=10) for i, later in enumerate(made[3:]))


def test_a_process_whose_clock_is_a_moment_behind_forgets_nothing(memory: SharedMemory) -> None:
    limit = SharedLimit(2, HOUR, memory)
    assert [allowed(limit, HERE, at) for at in (NOON, NOON - MOMENT, NOON)] == [True, True, False]


def test_a_clock_that_was_ahead_locks_nobody_out(memory: SharedMemory) -> None:
    limit = SharedLimit(1, HOUR, memory)
    limit.take(HERE, NOON + timedelta(days=365))
    assert allowed(limit, HERE, NOON)


def test_however_many_keys_there_are_none_gets_its_tries_back(memory: SharedMemory) -> None:
    limit = SharedLimit(1, HOUR, memory)
    crowd: list[LimitKey] = [(str(number),) for number in range(200_000)]
    place = _first_slot(limit._digest_of(crowd[0]))
    neighbours = list(islice((key for key in crowd if _first_slot(limit._digest_of(key)) == place), 2 * WAYS))
    assert len(neighbours) == 2 * WAYS
    assert all(allowed(limit, key, NOON) for key in neighbours)
    assert not any(allowed(limit, key, NOON + HOUR - MOMENT) for key in neighbours)
    late = NOON + 2 * HOUR + 2 * PART
    assert all(allowed(limit, key, late) for key in neighbours)


def test_who_moves_out_of_the_crowd_takes_their_tries_along(memory: SharedMemory) -> None:
    limit = SharedLimit(2, HOUR, memory)
    place = _first_slot(limit._digest_of(HERE))
    keys = ((str(number),) for number in count())
    crowd = islice((key for key in keys if _first_slot(limit._digest_of(key)) == place), WAYS)
    for key in crowd:
        limit.take(key, NOON)
    limit.take(HERE, NOON + HOUR - 2 * PART)
    # There is room again, and one try is left.
    assert [allowed(limit, HERE, NOON + HOUR + 2 * PART) for _ in range(2)] == [True, False]


def test_the_memory_holds_no_key_in_the_clear(memory: SharedMemory) -> None:
    SharedLimit(1, HOUR, memory).take(HERE, NOON)
    assert b"192.0.2.1" not in memory._map[:]


def test_all_limits_of_the_service_find_room(memory: SharedMemory) -> None:
    limits = rate_limits(unlimited(requests_per_minute=1), lambda tries, period: SharedLimit(tries, period, memory))
    limits.requests.take(HERE, NOON)
    with pytest.raises(TooManyRequests):
        limits.requests.take(HERE, NOON)


HOLDING = """
import fcntl, sys, time
fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX, 1, 0)
print("held", flush=True)
time.sleep(600)
"""


def test_who_dies_while_they_count_keeps_nobody_waiting(descriptor: int, memory: SharedMemory) -> None:
    limit = SharedLimit(1, HOUR, memory)
    command = [sys.executable, "-c", HOLDING, str(descriptor)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[descriptor]) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert allowed(limit, HERE, NOON)


def test_what_weighs_more_takes_more_and_never_more_than_all(memory: SharedMemory) -> None:
    limit = SharedLimit(10, HOUR, memory)
    limit.take(HERE, NOON, 6)
    with pytest.raises(TooManyRequests):
        limit.take(HERE, NOON, 5)
    limit.take(HERE, NOON, 4)
    limit.take(("another",), NOON, 1000)
    assert not allowed(limit, ("another",), NOON)
    limit.take(("nothing",), NOON, 0)
    assert limit.left(("nothing",), NOON) == Allowance(10, 3600, 10, 3661)


def test_what_is_left_is_told_and_when_there_is_more(memory: SharedMemory) -> None:
    limit = SharedLimit(3, HOUR, memory)
    limit.take(HERE, NOON)
    limit.take(HERE, NOON + timedelta(minutes=10))
    assert limit.left(HERE, NOON + timedelta(minutes=10)) == Allowance(3, 3600, 1, 51 * 60 + 1)
    assert SharedLimit(0, HOUR, memory).left(HERE, NOON) is None
