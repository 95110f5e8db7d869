"""Planning in use: what is planned ahead, once, by any number of workers, for each member by their own settings."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from service.core.randomness import system_random_bytes
from service.database.pool import create_pool
from service.database.roles import KEYS_ROLE
from service.keys.keyring import MEMBERS, Keyring
from service.prompts import planner
from service.prompts.planning import is_quiet
from service.prompts.schedule import AfterEvents, Quiet, Schedule
from tests.support.holding import holding
from tests.support.phones import KEYS, Phone, Running
from tests.support.planned import NO_QUIET
from tests.support.prompting import (
    Remembering,
    after_events,
    context_of,
    evenings,
    happened,
    outbox,
    prompts_of,
    register,
    want,
    work,
    work_until,
)

HERE = "/v1/relationships/{rid}"
NIGHT = Quiet("22:00", "08:00")


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


@pytest.fixture
async def one(service: Running) -> Phone:
    """A member with a device, alone."""
    phone = await service.member()
    await register(service, phone)
    return phone


@pytest.fixture
def sender(service: Running) -> Remembering:
    return Remembering(service.clock)


@asynccontextmanager
async def fresh_keys(service: Running) -> AsyncIterator[Keyring]:
    """A keyring that has fetched nothing yet."""
    async with create_pool(service.database_url, KEYS_ROLE, 1) as db:
        yield Keyring(db, KEYS, service.clock, system_random_bytes)


# Windows


async def test_each_evening_has_one_prompt_in_its_window(service: Running, one: Phone, sender: Remembering) -> None:
    await want(service, one, evenings(one, "20:00", "21:00"))
    await work_until(service, sender, service.clock() + timedelta(days=4), timedelta(minutes=30))
    evening = [row["due_at"] for row in await prompts_of(service, one)]
    assert [at.date() for at in evening][:4] == [date(2026, 6, 15 + n) for n in range(4)]
    assert {at.hour for at in evening} == {20}
    assert Counter(sender.kinds())["prompt"] == 4


async def test_planning_again_changes_nothing(service: Running, one: Phone, sender: Remembering) -> None:
    await want(service, one, evenings(one))
    await work(service, sender)
    before = await prompts_of(service, one)
    await service.ask("UPDATE schedules SET plan_at = $1", service.clock())
    await work(service, sender)
    assert before == await prompts_of(service, one)


async def test_a_window_that_has_begun_is_asked_in_what_is_left(service: Running, sender: Remembering) -> None:
    one = await service.member()
    await want(service, one, evenings(one, "00:00", "23:59"))
    await service.ask("UPDATE schedules SET since = $1", service.clock())
    await work(service, sender)
    (first, *_) = await prompts_of(service, one)
    assert first["due_at"] >= service.clock()


async def test_each_local_day_is_planned_before_it_begins(service: Running, one: Phone, sender: Remembering) -> None:
    await one.expect(200, "PATCH", "/v1/me", {"time_zone": "Pacific/Kiritimati"})
    await want(service, one, evenings(one))
    zone = ZoneInfo("Pacific/Kiritimati")
    for _ in range(30):
        await work(service, sender)
        planned = {row["day"] for row in await prompts_of(service, one)}
        assert (service.clock() + timedelta(hours=6)).astimezone(zone).date() in planned
        service.clock.advance(hours=3)


async def test_members_are_not_planned_for_all_at_the_same_moment(service: Running, sender: Remembering) -> None:
    for _ in range(3):
        phone = await service.member()
        await want(service, phone, evenings(phone))
    await work(service, sender)
    assert len(await service.ask("SELECT DISTINCT plan_at FROM schedules WHERE plan_at > $1", service.clock())) == 3


async def test_two_who_plan_the_same_at_once_plan_it_once(service: Running, one: Phone) -> None:
    await want(service, one, replace(evenings(one), max_per_day=1))
    await happened(service, one)
    context = context_of(service)
    found = await asyncio.gather(*(planner.plan_windows(context) for _ in range(2)))
    assert sum(found) >= 1
    days = Counter(row["day"] for row in await prompts_of(service, one))
    assert set(days.values()) == {1}


async def test_planning_fetches_the_keys_of_many_members_at_once(service: Running) -> None:
    phones = [await service.member() for _ in range(3)]
    for phone in phones:
        await want(service, phone, evenings(phone))
    fetched: list[str] = []
    async with create_pool(service.database_url, KEYS_ROLE, 1) as pool, pool.acquire() as db:
        db.add_query_logger(lambda asked: fetched.append(asked.query))
        keys = Keyring(db, KEYS, service.clock, system_random_bytes)
        assert await planner.plan_windows(replace(context_of(service), keys=keys)) == 3
        assert [asked for asked in fetched if "keys.wrapped" in asked] == [MEMBERS]
    assert all([await prompts_of(service, phone) for phone in phones])


async def test_what_was_read_before_a_change_is_not_kept(service: Running, one: Phone) -> None:
    await want(service, one, evenings(one))
    changed = "UPDATE schedules SET since = $1 RETURNING member_id"
    async with holding(service, changed, service.clock()) as held:
        planning = asyncio.create_task(planner.plan_windows(context_of(service)))
        await held.until_waiting()
    assert await planning == 0
    assert await prompts_of(service, one) == []


NOT_UNDERSTOOD = {
    "of another key": "UPDATE schedules SET schedule = decode(repeat('00', 412), 'hex') WHERE member_id = $1",
    "not a schedule": "UPDATE schedules SET schedule = $2 WHERE member_id = $1",
    "without a key": "DELETE FROM keys.wrapped WHERE owner_id = $1",
    "a key that does not open": "UPDATE keys.wrapped SET wrapped = decode(repeat('00', 60), 'hex') WHERE owner_id = $1",
}


@pytest.mark.parametrize("broken", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
async def test_a_schedule_that_is_not_understood_holds_up_nobody(service: Running, one: Phone, broken: str) -> None:
    other, context = await service.member(), context_of(service)
    for phone in (one, other):
        await want(service, phone, evenings(phone))
    member = UUID(other.member_id)
    await service.ask(broken, member, *([await context.keys.encrypt_for(member, "schedule", "{")] * ("$2" in broken)))
    async with fresh_keys(service) as keys:  # those of the service are still in its memory
        assert await planner.plan_windows(replace(context, keys=keys)) == 1
    assert await prompts_of(service, one)
    assert await prompts_of(service, other) == []


async def test_nothing_is_asked_about_what_has_ended(service: Running, one: Phone, sender: Remembering) -> None:
    await want(service, one, evenings(one))
    await one.expect(204, "POST", f"{HERE}/leave")
    await work(service, sender)
    assert await prompts_of(service, one) == []


async def test_what_was_planned_before_the_end_is_not_sent(service: Running, one: Phone, sender: Remembering) -> None:
    await want(service, one, evenings(one))
    await work(service, sender)
    await service.ask("UPDATE relationships SET state = 'ended'")
    await work_until(service, sender, service.clock() + timedelta(days=1), timedelta(minutes=20))
    assert sender.sent == []


async def test_who_has_withdrawn_their_consent_is_not_asked(service: Running, one: Phone, sender: Remembering) -> None:
    await want(service, one, evenings(one))
    await one.expect(204, "DELETE", "/v1/me/consent")
    await work_until(service, sender, service.clock() + timedelta(days=1), timedelta(minutes=20))
    assert sender.sent == []


# A worker that was away


@pytest.mark.parametrize(("hours", "sent"), [(0.9, ["prompt"]), (1.1, []), (2.5, []), (30, [])])
async def test_what_is_over_is_not_sent(
    service: Running, one: Phone, sender: Remembering, hours: float, sent: list[str]
) -> None:
    await want(service, one, replace(evenings(one, "20:00", "20:01"), quiet=NO_QUIET))
    await work(service, sender)
    service.clock.time = datetime(2026, 6, 15, 20, tzinfo=UTC) + timedelta(hours=hours)
    await work(service, sender)
    assert sender.kinds() == sent


async def test_what_was_missed_does_not_come_up_in_quiet_hours(
    service: Running, one: Phone, sender: Remembering
) -> None:
    await want(service, one, evenings(one, "21:40", "21:50"))
    await work(service, sender)
    service.clock.time = datetime(2026, 6, 15, 22, 0, 1, tzinfo=UTC)
    await work(service, sender)
    assert sender.sent == []
    assert await outbox(service) == []
    assert [row["day"].day for row in await prompts_of(service, one)] == [16]


async def test_a_worker_that_slept_for_days_goes_on_with_today(
    service: Running, one: Phone, sender: Remembering
) -> None:
    await want(service, one, evenings(one))
    await work(service, sender)
    service.clock.advance(days=5)
    await work(service, sender)
    days = [row["day"] for row in await prompts_of(service, one)]
    assert days == [date(2026, 6, 20), date(2026, 6, 21)]
    assert sender.sent == []


# After shared events: R9


async def couple(service: Running, *schedules: Schedule) -> tuple[Phone, Phone]:
    """Two members, each with a device named after them, who want that."""
    two = await service.couple()
    for phone, schedule in zip(two, schedules, strict=False):
        await register(service, phone, phone.member_id.replace("-", ""))
        await want(service, phone, schedule)
    return two


async def moments(service: Running, *phones: Phone) -> list[timedelta]:
    """How long after the event each is asked."""
    return [(await prompts_of(service, phone))[0]["due_at"] - service.clock() for phone in phones]


@pytest.mark.parametrize("delay", [240, 60, 30])
async def test_both_are_asked_in_halves_of_their_own_30_minutes_apart(
    service: Running, sender: Remembering, delay: int
) -> None:
    one, two = await couple(service, after_events(delay), after_events(delay))
    await happened(service, one)
    await work(service, sender)
    early, late = sorted(await moments(service, one, two))
    assert late - early >= timedelta(minutes=30)
    assert timedelta(0) <= early <= timedelta(minutes=delay / 2) <= late <= timedelta(minutes=delay)


async def test_one_is_asked_at_the_same_moment_whatever_the_other_has_set(
    service: Running, sender: Remembering
) -> None:
    mine = []
    one, two = await couple(service, after_events(240), after_events(240))
    event_id = uuid4()
    for theirs in (after_events(240), after_events(10), after_events(1440, max_per_day=0), Schedule()):
        await want(service, two, theirs)
        await happened(service, one, event_id)
        await work(service, sender)
        mine += await moments(service, one)
        await service.ask("DELETE FROM prompts")
    assert len(set(mine)) == 1


async def test_who_has_not_enabled_it_is_not_asked_and_the_occasion_goes(service: Running, sender: Remembering) -> None:
    one, two = await couple(service, after_events())
    await happened(service, one)
    await work(service, sender)
    assert len(await prompts_of(service, one)) == 1
    assert await prompts_of(service, two) == []
    assert await service.ask("SELECT * FROM occasions") == []


async def test_an_occasion_that_is_looked_at_twice_is_asked_about_once(service: Running, sender: Remembering) -> None:
    one, _ = await couple(service, after_events(0))
    event_id = await happened(service, one)
    await work(service, sender)
    service.clock.advance(hours=14)  # another date
    await happened(service, one, event_id)
    await work(service, sender)
    assert len(await prompts_of(service, one)) == 1


async def test_an_occasion_that_is_found_too_late_is_not_asked_about(service: Running, sender: Remembering) -> None:
    one, two = await couple(service, after_events(120), after_events(120))
    await happened(service, one)
    service.clock.advance(hours=3, minutes=1)
    await work(service, sender)
    assert await prompts_of(service, one) == await prompts_of(service, two) == await outbox(service) == []


async def test_many_events_at_once_keep_the_cap_of_a_day(service: Running, sender: Remembering) -> None:
    one, two = await couple(service, after_events(), after_events(max_per_day=1))
    for _ in range(12):
        await happened(service, one)
    await work(service, sender)
    assert [len(await prompts_of(service, phone)) for phone in (one, two)] == [2, 1]


async def test_windows_and_events_share_the_caps(service: Running, sender: Remembering) -> None:
    one, _ = await service.couple()
    both = replace(evenings(one), after_events=AfterEvents(True, 60), quiet=NO_QUIET, max_per_day=1)
    await want(service, one, both)
    await work(service, sender)
    await happened(service, one)
    await work(service, sender)
    days = Counter(row["asked_on"] for row in await prompts_of(service, one))
    assert set(days.values()) == {1}


async def test_planning_windows_and_events_at_once_keeps_the_cap(service: Running) -> None:
    one, _ = await service.couple()
    context = context_of(service)
    for _ in range(10):
        both = replace(evenings(one, "12:00", "23:00"), after_events=AfterEvents(True, 60), max_per_day=1)
        await want(service, one, both)
        await happened(service, one)
        await asyncio.gather(planner.plan_windows(context), planner.plan_after_events(context))
        today = [row for row in await prompts_of(service, one) if row["asked_on"] == date(2026, 6, 15)]
        assert len(today) == 1
        await service.ask("DELETE FROM prompts")


# R13: over changes of clocks, with real rows


CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 27, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 23, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 3, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 4, 22, tzinfo=UTC)),
]


@pytest.mark.parametrize(("zone", "begin"), CHANGES)
async def test_caps_and_quiet_hours_are_kept_over_every_change_of_clocks(
    service: Running, sender: Remembering, zone: str, begin: datetime
) -> None:
    service.clock.time = begin
    one, _ = await service.couple()
    await register(service, one)
    await one.expect(200, "PATCH", "/v1/me", {"time_zone": zone})
    windows = [("20:00", "23:30"), ("01:30", "03:30"), ("06:00", "09:00"), ("12:00", "13:00")]
    items = [item for from_, to in windows for item in evenings(one, from_, to).check_ins]
    quiet = Quiet("23:00", "02:30")
    await want(service, one, Schedule(check_ins=items, after_events=AfterEvents(True), quiet=quiet))
    for n in range(4 * 24):
        if n % 4 == 0:
            await happened(service, one)
        await work(service, sender)
        service.clock.advance(hours=1)
    assert len(sender.sent) > 6
    assert [one.at for one in sender.sent if is_quiet(one.at, quiet, ZoneInfo(zone))] == []
    prompted = [one.at.astimezone(ZoneInfo(zone)).date() for one in sender.sent if one.kind == "prompt"]
    assert max(Counter(prompted).values()) == 2
