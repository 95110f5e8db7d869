"""Who has invited learns that somebody accepted: by a push that says nothing, and where they listen."""

import json

import pytest

from service import worker
from service.push.notices import PushClass
from service.reading.live import LivePace
from tests.support.asking import device
from tests.support.listening import Listening
from tests.support.phones import Phone, Running, running
from tests.support.prompting import Remembering

HERE = "/v1/relationships/{rid}"


async def invited(service: Running) -> tuple[Phone, Phone, str]:
    """One who has invited, another who has not accepted yet, and the code."""
    one, two = await service.member(), await service.phone().sign_in()
    await two.consent()
    code = (await one.expect(201, "POST", f"{HERE}/invites"))["code"]
    return one, two, code


async def sent(service: Running) -> list[PushClass]:
    """The classes of what goes out now."""
    sender = Remembering(service.clock)
    await worker.work(service.app.state.context, sender)
    return [notice.kind for notice in sender.sent]


async def test_each_device_of_who_invited_gets_one_push(service: Running) -> None:
    one, two, code = await invited(service)
    for phone in (one, one, two):
        await device(phone)
    for _ in range(2):
        await two.expect(200, "POST", "/v1/invites/accept", {"code": code})
    assert await sent(service) == [PushClass.ACCEPTED] * 2
    assert await sent(service) == []


@pytest.mark.parametrize("who", ["one", "two"])
async def test_once_it_is_withdrawn_or_confirmed_there_is_nothing_to_look_at(service: Running, who: str) -> None:
    one, two, code = await invited(service)
    await device(one)
    two.rid = (await two.expect(200, "POST", "/v1/invites/accept", {"code": code}))["relationship_id"]
    if who == "one":
        await one.expect(200, "POST", f"{HERE}/confirm")
    else:
        await two.expect(204, "POST", f"{HERE}/leave")
    assert await sent(service) == []


async def test_nobody_is_told_of_a_code_that_is_none(service: Running) -> None:
    one, two, _ = await invited(service)
    await device(one)
    await two.expect(404, "POST", "/v1/invites/accept", {"code": "0" * 12})
    assert await sent(service) == []


async def test_who_listens_is_told_how_the_relationship_stands(database_url: str) -> None:
    async with running(database_url, live_pace=LivePace(poll_seconds=0.02)) as service:
        one, two, code = await invited(service)
        async with Listening(service.app, one) as listening:
            await listening.chunk()
            await listening.chunk()
            await two.expect(200, "POST", "/v1/invites/accept", {"code": code})
            assert state_in(await listening.chunk()) == "confirming"
            await one.expect(200, "POST", f"{HERE}/confirm")
            told = [await listening.chunk(), await listening.chunk()]
            assert "active" in [state_in(chunk) for chunk in told if chunk.startswith(b"event: state")]


def state_in(chunk: bytes) -> str:
    """The state in a frame that tells of one."""
    name, data, *_ = chunk.decode().splitlines()
    assert name == "event: state"
    return str(json.loads(data.removeprefix("data: "))["state"])
