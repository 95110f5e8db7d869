"""How often something may be tried: on both sides of the limit, and that nothing is kept longer than it counts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from service.errors import TooManyRequests
from service.limits import Limit

NOON = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MOMENT = timedelta(microseconds=1)
HERE = ("192.0.2.1", "one@example.org")


def refused(limit: Limit, key: tuple[str, ...], now: datetime) -> int:
    """The seconds to wait after a try that is refused."""
    with pytest.raises(TooManyRequests) as refusal:
        limit.take(key, now)
    return refusal.value.retry_after_seconds


def allowed(limit: Limit, key: tuple[str, ...], now: datetime) -> bool:
    try:
        limit.take(key, now)
    except TooManyRequests:
        return False
    return True


def test_so_many_tries_and_not_one_more() -> None:
    limit = Limit(3, HOUR)
    assert [allowed(limit, HERE, NOON) for _ in range(5)] == [True, True, True, False, False]


def test_without_a_limit_anything_goes() -> None:
    limit = Limit(0, HOUR)
    assert all(allowed(limit, HERE, NOON) for _ in range(1000))


@pytest.mark.parametrize("other", [("192.0.2.1", "two@example.org"), ("192.0.2.2", "one@example.org"), ("192.0.2.1",)])
def test_each_key_has_its_own_so_that_nobody_locks_another_out(other: tuple[str, ...]) -> None:
    limit = Limit(1, HOUR)
    limit.take(HERE, NOON)
    assert allowed(limit, other, NOON)
    assert not allowed(limit, HERE, NOON)


def test_two_limits_do_not_share_their_tries() -> None:
    one, two = Limit(1, HOUR), Limit(1, HOUR)
    one.take(HERE, NOON)
    assert allowed(two, HERE, NOON)


def test_a_try_is_free_again_after_the_period_and_not_a_moment_before() -> None:
    limit = Limit(1, HOUR)
    limit.take(HERE, NOON)
    assert not allowed(limit, HERE, NOON + HOUR - MOMENT)
    assert allowed(limit, HERE, NOON + HOUR)


def test_tries_become_free_one_by_one() -> None:
    limit = Limit(2, HOUR)
    limit.take(HERE, NOON)
    limit.take(HERE, NOON + timedelta(minutes=30))
    assert [allowed(limit, HERE, NOON + HOUR) for _ in range(2)] == [True, False]


def test_a_refused_try_costs_nothing() -> None:
    limit = Limit(1, HOUR)
    limit.take(HERE, NOON)
    refused(limit, HERE, NOON + timedelta(minutes=59))
    assert allowed(limit, HERE, NOON + HOUR)


def test_the_wait_is_told_in_whole_seconds() -> None:
    limit = Limit(1, timedelta(seconds=60))
    limit.take(HERE, NOON)
    assert refused(limit, HERE, NOON + timedelta(seconds=59.5)) == 1
    assert refused(limit, HERE, NOON + timedelta(seconds=0.5)) == 60


@for_any(st.lists(st.integers(0, 900), min_size=3, max_size=8), st.integers(1, 3))
def test_who_waits_as_told_gets_through_and_never_waits_longer_than_the_period(pauses: list[int], tries: int) -> None:
    limit, now = Limit(tries, timedelta(minutes=10)), NOON
    for pause in pauses:
        now += timedelta(seconds=pause)
        if not allowed(limit, HERE, now):
            wait = refused(limit, HERE, now)
            assert 1 <= wait <= 601
            now += timedelta(seconds=wait)
            assert allowed(limit, HERE, now)


@for_any(st.lists(st.integers(0, 200), max_size=40))
def test_no_period_ever_holds_more_tries_than_allowed(pauses: list[int]) -> None:
    limit, now, made = Limit(3, timedelta(minutes=10)), NOON, list[datetime]()
    for pause in pauses:
        now += timedelta(seconds=pause)
        made += [now] if allowed(limit, HERE, now) else []
    assert all(later - made[i] >= timedelta(minutes=10) for i, later in enumerate(made[3:]))


def test_an_address_is_forgotten_when_anybody_tries_after_its_period() -> None:
    limit = Limit(5, HOUR)
    limit.take(HERE, NOON)
    limit.take(("192.0.2.9",), NOON + HOUR)
    assert HERE not in limit._made
