"""Two people become linked by three acts of their own, and either may leave."""

import asyncio
import re
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.holding import holding
from tests.support.phones import Json, Phone, Running, headers_of, link


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


HERE = "/v1/relationships/{rid}"
NOTE = {"occurred_at": "2026-06-15T10:00:00+02:00", "note": "a walk"}
SHARED_NOTE = NOTE | {"audience": "shared"}
REQUEST = {"occurred_at": "2026-06-15T10:00:00+02:00", "domain": "home"}
RELATIONSHIP_ROW = "SELECT state FROM relationships WHERE relationship_id = $1::text::uuid FOR UPDATE"


async def invite(phone: Phone) -> str:
    return str((await phone.expect(201, "POST", f"{HERE}/invites"))["code"])


async def accept(phone: Phone, code: str) -> httpx.Response:
    return await phone.call("POST", "/v1/invites/accept", {"code": code})


async def accepted(service: Running) -> tuple[Phone, Phone]:
    """Two members of whom the second has accepted and the first not yet confirmed."""
    one, two = await service.member(), await consented(service)
    two.rid = (await accept(two, await invite(one))).json()["relationship_id"]
    return one, two


async def consented(service: Running) -> Phone:
    phone = await service.phone().sign_in()
    await phone.consent()
    return phone


async def state(phone: Phone) -> str:
    return str((await phone.get(HERE))["state"])


async def leave(phone: Phone, status: int = 204) -> None:
    await phone.expect(status, "POST", f"{HERE}/leave")


async def refused(phone: Phone, path: str, body: Any = None) -> tuple[int, str]:
    answer = await phone.call("POST", path, body)
    return answer.status_code, answer.json()["code"]


def outline(events: list[Json]) -> list[tuple[int, str, str | None]]:
    return [(event["position"], event["kind"], event["by"]) for event in events]


async def test_alone_one_has_a_private_stream_that_works_and_a_shared_one_that_waits(service: Running) -> None:
    one = await service.member()
    assert await one.get(HERE) == (await one.get("/v1/relationships"))["relationships"][0]
    mine = await one.get(HERE)
    assert (mine["id"], mine["state"], mine["partner"]) == (one.rid, "solo", None)
    assert len({one.rid, mine["author"], mine["streams"]["shared"], mine["streams"]["private"]}) == 4
    assert (await one.put("check-ins", NOTE))["head"]["position"] == 1
    assert await one.refused("check-ins", SHARED_NOTE) == (403, "relationship_not_active")
    assert await one.refused("requests", REQUEST) == (403, "relationship_not_active")


async def test_an_invite_code_is_twelve_crockford_characters_for_a_day(service: Running) -> None:
    one = await service.member()
    invited = await one.expect(201, "POST", f"{HERE}/invites")
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{12}", invited["code"])
    assert invited["expires_at"] == "2026-06-16T12:00:00Z"
    assert await state(one) == "inviting"


async def test_a_new_invite_replaces_the_old_one(service: Running) -> None:
    one, two = await service.member(), await consented(service)
    old, new = await invite(one), await invite(one)
    assert (await accept(two, old)).status_code == 404
    assert (await accept(two, new)).status_code == 200


async def test_an_invite_works_once(service: Running) -> None:
    one, two, three = await service.member(), await consented(service), await consented(service)
    code = await invite(one)
    answer = await accept(two, code)
    assert (answer.status_code, answer.json()) == (200, {"relationship_id": one.rid, "state": "confirming"})
    assert (await accept(three, code)).status_code == 404


async def test_who_used_an_invite_may_send_it_again_for_as_long_as_they_are_in(service: Running) -> None:
    one, two = await service.member(), await consented(service)
    code = await invite(one)
    first = await accept(two, code)
    again = [await accept(two, code)]
    service.clock.advance(hours=25)
    for phone in (one, two):
        await refresh(phone)
    again.append(await accept(two, code))
    await one.expect(200, "POST", f"/v1/relationships/{one.rid}/confirm")
    again.append(await accept(two, code))
    assert {(answer.status_code, answer.content) for answer in again} == {(200, first.content)}
    assert await state(one) == "active"
    assert (await accept(one, code)).status_code == 404
    two.rid = one.rid
    await leave(two)
    assert (await accept(two, code)).status_code == 404


