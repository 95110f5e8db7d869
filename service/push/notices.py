"""What a sender takes and returns: a device's address and a class of push; an outcome."""

from enum import StrEnum
from typing import Annotated, Literal, Protocol, TypeAlias

from msgspec import Meta, Struct


class PushClass(StrEnum):
    """What a push is for; all that it says."""

    PROMPT = "prompt"
    REMINDER = "reminder"
    WITHDRAW = "withdraw"
    ACCEPTED = "accepted"


class Address(Struct, frozen=True):
    """Where a device is reached. Its repr shows nothing, so that no log line or traceback does."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class AppleDevice(Address, frozen=True):
    """A device token of APNs, in hex, and the one of its two environments that gave it out."""

    token: Annotated[str, Meta(pattern=r"^(?:[0-9a-fA-F]{2}){1,100}$(?!\n)")]
    environment: Literal["production", "sandbox"] = "production"


class FirebaseDevice(Address, frozen=True):
    """A registration token of Firebase Cloud Messaging."""

    token: Annotated[str, Meta(min_length=1, max_length=4096)]


class SubscriptionKeys(Address, frozen=True):
    """A browser's public key (an uncompressed point of P-256, 65 bytes) and its secret of 16 bytes, in base64url."""

    p256dh: Annotated[str, Meta(max_length=100)]
    auth: Annotated[str, Meta(max_length=40)]


class WebSubscription(Address, frozen=True):
    """A subscription, as browsers serialize it."""

    endpoint: Annotated[str, Meta(max_length=2048)]
    keys: SubscriptionKeys


DeviceAddress: TypeAlias = AppleDevice | FirebaseDevice | WebSubscription


class Notice(Struct, frozen=True):
    """One push to one device. There is no field for content, because there is none."""

    device: DeviceAddress
    kind: PushClass


class Delivered(Struct, frozen=True):
    """The provider has accepted it."""


Failure: TypeAlias = Literal["gone", "other_app", "refused"]


class Unregistered(Struct, frozen=True):
    """The provider says that this device is gone, or is another app's. This alone disables a device at once."""

    failure: Literal["gone", "other_app"] = "gone"


class RetryAfter(Struct, frozen=True):
    """Not now; not earlier than after so many seconds."""

    seconds: int


class Refused(Struct, frozen=True):
    """The provider will never accept it as it is: sending it again changes nothing.

    `by_device`: what is wrong is the device's registration. Otherwise it is what the operator has set.
    """

    by_device: bool = False


PushOutcome: TypeAlias = Delivered | Unregistered | RetryAfter | Refused


class Sender(Protocol):
    """Hands a notice to the device's provider. It raises nothing that the network or a provider can cause."""

    async def send(self, notice: Notice) -> PushOutcome: ...
