"""Where pushes go is one's own: registered, replaced, listed without its address, and gone with its session."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from msgspec import convert

from service.errors import Invalid
from service.push.addresses import Registration, decrypt_address, validated_address
from service.push.encryption import SECRET_BYTES, point
from service.push.notices import AppleDevice, FirebaseDevice, SubscriptionKeys, WebSubscription
from tests.support.phones import Json, Phone, Running, running, unlimited
from tests.support.pushing import CANARY, EC_KEY, private, unpadded

APPLE = {"platform": "ios", "provider": "apns", "token": CANARY}
ANDROID = {"platform": "android", "provider": "fcm", "token": f"{CANARY}:x"}
KEYS = {"p256dh": unpadded(point(EC_KEY.public_key())), "auth": unpadded(bytes(SECRET_BYTES))}
ENDPOINT = f"https://push.example.org/{CANARY}"


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


def web(endpoint: str = ENDPOINT, **keys: str) -> Json:
    return {
        "platform": "web",
        "provider": "webpush",
        "subscription": {"endpoint": endpoint, "expirationTime": None, "keys": KEYS | keys},
    }


async def register(phone: Phone, body: Json | None = None, device_id: UUID | str = "") -> Json:
    path = f"/v1/me/devices/{device_id or uuid4()}"
    found: Json = await phone.expect(200, "PUT", path, body or APPLE)
    return found


async def listed(phone: Phone) -> list[Json]:
    found: list[Json] = (await phone.get("/v1/me/devices"))["devices"]
    return found


async def stored(service: Running) -> list[Any]:
    return await service.ask("SELECT * FROM devices ORDER BY registered_at, device_id")


async def test_what_a_browser_adds_to_its_subscription_is_not_looked_at(service: Running) -> None:
    phone, body = await service.phone().sign_in(), web()
    body["subscription"] |= {"options": {"userVisibleOnly": True}, "contentEncoding": "aes128gcm", "more": None}
    body["subscription"]["keys"] |= {"p384dh": "x"}
    registered = await register(phone, body)
    assert registered in await listed(phone)


async def test_what_is_null_in_a_registration_is_as_absent(service: Running) -> None:
    phone = await service.phone().sign_in()
    for body in (APPLE, ANDROID, web()):
        device_id = uuid4()
        fields = dict.fromkeys(("token", "subscription", "environment"))
        await register(phone, fields | body, device_id)
        assert device_id in {UUID(one["id"]) for one in await listed(phone)}


async def test_a_device_is_listed_without_its_address(service: Running) -> None:
    phone = await service.phone().sign_in()
    registered = [await register(phone, body) for body in (APPLE, ANDROID, web())]
    assert {r["id"]: r for r in registered} == {r["id"]: r for r in await listed(phone)}
    assert CANARY not in (await phone.call("GET", "/v1/me/devices")).text
    assert registered[0] | {"id": 0} == {
        "id": 0,
        "platform": "ios",
        "provider": "apns",
        "environment": "production",
        "registered_at": "2026-06-15T12:00:00Z",
        "disabled": False,
        "failing_since": None,
        "failure": None,
    }


@pytest.mark.parametrize(
    ("body", "address"),
    [
        (APPLE | {"environment": "sandbox"}, AppleDevice(CANARY, "sandbox")),
        (ANDROID, FirebaseDevice(f"{CANARY}:x")),
        (web(), WebSubscription(ENDPOINT, SubscriptionKeys(**KEYS))),
        (web() | {"platform": "android"}, WebSubscription(ENDPOINT, SubscriptionKeys(**KEYS))),
    ],
)
async def test_what_is_sealed_opens_as_what_a_sender_takes(service: Running, body: Json, address: Any) -> None:
    phone = await service.phone().sign_in()
    await register(phone, body)
    (row,) = await stored(service)
    context = service.app.state.context
    opened = await decrypt_address(context, row["member_id"], row["provider"], row["address"])
    assert opened == address
    assert CANARY.encode() not in row["address"]


async def test_registering_again_replaces_and_enables_it(service: Running) -> None:
    phone = await service.phone().sign_in()
    first = await register(phone)
    (before,) = await stored(service)
    await change(service, "UPDATE devices SET disabled_at = registered_at")
    assert [one["disabled"] for one in await listed(phone)] == [True]
    assert (await register(phone, ANDROID, first["id"]))["provider"] == "fcm"
    (after,) = await stored(service)
    assert after["disabled_at"] is None
    assert after["registration"] != before["registration"]


async def change(service: Running, statement: str) -> None:
    db = await asyncpg.connect(service.database_url)
    await db.execute(statement)
    await db.close()


async def test_it_goes_with_the_session_that_registered_it_last(service: Running) -> None:
    phone = await service.phone().sign_in()
    tablet = await service.phone().sign_in(phone.email)
    first, second = await register(phone), await register(phone, APPLE | {"token": "ab"})
    await register(tablet, APPLE | {"token": "cd"}, second["id"])
    sessions = (await phone.get("/v1/sessions"))["sessions"]
    current = next(one["id"] for one in sessions if one["current"])
    await phone.expect(204, "DELETE", f"/v1/sessions/{current}")
    assert [one["id"] for one in await listed(tablet)] == [second["id"]]
    assert first["id"] not in [str(row["device_id"]) for row in await stored(service)]


async def test_one_can_be_removed_once(service: Running) -> None:
    phone = await service.phone().sign_in()
    path = f"/v1/me/devices/{(await register(phone))['id']}"
    await phone.expect(204, "DELETE", path)
    assert await listed(phone) == []
    await phone.expect(404, "DELETE", path)


async def test_the_same_id_is_another_device_with_another_member(service: Running) -> None:
    one, two = await service.couple()
    same = uuid4()
    await register(one, APPLE, same)
    assert await listed(two) == []
    await two.expect(404, "DELETE", f"/v1/me/devices/{same}")
    await register(two, ANDROID, same)
    await two.expect(204, "DELETE", f"/v1/me/devices/{same}")
    assert [device["provider"] for device in await listed(one)] == ["apns"]


async def test_there_are_twenty_and_each_can_be_registered_anew(service: Running) -> None:
    phone = await service.phone().sign_in()
    for n in range(20):
        last = await register(phone, APPLE | {"token": f"{n:02x}"})
    refused = await phone.expect(422, "PUT", f"/v1/me/devices/{uuid4()}", APPLE)
    assert refused["detail"].startswith("You have 20 devices already")
    await register(phone, ANDROID, last["id"])


@pytest.mark.parametrize("body", [APPLE, ANDROID, web()], ids=lambda body: body["provider"])
@pytest.mark.parametrize("of_one_member", [True, False])
async def test_an_address_belongs_to_whoever_registered_it_last(
    service: Running, body: Json, of_one_member: bool
) -> None:
    first = await service.phone().sign_in()
    second = first if of_one_member else await service.phone().sign_in()
    other = await register(first, body | {"token": "ab"} if "token" in body else web(f"{ENDPOINT}/2"))
    before = await register(first, body)
    service.clock.advance(seconds=1)
    after = await register(second, body)
    assert before["id"] not in {one["id"] for one in await listed(first)}
    assert other["id"] in {one["id"] for one in await listed(first)}
    assert after["id"] in {one["id"] for one in await listed(second)}


async def test_of_two_who_register_one_address_at_once_one_has_it(service: Running) -> None:
    phones = [await service.phone().sign_in() for _ in range(4)]
    await asyncio.gather(*(register(phone) for phone in phones))
    assert len(await stored(service)) == 1


BAD: list[tuple[Json, str]] = [
    (APPLE | {"token": "abc"}, "/token"),
    (APPLE | {"token": "ab\n"}, "/token"),
    (APPLE | {"platform": "android"}, "/provider"),
    (ANDROID | {"platform": "ios"}, "/provider"),
    (ANDROID | {"platform": "web"}, "/provider"),
    (web() | {"platform": "ios"}, "/provider"),
    (APPLE | {"token": None}, "/token"),
    (APPLE | {"token": "no hex"}, "/token"),
    (APPLE | {"token": "f" * 201}, "/token"),
    (ANDROID | {"subscription": web()["subscription"]}, "/token"),
    (ANDROID | {"environment": "production"}, "/environment"),
    (web() | {"environment": "sandbox"}, "/environment"),
    (web() | {"token": "f0"}, "/subscription"),
    ({"platform": "web", "provider": "webpush"}, "/subscription"),
    (web("http://push.example.org/x"), "/subscription/endpoint"),
    (web("https://me@push.example.org/x"), "/subscription/endpoint"),
    (web(auth=unpadded(bytes(15))), "/subscription/keys"),
    (web(p256dh=unpadded(bytes(65))), "/subscription/keys"),
]
CLOSED = (
    *("localhost", "localhost.", "metadata", "0x7f000001", "2130706433", "127.1", "printer.local", "x.localhost"),
    *("127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[::1]", "[fd00::1]", "[::ffff:10.0.0.1]"),
)


@pytest.mark.parametrize(("body", "pointer"), BAD)
async def test_what_cannot_be_reached_is_refused(body: Json, pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        validated_address(convert(body, Registration))
    assert refused.value.pointer == pointer
    assert CANARY not in str(refused.value.detail)


async def test_a_refusal_names_the_place_and_not_the_address(service: Running) -> None:
    phone = await service.phone().sign_in()
    refused = await phone.expect(422, "PUT", f"/v1/me/devices/{uuid4()}", APPLE | {"token": f"{CANARY}-"})
    assert refused["errors"][0]["pointer"] == "/token"
    assert CANARY not in str(refused)
    await phone.expect(422, "PUT", f"/v1/me/devices/{uuid4()}", APPLE | {"note": "x"})
    await phone.expect(404, "PUT", "/v1/me/devices/no-id", APPLE)
    assert await listed(phone) == []


@pytest.mark.parametrize("host", CLOSED)
async def test_an_address_in_a_private_network_is_refused(host: str) -> None:
    with pytest.raises(Invalid) as refused:
        validated_address(convert(web(f"https://{host}/x"), Registration))
    assert refused.value.pointer == "/subscription/endpoint"


@pytest.mark.parametrize("host", ["push.example.org", "8.8.8.8", "[2606:4700::1111]", "fcm.googleapis.com:443"])
async def test_a_public_address_is_taken(host: str) -> None:
    assert isinstance(validated_address(convert(web(f"https://{host}/x"), Registration)), WebSubscription)


async def test_web_apps_are_told_the_key_to_subscribe_with(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "vapid.pem"
    file.write_bytes(private(EC_KEY))
    settings = unlimited(vapid_key_file=file, vapid_subject="mailto:push@example.org")
    async with running(database_url, settings=settings) as service:
        phone = await service.phone().sign_in()
        told = (await phone.get("/v1/me/devices"))["vapid_public_key"]
    assert told == unpadded(point(EC_KEY.public_key()))


async def test_without_that_key_there_is_none(service: Running) -> None:
    phone = await service.phone().sign_in()
    assert await phone.get("/v1/me/devices") == {"devices": [], "vapid_public_key": None}
