"""Where my pushes go: the devices that I registered. Their addresses are sealed with my key and never shown again."""

import socket
from datetime import datetime
from ipaddress import ip_address
from typing import Annotated, Literal
from uuid import UUID

import httpx
import msgspec
from asyncpg import Record
from litestar import Response, delete, get, put
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import UNSET, Meta, Struct, UnsetType

from service import tokens
from service.errors import Invalid, NotFound
from service.http import Call, body_of, empty_answer, id_of, json_answer, world_of
from service.operations import described
from service.push.encryption import BadKeys, read_keys
from service.push.notices import AppleDevice, Device, FirebaseDevice, SubscriptionKeys, WebSubscription
from service.push.open_network import is_open
from service.push.webpush import BadSubscription, endpoint_of
from service.sessions import Member, hold_session, signed_in
from service.world import World

MOST_DEVICES = 20

Platform = Literal["ios", "android", "web"]
Provider = Literal["apns", "fcm", "webpush"]
Environment = Literal["production", "sandbox"]

# A browser takes Web Push alone, and Android both its own and that of a distributor (UnifiedPush).
PROVIDERS: dict[Platform, tuple[Provider, ...]] = {
    "ios": ("apns",),
    "android": ("fcm", "webpush"),
    "web": ("webpush",),
}
ADDRESSES: dict[str, type[Device]] = {"apns": AppleDevice, "fcm": FirebaseDevice, "webpush": WebSubscription}


class PushKeys(Struct, frozen=True, forbid_unknown_fields=True):
    """A browser's public key and its secret, in base64url."""

    p256dh: Annotated[str, Meta(max_length=100)]
    auth: Annotated[str, Meta(max_length=40)]


class PushSubscription(Struct, frozen=True, forbid_unknown_fields=True, rename={"expiration_time": "expirationTime"}):
    """What `subscription.toJSON()` gives in a browser. The expiration is not looked at: an ended one tells itself."""

    endpoint: Annotated[str, Meta(max_length=2048, description="An https address on the open internet.")]
    keys: PushKeys
    expiration_time: float | None = None


