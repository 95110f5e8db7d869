"""Sealed check-ins: each waits, unseen, for the other's, and then both are read by both."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from msgspec import convert

from events.entries import CheckIn, Retraction
from events.lookups import SEALED as FIND_WHAT_IS_SEALED
from events.reveals import copy_ids
from projections.rebuild import rebuild
from service.context import Context
from service.recording import reveal
from service.recording.recorder import record_under_locks
from service.recording.write_set import Submission
from tests.properties.playing import streams_of, tallies
from tests.service.recording.test_appending import submission
from tests.support.holding import PRIVATE_HEAD, PRIVATE_PAGES, SHARED_HEAD, holding
from tests.support.phones import Json, Phone, Running, link

HERE = "/v1/relationships/{rid}"
AT = "2026-06-15T10:00:00+02:00"
SEALED = {"occurred_at": AT, "note": "a walk", "initiated_by": "me", "felt": {"close": 5}, "audience": "sealed"}
LOW, HIGH = UUID(int=1), UUID(int=2)


@pytest.fixture
async def db(service: Running) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """The same database, as its superuser."""
    connection = await asyncpg.connect(service.database_url)
    yield connection
    await connection.close()


def sealed(**fields: Any) -> Json:
    """A sealed check-in, for its day unless it says otherwise."""
    return SEALED | fields


async def revealed(phone: Phone) -> list[str]:
    """The ids of the check-ins in the shared stream, in order."""
    return [event["id"] for event in await phone.events() if event["kind"] == "check_in"]


async def put(phone: Phone, event_id: UUID | None = None, **fields: Any) -> str:
    """Seal a check-in; its id."""
    answer = await phone.put("check-ins", sealed(**fields), event_id or uuid4())
    return str(answer["event"]["id"])


async def take_back(phone: Phone, event_id: str) -> Json:
    event: Json = (await phone.put("retractions", {"occurred_at": AT, "event_id": event_id}))["event"]
    return event


async def recounted(service: Running, db: Any, one: Phone, two: Phone) -> None:
    """What is kept is what the log says, in all three streams."""
    streams = await streams_of(db, (one, two), await service.keys_of(one.rid))
    assert (await rebuild(db, [*streams.values()])).differences == 0


async def test_who_may_not_record_here_is_told_so_when_they_seal_too(service: Running) -> None:
    one, two = await service.member(), await service.member()
    code = (await one.expect(201, "POST", f"{HERE}/invites"))["code"]
    two.rid = (await two.expect(200, "POST", "/v1/invites/accept", {"code": code}))["relationship_id"]
    stranger = await service.member()
    stranger.rid = one.rid
    for phone, told in ((two, (403, "wrong_state")), (stranger, (404, "not_found"))):
        answer = await phone.call("PUT", f"{HERE}/check-ins/{uuid4()}", SEALED)
        assert (answer.status_code, answer.json()["code"]) == told


@pytest.mark.parametrize("first", [0, 1])
async def test_both_are_revealed_when_both_have_sealed_whoever_was_first(service: Running, first: int) -> None:
    couple = await service.couple()
    mine, theirs = couple[first], couple[1 - first]
    await put(mine, HIGH, note="mine")
    assert await revealed(mine) == await revealed(theirs) == []
    service.clock.advance(minutes=5)
    await put(theirs, LOW, note="theirs")
    shown = (await mine.events())[1:]
    assert [(e["id"], e["by"], e["check_in"]["note"]) for e in shown] == [
        (str(LOW), "partner", "theirs"),
        (str(HIGH), "me", "mine"),
    ]
    assert {event["recorded_at"] for event in shown} == {"2026-06-15T12:05:00Z"}
    assert await revealed(theirs) == [str(LOW), str(HIGH)]
    assert [event["id"] for event in await mine.events("private")] == [str(HIGH)]


async def test_who_is_read_relative_to_the_reader(service: Running) -> None:
    one, two = await service.couple()
    await put(one)
    await put(two, initiated_by="both")
    for phone in (one, two):
        shown = {event["by"]: event["check_in"]["initiated_by"] for event in (await phone.events())[1:]}
        assert sorted(shown.items()) in (
            [("me", "me"), ("partner", "both")],
            [("me", "both"), ("partner", "partner")],
        )


async def test_its_counts_move_with_it(service: Running, db: Any) -> None:
    one, two = await service.couple()
    await put(one)
    assert (await one.get(f"{HERE}/balances"))["mine"]["initiates"]["counts"]["me"] == 1
    assert (await two.get(f"{HERE}/balances"))["partners"]["initiates"]["n"] == 0
    await put(two)
    for phone in (one, two):
        read = await phone.get(f"{HERE}/balances")
        assert (read["mine"]["initiates"]["n"], read["partners"]["initiates"]["n"]) == (1, 1)
    assert {key[0] for key in await tallies(db, (one, two), await service.keys_of(one.rid))} == {"shared"}
    await recounted(service, db, one, two)


async def test_what_moves_is_what_it_had_counted_by_what_it_is_about(service: Running, db: Any) -> None:
    one, two = await service.couple()
    asked = (await one.put("requests", {"occurred_at": AT, "domain": "home"}))["event"]["id"]
    noted = (await one.put("check-ins", {"occurred_at": AT, "note": "x", "audience": "shared"}))["event"]["id"]
    for about, day, counted in ((asked, "2026-06-13", 0), (noted, "2026-06-14", 1)):
        at: Json = {"occurred_at": f"{day}T10:00:00Z", "sealed_for": "day"}
        await put(two, about=about, **at)
        await put(one, **at)
        balances = await two.get(f"{HERE}/balances", window=7, on=day)
        assert balances["mine"]["initiates"]["counts"]["me"] == counted
    await recounted(service, db, one, two)


async def test_the_oldest_of_several_that_was_not_taken_back_is_revealed_and_nothing_after_it(
    service: Running, db: Any
) -> None:
    one, two = await service.couple()
    ids = [await put(one, note=str(i)) for i in range(3)]
    retraction = await take_back(one, ids[0])
    assert retraction["stream"] == "private"
    theirs = await put(two)
    assert set(await revealed(one)) == {ids[1], theirs}
    for phone in (one, two):
        await put(phone, note="later")
    assert set(await revealed(one)) == {ids[1], theirs}
    await recounted(service, db, one, two)


async def test_what_is_taken_back_before_it_is_revealed_never_was_there(service: Running, db: Any) -> None:
    one, two = await service.couple()
    await take_back(one, await put(one))
    theirs = await put(two)
    assert await revealed(two) == []
    mine = await put(one)
    assert set(await revealed(two)) == {mine, theirs}
    await recounted(service, db, one, two)


async def test_what_is_taken_back_afterwards_is_the_copy(service: Running, db: Any) -> None:
    one, two = await service.couple()
    mine, _ = await put(one), await put(two)
    retraction = await take_back(one, mine)
    assert retraction["stream"] == "shared"
    assert await one.refused("retractions", {"occurred_at": AT, "event_id": mine}) == (422, "already_retracted")
    assert await two.refused("retractions", {"occurred_at": AT, "event_id": mine}) == (422, "not_mine")
    assert (await two.get(f"{HERE}/balances"))["partners"]["initiates"]["n"] == 0
    await recounted(service, db, one, two)


async def test_an_original_whose_copy_has_another_id_is_taken_back_without_a_second_count(
    service: Running, db: Any
) -> None:
    one, two = await service.couple()
    await two.put("requests", {"occurred_at": AT, "domain": "home"}, LOW)
    await put(one, LOW)
    await put(two, HIGH)
    mine = UUID((await one.get(HERE))["streams"]["private"])
    copy = str(copy_ids(mine, LOW)[1])
    assert await revealed(one) == [copy, str(HIGH)]
    await recounted(service, db, one, two)
    assert (await take_back(one, str(LOW)))["stream"] == "private"
    assert (await one.get(f"{HERE}/balances"))["mine"]["initiates"]["counts"]["me"] == 1
    await recounted(service, db, one, two)
    assert (await take_back(one, copy))["stream"] == "shared"
    await recounted(service, db, one, two)


async def test_both_may_have_used_one_id(service: Running, db: Any) -> None:
    one, two = await service.couple()
    await put(one, LOW, note="b")
    await put(two, LOW, note="a")
    shown = (await one.events())[1:]
    assert [event["check_in"]["note"] for event in shown] == ["a", "b"]
    assert shown[0]["id"] == str(LOW) != shown[1]["id"]
    await recounted(service, db, one, two)


async def test_a_copy_sent_again_under_its_new_id_is_a_replay(service: Running) -> None:
    one, two = await service.couple()
    await put(one, LOW, note="b")
    await put(two, LOW, note="a")
    copy = (await one.events())[-1]
    again = await one.put("check-ins", copy["check_in"], copy["id"], status=200)
    assert again["event"] == copy


async def test_whatever_is_sent_again_is_answered_as_the_first_time_before_and_after(service: Running) -> None:
    one, two = await service.couple()
    sent = [(one, uuid4()), (two, uuid4())]
    first = [await one.call("PUT", f"{HERE}/check-ins/{sent[0][1]}", SEALED)]
    again = [await one.call("PUT", f"{HERE}/check-ins/{sent[0][1]}", SEALED)]
    first.append(await two.call("PUT", f"{HERE}/check-ins/{sent[1][1]}", SEALED))
    again += [await phone.call("PUT", f"{HERE}/check-ins/{event_id}", SEALED) for phone, event_id in sent]
    assert [answer.status_code for answer in (*first, *again)] == [201, 201, 200, 200, 200]
    assert [answer.content for answer in again] == [answer.content for answer in (first[0], *first)]
    assert first[0].json()["event"]["stream"] == "private"
    assert len(await revealed(one)) == 2


async def test_the_answer_tells_nothing_of_the_other(service: Running) -> None:
    one, two = await service.couple()
    elsewhere = await service.member()
    await put(two)
    answer, alone = [await phone.put("check-ins", SEALED, LOW) for phone in (one, elsewhere)]
    assert answer["event"] == alone["event"]
    assert answer["head"]["position"] == 1


async def test_a_day_and_a_week_are_those_of_the_wall_where_it_happened(service: Running) -> None:
    one, two = await service.couple()
    await put(one)
    await put(two, sealed_for="week")
    await put(two, occurred_at="2026-06-14T23:00:00-12:00")
    assert await revealed(one) == []
    await put(two, occurred_at="2026-06-15T00:00:00+14:00")
    assert len(await revealed(one)) == 2
    await put(one, sealed_for="week", occurred_at="2026-06-14T23:59:59Z")
    assert len(await revealed(one)) == 2
    await put(one, sealed_for="week", occurred_at="2026-06-15T00:00:00+14:00")
    assert len(await revealed(one)) == 4


async def test_what_is_sealed_about_an_event_meets_what_is_sealed_about_the_same(service: Running) -> None:
    one, two = await service.couple()
    about, other = [(await one.put("requests", {"occurred_at": AT, "domain": "home"}))["event"]["id"] for _ in "ab"]
    mine = await put(one, about=about)
    await put(two, about=other)
    await put(two, about=about, sealed_for="day")
    assert await revealed(one) == []
    theirs = await put(two, about=about, occurred_at="2026-01-01T10:00:00Z", sealed_for="about")
    assert set(await revealed(one)) == {mine, theirs}


async def test_it_is_about_what_both_can_read(service: Running) -> None:
    one, two = await service.couple()
    hidden = [await put(one), (await two.put("check-ins", SEALED | {"audience": "private"}))["event"]["id"]]
    for about in (*hidden, str(uuid4())):
        assert await one.refused("check-ins", sealed(about=about)) == (404, "unknown_event")
    assert await one.refused("check-ins", sealed(sealed_for="about")) == (422, "sealed_about_nothing")


async def test_several_in_one_queue_come_to_what_they_come_to_one_by_one(service: Running, db: Any) -> None:
    one, two = await service.couple()
    theirs = [await put(two), await put(two, sealed_for="week")]
    shared, days, week = uuid4(), [uuid4(), uuid4()], uuid4()
    entries = [
        (days[0], "check_in", SEALED),
        (shared, "check_in", SEALED | {"audience": "shared"}),
        (days[1], "check_in", SEALED | {"note": "another"}),
        (days[0], "check_in", SEALED),
        (uuid4(), "retraction", {"occurred_at": AT, "event_id": str(days[0])}),
        (week, "check_in", sealed(sealed_for="week")),
        (days[1], "check_in", SEALED),
    ]
    queue = [{"id": str(event_id), "kind": kind, kind: body} for event_id, kind, body in entries]
    answer = await one.expect(200, "POST", f"{HERE}/sync", {"entries": queue})
    statuses = [result["status"] for result in answer["results"]]
    assert statuses == [*["recorded"] * 3, "replayed", *["recorded"] * 2, "conflict"]
    shown = [event["id"] for event in answer["shared"]["events"]]
    assert set(shown[1:3]) == {theirs[0], str(days[0])}
    assert shown[3] == str(shared)
    assert set(shown[5:]) == {theirs[1], str(week)}
    assert answer["shared"]["events"][4]["retraction"]["event_id"] == str(days[0])
    await recounted(service, db, one, two)


async def test_a_late_one_is_revealed_like_any_other(service: Running) -> None:
    one, two = await service.couple()
    await put(one)
    service.clock.advance(days=3)
    await two.sign_in(two.email)
    await put(two, sealed_for="day")
    assert [event["late"] for event in (await two.events())[1:]] == [True, True]


async def test_what_waits_since_before_the_other_came_meets_theirs(service: Running) -> None:
    one, two = await service.member(), await service.phone().sign_in()
    await two.consent()
    mine = await put(one)
    await link(one, two)
    theirs = await put(two)
    assert set(await revealed(two)) == {mine, theirs}


async def test_nothing_is_revealed_after_the_end(service: Running) -> None:
    one, two = await service.couple()
    await put(one)
    await one.expect(204, "POST", f"{HERE}/leave")
    await put(two)
    assert [event["kind"] for event in await two.events()] == ["opened", "ended"]


async def test_nothing_is_revealed_with_who_is_erased(service: Running) -> None:
    one, two = await service.couple()
    await put(one)
    # In a restored backup they are active still, and who was erased since has no key.
    await service.app.state.context.keys.destroy_for_member(UUID(one.member_id))
    await put(two)
    assert await revealed(two) == []


async def test_after_one_is_erased_the_other_keeps_their_copy_and_its_counts(service: Running, db: Any) -> None:
    one, two = await service.couple()
    await put(one)
    theirs = await put(two)
    await one.step_up()
    await one.expect(204, "DELETE", "/v1/me")
    assert sorted(event["kind"] for event in await two.events()) == ["check_in", "ended", "erased", "opened"]
    assert await revealed(two) == [theirs]
    read = await two.get(f"{HERE}/balances")
    assert (read["mine"]["initiates"]["n"], read["partners"]["initiates"]["n"]) == (1, 0)
    await recounted(service, db, one, two)


async def test_two_who_seal_at_once_see_each_other(service: Running, db: Any) -> None:
    one, two = await service.couple()
    for day in range(1, 11):
        at = f"2026-06-{day:02}T10:00:00Z"
        await asyncio.gather(put(one, occurred_at=at), put(two, occurred_at=at))
        assert len(await revealed(one)) == 2 * day
    await recounted(service, db, one, two)


async def test_two_who_queue_and_take_back_at_once_wait_for_nobody_in_a_circle(service: Running, db: Any) -> None:
    one, two = await service.couple()
    days = [f"2026-05-{day:02}T10:00:00Z" for day in range(1, 31)]
    waiting = [(phone, await put(phone, occurred_at=at)) for at in days[:10] for phone in (one,)]
    async with asyncio.timeout(30):
        await asyncio.gather(
            *(take_back(phone, event_id) for phone, event_id in waiting),
            *(put(two, occurred_at=at) for at in days[:20]),
            *(put(one, occurred_at=at) for at in days[10:]),
            *(phone.put("check-ins", SEALED | {"audience": a}) for phone in (one, two) for a in ("shared", "private")),
        )
    await recounted(service, db, one, two)
    assert len([e for e in await one.events() if e.get("check_in", {}).get("audience") == "sealed"]) >= 20


@pytest.mark.parametrize("first", ["seals", "leaves"])
async def test_who_seals_while_the_other_leaves_comes_before_the_end_or_not_at_all(
    service: Running, db: Any, first: str
) -> None:
    one, two = await service.couple()
    days = [f"2026-06-{day:02}T10:00:00Z" for day in (1, 2)]
    for day in days:
        await put(one, occurred_at=day)

    def sealing() -> asyncio.Task[Any]:
        return asyncio.create_task(put(two, occurred_at=days[0]))

    def leaving() -> asyncio.Task[Any]:
        return asyncio.create_task(one.expect(204, "POST", f"{HERE}/leave"))

    async with holding(service, SHARED_HEAD, one.rid) as held:
        waiting = []
        for number, begin in enumerate((sealing, leaving) if first == "seals" else (leaving, sealing), start=1):
            waiting.append(begin())
            await held.until_waiting(number)
        waiting.append(asyncio.create_task(put(two, occurred_at=days[1])))  # it queues behind the other one
    await asyncio.gather(*waiting)
    revealed_before = ["check_in", "check_in"] if first == "seals" else []
    assert [event["kind"] for event in await two.events()] == ["opened", *revealed_before, "ended"]
    assert len(await two.events("private")) == 2
    await recounted(service, db, one, two)


async def test_what_is_being_taken_back_is_not_revealed(service: Running, db: Any) -> None:
    one, two = await service.couple()
    theirs = await put(two)
    back = await submission(two, convert({"occurred_at": AT, "event_id": theirs}, Retraction))
    async with holding(service, PRIVATE_PAGES, two.rid) as held:
        taking = asyncio.create_task(statements_of(service, back))
        await held.until_waiting(1)
        sealing = asyncio.create_task(put(one))
        await held.until_waiting(2)
    await asyncio.gather(taking, sealing)
    assert await revealed(one) == []
    await recounted(service, db, one, two)


async def statements_of(service: Running, submitted: Submission) -> list[str]:
    """Record it alone and under locks; what the database is asked for that."""
    context: Context = service.app.state.context
    statements: list[str] = []
    async with context.writer() as db:
        with db.query_logger(lambda logged: statements.append(logged.query)):
            await record_under_locks(context, db, [submitted], wait_for_locks=True)
    return statements


async def test_what_is_refused_or_sent_again_looks_for_nothing_of_the_others(service: Running) -> None:
    one, two = await service.couple()
    await take_back(one, await put(one, HIGH))
    await put(two)
    in_the_future = await submission(one, convert(sealed(occurred_at="2026-06-15T23:00:00Z"), CheckIn))
    id_taken = await submission(one, convert(sealed(note="another"), CheckIn), HIGH)
    again = await submission(one, convert(SEALED, CheckIn), HIGH)
    for submitted in (in_the_future, id_taken, again):
        statements = await statements_of(service, submitted)
        assert FIND_WHAT_IS_SEALED not in statements
        assert reveal.PARTNER not in statements
    statements = await statements_of(service, await submission(one, convert(SEALED, CheckIn)))
    assert {FIND_WHAT_IS_SEALED, reveal.PARTNER} <= set(statements)
    assert len(await revealed(one)) == 2


async def test_nobody_waits_for_what_the_other_seals(service: Running) -> None:
    one, two = await service.couple()
    async with holding(service, PRIVATE_HEAD, two.author) as held:
        sealing = asyncio.create_task(put(two))
        await held.until_waiting(1)
        async with asyncio.timeout(10):
            for audience in ("shared", "private"):
                await one.put("check-ins", SEALED | {"audience": audience})
            await one.get(f"{HERE}/balances")
        assert not sealing.done()
    await sealing


async def test_what_waits_for_nobody_leaves_the_shared_head_alone(service: Running) -> None:
    one, two = await service.couple()
    await put(two, occurred_at="2026-06-14T10:00:00Z")
    async with holding(service, SHARED_HEAD, one.rid), asyncio.timeout(10):
        await put(one)
        await take_back(one, (await one.events("private"))[0]["id"])
