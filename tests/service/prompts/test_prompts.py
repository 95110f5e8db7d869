"""Prompts over HTTP: listed, answered by check-ins, dismissed, taken back, and nobody's but one's own."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.support.asking import HOUR, device, listed, prompted, pushing, rows
from tests.support.phones import NOON, Json, Phone, Running

HERE = "/v1/relationships/{rid}"
OCCURRED = NOON.isoformat()
WAITING = NOON + HOUR


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


def check_in(prompt_id: str, occurred_at: Any = NOON, **more: Any) -> Json:
    return {"occurred_at": occurred_at.isoformat(), "note": "A walk", "prompt_id": prompt_id, **more}


async def state_of(service: Running, prompt_id: str) -> tuple[str, bool]:
    (row,) = [row for row in await rows(service, "prompts") if str(row["prompt_id"]) == prompt_id]
    return row["state"], row["late"]


async def again(phone: Phone) -> None:
    """Sign in anew: tokens do not last for days."""
    await phone.sign_in(phone.email)


async def states(phone: Phone, **query: str) -> list[str]:
    return [one["state"] for one in await listed(phone, **query)]


# --- Listing


async def test_a_prompt_is_shown_as_it_stands(service: Running) -> None:
    one, _ = await service.couple()
    about = str(uuid4())
    prompt_id = await prompted(service, one, about=about, questions=("how_was_it", "close"))
    assert await listed(one) == [
        {
            "id": prompt_id,
            "relationship_id": one.rid,
            "reason": "after_event",
            "about": about,
            "questions": ["how_was_it", "close"],
            "due_at": "2026-06-15T12:00:00Z",
            "expires_at": "2026-06-16T00:00:00Z",
            "state": "open",
        }
    ]


async def test_what_is_planned_is_not_shown_and_the_newest_comes_first(service: Running) -> None:
    one = await service.member()
    await prompted(service, one, "scheduled", WAITING)
    older, newer = await prompted(service, one, due_at=NOON - HOUR), await prompted(service, one)
    assert [prompt["id"] for prompt in await listed(one)] == [newer, older]
    assert (await listed(one))[0]["about"] is None


async def test_it_has_lapsed_when_its_time_is_over_whatever_runs_or_not(service: Running) -> None:
    one = await service.member()
    await prompted(service, one)
    service.clock.advance(hours=12, microseconds=-1)
    await again(one)
    assert await states(one) == ["open"]
    service.clock.advance(microseconds=1)
    assert await states(one) == ["lapsed"]


async def test_it_can_be_asked_for_by_state(service: Running) -> None:
    one = await service.member()
    for state in ("sent", "answered", "dismissed", "lapsed", "scheduled"):
        await prompted(service, one, state)
    await prompted(service, one, due_at=NOON - timedelta(days=1))
    found = {state: await states(one, state=state) for state in ("open", "answered", "dismissed", "lapsed")}
    assert found == {"open": ["open"], "answered": ["answered"], "dismissed": ["dismissed"], "lapsed": ["lapsed"] * 2}


async def test_two_hundred_are_listed(service: Running) -> None:
    one = await service.member()
    for number in range(202):
        await prompted(service, one, due_at=NOON - number * HOUR)
    found = await listed(one)
    assert (len(found), found[0]["due_at"]) == (200, "2026-06-15T12:00:00Z")


# --- Questions about oneself rest (R15)


async def asked(service: Running, *said: Json) -> list[list[str]]:
    """The questions that are shown to who has said that."""
    one, _ = await service.couple()
    for body in said:
        await one.put("check-ins", {"occurred_at": OCCURRED} | body)
    for questions in (("close", "my_part"), ("my_part",), ()):
        await prompted(service, one, questions=questions)
    return sorted(prompt["questions"] for prompt in await listed(one))


@pytest.mark.parametrize("audience", ["shared", "private"])
async def test_questions_about_oneself_rest_after_a_concern(service: Running, audience: str) -> None:
    assert await asked(service, {"felt": {"free_to_say_no": 2}, "audience": audience}) == [[], ["close"]]


async def test_they_do_not_rest_without_one(service: Running) -> None:
    assert await asked(service, {"felt": {"free_to_say_no": 3}}) == [[], ["close", "my_part"], ["my_part"]]


async def test_they_rest_for_ninety_days_however_much_was_recorded_since(service: Running) -> None:
    one, _ = await service.couple()
    await one.put("check-ins", {"occurred_at": OCCURRED, "felt": {"free_to_say_no": 1}})
    await prompted(service, one, "answered", questions=("my_part",))
    entries = [queued(number) for number in range(450)]
    await one.expect(200, "POST", f"{HERE}/sync", {"entries": entries})
    service.clock.advance(days=90, seconds=-1)
    await again(one)
    assert await listed(one) == []
    service.clock.advance(seconds=1)
    assert len(await listed(one)) == 1


def queued(number: int) -> Json:
    return {"id": str(uuid4()), "kind": "check_in", "check_in": {"occurred_at": OCCURRED, "note": f"{number}"}}


async def test_what_the_other_feels_lets_nothing_of_mine_rest(service: Running) -> None:
    one, two = await service.couple()
    await prompted(service, two, questions=("my_part",))
    await one.put("check-ins", {"occurred_at": OCCURRED, "felt": {"free_to_say_no": 1}, "audience": "shared"})
    await one.put("check-ins", {"occurred_at": OCCURRED, "felt": {"free_to_say_no": 1}})
    assert len(await listed(two)) == 1


# --- Answering


@pytest.mark.parametrize("audience", ["shared", "private"])
async def test_a_check_in_answers_its_prompt(service: Running, audience: str) -> None:
    one, _ = await service.couple()
    prompt_id = await prompted(service, one)
    await one.put("check-ins", check_in(prompt_id, audience=audience))
    assert await states(one) == ["answered"]
    assert await state_of(service, prompt_id) == ("answered", False)


@pytest.mark.parametrize("audience", ["shared", "private"])
async def test_which_prompt_was_answered_is_read_by_nobody(service: Running, audience: str) -> None:
    one, two = await service.couple()
    prompt_id, event_id = await prompted(service, one), uuid4()
    recorded = await one.put("check-ins", check_in(prompt_id, audience=audience), event_id)
    without = {name: value for name, value in check_in(prompt_id, audience=audience).items() if name != "prompt_id"}
    for again in (without, check_in(str(uuid4()), audience=audience)):
        assert await one.put("check-ins", again, event_id, status=200) == recorded
    assert "prompt_id" not in recorded["event"]["check_in"]
    for phone in (one, two):
        for stream in ("shared", "private"):
            assert prompt_id not in str(await phone.events(stream, proof="true"))


OF_THE_OTHER = ["", "/events", "/balances", "/perspectives?measure=decides", "/requests", "/trends?measure=decides"]


@pytest.mark.parametrize("audience", ["shared", "private"])
async def test_no_answer_that_the_other_gets_names_a_prompt(service: Running, audience: str) -> None:
    one, two = await service.couple()
    prompt_id = await prompted(service, one)
    await one.put("check-ins", check_in(prompt_id, felt={"close": 2}, audience=audience))
    await two.step_up()
    answers = [await two.call("GET", f"{HERE}{path}") for path in OF_THE_OTHER]
    answers.append(await two.call("POST", f"{HERE}/sync", {"entries": []}))
    answers += [await two.call("GET", path) for path in ("/v1/me/export", "/v1/me/prompts", "/v1/relationships")]
    for answer in answers:
        assert answer.status_code == 200, answer.url
        assert prompt_id not in answer.text, answer.url
        assert "prompt_id" not in answer.text, answer.url


async def test_an_answer_counts_when_it_was_given_and_not_when_it_came(service: Running) -> None:
    one = await service.member()
    in_time, late = await prompted(service, one), await prompted(service, one)
    service.clock.advance(days=3)
    await again(one)
    await one.put("check-ins", check_in(in_time, NOON + 12 * HOUR - timedelta(microseconds=1)))
    await one.put("check-ins", check_in(late, NOON + 12 * HOUR))
    assert [await state_of(service, one) for one in (in_time, late)] == [("answered", False), ("answered", True)]


async def test_what_is_answered_before_it_is_sent_is_not_asked_any_more(service: Running) -> None:
    one = await service.member()
    prompt_id = await prompted(service, one, "scheduled", WAITING)
    await one.put("check-ins", check_in(prompt_id))
    assert await state_of(service, prompt_id) == ("answered", False)
    assert await rows(service, "outbox") == []


async def test_a_queue_answers_several_at_once_and_the_earliest_answer_counts(service: Running) -> None:
    one = await service.member()
    first, second = await prompted(service, one), await prompted(service, one, "dismissed")
    bodies = [check_in(first, NOON - HOUR), check_in(second), check_in(first, NOON - 2 * HOUR)]
    entries = [{"id": str(uuid4()), "kind": "check_in", "check_in": body} for body in bodies]
    await one.expect(200, "POST", f"{HERE}/sync", {"entries": entries})
    answered = {row["answered_at"] for row in await rows(service, "prompts")}
    assert answered == {NOON - 2 * HOUR, NOON}


async def test_a_refused_or_replayed_check_in_answers_nothing(service: Running) -> None:
    one = await service.member()
    prompt_id, event_id = await prompted(service, one), uuid4()
    await one.refused("check-ins", check_in(prompt_id, NOON + HOUR))
    await one.put("check-ins", {"occurred_at": OCCURRED, "note": "A walk"}, event_id)
    await one.put("check-ins", check_in(prompt_id), event_id, status=200)
    await one.refused("check-ins", check_in(prompt_id, note="Another"), event_id)
    assert await states(one) == ["open"]


async def test_a_prompt_of_the_other_is_as_good_as_none(service: Running) -> None:
    one, two = await service.couple()
    theirs, mine = await prompted(service, two), await prompted(service, one)
    answers = [await one.put("check-ins", check_in(name)) for name in (theirs, str(uuid4()), mine)]
    assert len({str(sorted(answer["event"])) for answer in answers}) == 1
    assert (await states(two), await states(one)) == (["open"], ["answered"])


async def test_answering_takes_the_notification_back_from_every_device(service: Running) -> None:
    one, two = await service.couple()
    devices = {await device(one) for _ in range(2)}
    await device(two)
    prompt_id, other = await prompted(service, one), await prompted(service, one)
    for kind in ("prompt", "reminder"):
        await pushing(service, one, prompt_id, kind)
    await pushing(service, one, other)
    await one.put("check-ins", check_in(prompt_id))
    waiting = [row for row in await rows(service, "outbox") if str(row["prompt_id"]) == prompt_id]
    assert {str(row["device_id"]) for row in waiting} == devices
    assert {(row["class"], row["due_at"], row["send_before"]) for row in waiting} == {
        ("withdraw", NOON, NOON + 24 * HOUR)
    }
    assert len(await rows(service, "outbox")) == 4


async def test_nothing_is_taken_back_a_day_later_or_from_a_disabled_device(service: Running) -> None:
    one = await service.member()
    await device(one)
    await prompted(service, one)
    prompt_id = await prompted(service, one, due_at=NOON - 24 * HOUR)
    await one.put("check-ins", check_in(prompt_id))
    assert await rows(service, "outbox") == []


async def test_two_devices_that_answer_at_once_take_it_back_once(service: Running) -> None:
    one = await service.member()
    await device(one)
    prompt_id = await prompted(service, one)
    bodies = [check_in(prompt_id, NOON - minutes * timedelta(minutes=1)) for minutes in (1, 2, 3)]
    await asyncio.gather(*(one.put("check-ins", body) for body in bodies))
    assert [row["class"] for row in await rows(service, "outbox")] == ["withdraw"]
    assert {row["answered_at"] for row in await rows(service, "prompts")} == {NOON - timedelta(minutes=3)}


# --- Dismissing


async def test_it_can_be_dismissed_and_that_twice(service: Running) -> None:
    one = await service.member()
    await device(one)
    path = f"/v1/me/prompts/{await prompted(service, one)}/dismiss"
    for _ in range(2):
        await one.expect(204, "POST", path)
    assert await states(one) == ["dismissed"]
    assert [row["class"] for row in await rows(service, "outbox")] == ["withdraw"]


@pytest.mark.parametrize(("state", "shown"), [("answered", "answered"), ("lapsed", "lapsed"), ("sent", "lapsed")])
async def test_dismissing_what_is_over_changes_nothing(service: Running, state: str, shown: str) -> None:
    one = await service.member()
    prompt_id = await prompted(service, one, state, due_at=NOON - 13 * HOUR)
    await one.expect(204, "POST", f"/v1/me/prompts/{prompt_id}/dismiss")
    assert await states(one) == [shown]


async def test_foreign_unknown_and_planned_prompts_are_told_apart_by_nobody(service: Running) -> None:
    one, two = await service.couple()
    planned, theirs = await prompted(service, one, "scheduled"), await prompted(service, two)
    names = [planned, theirs, str(uuid4()), "no-id"]
    answers = [await one.call("POST", f"/v1/me/prompts/{name}/dismiss") for name in names]
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}
    assert await states(two) == ["open"]


# --- Occasions


async def occasions(service: Running) -> set[str]:
    return {str(row["event_id"]) for row in await rows(service, "occasions")}


async def test_what_both_can_read_is_an_occasion_to_ask(service: Running) -> None:
    one, two = await service.couple()
    request = (await one.put("requests", {"occurred_at": OCCURRED, "domain": "home"}))["event"]["id"]
    answer = {"occurred_at": OCCURRED, "request_id": request, "outcome": "yes"}
    yes = (await two.put("decisions", answer))["event"]["id"]
    noted = (await one.put("check-ins", {"occurred_at": OCCURRED, "note": "x", "audience": "shared"}))["event"]["id"]
    assert await occasions(service) == {request, yes, noted}


async def test_whether_it_answers_a_prompt_makes_no_difference(service: Running) -> None:
    one, _ = await service.couple()
    answers, noted = check_in(str(uuid4()), audience="shared"), {"occurred_at": OCCURRED, "note": "x"}
    told = [(await one.put("check-ins", body | {"audience": "shared"}))["event"]["id"] for body in (answers, noted)]
    assert await occasions(service) == set(told)


async def test_what_is_private_late_taken_back_or_about_something_is_none(service: Running) -> None:
    one, two = await service.couple()
    shared = {"audience": "shared"}
    await one.put("check-ins", {"occurred_at": OCCURRED, "note": "x"})
    late = {"occurred_at": (NOON - timedelta(days=3)).isoformat(), "note": "x"}
    event = (await one.put("check-ins", late | shared))["event"]
    await one.put("retractions", {"occurred_at": OCCURRED, "event_id": event["id"]})
    await two.put("check-ins", check_in(str(uuid4()), about=event["id"], **shared))
    assert await occasions(service) == set()


async def test_a_replay_is_no_second_occasion(service: Running) -> None:
    one, _ = await service.couple()
    body, event_id = {"occurred_at": OCCURRED, "domain": "home"}, uuid4()
    await one.put("requests", body, event_id)
    await one.put("requests", body, event_id, status=200)
    assert await occasions(service) == {str(event_id)}


# --- Leaving


async def test_leaving_takes_all_that_is_queued_of_both(service: Running) -> None:
    one, two = await service.couple()
    elsewhere = await service.phone().sign_in(one.email)
    await elsewhere.begin()
    await device(one)
    for phone in (one, two):
        for state in ("scheduled", "sent", "answered"):
            await pushing(service, phone, await prompted(service, phone, state))
    await one.put("requests", {"occurred_at": OCCURRED, "domain": "home"})
    kept = await prompted(service, elsewhere)
    await pushing(service, elsewhere, kept)
    await two.expect(204, "POST", f"{HERE}/leave")
    for table in ("prompts", "outbox"):
        assert {str(row["prompt_id"]) for row in await rows(service, table)} == {kept}
    assert await occasions(service) == set()


async def test_who_withdraws_while_confirming_is_not_asked_and_the_other_still_is(service: Running) -> None:
    one, two = await service.member(), await service.phone().sign_in()
    await two.consent()
    code = (await one.expect(201, "POST", f"{HERE}/invites"))["code"]
    two.rid = (await two.expect(200, "POST", "/v1/invites/accept", {"code": code}))["relationship_id"]
    kept, _ = await prompted(service, one), await prompted(service, two)
    await two.expect(204, "POST", f"{HERE}/leave")
    assert {str(row["prompt_id"]) for row in await rows(service, "prompts")} == {kept}
