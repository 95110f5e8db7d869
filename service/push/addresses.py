"""Where a device is reached: what a phone registers, checked, and opened again when something is sent there."""

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
from service.push.notices import AppleDevice, Device, FirebaseDevice, SubscriptionKeys, WebSubscription
from service.push.ssrf_guard import is_public
from service.push.webpush import BadSubscription, endpoint_of

Platform = Literal["ios", "android", "web"]
Provider = Literal["apns", "fcm", "webpush"]
Environment = Literal["production", "sandbox"]

# A browser takes Web Push alone, and Android both its own and that of a distributor (UnifiedPush).
PROVIDERS: dict[Platform, tuple[Provider, ...]] = {
    "ios": ("apns",),
    "android": ("fcm", "webpush"),
    "web": ("webpush",),
}
ADDRESSES: dict[str, type[Device]] = {"apns": AppleDevice, "fcm": FirebaseDevice, "webpush": WebSubscription}


class PushKeys(Struct, frozen=True, forbid_unknown_fields=True):
    """A browser's public key and its secret, in base64url."""

    p256dh: Annotated[str, Meta(max_length=100)]
    auth: Annotated[str, Meta(max_length=40)]


class PushSubscription(Struct, frozen=True, forbid_unknown_fields=True, rename={"expiration_time": "expirationTime"}):
    """What `subscription.toJSON()` gives in a browser. The expiration is not looked at: an ended one tells itself."""

    endpoint: Annotated[str, Meta(max_length=2048, description="An https address on the open internet.")]
    keys: PushKeys
    expiration_time: float | None = None


class Registration(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a device is reached: `token` for apns and fcm, `subscription` for webpush, `environment` for apns alone."""

    platform: Annotated[Platform, Meta(description="ios takes apns, android fcm or webpush, web webpush.")]
    provider: Provider
    token: Annotated[str, Meta(min_length=1, max_length=4096, description="As the provider gave it out.")] | None = None
    subscription: PushSubscription | UnsetType = UNSET
    environment: Annotated[Environment, Meta(description="Of the token; production if left out.")] | None = None


async def opened_address(context: Context, member_id: UUID, provider: str, sealed: bytes) -> Device:
    """Where a device is reached. Raises Unreadable for who is erased, KeyStoreError."""
    return msgspec.json.decode(
        await context.keys.decrypt_for(member_id, "push_address", sealed), type=ADDRESSES[provider]
    )


# --- What can be an address


def address_of(told: Registration) -> Device:
    """The address, in the form that its sender takes. Raises Invalid."""
    if told.provider not in PROVIDERS[told.platform]:
        raise Invalid(f"The platform {told.platform} is not reached by {told.provider}.", "/provider")
    if told.environment and told.provider != "apns":
        raise Invalid("Only apns has environments.", "/environment")
    if told.provider == "webpush":
        return _web(told)
    if told.token is None or told.subscription is not UNSET:
        raise Invalid(f"The provider {told.provider} needs a token, and nothing else.", "/token")
    return _apple(told.token, told.environment) if told.provider == "apns" else FirebaseDevice(told.token)


def _apple(token: str, environment: Environment | None) -> AppleDevice:
    try:
        return msgspec.convert({"token": token, "environment": environment or "production"}, AppleDevice)
    except msgspec.ValidationError:
        raise Invalid("A token of apns is written in hexadecimal digits, 200 at most.", "/token") from None


def _web(told: Registration) -> WebSubscription:
    if told.subscription is UNSET or told.token is not None:
        raise Invalid("The provider webpush needs a subscription, and nothing else.", "/subscription")
    keys = told.subscription.keys
    subscription = WebSubscription(told.subscription.endpoint, SubscriptionKeys(keys.p256dh, keys.auth))
    try:
        url = endpoint_of(subscription)
        read_keys(subscription.keys)
    except BadSubscription:
        raise Invalid("This is not an https address.", "/subscription/endpoint") from None
    except BadKeys:
        raise Invalid("These are not the keys of a browser's subscription.", "/subscription/keys") from None
    if not _may_be_open(url):
        raise Invalid("This address is not on the open internet.", "/subscription/endpoint")
    return subscription


def _may_be_open(url: httpx.URL) -> bool:
    """Whether the host is a public address, or a name that may lead to one: that is looked into at each sending.

    No name is resolved here: what it leads to now says nothing of later.
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
