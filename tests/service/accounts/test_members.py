"""Me: my name, my time zone, and my consent."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.support.holding import holding
from tests.support.phones import Json, Phone, Running


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


NOTE = {"occurred_at": "2026-06-15T10:00:00+02:00", "note": "a walk"}
MY_ROW = "SELECT name FROM members WHERE member_id = $1::text::uuid FOR UPDATE"


async def change(phone: Phone, **fields: Any) -> Json:
    changed: Json = await phone.expect(200, "PATCH", "/v1/me", fields)
    return changed


async def refused(phone: Phone, method: str, path: str, body: Any = None) -> tuple[int, str]:
    answer = await phone.call(method, path, body)
    return answer.status_code, answer.json()["code"]


async def withdraw(phone: Phone) -> None:
    await phone.expect(204, "DELETE", "/v1/me/consent")


async def test_at_first_i_am_an_address_in_utc(service: Running) -> None:
    phone = await service.phone().sign_in()
    assert await phone.get("/v1/me") == {
        "member_id": phone.member_id,
        "email": phone.email,
        "name": None,
        "time_zone": "UTC",
        "consent": {"version": "1", "accepted": None},
        "identities": [],
    }


async def test_what_is_named_changes_and_the_rest_stays(service: Running) -> None:
    phone = await service.phone().sign_in()
    await change(phone, name="Ada", time_zone="Europe/Berlin")
    assert (await change(phone, time_zone="Asia/Kathmandu"))["name"] == "Ada"
    assert (await change(phone, name="Ada L."))["time_zone"] == "Asia/Kathmandu"
    cleared = await change(phone, name="")
    assert (cleared["name"], cleared["time_zone"]) == (None, "Asia/Kathmandu")
    assert await change(phone) == cleared == await phone.get("/v1/me")


async def test_changes_from_two_devices_at_once_are_both_kept(service: Running) -> None:
    phone = await service.phone().sign_in()
    async with holding(service, MY_ROW, phone.member_id) as held:
        changes = [asyncio.create_task(change(phone, **c)) for c in ({"name": "Ada"}, {"time_zone": "Asia/Tokyo"})]
        await held.until_waiting(2)
    await asyncio.gather(*changes)
    me = await phone.get("/v1/me")
    assert (me["name"], me["time_zone"]) == ("Ada", "Asia/Tokyo")


async def test_an_unknown_zone_is_refused(service: Running) -> None:
    phone = await service.phone().sign_in()
    for zone in ("Mars/Olympus", "europe/berlin", "", "../UTC", "CET-1CEST"):
        answer = await phone.call("PATCH", "/v1/me", {"name": "Ada", "time_zone": zone})
        assert answer.status_code == 422, zone
        assert answer.json()["errors"][0]["pointer"] == "/time_zone"
    assert (await phone.get("/v1/me"))["name"] is None


async def test_a_name_that_is_none_is_refused(service: Running) -> None:
    phone = await service.phone().sign_in()
    for name in ("a" * 101, "nul\x00", 7, " ", "\t\u3000", "\u200b", "\u202e \u200e", "\u200d"):
        assert await refused(phone, "PATCH", "/v1/me", {"name": name}) == (422, "invalid")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (" Ada\u3000", "Ada"),
        ("\u202eAda\u2069", "Ada"),
        ("A\u200bd\ufeffa", "Ada"),
        ("\U0001f469\u200d\U0001f467", "\U0001f469\u200d\U0001f467"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
async def test_a_name_holds_nothing_that_turns_or_hides_text(service: Running, sent: str, kept: str) -> None:
    phone = await service.member()
    assert (await change(phone, name=sent))["name"] == kept


async def test_null_changes_nothing_and_an_empty_text_clears_the_name(service: Running) -> None:
    phone = await service.member()
    await change(phone, name="Ada", time_zone="Europe/Berlin")
    assert (await change(phone, name=None, time_zone=None))["name"] == "Ada"
    me = await change(phone, name="")
    assert (me["name"], me["time_zone"]) == (None, "Europe/Berlin")


async def test_the_partner_sees_the_name_and_nothing_else_of_me(service: Running) -> None:
    one, two = await service.couple()
    await change(one, name="Ada", time_zone="Europe/Berlin")
    assert (await two.get("/v1/relationships/{rid}"))["partner"] == {"name": "Ada"}
    await change(one, name="")
    assert (await two.get("/v1/relationships/{rid}"))["partner"] == {"name": None}


async def test_consent_names_the_version_that_was_accepted(service: Running) -> None:
    phone = await service.phone().sign_in()
    await phone.consent()
    await phone.consent()
    assert (await phone.get("/v1/me"))["consent"] == {"version": "1", "accepted": "1"}
    await withdraw(phone)
    await withdraw(phone)
    assert (await phone.get("/v1/me"))["consent"] == {"version": "1", "accepted": None}


async def test_only_an_adult_consents_and_only_to_the_text_in_force(service: Running) -> None:
    phone = await service.phone().sign_in()
    for version, adult, pointer in (
        ("0", True, "/version"),
        (1, True, "/version"),
        ("1", False, "/adult"),
        ("1", 1, "/adult"),
    ):
        answer = await phone.call("PUT", "/v1/me/consent", {"version": version, "adult": adult})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert await refused(phone, "PUT", "/v1/me/consent", {"version": "1"}) == (422, "invalid")
    assert (await phone.get("/v1/me"))["consent"]["accepted"] is None


async def test_without_consent_nothing_is_recorded_until_it_is_given_again(service: Running) -> None:
    phone = await service.phone().sign_in()
    phone.rid = (await phone.expect(201, "POST", "/v1/relationships", {}))["id"]
    assert await phone.refused("check-ins", NOTE) == (403, "consent_required")
    await phone.consent()
    await phone.put("check-ins", NOTE)
    await withdraw(phone)
    assert await phone.refused("check-ins", NOTE) == (403, "consent_required")
    entry = {"id": str(uuid4()), "kind": "check_in", "check_in": NOTE}
    (result,) = (await phone.expect(200, "POST", "/v1/relationships/{rid}/sync", {"entries": [entry]}))["results"]
    assert (result["status"], result["problem"]["code"]) == ("refused", "consent_required")
    await phone.consent()
    await phone.put("check-ins", NOTE)


async def test_without_consent_nobody_invites(service: Running) -> None:
    phone = await service.member()
    await withdraw(phone)
    assert await refused(phone, "POST", "/v1/relationships/{rid}/invites") == (403, "consent_required")


async def test_without_consent_nobody_accepts(service: Running) -> None:
    one, two = await service.member(), await service.phone().sign_in()
    code = (await one.expect(201, "POST", "/v1/relationships/{rid}/invites"))["code"]
    assert await refused(two, "POST", "/v1/invites/accept", {"code": code}) == (403, "consent_required")
    assert (await one.get("/v1/relationships/{rid}"))["state"] == "inviting"
    await two.consent()
    await two.expect(200, "POST", "/v1/invites/accept", {"code": code})


async def test_without_consent_nobody_confirms(service: Running) -> None:
    one, two = await service.member(), await service.member()
    code = (await one.expect(201, "POST", "/v1/relationships/{rid}/invites"))["code"]
    await two.expect(200, "POST", "/v1/invites/accept", {"code": code})
    await withdraw(one)
    assert await refused(one, "POST", "/v1/relationships/{rid}/confirm") == (403, "consent_required")
    await one.consent()
    await one.expect(200, "POST", "/v1/relationships/{rid}/confirm")


async def test_leaving_and_reading_need_no_consent(service: Running) -> None:
    one, two = await service.couple()
    await withdraw(one)
    assert (await one.get("/v1/relationships/{rid}/balances"))["window"] == 28
    await one.expect(204, "POST", "/v1/relationships/{rid}/leave")
    assert (await two.get("/v1/relationships/{rid}"))["state"] == "ended"
