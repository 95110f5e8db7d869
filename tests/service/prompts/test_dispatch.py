"""What is due: sent once, reminded of once, withdrawn everywhere, and questions about oneself at rest (R15)."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from service.cli.rebuild_tallies import rebuild_all
from service.prompts import dispatch
from service.push.notices import RetryAfter
from tests.support.asking import prompted as laid_down
from tests.support.holding import holding
from tests.support.phones import KEYS, NOON, Phone, Running
from tests.support.prompting import (
    Remembering,
    after_events,
    context_of,
    evenings,
    happened,
    outbox,
    prompts_of,
    questions_of,
    refreshed,
    register,
    want,
    work,
    work_until,
)

HERE = "/v1/relationships/{rid}"


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


@pytest.fixture
async def one(service: Running) -> Phone:
    """One of a couple, with two devices, who is asked as soon as something is shared."""
    phone, _ = await service.couple()
    for token in ("aa", "bb"):
        await register(service, phone, token)
    await want(service, phone, after_events(0))
    return phone


@pytest.fixture
def sender(service: Running) -> Remembering:
    return Remembering(service.clock)


async def prompted(service: Running, phone: Phone, sender: Remembering) -> str:
    """A prompt that was sent just now; its id."""
    await happened(service, phone)
    await work(service, sender)
    return str((await prompts_of(service, phone))[-1]["prompt_id"])


async def answer(phone: Phone, service: Running, prompt_id: str, **said: Any) -> None:
    told = {"occurred_at": service.clock().isoformat(), "felt": {"close": 5}, "prompt_id": prompt_id}
    await phone.put("check-ins", told | said)


async def test_every_device_is_sent_a_prompt_once(service: Running, one: Phone, sender: Remembering) -> None:
    await prompted(service, one, sender)
    for _ in range(3):
        await work(service, sender)
    assert sorted(push.to for push in sender.sent) == ["aa", "bb"]
    assert await outbox(service) == []


async def test_several_workers_send_it_once(service: Running, one: Phone, sender: Remembering) -> None:
    for _ in range(5):
        await happened(service, one)
        await asyncio.gather(*(work(service, sender) for _ in range(4)))
    assert len(sender.sent) == 2 * 2  # two a day, to two devices


async def test_it_is_reminded_of_once_two_hours_later(service: Running, one: Phone, sender: Remembering) -> None:
    await prompted(service, one, sender)
    await work_until(service, sender, service.clock() + timedelta(days=2), timedelta(minutes=30))
    assert sender.kinds() == ["prompt"] * 2 + ["reminder"] * 2
    assert sender.sent[2].at - sender.sent[0].at == timedelta(hours=2)
    assert [row["state"] for row in await prompts_of(service, one)] == ["lapsed"]


async def test_there_is_no_reminder_in_quiet_hours(service: Running, sender: Remembering) -> None:
    one = await service.member()
    await register(service, one)
    await want(service, one, evenings(one, "20:00", "21:00"))
    await work_until(service, sender, service.clock() + timedelta(hours=20), timedelta(minutes=30))
    assert sender.kinds() == ["prompt"]


@pytest.mark.parametrize("how", ["answered", "dismissed"])
async def test_what_is_done_on_one_device_is_withdrawn_from_all_and_not_reminded_of(
    service: Running, one: Phone, sender: Remembering, how: str
) -> None:
    prompt_id = await prompted(service, one, sender)
    if how == "answered":
        await answer(one, service, prompt_id)
    else:
        await one.expect(204, "POST", f"/v1/me/prompts/{prompt_id}/dismiss")
    await work_until(service, sender, service.clock() + timedelta(hours=3), timedelta(minutes=30))
    assert sender.kinds() == ["prompt"] * 2 + ["withdraw"] * 2
    assert [row["state"] for row in await prompts_of(service, one)] == [how]


async def test_a_prompt_that_waits_for_another_try_is_not_sent_once_it_is_answered(
    service: Running, one: Phone, sender: Remembering
) -> None:
    sender.outcomes.extend([RetryAfter(60)] * 2)
    await answer(one, service, await prompted(service, one, sender))
    service.clock.advance(minutes=10)
    await work(service, sender)
    assert sender.kinds() == ["prompt"] * 2 + ["withdraw"] * 2


async def test_a_withdrawal_waits_for_what_is_on_its_way(service: Running, one: Phone, sender: Remembering) -> None:
    await happened(service, one)
    halfway, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Remembering):
        async def send(self, notice: Any) -> Any:
            halfway.set()
            await go_on.wait()
            return await super().send(notice)

    slow = Slow(service.clock)
    sending = asyncio.create_task(work(service, slow))
    await halfway.wait()
    await answer(one, service, str((await prompts_of(service, one))[0]["prompt_id"]))
    await work(service, sender)
    assert sender.sent == []
    go_on.set()
    await sending
    await work(service, sender)
    assert slow.kinds() + sender.kinds() == ["prompt"] * 2 + ["withdraw"] * 2


async def test_a_late_answer_is_late(service: Running, one: Phone, sender: Remembering) -> None:
    prompt_id = await prompted(service, one, sender)
    service.clock.advance(hours=13)
    await work(service, sender)
    await answer(await refreshed(one), service, prompt_id)
    assert [(row["state"], row["late"]) for row in await prompts_of(service, one)] == [("answered", True)]


async def test_leaving_sends_nothing_and_leaves_nothing_queued(
    service: Running, one: Phone, sender: Remembering
) -> None:
    await prompted(service, one, sender)
    await happened(service, one)
    sender.sent.clear()
    await one.expect(204, "POST", f"{HERE}/leave")
    await work_until(service, sender, service.clock() + timedelta(hours=4), timedelta(minutes=30))
    assert sender.sent == []
    assert await prompts_of(service, one) == []


async def test_who_has_no_device_has_a_prompt_all_the_same(service: Running, sender: Remembering) -> None:
    one, _ = await service.couple()
    await want(service, one, after_events(0))
    await prompted(service, one, sender)
    assert [prompt["state"] for prompt in (await one.get("/v1/me/prompts"))["prompts"]] == ["open"]
    assert sender.sent == []


async def test_rebuilding_sends_nothing(service: Running, sender: Remembering) -> None:
    one, two = await service.couple()
    for phone in (one, two):
        await register(service, phone)
        await want(service, phone, after_events(0))
    await one.put("requests", {"occurred_at": service.clock().isoformat(), "domain": "home"})
    await work(service, sender)
    assert sender.kinds() == ["prompt"] * 2
    service.clock.advance(hours=1)
    assert await asyncio.to_thread(rebuild_all, service.database_url, KEYS) == 0
    assert await service.ask("SELECT * FROM occasions") == []
    await work(service, sender)
    assert sender.kinds() == ["prompt"] * 2


# R9 and R13 through the door


@pytest.mark.parametrize("private", [True, False])
async def test_only_what_is_shared_is_followed_by_prompts(
    service: Running, one: Phone, sender: Remembering, private: bool
) -> None:
    audience = "private" if private else "shared"
    told = {"occurred_at": service.clock().isoformat(), "domain": "home", "decided_by": "me", "audience": audience}
    await one.put("decisions", told)
    await work(service, sender)
    assert sender.kinds() == ([] if private else ["prompt"] * 2)


async def test_a_pause_takes_back_what_was_planned_and_asks_again_afterwards(
    service: Running, sender: Remembering
) -> None:
    one = await reflective(service, "close")
    await work(service, sender)
    assert ["close"] in await questions_of(service, one)  # this evening is planned
    today = str(service.clock().date())
    await one.expect(200, "PUT", f"/v1/me/pauses/{UUID(int=1)}", {"from": today, "to": today})
    await evening(service, sender)
    assert sender.kinds() == []
    service.clock.advance(hours=14)
    await work(service, sender)
    await evening(service, sender)
    assert sender.kinds() == ["prompt"]


async def test_after_an_opening_views_are_asked_for(service: Running, one: Phone, sender: Remembering) -> None:
    await one.put("openings", {"occurred_at": service.clock().isoformat(), "domain": "money"})
    await work(service, sender)
    assert await questions_of(service, one) == [["my_view", "their_sense"]]


# R15


async def reflective(service: Running, *questions: str) -> Phone:
    """A member who is asked every evening, and wants to be asked about themselves."""
    one = await service.member()
    await register(service, one)
    await want(service, one, evenings(one, "20:00", "20:30", questions))
    return one


async def evening(service: Running, sender: Remembering) -> None:
    service.clock.time = service.clock.time.replace(hour=20, minute=45)
    await work(service, sender)


PRESSURE: list[dict[str, Any]] = [
    {"felt": {"free_to_say_no": 2}},
    {"felt": {"free_to_say_no": 1}, "note": "x"},
    {"felt": {"conflict": 6}, "audience": "private"},
    {"felt": {"heard": 2}, "audience": "private"},
]


@pytest.mark.parametrize("told", PRESSURE)
async def test_after_a_sign_of_pressure_questions_about_oneself_rest(
    service: Running, sender: Remembering, told: dict[str, Any]
) -> None:
    one = await reflective(service, "my_part", "my_week")
    await one.put("check-ins", {"occurred_at": service.clock().isoformat(), **told})
    await work(service, sender)
    await evening(service, sender)
    assert sender.sent == []
    assert (await (await refreshed(one)).get("/v1/me/prompts"))["prompts"] == []


async def test_all_other_questions_go_on(service: Running, sender: Remembering) -> None:
    one = await reflective(service, "close", "my_part")
    await one.put("check-ins", {"occurred_at": service.clock().isoformat(), **PRESSURE[0]})
    await work(service, sender)
    await evening(service, sender)
    assert sender.kinds() == ["prompt"]
    assert (await questions_of(service, one))[0] == ["close"]


async def test_they_rest_wherever_the_sign_was_given_and_for_90_days(service: Running, sender: Remembering) -> None:
    one = await reflective(service, "my_part")
    elsewhere = (await one.expect(201, "POST", "/v1/relationships", {}))["id"]
    told = {"occurred_at": service.clock().isoformat(), **PRESSURE[0]}
    await one.expect(201, "PUT", f"/v1/relationships/{elsewhere}/check-ins/{uuid4()}", told)
    for days, sent in ((0, 0), (89, 0), (2, 1)):
        service.clock.advance(days=days)
        service.clock.time = service.clock.time.replace(hour=12)
        await work(service, sender)
        await evening(service, sender)
        assert len(sender.sent) == sent


async def test_what_cannot_be_looked_into_holds_up_nobody(service: Running, sender: Remembering) -> None:
    broken, fine = await reflective(service, "my_part"), await reflective(service, "my_part")
    await broken.put("check-ins", {"occurred_at": service.clock().isoformat(), "note": "x"})
    await service.ask("UPDATE events SET ciphertext = decode(repeat('00', 64), 'hex')")
    await work(service, sender)
    await evening(service, sender)
    assert len(sender.sent) == 1
    assert (await prompts_of(service, fine))[0]["state"] == "sent"


async def test_questions_that_do_not_decrypt_hold_up_nobody(service: Running, sender: Remembering) -> None:
    broken, fine = await reflective(service, "close"), await reflective(service, "close")
    await work(service, sender)
    await service.ask("UPDATE prompts SET questions = '' WHERE member_id = $1", UUID(broken.member_id))
    await evening(service, sender)
    assert [(await prompts_of(service, one))[0]["state"] for one in (broken, fine)] == ["scheduled", "sent"]


async def test_a_check_in_without_questions_is_asked_for_too(service: Running, sender: Remembering) -> None:
    one = await reflective(service)
    await one.put("check-ins", {"occurred_at": service.clock().isoformat(), **PRESSURE[0]})
    await work(service, sender)
    await evening(service, sender)
    assert sender.kinds() == ["prompt"]


async def test_a_private_concern_of_the_other_rests_nobody_else(service: Running, sender: Remembering) -> None:
    one, two = await service.couple()
    await register(service, one)
    await want(service, one, evenings(one, "20:00", "20:30", ["my_part"]))
    for told in PRESSURE:
        await two.put("check-ins", {"occurred_at": service.clock().isoformat(), **told})
    shared = {"felt": {"free_to_say_no": 1}, "audience": "shared"}
    await two.put("check-ins", {"occurred_at": service.clock().isoformat(), **shared})
    await work(service, sender)
    await evening(service, sender)
    assert sender.kinds() == ["prompt"]


# What the statements rest on


async def test_sending_and_reminding_use_their_indexes(service: Running) -> None:
    context, now = context_of(service), service.clock()
    async with context.scheduler_db.acquire() as db:
        await db.execute("SET enable_seqscan = off")
        plan = str([row[0] for row in await db.fetch(f"EXPLAIN {dispatch.SEND}", now, 10)])
    assert "prompts_due" in plan
    assert "prompts_to_remind" in plan


FREE = "SELECT prompt_id FROM prompts FOR UPDATE SKIP LOCKED"


@pytest.mark.parametrize(
    ("step", "state", "hours_ago"),
    [
        (dispatch.SEND, "scheduled", 0),
        (dispatch.SEND, "sent", 2),
        (dispatch.FORGET_UNSENT, "scheduled", 1),
        (dispatch.LAPSE, "sent", 12),
    ],
)
async def test_each_step_holds_its_prompts_in_the_order_of_their_ids(
    service: Running, step: str, state: str, hours_ago: int
) -> None:
    one, due_at = await service.member(), NOON - timedelta(hours=hours_ago)
    ids = sorted([UUID(await laid_down(service, one, state, due_at)) for _ in range(7)])
    values = (NOON, 10) if "$2" in step else (NOON,)
    async with holding(service, "SELECT FROM prompts WHERE prompt_id = $1 FOR UPDATE", ids[3]) as held:
        going = asyncio.create_task(context_of(service).scheduler_db.execute(step, *values))
        await held.until_waiting()
        assert sorted(row["prompt_id"] for row in await service.ask(FREE)) == ids[4:]
    await going
