"""Signing in, and stepping up, by a code that is mailed."""

import hmac
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from asyncpg import UniqueViolationError
from litestar import Response, post
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from events.heads import DbConnection
from service.access.authentication import current_member
from service.accounts import sessions
from service.accounts.sessions import DeviceName, SignedIn
from service.context import Context
from service.core import tokens
from service.errors import TooManyRequests, WrongCode
from service.web.operation import described
from service.web.rate_limits import client_of, limits_of
from service.web.requests import ApiRequest, Nothing, context_of, decode_body
from service.web.responses import empty_answer, json_answer

CODE_TTL = timedelta(minutes=10)
CODE_TRIES = 5

Email = Annotated[
    str,
    Meta(
        max_length=254,
        # The end as Python and ECMAScript both mean it: in Python, $ alone also stands before a last line break.
        pattern=r"^[A-Za-z0-9.!#$%&'*+/=^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$(?!\n)",
        description="A mail address; case does not matter.",
        examples=["someone@example.org"],
    ),
]


class CodeWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to send a sign-in code."""

    email: Email


Code = Annotated[str, Meta(max_length=6, pattern=r"^[0-9]{6}$", description="The six digits from the mail.")]


class SignIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A sign-in with a mailed code. The first one of an address makes the member."""

    email: Email
    code: Code
    device_name: DeviceName


class StepUp(Struct, frozen=True, forbid_unknown_fields=True):
    """A fresh code, sent to my own mail address: whoever only holds my unlocked phone has none."""

    code: Code


# Everybody's, so that none stays because its owner never asks again; what another call is deleting is left to it.
FORGET_CODES = """
DELETE FROM sign_in_codes
WHERE (address_hash, code_id) IN (
    SELECT
        address_hash,
        code_id
    FROM sign_in_codes
    WHERE expires_at <= $1
    ORDER BY expires_at
    LIMIT 100
    FOR UPDATE SKIP LOCKED
)
"""

KEEP_CODE = """
INSERT INTO sign_in_codes (
    address_hash,
    code_id,
    code_hash,
    expires_at,
    tries_left
) VALUES ($1, $2, $3, $4, $5)
"""


@post(
    "/v1/sign-in-codes",
    opt=described(
        id="sendSignInCode",
        tag="Sign in",
        summary="Send a six-digit code by mail, the same for known and unknown addresses",
        body=CodeWanted,
        answers={202: Nothing},
        problems=(TooManyRequests,),
        signed_in=False,
    ),
)
async def send_sign_in_code(request: ApiRequest) -> ASGIApp:
    """Several live codes may coexist: asking for one takes nothing from who asked before."""
    context = context_of(request)
    email = (await decode_body(request, CodeWanted)).email.lower()
    now, address_hash = context.now(), await context.keys.blind_index("address", email)
    limits_of(request).codes_asked.take((client_of(request), address_hash), now)
    code_id = tokens.new_id(context.random_bytes, "sign-in code id")
    code = tokens.new_code(context.random_bytes, code_id)
    async with context.auth_db.acquire() as db, db.transaction():
        await db.execute(FORGET_CODES, now)
        code_hash = tokens.code_hash(code_id, code)
        await db.execute(KEEP_CODE, address_hash, code_id, code_hash, now + CODE_TTL, CODE_TRIES)
    await context.mailer.send(email, "Your sign-in code", MAIL_TEXT.format(code=code))
    return json_answer(Nothing(), 202)


MAIL_TEXT = """\
Your code to sign in is {code}

It works for 10 minutes. If you did not ask for it, nothing needs to be done:
without this code nobody can sign in with your address.
"""

LIVE_CODES = """
SELECT
    code_id,
    code_hash
FROM sign_in_codes
WHERE address_hash = $1
    AND expires_at > $2
    AND tries_left > 0
ORDER BY code_id
FOR UPDATE
"""

CHARGE_CODES = """
UPDATE sign_in_codes
SET tries_left = tries_left - 1
WHERE address_hash = $1
    AND tries_left > 0
"""

USE_CODE = """
DELETE FROM sign_in_codes
WHERE address_hash = $1
    AND code_id = $2
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
    """A wrong code costs each live code of the address one try."""
    context = context_of(request)
    wanted = await decode_body(request, SignIn)
    email, now = wanted.email.lower(), context.now()
    address_hash = await context.keys.blind_index("address", email)
    limits_of(request).codes_tried.take((client_of(request), address_hash), now)
    async with context.auth_db.acquire() as db, db.transaction():
        answer = None
        if await _use_code(db, address_hash, wanted.code, now):
            member_id = await _member_of(context, db, address_hash, email, now)
            answer = await sessions.begin(context, db, member_id, wanted.device_name, now)
    # Raised only here, so that the tries are charged: an exception inside would undo the transaction.
    if answer is None:
        raise WrongCode
    return json_answer(answer, 201)


async def _use_code(db: DbConnection, address_hash: bytes, code: str, now: datetime) -> bool:
    live = await db.fetch(LIVE_CODES, address_hash, now)
    matching = [
        row["code_id"] for row in live if hmac.compare_digest(row["code_hash"], tokens.code_hash(row["code_id"], code))
    ]
    if matching:
        await db.execute(USE_CODE, address_hash, matching[0])
    else:
        await db.execute(CHARGE_CODES, address_hash)
    return bool(matching)


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


async def _member_of(context: Context, db: DbConnection, address_hash: bytes, email: str, now: datetime) -> UUID:
    known: UUID | None = await db.fetchval(MEMBER_OF, address_hash)
    if known is not None:
        return known
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
    return member_id


ADDRESS_OF = """
SELECT address_hash
FROM addresses
WHERE member_id = $1
"""


@post(
    "/v1/sessions/step-up",
    status_code=204,
    opt=described(
        id="stepUp",
        tag="Sign in",
        summary="Show with a fresh mailed code that it is me: for 5 minutes this session may export and erase",
        body=StepUp,
        answers={204: None},
        problems=(WrongCode,),
    ),
)
async def step_up(request: ApiRequest) -> Response[None]:
    """The code is one from `POST /v1/sign-in-codes` for my own address. A wrong one costs tries as at a sign-in."""
    member = await current_member(request)
    code = (await decode_body(request, StepUp)).code
    context = context_of(request)
    now = context.now()
    address_hash = await context.auth_db.fetchval(ADDRESS_OF, member.member_id)
    if address_hash is None:  # signed in with Apple or Google: no code can be theirs
        raise WrongCode
    limits_of(request).codes_tried.take((client_of(request), address_hash), now)
    async with context.auth_db.acquire() as db, db.transaction():
        right = await _use_code(db, address_hash, code, now)
    if not right:
        raise WrongCode
    await sessions.step_up(context, member, now)
    return empty_answer()