async def test_who_has_left_while_confirming_comes_in_by_a_new_code_only(service: Running) -> None:
    one, two = await service.member(), await consented(service)
    code = await invite(one)
    two.rid = (await accept(two, code)).json()["relationship_id"]
    await leave(two)
    assert (await accept(two, code)).status_code == 404
    assert (await accept(two, await invite(one))).status_code == 200


async def test_a_relationship_with_an_id_of_the_phone_begins_once(service: Running) -> None:
    one = await consented(service)
    one.rid = str(uuid4())
    made = await one.call("POST", "/v1/relationships", {"id": one.rid})
    assert (made.status_code, made.json()["id"], made.json()["state"]) == (201, one.rid, "solo")
    again = await one.call("POST", "/v1/relationships", {"id": one.rid.upper()})
    assert (again.status_code, again.content) == (200, made.content)
    await one.put("check-ins", NOTE)
    await invite(one)
    assert (await one.expect(200, "POST", "/v1/relationships", {"id": one.rid}))["state"] == "inviting"
    assert len((await one.get("/v1/relationships"))["relationships"]) == 1
    assert len(await one.events("private")) == 1


async def test_without_an_id_each_call_begins_another_one(service: Running) -> None:
    one = await consented(service)
    first = await one.expect(201, "POST", "/v1/relationships", {})
    assert (await one.expect(201, "POST", "/v1/relationships", {"id": None}))["id"] != first["id"]


async def test_an_id_of_others_begins_nothing_and_shows_nothing(service: Running) -> None:
    one, two = await service.couple()
    stranger = await consented(service)
    assert await refused(stranger, "/v1/relationships", {"id": one.rid}) == (409, "id_taken")
    assert (await stranger.get("/v1/relationships"))["relationships"] == []
    assert (await two.expect(200, "POST", "/v1/relationships", {"id": one.rid}))["state"] == "active"


async def test_of_two_devices_that_begin_one_at_once_both_have_it(service: Running) -> None:
    one = await consented(service)
    one.rid = str(uuid4())
    made = await asyncio.gather(*(one.call("POST", "/v1/relationships", {"id": one.rid}) for _ in range(4)))
    assert sorted(answer.status_code for answer in made) == [200, 200, 200, 201]
    assert len({answer.content for answer in made}) == 1


@pytest.mark.parametrize(("seconds", "status", "then"), [(86399, 200, "confirming"), (86400, 404, "solo")])
async def test_an_invite_lasts_a_day_and_then_its_maker_is_alone_again(
    service: Running, seconds: int, status: int, then: str
) -> None:
    one, two = await service.member(), await consented(service)
    code = await invite(one)
    service.clock.advance(seconds=seconds)
    await refresh(one)
    await refresh(two)
    assert (await accept(two, code)).status_code == status
    assert await state(one) == then
    assert (await one.get("/v1/relationships"))["relationships"][0]["state"] == then


async def refresh(phone: Phone) -> None:
    body = {"refresh_token": phone.refresh_token}
    phone.access_token = (await phone.expect(200, "POST", "/v1/sessions/refresh", body))["access_token"]


async def test_codes_that_do_not_work_are_told_apart_by_nobody(service: Running) -> None:
    one, two = await service.member(), await consented(service)
    expired = await invite(one)
    service.clock.advance(hours=24)
    for phone in (one, two):
        await refresh(phone)
    own = await invite(one)
    used = await invite(await service.member())
    await accept(await consented(service), used)
    answers = [
        await accept(two, code) for code in (expired, used, "0" * 12, "no code", "", "\u00e9" * 12, "0" * 100)
    ] + [await accept(one, own)]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert len({str(headers_of(answer)) for answer in answers}) == 1


async def test_a_code_may_be_typed_as_people_type(service: Running) -> None:
    one, two = await service.member(), await consented(service)
    code = await invite(one)
    typed = f" {code[:4]}-{code[4:8]}-{code[8:]} ".lower().replace("0", "o").replace("1", "l")
    assert (await accept(two, typed)).status_code == 200


async def test_only_who_invited_confirms_and_may_do_so_again(service: Running) -> None:
    one, two = await accepted(service)
    assert await refused(two, f"{HERE}/confirm") == (403, "not_the_inviter")
    assert [await state(one), await state(two)] == ["confirming", "confirming"]
    first = await one.expect(200, "POST", f"{HERE}/confirm")
    assert first["state"] == "active"
    assert await one.expect(200, "POST", f"{HERE}/confirm") == first == await one.get(HERE)
    assert await refused(two, f"{HERE}/confirm") == (403, "not_the_inviter")


