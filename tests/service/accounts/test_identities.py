"""Sign in with Apple and Google: which identity tokens are accepted, which are not, and that each is accepted once."""

import asyncio
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any, TypeAlias

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.accounts.id_tokens import FETCH_SECONDS, JwksCache
from service.errors import ProviderAway
from tests.service.accounts.test_sessions import count
from tests.service.accounts.test_step_up import may
from tests.support.phones import NOON, Phone, Running, running, unlimited
from tests.support.vouching import (
    CLIENT_ID,
    EC_KEY,
    GOOGLE,
    NONCE,
    OTHER_RSA_KEY,
    RSA_KEY,
    KeyServer,
    claims,
    hashed,
    published,
    registered,
    token,
    unsigned,
)


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    """A provider's key server."""
    with KeyServer().open() as server:
        yield server


@pytest.fixture
async def service(database_url: str, keys: KeyServer) -> AsyncIterator[Running]:
    """The service, registered with both providers."""
    async with running(database_url, settings=unlimited(**registered(keys))) as started:
        yield started


# Makes a token for the nonce of a sign-in, which is made anew each time.
Vouching: TypeAlias = Callable[[str], str]


def vouched(*how: Any, **said: Any) -> Vouching:
    """The provider signs in a person: its token has the hash of the nonce."""
    return lambda nonce: token(*how, **{"nonce": hashed(nonce)} | said)


async def made_nonce(phone: Phone) -> str:
    made: str = (await phone.expect(201, "POST", "/v1/sign-in-nonces", {}))["nonce"]
    return made


async def sent(phone: Phone, id_token: str, nonce: str, provider: str = "apple") -> httpx.Response:
    body = {"id_token": id_token, "nonce": nonce, "device_name": "a phone"}
    return await phone.call("POST", f"/v1/sessions/{provider}", body)


async def enter(phone: Phone, vouch: Vouching, provider: str = "apple") -> httpx.Response:
    nonce = await made_nonce(phone)
    return await sent(phone, vouch(nonce), nonce, provider)


async def signed_in(service: Running, vouch: Vouching, provider: str = "apple") -> Phone:
    phone = service.phone()
    answer = await enter(phone, vouch, provider)
    assert answer.status_code == 201, answer.text
    return phone.take(answer.json())


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


async def outcome(service: Running, vouch: Vouching, provider: str = "apple") -> tuple[int, str]:
    return told(await enter(service.phone(), vouch, provider))


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
REFUSED = (401, "identity_refused")
ACCEPTED = (201, "")


# --- Who it is


async def test_the_same_person_is_the_same_member(service: Running) -> None:
    first, again = await signed_in(service, vouched()), await signed_in(service, vouched())
    other = await signed_in(service, vouched(sub="another person"))
    assert first.member_id == again.member_id != other.member_id
    assert (await first.get("/v1/me"))["email"] is None
    assert len((await first.get("/v1/sessions"))["sessions"]) == 2


async def test_the_same_name_with_another_provider_is_another_person(service: Running) -> None:
    apple = await signed_in(service, vouched())
    google = await signed_in(service, vouched(iss=GOOGLE), "google")
    short = await signed_in(service, vouched(iss="accounts.google.com"), "google")
    assert apple.member_id != google.member_id == short.member_id


async def test_a_mail_address_in_a_token_opens_no_account(service: Running) -> None:
    mailed = await service.phone().sign_in("somebody@example.org")
    claimed = await signed_in(service, vouched(email="somebody@example.org", email_verified=True))
    assert claimed.member_id != mailed.member_id
    assert await count(service, "addresses") == 1


async def test_first_sign_ins_at_once_make_one_member(service: Running) -> None:
    phones = await asyncio.gather(*(signed_in(service, vouched()) for _ in range(5)))
    assert len({phone.member_id for phone in phones}) == 1
    assert await count(service, "members") == 1


async def test_no_name_of_a_person_stands_in_the_database(service: Running) -> None:
    await signed_in(service, vouched(sub="canary"))
    assert await count(service, "identities AS t WHERE t::text LIKE '%canary%'") == 0
    assert await count(service, f"identities AS t WHERE t::text LIKE '%{b'canary'.hex()}%'") == 0
    assert await count(service, "identities") == 1


