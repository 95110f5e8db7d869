"""Roles and changes over HTTP: whose they are, and when a quarter may be looked at."""

from datetime import date, timedelta
from typing import Any

import pytest

from tests.service.reading.test_reads import HERE, later, read
from tests.support.phones import Json, Phone, Running


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


DAY = timedelta(days=1)


async def decided(phone: Phone, first: date, *told: tuple[str, str], **fields: Any) -> None:
    """One decision a day from that day on: who raised it, and who decided."""
    for i, (raised, decided_by) in enumerate(told):
        body = {"occurred_at": f"{first + i * DAY}T10:00:00+02:00", "domain": "home", "audience": "shared"} | fields
        await phone.put("decisions", body | {"raised_by": raised, "decided_by": decided_by})


MONTH = [("me", "partner")] * 21 + [("partner", "me")] * 2 + [("me", "me")] * 3 + [("both", "both")] * 4


async def test_roles_as_both_see_them(service: Running) -> None:
    one, two = await service.couple()
    await decided(one, date(2026, 5, 10), *MONTH)
    mine, theirs = [await read(phone, "roles", window=90) for phone in (one, two)]
    assert (mine["on"], mine["window"], mine["domain"]) == ("2026-06-15", 90, None)
    crossed = mine["mine"]["crossed"]
    assert (crossed["n"], round(crossed["share"], 6)) == (23, 0.913043)
    assert (mine["mine"]["alone"]["n"], mine["mine"]["alone"]["reading"]) == (3, "too_few")
    assert mine["partners"]["n"] == theirs["mine"]["n"] == 0
    assert theirs["partners"]["table"] == [[0, 2, 0, 0], [21, 3, 0, 0], [0, 0, 4, 0], [0, 0, 0, 0]]
    assert theirs["partners"]["crossed"]["occasions"] == {"me": 2, "partner": 21}


async def test_what_i_keep_private_is_in_my_telling_alone(service: Running) -> None:
    one, two = await service.couple()
    await decided(one, date(2026, 3, 31), ("me", "partner"), audience="private")
    mine, theirs = [await read(phone, "roles", window=366) for phone in (one, two)]
    assert (mine["mine"]["n"], theirs["partners"]["n"]) == (1, 0)
    mine, theirs = [await read(phone, "changes", quarter="2026-Q1") for phone in (one, two)]
    assert (mine["mine"]["decides"]["now"]["n"], theirs["partners"]["decides"]["now"]["n"]) == (1, 0)


async def test_what_moved_between_two_quarters(service: Running) -> None:
    one, two = await service.couple()
    await decided(one, date(2025, 10, 1), *[("me", "me")] * 27, *[("me", "partner")] * 3)
    await decided(one, date(2026, 1, 1), *[("me", "me")] * 12, *[("me", "partner")] * 18)
    found: Json = await read(one, "changes", quarter="2026-Q1")
    assert found["quarter"] == "2026-Q1"
    assert found["mine"]["decides"]["reading"] == "moved_to_partner"
    assert round(found["mine"]["decides"]["difference"], 6) == -0.5
    assert (await read(two, "changes", quarter="2026-Q1"))["partners"]["decides"]["reading"] == "moved_to_me"
    assert (await read(one, "changes", quarter="2026-Q1", domain="money"))["mine"]["decides"]["reading"] == "too_few"


@pytest.mark.parametrize(("zone", "status"), [("Pacific/Kiritimati", 200), ("UTC", 422)])
async def test_a_quarter_is_looked_at_when_it_is_over_where_i_am(service: Running, zone: str, status: int) -> None:
    one = await service.member()
    await one.expect(200, "PATCH", "/v1/me", {"time_zone": zone})
    await later(service, one, days=15, hours=5)  # 30 June, 17:00 UTC: in Kiritimati it is July
    answer = await one.call("GET", f"{HERE}/changes", params={"quarter": "2026-Q2"})
    assert answer.status_code == status
    if status == 422:
        assert (answer.json()["code"], answer.json()["errors"][0]["pointer"]) == ("invalid", "/quarter")


@pytest.mark.parametrize(
    "quarter", ["", "2026", "2026-Q5", "2026-Q0", "26-Q1", "0001-Q1", "0000-Q1", "2025-q1", "9999-Q4"]
)
async def test_what_is_no_quarter_that_is_over_is_422(service: Running, quarter: str) -> None:
    one = await service.member()
    assert (await one.call("GET", f"{HERE}/changes", params={"quarter": quarter})).status_code == 422


async def test_a_month_in_words_of_what_i_can_read(service: Running) -> None:
    one, two = await service.couple()
    await decided(one, date(2026, 5, 1), *[("me", "partner")] * 24)
    await decided(one, date(2026, 5, 30), ("me", "me"), audience="private")
    mine = await read(one, "reviews/2026-05")
    assert (mine["month"], mine["language"], mine["sentences"][0]["window"]["to"]) == ("2026-05", "en", "2026-05-31")
    assert mine["sentences"][0]["text"] == "By your entries, you began something on 25 days, your partner on none."
    card = mine["sentences"][-1]
    shared = {event["id"] for event in await one.events("shared") if event["kind"] == "decision"}
    assert (card["id"], set(card["evidence"]) & shared) == ("leans", shared)
    theirs = await read(two, "reviews/2026-05", language="de-AT")
    assert theirs["language"] == "de"
    assert theirs["sentences"][0]["numbers"] == {"me": 0, "partner": 24}
    assert theirs["sentences"][0]["text"].startswith("Nach den geteilten Eintr\u00e4gen deines Gegen\u00fcbers")


@pytest.mark.parametrize("month", ["2026-07", "2026-13", "2026-5", "9999-12", "0000-01", "x", "%00"])
async def test_what_is_no_month_that_has_begun_is_404(service: Running, month: str) -> None:
    one = await service.member()
    assert (await one.call("GET", f"{HERE}/reviews/{month}")).status_code == 404
    assert (await read(one, "reviews/2026-06"))["sentences"] == []
