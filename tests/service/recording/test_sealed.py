"""Sealed check-ins: each waits, unseen, for the other's, and then both are read by both."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from msgspec import convert

from events.encryption import open_box
from events.entries import Retraction
from events.reveals import MAX_ANSWERS, copy_ids
from events.waiting import WAITING
from projections.rebuild import rebuild
from service.context import Context
from service.recording import reveal
from service.recording.recorder import record_under_locks
from service.recording.write_set import Submission
from tests.noninterference.leaks import everywhere
from tests.properties.playing import streams_of, tallies
from tests.service.recording.test_appending import submission
from tests.support.holding import PRIVATE_HEAD, PRIVATE_PAGES, SHARED_HEAD, holding
from tests.support.phones import Json, Phone, Running, link
from tests.support.statements import overheard


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


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


async def asked(phone: Phone, count: int) -> list[str]:
    """So many requests, to seal check-ins about."""
    entry = {"occurred_at": AT, "domain": "home"}
    return [(await phone.put("requests", entry))["event"]["id"] for _ in range(count)]


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
    for about, day, counted in ((asked, "2026-06-14", 0), (noted, "2026-06-15", 1)):
        at: Json = {"occurred_at": f"{day}T10:00:00Z", "sealed_for": "day"}
        await put(two, about=about, **at)
        await put(one, **at)
        balances = await two.get(f"{HERE}/balances", window=7, on=day)
        assert balances["mine"]["initiates"]["counts"]["me"] == counted
    await recounted(service, db, one, two)


async def test_the_oldest_of_several_that_was_not_taken_back_is_revealed_and_then_the_next(
    service: Running, db: Any
) -> None:
    one, two = await service.couple()
    ids = [await put(one, note=str(i)) for i in range(3)]
    retraction = await take_back(one, ids[0])
    assert retraction["stream"] == "private"
    theirs = [await put(two)]
    assert set(await revealed(one)) == {ids[1], *theirs}
    theirs.append(await put(two, note="later"))
    assert set(await revealed(one)) == {*ids[1:], *theirs}
    await put(two, note="too many")
    assert set(await revealed(one)) == {*ids[1:], *theirs}
    await recounted(service, db, one, two)


async def test_the_oldest_that_can_be_compared_is_revealed(service: Running, db: Any) -> None:
    one, two = await service.couple()
    felt, said = await put(one, felt={"close": 5}), await put(one, felt=None, words={"my_view": "so"})
    theirs = await put(two, felt={"fair": 2}, words={"my_view": "or so"})
    assert set(await revealed(one)) == {said, theirs}
    other = await put(two, felt={"close": 1, "fair": 3})
    assert set(await revealed(one)) == {said, theirs, felt, other}
    await recounted(service, db, one, two)


NOTHING_IN_COMMON: list[Json] = [
    {"felt": {"fair": 5}},
    {"felt": None, "note": "x"},
    {"felt": None, "words": {"heard": "x", "close": "y"}},
    {"felt": {"fair": 1}, "words": {"my_view": " \n"}},
]


@pytest.mark.parametrize("dummy", NOTHING_IN_COMMON)
async def test_a_dummy_reveals_nothing(service: Running, dummy: Json) -> None:
    one, two = await service.couple()
    await put(one, felt={"close": 5, "heard": 3}, words={"my_view": "so", "their_sense": "that"})
    for _ in range(3):
        await put(two, **dummy)
    assert await revealed(one) == await revealed(two) == []


async def test_three_hundred_dummies_in_one_queue_read_nothing(service: Running) -> None:
    one, two = await service.couple()
    days = [f"2026-06-{day:02}T10:00:00Z" for day in (13, 14, 15)]
    for at in days:
        for sealed_for in ("day", "week"):
            await put(one, occurred_at=at, sealed_for=sealed_for)
    queue = [
        {"id": str(uuid4()), "kind": "check_in", "check_in": sealed(felt={"fair": 4}, occurred_at=at, sealed_for=what)}
        for at in days * 50
        for what in ("day", "week")
    ]
    answer = await two.expect(200, "POST", f"{HERE}/sync", {"entries": queue})
    assert {result["status"] for result in answer["results"]} == {"recorded"}
    assert [event["kind"] for event in answer["shared"]["events"]] == ["opened"]


async def test_of_one_answer_for_one_thing_four_of_one_author_wait(service: Running, db: Any) -> None:
    one, two = await service.couple()
    ids = [await put(one) for _ in range(6)]
    for _ in ids:
        await put(two)
    shown = await revealed(one)
    assert set(ids).intersection(shown) == set(ids[:4])
    assert len(shown) == 8
    await recounted(service, db, one, two)


@pytest.mark.parametrize("who", [0, 1])
async def test_nothing_is_revealed_unless_both_have_consented_at_that_moment(service: Running, who: int) -> None:
    one, two = couple = await service.couple()
    mine = await put(one)
    await couple[who].expect(204, "DELETE", "/v1/me/consent")
    if who == 1:
        assert await two.refused("check-ins", SEALED) == (403, "consent_required")
        return
    theirs = await put(two)
    assert await revealed(two) == []
    await one.consent()
    assert await revealed(two) == []
    later = await put(two)
    assert set(await revealed(two)) == {mine, later}
    assert theirs not in await revealed(two)


async def test_sent_again_without_consent_it_reveals_nothing(service: Running) -> None:
    one, two = await service.couple()
    theirs = uuid4()
    await one.expect(204, "DELETE", "/v1/me/consent")
    await put(two, theirs)
    await one.consent()
    mine = uuid4()
    async with unrevealed(service):
        await put(one, mine)
    await one.expect(204, "DELETE", "/v1/me/consent")
    await one.put("check-ins", SEALED, mine, status=200)
    assert await revealed(one) == []


async def test_who_gets_no_answer_sends_it_again_and_then_it_is_revealed(service: Running, db: Any) -> None:
    one, two = await service.couple()
    theirs, mine = await put(two), uuid4()
    async with unrevealed(service):
        await put(one, mine)
    assert await revealed(one) == []
    for _ in range(2):
        await one.put("check-ins", SEALED, mine, status=200)
        assert set(await revealed(one)) == {str(mine), theirs}
    await recounted(service, db, one, two)


async def test_a_late_one_stays_private_whoever_was_late(service: Running) -> None:
    one, two = await service.couple()
    await put(one)
    await put(two, occurred_at="2026-06-12T10:00:00Z")
    await put(one, occurred_at="2026-06-12T10:00:00Z")
    service.clock.advance(days=3)
    for phone in (one, two):
        await phone.sign_in(phone.email)
    await put(two)
    assert await revealed(two) == []
    assert [event["late"] for event in await two.events("private")] == [True, True]


async def test_a_day_that_has_not_come_where_its_author_is_stays_private(service: Running) -> None:
    one, two = await service.couple()
    service.clock.advance(hours=11, minutes=57)  # 23:57 UTC
    for phone in (one, two):
        await phone.sign_in(phone.email)
        await put(phone, occurred_at="2026-06-16T00:01:00Z")
    assert await revealed(one) == []
    ids = [await put(phone, occurred_at="2026-06-16T01:57:00+02:00") for phone in (one, two)]
    assert set(await revealed(one)) == set(ids)


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
    theirs = await put(two, about=about, occurred_at="2026-06-14T10:00:00Z", sealed_for="about")
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


async def test_what_was_sealed_before_the_other_came_stays_private(service: Running) -> None:
    one, two = await service.member(), await service.phone().sign_in()
    await two.consent()
    await put(one)
    await link(one, two)
    theirs = await put(two)
    assert await revealed(two) == []
    mine = await put(one, note="now")
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
    for count, about in enumerate(await asked(one, 10), start=1):
        await asyncio.gather(put(one, about=about), put(two, about=about))
        assert len(await revealed(one)) == 2 * count
    await recounted(service, db, one, two)


async def test_two_who_queue_and_take_back_at_once_wait_for_nobody_in_a_circle(service: Running, db: Any) -> None:
    one, two = await service.couple()
    things = await asked(one, 30)
    waiting = [(one, await put(one, about=about)) for about in things[:10]]
    async with asyncio.timeout(30):
        await asyncio.gather(
            *(take_back(phone, event_id) for phone, event_id in waiting),
            *(put(two, about=about) for about in things[:20]),
            *(put(one, about=about) for about in things[10:]),
            *(phone.put("check-ins", SEALED | {"audience": a}) for phone in (one, two) for a in ("shared", "private")),
        )
    await recounted(service, db, one, two)
    assert len([e for e in await one.events() if e.get("check_in", {}).get("audience") == "sealed"]) >= 20


@pytest.mark.parametrize("first", ["seals", "leaves"])
async def test_who_seals_while_the_other_leaves_comes_before_the_end_or_not_at_all(
    service: Running, db: Any, first: str
) -> None:
    one, two = await service.couple()
    days = [f"2026-06-{day:02}T10:00:00Z" for day in (14, 15)]
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


async def recorded_under_locks(service: Running, submitted: Submission) -> None:
    """Record it alone and under locks."""
    context: Context = service.app.state.context
    async with context.writer() as db:
        await record_under_locks(context, db, [submitted], wait_for_locks=True)


@asynccontextmanager
async def unrevealed(service: Running) -> AsyncIterator[None]:
    """Until the block ends the service dies, as it were, right after the commit of what is sealed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reveal, "reveal_waiting", _nothing)
        yield


