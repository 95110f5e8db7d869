"""Signing in by mailed code, and the devices that are signed in.

A session is a family of refresh tokens, each used once. A used one, shown again after the grace, means that somebody
has a copy: the family ends.
"""

import hmac
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from asyncpg import UniqueViolationError
from litestar import Response, delete, get, post
from litestar.params import FromPath
from msgspec import Meta, Struct

from events.streams import Database
from service import tokens
from service.errors import NotFound, NotSignedIn, RefreshRefused, TooManyRequests, WrongCode
from service.http import Call, body_of, empty_answer, id_of, json_answer, world_of
from service.operations import described
from service.world import World

CODE_LIVES = timedelta(minutes=10)
CODE_TRIES = 5
ACCESS_LIVES = timedelta(minutes=15)
REFRESH_LIVES = timedelta(days=90)
REFRESH_GRACE = timedelta(seconds=30)

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


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """An empty object."""


class SignIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A sign-in with a mailed code. The first one of an address makes the member."""

    email: Email
    code: Annotated[str, Meta(max_length=6, pattern=r"^[0-9]{6}$", description="The six digits from the mail.")]
    device_name: Annotated[
        str,
        Meta(min_length=1, max_length=100, pattern=r"^[^\x00]*$", description="Shown in the list of devices."),
    ]


class Refresh(Struct, frozen=True, forbid_unknown_fields=True):
    """A refresh token, to be used once."""

    refresh_token: Annotated[str, Meta(max_length=200)]


class SignedIn(Struct, frozen=True):
    """The tokens of a session. The access token is sent as Authorization: Bearer."""

    member_id: UUID
    access_token: str
    access_expires_at: datetime
    refresh_token: str


class Device(Struct, frozen=True):
    """One of my sessions; `current` is the one that asks."""

    id: UUID
    device_name: str
    created_at: datetime
    refreshed_at: datetime
    current: bool


class Devices(Struct, frozen=True):
    """My sessions, the newest first."""

    sessions: list[Device]


class Member(Struct, frozen=True):
    """Who asks."""

    member_id: UUID
    session_id: UUID
    email: str
    name: str | None
    time_zone: str
    consent_version: str | None


BY_ACCESS_TOKEN = """
SELECT
    members.member_id,
    sessions.session_id,
    addresses.email,
    members.name,
    members.time_zone,
    members.consent_version
FROM access_tokens
JOIN sessions USING (session_id)
JOIN members USING (member_id)
JOIN addresses USING (member_id)
WHERE access_tokens.token_hash = $1
    AND access_tokens.expires_at > $2
"""


async def signed_in(request: Call) -> Member:
    """Who asks, by their access token, as of now. Raises NotSignedIn."""
    world = world_of(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotSignedIn
    row = await world.db.fetchrow(BY_ACCESS_TOKEN, tokens.token_hash(token), world.now())
    if row is None:
        raise NotSignedIn
    request.scope["mutuality_member"] = str(row["member_id"])  # type: ignore[typeddict-unknown-key]
    return Member(**row)


# Of everybody, so that no address stays because nobody asks again; what another call is deleting is left to it.
FORGET_CODES = """
DELETE FROM sign_in_codes
WHERE (email, code_id) IN (
    SELECT
        email,
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
    email,
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
        summary="Send a six-digit code by mail, the same for known and unknown addresses",
        body=CodeWanted,
        answers={202: Nothing},
        problems=(TooManyRequests,),
        signed_in=False,
    ),
)
async def send_sign_in_code(request: Call) -> Response[bytes]:
    """Several live codes may coexist: asking for one takes nothing from who asked before."""
    world = world_of(request)
    email = (await body_of(request, CodeWanted)).email.lower()
    now = world.now()
    request.app.state.codes_asked.take((_client(request), email), now)
    code_id = tokens.new_id(world, "sign-in code id")
    code = tokens.new_code(world, code_id)
    async with world.db.acquire() as db, db.transaction():
        await db.execute(FORGET_CODES, now)
        await db.execute(KEEP_CODE, email, code_id, tokens.code_hash(code_id, code), now + CODE_LIVES, CODE_TRIES)
    await world.mailer.send(email, "Your sign-in code", MAIL_TEXT.format(code=code))
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
WHERE email = $1
    AND expires_at > $2
    AND tries_left > 0
