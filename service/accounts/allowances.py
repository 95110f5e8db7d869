"""How many codes are mailed within 24 hours, whoever asks, from wherever: counted in the database, to the code.

All codes that can be mailed to one address, times the tries of each, times the chance of a guess, stay below 10^-5 a
day: 199 x 5 x 10^-8. Three kinds have shares of that which the others cannot spend: codes that anybody asks for, codes
that a device asks for on which the member has signed in before, and codes that a session asks for to step up. One
device, and one session, have a part of theirs.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from events.heads import DbConnection
from service.context import Context
from service.errors import TooManyRequests

PERIOD = timedelta(hours=24)

CODES_BY_ANYBODY = 99
CODES_BY_DEVICES, CODES_BY_DEVICE = 60, 20
CODES_TO_STEP_UP, CODES_TO_STEP_UP_BY_SESSION = 40, 10


class Allowance(Struct, frozen=True):
    """So many codes within 24 hours; the key is a keyed hash of whose it is."""

    key_hash: bytes
    codes: int


async def by_anybody(context: Context, address_hash: bytes) -> Sequence[Allowance]:
    """Whoever names the address."""
    return [Allowance(await _key(context, "anybody", address_hash), CODES_BY_ANYBODY)]


async def by_device(context: Context, address_hash: bytes, secret_hash: bytes) -> Sequence[Allowance]:
    """A device on which the member of the address has signed in before."""
    return [
        Allowance(await _key(context, "device", secret_hash), CODES_BY_DEVICE),
        Allowance(await _key(context, "devices", address_hash), CODES_BY_DEVICES),
    ]


async def to_step_up(context: Context, member: bytes, session: bytes) -> Sequence[Allowance]:
    """A session, by its id and its member's."""
    return [
        Allowance(await _key(context, "session", session), CODES_TO_STEP_UP_BY_SESSION),
        Allowance(await _key(context, "sessions", member), CODES_TO_STEP_UP),
    ]


async def _key(context: Context, kind: str, whose: bytes) -> bytes:
    return await context.keys.blind_index("allowance", kind, whose.hex())


# What lies ahead was counted by a clock that was ahead.
SPEND_ALLOWANCE = """
INSERT INTO code_allowances AS kept (
    key_hash,
    asked_at,
    forget_at
) VALUES ($1, ARRAY[$2::timestamptz], $4)
ON CONFLICT (key_hash) DO UPDATE
SET
    asked_at = array(
        SELECT one
        FROM unnest(kept.asked_at) AS one
        WHERE one > $3
            AND one <= $2
    ) || excluded.asked_at,
    forget_at = excluded.forget_at
WHERE (
    SELECT count(*)
    FROM unnest(kept.asked_at) AS one
    WHERE one > $3
        AND one <= $2
) < $5
"""

OLDEST_ASKED = """
SELECT min(one)
FROM
    code_allowances,
    unnest(asked_at) AS one
WHERE key_hash = $1
    AND one > $2
"""

# Everybody's, so that none stays because its owner never asks again; what another call is deleting is left to it.
FORGET_ALLOWANCES = """
DELETE FROM code_allowances
WHERE key_hash IN (
    SELECT key_hash
    FROM code_allowances
    WHERE forget_at <= $1
    ORDER BY forget_at
    LIMIT 100
    FOR UPDATE SKIP LOCKED
)
"""


async def spend(db: DbConnection, allowances: Sequence[Allowance], now: datetime) -> None:
    """Count one code in a transaction, under each of them or none. Raises TooManyRequests."""
    await db.execute(FORGET_ALLOWANCES, now)
    for one in allowances:
        done = await db.execute(SPEND_ALLOWANCE, one.key_hash, now, now - PERIOD, now + PERIOD, one.codes)
        if done == "INSERT 0 0":
            oldest = await db.fetchval(OLDEST_ASKED, one.key_hash, now - PERIOD)
            raise TooManyRequests(int((oldest + PERIOD - now).total_seconds()) + 1)
