"""Firebase Cloud Messaging: how a token is asked for, what is sent with it, and what each answer means."""

import asyncio
import logging
from collections.abc import AsyncIterator
from urllib.parse import parse_qs

import jwt
import pytest
from msgspec import json
from structlog.testing import capture_logs

from service.push import payloads
from service.push.fcm import SCOPE, FcmAccount, FcmSender
from service.push.notices import (
    Delivered,
    FirebaseDevice,
    Notice,
    PushClass,
    PushOutcome,
    Refused,
    RetryAfter,
    Unregistered,
)
from tests.support.phones import Clock, Json
from tests.support.pushing import CANARY, CLIENT_TLS, LOST, SILENCE_SECONDS, PushService, Received, Reply, said
from tests.support.vouching import OTHER_RSA_KEY, RSA_KEY

PROMPT = Notice(FirebaseDevice(CANARY), PushClass.PROMPT)
SENDING = "/v1/projects/a-project/messages:send"


class Google(PushService):
    """Firebase and the token endpoint. It gives a token only for an assertion that the account's key signed."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[str] = []
        self.token_replies: list[Reply] = []
        self.at["/token"] = self._grant

    def _grant(self, request: Received) -> Reply:
        if self.token_replies:
            return self.token_replies.pop(0)
        form = parse_qs(request.content.decode(), strict_parsing=True)
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        if not self._signed(form["assertion"][0]):
            return said(400, error="invalid_grant")
        self.given.append(f"a token of Google's, number {len(self.given)}")
        return said(200, access_token=self.given[-1], expires_in=3599, token_type="Bearer")

    def _signed(self, assertion: str) -> bool:
        try:
            claims = jwt.decode(
                assertion,
                RSA_KEY.public_key(),
                ["RS256"],
                audience=f"{self.url}/token",
                options={"verify_iat": False, "verify_exp": False},  # the clock of the test stands still
            )
        except jwt.PyJWTError:
            return False
        assert jwt.get_unverified_header(assertion)["kid"] == "the key's id"
        assert (claims["iss"], claims["scope"]) == ("push@a-project.example.org", SCOPE)
        return bool(claims["exp"] - claims["iat"] <= 3600)


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    service = Google()
    async with service.open():
        yield service


@pytest.fixture
def clock() -> Clock:
    return Clock()


def account(google: Google, **changed: str) -> FcmAccount:
    known = {"project_id": "a-project", "client_email": "push@a-project.example.org", "key_id": "the key's id"}
    return FcmAccount(**{**known, "token_uri": f"{google.url}/token", **changed}, key=RSA_KEY)


@pytest.fixture
async def sender(google: Google, clock: Clock) -> AsyncIterator[FcmSender]:
    made = FcmSender(account(google), google.url, clock, CLIENT_TLS, SILENCE_SECONDS)
    yield made
    await made.close()


# --- What is sent


async def test_a_message_holds_the_token_beside_constant_bytes(google: Google, sender: FcmSender) -> None:
    assert await sender.send(PROMPT) == Delivered()
    (sent,) = google.received
    assert (sent.headers[":method"], sent.path) == ("POST", SENDING)
    assert sent.headers["authorization"] == f"Bearer {google.given[0]}"
    android = json.decode(payloads.FCM[PushClass.PROMPT])
    assert json.decode(sent.content) == {"message": {"token": CANARY, "android": android}}


async def test_a_withdrawal_shows_nothing(google: Google, sender: FcmSender) -> None:
    await sender.send(Notice(FirebaseDevice(CANARY), PushClass.WITHDRAW))
    assert "notification" not in json.decode(google.received[0].content)["message"]["android"]


async def test_all_share_one_token(google: Google, sender: FcmSender) -> None:
    assert set(await asyncio.gather(*(sender.send(PROMPT) for _ in range(20)))) == {Delivered()}
    assert (len(google.received), len(google.given), google.connections) == (20, 1, 1)


@pytest.mark.parametrize(("minutes", "tokens"), [(54, 1), (55, 2)])
async def test_a_token_is_renewed_before_it_ends(
    google: Google, sender: FcmSender, clock: Clock, minutes: int, tokens: int
) -> None:
    await sender.send(PROMPT)
    clock.advance(minutes=minutes)
    await sender.send(PROMPT)
    assert len(google.given) == tokens


async def test_a_refused_token_is_renewed_once(google: Google, sender: FcmSender) -> None:
    google.replies.append(problem(401, "UNAUTHENTICATED"))
    assert await sender.send(PROMPT) == Delivered()
    assert len(google.given) == 2


async def test_a_token_refused_again_is_not_renewed_for_ever(google: Google, sender: FcmSender) -> None:
    google.replies.extend([problem(401, "UNAUTHENTICATED")] * 5)
    assert await sender.send(PROMPT) == Refused()
    assert len(google.given) == 2


async def test_those_who_were_refused_together_ask_for_one_token(google: Google, sender: FcmSender) -> None:
    await sender.send(PROMPT)
    google.replies.extend([problem(401, "UNAUTHENTICATED")] * 5)
    assert set(await asyncio.gather(*(sender.send(PROMPT) for _ in range(5)))) == {Delivered()}
    assert len(google.given) == 2


# --- What an answer means


def problem(status: int, name: str, *details: Json, message: str = "") -> Reply:
    return said(status, error={"code": status, "message": message, "status": name, "details": details})


def coded(code: str) -> Json:
    return {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}


def about(field: str) -> Json:
    violations = [{"field": field, "description": "Invalid"}]
    return {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}


NO_TOKEN = "The registration token is not a valid FCM registration token"
BUSY = Reply(503, b"<html>", {"retry-after": "9"})
ANSWERS: list[tuple[Reply, PushOutcome]] = [
    (said(200, name="projects/a-project/messages/1"), Delivered()),
    (problem(404, "NOT_FOUND", coded("UNREGISTERED")), Unregistered()),
    (problem(404, "NOT_FOUND"), Unregistered()),
    (Reply(404, b"<html>"), Refused()),
    (Reply(404), Refused()),
    (problem(400, "INVALID_ARGUMENT", coded("INVALID_ARGUMENT"), message=NO_TOKEN), Unregistered()),
    (problem(400, "INVALID_ARGUMENT", coded("INVALID_ARGUMENT"), about("message.token")), Unregistered()),
    (problem(400, "INVALID_ARGUMENT", about("message.data[0].value")), Refused()),
    (problem(400, "INVALID_ARGUMENT", coded("INVALID_ARGUMENT"), about("message")), Refused()),
    (problem(400, "INVALID_ARGUMENT", about("message.android.ttl"), about("message.token")), Refused()),
    (problem(400, "INVALID_ARGUMENT"), Refused()),
    (problem(403, "PERMISSION_DENIED", coded("SENDER_ID_MISMATCH")), Unregistered("other_app")),
    (problem(403, "PERMISSION_DENIED"), Refused()),
    (problem(429, "RESOURCE_EXHAUSTED", coded("QUOTA_EXCEEDED")), RetryAfter(60)),
    (Reply(429, headers={"retry-after": "7"}), RetryAfter(7)),
    (problem(500, "INTERNAL", coded("INTERNAL")), RetryAfter(60)),
    (BUSY, RetryAfter(9)),
    (Reply(400, b'{"error": []}'), Refused()),
    (Reply(307, headers={"location": "https://127.0.0.1:1/"}), Refused()),
]


@pytest.mark.parametrize(("reply", "outcome"), ANSWERS, ids=lambda one: repr(one)[:90])
async def test_each_answer_has_one_meaning(
    google: Google, sender: FcmSender, reply: Reply, outcome: PushOutcome
) -> None:
    google.replies.append(reply)
    assert await sender.send(PROMPT) == outcome
    assert len(google.received) == 1


@pytest.mark.parametrize("reply", LOST, ids=lambda one: one.then)
async def test_without_an_answer_it_is_tried_again(google: Google, sender: FcmSender, reply: Reply) -> None:
    google.replies.append(reply)
    assert await sender.send(PROMPT) == RetryAfter(5)
    assert await sender.send(PROMPT) == Delivered()


# --- No token


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (BUSY, RetryAfter(9)),
        (Reply(then="hang up"), RetryAfter(5)),
        (said(400, error="invalid_grant"), Refused()),
        (said(200, access_token=5), Refused()),
        (Reply(200, b"\xff"), Refused()),
    ],
)
async def test_without_an_access_token_nothing_is_sent(
    google: Google, sender: FcmSender, clock: Clock, reply: Reply, outcome: PushOutcome
) -> None:
    google.token_replies.append(reply)
    assert await sender.send(PROMPT) == outcome
    assert google.received == []
    clock.advance(seconds=5)
    assert await sender.send(PROMPT) == Delivered()


async def test_those_who_wait_for_a_token_fail_together(google: Google, sender: FcmSender) -> None:
    google.token_replies.extend([Reply(then="keep silent")] * 20)
    async with asyncio.timeout(5 * SILENCE_SECONDS):
        assert set(await asyncio.gather(*(sender.send(PROMPT) for _ in range(20)))) == {RetryAfter(5)}
    assert len(google.token_replies) == 19


async def test_an_assertion_of_another_key_gets_no_token(google: Google, clock: Clock) -> None:
    forged = FcmAccount("a-project", "push@a-project.example.org", f"{google.url}/token", "the key's id", OTHER_RSA_KEY)
    sender = FcmSender(forged, google.url, clock, CLIENT_TLS, SILENCE_SECONDS)
    assert await sender.send(PROMPT) == Refused()
    await sender.close()
    assert (google.given, google.received) == ([], [])


# --- What is told


async def test_nothing_of_a_device_or_a_token_is_logged(
    google: Google, sender: FcmSender, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    google.replies.extend([problem(400, CANARY, message=CANARY), *LOST[:2], problem(403, "PERMISSION_DENIED")])
    with capture_logs() as logs:
        for _ in range(5):
            await sender.send(PROMPT)
    told = f"{caplog.text} {logs} {capfd.readouterr()} {PROMPT!r}"
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("push_refused", ""),
        ("push_refused", "PERMISSION_DENIED"),
    ]
    assert [secret for secret in (CANARY, google.given[0], "assertion", "127.0.0.1") if secret in told] == []