async def test_there_is_nobody_to_confirm_before_somebody_accepts_or_after_the_end(service: Running) -> None:
    one = await service.member()
    assert await refused(one, f"{HERE}/confirm") == (403, "wrong_state")
    await invite(one)
    assert await refused(one, f"{HERE}/confirm") == (403, "wrong_state")
    await leave(one)
    assert await refused(one, f"{HERE}/confirm") == (403, "wrong_state")
    assert await refused(one, f"{HERE}/invites") == (403, "wrong_state")


async def test_the_shared_stream_opens_with_an_event_by_nobody(service: Running) -> None:
    one, two = await service.couple()
    await one.expect(200, "POST", f"{HERE}/confirm")
    assert outline(await one.events()) == outline(await two.events()) == [(1, "opened", None)]
    assert await one.events() == await two.events()
    assert await one.events("private") == await two.events("private") == []


async def test_both_see_one_shared_stream_and_each_a_private_one_of_their_own(service: Running) -> None:
    one, two = await service.couple()
    ones, twos = await one.get(HERE), await two.get(HERE)
    assert ones["id"] == twos["id"]
    assert ones["streams"]["shared"] == twos["streams"]["shared"]
    assert ones["streams"]["private"] != twos["streams"]["private"]
    assert ones["author"] != twos["author"]


async def test_no_third_person_gets_in(service: Running) -> None:
    one, two = await service.couple()
    assert await refused(one, f"{HERE}/invites") == (403, "wrong_state")
    assert await refused(two, f"{HERE}/invites") == (403, "wrong_state")
    one, two = await accepted(service)
    assert await refused(one, f"{HERE}/invites") == (403, "wrong_state")


@pytest.mark.parametrize("who", [0, 1])
async def test_while_confirming_either_leaves_and_the_maker_is_alone_again(service: Running, who: int) -> None:
    pair = await accepted(service)
    await leave(pair[who])
    one, two = pair
    assert (await one.get(HERE))["state"] == "solo"
    assert (await one.get(HERE))["partner"] is None
    gone = await two.call("GET", HERE)
    unknown = await two.call("GET", f"/v1/relationships/{uuid4()}")
    assert (gone.status_code, gone.content) == (404, unknown.content)
    assert (await two.get("/v1/relationships"))["relationships"] == []
    assert await refused(one, f"{HERE}/confirm") == (403, "wrong_state")
    await link(one, two)
    assert outline(await two.events()) == [(1, "opened", None)]


@pytest.mark.parametrize("who", [0, 1])
async def test_leaving_ends_it_for_both_and_names_nobody(service: Running, who: int) -> None:
    pair = await service.couple()
    await pair[0].put("requests", REQUEST)
    await leave(pair[who])
    one, two = pair
    assert [await state(one), await state(two)] == ["ended", "ended"]
    history = outline(await one.events())
    assert history == [(1, "opened", None), (2, "request", "me"), (3, "ended", None)]
    assert [kind for _, kind, _ in outline(await two.events())] == ["opened", "request", "ended"]
    for phone in pair:
        assert await phone.refused("check-ins", SHARED_NOTE) == (403, "relationship_not_active")
        assert await phone.refused("requests", REQUEST) == (403, "relationship_not_active")
        await phone.put("check-ins", NOTE)
        asks = (await phone.get(f"{HERE}/balances"))["asks"]["counts"]
        assert (asks["me"], asks["partner"]) == ((1, 0) if phone is one else (0, 1))


async def test_the_two_ended_views_do_not_tell_who_has_left(service: Running) -> None:
    one, two = await service.couple()
    await leave(one)
    ones, twos = await one.get(HERE), await two.get(HERE)
    assert {key: ones[key] for key in ("id", "state", "partner")} == {
        key: twos[key] for key in ("id", "state", "partner")
    }
    assert await one.events(proof=True) == await two.events(proof=True)


async def test_leaving_twice_changes_nothing(service: Running) -> None:
    one, two = await service.couple()
    for phone in (one, one, two):
        await leave(phone)
    assert outline(await two.events()) == [(1, "opened", None), (2, "ended", None)]


async def test_after_the_end_the_partners_name_is_the_one_of_that_time(service: Running) -> None:
    one, two = await service.couple()
    await one.expect(200, "PATCH", "/v1/me", {"name": "Ada"})
    await leave(two)
    await one.expect(200, "PATCH", "/v1/me", {"name": "Somebody Else"})
    await two.expect(200, "PATCH", "/v1/me", {"name": "New"})
    assert (await two.get(HERE))["partner"] == {"name": "Ada"}
    assert (await one.get(HERE))["partner"] == {"name": None}


