"""Openings over HTTP: a view each before it is decided, and nothing of what the other has sealed until both have."""

from typing import Any
from uuid import uuid4

import pytest

from tests.service.reading.test_reads import AT, HERE, put, read, take_back
from tests.support.phones import Json, Phone, Running


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


YESTERDAY = "2026-06-14T10:00:00+02:00"
OPENING = {"occurred_at": YESTERDAY, "domain": "money", "text": "Which washing machine?", "size": "big"}
DECIDED = {"occurred_at": AT, "domain": "money", "decided_by": "me", "audience": "shared"}
VIEW = {"my_view": "The quiet one", "their_sense": "It is cheaper"}


async def opened(phone: Phone) -> str:
    return await put(phone, "openings", OPENING)


async def view(phone: Phone, opening: str, audience: str) -> str:
    body = {"occurred_at": "2026-06-15T09:00:00+02:00", "about": opening, "words": VIEW, "audience": audience}
    return await put(phone, "check-ins", body)


async def decide(phone: Phone, opening: str, **fields: Any) -> str:
    return await put(phone, "decisions", DECIDED | {"opening_id": opening} | fields)


async def standing(phone: Phone, **params: str) -> list[tuple[str, bool, bool]]:
    listed = (await read(phone, "openings", **params))["openings"]
    return [(one["state"], one["spoken"]["me"], one["spoken"]["partner"]) for one in listed]


async def test_each_says_a_view_before_it_is_decided(service: Running) -> None:
    one, two = await service.couple()
    opening = await opened(one)
    event = (await read(two, "openings"))["openings"][0]["event"]
    assert (event["kind"], event["by"], event["day"]) == ("opening", "partner", "2026-06-14")
    assert event["opening"] == OPENING
    await view(one, opening, "shared")
    assert await standing(one) == [("open", True, False)]
    await view(two, opening, "shared")
    decision = await decide(two, opening)
    assert await standing(one, state="decided") == await standing(two) == [("decided", True, True)]
    assert await standing(one, state="open") == []
    assert (await read(one, "openings"))["openings"][0]["decision"]["id"] == decision
    heard = await read(one, "voice")
    assert (heard["partner"]["n"], heard["partner"]["both_spoke"], heard["me"]["n"]) == (1, 1, 0)
    again = DECIDED | {"opening_id": opening}
    assert await one.refused("decisions", again) == (422, "already_decided")


async def test_what_the_other_has_sealed_changes_no_byte_until_both_have(service: Running) -> None:
    one, two = await service.couple()
    opening = await opened(one)
    looks = ("openings", "voice", "events", "balances")
    before = [(await one.call("GET", f"{HERE}/{look}")).content for look in looks]
    await view(two, opening, "sealed")
    assert await standing(two) == [("open", True, False)]
    assert [(await one.call("GET", f"{HERE}/{look}")).content for look in looks] == before
    await view(one, opening, "sealed")
    assert await standing(one) == await standing(two) == [("open", True, True)]
    shown = [event["check_in"]["words"] for event in await one.events() if event["kind"] == "check_in"]
    assert shown == [VIEW, VIEW]


async def test_it_is_withdrawn_by_who_opened_it(service: Running) -> None:
    one, two = await service.couple()
    opening = await opened(one)
    refusal = await two.refused("retractions", {"occurred_at": AT, "event_id": opening})
    assert refusal == (422, "not_mine")
    await take_back(one, opening)
    assert await standing(two, state="withdrawn") == [("withdrawn", False, False)]
    assert await two.refused("decisions", DECIDED | {"opening_id": opening}) == (422, "opening_withdrawn")


async def test_it_counts_nothing_and_a_phone_may_repeat_it(service: Running) -> None:
    one, _ = await service.couple()
    before = await read(one, "balances")
    name = uuid4()
    first = await one.put("openings", OPENING, name)
    assert await one.put("openings", OPENING, name, status=200) == first
    assert await one.refused("openings", OPENING | {"text": "Another"}, name) == (409, "id_taken")
    assert await read(one, "balances") == before


async def test_it_comes_with_the_offline_queue_and_with_what_decides_it(service: Running) -> None:
    one, two = await service.couple()
    opening, decision = str(uuid4()), str(uuid4())
    decided: Json = DECIDED | {"decided_by": "both"}
    entries = [
        {"id": opening, "kind": "opening", "opening": OPENING},
        {"id": decision, "kind": "decision", "decision": decided | {"opening_id": opening}},
        {"id": str(uuid4()), "kind": "decision", "decision": decided | {"opening_id": opening}},
    ]
    answer = await one.expect(200, "POST", f"{HERE}/sync", {"entries": entries})
    assert [result["status"] for result in answer["results"]] == ["recorded", "recorded", "refused"]
    assert answer["results"][2]["problem"]["code"] == "already_decided"
    assert await standing(two) == [("decided", False, False)]
    assert (await read(two, "voice", domain="money"))["both"]["neither"] == 1


async def test_they_come_page_by_page(service: Running) -> None:
    one, _ = await service.couple()
    made = [await opened(one) for _ in range(3)]
    page = await read(one, "openings", limit=2)
    assert ([each["event"]["id"] for each in page["openings"]], page["more"]) == (made[:0:-1], True)
    rest = await read(one, "openings", after=page["openings"][-1]["event"]["position"])
    assert ([each["event"]["id"] for each in rest["openings"]], rest["more"]) == (made[:1], False)


@pytest.mark.parametrize(
    "body", [{}, {"domain": "money"}, OPENING | {"audience": "private"}, OPENING | {"size": "huge"}]
)
async def test_what_is_no_opening_is_422(service: Running, body: Json) -> None:
    one, _ = await service.couple()
    assert (await one.refused("openings", body))[0] == 422
