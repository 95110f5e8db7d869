"""What a phone records one by one: new, again, or under an id that is taken."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from projections.rebuild import rebuild
from tests.properties.playing import streams_of
from tests.support.holding import PRIVATE_HEAD, SHARED_HEAD, holding
from tests.support.phones import Json, Phone, Running


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


HERE = "/v1/relationships/{rid}"
AT = "2026-06-15T10:00:00+02:00"
NOTE = {"occurred_at": AT, "note": "a walk"}
SHARED_NOTE = NOTE | {"audience": "shared"}
REQUEST = {"occurred_at": AT, "domain": "home", "text": "Shall we go out?"}
BOTH = {"occurred_at": AT, "domain": "money", "decided_by": "me", "raised_by": "partner", "audience": "shared"}


async def record(phone: Phone, kind: str, body: Json, event_id: UUID | str) -> httpx.Response:
    return await phone.call("PUT", f"{HERE}/{kind}/{event_id}", body)


async def leave(phone: Phone) -> None:
    await phone.expect(204, "POST", f"{HERE}/leave")


async def each_kind(one: Phone, two: Phone) -> list[tuple[str, Json]]:
    """An entry of each kind, private where it can be, that the first of a couple may record."""
    asked = (await two.put("requests", REQUEST))["event"]["id"]
    mine = (await one.put("check-ins", NOTE))["event"]["id"]
    return [
        ("check-ins", NOTE),
        ("check-ins", SHARED_NOTE),
        ("requests", REQUEST),
        ("decisions", {"occurred_at": AT, "request_id": asked, "outcome": "yes"}),
        ("decisions", {"occurred_at": AT, "request_id": asked, "outcome": "no"}),
        ("decisions", BOTH),
        ("retractions", {"occurred_at": AT, "event_id": mine}),
    ]


async def test_an_entry_is_recorded_once_and_answered_alike_for_ever(service: Running) -> None:
    one, two = await service.couple()
    sent = [(kind, body, uuid4()) for kind, body in await each_kind(one, two)]
    first = [await record(one, *entry) for entry in sent]
    assert {answer.status_code for answer in first} == {201}
    await leave(two)
    await one.expect(204, "DELETE", "/v1/me/consent")
    service.clock.advance(days=400)
    await one.sign_in(one.email)
    again = [await record(one, *entry) for entry in sent]
    assert {answer.status_code for answer in again} == {200}
    assert [answer.content for answer in again] == [answer.content for answer in first]


async def test_the_answer_is_the_event_with_its_own_position_and_link(service: Running) -> None:
    one, _ = await service.couple()
    event_id = uuid4()
    answer = await one.put("check-ins", SHARED_NOTE, event_id)
    await one.put("check-ins", SHARED_NOTE)
    assert answer["event"] == {
        "id": str(event_id),
        "stream": "shared",
        "position": 2,
        "kind": "check_in",
        "by": "me",
        "recorded_at": "2026-06-15T12:00:00Z",
        "late": False,
        "day": "2026-06-15",
        "check_in": SHARED_NOTE,
    }
    page = await one.get(f"{HERE}/events", after=1, limit=1)
    assert page["events"] == [answer["event"]]
    assert answer["head"]["position"] == 2
    assert answer["head"]["link"] != page["head"]["link"]
    assert await one.put("check-ins", SHARED_NOTE, event_id, status=200) == answer


async def test_the_same_values_written_otherwise_are_the_same_entry(service: Running) -> None:
    one, event_id = await service.member(), uuid4()
    first = await one.put("check-ins", NOTE, event_id)
    for same in (
        NOTE | {"audience": "private"},
        NOTE | {"felt": None, "domain": None, "about": None},
        {"note": "a walk", "occurred_at": "2026-06-15T10:00:00.000+02:00"},
    ):
        assert await one.put("check-ins", same, event_id, status=200) == first


async def test_another_body_under_the_same_id_is_a_conflict(service: Running) -> None:
    one, event_id = await service.member(), uuid4()
    await one.put("check-ins", NOTE, event_id)
    others: list[Json] = [
        NOTE | {"occurred_at": "2026-06-15T08:00:00Z"},
        NOTE | {"note": "A walk"},
        NOTE | {"domain": "other"},
        NOTE | {"felt": {}},
    ]
    for other in others:
        assert await one.refused("check-ins", other, event_id) == (409, "id_taken")
    assert len(await one.events("private")) == 1


async def test_another_kind_or_another_author_under_the_same_id_is_a_conflict(service: Running) -> None:
    one, two = await service.couple()
    event_id = uuid4()
    await one.put("requests", REQUEST, event_id)
    assert await two.refused("requests", REQUEST, event_id) == (409, "id_taken")
    assert await one.refused("check-ins", SHARED_NOTE, event_id) == (409, "id_taken")
    assert len(await one.events()) == 2


async def test_a_request_without_an_end_is_the_same_when_it_comes_again_later(service: Running) -> None:
    one, _ = await service.couple()
    event_id = uuid4()
    first = await one.put("requests", REQUEST, event_id)
    service.clock.advance(minutes=5)
    assert await one.put("requests", REQUEST, event_id, status=200) == first
    spelled_out = REQUEST | {"expires_at": "2026-06-22T12:00:00Z"}
    assert await one.put("requests", spelled_out, event_id, status=200) == first


async def test_an_id_in_the_private_stream_says_nothing_about_the_shared_one(service: Running) -> None:
    one, two = await service.couple()
    event_id = uuid4()
    private = await one.put("check-ins", NOTE, event_id)
    await two.put("check-ins", NOTE | {"note": "mine"}, event_id)
    shared = await one.put("check-ins", SHARED_NOTE, event_id)
    assert (private["event"]["stream"], shared["event"]["stream"]) == ("private", "shared")
    assert await one.put("check-ins", NOTE, event_id, status=200) == private
    assert await one.put("check-ins", SHARED_NOTE, event_id, status=200) == shared
    assert await two.refused("check-ins", SHARED_NOTE, event_id) == (409, "id_taken")


async def test_the_defaults_are_filled_in(service: Running) -> None:
    one, two = await service.couple()
    assert (await one.put("check-ins", NOTE))["event"]["check_in"]["audience"] == "private"
    asked = (await two.put("requests", REQUEST))["event"]
    assert asked["request"] == REQUEST | {"expires_at": "2026-06-22T12:00:00Z"}
    for outcome, audience in [("not_now", "private"), ("no", "private"), ("yes", "shared")]:
        body = {"occurred_at": AT, "request_id": asked["id"], "outcome": outcome}
        event = (await one.put("decisions", body))["event"]
        assert event["stream"] == event["decision"]["audience"] == audience
    for_both = {"occurred_at": AT, "domain": "money", "decided_by": "both"}
    assert (await one.put("decisions", for_both))["event"]["decision"]["audience"] == "private"


@pytest.mark.parametrize(("hours", "late"), [(48, False), (48.001, True)])
async def test_an_entry_is_late_when_recorded_after_more_than_two_days(
    service: Running, hours: float, late: bool
) -> None:
    one = await service.member()
    happened = datetime(2026, 6, 15, 12, tzinfo=UTC) - timedelta(hours=hours)
    event = (await one.put("check-ins", {"occurred_at": happened.isoformat(), "note": "then"}))["event"]
    assert event["late"] is late


@pytest.mark.parametrize(("ahead", "taken"), [(300, True), (301, False)])
async def test_an_entry_lies_at_most_five_minutes_ahead(service: Running, ahead: int, taken: bool) -> None:
    one = await service.member()
    at = datetime(2026, 6, 15, 12, tzinfo=UTC) + timedelta(seconds=ahead)
    answer = await record(one, "check-ins", {"occurred_at": at.isoformat(), "note": "soon"}, uuid4())
    assert answer.status_code == (201 if taken else 422)


async def test_times_at_the_ends_of_the_calendar_are_answered_by_rules(service: Running) -> None:
    one, _ = await service.couple()
    for end in ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00"):
        assert await one.refused("requests", REQUEST | {"occurred_at": end}) == (422, "in_the_future")
        assert await one.refused("check-ins", NOTE | {"occurred_at": end}) == (422, "in_the_future")
    await one.put("requests", REQUEST | {"occurred_at": "0001-01-01T00:00:00+14:00"})
    await one.put("requests", REQUEST | {"expires_at": "9999-12-31T23:59:59-12:00"})
    assert len((await one.get(f"{HERE}/requests"))["requests"]) == 2


async def test_who_is_relative_to_the_reader_in_answers_and_to_the_author_in_the_log(service: Running) -> None:
    one, two = await service.couple()
    body = SHARED_NOTE | {"initiated_by": "partner", "decided_by": "both"}
    recorded = [(await one.put("check-ins", body))["event"], (await one.put("decisions", BOTH))["event"]]
    mine, theirs = (await one.events(proof=True))[1:], (await two.events(proof=True))[1:]
    assert [e["check_in"]["initiated_by"] for e in (recorded[0], mine[0], theirs[0])] == ["partner", "partner", "me"]
    assert [e["decision"]["decided_by"] for e in (recorded[1], mine[1], theirs[1])] == ["me", "me", "partner"]
    assert [e["decision"]["raised_by"] for e in (mine[1], theirs[1])] == ["partner", "me"]
    assert (mine[0]["by"], theirs[0]["by"], theirs[0]["check_in"]["decided_by"]) == ("me", "partner", "both")
    assert [e["proof"] for e in mine] == [e["proof"] for e in theirs]
    assert json.loads(mine[1]["proof"]["body"]) == {"kind": "decision"} | BOTH
    assert json.loads(mine[1]["proof"]["header"])["by"] == one.author


async def test_relationships_that_cannot_be_read_are_told_apart_by_nobody(service: Running) -> None:
    one, _ = await service.couple()
    stranger = await service.member()
    foreign, unknown, malformed = f"/v1/relationships/{one.rid}", f"/v1/relationships/{uuid4()}", "/v1/relationships/x"
    kinds = ["check-ins", "requests", "decisions", "retractions"]
    answers = [
        await stranger.call("PUT", f"{prefix}/{kind}/{uuid4()}", SHARED_NOTE)
        for prefix in (foreign, unknown, malformed)
        for kind in kinds
    ] + [await stranger.call("POST", f"{prefix}/sync", {"entries": []}) for prefix in (foreign, unknown, malformed)]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


async def test_a_malformed_event_id_is_as_unknown_as_a_relationship(service: Running) -> None:
    one = await service.member()
    unknown = await one.call("GET", f"/v1/relationships/{uuid4()}")
    for name in ("x", "0", "%00", "%F0%9F%98%80", "6ba7b8149dad11d180b400c04fd430c8"):
        answer = await record(one, "check-ins", NOTE, name)
        assert (answer.status_code, answer.content) == (404, unknown.content)


async def test_an_id_may_be_written_in_capitals(service: Running) -> None:
    one, event_id = await service.member(), uuid4()
    first = await one.put("check-ins", NOTE, str(event_id).upper())
    assert first["event"]["id"] == str(event_id)
    assert await one.put("check-ins", NOTE, event_id, status=200) == first


async def test_what_cannot_be_read_and_what_does_not_exist_get_the_same_answer(service: Running) -> None:
    one, two = await service.couple()
    hidden = (await two.put("check-ins", NOTE))["event"]["id"]
    hidden_decision = (await two.put("decisions", BOTH | {"audience": "private"}))["event"]["id"]
    elsewhere = await service.couple()
    foreign = (await elsewhere[0].put("requests", REQUEST))["event"]["id"]
    answers = [
        await record(one, kind, body | {field: name}, uuid4())
        for name in (hidden, hidden_decision, foreign, str(uuid4()))
        for kind, field, body in [
            ("check-ins", "about", SHARED_NOTE),
            ("check-ins", "about", NOTE),
            ("requests", "in_reply_to", REQUEST),
            ("decisions", "request_id", {"occurred_at": AT, "outcome": "no"}),
            ("decisions", "about", BOTH),
            ("retractions", "event_id", {"occurred_at": AT}),
        ]
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


async def test_what_both_read_refers_to_nothing_that_one_keeps_private(service: Running) -> None:
    one, _ = await service.couple()
    mine = (await one.put("check-ins", NOTE))["event"]["id"]
    assert await one.refused("check-ins", SHARED_NOTE | {"about": mine}) == (404, "unknown_event")
    await one.put("check-ins", NOTE | {"about": mine})


async def test_an_entry_is_taken_back_in_the_stream_where_it_lies_once(service: Running) -> None:
    one, two = await service.couple()
    event_id = uuid4()
    await one.put("check-ins", NOTE, event_id)
    await one.put("check-ins", SHARED_NOTE, event_id)
    first = (await one.put("retractions", {"occurred_at": AT, "event_id": str(event_id)}))["event"]
    assert first["stream"] == "shared"
    again = await one.refused("retractions", {"occurred_at": AT, "event_id": str(event_id)})
    assert again == (422, "already_retracted")
    assert await one.refused("retractions", {"occurred_at": AT, "event_id": first["id"]}) == (422, "not_retractable")
    assert await two.refused("retractions", {"occurred_at": AT, "event_id": str(event_id)}) == (422, "not_mine")


async def test_a_decision_is_told_once_by_each(service: Running) -> None:
    one, two = await service.couple()
    decided = (await one.put("decisions", BOTH))["event"]["id"]
    telling = BOTH | {"about": decided, "audience": "private"}
    told = (await two.put("decisions", telling))["event"]["id"]
    assert await two.refused("decisions", telling | {"audience": "shared"}) == (409, "already_told")
    assert await one.refused("decisions", telling) == (422, "own_decision")
    await two.put("retractions", {"occurred_at": AT, "event_id": told})
    await two.put("decisions", telling | {"audience": "shared"})


async def test_two_phones_that_send_one_entry_at_once_record_it_once(service: Running) -> None:
    one, _ = await service.couple()
    for kind, body in [("check-ins", NOTE), ("requests", REQUEST)]:
        event_id = uuid4()
        answers = await asyncio.gather(*(record(one, kind, body, event_id) for _ in range(2)))
        assert sorted(answer.status_code for answer in answers) == [200, 201]
        assert answers[0].content == answers[1].content


async def test_two_bodies_under_one_id_at_once_are_one_entry_and_one_conflict(service: Running) -> None:
    one, two = await service.couple()
    event_id = uuid4()
    answers = await asyncio.gather(*(record(p, "requests", REQUEST, event_id) for p in (one, two)))
    assert sorted(answer.status_code for answer in answers) == [201, 409]


@pytest.mark.parametrize("stream", ["shared", "private"])
async def test_positions_have_no_gaps_when_many_write_at_once(service: Running, stream: str) -> None:
    pair = await service.couple()
    body = NOTE | {"audience": stream}
    before = len(await pair[0].events(stream))
    writers = pair if stream == "shared" else pair[:1] * 2
    answers = await asyncio.gather(*(record(p, "check-ins", body, uuid4()) for p in writers for _ in range(10)))
    heads = [answer.json()["head"] for answer in answers]
    events = await pair[0].events(stream)
    assert sorted(head["position"] for head in heads) == list(range(before + 1, before + 21))
    assert [event["position"] for event in events] == list(range(1, before + 21))
    assert (await pair[0].get(f"{HERE}/events", stream=stream))["head"] in heads


async def test_a_private_entry_never_waits_for_the_partners_sharing(service: Running) -> None:
    one, two = await service.couple()
    async with holding(service, SHARED_HEAD, one.rid) as held:
        sharing = asyncio.create_task(two.put("check-ins", SHARED_NOTE))
        await held.until_waiting()
        await one.put("check-ins", NOTE)
        noted = (await one.events("private"))[0]["id"]
        await one.put("retractions", {"occurred_at": AT, "event_id": noted})
    await sharing


async def test_a_request_that_waited_while_the_partner_came_in_is_seen_by_both(service: Running) -> None:
    one, two = await service.member(), await service.member()
    code = (await one.expect(201, "POST", f"{HERE}/invites"))["code"]
    noted = {"id": str(uuid4()), "kind": "check_in", "check_in": NOTE}
    asked = {"id": str(uuid4()), "kind": "request", "request": REQUEST}
    async with holding(service, PRIVATE_HEAD, one.author) as held:
        asking = asyncio.create_task(one.expect(200, "POST", f"{HERE}/sync", {"entries": [noted, asked]}))
        await held.until_waiting()
        two.rid = (await two.expect(200, "POST", "/v1/invites/accept", {"code": code}))["relationship_id"]
        await one.expect(200, "POST", f"{HERE}/confirm")
    await asking
    assert (await two.get(f"{HERE}/balances"))["asks"]["counts"]["partner"] == 1
    assert await differences(service, one, two) == 0


async def test_what_is_told_of_the_day_before_is_counted_in_that_months_page(service: Running) -> None:
    one, two = await service.couple()
    told = {"occurred_at": "2026-05-31T23:30:00+02:00", "initiated_by": "me"}
    after_midnight = {"occurred_at": "2026-06-01T00:30:00+02:00", "day": "2026-05-31", "initiated_by": "me"}
    for entry in (told, after_midnight, told):
        await one.put("check-ins", entry)
    assert (await one.get(f"{HERE}/balances", on="2026-05-31"))["mine"]["initiates"]["counts"]["me"] == 3
    assert await differences(service, one, two) == 0


async def differences(service: Running, one: Phone, two: Phone) -> int:
    """How many counts of their three streams are not what the log says."""
    db = await asyncpg.connect(service.database_url)
    try:
        streams = await streams_of(db, (one, two), await service.keys_of(one.rid))
        return (await rebuild(db, [*streams.values()])).differences
    finally:
        await db.close()


async def test_who_shares_while_the_other_leaves_comes_before_the_end_or_not_at_all(service: Running) -> None:
    for _ in range(3):
        one, two = await service.couple()
        *answers, left = await asyncio.gather(
            *(record(two, "check-ins", SHARED_NOTE, uuid4()) for _ in range(6)),
            one.call("POST", f"{HERE}/leave"),
        )
        assert left.status_code == 204
        kinds = Counter(answer.status_code for answer in answers)
        assert kinds.keys() <= {201, 403}
        events = await two.events()
        assert [event["kind"] for event in events] == ["opened", *["check_in"] * kinds[201], "ended"]


async def test_who_leaves_waits_for_whom_shares_and_nobody_shares_behind(service: Running) -> None:
    one, two = await service.couple()
    async with holding(service, SHARED_HEAD, one.rid) as held:
        leaving = asyncio.create_task(leave(one))
        await held.until_waiting(1)
        sharing = asyncio.create_task(record(two, "check-ins", SHARED_NOTE, uuid4()))
        await held.until_waiting(2)
    await leaving
    assert (await sharing).status_code == 403
    assert [event["kind"] for event in await two.events()] == ["opened", "ended"]


async def test_a_hundred_calls_at_once_are_all_answered_over_four_connections(service: Running) -> None:
    one, two = await service.couple()
    calls = [
        call
        for phone in (one, two)
        for _ in range(10)
        for call in (
            record(phone, "check-ins", SHARED_NOTE, uuid4()),
            phone.call("POST", f"{HERE}/sync", {"entries": [entry("check_in", SHARED_NOTE)]}),
            phone.call("POST", "/v1/relationships", {}),
            phone.call("POST", f"{HERE}/confirm"),
            phone.call("GET", f"{HERE}/balances"),
        )
    ]
    answers = await asyncio.wait_for(asyncio.gather(*calls), 30)
    assert Counter(answer.status_code for answer in answers) == {201: 40, 200: 50, 403: 10}


def entry(kind: str, body: Json) -> Json:
    return {"id": str(uuid4()), "kind": kind, kind: body}


async def test_when_its_connections_are_killed_the_service_says_so_and_recovers(service: Running) -> None:
    one, _ = await service.couple()
    sent = [(SHARED_NOTE | {"note": str(n)}, uuid4()) for n in range(40)]
    async with holding(service, SHARED_HEAD, one.rid) as held:
        calls = [asyncio.create_task(record(one, "check-ins", *body)) for body in sent]
        await held.until_waiting()
        await kill_connections(service)
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    answers = await asyncio.gather(*calls)
    away = [answer for answer in answers if answer.status_code == 503]
    assert away, "nothing was killed in time"
    assert all(answer.headers["Retry-After"] == "1" for answer in away)
    assert {answer.status_code for answer in answers} <= {201, 503}
    retried = [await record(one, "check-ins", *body) for body in sent]
    assert {answer.status_code for answer in retried} <= {200, 201}
    assert [event["position"] for event in await one.events()] == list(range(1, 42))


async def kill_connections(service: Running) -> Any:
    db = await asyncpg.connect(service.database_url)
    try:
        return await db.fetch(KILL)
    finally:
        await db.close()


KILL = """
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database()
    AND application_name = 'mutuality'
"""


WHEN = {"occurred_at": "2026-06-15T10:00:00Z"}
DECIDED = WHEN | {"domain": "home", "decided_by": "me"}


async def test_ids_that_alter_each_other_in_a_circle_hold_up_nobody(service: Running) -> None:
    one, two = await service.couple()
    shared = await two.put("decisions", {**DECIDED, "audience": "shared"})
    a, b = shared["event"]["id"], str(uuid4())
    await one.put("decisions", {**DECIDED, "about": a}, b)
    await one.put("retractions", {**WHEN, "event_id": b}, a)
    async with asyncio.timeout(10):
        assert await one.refused("retractions", {**WHEN, "event_id": b}) == (422, "already_retracted")