async def test_a_couple_links_again_as_a_new_relationship_with_nothing_carried_over(service: Running) -> None:
    one, two = await service.couple()
    old = one.rid
    await one.put("requests", REQUEST)
    await leave(one)
    await link(await one.begin(), two)
    assert one.rid == two.rid != old
    assert outline(await two.events()) == [(1, "opened", None)]
    listed = (await two.get("/v1/relationships"))["relationships"]
    assert {(r["id"], r["state"]) for r in listed} == {(old, "ended"), (one.rid, "active")}
    await two.put("requests", REQUEST)


async def test_a_member_has_several_relationships_that_know_nothing_of_each_other(service: Running) -> None:
    one, two = await service.couple()
    first = one.rid
    await one.put("check-ins", SHARED_NOTE)
    service.clock.advance(minutes=1)
    await link(await one.begin(), await consented(service))
    assert [r["id"] for r in (await one.get("/v1/relationships"))["relationships"]] == [one.rid, first]
    assert len(await one.events()) == 1
    assert (await two.call("GET", f"/v1/relationships/{one.rid}")).status_code == 404


async def test_of_two_who_accept_one_code_at_the_same_moment_one_gets_in(service: Running) -> None:
    one, *others = [await service.member() for _ in range(5)]
    code = await invite(one)
    answers = await asyncio.gather(*(accept(other, code) for other in others))
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404]
    assert len({answer.content for answer in answers if answer.status_code == 404}) == 1
    assert await state(one) == "confirming"


async def test_a_code_that_is_replaced_while_it_is_accepted_does_not_let_anybody_in(service: Running) -> None:
    one, two = await service.member(), await consented(service)
    old = await invite(one)
    async with holding(service, RELATIONSHIP_ROW, one.rid) as held:
        inviting = asyncio.create_task(invite(one))
        await held.until_waiting(1)
        accepting = asyncio.create_task(accept(two, old))
        await held.until_waiting(2)
    assert (await accepting).status_code == 404
    assert (await accept(two, await inviting)).status_code == 200


async def test_who_leaves_twice_at_once_while_confirming_leaves_its_maker_alone_and_no_more(service: Running) -> None:
    one, two = await accepted(service)
    async with holding(service, RELATIONSHIP_ROW, one.rid) as held:
        leaving = [asyncio.create_task(two.call("POST", f"{HERE}/leave")) for _ in range(2)]
        await held.until_waiting(2)
    assert sorted([(await one_of_them).status_code for one_of_them in leaving]) == [204, 404]
    assert await state(one) == "solo"


async def test_who_has_left_while_confirming_invites_nobody(service: Running) -> None:
    one, two = await accepted(service)
    async with holding(service, RELATIONSHIP_ROW, one.rid) as held:
        leaving = asyncio.create_task(leave(two))
        await held.until_waiting(1)
        inviting = asyncio.create_task(two.call("POST", f"{HERE}/invites"))
        await held.until_waiting(2)
    await leaving
    assert (await inviting).status_code == 404
    assert await state(one) == "solo"


async def test_confirming_and_leaving_at_once_end_in_one_of_the_two_orders(service: Running) -> None:
    for _ in range(5):
        one, two = await accepted(service)
        confirmed, left = await asyncio.gather(one.call("POST", f"{HERE}/confirm"), two.call("POST", f"{HERE}/leave"))
        assert left.status_code == 204
        assert (confirmed.status_code, await state(one)) in [(200, "ended"), (403, "solo")]
        assert outline(await one.events()) in ([(1, "opened", None), (2, "ended", None)], [])


async def test_foreign_unknown_and_malformed_relationships_are_told_apart_by_nobody(service: Running) -> None:
    one, stranger = await service.member(), await consented(service)
    names = [one.rid, uuid4(), "no-relationship", one.rid.replace("-", ""), "%00", f"{one.rid}%20", "0"]
    calls = [("GET", ""), ("POST", "/invites"), ("POST", "/confirm"), ("POST", "/leave"), ("GET", "/events")]
    answers = [await stranger.call(method, f"/v1/relationships/{rid}{path}") for method, path in calls for rid in names]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert await state(one) == "solo"
