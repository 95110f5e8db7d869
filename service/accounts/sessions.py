"""Sessions: refreshing, listing and ending them.

A session is a family of refresh tokens, each used once. A used one that is sent again after the grace means that
somebody has a copy: the family ends.
"""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from asyncpg import Record
from litestar import Response, delete, get, post
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from events.heads import DbConnection
from service.access.authentication import Member, current_member
from service.accounts import known_devices
from service.context import Context
from service.core import tokens
from service.core.keyboards import AROUND, DIRECTIONS
from service.database.pool import checked_out
from service.errors import NotFound, RefreshRefused
from service.web.operation import described
from service.web.requests import ApiRequest, context_of, decode_body, path_uuid
from service.web.responses import empty_answer, json_answer, tagged_answer

REFRESH_TTL = timedelta(days=90)
SESSION_TTL = timedelta(days=365)  # however often it is refreshed
REFRESH_GRACE = timedelta(seconds=30)
MAX_SESSIONS = 20

# A joiner inside (U+200D) belongs to some letters and pictures; marks of direction would turn a sentence around.
DeviceName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        pattern=rf"^(?=.*[^{AROUND}])[^\x00-\x1f\x7f\u200b\u2060\ufeff{DIRECTIONS}]*$(?!\n)",
        description="Shown in the list of devices, and in mails about it. Something has to be seen of it, and nothing "
        "in it may turn the direction of writing.",
        examples=["Robin's phone"],
    ),
]


class Refresh(Struct, frozen=True, forbid_unknown_fields=True):
    """A refresh token, to be used once."""

    refresh_token: Annotated[str, Meta(max_length=200)]


class SignedIn(Struct, frozen=True):
    """The tokens of a session. The access token is sent as Authorization: Bearer.

    The device secret is for the next sign-in on this device, and stays the same: keep it when signing out.
    """

    member_id: UUID
    access_token: str
    access_expires_at: datetime
    refresh_token: str
    device_secret: str


class NewSession(Struct, frozen=True):
    """A session that is about to begin, with its first tokens."""

    member_id: UUID
    device_name: str
    known_device_id: UUID
    access: str
    refresh: str


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


STEPPED_UP = """
UPDATE sessions
SET stepped_up_at = $3
WHERE session_id = $1
    AND member_id = $2
"""


async def step_up(context: Context, member: Member, now: datetime) -> None:
    """Note that this session has shown who is calling."""
    async with context.acting_as(member.member_id) as db:
        await db.execute(STEPPED_UP, member.session_id, member.member_id, now)


MAKE_SESSION = """
INSERT INTO sessions (
    session_id,
    member_id,
    known_device_id,
    device_name,
    created_at,
    refreshed_at
) VALUES ($1, $2, $3, $4, $5, $5)
"""

# Of two sign-ins at once the second one sees the session of the first. Others may still refer to these rows.
LOCK_SESSIONS_OF = """
SELECT session_id
FROM sessions
WHERE member_id = $1
ORDER BY session_id
FOR NO KEY UPDATE
"""

END_SESSIONS_UNUSED = """
DELETE FROM sessions
WHERE session_id IN (
    SELECT session_id
    FROM sessions
    WHERE member_id = $1
    ORDER BY
        refreshed_at DESC,
        session_id
    OFFSET $2
)
"""

STORE_ACCESS_TOKEN = """
INSERT INTO access_tokens (
    token_hash,
    session_id,
    expires_at
) VALUES ($1, $2, $3)
"""

STORE_REFRESH_TOKEN = """
INSERT INTO refresh_tokens (
    token_hash,
    session_id,
    expires_at
) VALUES ($1, $2, $3)
"""


async def begin(context: Context, db: DbConnection, new: NewSession, now: datetime) -> SignedIn:
    """A new session of the member, in a transaction of the role for sign-ins; the one unused for longest gives way."""
    session_id = tokens.new_id(context.random_bytes, "session id")
    name_ciphertext = await context.keys.encrypt_for(new.member_id, "device_name", new.device_name)
    await db.execute(LOCK_SESSIONS_OF, new.member_id)
    await known_devices.keep(context, db, new.member_id, new.known_device_id, now)
    await db.execute(END_SESSIONS_UNUSED, new.member_id, MAX_SESSIONS - 1)
    await db.execute(MAKE_SESSION, session_id, new.member_id, new.known_device_id, name_ciphertext, now)
    await _store_tokens(context, db, session_id, new.access, new.refresh, now)
    return await answer(context, new, now)


async def answer(context: Context, new: NewSession, begun_at: datetime) -> SignedIn:
    """What the phone is told of a session that began then."""
    secret = await known_devices.secret_of(context, new.known_device_id)
    return SignedIn(new.member_id, new.access, begun_at + context.access_ttl, new.refresh, secret)


def new_known_device(context: Context) -> UUID:
    """An id for a device on which nobody has signed in before."""
    return tokens.new_id(context.random_bytes, "known device id")


