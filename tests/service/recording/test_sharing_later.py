"""What its author keeps private can be shared later, under its own id: then only the shared one counts."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from projections.rebuild import rebuild
from tests.properties.playing import streams_of, tallies
from tests.support.phones import Json, Phone, Running


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


HERE = "/v1/relationships/{rid}"
AT = "2026-06-15T10:00:00+02:00"
KEPT: Json = {"occurred_at": AT, "domain": "home", "initiated_by": "me", "felt": {"fair": 3}}
SHARED = KEPT | {"audience": "shared"}
BOTH: Json = {"occurred_at": AT, "domain": "money", "decided_by": "partner", "my_input": "asked"}
REQUEST: Json = {"occurred_at": AT, "domain": "home"}


@pytest.fixture
async def db(service: Running) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """The same database, as its superuser."""
    connection = await asyncpg.connect(service.database_url)
    yield connection
    await connection.close()


async def recounted(service: Running, db: Any, one: Phone, two: Phone) -> None:
    """A recount of all three streams finds nothing to set right."""
    streams = await streams_of(db, (one, two), await service.keys_of(one.rid))
    assert (await rebuild(db, [*streams.values()])).differences == 0


async def initiates(phone: Phone, telling: str = "mine") -> int:
    split = (await phone.get(f"{HERE}/balances"))[telling]["initiates"]
    return sum(split["counts"].values())


async def take_back(phone: Phone, event_id: UUID) -> str:
    return str((await phone.put("retractions", {"occurred_at": AT, "event_id": str(event_id)}))["event"]["stream"])


async def test_the_same_entry_again_for_both_is_a_new_event_in_the_shared_stream(service: Running, db: Any) -> None:
    one, two = await service.couple()
    event_id = uuid4()
    private = await one.put("check-ins", KEPT, event_id)
    assert await initiates(two, "partners") == 0
    shared = await one.put("check-ins", SHARED, event_id)
    assert (private["event"]["stream"], shared["event"]["stream"]) == ("private", "shared")
    assert [event["id"] for event in await two.events()][1:] == [str(event_id)]
    assert (await initiates(one), await initiates(two, "partners")) == (1, 1)
    assert {key[0] for key in await tallies(db, (one, two), await service.keys_of(one.rid))} == {"shared"}
    for body, first in ((KEPT, private), (SHARED, shared)):
        assert await one.put("check-ins", body, event_id, status=200) == first
    await recounted(service, db, one, two)


async def test_either_may_come_first_and_both_in_one_queue(service: Running, db: Any) -> None:
    one, two = await service.couple()
    queue = []
    for bodies in ((KEPT, SHARED), (SHARED, KEPT)):
        name = str(uuid4())
        queue += [{"id": name, "kind": "check_in", "check_in": body} for body in bodies]
    answer = await one.expect(200, "POST", f"{HERE}/sync", {"entries": queue})
    assert [result["status"] for result in answer["results"]] == ["recorded"] * 4
    assert await initiates(one) == 2
    event_id = uuid4()
    for body in (SHARED, KEPT):
        await one.put("check-ins", body, event_id)
    assert await initiates(one) == 3
    await recounted(service, db, one, two)


async def test_two_devices_at_once_count_it_once(service: Running, db: Any) -> None:
    one, two = await service.couple()
    for _ in range(10):
        event_id = uuid4()
        await asyncio.gather(*(one.put("check-ins", body, event_id) for body in (KEPT, SHARED)))
    assert await initiates(one) == 10
    await recounted(service, db, one, two)


async def test_what_is_taken_back_then_is_the_shared_one_and_nothing_is_left(service: Running, db: Any) -> None:
    one, two = await service.couple()
    event_id = uuid4()
    for body in (KEPT, SHARED):
        await one.put("check-ins", body, event_id)
    assert await take_back(one, event_id) == "shared"
    assert await initiates(one) == 0
    back = {"occurred_at": AT, "event_id": str(event_id)}
    assert await one.refused("retractions", back) == (422, "already_retracted")
    await recounted(service, db, one, two)


async def test_what_was_taken_back_in_private_counts_anew_where_it_is_shared(service: Running, db: Any) -> None:
    one, two = await service.couple()
    event_id = uuid4()
    await one.put("check-ins", KEPT, event_id)
    assert await take_back(one, event_id) == "private"
    await one.put("check-ins", SHARED, event_id)
    assert await initiates(one) == 1
    await recounted(service, db, one, two)


async def test_what_it_is_about_is_looked_at_where_its_counts_move_and_are_taken_back(
    service: Running, db: Any
) -> None:
    one, two = await service.couple()
    asked = (await two.put("requests", REQUEST))["event"]["id"]
    noted = (await two.put("check-ins", KEPT | {"audience": "shared"}))["event"]["id"]
    for about, counted in ((asked, 0), (noted, 1)):
        event_id = uuid4()
        await one.put("check-ins", KEPT | {"about": about}, event_id)
        assert await initiates(one) == counted
        await one.put("check-ins", SHARED | {"about": about}, event_id)
        assert (await initiates(one), await initiates(two, "partners")) == (counted, counted)
        await recounted(service, db, one, two)
        await take_back(one, event_id)
        assert await initiates(one) == 0
        assert (await one.get(f"{HERE}/balances"))["mine"]["felt"] == {}
        await recounted(service, db, one, two)


async def test_a_sealed_one_shared_openly_waits_no_more(service: Running, db: Any) -> None:
    one, two = await service.couple()
    event_id = uuid4()
    await one.put("check-ins", KEPT | {"audience": "sealed"}, event_id)
    await one.put("check-ins", SHARED, event_id)
    await two.put("check-ins", KEPT | {"audience": "sealed"})
    shown = [event["check_in"]["audience"] for event in await two.events() if event["kind"] == "check_in"]
    assert shown == ["shared"]
    assert await initiates(one) == 1
    await recounted(service, db, one, two)


async def test_a_telling_shared_later_is_still_the_only_one(service: Running, db: Any) -> None:
    one, two = await service.couple()
    decision = (await two.put("decisions", BOTH | {"audience": "shared"}))["event"]["id"]
    telling, event_id = BOTH | {"about": decision, "decided_by": "me"}, uuid4()
    await one.put("decisions", telling, event_id)
    assert await one.refused("decisions", telling) == (409, "already_told")
    await one.put("decisions", telling | {"audience": "shared"}, event_id)
    assert await one.refused("decisions", telling) == (409, "already_told")
    table = (await one.get(f"{HERE}/perspectives", measure="decides"))["table"]
    assert sum(map(sum, table)) == 1
    await take_back(one, event_id)
    await one.put("decisions", telling)
    await recounted(service, db, one, two)


async def test_a_quiet_no_shared_later_is_the_answer_that_both_read(service: Running) -> None:
    one, two = await service.couple()
    request_id = (await one.put("requests", REQUEST))["event"]["id"]
    no, event_id = {"occurred_at": AT, "request_id": request_id, "outcome": "no"}, uuid4()
    before = [(await phone.call("GET", f"{HERE}/balances")).content for phone in (one, two)]
    await two.put("decisions", no, event_id)
    assert await standing(one) == ("open", None)
    await two.put("decisions", no | {"audience": "shared"}, event_id)
    assert await standing(one) == await standing(two) == ("decided", "shared")
    assert [(await phone.call("GET", f"{HERE}/balances")).content for phone in (one, two)] == before
    await take_back(two, event_id)
    assert await standing(one) == await standing(two) == ("open", None)


async def standing(phone: Phone) -> tuple[str, str | None]:
    """The state of the only request, and the stream of the decision that holds."""
    (request,) = (await phone.get(f"{HERE}/requests"))["requests"]
    return request["state"], request["decision"] and request["decision"]["stream"]


async def test_nothing_is_shared_later_after_the_end(service: Running) -> None:
    one, _ = await service.couple()
    event_id = uuid4()
    await one.put("check-ins", KEPT, event_id)
    await one.expect(204, "POST", f"{HERE}/leave")
    assert await one.refused("check-ins", SHARED, event_id) == (403, "relationship_not_active")
    assert await initiates(one) == 1


async def test_the_other_may_use_the_same_id_and_nothing_moves(service: Running, db: Any) -> None:
    one, two = await service.couple()
    event_id = uuid4()
    await one.put("check-ins", KEPT, event_id)
    await two.put("check-ins", SHARED, event_id)
    assert await one.refused("check-ins", SHARED, event_id) == (409, "id_taken")
    assert (await initiates(one), await initiates(one, "partners")) == (1, 1)
    await recounted(service, db, one, two)


async def test_both_are_exported(service: Running) -> None:
    one, _ = await service.couple()
    event_id = uuid4()
    for body in (KEPT, SHARED):
        await one.put("check-ins", body, event_id)
    assert [len(await one.events(stream)) for stream in ("shared", "private")] == [2, 1]
