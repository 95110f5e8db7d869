"""What an exchange that is broken off halfway does to the ones after it: nothing, with any provider."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TypeAlias

import pytest

from service.core.networks import networks
from service.push.apns import ApnsKey, ApnsSender
from service.push.fcm import FcmAccount, FcmSender
from service.push.notices import AppleDevice, Delivered, DeviceAddress, FirebaseDevice, Notice, PushClass, RetryAfter
from service.push.webpush import VapidKey, WebPushSender
from tests.service.push.test_webpush import BROWSER
from tests.support.phones import Clock
from tests.support.pushing import CANARY, CLIENT_TLS, EC_KEY, PushService, Reply, said
from tests.support.vouching import RSA_KEY

Sending: TypeAlias = ApnsSender | FcmSender | WebPushSender
Opening: TypeAlias = Callable[[PushService, float], tuple[Sending, DeviceAddress]]

# A handshake that is cut short closes nothing.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PATIENT, HASTY = 5.0, 0.5  # seconds of silence


def apple(to: PushService, silence: float) -> tuple[Sending, DeviceAddress]:
    key = ApnsKey(EC_KEY, "k", "t", "a.b")
    return ApnsSender(key, to.url, to.url, Clock(), CLIENT_TLS, silence), AppleDevice(CANARY)


def firebase(to: PushService, silence: float) -> tuple[Sending, DeviceAddress]:
    account = FcmAccount("p", "push@example.org", f"{to.url}/token", "k", RSA_KEY)
    return FcmSender(account, to.url, Clock(), CLIENT_TLS, silence), FirebaseDevice(CANARY)


def browsers(to: PushService, silence: float) -> tuple[Sending, DeviceAddress]:
    sender = WebPushSender(VapidKey(EC_KEY, "mailto:a@example.org"), Clock(), CLIENT_TLS, LOOPBACK, silence)
    return sender, BROWSER.subscribed(f"{to.url}/{CANARY}")


LOOPBACK = networks("127.0.0.0/8, ::1/128")
every_provider = pytest.mark.parametrize("opening", [apple, firebase, browsers])


@pytest.fixture
async def provider() -> AsyncIterator[PushService]:
    async with PushService().open("localhost") as service:
        service.at["/token"] = lambda request: said(200, access_token="a token", expires_in=3600)
        yield service


async def broken_off(provider: PushService, sender: Sending, notice: Notice, steps: int) -> None:
    """A push that is cancelled so many steps after its connection has come about."""
    before, sending = provider.connections, asyncio.create_task(sender.send(notice))
    while provider.connections == before:  # noqa: ASYNC110 an event would come some steps later
        await asyncio.sleep(0)
    for _ in range(steps):
        await asyncio.sleep(0)
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending


@every_provider
async def test_what_is_cancelled_anywhere_harms_nothing_that_is_sent_later(
    provider: PushService, opening: Opening
) -> None:
    for steps in range(0, 180, 9):
        sender, device = opening(provider, PATIENT)
        notice = Notice(device, PushClass.PROMPT)
        await broken_off(provider, sender, notice, steps)
        assert [await sender.send(notice) for _ in range(3)] == [Delivered()] * 3
        await sender.close()
    gc.collect()


async def until_one_is_open(provider: PushService) -> None:
    async with asyncio.timeout(30):
        while provider.open_connections > 1:  # noqa: ASYNC110 it ends when the other side has noticed
            await asyncio.sleep(0.01)


@every_provider
async def test_after_slow_answers_there_is_a_new_connection_and_the_old_one_is_closed(
    provider: PushService, opening: Opening
) -> None:
    sender, device = opening(provider, HASTY)
    notice = Notice(device, PushClass.PROMPT)
    assert await sender.send(notice) == Delivered()
    for slow in range(1, 3):
        provider.replies.extend([Reply(then="drip")] * 2)
        slow_ones = await asyncio.gather(sender.send(notice), sender.send(notice))
        assert set(slow_ones) == {RetryAfter(5)}
        assert await sender.send(notice) == Delivered()
        assert provider.connections == slow + 1
        await until_one_is_open(provider)
    await sender.close()


async def test_what_is_under_way_beside_a_slow_answer_arrives_or_is_to_be_sent_again(provider: PushService) -> None:
    sender, device = apple(provider, HASTY)
    provider.at["/3/device/dd"] = lambda request: Reply(then="drip")
    slow = asyncio.create_task(sender.send(Notice(AppleDevice("dd"), PushClass.PROMPT)))
    outcomes = set()
    while not slow.done():
        outcomes |= set(await asyncio.gather(*(sender.send(Notice(device, PushClass.PROMPT)) for _ in range(5))))
    assert await slow == RetryAfter(5)
    # The slow one is cancelled at last: in one run of sixty in the middle of a write, and then the connection breaks.
    assert Delivered() in outcomes
    assert outcomes <= {Delivered(), RetryAfter(5)}
    assert {await sender.send(Notice(device, PushClass.PROMPT)) for _ in range(5)} == {Delivered()}
    await sender.close()
