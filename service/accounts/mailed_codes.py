"""Signing in by a code that is mailed.

A code belongs to the attempt that asked for it: only who has the attempt's id can try it, and a wrong guess spends the
tries of that attempt alone.
"""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from asyncpg import Record, UniqueViolationError
from litestar import post
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from events.heads import DbConnection
from service.access.notices import tell_of_sign_in
from service.accounts import allowances, known_devices, sessions
from service.accounts.addresses import Email, canonical
from service.accounts.mail_texts import TEXTS, code_mail
from service.accounts.session_codes import ANSWER_GRACE, CODE_TRIES, Code
from service.accounts.sessions import DeviceName, NewSession, SignedIn
from service.context import Context
from service.core import tokens
from service.core.keyboards import without_separators
from service.database.pool import checked_out
from service.errors import Overloaded, TooManyRequests, WrongCode
from service.keys import field_encryption
from service.web.operation import described
from service.web.rate_limits import client_of, limits_of
from service.web.requests import ApiRequest, context_of, decode_body, language_of
from service.web.responses import json_answer

CODE_TTL = timedelta(minutes=10)

DeviceSecret = Annotated[
    str,
    Meta(
        max_length=200,
        description="The device_secret of an earlier sign-in or refresh on this device. For an address of the same "
        "member, it asks under an allowance of its own, which nobody else can use up.",
    ),
]


class CodeWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to send a sign-in code."""

    email: Email
    device_secret: DeviceSecret | None = None


class Attempt(Struct, frozen=True):
    """An attempt to sign in. The code in the mail works with this id only."""

    attempt_id: UUID


class SignIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A sign-in with a mailed code. The first one of an address makes the member."""

    attempt_id: UUID
    code: Code
    device_name: DeviceName


# Everybody's, so that none stays because its owner never asks again; what another call is deleting is left to it.
FORGET_ATTEMPTS = """
DELETE FROM sign_in_attempts
WHERE attempt_hash IN (
    SELECT attempt_hash
    FROM sign_in_attempts
    WHERE expires_at <= $1
    ORDER BY expires_at
    LIMIT 100
    FOR UPDATE SKIP LOCKED
)
"""

KEEP_ATTEMPT = """
INSERT INTO sign_in_attempts (
    attempt_hash,
    address_hash,
    address,
    known_device_id,
    code_hash,
    expires_at,
    tries_left
) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


@post(
    "/v1/sign-in-codes",
    opt=described(
        id="sendSignInCode",
        tag="Sign in",
        summary="Begin an attempt to sign in: send a code by mail, the same for known and unknown addresses",
        body=CodeWanted,
        answers={202: Attempt},
        problems=(TooManyRequests, Overloaded),
        signed_in=False,
    ),
)
async def send_sign_in_code(request: ApiRequest) -> ASGIApp:
    """Each attempt has a code of its own: asking for one takes nothing from who asked before."""
    context, wanted = context_of(request), await decode_body(request, CodeWanted)
    email, now = canonical(wanted.email), context.now()
    address_hash = await context.keys.blind_index("address", email)
    # First, so that nothing is spent on a mail that cannot be sent, and none is lost once it was promised.
    with context.mailer.reserve() as place:
        secret_hash = tokens.token_hash(wanted.device_secret or "")
        async with checked_out(context.auth_db) as db:
            device = await known_devices.find(db, address_hash, secret_hash)
            if device is None:
                count_client(request, address_hash, now)
                spent = await allowances.by_anybody(context, address_hash)
            else:
                spent = await allowances.by_device(context, address_hash, secret_hash)
            async with db.transaction():
                await allowances.spend(db, spent, now)
                attempt_id, code = await _begin_attempt(context, db, email, address_hash, device, now)
        place.fill(code_mail(email, "sign in", language_of(request, None, TEXTS), code))
    return json_answer(Attempt(attempt_id), 202)


def count_client(request: ApiRequest, address_hash: bytes, now: datetime) -> None:
    """Who has not signed in here before asks as one of their network. Raises TooManyRequests."""
    limits, client = limits_of(request), client_of(request)
    limits.codes_asked.take((client,), now)
    limits.codes_asked_for_address.take((client, address_hash), now)


async def _begin_attempt(
    context: Context, db: DbConnection, email: str, address_hash: bytes, device: UUID | None, now: datetime
) -> tuple[UUID, str]:
    attempt_id = tokens.new_id(context.random_bytes, "sign-in attempt id")
    code = tokens.new_code(context.random_bytes, f"sign-in code {attempt_id}")
    address = field_encryption.encrypt(_address_key(attempt_id), attempt_id, "attempt_address", email)
    found_by, code_hash = _attempt_hash(attempt_id), tokens.code_hash(attempt_id, code)
    await db.execute(FORGET_ATTEMPTS, now)
    await db.execute(KEEP_ATTEMPT, found_by, address_hash, address, device, code_hash, now + CODE_TTL, CODE_TRIES)
    return attempt_id, code


def _attempt_hash(attempt_id: UUID) -> bytes:
    return hashlib.sha256(b"mutuality/attempt/v1" + attempt_id.bytes).digest()


def _address_key(attempt_id: UUID) -> bytes:
    """Only the phone has the id: the rows alone do not open the address."""
    return hashlib.sha256(b"mutuality/attempt-address/v1" + attempt_id.bytes).digest()


LOCK_ATTEMPT = """
SELECT
    address_hash,
    address,
    known_device_id,
    code_hash,
    used_at,
    used_by,
    salt,
    member_id
