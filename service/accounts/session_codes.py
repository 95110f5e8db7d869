"""Codes that a session asks for itself: to step up, and to prove a mail address.

One works for that session and that purpose alone, and nobody else can ask for it, try it or use it up.
"""

import hmac
from datetime import datetime, timedelta
from typing import Annotated, Literal, TypeAlias

from asyncpg import Record
from msgspec import Meta, Struct

from events.heads import DbConnection
from service.access.authentication import Member
from service.context import Context
from service.core import tokens
from service.core.keyboards import AROUND, DASHES, without_separators

Purpose: TypeAlias = Literal["step-up", "address"]

CODE_TRIES = 5
ANSWER_GRACE = timedelta(seconds=30)

Code = Annotated[
    str,
    Meta(
        max_length=100,
        pattern=rf"^([{AROUND}{DASHES}]*[0-9]){{{tokens.CODE_DIGITS}}}[{AROUND}{DASHES}]*$(?!\n)",
        description="The eight digits from the mail. White space and hyphens do not matter.",
        examples=["1234 5678"],
    ),
]


class ProvenAddress(Struct, frozen=True):
    """The mail address that a code was sent to: encrypted for the member, and as it is looked up."""

    email: bytes
    address_hash: bytes


KEEP_CODE = """
INSERT INTO session_codes (
    session_id,
    purpose,
    code_hash,
    asked_at,
    tries_left,
    email,
    address_hash
) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (session_id, purpose) DO UPDATE
SET
    code_hash = excluded.code_hash,
    asked_at = excluded.asked_at,
    tries_left = excluded.tries_left,
    used_at = NULL,
    email = excluded.email,
    address_hash = excluded.address_hash
"""


async def keep(
    context: Context,
    db: DbConnection,
    member: Member,
    purpose: Purpose,
    code: str,
    now: datetime,
    address: ProvenAddress | None = None,
) -> None:
    """Keep the code in a transaction that has locked the session. The one for the same purpose before is over."""
    code_hash = await _hash(context, member, purpose, code)
    email, address_hash = (address.email, address.address_hash) if address else (None, None)
    await db.execute(KEEP_CODE, member.session_id, purpose, code_hash, now, CODE_TRIES, email, address_hash)


async def _hash(context: Context, member: Member, purpose: Purpose, code: str) -> bytes:
    label: Literal["step-up code", "address code"] = "step-up code" if purpose == "step-up" else "address code"
    return await context.keys.blind_index(label, str(member.session_id), without_separators(code))


LOCK_CODE = """
SELECT
    code_hash,
    used_at,
    email,
    address_hash
FROM session_codes
WHERE session_id = $1
    AND purpose = $2
    AND asked_at > $3
    AND tries_left > 0
    AND (used_at IS NULL OR used_at > $4)
FOR UPDATE
"""

SPEND_TRY = """
UPDATE session_codes
SET tries_left = tries_left - 1
WHERE session_id = $1
    AND purpose = $2
    AND tries_left > 0
"""

USE_CODE = """
UPDATE session_codes
SET used_at = $3
WHERE session_id = $1
    AND purpose = $2
"""


async def use(
    context: Context, db: DbConnection, member: Member, purpose: Purpose, code: str, now: datetime, ttl: timedelta
) -> Record | None:
    """What was kept with the right code; null where it is wrong, and then it costs a try. For a transaction.

    `used_at` is null at the first time. A phone that lost the answer may send the same code again for 30 seconds.
    """
    code_hash = await _hash(context, member, purpose, code)
    kept = await db.fetchrow(LOCK_CODE, member.session_id, purpose, now - ttl, now - ANSWER_GRACE)
    if kept is None or not hmac.compare_digest(kept["code_hash"], code_hash):
        await db.execute(SPEND_TRY, member.session_id, purpose)
        return None
    if kept["used_at"] is None:
        await db.execute(USE_CODE, member.session_id, purpose, now)
    return kept