# --- Which token


async def test_elliptic_curves_will_do(service: Running) -> None:
    assert await outcome(service, vouched(EC_KEY, "ES256", "curve")) == ACCEPTED


def by_public_key_as_secret(nonce: str) -> str:
    """Signed with HMAC, its key the public one: accepted where the token chooses the algorithm."""
    secret = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = unsigned({"alg": "HS256", "kid": "first"}, json.dumps(claims(nonce=hashed(nonce))).encode()).rpartition(
        "."
    )[0]
    signature = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def by_nobody(nonce: str) -> str:
    return unsigned({"alg": "none", "kid": "first"}, json.dumps(claims(nonce=hashed(nonce))).encode())


OTHERS_KEY = published(OTHER_RSA_KEY, "first")
NOW = claims()["iat"]
BAD: dict[str, Vouching] = {
    "no signature": lambda nonce: unsigned(
        {"alg": "none", "kid": "first"}, json.dumps(claims(nonce=hashed(nonce))).encode()
    ),
    "an empty signature": lambda nonce: vouched()(nonce).rpartition(".")[0] + ".",
    "a secret that is public": by_public_key_as_secret,
    "another key under the same id": vouched(OTHER_RSA_KEY),
    "a key that it brings itself": vouched(OTHER_RSA_KEY, header_jwk=OTHERS_KEY),
    "a key that it brings, signed well": vouched(header_jwk=published(RSA_KEY, "first")),
    "a place of keys": vouched(OTHER_RSA_KEY, header_jku="https://keys.example.org"),
    "a place of keys, signed well": vouched(header_jku="https://keys.example.org"),
    "a certificate": vouched(header_x5c=["MII"]),
    "an unknown key": vouched(key_id="unknown"),
    "no key id": vouched(key_id=None),
    "another algorithm": vouched(algorithm="RS512"),
    "another algorithm than published": vouched(EC_KEY, "ES256", "first"),
    "for another app": vouched(aud="org.example.other"),
    "for several apps": vouched(aud=[CLIENT_ID, "org.example.other"]),
    "for nobody": vouched(aud=None),
    "from another issuer": vouched(iss="https://appleid.apple.com.example.org"),
    "from the other provider": vouched(iss=GOOGLE),
    "from nobody": vouched(iss=None),
    "expired": vouched(exp=NOW - 30),
    "never expiring": vouched(exp=None),
    "expiring as a text": vouched(exp=str(NOW + 600)),
    "from the future": vouched(iat=NOW + 31),
    "not valid yet": vouched(nbf=NOW + 31),
    "of no time": vouched(iat=None),
    "another nonce": vouched(nonce="the nonce of another sign-in"),
    "no nonce": vouched(nonce=None),
    "the nonce itself": lambda nonce: token(nonce=nonce),  # then whoever has the token could name it
    "the hash in capitals": lambda nonce: token(nonce=hashed(nonce).upper()),
    "nobody's": vouched(sub=None),
    "an empty name": vouched(sub=""),
    "changed": lambda nonce: vouched()(nonce).replace(".", ".e", 1),
    "no token": lambda _: "a.b.c",
}


async def test_what_is_not_wholly_right_is_refused_in_the_same_words(service: Running) -> None:
    answers = {name: await enter(service.phone(), vouch) for name, vouch in BAD.items()}
    assert {name: answer.status_code for name, answer in answers.items() if answer.status_code != 401} == {}
    assert len({answer.content for answer in answers.values()}) == 1
    assert answers["expired"].json()["code"] == "identity_refused"
    assert await count(service, "members") == 0
    assert await outcome(service, vouched()) == ACCEPTED


@pytest.mark.parametrize("said", [{"exp": NOW - 29}, {"iat": NOW + 30}, {"nbf": NOW + 30}])
async def test_clocks_may_differ_by_half_a_minute(service: Running, said: dict[str, Any]) -> None:
    assert await outcome(service, vouched(**said)) == ACCEPTED


