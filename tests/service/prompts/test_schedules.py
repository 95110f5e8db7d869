"""A schedule over HTTP: off, kept, checked, and what it makes of what was planned before."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from service.prompts.ciphertexts import encrypt_schedule
from service.prompts.schedule import Schedule
from tests.support.asking import HOUR, device, prompted, pushing, rows
from tests.support.holding import holding
from tests.support.phones import NOON, Json, Phone, Running

PATH = "/v1/me/schedule"
OFF = msgspec.to_builtins(Schedule())
NO_QUIET = {"from": "00:00", "to": "00:00"}
AFTER = {"after_events": {"enabled": True}, "quiet": NO_QUIET}


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


def item(phone: Phone, **changed: Any) -> Json:
    window = {"weekdays": ["mon", "sun"], "from": "20:00", "to": "22:00", "questions": ["close", "my_week"]}
    return {"id": str(uuid4()), "relationship_id": phone.rid} | window | changed


async def put(phone: Phone, **said: Any) -> Json:
    kept: Json = await phone.expect(200, "PUT", PATH, said)
    return kept


async def stored(service: Running) -> Any:
    (row,) = await rows(service, "schedules")
    return row


async def left(service: Running) -> set[str]:
    return {str(row["prompt_id"]) for row in await rows(service, "prompts")}


async def test_nothing_is_asked_until_somebody_says_so(service: Running) -> None:
    phone = await service.phone().sign_in()
    assert await phone.get(PATH) == OFF
    assert await rows(service, "schedules") == []


async def test_what_is_put_is_what_is_got(service: Running) -> None:
    phone = await service.member()
    said: Json = {
        "check_ins": [item(phone)],
        "after_events": {"enabled": True, "delay_minutes": 60, "questions": ["close"]},
    }
    said |= {"quiet": {"from": "21:00", "to": "09:00"}, "max_per_day": 1, "paused_until": "2026-07-01T00:00:00+02:00"}
    kept = await put(phone, **said)
    assert kept == await phone.get(PATH) == OFF | said


async def test_planning_is_due_at_once_and_never_where_nothing_is_on(service: Running) -> None:
    phone = await service.member()
    await put(phone, check_ins=[item(phone)])
    row = await stored(service)
    assert (row["since"], row["plan_at"]) == (NOON, NOON)
    service.clock.advance(minutes=1)
    await put(phone)
    after = await stored(service)
    assert (after["since"], after["plan_at"]) == (NOON + timedelta(minutes=1), None)
    assert after["seed"] == row["seed"]


async def test_each_member_draws_from_a_seed_of_their_own(service: Running) -> None:
    for phone in await service.couple():
        await put(phone, **AFTER)
    assert len({row["seed"] for row in await rows(service, "schedules")}) == 2


async def test_putting_what_stands_changes_nothing(service: Running) -> None:
    phone = await service.member()
    said = {"check_ins": [item(phone)]}
    await put(phone, **said)
    planned = await prompted(service, phone, "scheduled", NOON + HOUR)
    before = await stored(service)
    service.clock.advance(minutes=1)
    await put(phone, **said)
    assert (await stored(service), await left(service)) == (before, {planned})


async def test_the_same_instant_in_another_offset_is_another_schedule(service: Running) -> None:
    phone = await service.member()
    for spelled in ("2026-07-01T00:00:00+02:00", "2026-06-30T22:00:00Z"):
        await put(phone, paused_until=spelled)
        assert (await phone.get(PATH))["paused_until"] == spelled


FIRST = "INSERT INTO schedules (member_id, schedule, seed, since) VALUES ($1, $2, $3, $4) RETURNING member_id"


async def test_what_another_device_puts_just_now_is_what_stands(service: Running) -> None:
    phone, earlier = await service.member(), NOON - HOUR
    member = UUID(phone.member_id)
    ciphertext = await encrypt_schedule(service.app.state.context.keys, member, Schedule(max_per_day=1))
    async with holding(service, FIRST, member, ciphertext, bytes(32), earlier) as held:
        putting = asyncio.create_task(put(phone, max_per_day=1))
        await held.until_waiting()
    await putting
    assert (await stored(service))["since"] == earlier


async def test_a_schedule_that_is_not_understood_any_more_can_be_replaced(service: Running) -> None:
    phone = await service.member()
    await put(phone, **AFTER)
    await service.ask("UPDATE schedules SET schedule = '' WHERE member_id = $1", UUID(phone.member_id))
    assert (await phone.call("GET", PATH)).status_code == 503
    assert await put(phone, **AFTER) == await phone.get(PATH)


async def test_a_relationship_must_be_ones_own_and_may_have_ended(service: Running) -> None:
    one, two = await service.couple()
    stranger = await service.member()
    said = {"check_ins": [item(one), item(one, relationship_id=stranger.rid)]}
    refused = await one.expect(422, "PUT", PATH, said)
    assert refused["errors"][0]["pointer"] == "/check_ins/1/relationship_id"
    await two.expect(204, "POST", "/v1/relationships/{rid}/leave")
    assert (await put(one, check_ins=[item(one)]))["check_ins"][0]["relationship_id"] == one.rid


async def test_a_refused_schedule_leaves_what_stood(service: Running) -> None:
    phone = await service.member()
    kept = await put(phone, check_ins=[item(phone)])
    for wrong in ({"max_per_day": 3}, {"check_ins": [item(phone, to="20:00")]}, {"quiet": {}, "more": 1}):
        await phone.expect(422, "PUT", PATH, wrong)
    assert await phone.get(PATH) == kept


async def test_the_others_schedule_is_not_seen_or_changed(service: Running) -> None:
    one, two = await service.couple()
    mine = await put(one, check_ins=[item(one)])
    assert await two.get(PATH) == OFF
    await put(two, **AFTER)
    assert await one.get(PATH) == mine


# --- What was planned before


async def test_a_new_schedule_plans_anew_what_is_not_sent(service: Running) -> None:
    phone = await service.member()
    await prompted(service, phone, "scheduled", NOON + HOUR)
    await prompted(service, phone, "scheduled", NOON - HOUR)
    kept = {await prompted(service, phone, state) for state in ("sent", "answered", "dismissed", "lapsed")}
    await put(phone, check_ins=[item(phone)])
    assert await left(service) == kept


FORBIDDING: list[Json] = [
    {"after_events": {"enabled": False}},
    {"paused_until": (NOON + 2 * HOUR).isoformat()},
    {"quiet": {"from": "12:30", "to": "13:30"}},
    {"max_per_day": 1},
    {"max_per_week": 1},
]


@pytest.mark.parametrize("said", FORBIDDING, ids=["off", "paused", "quiet", "a day", "a week"])
async def test_what_follows_an_event_stays_unless_it_is_forbidden_now(service: Running, said: Json) -> None:
    phone = await service.member()
    await put(phone, **AFTER)
    sent = await prompted(service, phone, "sent", NOON - HOUR)
    waiting = await prompted(service, phone, "scheduled", NOON + HOUR, about=uuid4())
    await put(phone, **AFTER, max_per_day=2, max_per_week=9)
    assert await left(service) == {sent, waiting}
    await put(phone, **(AFTER | said))
    assert await left(service) == {sent}


async def test_the_earlier_keep_their_place_under_a_lower_cap(service: Running) -> None:
    phone = await service.member()
    await put(phone, **AFTER)
    waiting = [await prompted(service, phone, "scheduled", NOON + n * HOUR, about=uuid4()) for n in (2, 1)]
    await put(phone, **AFTER, max_per_day=1)
    assert await left(service) == {waiting[1]}


async def test_nobody_is_reminded_in_hours_that_are_quiet_now(service: Running) -> None:
    phone = await service.member()
    await prompted(service, phone)
    await prompted(service, phone, "scheduled", NOON + timedelta(minutes=50), about=uuid4())
    await put(phone, after_events={"enabled": True}, quiet={"from": "13:30", "to": "14:30"})
    times = {(row["send_before"], row["remind_at"]) for row in await rows(service, "prompts")}
    assert times == {(NOON + HOUR, None), (NOON + timedelta(minutes=90), NOON + timedelta(minutes=170))}


# --- Another zone


async def moved(phone: Phone, zone: str) -> None:
    await phone.expect(200, "PATCH", "/v1/me", {"time_zone": zone})


async def test_another_zone_plans_anew(service: Running) -> None:
    phone = await service.member()
    await put(phone, check_ins=[item(phone)], **AFTER)
    sent = await prompted(service, phone)
    await prompted(service, phone, "scheduled", NOON + HOUR)
    after = await prompted(service, phone, "scheduled", NOON + HOUR, about=uuid4())
    service.clock.advance(minutes=1)
    await moved(phone, "Pacific/Auckland")
    row = await stored(service)
    assert (row["since"], row["plan_at"]) == (NOON + timedelta(minutes=1),) * 2
    assert await left(service) == {sent, after}


async def test_what_would_come_at_night_there_does_not(service: Running) -> None:
    phone = await service.member()
    await put(phone, after_events={"enabled": True})
    await prompted(service, phone, "scheduled", NOON + HOUR, about=uuid4())
    await moved(phone, "Pacific/Auckland")
    assert await left(service) == set()


async def test_the_same_zone_or_another_name_changes_nothing(service: Running) -> None:
    phone = await service.member()
    await put(phone, check_ins=[item(phone)])
    planned = await prompted(service, phone, "scheduled", NOON + HOUR)
    before = await stored(service)
    service.clock.advance(minutes=1)
    await moved(phone, (await phone.get("/v1/me"))["time_zone"])
    await phone.expect(200, "PATCH", "/v1/me", {"name": "A name"})
    assert (await stored(service), await left(service)) == (before, {planned})


async def test_who_asks_for_nothing_travels_without_being_planned_for(service: Running) -> None:
    phone = await service.member()
    await moved(phone, "Pacific/Auckland")
    assert await rows(service, "schedules") == []
    await put(phone, max_per_day=1)
    await moved(phone, "Europe/Berlin")
    assert (await stored(service))["plan_at"] is None


# --- Erased with the member


async def test_an_erased_member_leaves_nothing_of_it_and_the_other_keeps_theirs(service: Running) -> None:
    one, two = await service.couple()
    elsewhere = await two_of_their_own(service, two)
    for phone in (one, elsewhere):
        await put(phone, check_ins=[item(phone)])
        await device(phone)
        await pushing(service, phone, await prompted(service, phone))
    await one.step_up()
    await one.expect(204, "DELETE", "/v1/me")
    for table in ("devices", "schedules", "prompts", "outbox"):
        assert {row["member_id"] for row in await rows(service, table)} == {UUID(two.member_id)}, table


async def two_of_their_own(service: Running, phone: Phone) -> Phone:
    """The same member in another relationship, which goes on."""
    return await (await service.phone().sign_in(phone.email)).begin()