async def _nothing(*_: Any) -> None:
    return None


async def test_what_is_being_taken_back_is_not_revealed(service: Running, db: Any) -> None:
    one, two = await service.couple()
    theirs = await put(two)
    back = await submission(two, convert({"occurred_at": AT, "event_id": theirs}, Retraction))
    async with holding(service, PRIVATE_PAGES, two.rid) as held:
        taking = asyncio.create_task(recorded_under_locks(service, back))
        await held.until_waiting(1)
        sealing = asyncio.create_task(put(one))
        await held.until_waiting(2)
    await asyncio.gather(taking, sealing)
    assert await revealed(one) == []
    await recounted(service, db, one, two)


WORLDS = ["never", "sealed", "took back", "revealed before", "dummy", "withdrew"]


async def world(service: Running, which: str) -> tuple[Phone, Phone]:
    """A couple of which the second has sealed something, or has not; nothing of it can be revealed."""
    one, two = await service.couple()
    match which:
        case "sealed":
            await put(two, felt={"fair": 2})
        case "took back":
            await take_back(two, await put(two))
        case "revealed before":
            await put(two, felt={"fair": 2})
            await take_back(two, await put(two, felt={"close": 2}))
        case "dummy":
            await put(two, felt=None, note="x")
        case "withdrew":
            await put(two)
            await two.expect(204, "DELETE", "/v1/me/consent")
    return one, two


