"""How often something may be tried: on both sides of the limit, and that nothing is kept longer than it counts."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from service.core.networks import address_of, networks
from service.errors import TooManyRequests
from service.recording import offline_queue
from service.settings import Settings
from service.web.rate_limits import Limit, LimitKey
from tests.support.phones import Json, Phone, running, unlimited

NOON = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MOMENT = timedelta(microseconds=1)
HERE = ("192.0.2.1", "one@example.org")


def refused(limit: Limit, key: LimitKey, now: datetime) -> int:
    """The seconds to wait after a try that is refused."""
    with pytest.raises(TooManyRequests) as refusal:
        limit.take(key, now)
    return refusal.value.retry_after_seconds


def allowed(limit: Limit, key: LimitKey, now: datetime) -> bool:
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
def test_each_key_has_its_own_so_that_nobody_locks_another_out(other: LimitKey) -> None:
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


def test_however_many_keys_there_are_none_gets_its_tries_back() -> None:
    limit = Limit(1, HOUR, max_keys=100)
    keys: list[LimitKey] = [(f"192.0.2.{number}",) for number in range(1000)]
    assert all(allowed(limit, key, NOON) for key in keys)
    assert not any(allowed(limit, key, NOON + HOUR - MOMENT) for key in keys)
    assert len(limit._made) == 100


def test_tries_beyond_what_is_remembered_by_key_are_free_again_too() -> None:
    limit = Limit(1, HOUR, max_keys=1)
    limit.take(("192.0.2.0",), NOON)
    limit.take(HERE, NOON)
    assert not allowed(limit, HERE, NOON + HOUR)
    assert allowed(limit, HERE, NOON + 2 * HOUR)


def test_a_flood_of_keys_refuses_few_who_have_tried_nothing() -> None:
    limit = Limit(1, HOUR, max_keys=10)
    for number in range(20_000):
        allowed(limit, (f"10.{number}",), NOON)  # a few of them are refused too
    assert sum(not allowed(limit, (f"192.{number}",), NOON) for number in range(1000)) <= 5


def test_no_try_is_kept_longer_than_it_counts() -> None:
    limit = Limit(600, timedelta(minutes=1))
    for seconds in range(0, 3000, 30):
        limit.take(HERE, NOON + timedelta(seconds=seconds))
    assert len(limit._made[HERE]) == 2


def test_what_weighs_more_takes_more_and_waits_until_all_of_it_is_free() -> None:
    limit = Limit(10, HOUR)
    limit.take(HERE, NOON, 6)
    limit.take(HERE, NOON + timedelta(minutes=30), 3)
    later = NOON + timedelta(minutes=59)
    with pytest.raises(TooManyRequests) as refusal:
        limit.take(HERE, later, 2)
    assert refusal.value.retry_after_seconds == 61
    with pytest.raises(TooManyRequests) as refusal:
        limit.take(HERE, later, 8)  # for which the three must have gone as well
    assert refusal.value.retry_after_seconds == 31 * 60 + 1
    limit.take(HERE, later, 1)


def test_what_weighs_more_than_the_limit_is_taken_alone() -> None:
    limit = Limit(10, HOUR)
    limit.take(HERE, NOON, 11)
    assert not allowed(limit, HERE, NOON)
    limit.take(HERE, NOON + HOUR, 11)


def test_what_weighs_nothing_is_free() -> None:
    limit = Limit(1, HOUR)
    limit.take(HERE, NOON)
    limit.take(HERE, NOON, 0)


def test_beyond_what_is_remembered_by_key_weight_counts_too() -> None:
    limit = Limit(10, HOUR, max_keys=0)
    limit.take(HERE, NOON, 6)
    limit.take(HERE, NOON, 4)
    assert not allowed(limit, HERE, NOON)


class Compared(datetime):
    """A time that counts how often any such time is compared."""

    count = 0

    def __lt__(self, other: Any) -> bool:
        Compared.count += 1
        return super().__lt__(other)

    def __gt__(self, other: Any) -> bool:
        Compared.count += 1
        return super().__gt__(other)


def comparisons_beside(others: int) -> int:
    """How many times one try compares while so many others count."""
    limit, noon = Limit(5, HOUR), Compared(2026, 6, 15, 12, tzinfo=UTC)
    for number in range(others):
        limit.take((str(number),), noon)
    Compared.count = 0
    limit.take(HERE, noon)
    return Compared.count


def test_a_try_costs_the_same_whoever_else_tries() -> None:
    assert 0 < comparisons_beside(1) == comparisons_beside(1000)


# --- From where


PROXIES = networks("10.0.0.0/8, 2001:db8:1::/48")


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["198.51.100.7, nonsense"], "10.0.0.1"),
        ("2001:db8:1::1", ["2001:db8:2:3:4:5:6:7"], "2001:db8:2:3::/64"),
        ("2001:db8:2:3::9", [], "2001:db8:2:3::/64"),
        ("", ["198.51.100.7"], ""),
    ],
)
def test_the_client_is_the_nearest_that_is_no_trusted_proxy(peer: str, forwarded: list[str], found: str) -> None:
    assert address_of(peer, forwarded, PROXIES) == found


def test_without_trusted_proxies_what_was_forwarded_is_never_looked_at() -> None:
    assert address_of("10.0.0.1", ["198.51.100.7"], networks(None)) == "10.0.0.1"


def test_what_names_no_network_is_no_setting() -> None:
    with pytest.raises(ValueError, match="trusted_proxies"):
        Settings(trusted_proxies="10.0.0.0/8, proxy.example.org")


async def asked(phone: Phone, address: str, forwarded_for: str) -> int:
    headers = {"X-Forwarded-For": forwarded_for}
    return (await phone.call("POST", "/v1/sign-in-codes", {"email": address}, headers=headers)).status_code


async def test_who_lies_about_where_they_are_does_not_get_more_tries(database_url: str) -> None:
    async with running(database_url, settings=unlimited(sign_ins_per_hour=2)) as service:
        phone = service.phone()
        assert [await asked(phone, "a@example.org", f"192.0.2.{n}") for n in range(3)] == [202, 202, 429]
    settings = unlimited(sign_ins_per_hour=1, trusted_proxies="127.0.0.0/8")
    async with running(database_url, settings=settings) as service:
        phone = service.phone()
        assert [await asked(phone, "a@example.org", f"{n}, 192.0.2.1") for n in range(2)] == [202, 429]
        assert await asked(phone, "a@example.org", "192.0.2.2") == 202


# --- Of members


async def status(phone: Phone) -> int:
    return (await phone.call("GET", "/v1/me")).status_code


async def test_each_member_has_their_own_requests(database_url: str) -> None:
    async with running(database_url, settings=unlimited(requests_per_minute=3)) as service:
        one, two = await service.phone().sign_in(), await service.phone().sign_in()
        again = await service.phone().sign_in(one.email)
        assert [await status(phone) for phone in (one, again, one, again, two)] == [200, 200, 200, 429, 200]
        service.clock.advance(seconds=59)
        refused = await one.call("GET", "/v1/me")
        assert (refused.json()["code"], refused.headers["Retry-After"]) == ("too_many_requests", "2")
        service.clock.advance(seconds=1)
        assert await status(one) == 200


async def test_what_one_does_takes_no_request_from_the_other(database_url: str) -> None:
    async with running(database_url) as service:
        one, two = await service.couple()
    settings = unlimited(requests_per_minute=5)
    async with running(database_url, settings=settings) as service:
        one.http, two.http = service.phone().http, service.phone().http
        while (await one.call("GET", "/v1/relationships/{rid}")).status_code == 200:
            pass
        assert [(await two.call("GET", "/v1/relationships/{rid}")).status_code for _ in range(6)] == [200] * 5 + [429]


def queue(count: int) -> Json:
    """So many entries."""
    noted = {"occurred_at": "2026-06-15T10:00:00Z", "note": "x"}
    return {"entries": [{"id": str(uuid4()), "kind": "check_in", "check_in": noted} for _ in range(count)]}


SYNC = "/v1/relationships/{rid}/sync"


async def test_a_member_sends_so_many_entries_a_minute_in_however_many_calls(database_url: str) -> None:
    async with running(database_url, settings=unlimited(entries_per_minute=10)) as service:
        one, two = await service.couple()
        await one.expect(200, "POST", SYNC, queue(6))
        refused = await one.call("POST", SYNC, queue(5))
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert refused.headers["Retry-After"] == "61"
        assert len(await one.events("private")) == 6, "nothing of a queue that is refused is recorded"
        await one.expect(200, "POST", SYNC, queue(0))  # the news are for everybody
        await one.expect(200, "POST", SYNC, queue(4))
        # What one sends takes nothing from the other.
        await two.expect(200, "POST", SYNC, queue(10))
        service.clock.advance(minutes=1)
        await one.expect(200, "POST", SYNC, queue(10))


async def test_a_queue_that_is_refused_is_not_looked_into(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(database_url, settings=unlimited(entries_per_minute=10)) as service:
        one = await service.member()
        await one.expect(200, "POST", SYNC, queue(10))
        looked_into = list[object]()
        monkeypatch.setattr(offline_queue, "decode", lambda raw, kind: looked_into.append(raw))
        await one.expect(429, "POST", SYNC, queue(10))
        assert not looked_into


async def test_invite_codes_can_be_tried_so_often_only(database_url: str) -> None:
    async with running(database_url, settings=unlimited(invite_tries_per_hour=2)) as service:
        one, two = await service.member(), await service.phone().sign_in()
        await two.consent()
        right = (await one.expect(201, "POST", "/v1/relationships/{rid}/invites"))["code"]
        tried = [await two.call("POST", "/v1/invites/accept", {"code": c}) for c in ("0" * 12, "1" * 12, right)]
        assert [answer.status_code for answer in tried] == [404, 404, 429]
        service.clock.advance(hours=1)
        two.access_token = (
            await two.expect(200, "POST", "/v1/sessions/refresh", {"refresh_token": two.refresh_token})
        )["access_token"]
        await two.expect(200, "POST", "/v1/invites/accept", {"code": right})