async def test_a_nonce_is_accepted_once_and_its_token_too(service: Running) -> None:
    phone = service.phone()
    nonce, other = await made_nonce(phone), await made_nonce(phone)
    used = vouched()(nonce)
    assert told(await sent(phone, used, nonce)) == ACCEPTED
    again = [await sent(phone, used, nonce), await sent(phone, vouched()(nonce), nonce), await sent(phone, used, other)]
    assert [told(answer) for answer in again] == [REFUSED] * 3
    assert told(await sent(phone, vouched()(other), other)) == ACCEPTED


async def test_a_nonce_that_nobody_made_is_refused(service: Running) -> None:
    assert told(await sent(service.phone(), vouched()(NONCE), NONCE)) == REFUSED


@pytest.mark.parametrize(("seconds", "expected"), [(599, ACCEPTED), (600, REFUSED)])
async def test_a_nonce_is_for_ten_minutes(service: Running, seconds: int, expected: tuple[int, str]) -> None:
    phone = service.phone()
    nonce = await made_nonce(phone)
    service.clock.advance(seconds=seconds)
    assert told(await sent(phone, vouched(service=service)(nonce), nonce)) == expected


async def test_a_nonce_is_spent_by_what_is_accepted_alone(service: Running) -> None:
    phone = service.phone()
    nonce = await made_nonce(phone)
    assert told(await sent(phone, vouched(OTHER_RSA_KEY)(nonce), nonce)) == REFUSED
    assert told(await sent(phone, vouched()(nonce), nonce)) == ACCEPTED


async def test_google_hashes_the_nonce_too(service: Running) -> None:
    assert await outcome(service, vouched(iss=GOOGLE), "google") == ACCEPTED
    assert await outcome(service, lambda nonce: token(nonce=nonce, iss=GOOGLE), "google") == REFUSED


async def test_of_many_who_bring_one_token_at_once_one_gets_in(service: Running) -> None:
    nonce = await made_nonce(service.phone())
    used = vouched()(nonce)
    answers = await asyncio.gather(*(sent(service.phone(), used, nonce) for _ in range(6)))
    assert sorted(told(answer) for answer in answers) == [ACCEPTED, *[REFUSED] * 5]


async def test_the_same_token_written_differently_is_no_other(service: Running) -> None:
    nonce = await made_nonce(service.phone())
    used = vouched(EC_KEY, "ES256", "curve")(nonce)
    assert told(await sent(service.phone(), used, nonce)) == ACCEPTED
    assert told(await sent(service.phone(), signed_otherwise(used), nonce)) == REFUSED


def signed_otherwise(used: str) -> str:
    """The same with the other of the two signatures that are right: of each (r, s) on a curve, (r, -s) is one too."""
    signed, _, signature = used.rpartition(".")
    raw = urlsafe_b64decode(signature + "==")
    other = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:])).to_bytes(32)
    return f"{signed}.{urlsafe_b64encode(other).rstrip(b'=').decode()}"


async def test_nonces_are_forgotten_when_they_have_expired(service: Running) -> None:
    for _ in range(3):
        await made_nonce(service.phone())
    service.clock.advance(minutes=10)
    await made_nonce(service.phone())
    assert await count(service, "sign_in_nonces") == 1


async def test_no_nonce_stands_in_the_database(service: Running) -> None:
    nonce = await made_nonce(service.phone())
    assert await count(service, f"sign_in_nonces AS t WHERE t::text LIKE '%{nonce.encode().hex()}%'") == 0
    assert await count(service, "sign_in_nonces") == 1


async def test_without_registration_there_is_no_such_address(database_url: str) -> None:
    async with running(database_url) as plain:
        answers = [await sent(plain.phone(), vouched()(NONCE), NONCE, provider) for provider in ("apple", "google")]
        unknown = await plain.phone().call("POST", "/v1/no-such-address", {})
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, unknown.content)}


# --- The provider's keys


async def test_keys_are_fetched_once_and_again_after_an_hour(service: Running, keys: KeyServer) -> None:
    for _ in range(3):
        await signed_in(service, vouched())
    assert keys.fetched == 1
    service.clock.advance(hours=1)
    await signed_in(service, vouched(service=service))
    assert keys.fetched == 2


async def test_many_who_come_first_cause_one_fetch(service: Running, keys: KeyServer) -> None:
    await asyncio.gather(*(signed_in(service, vouched()) for _ in range(8)))
    assert keys.fetched == 1


