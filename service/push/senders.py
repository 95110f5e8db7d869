"""The senders that the settings configure, with their keys read from files, and which of them reaches a device."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import assert_never

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from service.core.clock import Clock
from service.core.networks import Networks
from service.errors import StartupError
from service.push.apns import ApnsKey, ApnsSender
from service.push.console import ConsoleSender
from service.push.fcm import FcmAccount, FcmSender
from service.push.notices import AppleDevice, FirebaseDevice, Notice, PushOutcome, Sender, WebSubscription
from service.push.webpush import VapidKey, WebPushSender, public_key
from service.settings import Settings


class Senders(Struct, frozen=True):
    """One for each provider."""

    apple: Sender
    firebase: Sender
    web: Sender

    async def send(self, notice: Notice) -> PushOutcome:
        """Send through the provider of the device."""
        match notice.device:
            case AppleDevice():
                return await self.apple.send(notice)
            case FirebaseDevice():
                return await self.firebase.send(notice)
            case WebSubscription():
                return await self.web.send(notice)
            case never:
                assert_never(never)


@asynccontextmanager
async def open_senders(
    settings: Settings, now: Clock, tls: ssl.SSLContext | None = None, allowed: Networks = ()
) -> AsyncIterator[Sender]:
    """Senders, closed at the end of the block; the console for what is not set up. Raises StartupError."""
    apns, fcm, vapid = apns_key(settings), fcm_account(settings), vapid_key(settings)
    apple: Sender = ConsoleSender()
    firebase: Sender = apple
    web: Sender = apple
    async with AsyncExitStack() as stack:
        if apns:
            apple = ApnsSender(apns, settings.apns_url, settings.apns_sandbox_url, now, tls)
            stack.push_async_callback(apple.close)
        if fcm:
            firebase = FcmSender(fcm, settings.fcm_url, now, tls)
            stack.push_async_callback(firebase.close)
        if vapid:
            web = WebPushSender(vapid, now, tls, allowed)
            stack.push_async_callback(web.close)
        yield Senders(apple, firebase, web)


def provider_names(settings: Settings) -> list[str]:
    """The names of the providers that are set up. Raises StartupError."""
    known = {"Apple": apns_key(settings), "Firebase": fcm_account(settings), "browsers": vapid_key(settings)}
    return [name for name, key in known.items() if key]


def apns_key(settings: Settings) -> ApnsKey | None:
    """The key that signs for Apple, if it is set up. Raises StartupError."""
    file, named = settings.apns_key_file, (settings.apns_key_id, settings.apns_team_id, settings.apns_topic)
    if file is None:
        return None
    key_id, team_id, topic = named
    if not (key_id and team_id and topic):
        raise StartupError(
            "MUTUALITY_APNS_KEY_FILE needs MUTUALITY_APNS_KEY_ID, MUTUALITY_APNS_TEAM_ID and MUTUALITY_APNS_TOPIC too."
        )
    return ApnsKey(_curve_key("MUTUALITY_APNS_KEY_FILE", file), key_id, team_id, topic)


def vapid_public_key(settings: Settings) -> str | None:
    """The key that a web app subscribes with, in base64url; null where none is set up."""
    vapid = vapid_key(settings)
    return public_key(vapid) if vapid else None


def vapid_key(settings: Settings) -> VapidKey | None:
    """The key that signs for browsers' push services, if it is set up. Raises StartupError."""
    if settings.vapid_key_file is None:
        return None
    subject = settings.vapid_subject or ""
    if not subject.startswith(("mailto:", "https:")):
        raise StartupError("MUTUALITY_VAPID_KEY_FILE needs MUTUALITY_VAPID_SUBJECT, a mailto: or https: address.")
    return VapidKey(_curve_key("MUTUALITY_VAPID_KEY_FILE", settings.vapid_key_file), subject)


class AccountFile(Struct, frozen=True):
    """The part of a service account's file that is read."""

    project_id: str
    client_email: str
    token_uri: str
    private_key_id: str
    private_key: str


def fcm_account(settings: Settings) -> FcmAccount | None:
    """The service account of Firebase, if it is set up. Raises StartupError."""
    if settings.fcm_account_file is None:
        return None
    setting = "MUTUALITY_FCM_ACCOUNT_FILE"
    try:
        account = msgspec.json.decode(_content(setting, settings.fcm_account_file), type=AccountFile)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise StartupError(f"{setting} does not hold a Firebase service account.") from None
    key = _key(setting, account.private_key.encode())
    if not isinstance(key, RSAPrivateKey):
        raise StartupError(f"{setting} holds a key of another kind than RSA.")
    return FcmAccount(account.project_id, account.client_email, account.token_uri, account.private_key_id, key)


def _curve_key(setting: str, file: Path) -> EllipticCurvePrivateKey:
    key = _key(setting, _content(setting, file))
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise StartupError(f"{setting} holds a key of another kind than P-256.")
    return key


def _key(setting: str, pem: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise StartupError(f"{setting} holds no private key that can be read.") from None


def _content(setting: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise StartupError(f"{setting} cannot be read: {error.strerror}.") from error