class Registration(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a device is reached: `token` for apns and fcm, `subscription` for webpush, `environment` for apns alone."""

    platform: Annotated[Platform, Meta(description="ios takes apns, android fcm or webpush, web webpush.")]
    provider: Provider
    token: Annotated[str, Meta(min_length=1, max_length=4096, description="As the provider gave it out.")] | None = None
    subscription: PushSubscription | UnsetType = UNSET
    environment: Annotated[Environment, Meta(description="Of the token; production if left out.")] | None = None


class RegisteredDevice(Struct, frozen=True):
    """A device of mine. `disabled` once its provider said that it is gone; registering it again enables it."""

    id: UUID
    platform: Platform
    provider: Provider
    environment: Environment | None
    registered_at: datetime
    disabled: bool


class RegisteredDevices(Struct, frozen=True):
    """My devices, the one registered last first, and the key that a web app subscribes with, if pushes to it are sent.

    It is the `applicationServerKey` of `pushManager.subscribe`.
    """

    devices: list[RegisteredDevice]
    vapid_public_key: str | None


# As many as there may be of others: registering one of them anew is always possible.
OTHERS = """
SELECT count(*)
FROM devices
WHERE member_id = $1
    AND device_id <> $2
"""

REGISTER = """
INSERT INTO devices (
    member_id,
    device_id,
    session_id,
    platform,
    provider,
    address,
    registration,
    registered_at
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (member_id, device_id) DO UPDATE
SET
    session_id = excluded.session_id,
    platform = excluded.platform,
    provider = excluded.provider,
    address = excluded.address,
    registration = excluded.registration,
    registered_at = excluded.registered_at,
    disabled_at = NULL
RETURNING
    device_id,
    platform,
    provider,
    address,
    registered_at,
    disabled_at
"""


@put(
    "/v1/me/devices/{device_id:str}",
    opt=described(
        id="registerDevice",
        tag="Be asked",
        summary="Say where my pushes go, or where they go from now on",
        body=Registration,
        answers={200: RegisteredDevice},
        problems=(NotFound,),
    ),
)
async def register_device(request: Call, device_id: FromPath[str]) -> ASGIApp:
    """The id comes from the phone. A device is forgotten with the session that registered it last; 20 at most."""
    member, world, device = await signed_in(request), world_of(request), id_of(device_id)
    told = await body_of(request, Registration)
    address = msgspec.json.encode(address_of(told)).decode()
    sealed = await world.keys.seal_for(member.member_id, "push_address", address)
    registration = tokens.new_id(world.chance, f"registration of {device} by {member.session_id}")
    async with world.acting(member.member_id) as db, db.transaction():
        await hold_session(db, member)
        if await db.fetchval(OTHERS, member.member_id, device) >= MOST_DEVICES:
            raise Invalid(f"You have {MOST_DEVICES} devices already; remove one first.")
        placed = (told.platform, told.provider, sealed, registration, world.now())
        row = await db.fetchrow(REGISTER, member.member_id, device, member.session_id, *placed)
    assert row is not None
    return json_answer(await _device(world, member, row))


DEVICES = """
SELECT
    device_id,
    platform,
    provider,
    address,
    registered_at,
    disabled_at
FROM devices
WHERE member_id = $1
ORDER BY
    registered_at DESC,
    device_id
"""


@get(
    "/v1/me/devices",
    opt=described(id="listDevices", tag="Be asked", summary="Where my pushes go", answers={200: RegisteredDevices}),
)
async def list_devices(request: Call) -> ASGIApp:
    """Only one's own, without their addresses."""
    devices = await push_devices_of(world_of(request), await signed_in(request))
    return json_answer(RegisteredDevices(devices, request.app.state.vapid_public_key))


async def push_devices_of(world: World, member: Member) -> list[RegisteredDevice]:
    """The member's devices, the one registered last first."""
    async with world.acting(member.member_id) as db:
        rows = await db.fetch(DEVICES, member.member_id)
    return [await _device(world, member, row) for row in rows]


async def _device(world: World, member: Member, row: Record) -> RegisteredDevice:
    address = await opened_address(world, member.member_id, row["provider"], row["address"])
    return RegisteredDevice(
        row["device_id"],
        row["platform"],
        row["provider"],
        address.environment if isinstance(address, AppleDevice) else None,
        row["registered_at"],
        row["disabled_at"] is not None,
    )


FORGET_DEVICE = """
DELETE FROM devices
WHERE member_id = $1
    AND device_id = $2
"""


@delete(
    "/v1/me/devices/{device_id:str}",
    status_code=204,
    opt=described(
        id="removeDevice",
        tag="Be asked",
        summary="Send no more pushes to a device of mine",
        answers={204: None},
        problems=(NotFound,),
    ),
)
async def remove_device(request: Call, device_id: FromPath[str]) -> Response[None]:
    """Its address is forgotten at once; the session stays."""
    member, device = await signed_in(request), id_of(device_id)
    async with world_of(request).acting(member.member_id) as db:
        done = await db.execute(FORGET_DEVICE, member.member_id, device)
    if done == "DELETE 0":
        raise NotFound
    return empty_answer()


async def opened_address(world: World, member_id: UUID, provider: str, sealed: bytes) -> Device:
    """Where a device is reached. Raises Unreadable for who is erased, KeyStoreError."""
    return msgspec.json.decode(await world.keys.open_for(member_id, "push_address", sealed), type=ADDRESSES[provider])


# --- What can be an address


def address_of(told: Registration) -> Device:
    """The address, in the form that its sender takes. Raises Invalid."""
    if told.provider not in PROVIDERS[told.platform]:
        raise Invalid(f"The platform {told.platform} is not reached by {told.provider}.", "/provider")
    if told.environment and told.provider != "apns":
        raise Invalid("Only apns has environments.", "/environment")
    if told.provider == "webpush":
        return _web(told)
    if told.token is None or told.subscription is not UNSET:
        raise Invalid(f"The provider {told.provider} needs a token, and nothing else.", "/token")
    return _apple(told.token, told.environment) if told.provider == "apns" else FirebaseDevice(told.token)


def _apple(token: str, environment: Environment | None) -> AppleDevice:
    try:
        return msgspec.convert({"token": token, "environment": environment or "production"}, AppleDevice)
    except msgspec.ValidationError:
        raise Invalid("A token of apns is written in hexadecimal digits, 200 at most.", "/token") from None


def _web(told: Registration) -> WebSubscription:
    if told.subscription is UNSET or told.token is not None:
        raise Invalid("The provider webpush needs a subscription, and nothing else.", "/subscription")
    keys = told.subscription.keys
    subscription = WebSubscription(told.subscription.endpoint, SubscriptionKeys(keys.p256dh, keys.auth))
    try:
        url = endpoint_of(subscription)
        read_keys(subscription.keys)
    except BadSubscription:
        raise Invalid("This is not an https address.", "/subscription/endpoint") from None
    except BadKeys:
        raise Invalid("These are not the keys of a browser's subscription.", "/subscription/keys") from None
    if not _may_be_open(url):
        raise Invalid("This address is not on the open internet.", "/subscription/endpoint")
    return subscription


def _may_be_open(url: httpx.URL) -> bool:
    """Whether the host is a public address, or a name that may lead to one: that is looked into at each sending.

    No name is resolved here: what it leads to now says nothing of later.
    """
    host = url.raw_host.decode("ascii").rstrip(".").lower()
    try:
        return is_open(ip_address(host.strip("[]")))
    except ValueError:
        return "." in host and not _is_short_address(host) and not host.endswith((".localhost", ".local", ".internal"))


def _is_short_address(host: str) -> bool:
    """Whether resolvers take it for an IPv4 address in one of its older spellings, such as 127.1."""
    try:
        return bool(socket.inet_aton(host))
    except OSError:
        return False
