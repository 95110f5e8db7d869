"""Firebase Cloud Messaging, HTTP v1, authorized by an access token of a service account.

Error codes are those of Firebase's "ErrorCode" and "FCM error codes"; the assertion is that of RFC 7523.
"""

import asyncio
import ssl
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from msgspec import Meta, Raw, Struct

from service.core.clock import Clock
from service.push import payloads
from service.push.exchange import LOST_PAUSE_SECONDS, SILENCE_SECONDS, NoAnswer, ProviderAnswer, http_pool, pause, post
from service.push.notices import Delivered, FirebaseDevice, Notice, PushOutcome, Refused, RetryAfter, Unregistered

log = structlog.get_logger()

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_TTL = timedelta(minutes=10)
# A token is renewed so long before it expires that it outlives every exchange under way.
MARGIN = timedelta(minutes=5)
# After a failure no token is asked for during this time: all who wait for one would wait for the next failure in turn.
FAILURE_PAUSE = timedelta(seconds=5)


class FcmAccount(Struct, frozen=True):
    """A service account: its project, who asks for tokens, where, and the key that signs for it."""

    project_id: str
    client_email: str
    token_uri: str
    key_id: str
    key: RSAPrivateKey


class TokenGrant(Struct, frozen=True):
    """The answer of the token endpoint: a token, and for how many seconds."""

    access_token: Annotated[str, Meta(min_length=1)]
    expires_in: Annotated[int, Meta(ge=1, le=86_400)]


class Detail(Struct, frozen=True):
    """One detail of an error: FCM's own code, or the fields that it does not accept."""

    error_code: str = msgspec.field(default="", name="errorCode")
    fields: list[dict[str, Any]] = msgspec.field(default_factory=list, name="fieldViolations")


class FcmError(Struct, frozen=True):
    """Why FCM did not accept a message."""

    status: str = ""
    message: str = ""
    details: list[Detail] = []


class FcmErrorBody(Struct, frozen=True):
    """The body that holds it."""

    error: FcmError = FcmError()


class Message(Struct, frozen=True):
    """A message: the device's token beside constant bytes."""

    token: str
    android: Raw


class SendBody(Struct, frozen=True):
    """The body of a request."""

    message: Message


class _NoToken(Exception):
    """The token endpoint gave none."""

    def __init__(self, outcome: PushOutcome) -> None:
        super().__init__()
        self.outcome = outcome


class FcmSender:
    """Sends for one project, with an access token that all share."""

    def __init__(
        self,
        account: FcmAccount,
        url: str,
        now: Clock,
        tls: ssl.SSLContext | None = None,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._account = account
        self._url = f"{url}/v1/projects/{quote(account.project_id, safe='')}/messages:send"
        self._now = now
        self._pool = http_pool(silence_seconds, tls)
        self._token = ""
        self._renew_at: datetime | None = None
        self._failure: PushOutcome | None = None
        self._ask_again_at = now()
        self._asking = asyncio.Lock()

    async def send(self, notice: Notice) -> PushOutcome:
        """Push to a FirebaseDevice; with a new access token, once, if ours is refused."""
        assert isinstance(notice.device, FirebaseDevice)
        content = msgspec.json.encode(SendBody(Message(notice.device.token, Raw(payloads.FCM[notice.kind]))))
        try:
            token = await self._access_token()
            answer = await self._post(content, token)
            if answer.status == 401:
                answer = await self._post(content, await self._access_token(refused=token))
        except NoAnswer:
            return RetryAfter(LOST_PAUSE_SECONDS)
        except _NoToken as failure:
            return failure.outcome
        return _outcome(answer, self._now())

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def _post(self, content: bytes, token: str) -> ProviderAnswer:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        return await post(self._pool, self._url, headers, content)

    async def _access_token(self, refused: str = "") -> str:
        """The token in use, or a new one if it ends soon or is the one that was refused. Raises _NoToken."""
        async with self._asking:  # one asks, the others use what it was given
            if self._renew_at is None or self._now() >= self._renew_at or self._token == refused:
                await self._renew()
            return self._token

    async def _renew(self) -> None:
        # Compared on both sides: after a clock was put back, the pause is not as long as that.
        if self._failure and timedelta() < self._ask_again_at - self._now() <= FAILURE_PAUSE:
            raise _NoToken(self._failure)
        try:
            granted = await self._granted()
        except _NoToken as failure:
            self._failure, self._ask_again_at = failure.outcome, self._now() + FAILURE_PAUSE
            raise
        self._token = granted.access_token
        self._renew_at = self._now() + timedelta(seconds=granted.expires_in) - MARGIN

    async def _granted(self) -> TokenGrant:
        form = urlencode({"grant_type": GRANT, "assertion": self._assertion()}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        try:
            answer = await post(self._pool, self._account.token_uri, headers, form)
        except NoAnswer:
            raise _NoToken(RetryAfter(LOST_PAUSE_SECONDS)) from None
        if answer.status == 429 or answer.status >= 500:
            raise _NoToken(pause(answer.headers, self._now()))
        try:
            if answer.status == 200:
                return msgspec.json.decode(answer.content, type=TokenGrant)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
        log.error("push_account_refused", provider="fcm", status=answer.status)
        raise _NoToken(Refused())

    def _assertion(self) -> str:
        now, account = self._now(), self._account
        claims = {
            "iss": account.client_email,
            "scope": SCOPE,
            "aud": account.token_uri,
            "iat": int(now.timestamp()),
            "exp": int((now + ASSERTION_TTL).timestamp()),
        }
        return jwt.encode(claims, account.key, algorithm="RS256", headers={"kid": account.key_id})


def _outcome(answer: ProviderAnswer, now: datetime) -> PushOutcome:
    error = _error(answer)
    if answer.status == 200:
        return Delivered()
    if _gone(answer.status, error):
        return Unregistered()
    if answer.status == 403 and "SENDER_ID_MISMATCH" in _codes(error):
        return Unregistered("other_app")
    if answer.status == 429 or answer.status >= 500:
        return pause(answer.headers, now)
    status = error.status if error.status.replace("_", "").isalpha() else ""
    log.warning("push_refused", provider="fcm", status=answer.status, reason=status)
    return Refused()


def _gone(status: int, error: FcmError) -> bool:
    """Whether FCM itself says that the device is gone: a 404 of a proxy between says nothing about it."""
    codes = _codes(error)
    if status == 404:
        return "UNREGISTERED" in codes or error.status == "NOT_FOUND"
    return status == 400 and error.status == "INVALID_ARGUMENT" and _about_the_token(error, codes)


def _codes(error: FcmError) -> set[str]:
    """FCM's own codes, beside those of all Google services."""
    return {detail.error_code for detail in error.details}


def _about_the_token(error: FcmError, codes: set[str]) -> bool:
    """FCM's newer answers name the field; the older ones say it in words alone."""
    fields = [field.get("field") for detail in error.details for field in detail.fields]
    named = fields == ["message.token"]
    return named or (not fields and "INVALID_ARGUMENT" in codes and "not a valid FCM registration" in error.message)


def _error(answer: ProviderAnswer) -> FcmError:
    try:
        return msgspec.json.decode(answer.content, type=FcmErrorBody).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return FcmError()