ORDER BY code_id
FOR UPDATE
"""

CHARGE_CODES = """
UPDATE sign_in_codes
SET tries_left = tries_left - 1
WHERE email = $1
    AND tries_left > 0
"""

USE_CODE = """
DELETE FROM sign_in_codes
WHERE email = $1
    AND code_id = $2
"""


@post(
    "/v1/sessions",
    opt=described(
        id="signIn",
        summary="Sign in with a mailed code",
        body=SignIn,
        answers={201: SignedIn},
        problems=(WrongCode, TooManyRequests),
        signed_in=False,
    ),
)
async def sign_in(request: Call) -> Response[bytes]:
    """A wrong code costs each live code of the address one try."""
    world = world_of(request)
    wanted = await body_of(request, SignIn)
    email, now = wanted.email.lower(), world.now()
    request.app.state.codes_tried.take((_client(request), email), now)
    async with world.db.acquire() as db, db.transaction():
        answer = None
        if await _use_code(db, email, wanted.code, now):
            member_id = await _member_of(world, db, email, now)
            answer = await _begin(world, db, member_id, wanted.device_name, now)
    # Raised only here, so that the tries are charged: an exception inside would undo the transaction.
    if answer is None:
        raise WrongCode
    return json_answer(answer, 201)


async def _use_code(db: Database, email: str, code: str, now: datetime) -> bool:
    live = await db.fetch(LIVE_CODES, email, now)
    matching = [
        row["code_id"] for row in live if hmac.compare_digest(row["code_hash"], tokens.code_hash(row["code_id"], code))
    ]
    if matching:
        await db.execute(USE_CODE, email, matching[0])
    else:
        await db.execute(CHARGE_CODES, email)
    return bool(matching)


def _client(request: Call) -> str:
    return request.client.host if request.client else ""


MEMBER_OF = """
SELECT member_id
FROM addresses
WHERE email = $1
"""

MAKE_MEMBER = """
INSERT INTO members (
    member_id,
    time_zone,
    created_at
) VALUES ($1, 'UTC', $2)
"""

GIVE_ADDRESS = """
INSERT INTO addresses (
    email,
    member_id
) VALUES ($1, $2)
"""


async def _member_of(world: World, db: Database, email: str, now: datetime) -> UUID:
    known: UUID | None = await db.fetchval(MEMBER_OF, email)
    if known is not None:
        return known
    member_id = tokens.new_id(world, "member id")
    await world.keys.make_for_member(member_id)
    try:
        async with db.transaction():
            await db.execute(MAKE_MEMBER, member_id, now)
            await db.execute(GIVE_ADDRESS, email, member_id)
    except UniqueViolationError:
        # Two first sign-ins of one address at once: the other one made the member.
        return await _member_of(world, db, email, now)
    return member_id


MAKE_SESSION = """
INSERT INTO sessions (
    session_id,
    member_id,
    device_name,
    created_at,
    refreshed_at
) VALUES ($1, $2, $3, $4, $4)
"""

KEEP_ACCESS = """
INSERT INTO access_tokens (
    token_hash,
    session_id,
    expires_at
) VALUES ($1, $2, $3)
"""

KEEP_REFRESH = """
INSERT INTO refresh_tokens (
    token_hash,
    session_id,
    expires_at
) VALUES ($1, $2, $3)
"""


async def _begin(world: World, db: Database, member_id: UUID, device_name: str, now: datetime) -> SignedIn:
    session_id = tokens.new_id(world, "session id")
    await db.execute(MAKE_SESSION, session_id, member_id, device_name, now)
    access = tokens.new_token(world, f"access {session_id}")
    refresh = tokens.new_token(world, f"refresh {session_id}")
    await _keep(db, session_id, access, refresh, now)
    return SignedIn(member_id, access, now + ACCESS_LIVES, refresh)


async def _keep(db: Database, session_id: UUID, access: str, refresh: str, now: datetime) -> None:
    await db.execute(KEEP_ACCESS, tokens.token_hash(access), session_id, now + ACCESS_LIVES)
    await db.execute(KEEP_REFRESH, tokens.token_hash(refresh), session_id, now + REFRESH_LIVES)


# The session before its tokens: signing out deletes in this order, and nobody may wait in a circle.
BY_REFRESH_TOKEN = """
SELECT
    refresh_tokens.session_id,
    refresh_tokens.expires_at,
    refresh_tokens.used_at,
    refresh_tokens.successor_salt,
    sessions.member_id
