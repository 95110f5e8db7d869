"""Register, list and remove the devices that my pushes go to. Their addresses are encrypted and never shown again."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from asyncpg import Record
from litestar import Response, delete, get, put
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from service.access.authentication import Member, current_member, lock_session
from service.access.notices import tell_of_push_device
from service.context import Context
from service.core import tokens
from service.errors import Invalid, NotFound
from service.push.addresses import (
    Environment,
    Platform,
    PushProvider,
    Registration,
    decrypt_address,
    identity_of,
    validated_address,
)
from service.push.notices import AppleDevice, DeviceAddress, Failure
from service.web.operation import described
from service.web.requests import ApiRequest, context_of, decode_body, path_uuid, state_of
from service.web.responses import empty_answer, json_answer, tagged_answer

MAX_DEVICES = 20


# For a person who wonders why a phone stays silent.
FAILURES: dict[Failure, str] = {
    "gone": "Its push service says that the app is no longer there, or that notifications were turned off.",
    "other_app": "Its push service says that this address belongs to another app.",
    "refused": "Its push service refuses our pushes: the address was given out for another key or app.",
}


class RegisteredDevice(Struct, frozen=True):
    """A device of mine. Pushes to it fail since `failing_since`, for the reason that `failure` says.

    It is `disabled` once its provider said that it is gone, or has refused all pushes for three days; registering it
    again enables it.
    """

    id: UUID
    platform: Platform
    provider: PushProvider
    environment: Environment | None
    registered_at: datetime
    disabled: bool
    failing_since: datetime | None
    failure: Annotated[str, Meta(description="A sentence for a person.")] | None


class RegisteredDevices(Struct, frozen=True):
    """My devices, the one registered last first, and the key that a web app subscribes with, if pushes to it are sent.

    It is the `applicationServerKey` of `pushManager.subscribe`.
    """

    devices: list[RegisteredDevice]
    vapid_public_key: str | None


# The others are counted: registering a known device again is always possible.
OTHERS = """
SELECT
    count(*) FILTER (WHERE device_id <> $2) AS others,
    count(*) FILTER (WHERE device_id = $2) AS known
FROM devices
WHERE member_id = $1
"""

REGISTER = """
INSERT INTO devices (
    member_id,
    device_id,
    session_id,
    platform,
    provider,
    address,
    address_hash,
    registration,
    registered_at
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (member_id, device_id) DO UPDATE
SET
    session_id = excluded.session_id,
    platform = excluded.platform,
    provider = excluded.provider,
    address = excluded.address,
    address_hash = excluded.address_hash,
    registration = excluded.registration,
    registered_at = excluded.registered_at,
    disabled_at = NULL,
    failing_since = NULL,
    failure = NULL
RETURNING
    device_id,
    platform,
    provider,
    address,
    registered_at,
    disabled_at,
    failing_since,
    failure
"""

# Of many who register one address at once, whoever looks last sees all of them, and leaves the latest alone: even if
# that one is not its own.
TAKE_OVER = """
DELETE FROM devices
WHERE address_hash = $1
    AND (registered_at, registration) < (
        SELECT
            registered_at,
            registration
        FROM devices
        WHERE address_hash = $1
        ORDER BY
            registered_at DESC,
            registration DESC
        LIMIT 1
    )
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
async def register_device(request: ApiRequest, device_id: FromPath[str]) -> ASGIApp:
    """The id comes from the phone. A device is forgotten with the session that registered it last; 20 at most.

    An address is one phone's: other devices that had it, whoever's they are, get no more pushes.
    """
    member, context, device = await current_member(request), context_of(request), path_uuid(device_id)
    wanted = await decode_body(request, Registration)
    row = await _register(context, member, device, wanted, validated_address(wanted))
    return json_answer(await _device(context, member, row))


async def _register(
    context: Context, member: Member, device: UUID, wanted: Registration, address: DeviceAddress
) -> Record:
    text = msgspec.json.encode(address).decode()
    ciphertext = await context.keys.encrypt_for(member.member_id, "push_address", text)
    address_hash = await context.keys.blind_index("push address", wanted.provider, identity_of(address))
    registration = tokens.new_id(context.random_bytes, f"registration of {device} by {member.session_id}")
    async with context.acting_as(member.member_id) as db, db.transaction():
        await lock_session(db, member)
        registered = await db.fetchrow(OTHERS, member.member_id, device)
        assert registered is not None
        if registered["others"] >= MAX_DEVICES:
            raise Invalid(f"You have {MAX_DEVICES} devices already; remove one first.")
        values = (wanted.platform, wanted.provider, ciphertext, address_hash, registration, context.now())
        row = await db.fetchrow(REGISTER, member.member_id, device, member.session_id, *values)
    assert row is not None
    # Only what plans and sends prompts may see other members' devices.
    await context.scheduler_db.execute(TAKE_OVER, address_hash)
    if not registered["known"]:
        await tell_of_push_device(context, member.member_id, member.session_id, context.now())
    return row


DEVICES = """
SELECT
    device_id,
    platform,
    provider,
    address,
    registered_at,
    disabled_at,
    failing_since,
    failure
FROM devices
WHERE member_id = $1
ORDER BY
    registered_at DESC,
    device_id
"""


@get(
    "/v1/me/devices",
    opt=described(
        id="listDevices", tag="Be asked", summary="Where my pushes go", answers={200: RegisteredDevices}, cached=True
    ),
)
async def list_devices(request: ApiRequest) -> ASGIApp:
    """Only one's own, without their addresses."""
    devices = await push_devices_of(context_of(request), await current_member(request))
    key: str | None = state_of(request).vapid_public_key
    return tagged_answer(request, RegisteredDevices(devices, key))


async def push_devices_of(context: Context, member: Member) -> list[RegisteredDevice]:
    """The member's devices, the one registered last first."""
    async with context.acting_as(member.member_id) as db:
        rows = await db.fetch(DEVICES, member.member_id)
    return [await _device(context, member, row) for row in rows]


async def _device(context: Context, member: Member, row: Record) -> RegisteredDevice:
    address = await decrypt_address(context, member.member_id, row["provider"], row["address"])
    return RegisteredDevice(
        row["device_id"],
        row["platform"],
        row["provider"],
        address.environment if isinstance(address, AppleDevice) else None,
        row["registered_at"],
        row["disabled_at"] is not None,
        row["failing_since"],
        FAILURES[row["failure"]] if row["failure"] else None,
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
async def remove_device(request: ApiRequest, device_id: FromPath[str]) -> Response[None]:
    """Its address is forgotten at once; the session stays."""
    member, device = await current_member(request), path_uuid(device_id)
    async with context_of(request).acting_as(member.member_id) as db:
        done = await db.execute(FORGET_DEVICE, member.member_id, device)
    if done == "DELETE 0":
        raise NotFound
    return empty_answer()
