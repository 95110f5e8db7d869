"""Whatever is asked, a push says one thing per class and provider; and which provider the settings choose."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from service.core.networks import networks
from service.errors import StartupError
from service.push import payloads, senders
from service.push.notices import (
    AppleDevice,
    Delivered,
    DeviceAddress,
    FirebaseDevice,
    Notice,
    PushClass,
    Sender,
)
from service.settings import Settings
from tests.service.push.test_webpush import BROWSER, Browser
from tests.support.phones import Clock
from tests.support.pushing import CANARY, CLIENT_TLS, EC_KEY, PushService, Received, private, said
from tests.support.vouching import RSA_KEY
from tests.test_words import found_in

OTHER_BROWSER = Browser(ec.generate_private_key(ec.SECP256R1()), b"another sixteen.")
LOOPBACK = networks("127.0.0.0/8")
ACCOUNT = {"project_id": "p", "client_email": "push@example.org", "private_key_id": "k", "type": "service_account"}


@pytest.fixture
async def provider() -> AsyncIterator[PushService]:
    """All three in one, and the token endpoint."""
    async with PushService().open("localhost") as service:
        service.at["/token"] = lambda request: said(200, access_token="a token", expires_in=3600)
        yield service


def files(folder: Path, **changed: bytes) -> dict[str, Path]:
    """The three files with keys, as an operator has them."""
    account = {**ACCOUNT, "token_uri": "https://localhost/token", "private_key": private(RSA_KEY).decode()}
    known = {"apns_key_file": private(EC_KEY), "vapid_key_file": private(EC_KEY)}
    for name, content in {**known, "fcm_account_file": msgspec.json.encode(account), **changed}.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in (*known, "fcm_account_file")}


def settings(folder: Path, provider: PushService, **changed: Any) -> Settings:
    """Of a service that has all three providers."""
    account = {**ACCOUNT, "token_uri": f"{provider.url}/token", "private_key": private(RSA_KEY).decode()}
    urls = dict.fromkeys(("apns_url", "apns_sandbox_url", "fcm_url"), provider.url)
    names = {"apns_key_id": "k", "apns_team_id": "t", "apns_topic": "a.b", "vapid_subject": "mailto:a@example.org"}
    known = files(folder, fcm_account_file=msgspec.json.encode(account))
    return Settings(**{**known, **urls, **names, **changed})


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sender(tmp_path: Path, provider: PushService, clock: Clock) -> AsyncIterator[Sender]:
    async with senders.open_senders(settings(tmp_path, provider), clock, CLIENT_TLS, LOOPBACK) as opened:
        yield opened


# --- One payload per class


def some_device(chance: random.Random, provider: PushService) -> DeviceAddress:
    """Any device of any provider."""
    token = f"{chance.getrandbits(256):064x}"
    browser = chance.choice([BROWSER, OTHER_BROWSER])
    kinds: list[Callable[[], DeviceAddress]] = [
        lambda: AppleDevice(token, chance.choice(["production", "sandbox"])),
        lambda: FirebaseDevice(token),
        lambda: browser.subscribed(f"{provider.url}/web/{browser.secret.hex()}/{token}"),
    ]
    return chance.choice(kinds)()


def carried(request: Received) -> tuple[str, object, tuple[tuple[str, str], ...]]:
    """The provider, what reaches the device, and all headers but those that name the device, the sender or the time."""
    where = request.path.split("/")[1]
    content: object = request.content
    if where == "web":
        browser = BROWSER if BROWSER.secret.hex() in request.path else OTHER_BROWSER
        content = browser.read(request.content), len(request.content)
    if where == "v1":
        message = msgspec.json.decode(request.content)["message"]
        assert len(message.pop("token")) == 64
        content = msgspec.json.encode(message)
        # The token is all that a message may differ by, down to its length.
        content = content, len(request.content)
    varying = {":path", "authorization", "apns-expiration"}
    headers = tuple(sorted((name, text) for name, text in request.headers.items() if name not in varying))
    return where, content, headers


async def test_there_is_one_payload_per_class_and_provider(sender: Sender, provider: PushService, clock: Clock) -> None:
    chance, sent = random.Random(4), Counter[tuple[str, PushClass]]()
    found: dict[tuple[str, PushClass], set[object]] = {}
    for _ in range(600):
        clock.advance(seconds=chance.randrange(450))
        kind = chance.choice([*PushClass])
        assert await sender.send(Notice(some_device(chance, provider), kind)) == Delivered()
        where, *carries = carried(provider.received[-1])
        found.setdefault((where, kind), set()).add(tuple(carries))
        sent[where, kind] += 1
    assert len(found) == 12
    assert {key: len(payload) for key, payload in found.items()} == dict.fromkeys(found, 1)
    assert min(sent.values()) > 30


async def test_the_life_of_a_push_is_that_of_its_class(sender: Sender, provider: PushService, clock: Clock) -> None:
    lives = set()
    for _ in range(30):
        clock.advance(seconds=7)
        await sender.send(Notice(AppleDevice(CANARY), PushClass.PROMPT))
        lives.add(int(provider.received[-1].headers["apns-expiration"]) - int(clock().timestamp()))
    assert lives == {payloads.TTL_SECONDS[PushClass.PROMPT]}


ALL = [*payloads.APNS.values(), *payloads.FCM.values(), *payloads.WEB_PUSH.values()]


def test_no_payload_grades_anybody() -> None:
    assert [hits for payload in ALL if (hits := found_in(payload.decode()))] == []


def test_every_class_has_a_payload_with_every_provider() -> None:
    for table in (payloads.APNS, payloads.FCM, payloads.WEB_PUSH, payloads.TTL_SECONDS):
        assert table.keys() == set(PushClass)


def test_what_fcm_is_told_is_what_the_others_are_told() -> None:
    for kind in PushClass:
        android = msgspec.json.decode(payloads.FCM[kind])
        assert (android["collapse_key"], android["ttl"]) == (payloads.COLLAPSE_ID, f"{payloads.TTL_SECONDS[kind]}s")
        assert android.get("notification", {}).get("tag", "check-in") == payloads.COLLAPSE_ID


def test_badges_count_nothing() -> None:
    badges = {msgspec.json.decode(payload)["aps"].get("badge") for payload in payloads.APNS.values()}
    assert badges == {1, None}


# --- The console


async def test_without_a_provider_the_console_tells_that_a_prompt_would_arrive(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    web = BROWSER.subscribed(f"https://push.example.org/{CANARY}")
    async with senders.open_senders(Settings(), clock) as sender:
        for device in (AppleDevice(CANARY), FirebaseDevice(CANARY), web):
            assert await sender.send(Notice(device, PushClass.PROMPT)) == Delivered()
    assert capsys.readouterr().out == "\n--- a push of the class prompt would arrive on one device ---\n" * 3


# --- What is set up


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"apns_key_id": None}, "MUTUALITY_APNS_KEY_ID"),
        ({"apns_topic": ""}, "MUTUALITY_APNS_TOPIC"),
        ({"vapid_subject": None}, "MUTUALITY_VAPID_SUBJECT"),
        ({"vapid_subject": "somebody"}, "MUTUALITY_VAPID_SUBJECT"),
        ({"apns_key_file": Path("nowhere.p8")}, "No such file"),
        ({"fcm_account_file": Path("nowhere.json")}, "No such file"),
    ],
)
async def test_half_a_set_up_stops_the_start(
    tmp_path: Path, provider: PushService, clock: Clock, changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(StartupError, match=told):
        async with senders.open_senders(settings(tmp_path, provider, **changed), clock):
            pass


WRONG = {
    "not PEM": b"a key",
    "another kind": private(RSA_KEY),
    "another curve": private(ec.generate_private_key(ec.SECP384R1())),
}


@pytest.mark.parametrize("name", ["apns_key_file", "vapid_key_file", "fcm_account_file"])
@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
async def test_a_file_without_the_right_key_stops_the_start(
    tmp_path: Path, provider: PushService, clock: Clock, name: str, content: bytes
) -> None:
    made = settings(tmp_path, provider)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StartupError, match=f"MUTUALITY_{name.upper()}") as failure:
        async with senders.open_senders(made, clock):
            pass
    assert "PRIVATE" not in str(failure.value)


async def test_an_account_with_a_key_of_another_kind_stops_the_start(
    tmp_path: Path, provider: PushService, clock: Clock
) -> None:
    made = settings(tmp_path, provider)
    account = {**ACCOUNT, "token_uri": "https://localhost/token", "private_key": private(EC_KEY).decode()}
    (tmp_path / "fcm_account_file").write_bytes(msgspec.json.encode(account))
    with pytest.raises(StartupError, match="RSA"):
        async with senders.open_senders(made, clock):
            pass