async def _store_tokens(
    context: Context, db: DbConnection, session_id: UUID, access: str, refresh: str, now: datetime
) -> None:
    await db.execute(STORE_ACCESS_TOKEN, tokens.token_hash(access), session_id, now + context.access_ttl)
    await db.execute(STORE_REFRESH_TOKEN, tokens.token_hash(refresh), session_id, now + REFRESH_TTL)


SESSION_OF_TOKEN = """
SELECT session_id
FROM refresh_tokens
WHERE token_hash = $1
"""

# The session before its tokens, as signing out deletes them, which avoids deadlock. Who holds it holds its tokens.
LOCK_FAMILY = """
SELECT
    member_id,
    known_device_id,
    created_at
FROM sessions
WHERE session_id = $1
FOR UPDATE
"""

REFRESH_TOKEN = """
SELECT
    expires_at,
    used_at,
    successor_salt
FROM refresh_tokens
WHERE token_hash = $1
"""

USE_REFRESH_TOKEN = """
UPDATE refresh_tokens
SET
    used_at = $2,
    successor_salt = $3
WHERE token_hash = $1
"""

FORGET_ACCESS_TOKENS = """
DELETE FROM access_tokens
WHERE session_id = $1
    AND expires_at <= $2
"""

# A used token is kept for as long as it could be used: so long its second use tells of a theft. One that is over is
# refused unseen.
FORGET_REFRESH_TOKENS = """
DELETE FROM refresh_tokens
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
        tag="Sign in",
        summary="Exchange a refresh token for new tokens, once",
        body=Refresh,
        answers={200: SignedIn},
        problems=(RefreshRefused,),
        signed_in=False,
    ),
)
async def refresh_session(request: ApiRequest) -> ASGIApp:
    """For 30 seconds the same token gets the same successors: phones lose answers."""
    context = context_of(request)
    token = (await decode_body(request, Refresh)).refresh_token
    async with checked_out(context.auth_db) as db, db.transaction():
        answer = await _refresh(context, db, token, context.now())
    if answer is None:
        raise RefreshRefused
    return json_answer(answer)


async def _refresh(context: Context, db: DbConnection, token: str, now: datetime) -> SignedIn | None:
    token_hash = tokens.token_hash(token)
    session_id = await db.fetchval(SESSION_OF_TOKEN, token_hash)
    session = await db.fetchrow(LOCK_FAMILY, session_id)
    # After acquiring the lock: of two calls with one token the second sees what the first has done.
    kept = await db.fetchrow(REFRESH_TOKEN, token_hash)
    if session is None or kept is None or now >= min(kept["expires_at"], session["created_at"] + SESSION_TTL):
        return None
    used_at, salt = kept["used_at"], kept["successor_salt"]
    if used_at is not None and now > used_at + REFRESH_GRACE:
        await db.execute(END_SESSION, session_id, session["member_id"])
        return None
    if used_at is None:
        used_at, salt = now, context.random_bytes(16, f"refresh salt {session_id}")
        await db.execute(USE_REFRESH_TOKEN, token_hash, used_at, salt)
        for forget in (FORGET_ACCESS_TOKENS, FORGET_REFRESH_TOKENS):
            await db.execute(forget, session_id, now)
        await db.execute(TOUCH_SESSION, session_id, now)
        await _store_tokens(context, db, session_id, *_successors(token, salt), now)
    access, following = _successors(token, salt)
    secret = await known_devices.secret_of(context, session["known_device_id"])
    return SignedIn(session["member_id"], access, used_at + context.access_ttl, following, secret)


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
    AND refreshed_at > $2
ORDER BY created_at DESC, session_id
"""


@get(
    "/v1/sessions",
    opt=described(
        id="listSessions", tag="Sign in", summary="My devices that are signed in", answers={200: Devices}, cached=True
    ),
)
async def list_sessions(request: ApiRequest) -> ASGIApp:
    """Only one's own: the partner's devices cannot be seen."""
    return tagged_answer(request, await devices_of(context_of(request), await current_member(request)))


async def devices_of(context: Context, member: Member) -> Devices:
    """The sessions of the member."""
    async with context.acting_as(member.member_id) as db:
        # The last token of a session lives from its last refresh on.
        rows = await db.fetch(SESSIONS, member.member_id, context.now() - REFRESH_TTL)
    return Devices([await _device(context, member, row) for row in rows])


async def _device(context: Context, member: Member, row: Record) -> Device:
    return Device(
        row["session_id"],
        await context.keys.decrypt_for(member.member_id, "device_name", row["device_name"]),
        row["created_at"],
        row["refreshed_at"],
        row["session_id"] == member.session_id,
    )


@delete(
    "/v1/sessions/{session_id:str}",
    status_code=204,
    opt=described(
        id="endSession",
        tag="Sign in",
        summary="Sign a device of mine out, in force at once",
        answers={204: None},
        problems=(NotFound,),
    ),
)
async def end_session(request: ApiRequest, session_id: FromPath[str]) -> Response[None]:
    """Its tokens go with it."""
    member = await current_member(request)
    ended = path_uuid(session_id)
    async with context_of(request).acting_as(member.member_id) as db:
        done = await db.execute(END_SESSION, ended, member.member_id)
    if done == "DELETE 0":
        raise NotFound
    return empty_answer()
