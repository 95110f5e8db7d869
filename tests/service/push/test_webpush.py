"""Web Push: read as a browser reads it, signed as push services check it, and sent to the open internet alone."""

import asyncio
import logging
import socket
import struct
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from ipaddress import ip_address

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from service.core.networks import networks
from service.push import payloads
from service.push.encryption import encrypt, point
from service.push.notices import (
    Delivered,
    Notice,
    PushClass,
    PushOutcome,
    Refused,
    RetryAfter,
    SubscriptionKeys,
    Unregistered,
    WebSubscription,
)
from service.push.ssrf_guard import is_public
from service.push.webpush import BadSubscription, VapidKey, WebPushSender, endpoint_of, public_key
from tests.support.phones import NOON, Clock
from tests.support.pushing import CANARY, CLIENT_TLS, EC_KEY, LOST, SILENCE_SECONDS, PushService, Reply, unpadded

LOOPBACK = networks("127.0.0.0/8, ::1/128")
VAPID = VapidKey(EC_KEY, "mailto:push@example.org")


class Browser:
    """A browser that has subscribed: it alone can read what comes."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, secret: bytes) -> None:
        self.key, self.secret = key, secret

    def subscribed(self, endpoint: str, **changed: str) -> WebSubscription:
        """As it tells its phone app."""
        keys = {"p256dh": unpadded(point(self.key.public_key())), "auth": unpadded(self.secret)} | changed
        return WebSubscription(endpoint, SubscriptionKeys(**keys))

    def read(self, content: bytes) -> bytes:
        """RFC 8291, section 3.4, from the side of the browser."""
        salt, (size, length) = content[:16], struct.unpack("!IB", content[16:21])
        sender, sealed = content[21 : 21 + length], content[21 + length :]
        assert len(sealed) <= size
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        about = b"WebPush: info\0" + point(self.key.public_key()) + sender
        secret = HKDF(SHA256(), 32, self.secret, about).derive(shared)
        key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(secret)
        nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(secret)
        text, end, padding = AESGCM(key).decrypt(nonce, sealed, None).rpartition(b"\x02")
        assert (end, padding.strip(b"\0")) == (b"\x02", b"")
        return text


BROWSER = Browser(ec.generate_private_key(ec.SECP256R1()), b"sixteen bytes...")


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with PushService().open("localhost") as started:
        yield started


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sender(clock: Clock) -> AsyncIterator[WebPushSender]:
    made = WebPushSender(VAPID, clock, CLIENT_TLS, LOOPBACK, SILENCE_SECONDS)
    yield made
    await made.close()


def notice(service: PushService, kind: PushClass = PushClass.PROMPT) -> Notice:
    return Notice(BROWSER.subscribed(f"{service.url}/push/{CANARY}?and=more"), kind)


# --- What is sent


def test_the_example_of_rfc_8291_comes_out_byte_for_byte() -> None:
    ours, theirs = (
        ec.derive_private_key(int.from_bytes(unbase64(scalar)), ec.SECP256R1())
        for scalar in ("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw", "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")
    )
    text, secret = b"When I grow up, I want to be a watermelon", unbase64("BTBZMqHH6r4Tts7J_aSIgg")
    body = encrypt(text, theirs.public_key(), secret, ours, unbase64("DGv6ra1nlYgDCS1FRnbzlw"))
    assert unpadded(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"
        "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    assert Browser(theirs, secret).read(body) == text


def unbase64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize("kind", PushClass)
async def test_the_browser_reads_it(service: PushService, sender: WebPushSender, kind: PushClass) -> None:
    service.replies.append(Reply(201))
    assert await sender.send(notice(service, kind)) == Delivered()
    (sent,) = service.received
    assert (sent.headers[":method"], sent.path) == ("POST", f"/push/{CANARY}?and=more")
    assert BROWSER.read(sent.content) == payloads.WEB_PUSH[kind]
    told = {name: sent.headers[name] for name in ("content-encoding", "ttl", "topic", "urgency")}
    ttl = str(payloads.TTL_SECONDS[kind])
    assert told == {"content-encoding": "aes128gcm", "ttl": ttl, "topic": "check-in", "urgency": "normal"}


async def test_nobody_else_can_tell_the_classes_by_their_length(service: PushService, sender: WebPushSender) -> None:
    for kind in PushClass:
        await sender.send(notice(service, kind))
    assert len({len(one.content) for one in service.received}) == 1


async def test_no_two_bodies_share_a_key_or_salt(service: PushService, sender: WebPushSender) -> None:
    for _ in range(3):
        await sender.send(notice(service))
    assert len({one.content[:16] for one in service.received}) == 3
    assert len({one.content[21:86] for one in service.received}) == 3


async def test_the_service_sees_who_sends(service: PushService, sender: WebPushSender) -> None:
    await sender.send(notice(service))
    scheme, token, key = service.received[0].headers["authorization"].split(" ")
    assert (scheme, key) == ("vapid", f"k={public_key(VAPID)}")
    signer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unbase64(public_key(VAPID)))
    token = token.removeprefix("t=").removesuffix(",")
    claims = jwt.decode(token, signer, ["ES256"], audience=service.url, options={"verify_exp": False})
    assert claims["sub"] == "mailto:push@example.org"
    assert NOON.timestamp() < claims["exp"] <= NOON.timestamp() + 24 * 3600


@pytest.mark.parametrize(("hours", "tokens"), [(5, 1), (11, 2)])
async def test_an_origin_sees_one_token_for_half_of_its_life(
    service: PushService, sender: WebPushSender, clock: Clock, hours: int, tokens: int
) -> None:
    for _ in range(2):
        await sender.send(notice(service))
        clock.advance(hours=hours)
    assert len({one.headers["authorization"] for one in service.received}) == tokens


async def test_each_origin_sees_a_token_of_its_own(service: PushService, sender: WebPushSender) -> None:
    async with PushService().open() as other:
        await sender.send(notice(service))
        await sender.send(notice(other))
        here, there = (one.received[0].headers["authorization"] for one in (service, other))
    assert here != there


async def test_pushes_to_one_origin_share_a_connection(service: PushService, sender: WebPushSender) -> None:
    assert set(await asyncio.gather(*(sender.send(notice(service)) for _ in range(20)))) == {Delivered()}
    assert service.connections == 1


# --- What an answer means

ANSWERS: list[tuple[Reply, PushOutcome]] = [
    *((Reply(status), Delivered()) for status in (200, 201, 202, 204)),
    *((Reply(status), Unregistered()) for status in (404, 410)),
    *((Reply(status), Refused(by_device=True)) for status in (400, 401, 403)),
    (Reply(413), Refused()),
    *((Reply(status), RetryAfter(60)) for status in (429, 500, 502, 503)),
    (Reply(429, headers={"retry-after": "3"}), RetryAfter(3)),
    (Reply(301, headers={"location": "https://localhost:1/"}), Refused()),
    (Reply(201, b"x" * 60_000), Delivered()),
]


@pytest.mark.parametrize(("reply", "outcome"), ANSWERS, ids=lambda one: repr(one)[:60])
async def test_each_answer_has_one_meaning(
    service: PushService, sender: WebPushSender, reply: Reply, outcome: PushOutcome
) -> None:
    service.replies.append(reply)
    assert await sender.send(notice(service)) == outcome
    assert len(service.received) == 1


@pytest.mark.parametrize("reply", LOST, ids=lambda one: one.then)
async def test_without_an_answer_it_is_tried_again(service: PushService, sender: WebPushSender, reply: Reply) -> None:
    service.replies.append(reply)
    assert await sender.send(notice(service)) == RetryAfter(5)
    assert await sender.send(notice(service)) == Delivered()


async def test_a_certificate_that_nobody_vouches_for_gets_nothing(service: PushService, clock: Clock) -> None:
    sender = WebPushSender(VAPID, clock, allowed=LOOPBACK)
    assert await sender.send(notice(service)) == RetryAfter(5)
    await sender.close()
    assert service.received == []


# --- Where it is sent to


@pytest.mark.parametrize(
    "changed",
    [
        {"auth": "c2hvcnQ"},
        {"auth": "ü" * 22},
        {"p256dh": ""},
        {"p256dh": unpadded(b"\x04" + b"\x01" * 64)},
        {"p256dh": unpadded(b"\x04" + b"\x00" * 64)},
    ],
)
async def test_keys_that_are_none_are_refused(
    service: PushService, sender: WebPushSender, changed: dict[str, str]
) -> None:
    assert await sender.send(Notice(BROWSER.subscribed(service.url, **changed), PushClass.PROMPT)) == Refused()
    assert service.received == []


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://push.example.org/x",
        "ftp://push.example.org/x",
        "//push.example.org/x",
        "https:///x",
        "https://user:word@push.example.org/x",
        "https://push.example.org/" + "x" * 2048,
        "https://push.example.org:port/x",
        "https://[::1/x",
        "https://push.example.org:99999/x",
        "https://push.example.org:65536/x",
        "https://a..b/x",
        f"https://{'a' * 64}.example.org/x",
        "https://\x00/x",
        "nonsense",
        "",
    ],
)
async def test_only_a_plain_https_address_will_do(sender: WebPushSender, endpoint: str) -> None:
    assert await sender.send(Notice(BROWSER.subscribed(endpoint), PushClass.PROMPT)) == Refused()


@given(st.sampled_from(["", "https://", "https://[", "https://xn--"]), st.text(max_size=40))
def test_any_text_is_an_address_or_refused(start: str, text: str) -> None:
    with suppress(BadSubscription):
        assert endpoint_of(BROWSER.subscribed(start + text)).scheme == "https"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A door inside our own network."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001", "127.1"])
async def test_nobody_inside_is_knocked_at(clock: Clock, listener: socket.socket, host: str) -> None:
    sender = WebPushSender(VAPID, clock, CLIENT_TLS)
    endpoint = f"https://{host}:{listener.getsockname()[1]}/x"
    assert await sender.send(Notice(BROWSER.subscribed(endpoint), PushClass.PROMPT)) == Refused()
    await sender.close()
    with pytest.raises(BlockingIOError):
        listener.accept()


INSIDE = """
    127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 100.100.100.200 0.0.0.0 192.0.0.8 192.0.2.1
    192.88.99.1 198.18.0.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::a00:1 100::1 2001::1
    2001:db8::1 2002:7f00:1:: 3fff::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1