FROM sign_in_attempts
WHERE attempt_hash = $1
    AND expires_at > $2
    AND tries_left > 0
FOR UPDATE
"""

SPEND_TRY = """
UPDATE sign_in_attempts
SET tries_left = tries_left - 1
WHERE attempt_hash = $1
    AND tries_left > 0
"""

USE_ATTEMPT = """
UPDATE sign_in_attempts
SET
    expires_at = $2,
    used_at = $3,
    used_by = $4,
    salt = $5,
    member_id = $6,
    known_device_id = $7
WHERE attempt_hash = $1
"""


@post(
    "/v1/sessions",
    opt=described(
        id="signIn",
        tag="Sign in",
        summary="Sign in with a mailed code",
        body=SignIn,
        answers={201: SignedIn},
        problems=(WrongCode, TooManyRequests),
        signed_in=False,
    ),
)
async def sign_in(request: ApiRequest) -> ASGIApp:
    """A wrong code costs its attempt one try. The right one gets the same answer again for 30 seconds."""
    context, wanted = context_of(request), await decode_body(request, SignIn)
    now = context.now()
    async with checked_out(context.auth_db) as db, db.transaction():
        entered = await _enter(context, db, wanted, now)
    # Raised only here, so that the try is charged: an exception inside would undo the transaction.
    if entered is None:
        # Counted only now, and only what was wrong: nobody's wrong codes keep a right one out.
        limits_of(request).wrong_codes.take((client_of(request),), now)
        raise WrongCode
    if entered.tell:
        await tell_of_sign_in(context, entered.answer.member_id, wanted.device_name, now)
    return json_answer(entered.answer, 201)


class Entered(Struct, frozen=True):
    """The answer to a right code, and whether the member is to be told of it."""

    answer: SignedIn
    tell: bool


async def _enter(context: Context, db: DbConnection, wanted: SignIn, now: datetime) -> Entered | None:
    code, found_by = without_separators(wanted.code), _attempt_hash(wanted.attempt_id)
    attempt = await db.fetchrow(LOCK_ATTEMPT, found_by, now)
    # The same work whether there is an attempt or none.
    expected = attempt["code_hash"] if attempt else bytes(32)
    right = hmac.compare_digest(expected, tokens.code_hash(wanted.attempt_id, code))
    used_by = tokens.token_hash(f"{wanted.attempt_id} {code} {wanted.device_name}")
    if attempt is not None and right:
        if attempt["used_at"] is None:
            return await _use_attempt(context, db, wanted, attempt, used_by, now)
        if hmac.compare_digest(attempt["used_by"], used_by):
            return Entered(await _answer_again(context, wanted, attempt), tell=False)
    await db.execute(SPEND_TRY, found_by)
    return None


async def _use_attempt(
    context: Context, db: DbConnection, wanted: SignIn, attempt: Record, used_by: bytes, now: datetime
) -> Entered:
    email = field_encryption.decrypt(
        _address_key(wanted.attempt_id), wanted.attempt_id, "attempt_address", attempt["address"]
    )
    member_id, is_new = await _member_of(context, db, attempt["address_hash"], email, now)
    salt = context.random_bytes(16, f"salt of attempt {wanted.attempt_id}")
    device = attempt["known_device_id"] or sessions.new_known_device(context)
    await db.execute(
        USE_ATTEMPT, _attempt_hash(wanted.attempt_id), now + ANSWER_GRACE, now, used_by, salt, member_id, device
    )
    access, refresh = _derived(wanted, salt)
    new = NewSession(member_id, wanted.device_name, device, access, refresh)
    return Entered(await sessions.begin(context, db, new, now), tell=not is_new)


async def _answer_again(context: Context, wanted: SignIn, attempt: Record) -> SignedIn:
    access, refresh = _derived(wanted, attempt["salt"])
    new = NewSession(attempt["member_id"], wanted.device_name, attempt["known_device_id"], access, refresh)
    return await sessions.answer(context, new, attempt["used_at"])


def _derived(wanted: SignIn, salt: bytes) -> tuple[str, str]:
    """The tokens, from what only the phone has: the same each time, though no token is kept."""
    secret = f"{wanted.attempt_id} {without_separators(wanted.code)}"
    return tokens.successor(secret, salt, "access"), tokens.successor(secret, salt, "refresh")


MEMBER_OF = """
SELECT member_id
FROM addresses
WHERE address_hash = $1
"""

MAKE_MEMBER = """
INSERT INTO members (
    member_id,
    email,
    time_zone,
    created_at
) VALUES ($1, $2, 'UTC', $3)
"""

GIVE_ADDRESS = """
INSERT INTO addresses (
    address_hash,
    member_id
) VALUES ($1, $2)
"""


async def _member_of(
    context: Context, db: DbConnection, address_hash: bytes, email: str, now: datetime
) -> tuple[UUID, bool]:
    """The member of the address, and whether this sign-in has made them."""
    known: UUID | None = await db.fetchval(MEMBER_OF, address_hash)
    if known is not None:
        return known, False
    member_id = tokens.new_id(context.random_bytes, "member id")
    await context.keys.make_for_member(member_id)
    email_ciphertext = await context.keys.encrypt_for(member_id, "email", email)
    try:
        async with db.transaction():
            await db.execute(MAKE_MEMBER, member_id, email_ciphertext, now)
            await db.execute(GIVE_ADDRESS, address_hash, member_id)
    except UniqueViolationError:
        # Two first sign-ins of one address at once: the other one made the member.
        return await _member_of(context, db, address_hash, email, now)
    return member_id, True
