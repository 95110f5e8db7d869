"""Verification of identity tokens of Apple and Google: signature, audience, times, and the nonce of this sign-in.

Only keys that the provider publishes verify a token; nothing in the token itself chooses a key's kind or place.
"""

import asyncio
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import httpx
import jwt
import msgspec
import structlog
from jwt import PyJWK, PyJWS
from jwt.exceptions import PyJWTError
from msgspec import Meta, Struct

from service.errors import IdentityRefused, ProviderAway

log = structlog.get_logger()

LEEWAY = timedelta(seconds=30)
JWKS_TTL = timedelta(hours=1)
JWKS_LAST_GOOD = timedelta(days=1)  # while the provider is away
UNKNOWN_KEY_PAUSE = timedelta(minutes=1)
FAILED_FETCH_PAUSE = timedelta(seconds=5)
LAST_GOOD_PAUSE = timedelta(minutes=1)  # so that who signs in by a known key does not wait for each try
FETCH_SECONDS = 5
MAX_JWKS_BYTES = 256 * 1024

ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}
# With these a token would bring its own key, or ask to be read in another way.
REFUSED = {"jwk", "jku", "x5c", "x5u", "crit", "b64", "zip"}

ProviderName = Literal["apple", "google"]
Seconds = Annotated[int, Meta(ge=0, lt=2**33)]


class Claims(Struct, frozen=True):
    """The claims that a token must have. Its mail address is not read: it may change hands."""

    iss: str
    aud: str
    sub: Annotated[str, Meta(min_length=1, max_length=255)]
    exp: Seconds
    iat: Seconds
    nonce: str
    nbf: Seconds = 0
    auth_time: Seconds | None = None


class VerifiedIdentity(Struct, frozen=True):
    """Whom a genuine token identifies."""

    issuer: str
    subject: str
    authenticated_at: datetime


class Jwks(Struct, frozen=True):
    """A JSON Web Key Set, as providers publish it."""

    keys: list[Any]


class JwksCache:
    """The keys of one provider, by id: fetched when first needed, then once an hour.

    Keys that were good serve for up to a day while the provider is away.
    """

    def __init__(self, url: str, fetch_seconds: float = FETCH_SECONDS) -> None:
        self._url, self._fetch_seconds = url, fetch_seconds
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at: datetime | None = None
        self._failed_at: datetime | None = None
        self._fetching = asyncio.Lock()

    async def key(self, key_id: str, now: datetime) -> PyJWK | None:
        """The key, or none. An unknown id is looked for at most once a minute. Raises ProviderAway."""
        if self._stale(key_id, now):
            # One fetch at a time: whoever waited finds what the first one fetched.
            async with self._fetching:
                if self._stale(key_id, now):
                    await self._fetch_or_keep(key_id, now)
        return self._keys.get(key_id)

    def _stale(self, key_id: str, now: datetime) -> bool:
        if key_id not in self._keys:
            return not _within(UNKNOWN_KEY_PAUSE, self._fetched_at, now)
        rests = self._is_last_good(key_id, now) and _within(LAST_GOOD_PAUSE, self._failed_at, now)
        return not (rests or _within(JWKS_TTL, self._fetched_at, now))

    def _is_last_good(self, key_id: str, now: datetime) -> bool:
        return key_id in self._keys and _within(JWKS_LAST_GOOD, self._fetched_at, now)

    async def _fetch_or_keep(self, key_id: str, now: datetime) -> None:
        try:
            await self._fetch(now)
        except ProviderAway:
            if not self._is_last_good(key_id, now):
                raise

    async def _fetch(self, now: datetime) -> None:
        if _within(FAILED_FETCH_PAUSE, self._failed_at, now):
            raise ProviderAway
        try:
            async with asyncio.timeout(self._fetch_seconds):
                self._keys = _keys_in(await _content(self._url))
        except (httpx.HTTPError, TimeoutError, msgspec.MsgspecError, _UnusableJwks) as failure:
            self._failed_at = now
            log.warning("provider_away", failure=type(failure).__name__)
            raise ProviderAway from None
        self._fetched_at, self._failed_at = now, None