"""
OUTSIDE = "8.8.8.8 17.253.144.10 192.0.1.1 2a00:1450:4001::8 64:ff9b::808:808 ::ffff:8.8.8.8"


@pytest.mark.parametrize("address", INSIDE.split())
def test_these_are_not_the_open_internet(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE.split())
def test_these_are(address: str) -> None:
    assert is_public(ip_address(address))


async def test_a_name_is_asked_for_once_and_what_it_said_is_used(
    service: PushService, sender: WebPushSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    names(monkeypatch, answers)
    assert await sender.send(notice(service)) == Delivered()
    assert answers == [["10.0.0.1"]]


async def test_one_inner_address_among_others_is_enough_to_refuse(
    service: PushService, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, [["8.8.8.8", "10.0.0.1"]])
    sender = WebPushSender(VAPID, clock, CLIENT_TLS)
    assert await sender.send(notice(service)) == Refused()
    await sender.close()


async def test_a_name_that_nobody_knows_is_asked_for_again_later(
    service: PushService, sender: WebPushSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, [])
    assert await sender.send(notice(service)) == RetryAfter(5)


def names(monkeypatch: pytest.MonkeyPatch, answers: list[list[str]]) -> None:
    """What the names of the world lead to, one answer a question; then none."""

    def getaddrinfo(host: str, port: int, **options: object) -> list[object]:
        if not answers:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


# --- What is told


async def test_nothing_of_a_subscription_or_a_token_is_logged(
    service: PushService,
    sender: WebPushSender,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    service.replies.extend([Reply(403, CANARY.encode()), Reply(then="hang up")])
    with capture_logs() as logs:
        for endpoint in (service.url + f"/{CANARY}", service.url + f"/{CANARY}", f"http://{CANARY}.example.org"):
            await sender.send(Notice(BROWSER.subscribed(endpoint), PushClass.PROMPT))
    told = f"{caplog.text} {logs} {capfd.readouterr()} {notice(service)!r}"
    assert [line.get("reason") for line in logs] == [None, "BadSubscription"]
    secrets = (CANARY, service.url, service.received[0].headers["authorization"][-90:], unpadded(BROWSER.secret))
    assert [secret for secret in secrets if secret in told] == []
