"""Signing in, and stepping up, with Apple or Google.

A member is found by the provider's name and its name for the person, never by a mail address.
"""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from asyncpg import UniqueViolationError
from litestar import Response, post
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from events.heads import DbConnection
from service.access.authentication import current_member
from service.access.notices import tell_of_sign_in
from service.accounts import sessions
from service.accounts.id_tokens import IdentityProvider, ProviderName, VerifiedIdentity
from service.accounts.sessions import DeviceName, NewSession, SignedIn
from service.context import Context
from service.core import tokens
from service.database.pool import checked_out
from service.errors import IdentityRefused, NotFound, ProviderAway, TooManyRequests
from service.settings import Settings
from service.web.operation import described
from service.web.rate_limits import client_of, limits_of
from service.web.requests import ApiRequest, Nothing, context_of, decode_body, state_of
from service.web.responses import empty_answer, json_answer

STEP_UP_FRESH = timedelta(minutes=5)
NONCE_TTL = timedelta(minutes=10)

IdToken = Annotated[
    str,
    Meta(
        max_length=10_000,
        pattern=r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$(?!\n)",
        description="The identity token (JWT) that the provider gave to the app. It works once.",
    ),
]
Nonce = Annotated[
    str,
    Meta(
        min_length=16,
        max_length=200,
        description="The nonce that POST /v1/sign-in-nonces made for this sign-in. The provider is given its SHA-256, "
        "in hex, and puts that into the token.",
    ),
]


class SignInNonce(Struct, frozen=True):
    """A nonce for one sign-in or step-up with Apple or Google."""

    nonce: str
    expires_at: datetime


class IdentitySignIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A sign-in with an identity token. The first one of a person makes the member."""

    id_token: IdToken
    nonce: Nonce
    device_name: DeviceName


class IdentityStepUp(Struct, frozen=True, forbid_unknown_fields=True):
    """An identity token for which the provider has just asked who I am."""

    id_token: IdToken
    nonce: Nonce


def providers_of(settings: Settings) -> dict[ProviderName, IdentityProvider]:
    """The providers that this service is registered with."""
    apple = IdentityProvider(
        "apple", ("https://appleid.apple.com",), _listed(settings.apple_client_ids), settings.apple_keys_url
    )
    google = IdentityProvider(
        "google",
        ("https://accounts.google.com", "accounts.google.com"),
        _listed(settings.google_client_ids),
        settings.google_keys_url,
    )
    return {one.name: one for one in (apple, google) if one.client_ids}


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(one.strip() for one in (text or "").split(",") if one.strip())


# Everybody's, so that none stays because its owner never comes back; what another call is deleting is left to it.
FORGET_NONCES = """
DELETE FROM sign_in_nonces
WHERE nonce_hash IN (
    SELECT nonce_hash
    FROM sign_in_nonces
    WHERE expires_at <= $1
    ORDER BY expires_at
    LIMIT 100
    FOR UPDATE SKIP LOCKED
)
"""

KEEP_NONCE = """
INSERT INTO sign_in_nonces (
    nonce_hash,
    expires_at
) VALUES ($1, $2)
"""


@post(
    "/v1/sign-in-nonces",
    opt=described(
        id="makeSignInNonce",
        tag="Sign in",
        summary="A nonce for one sign-in with Apple or Google",
        body=Nothing,
        answers={201: SignInNonce},
        problems=(TooManyRequests,),
        signed_in=False,
    ),
)
async def make_sign_in_nonce(request: ApiRequest) -> ASGIApp:
    """Give its SHA-256, in hex, to the provider, and the nonce itself to us, with the token. It works once."""
    await decode_body(request, Nothing)
    context = context_of(request)
    now = context.now()
    limits_of(request).nonces_asked.take((client_of(request),), now)
    nonce = tokens.new_token(context.random_bytes, "sign-in nonce")
    async with checked_out(context.auth_db) as db, db.transaction():
        await db.execute(FORGET_NONCES, now)
        await db.execute(KEEP_NONCE, tokens.token_hash(nonce), now + NONCE_TTL)
    return json_answer(SignInNonce(nonce, now + NONCE_TTL), 201)


@post(
    "/v1/sessions/apple",
    opt=described(
        id="signInWithApple",
        tag="Sign in",
        summary="Sign in with an identity token of Apple",
        body=IdentitySignIn,
        answers={201: SignedIn},
        problems=(IdentityRefused, NotFound, TooManyRequests, ProviderAway),
        signed_in=False,
    ),
)
async def sign_in_with_apple(request: ApiRequest) -> ASGIApp:
    """404 where the operator has not registered with Apple."""
    return await _sign_in(request, "apple")


@post(
    "/v1/sessions/google",
    opt=described(
        id="signInWithGoogle",
        tag="Sign in",
        summary="Sign in with an identity token of Google",
        body=IdentitySignIn,
        answers={201: SignedIn},
        problems=(IdentityRefused, NotFound, TooManyRequests, ProviderAway),
        signed_in=False,
    ),
)
async def sign_in_with_google(request: ApiRequest) -> ASGIApp:
    """404 where the operator has not registered with Google."""
    return await _sign_in(request, "google")


async def _sign_in(request: ApiRequest, name: ProviderName) -> ASGIApp:
    wanted = await decode_body(request, IdentitySignIn)
    provider, context = _provider(request, name), context_of(request)
    now = context.now()
    verified = await provider.verify(wanted.id_token, wanted.nonce, now)
    identity_hash = await _identity_hash(context, verified)
    limits_of(request).identities_tried.take((client_of(request), identity_hash), now)
    async with checked_out(context.auth_db) as db, db.transaction():
        await _use_nonce(db, wanted.nonce, now)
        member_id, is_new = await _member_of(context, db, name, identity_hash, now)
        new = _new_session(context, member_id, wanted.device_name)
        answer = await sessions.begin(context, db, new, now)
    if not is_new:
        await tell_of_sign_in(context, member_id, wanted.device_name, now)
    return json_answer(answer, 201)


def _new_session(context: Context, member_id: UUID, device_name: str) -> NewSession:
    access, refresh = (
        tokens.new_token(context.random_bytes, f"{kind} of {member_id}") for kind in ("access", "refresh")
    )
    return NewSession(member_id, device_name, sessions.new_known_device(context), access, refresh)


@post(
    "/v1/sessions/step-up/apple",
    status_code=204,
    opt=described(
        id="stepUpWithApple",
        tag="Sign in",
        summary="Show with a fresh identity token of Apple that it is me, as stepUp does with a code",
        body=IdentityStepUp,
        answers={204: None},
        problems=(IdentityRefused, NotFound, ProviderAway),
    ),
)
async def step_up_with_apple(request: ApiRequest) -> Response[None]:
    """The token must be of my own account, and not older than 5 minutes."""
    return await _step_up(request, "apple")


@post(
    "/v1/sessions/step-up/google",
    status_code=204,
    opt=described(
        id="stepUpWithGoogle",
        tag="Sign in",
        summary="Show with a fresh identity token of Google that it is me, as stepUp does with a code",
        body=IdentityStepUp,
        answers={204: None},
        problems=(IdentityRefused, NotFound, ProviderAway),
    ),
)
async def step_up_with_google(request: ApiRequest) -> Response[None]:
    """The token must be of my own account, and not older than 5 minutes."""
    return await _step_up(request, "google")


async def _step_up(request: ApiRequest, name: ProviderName) -> Response[None]:
    member = await current_member(request)
    wanted = await decode_body(request, IdentityStepUp)
    provider, context = _provider(request, name), context_of(request)
    now = context.now()
    verified = await provider.verify(wanted.id_token, wanted.nonce, now)
    if now > verified.authenticated_at + STEP_UP_FRESH:
        raise IdentityRefused
    identity_hash = await _identity_hash(context, verified)
    async with checked_out(context.auth_db) as db, db.transaction():
        if await db.fetchval(MEMBER_OF, identity_hash) != member.member_id:
            raise IdentityRefused
        await _use_nonce(db, wanted.nonce, now)
    await sessions.step_up(context, member, now)
    return empty_answer()


def _provider(request: ApiRequest, name: ProviderName) -> IdentityProvider:
    providers: dict[ProviderName, IdentityProvider] = state_of(request).identity_providers
    if name not in providers:
        raise NotFound
    return providers[name]


async def _identity_hash(context: Context, verified: VerifiedIdentity) -> bytes:
    return await context.keys.blind_index("identity", verified.issuer, verified.subject)


USE_NONCE = """
DELETE FROM sign_in_nonces
WHERE nonce_hash = $1
    AND expires_at > $2
"""


async def _use_nonce(db: DbConnection, nonce: str, now: datetime) -> None:
    """Accept a nonce of ours once, and so the token that names it. Raises IdentityRefused."""
    if await db.execute(USE_NONCE, tokens.token_hash(nonce), now) == "DELETE 0":
        raise IdentityRefused


MEMBER_OF = """
SELECT member_id
FROM identities
WHERE identity_hash = $1
"""

MAKE_MEMBER = """
INSERT INTO members (
    member_id,
    time_zone,
    created_at
) VALUES ($1, 'UTC', $2)
"""

GIVE_IDENTITY = """
INSERT INTO identities (
    identity_hash,
    provider,
    member_id
) VALUES ($1, $2, $3)
"""


async def _member_of(
    context: Context, db: DbConnection, provider: ProviderName, identity_hash: bytes, now: datetime
) -> tuple[UUID, bool]:
    """The member whom the provider knows by that, and whether this sign-in has made them."""
    known: UUID | None = await db.fetchval(MEMBER_OF, identity_hash)
    if known is not None:
        return known, False
    member_id = tokens.new_id(context.random_bytes, "member id")
    await context.keys.make_for_member(member_id)
    try:
        async with db.transaction():
            await db.execute(MAKE_MEMBER, member_id, now)
            await db.execute(GIVE_IDENTITY, identity_hash, provider, member_id)
    except UniqueViolationError:
        # Two first sign-ins of one person at once: the other one made the member.
        return await _member_of(context, db, provider, identity_hash, now)
    return member_id, True
