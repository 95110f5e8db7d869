"""The address of a device: what a phone registers, validated; decrypted when something is sent there."""

import socket
from ipaddress import ip_address
from typing import Annotated, Literal
from uuid import UUID

import httpx
import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from service.context import Context
from service.errors import Invalid
from service.push.encryption import BadKeys, read_keys
from service.push.notices import AppleDevice, DeviceAddress, FirebaseDevice, SubscriptionKeys, WebSubscription
from service.push.ssrf_guard import is_public
from service.push.webpush import BadSubscription, endpoint_of

Platform = Literal["ios", "android", "web"]
PushProvider = Literal["apns", "fcm", "webpush"]
Environment = Literal["production", "sandbox"]

# A browser takes Web Push alone, and Android both its own and that of a distributor (UnifiedPush).
PROVIDERS: dict[Platform, tuple[PushProvider, ...]] = {
    "ios": ("apns",),
    "android": ("fcm", "webpush"),
    "web": ("webpush",),
}
ADDRESSES: dict[str, type[DeviceAddress]] = {"apns": AppleDevice, "fcm": FirebaseDevice, "webpush": WebSubscription}


class PushKeys(Struct, frozen=True):
    """A browser's public key and its secret, in base64url."""

    p256dh: Annotated[str, Meta(max_length=100)]
    auth: Annotated[str, Meta(max_length=40)]


class PushSubscription(Struct, frozen=True, omit_defaults=True, rename={"expiration_time": "expirationTime"}):
    """What `subscription.toJSON()` gives in a browser, which may be more from one version of it to the next.

    The expiration is not looked at: an ended one tells itself.
    """

    endpoint: Annotated[str, Meta(max_length=2048, description="An https address on the open internet.")]
    keys: PushKeys
    expiration_time: float | None = None


class Registration(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a device is reached: `token` for apns and fcm, `subscription` for webpush, `environment` for apns alone."""

    platform: Annotated[Platform, Meta(description="ios takes apns, android fcm or webpush, web webpush.")]
    provider: PushProvider
    token: Annotated[str, Meta(min_length=1, max_length=4096, description="As the provider gave it out.")] | None = None
    subscription: PushSubscription | UnsetType = UNSET
    environment: Annotated[Environment, Meta(description="Of the token; production if left out.")] | None = None


async def decrypt_address(context: Context, member_id: UUID, provider: str, ciphertext: bytes) -> DeviceAddress:
    """The address in a row of devices. Raises DecryptionFailed for an erased member, KeyStoreError."""
    text = await context.keys.decrypt_for(member_id, "push_address", ciphertext)
    return msgspec.json.decode(text, type=ADDRESSES[provider])


def identity_of(device: DeviceAddress) -> str:
    """What two registrations of one app on one phone have in common."""
    return device.endpoint if isinstance(device, WebSubscription) else device.token


# --- What is a valid address


def validated_address(wanted: Registration) -> DeviceAddress:
    """The address, in the form that its sender takes. Raises Invalid."""
    if wanted.provider not in PROVIDERS[wanted.platform]:
        raise Invalid(f"The platform {wanted.platform} is not reached by {wanted.provider}.", "/provider")
    if wanted.environment and wanted.provider != "apns":
        raise Invalid("Only apns has environments.", "/environment")
    if wanted.provider == "webpush":
        return _web(wanted)
    if wanted.token is None or wanted.subscription is not UNSET:
        raise Invalid(f"The provider {wanted.provider} needs a token, and nothing else.", "/token")
    return _apple(wanted.token, wanted.environment) if wanted.provider == "apns" else FirebaseDevice(wanted.token)


def _apple(token: str, environment: Environment | None) -> AppleDevice:
    try:
        return msgspec.convert({"token": token, "environment": environment or "production"}, AppleDevice)
    except msgspec.ValidationError:
        raise Invalid("A token of apns is written in hexadecimal digits, 200 at most.", "/token") from None


def _web(wanted: Registration) -> WebSubscription:
    if wanted.subscription is UNSET or wanted.token is not None:
        raise Invalid("The provider webpush needs a subscription, and nothing else.", "/subscription")
    keys = wanted.subscription.keys
    subscription = WebSubscription(wanted.subscription.endpoint, SubscriptionKeys(keys.p256dh, keys.auth))
    try:
        url = endpoint_of(subscription)
        read_keys(subscription.keys)
    except BadSubscription:
        raise Invalid("This is not an https address.", "/subscription/endpoint") from None
    except BadKeys:
        raise Invalid("These are not the keys of a browser's subscription.", "/subscription/keys") from None
    if not _may_be_public(url):
        raise Invalid("This address is not on the open internet.", "/subscription/endpoint")
    return subscription


def _may_be_public(url: httpx.URL) -> bool:
    """Whether the host is a public address, or a name that may resolve to one: `ssrf_guard` checks at each sending.

    No name is resolved here: what it resolves to now says nothing of later.
    """
    host = url.raw_host.decode("ascii").rstrip(".").lower()
    try:
        return is_public(ip_address(host.strip("[]")))
    except ValueError:
        return "." in host and not _is_short_address(host) and not host.endswith((".localhost", ".local", ".internal"))


def _is_short_address(host: str) -> bool:
    """Whether resolvers take it for an IPv4 address in one of its older spellings, such as 127.1."""
    try:
        return bool(socket.inet_aton(host))
    except OSError:
        return False