async def test_an_unknown_key_is_looked_for_once_a_minute(service: Running, keys: KeyServer) -> None:
    await signed_in(service, vouched())
    keys.publish(published(OTHER_RSA_KEY, "second"))
    new = vouched(OTHER_RSA_KEY, key_id="second")
    assert [await outcome(service, new) for _ in range(3)] == [REFUSED] * 3
    assert keys.fetched == 1
    service.clock.advance(minutes=1)
    assert await outcome(service, new) == ACCEPTED
    assert [await outcome(service, vouched(key_id=f"junk {n}")) for n in range(3)] == [REFUSED] * 3
    assert await outcome(service, vouched()) == REFUSED  # withdrawn by its provider
    assert keys.fetched == 2


BROKEN: dict[str, dict[str, Any]] = {
    "an error": {"status": 500},
    "no key set": {"content": b"<html>"},
    "far too much": {"content": b" " * (256 * 1024 + 1)},
    "cut off": {"headers": {"Content-Length": "100000"}},
}


@pytest.mark.parametrize("how", BROKEN)
async def test_while_the_keys_cannot_be_fetched_the_phone_waits(service: Running, keys: KeyServer, how: str) -> None:
    whole = dict(vars(keys))
    vars(keys).update(BROKEN[how])
    answer = await enter(service.phone(), vouched())
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "provider_away", "5")
    assert await outcome(service, vouched()) == (503, "provider_away")
    assert keys.fetched == 1
    vars(keys).update(whole)
    service.clock.advance(seconds=5)
    assert await outcome(service, vouched()) == ACCEPTED


async def test_the_last_good_keys_serve_for_a_day_while_the_provider_is_away(keys: KeyServer) -> None:
    cache = JwksCache(keys.url)
    good = await cache.key("first", NOON)
    keys.status = 500
    assert await cache.key("first", NOON + timedelta(hours=23, minutes=59)) is good
    with pytest.raises(ProviderAway):
        await cache.key("unknown", NOON + timedelta(hours=23, minutes=59))
    with pytest.raises(ProviderAway):
        await cache.key("first", NOON + timedelta(days=1))
    keys.status = 200
    assert await cache.key("first", NOON + timedelta(days=1, seconds=6)) is not None


async def test_who_signs_in_by_a_good_key_does_not_wait_for_each_try(keys: KeyServer) -> None:
    cache, later = JwksCache(keys.url), NOON + timedelta(hours=2)
    await cache.key("first", NOON)
    keys.status = 500
    for seconds in range(0, 60, 10):
        assert await cache.key("first", later + timedelta(seconds=seconds)) is not None
    assert keys.fetched == 2


async def test_what_a_clock_noted_that_was_ahead_does_not_last(keys: KeyServer) -> None:
    cache = JwksCache(keys.url)
    await cache.key("first", NOON + timedelta(days=5))
    await cache.key("first", NOON)
    assert keys.fetched == 2


ODD_KEYS: list[Any] = [
    "no object",
    {"kty": "RSA", "kid": "odd", "n": "?", "e": "AQAB"},
    {"kty": "EC", "kid": "odd", "crv": "P-999", "x": "AA", "y": "AA"},
    {"kty": "RSA", "kid": "odd"},
    {"kty": ["RSA"], "kid": {}},
]


@pytest.mark.parametrize("odd", ODD_KEYS, ids=repr)
async def test_one_odd_key_stops_nobody(service: Running, keys: KeyServer, odd: Any) -> None:
    keys.publish(odd, published(RSA_KEY, "first"))
    assert await outcome(service, vouched()) == ACCEPTED
    assert await outcome(service, vouched(key_id="odd")) == REFUSED


async def test_a_provider_that_does_not_answer_is_away(keys: KeyServer) -> None:
    keys.answering.clear()
    async with asyncio.timeout(FETCH_SECONDS / 2):
        with pytest.raises(ProviderAway):
            await JwksCache(keys.url, fetch_seconds=0.01).key("first", NOON)
    keys.answering.set()
    assert await JwksCache(keys.url).key("first", NOON) is not None


