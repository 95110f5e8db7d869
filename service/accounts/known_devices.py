"""Devices on which a member has signed in before: each has a secret, and with it an allowance for codes of its own.

The secret is derived from the device's id with the look-up key, so that every answer can tell it again although only
its hash is kept. It outlives the session; an erasure takes it away.
"""

from datetime import datetime
from uuid import UUID

from events.heads import DbConnection
from service.context import Context
from service.core import tokens

MAX_KNOWN_DEVICES = 40

FIND_KNOWN_DEVICE = """
SELECT known_devices.known_device_id
FROM known_devices
JOIN addresses USING (member_id)
WHERE addresses.address_hash = $1
    AND known_devices.secret_hash = $2
"""


async def find(db: DbConnection, address_hash: bytes, secret_hash: bytes) -> UUID | None:
    """The device of the address's member that has this secret."""
    found: UUID | None = await db.fetchval(FIND_KNOWN_DEVICE, address_hash, secret_hash)
    return found


KEEP_KNOWN_DEVICE = """
INSERT INTO known_devices (
    known_device_id,
    member_id,
    secret_hash,
    used_at
) VALUES ($1, $2, $3, $4)
ON CONFLICT (known_device_id) DO UPDATE
SET used_at = excluded.used_at
WHERE known_devices.member_id = excluded.member_id
"""

FORGET_DEVICES_UNUSED = """
DELETE FROM known_devices
WHERE known_device_id IN (
    SELECT known_device_id
    FROM known_devices
    WHERE member_id = $1
    ORDER BY
        used_at DESC,
        known_device_id
    OFFSET $2
)
"""


async def keep(context: Context, db: DbConnection, member_id: UUID, known_device_id: UUID, now: datetime) -> None:
    """Know the device from now on; beyond so many, the one unused for longest is forgotten."""
    secret_hash = tokens.token_hash(await secret_of(context, known_device_id))
    await db.execute(KEEP_KNOWN_DEVICE, known_device_id, member_id, secret_hash, now)
    await db.execute(FORGET_DEVICES_UNUSED, member_id, MAX_KNOWN_DEVICES)


async def secret_of(context: Context, known_device_id: UUID) -> str:
    """The secret of a device, the same each time."""
    return tokens.token_of(await context.keys.blind_index("device secret", str(known_device_id)))