def _within(period: timedelta, since: datetime | None, now: datetime) -> bool:
    """Whether it is less than that ago; what a clock noted that was ahead is no longer so."""
    return since is not None and timedelta() <= now - since < period


class _UnusableJwks(Exception):
    """The response is no key set: a redirect, an error, or far too large."""


async def _content(url: str) -> bytes:
    content = b""
    async with (
        httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False) as client,
        client.stream("GET", url, headers={"Accept": "application/json"}) as answer,
    ):
        if answer.status_code != 200:
            raise _UnusableJwks
        async for piece in answer.aiter_bytes():
            content += piece
            if len(content) > MAX_JWKS_BYTES:
                raise _UnusableJwks
    return content


def _keys_in(content: bytes) -> dict[str, PyJWK]:
    """The keys that sign tokens by RS256 or ES256, each for the one algorithm that it is published for.

    What is odd about one of them is no reason to do without the others. A set without any is none.
    """
    published = msgspec.json.decode(content, type=Jwks).keys
    keys = {one["kid"]: key for one in published if isinstance(one, dict) and (key := _key(one))}
    if not keys:
        raise _UnusableJwks
    return keys


def _key(one: dict[str, Any]) -> PyJWK | None:
    algorithm = ALGORITHMS.get(str(one.get("kty")))
    signs = one.get("use", "sig") == "sig" and one.get("alg", algorithm) == algorithm
    if not (algorithm and signs and isinstance(one.get("kid"), str)):
        return None
    try:
        return PyJWK(one, algorithm)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None


class IdentityProvider:
    """Apple or Google: its issuers, our client ids with it, and its keys."""

    def __init__(
        self, name: ProviderName, issuers: tuple[str, ...], client_ids: tuple[str, ...], keys_url: str
    ) -> None:
        self.name = name
        self.client_ids = client_ids
        self._issuers = issuers
        self._keys = JwksCache(keys_url)

    async def verify(self, token: str, nonce: str, now: datetime) -> VerifiedIdentity:
        """Whom it identifies. Raises IdentityRefused, the same for everything that is wrong, and ProviderAway."""
        claims = _claims(token, await self._key_of(token, now))
        for_us = claims.iss in self._issuers and claims.aud in self.client_ids
        if not (for_us and _timely(claims, now) and _answers(claims.nonce, nonce)):
            raise IdentityRefused
        return VerifiedIdentity(
            self._issuers[0],  # a provider with two spellings of its name is still one
            claims.sub,
            _time(claims.iat if claims.auth_time is None else claims.auth_time),
        )

    async def _key_of(self, token: str, now: datetime) -> PyJWK:
        try:
            header = jwt.get_unverified_header(token)
        except PyJWTError:
            raise IdentityRefused from None
        key_id = header.get("kid")
        if header.get("alg") not in ALGORITHMS.values() or REFUSED & header.keys() or not isinstance(key_id, str):
            raise IdentityRefused
        key = await self._keys.key(key_id, now)
        if key is None or key.algorithm_name != header["alg"]:
            raise IdentityRefused
        return key


def _answers(claimed: str, nonce: str) -> bool:
    """Whether a token was made for this nonce. It has the hash, so whoever only has the token cannot name the nonce."""
    hashed = hashlib.sha256(nonce.encode("utf-8", "replace")).hexdigest()
    return hmac.compare_digest(claimed.encode("utf-8", "replace"), hashed.encode())


def _claims(token: str, key: PyJWK) -> Claims:
    try:
        signed: bytes = PyJWS().decode(token, key, algorithms=[key.algorithm_name])
        return msgspec.json.decode(signed, type=Claims)
    except (PyJWTError, msgspec.MsgspecError, UnicodeDecodeError):
        raise IdentityRefused from None


def _timely(claims: Claims, now: datetime) -> bool:
    begun = max(claims.iat, claims.nbf)
    return _time(begun) - LEEWAY <= now < _time(claims.exp) + LEEWAY


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
