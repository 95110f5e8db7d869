"""A first screen: each part is what its own call shows, nothing is weighed, and it is never empty."""

from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import msgspec

from projections import home as figures_of
from projections.balances import Asked, fold
from service.relationships.home import MAX_BYTES
from tests.service.reading.test_reads import HERE, answer, ask, later, put, read
from tests.support.asking import prompted
from tests.support.counting import seen
from tests.support.given import NOW, check_in, mine, partners
from tests.support.phones import Json, Phone, Running

LAST = date(2026, 6, 15)


async def told(phone: Phone, day: date, **fields: Any) -> None:
    body = {"occurred_at": f"{day}T10:00:00+02:00", "domain": "home", "audience": "shared"} | fields
    await put(phone, "check-ins", body)


async def lived(one: Phone, two: Phone) -> None:
    for i in range(30):
        who = "me" if i % 3 else "partner"
        await told(one, LAST - timedelta(days=i), initiated_by=who, decided_by="me", felt={"close": 5})
    await told(two, LAST, initiated_by="me", domain="money", felt={"fair": 3})
    await put(
        two,
        "decisions",
        {
            "occurred_at": "2026-06-14T10:00:00+02:00",
            "domain": "home",
            "decided_by": "partner",
            "my_input": "asked",
            "audience": "shared",
        },
    )


async def test_each_part_is_what_its_own_call_shows(service: Running) -> None:
    one, two = await service.couple()
    await lived(one, two)
    await ask(one)
    asked = await ask(two, domain="time")
    await put(one, "openings", {"occurred_at": "2026-06-15T10:00:00+02:00", "domain": "money"})
    prompt = await prompted(service, one)
    found = await read(one, "home", window=28)
    listed = (await read(one, "requests", state="open"))["requests"]
    assert found["asked_of_me"] + found["asked_by_me"] == listed
    assert [each["event"]["id"] for each in found["asked_of_me"]] == [asked]
    assert found["openings"] == (await read(one, "openings", state="open"))["openings"]
    assert [each["id"] for each in found["prompts"]] == [prompt]
    shown = {(each["figure"], each["domain"]) for each in found["figures"]}
    assert {("asks", "time"), ("initiates", None), ("decides", "home"), ("counted", None)} <= shown
    for domain in (None, "home", "money", "time"):
        balances = await read(one, "balances", window=28, **({"domain": domain} if domain else {}))
        for figure in found["figures"]:
            if figure["domain"] == domain:
                name = figure["figure"]
                mine_now = balances["asks"] if name == "asks" else balances["mine"][name]
                assert figure["mine"]["now"] == mine_now
                assert (figure["partners"] or {}).get("now") == (None if name == "asks" else balances["partners"][name])
    for item in found["felt"]:
        balances = await read(one, "balances", window=28)
        nothing = {"n": 0, "mean": None, "low": None, "high": None, "counts": [0] * 7}
        for column in ("mine", "partners"):
            assert item[column] == balances[column]["felt"].get(item["item"], nothing)
    assert [item["item"] for item in found["felt"]] == ["fair", "close"]


async def test_a_line_is_thirteen_windows_apart(service: Running) -> None:
    one, _ = await service.couple()
    for ago in (0, 27, 28, 28 * 13 - 1, 28 * 13):
        await told(one, LAST - timedelta(days=ago), initiated_by="me")
    await told(one, LAST - timedelta(days=60), initiated_by="both")
    (figure, in_home) = (await read(one, "home"))["figures"]
    assert (figure["domain"], in_home["domain"]) == (None, "home")
    line = figure["mine"]["line"]
    assert len(line) == 13
    assert line == [[1, 0], *[None] * 9, [0, 0], [1, 0], [2, 0]]
    assert figure["partners"]["line"] == [None] * 13


async def test_it_is_304_until_something_of_mine_changes(service: Running) -> None:
    one, two = await service.couple()
    await lived(one, two)
    first = await one.call("GET", f"{HERE}/home")
    await two.put("check-ins", {"occurred_at": "2026-06-15T10:00:00+02:00", "note": "private"})
    again = await one.call("GET", f"{HERE}/home", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    await ask(two)
    changed = await one.call("GET", f"{HERE}/home", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert len(changed.json()["asked_of_me"]) == 1


async def test_what_lapses_is_open_no_more_though_nothing_was_recorded(service: Running) -> None:
    one, two = await service.couple()
    await ask(one)
    quiet = await ask(one)
    await answer(two, quiet, "no")
    assert [len((await read(phone, "home"))[name]) for phone, name in ((one, "asked_by_me"), (two, "asked_of_me"))] == [
        2,
        1,
    ]
    await later(service, one, two, days=8)
    assert (await read(one, "home"))["asked_by_me"] == []


async def test_it_is_never_longer_than_sixteen_kibibytes(service: Running) -> None:
    one, two = await service.couple()
    for domain in ("home", "money", "time", "intimacy", "family", "friends", "parenting", "plans", "chores", "other"):
        for phone in (one, two):
            await told(phone, LAST, initiated_by="me", decided_by="partner", domain=domain)
            await ask(phone, domain=domain, text="\u00fc" * 2000)
    content = (await one.call("GET", f"{HERE}/home")).content
    assert len(content) <= MAX_BYTES
    shown = msgspec.json.decode(content)
    assert shown["more"]
    assert [figure["figure"] for figure in shown["figures"]] == ["asks", "initiates", "decides"]
    assert shown["asked_of_me"] or shown["asked_by_me"]


def test_figures_stand_in_one_order_whatever_they_say() -> None:
    one = [check_in(initiated_by="me", decided_by="partner", domain=domain) for domain in ("money", "home")]
    events = [mine(uuid4(), one[0]), partners(uuid4(), one[1])]
    found = figures_of.fold(seen(*events), NOW.date(), 90)
    order = [(figure.figure, figure.domain) for figure in found.figures]
    assert order == [(name, domain) for domain in (None, "home", "money") for name in ("initiates", "decides")]
    assert found.figures[0].mine.now.counts == fold(seen(*events), Asked(NOW.date(), 90)).mine.initiates.counts


async def steps(phone: Phone) -> Json:
    found: Json = await phone.get("/v1/home")
    return found


async def test_the_next_step_leads_from_consent_to_two(service: Running) -> None:
    one, two = [await service.phone().sign_in() for _ in range(2)]
    assert await steps(one) == {"next": "consent", "relationship_id": None}
    for phone in (one, two):
        await phone.consent()
    assert await steps(one) == {"next": "begin", "relationship_id": None}
    rid = (await one.expect(201, "POST", "/v1/relationships", {}))["id"]
    assert await steps(one) == {"next": "invite", "relationship_id": rid}
    code = (await one.expect(201, "POST", f"/v1/relationships/{rid}/invites"))["code"]
    assert (await steps(one))["next"] == "wait_for_accept"
    await two.expect(200, "POST", "/v1/invites/accept", {"code": code})
    assert [(await steps(phone))["next"] for phone in (one, two)] == ["confirm", "wait_for_confirm"]
    await one.expect(200, "POST", f"/v1/relationships/{rid}/confirm")
    assert await steps(one) == await steps(two) == {"next": "look", "relationship_id": rid}
    await one.expect(204, "POST", f"/v1/relationships/{rid}/leave")
    assert (await steps(two))["next"] == "begin"
