"""Apple's push service, spoken to over HTTP/2: what is sent, what each answer means, and what happens without one."""

import asyncio
import logging
from collections.abc import AsyncIterator

import jwt
import pytest
from structlog.testing import capture_logs

from service.push import payloads
from service.push.apns import ApnsKey, ApnsSender
from service.push.notices import (
    AppleDevice,
    Delivered,
    Notice,
    PushClass,
    PushOutcome,
    Refused,
    RetryAfter,
    Unregistered,
)
from tests.support.phones import NOON, Clock
from tests.support.pushing import CANARY, CLIENT_TLS, EC_KEY, LOST, SILENCE_SECONDS, PushService, Reply, said

KEY = ApnsKey(EC_KEY, "KEY1234567", "TEAM123456", "org.example.mutuality")
PROMPT = Notice(AppleDevice(CANARY), PushClass.PROMPT)
EXPIRED = said(403, reason="ExpiredProviderToken")


@pytest.fixture
async def apple() -> AsyncIterator[PushService]:
    async with PushService().open() as service:
        yield service


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sender(apple: PushService, clock: Clock) -> AsyncIterator[ApnsSender]:
    made = ApnsSender(KEY, apple.url, "https://127.0.0.1:1", clock, CLIENT_TLS, SILENCE_SECONDS)
    yield made
    await made.close()


def provider_tokens(apple: PushService) -> list[str]:
    return [one.headers["authorization"].removeprefix("bearer ") for one in apple.received]


# --- What is sent


async def test_a_push_carries_what_apple_asks_for(apple: PushService, sender: ApnsSender) -> None:
    assert await sender.send(PROMPT) == Delivered()
    (sent,) = apple.received
    assert (sent.headers[":method"], sent.path) == ("POST", f"/3/device/{CANARY}")
    assert {name: value for name, value in sent.headers.items() if name.startswith("apns-")} == {
        "apns-topic": "org.example.mutuality",
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-expiration": str(int(NOON.timestamp()) + 3600),
        "apns-collapse-id": "check-in",
    }
    assert sent.content == payloads.APNS[PushClass.PROMPT]


async def test_a_withdrawal_stays_in_the_background(apple: PushService, sender: ApnsSender) -> None:
    await sender.send(Notice(AppleDevice(CANARY), PushClass.WITHDRAW))
    (sent,) = apple.received
    assert (sent.headers["apns-push-type"], sent.headers["apns-priority"]) == ("background", "5")


async def test_our_token_is_signed_with_our_key(apple: PushService, sender: ApnsSender) -> None:
    await sender.send(PROMPT)
    (token,) = provider_tokens(apple)
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "KEY1234567", "typ": "JWT"}
    claims = jwt.decode(token, EC_KEY.public_key(), ["ES256"], options={"verify_iat": False})
    assert claims == {"iss": "TEAM123456", "iat": int(NOON.timestamp())}


@pytest.mark.parametrize(("minutes", "tokens"), [(20, 1), (59, 2)])
async def test_a_token_serves_for_between_20_and_60_minutes(
    apple: PushService, sender: ApnsSender, clock: Clock, minutes: int, tokens: int
) -> None:
    await sender.send(PROMPT)
    clock.advance(minutes=minutes)
    await sender.send(PROMPT)
    assert len(set(provider_tokens(apple))) == tokens


async def test_all_pushes_share_one_connection(apple: PushService, sender: ApnsSender) -> None:
    outcomes = await asyncio.gather(*(sender.send(PROMPT) for _ in range(50)))
    assert set(outcomes) == {Delivered()}
    assert (len(apple.received), apple.connections) == (50, 1)
    assert len(set(provider_tokens(apple))) == 1


async def test_the_environment_chooses_the_address(apple: PushService, sender: ApnsSender) -> None:
    assert await sender.send(Notice(AppleDevice(CANARY, "sandbox"), PushClass.PROMPT)) == RetryAfter(5)
    assert apple.received == []


async def test_a_token_changes_nothing_but_the_last_part_of_the_path(apple: PushService, sender: ApnsSender) -> None:
    await sender.send(Notice(AppleDevice("../x?y=1#z"), PushClass.PROMPT))
    assert [one.path for one in apple.received] == ["/3/device/..%2Fx%3Fy%3D1%23z"]


# --- What an answer means