async def test_keys_are_taken_from_nowhere_else(service: Running, keys: KeyServer) -> None:
    with KeyServer().open() as elsewhere:
        keys.status, keys.headers = 302, {"Location": elsewhere.url}
        assert await outcome(service, vouched()) == (503, "provider_away")
        assert elsewhere.fetched == 0


async def test_with_nobody_at_the_address_of_the_keys_the_phone_waits(database_url: str) -> None:
    settings = unlimited(apple_client_ids=CLIENT_ID, apple_keys_url="http://127.0.0.1:1/keys")
    async with running(database_url, settings=settings) as alone:
        assert await outcome(alone, vouched()) == (503, "provider_away")


async def test_only_keys_that_sign_are_taken(service: Running, keys: KeyServer) -> None:
    secret = urlsafe_b64encode(b"s" * 32).decode()
    keys.publish(
        {"kty": "oct", "k": secret, "kid": "secret"},
        {**published(OTHER_RSA_KEY, "sealing"), "use": "enc"},
        {**published(OTHER_RSA_KEY, "other"), "alg": "PS256"},
        published(RSA_KEY, "first"),
    )
    assert await outcome(service, vouched("s" * 32, "HS256", "secret")) == REFUSED
    assert await outcome(service, vouched(OTHER_RSA_KEY, key_id="sealing")) == REFUSED
    assert await outcome(service, vouched(OTHER_RSA_KEY, key_id="other")) == REFUSED
    assert await outcome(service, vouched()) == ACCEPTED


# --- Step-up


async def step_up(phone: Phone, vouch: Vouching) -> int:
    nonce = await made_nonce(phone)
    body = {"id_token": vouch(nonce), "nonce": nonce}
    return (await phone.call("POST", "/v1/sessions/step-up/apple", body)).status_code


async def test_a_fresh_token_of_ones_own_steps_up(service: Running) -> None:
    phone = await signed_in(service, vouched())
    other = await signed_in(service, vouched())
    assert not await may(service, phone)
    nonce = await made_nonce(phone)
    body = {"id_token": vouched()(nonce), "nonce": nonce}
    await phone.expect(204, "POST", "/v1/sessions/step-up/apple", body)
    assert [await may(service, phone), await may(service, other)] == [True, False]
    await other.expect(401, "POST", "/v1/sessions/step-up/apple", body)  # used


async def test_nothing_else_does(service: Running) -> None:
    phone = await signed_in(service, vouched())
    tried = [
        vouched(sub="another person"),
        vouched(iat=NOW - 301),
        vouched(auth_time=NOW - 301),
        vouched(OTHER_RSA_KEY),
    ]
    assert [await step_up(phone, one) for one in tried] == [401] * 4
    answer = await phone.call("POST", "/v1/sessions/step-up", {"code": "1234 5678"})
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_code")
    assert not await may(service, phone)
    assert await step_up(phone, vouched(iat=NOW - 300, auth_time=NOW - 300)) == 204


async def test_who_has_no_mail_address_adds_one_and_is_found_by_either(service: Running) -> None:
    phone, address = await signed_in(service, vouched()), "someone@example.org"
    me = await phone.get("/v1/me")
    assert (me["email"], me["identities"]) == (None, ["apple"])
    assert await step_up(phone, vouched()) == 204
    await phone.expect(202, "POST", "/v1/me/email-codes", {"email": address})
    changed = await phone.expect(200, "PUT", "/v1/me/email", {"code": await phone.mailed_code(address)})
    assert changed == await phone.get("/v1/me") == me | {"email": address}
    assert (await service.phone().sign_in(address)).member_id == phone.member_id
    assert (await signed_in(service, vouched())).member_id == phone.member_id


async def test_of_accounts_elsewhere_everybody_sees_their_own_alone(service: Running) -> None:
    apple, google = await signed_in(service, vouched()), await signed_in(service, vouched(iss=GOOGLE), "google")
    mailed = await service.phone().sign_in()
    seen = [(await phone.get("/v1/me"))["identities"] for phone in (apple, google, mailed)]
    assert seen == [["apple"], ["google"], []]


async def test_who_has_no_mail_address_is_told_so(service: Running) -> None:
    phone = await signed_in(service, vouched())
    answer = await phone.call("POST", "/v1/sessions/step-up-codes", {})
    assert told(answer) == (403, "no_address")
