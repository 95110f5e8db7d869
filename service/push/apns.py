"""Apple's push service (APNs): HTTP/2, authorized by a provider token that is signed here.

Statuses and reasons are those of Apple's "Handling notification responses from APNs".
"""

import ssl
from datetime import datetime, timedelta
from urllib.parse import quote

import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from msgspec import Struct

from service.core.clock import Clock
from service.push import payloads
from service.push.exchange import (
    BUSY_PAUSE_SECONDS,
    LOST_PAUSE_SECONDS,
    SILENCE_SECONDS,
    NoAnswer,
    ProviderAnswer,
    http_pool,
    pause,
    post,
)
from service.push.notices import AppleDevice, Delivered, Notice, PushOutcome, Refused, RetryAfter, Unregistered

log = structlog.get_logger()

# Apple refuses a token after 60 minutes, and a new one within 20.
TOKEN_TTL = timedelta(minutes=40)
TOKEN_PAUSE = timedelta(minutes=20)


class ApnsKey(Struct, frozen=True):
    """The key that signs provider tokens, its id, the team that it belongs to, and the app."""

    key: EllipticCurvePrivateKey
    key_id: str
    team_id: str
    topic: str


class ApnsError(Struct, frozen=True):
    """The body of Apple's answer to a push that it did not accept."""

    reason: str = ""


class ApnsSender:
    """Sends to both environments of Apple, each over one kept connection."""

    def __init__(
        self,
        key: ApnsKey,
        production_url: str,
        sandbox_url: str,
        now: Clock,
        tls: ssl.SSLContext | None = None,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._key = key
        self._urls = {"production": production_url, "sandbox": sandbox_url}
        self._now = now
        self._pool = http_pool(silence_seconds, tls)
        self._token = ""
        self._signed_at: datetime | None = None

    async def send(self, notice: Notice) -> PushOutcome:
        """Push to an AppleDevice; again with a new provider token, once, where Apple says that ours has expired."""
        assert isinstance(notice.device, AppleDevice)
        token = self._provider_token()
        try:
            answer = await self._post(notice, notice.device, token)
            if _reason(answer) == "ExpiredProviderToken":
                renewed = self._provider_token(refused=token)
                if renewed == token:  # a new one would be refused as well, for coming too soon
                    return RetryAfter(BUSY_PAUSE_SECONDS)
                answer = await self._post(notice, notice.device, renewed)
        except NoAnswer:
            return RetryAfter(LOST_PAUSE_SECONDS)
        return _outcome(answer, self._now())

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def _post(self, notice: Notice, device: AppleDevice, provider_token: str) -> ProviderAnswer:
        expires_at = self._now() + timedelta(seconds=payloads.TTL_SECONDS[notice.kind])
        headers = {
            "authorization": f"bearer {provider_token}",
            "apns-topic": self._key.topic,
            "apns-push-type": payloads.APNS_TYPE[notice.kind],
            "apns-priority": payloads.APNS_PRIORITY[notice.kind],
            "apns-expiration": str(int(expires_at.timestamp())),
            "apns-collapse-id": payloads.COLLAPSE_ID,
        }
        url = f"{self._urls[device.environment]}/3/device/{quote(device.token, safe='')}"
        return await post(self._pool, url, headers, payloads.APNS[notice.kind])

    def _provider_token(self, refused: str = "") -> str:
        """The token in use, or a new one if it is old, or from a clock that was ahead, or the one that was refused.

        Never a second one within 20 minutes, whatever Apple says of the first.
        """
        now = self._now()
        if self._signed_at is None or self._may_renew(now, self._token == refused):
            claims = {"iss": self._key.team_id, "iat": int(now.timestamp())}
            self._token = jwt.encode(claims, self._key.key, algorithm="ES256", headers={"kid": self._key.key_id})
            self._signed_at = now
        return self._token

    def _may_renew(self, now: datetime, is_refused: bool) -> bool:
        assert self._signed_at is not None
        age = now - self._signed_at
        return abs(age) >= TOKEN_PAUSE and (is_refused or not timedelta() <= age < TOKEN_TTL)


def _reason(answer: ProviderAnswer) -> str:
    try:
        return msgspec.json.decode(answer.content, type=ApnsError).reason
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def _outcome(answer: ProviderAnswer, now: datetime) -> PushOutcome:
    reason = _reason(answer)
    match answer.status:
        case 200:
            return Delivered()
        case 410:
            return Unregistered()
        case 400 if reason == "BadDeviceToken":
            return Unregistered()
        case 400 if reason == "DeviceTokenNotForTopic":
            log.warning("push_refused", provider="apns", status=answer.status, reason=reason)
            return Refused(by_device=True)
        case 429 | 500 | 502 | 503 | 504:
            return pause(answer.headers, now)
        case 400 if reason == "IdleTimeout":
            return RetryAfter(LOST_PAUSE_SECONDS)
    # A reason is one of Apple's words; anything else is not logged.
    log.warning("push_refused", provider="apns", status=answer.status, reason=reason if reason.isalpha() else "")
    return Refused()