ANSWERS: list[tuple[Reply, PushOutcome]] = [
    (said(200), Delivered()),
    (said(400, reason="BadDeviceToken"), Unregistered()),
    (said(410, reason="Unregistered", timestamp=1), Unregistered()),
    (said(410, reason="ExpiredToken", timestamp=1), Unregistered()),
    (said(400, reason="PayloadEmpty"), Refused()),
    (said(400, reason="DeviceTokenNotForTopic"), Refused(by_device=True)),
    (said(400, reason="IdleTimeout"), RetryAfter(5)),
    (Reply(400), Refused()),
    (Reply(400, b"\xff"), Refused()),
    (Reply(400, b'{"reason": 5}'), Refused()),
    (said(403, reason="InvalidProviderToken"), Refused()),
    (said(403, reason="BadDeviceToken"), Refused()),
    (said(404, reason="BadPath"), Refused()),
    (said(413, reason="PayloadTooLarge"), Refused()),
    (said(429, reason="TooManyRequests"), RetryAfter(60)),
    (Reply(429, headers={"retry-after": "7"}), RetryAfter(7)),
    (said(500, reason="InternalServerError"), RetryAfter(60)),
    (said(503, reason="ServiceUnavailable"), RetryAfter(60)),
    (Reply(503, headers={"retry-after": "Mon, 15 Jun 2026 12:02:00 GMT"}), RetryAfter(120)),
    (Reply(503, headers={"retry-after": "99999999999999999999"}), RetryAfter(3600)),
    (Reply(503, headers={"retry-after": "-1"}), RetryAfter(60)),
    (Reply(302, headers={"location": "https://127.0.0.1:1/"}), Refused()),
]


@pytest.mark.parametrize(("reply", "outcome"), ANSWERS, ids=lambda one: repr(one)[:60])
async def test_each_answer_has_one_meaning(
    apple: PushService, sender: ApnsSender, reply: Reply, outcome: PushOutcome
) -> None:
    apple.replies.append(reply)
    assert await sender.send(PROMPT) == outcome
    assert len(apple.received) == 1


async def test_a_token_held_for_too_old_is_replaced_once(apple: PushService, sender: ApnsSender, clock: Clock) -> None:
    await sender.send(PROMPT)
    clock.advance(minutes=30)
    apple.replies.append(EXPIRED)
    assert await sender.send(PROMPT) == Delivered()
    first, refused, renewed = provider_tokens(apple)
    assert first == refused != renewed


async def test_a_token_refused_again_is_not_replaced_for_ever(apple: PushService, sender: ApnsSender) -> None:
    apple.replies.extend([EXPIRED] * 5)
    assert await sender.send(PROMPT) == RetryAfter(60)
    assert len(apple.received) == 1


async def test_there_is_at_most_one_new_token_in_twenty_minutes_whatever_apple_says(
    apple: PushService, sender: ApnsSender, clock: Clock
) -> None:
    for _ in range(60):
        apple.replies.extend([EXPIRED] * 5)
        await sender.send(PROMPT)
        apple.replies.clear()
        clock.advance(minutes=1)
    assert len(set(provider_tokens(apple))) == 3


async def test_a_token_from_a_clock_that_was_ahead_is_not_kept(
    apple: PushService, sender: ApnsSender, clock: Clock
) -> None:
    clock.advance(hours=5)
    await sender.send(PROMPT)
    clock.advance(hours=-5)
    await sender.send(PROMPT)
    assert len(set(provider_tokens(apple))) == 2


async def test_those_who_were_refused_together_share_the_new_token(
    apple: PushService, sender: ApnsSender, clock: Clock
) -> None:
    await sender.send(PROMPT)
    clock.advance(minutes=30)
    apple.replies.extend([EXPIRED] * 5)
    assert set(await asyncio.gather(*(sender.send(PROMPT) for _ in range(5)))) == {Delivered()}
    assert len(set(provider_tokens(apple))) == 2


# --- No answer


@pytest.mark.parametrize("reply", LOST, ids=lambda one: one.then)
async def test_without_an_answer_it_is_tried_again(apple: PushService, sender: ApnsSender, reply: Reply) -> None:
    apple.replies.append(reply)
    assert await sender.send(PROMPT) == RetryAfter(5)
    assert await sender.send(PROMPT) == Delivered()
    assert apple.connections == 2


async def test_a_connection_that_was_ended_properly_costs_nothing(apple: PushService, sender: ApnsSender) -> None:
    apple.replies.append(Reply(then="say goodbye"))
    assert [await sender.send(PROMPT) for _ in range(3)] == [Delivered()] * 3
    assert apple.connections == 2


async def test_a_certificate_that_nobody_vouches_for_is_no_apple(apple: PushService, clock: Clock) -> None:
    sender = ApnsSender(KEY, apple.url, apple.url, clock)
    assert await sender.send(PROMPT) == RetryAfter(5)
    await sender.close()
    assert apple.received == []


# --- What is told


async def test_nothing_of_a_device_or_a_token_is_logged(
    apple: PushService, sender: ApnsSender, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    apple.replies.extend([said(400, reason=CANARY), Reply(then="hang up"), said(410, reason="Unregistered")])
    with capture_logs() as logs:
        for _ in range(4):
            await sender.send(PROMPT)
    told = f"{caplog.text} {logs} {capfd.readouterr()} {PROMPT!r}"
    assert [line["event"] for line in logs] == ["push_refused"]
    assert [secret for secret in (CANARY, provider_tokens(apple)[0][-20:], "127.0.0.1") if secret in told] == []