async def test_sealing_does_the_same_work_whatever_the_other_has_sealed(service: Running, monkeypatch: Any) -> None:
    context: Context = service.app.state.context
    opened: list[bytes] = []

    def counted(key: bytes, ciphertext: bytes, bound: bytes) -> bytes:
        opened.append(key)
        return open_box(key, ciphertext, bound)

    everywhere(monkeypatch, open_box, counted)
    work = {}
    for which in WORLDS:
        one, _ = await world(service, which)
        await one.put("check-ins", SEALED | {"audience": "private"})
        opened.clear()
        async with overheard(
            context.writer_db, context.references_db, context.auth_db, context.admission_db, context.db
        ) as statements:
            await put(one)
        # Several pools are overheard, each of which returns a connection when it likes.
        work[which] = sorted(one for one in statements if "RESET ALL" not in one), len(opened)
        assert await revealed(one) == []
    assert WAITING in work["never"][0]
    for which in WORLDS:
        assert work[which] == work["never"], which


async def test_the_index_holds_what_waits_and_no_more(service: Running, db: Any) -> None:
    one, two = await service.couple()

    async def rows() -> int:
        return int(await db.fetchval("SELECT count(*) FROM waiting WHERE relationship_id = $1::text::uuid", one.rid))

    assert await rows() == 0
    kept = await put(one)
    assert await rows() == MAX_ANSWERS
    await put(one, felt={"fair": 1, "heard": 2}, words={"my_view": "x"})
    assert await rows() == 2 * MAX_ANSWERS
    await put(one, felt=None, note="nothing to compare")
    assert await rows() == 2 * MAX_ANSWERS
    await take_back(one, kept)
    assert await rows() == MAX_ANSWERS
    later = uuid4()
    await put(two, later)
    assert await rows() == 2 * MAX_ANSWERS
    await two.put("check-ins", SEALED | {"audience": "shared"}, later)
    assert await rows() == MAX_ANSWERS
    await put(two, felt={"heard": 5})
    assert await rows() == 0
    await put(one)
    await two.step_up()
    await two.expect(204, "DELETE", "/v1/me")
    assert await rows() == 0


async def test_what_is_refused_looks_for_nothing_of_the_others(service: Running) -> None:
    one, two = await service.couple()
    await put(two)
    context: Context = service.app.state.context
    async with overheard(context.writer_db) as statements:
        await one.refused("check-ins", sealed(occurred_at="2026-06-15T23:00:00Z"))
    assert not {WAITING, reveal.PARTNER} & set(statements)


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
