"""Pauses: mine alone. Nothing is asked on these days, and my own view leaves them out, in both columns."""

import asyncio
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest

from service.accounts.pauses import MAX_PAUSES
from tests.service.reading.test_reads import read
from tests.support.phones import Json, Phone, Running

HERE = "/v1/relationships/{rid}"
FEW_DAYS = {"from": "2026-06-10", "to": "2026-06-12"}


async def pause(phone: Phone, name: str | None = None, **days: str) -> str:
    name, body = name or str(uuid4()), {key.rstrip("_"): day for key, day in days.items()}
    await phone.expect(200, "PUT", f"/v1/me/pauses/{name}", body)
    return name


async def told(phone: Phone, day: str, **fields: Any) -> None:
    body = {"occurred_at": f"{day}T10:00:00+02:00", "initiated_by": "me", "domain": "home", "audience": "shared"}
    await phone.put("check-ins", body | fields)


async def listed(phone: Phone) -> list[Json]:
    found: list[Json] = (await phone.get("/v1/me/pauses"))["pauses"]
    return found


async def test_they_are_set_changed_and_removed(service: Running) -> None:
    phone = await service.phone().sign_in()
    assert await listed(phone) == []
    late, early = await pause(phone, from_="2026-07-01"), await pause(phone, from_="2026-06-10", to="2026-06-12")
    assert await listed(phone) == [{"id": early, **FEW_DAYS}, {"id": late, "from": "2026-07-01", "to": None}]
    await pause(phone, late, from_="2026-07-02", to="2026-07-02")
    assert await phone.get(f"/v1/me/pauses/{late}") == {"id": late, "from": "2026-07-02", "to": "2026-07-02"}
    await phone.expect(204, "DELETE", f"/v1/me/pauses/{early}")
    await phone.expect(404, "DELETE", f"/v1/me/pauses/{early}")
    assert [one["id"] for one in await listed(phone)] == [late]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/from"),
        ({"from": "2026-06-10", "to": "2026-06-09"}, "/to"),
        ({"from": "2026-02-30"}, "/from"),
        ({"from": "2026-06-10", "reason": "none of your business"}, "/reason"),
    ],
)
async def test_what_is_no_pause_is_422(service: Running, body: Json, pointer: str) -> None:
    phone = await service.phone().sign_in()
    answer = await phone.call("PUT", f"/v1/me/pauses/{uuid4()}", body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert await listed(phone) == []


async def test_there_is_room_for_a_hundred(service: Running) -> None:
    phone = await service.phone().sign_in()
    names = [await pause(phone, from_="2026-06-10", to="2026-06-10") for _ in range(MAX_PAUSES)]
    assert (await phone.call("PUT", f"/v1/me/pauses/{uuid4()}", FEW_DAYS)).status_code == 422
    await pause(phone, names[0], from_="2026-06-11")  # a change takes no more room


async def test_of_two_devices_at_once_neither_undoes_the_other(service: Running) -> None:
    phone = await service.phone().sign_in()
    names = [str(uuid4()) for _ in range(6)]
    await asyncio.gather(*(pause(phone, name, from_="2026-06-10") for name in names))
    assert {one["id"] for one in await listed(phone)} == set(names)


async def test_the_days_leave_both_columns_of_my_view_and_of_nobody_elses(service: Running) -> None:
    one, two = await service.couple()
    for day in ("2026-06-09", "2026-06-11", "2026-06-13"):
        await told(one, day)
        await told(two, day)
        await one.put("requests", {"occurred_at": f"{day}T10:00:00+02:00", "domain": "home"})
    before = await seen(two)
    await pause(one, from_="2026-06-10", to="2026-06-12")
    balances = await read(one, "balances", window=28)
    assert balances["paused"] == 3
    shown = [balances["asks"], balances["mine"]["initiates"], balances["partners"]["initiates"]]
    assert [split["counts"]["me"] + split["counts"]["partner"] for split in shown] == [2, 2, 2]
    assert await seen(two) == before
    await one.expect(204, "DELETE", f"/v1/me/pauses/{(await listed(one))[0]['id']}")
    assert (await read(one, "balances", window=28))["mine"]["initiates"]["counts"]["me"] == 3


async def seen(phone: Phone) -> list[bytes]:
    looks = ("balances", "trends?measure=initiates", "roles", "voice", "changes?quarter=2026-Q1", "events", "requests")
    return [(await phone.call("GET", f"{HERE}/{look}")).content for look in looks]


async def test_each_window_says_how_many_of_its_days_are_left_out(service: Running) -> None:
    one, _ = await service.couple()
    await told(one, "2026-06-11", decided_by="me")
    await pause(one, from_="2026-06-10", to="2026-06-12")
    await pause(one, from_="2026-06-12", to="2026-06-13")  # a day is left out once
    trend = await read(one, "trends", measure="initiates", window=7, step=1, from_="2026-06-08", to="2026-06-15")
    assert [point.get("paused", 0) for point in trend["mine"]] == [0, 0, 1, 2, 3, 4, 4, 4]
    assert [point["counts"]["me"] for point in trend["mine"]] == [0] * 8
    assert (await read(one, "roles", window=7))["paused"] == (await read(one, "voice", window=7))["paused"] == 4
    await pause(one, from_="2025-12-31", to="2026-01-01")
    changes = await read(one, "changes", quarter="2026-Q1")
    assert changes["paused"] == 2


async def test_a_cached_answer_is_of_these_pauses(service: Running) -> None:
    one, _ = await service.couple()
    await told(one, "2026-06-11")
    counts = [await read(one, "balances", window=28)]
    name = await pause(one, from_="2026-06-11")
    counts.append(await read(one, "balances", window=28))
    await pause(one, name, from_="2026-06-12")
    counts.append(await read(one, "balances", window=28))
    assert [found["mine"]["initiates"]["counts"]["me"] for found in counts] == [1, 0, 1]


async def test_no_day_of_a_pause_stands_in_the_database(service: Running) -> None:
    phone = await service.phone().sign_in()
    await pause(phone, from_="2026-06-10", to="2026-06-12")
    (row,) = await service.ask("SELECT pauses, members::text AS text FROM members")
    assert b"2026-06" not in row["pauses"]
    assert "2026-06-10" not in row["text"]
    lengths = []
    for last in ("2026-06-11", "2026-06-30"):
        await pause(phone, from_=str(date.fromisoformat(last) - timedelta(days=1)), to=last)
        lengths.append(len((await service.ask("SELECT pauses FROM members"))[0]["pauses"]))
    assert {length % 128 for length in lengths} == {28}  # a nonce and a tag beside whole units
