"""Web Push: RFC 8030 to the endpoint of a browser's subscription, signed by RFC 8292 (VAPID)."""

import secrets
import ssl
from base64 import urlsafe_b64encode
from collections import OrderedDict
from datetime import datetime, timedelta

import httpcore
import httpx
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from service.core.clock import Clock
from service.core.networks import Networks
from service.push import payloads
from service.push.encryption import SALT_BYTES, BadKeys, encrypt, point, read_keys
from service.push.exchange import (
    ANSWER_BYTES,
    LOST_PAUSE_SECONDS,
    SILENCE_SECONDS,
    NoAnswer,
    ProviderAnswer,
    ReplaceablePool,
    pause,
    silence_libraries,
)
from service.push.notices import Delivered, Notice, PushOutcome, Refused, RetryAfter, Unregistered, WebSubscription
from service.push.ssrf_guard import NotPublicAddress, PublicNetwork

log = structlog.get_logger()

ENDPOINT_CHARACTERS = 2048
CONNECTIONS = 50
# RFC 8292 allows a day; a token is used for half of its life.
TOKEN_TTL = timedelta(hours=12)
# Who subscribes chooses the origin, so their number is bounded.
ORIGINS_KEPT = 1000
# All that a failing connection raises.
LOST = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ConnectionNotAvailable,
    OSError,
)


class VapidKey(Struct, frozen=True):
    """The key that browsers subscribe with, and where push services reach the operator: a mailto: or https: address."""

    key: ec.EllipticCurvePrivateKey
    subject: str


def public_key(vapid: VapidKey) -> str:
    """The `applicationServerKey` that a web app passes to `pushManager.subscribe`."""
    return urlsafe_b64encode(point(vapid.key.public_key())).rstrip(b"=").decode()


class BadSubscription(Exception):
    """Nothing can be sent to this subscription."""


def endpoint_of(subscription: WebSubscription) -> httpx.URL:
    """The endpoint as a URL. Raises BadSubscription for all but a plain https address of ordinary length."""
    try:
        url = httpx.URL(subscription.endpoint)
        host = url.raw_host.decode("ascii").encode("idna")  # refuses what no name can be
    except (httpx.InvalidURL, ValueError):
        raise BadSubscription from None
    plain = url.scheme == "https" and host and not url.userinfo and 0 < (url.port or 443) < 2**16
    if not plain or len(subscription.endpoint) > ENDPOINT_CHARACTERS:
        raise BadSubscription
    return url


class WebPushSender:
    """Sends to whatever push service a browser has chosen, on the open internet alone.

    `allowed` are networks that are reached besides, for a push service of one's own.
    """

    def __init__(
        self,
        key: VapidKey,
        now: Clock,
        tls: ssl.SSLContext | None = None,
        allowed: Networks = (),
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        silence_libraries()
        self._key = key
        self._now = now
        self._seconds = silence_seconds
        self._tokens: OrderedDict[str, tuple[str, datetime]] = OrderedDict()
        self._pool = ReplaceablePool(lambda: _pool(tls, allowed), silence_seconds, (*LOST, NotPublicAddress))

    async def send(self, notice: Notice) -> PushOutcome:
        """Push to a WebSubscription."""
        assert isinstance(notice.device, WebSubscription)
        try:
            answer = await self._post(notice, notice.device)
        except (BadSubscription, BadKeys, NotPublicAddress) as failure:
            log.warning("push_refused", provider="webpush", reason=type(failure).__name__)
            return Refused()
        except NoAnswer:
            return RetryAfter(LOST_PAUSE_SECONDS)
        return _outcome(answer, self._now())

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def _post(self, notice: Notice, subscription: WebSubscription) -> ProviderAnswer:
        url = endpoint_of(subscription)
        content = _encrypted(payloads.WEB_PUSH[notice.kind], subscription)
        headers = {
            "host": url.netloc.decode("ascii"),
            "authorization": self._authorization(f"https://{url.netloc.decode('ascii')}"),
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "content-length": str(len(content)),
            "ttl": str(payloads.TTL_SECONDS[notice.kind]),
            "topic": payloads.COLLAPSE_ID,
            "urgency": "normal",
        }
        target = httpcore.URL(scheme=b"https", host=url.raw_host, port=url.port or 443, target=url.raw_path)
        return await self._exchange(target, headers, content)

    async def _exchange(self, target: httpcore.URL, headers: dict[str, str], content: bytes) -> ProviderAnswer:
        """The status and headers of the answer; its body is read only to keep the connection."""
        limits = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), self._seconds)}
        pairs = list(headers.items())
        try:
            async with (
                self._pool.exchange() as http,
                http.stream("POST", target, headers=pairs, content=content, extensions=limits) as answer,
            ):
                lowered = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
                read = 0
                async for piece in answer.aiter_stream():
                    read += len(piece)
                    if read > ANSWER_BYTES:
                        break
                return ProviderAnswer(answer.status, lowered, b"")
        except LOST:
            raise NoAnswer from None

    def _authorization(self, origin: str) -> str:
        return f"vapid t={self._token(origin)}, k={public_key(self._key)}"

    def _token(self, origin: str) -> str:
        now = self._now()
        token, ends_at = self._tokens.get(origin, ("", now))
        if not TOKEN_TTL / 2 <= ends_at - now <= TOKEN_TTL:  # more is left only where the clock was put back
            ends_at = now + TOKEN_TTL
            claims = {"aud": origin, "exp": int(ends_at.timestamp()), "sub": self._key.subject}
            token = jwt.encode(claims, self._key.key, algorithm="ES256")
            self._tokens[origin] = token, ends_at
        self._tokens.move_to_end(origin)
        if len(self._tokens) > ORIGINS_KEPT:
            self._tokens.popitem(last=False)
        return token


def _pool(tls: ssl.SSLContext | None, allowed: Networks) -> httpcore.AsyncConnectionPool:
    """httpcore itself, and no proxy: only this layer can tie a connection to the addresses that were checked."""
    return httpcore.AsyncConnectionPool(
        ssl_context=tls,
        http2=True,
        max_connections=CONNECTIONS,
        keepalive_expiry=60,
        network_backend=PublicNetwork(allowed),
    )


def _encrypted(text: bytes, subscription: WebSubscription) -> bytes:
    browser, secret = read_keys(subscription.keys)
    ours, salt = ec.generate_private_key(ec.SECP256R1()), secrets.token_bytes(SALT_BYTES)
    return encrypt(text, browser, secret, ours, salt, payloads.WEB_PUSH_BYTES)


def _outcome(answer: ProviderAnswer, now: datetime) -> PushOutcome:
    match answer.status:
        case 200 | 201 | 202 | 204:
            return Delivered()
        case 404 | 410:
            return Unregistered()
        case status if status == 429 or status >= 500:
            return pause(answer.headers, now)
    log.warning("push_refused", provider="webpush", status=answer.status)
    # Of what we send, a push service refuses in this way a subscription made with another VAPID key.
    return Refused(by_device=answer.status in (400, 401, 403))
