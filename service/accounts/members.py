"""Members as rows: brought in with an export, and forgotten when they are erased."""

from datetime import datetime
from uuid import UUID

from events.heads import DbConnection
from service.access.pauses import Pause, encrypt_pauses
from service.accounts.mailed_codes import GIVE_ADDRESS
from service.accounts.me import Me
from service.keys.keyring import Keyring

MAKE_MEMBER = """
INSERT INTO members (
    member_id,
    email,
    name,
    time_zone,
    consent_version,
    pauses,
    created_at
) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


async def insert(db: DbConnection, keys: Keyring, me: Me, pauses: list[Pause], created_at: datetime) -> None:
    """Make the member that an export describes, found by the mail address that it names, if any. Their key is there."""
    email_ciphertext = await keys.encrypt_for(me.member_id, "email", me.email) if me.email else None
    name_ciphertext = await keys.encrypt_for(me.member_id, "name", me.name) if me.name else None
    pauses_ciphertext = await encrypt_pauses(keys, me.member_id, pauses) if pauses else None
    said = (email_ciphertext, name_ciphertext, me.time_zone, me.consent.accepted, pauses_ciphertext)
    await db.execute(MAKE_MEMBER, me.member_id, *said, created_at)
    if me.email:
        await db.execute(GIVE_ADDRESS, await keys.blind_index("address", me.email), me.member_id)


FORGET_ATTEMPTS_OF = """
DELETE FROM sign_in_attempts
USING addresses
WHERE addresses.address_hash = sign_in_attempts.address_hash
    AND addresses.member_id = $1
"""

FORGET_SESSIONS = """
DELETE FROM sessions
WHERE member_id = $1
"""


async def forget_sessions(db: DbConnection, member_id: UUID) -> None:
    """Delete a member's sessions, and with them, by the foreign keys, their tokens and devices.

    Attempts to sign in go before: whoever uses one holds it while they lock the sessions.
    """
    await db.execute(FORGET_ATTEMPTS_OF, member_id)
    await db.execute(FORGET_SESSIONS, member_id)


FORGET_KNOWN_DEVICES = """
DELETE FROM known_devices
WHERE member_id = $1
"""

FORGET_ADDRESS = """
DELETE FROM addresses
WHERE member_id = $1
"""

FORGET_IDENTITIES = """
DELETE FROM identities
WHERE member_id = $1
"""

FORGET_MEMBER = """
DELETE FROM members
WHERE member_id = $1
"""


async def forget(db: DbConnection, member_id: UUID) -> None:
    """Delete a member of whom no other room has a row any more, and how they signed in."""
    for statement in (FORGET_KNOWN_DEVICES, FORGET_ADDRESS, FORGET_IDENTITIES, FORGET_MEMBER):
        await db.execute(statement, member_id)