FROM refresh_tokens
JOIN sessions USING (session_id)
WHERE refresh_tokens.token_hash = $1
FOR UPDATE OF sessions, refresh_tokens
"""

USE_REFRESH = """
UPDATE refresh_tokens
SET
    used_at = $2,
    successor_salt = $3
WHERE token_hash = $1
"""

FORGET_ACCESS = """
DELETE FROM access_tokens
WHERE session_id = $1
    AND expires_at <= $2
"""

TOUCH_SESSION = """
UPDATE sessions
SET refreshed_at = $2
WHERE session_id = $1
"""

END_SESSION = """
DELETE FROM sessions
WHERE session_id = $1
    AND member_id = $2
"""


@post(
    "/v1/sessions/refresh",
    status_code=200,
    opt=described(
        id="refreshSession",
        summary="Exchange a refresh token for new tokens, once",
        body=Refresh,
        answers={200: SignedIn},
        problems=(RefreshRefused,),
        signed_in=False,
    ),
)
async def refresh_session(request: Call) -> Response[bytes]:
    """For 30 seconds the same token gets the same successors: phones lose answers."""
    world = world_of(request)
    token = (await body_of(request, Refresh)).refresh_token
    async with world.db.acquire() as db, db.transaction():
        answer = await _refresh(world, db, token, world.now())
    if answer is None:
        raise RefreshRefused
    return json_answer(answer)


async def _refresh(world: World, db: Database, token: str, now: datetime) -> SignedIn | None:
    row = await db.fetchrow(BY_REFRESH_TOKEN, tokens.token_hash(token))
    if row is None or row["expires_at"] <= now:
        return None
    used_at, salt = row["used_at"], row["successor_salt"]
    if used_at is not None and now > used_at + REFRESH_GRACE:
        await db.execute(END_SESSION, row["session_id"], row["member_id"])
        return None
    if used_at is None:
        used_at, salt = now, world.chance(16, f"refresh salt {row['session_id']}")
        await db.execute(USE_REFRESH, tokens.token_hash(token), used_at, salt)
        await db.execute(FORGET_ACCESS, row["session_id"], now)
        await db.execute(TOUCH_SESSION, row["session_id"], now)
        await _keep(db, row["session_id"], *_successors(token, salt), now)
    access, following = _successors(token, salt)
    return SignedIn(row["member_id"], access, used_at + ACCESS_LIVES, following)


def _successors(token: str, salt: bytes) -> tuple[str, str]:
    return tokens.successor(token, salt, "access"), tokens.successor(token, salt, "refresh")


SESSIONS = """
SELECT
    session_id,
    device_name,
    created_at,
    refreshed_at
FROM sessions
WHERE member_id = $1
    AND EXISTS (
        SELECT
        FROM refresh_tokens
        WHERE refresh_tokens.session_id = sessions.session_id
            AND refresh_tokens.expires_at > $2
    )
ORDER BY created_at DESC, session_id
"""


@get(
    "/v1/sessions",
    opt=described(id="listSessions", summary="My devices that are signed in", answers={200: Devices}),
)
async def list_sessions(request: Call) -> Response[bytes]:
    """Only one's own: the partner's devices cannot be seen."""
    member = await signed_in(request)
    world = world_of(request)
    rows = await world.db.fetch(SESSIONS, member.member_id, world.now())
    return json_answer(
        Devices(
            [
                Device(
                    row["session_id"],
                    row["device_name"],
                    row["created_at"],
                    row["refreshed_at"],
                    row["session_id"] == member.session_id,
                )
                for row in rows
            ]
        )
    )


@delete(
    "/v1/sessions/{session_id:str}",
    status_code=204,
    opt=described(
        id="endSession",
        summary="Sign a device of mine out, in force at once",
        answers={204: None},
        problems=(NotFound,),
    ),
)
async def end_session(request: Call, session_id: FromPath[str]) -> Response[None]:
    """Its tokens go with it."""
    member = await signed_in(request)
    done = await world_of(request).db.execute(END_SESSION, id_of(session_id), member.member_id)
    if done == "DELETE 0":
        raise NotFound
    return empty_answer()
