"""What is recorded at once follows on what it was made ready for, or is not written at all."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from msgspec import convert

from events.entries import CheckIn, Entry, Request, Retraction
from service.context import Context
from service.data_rights import erasure
from service.recording.append import append
from service.recording.concurrency import QUEUE_LANES, slot_of
from service.recording.decide import decide_entries
from service.recording.load import find_signed_in, find_unconfirmed, load_write_set, lock_stream_heads
from service.recording.recorder import record_optimistically
from service.recording.write_set import Submission, SubmissionResult, Submitter, WriteSet
from tests.service.recording.test_recording import AT, HERE, NOTE, REQUEST, SHARED_NOTE, differences
from tests.support.holding import SHARED_HEAD, holding
from tests.support.phones import Json, Phone, Running

WRITTEN = "UPDATE heads SET version = version + 1 WHERE relationship_id = $1::text::uuid AND stream = 0 RETURNING 1"
ROWS = "SELECT (SELECT count(*) FROM events), (SELECT string_agg(ciphertext, '' ORDER BY ciphertext) FROM pages)"


async def submission(one: Phone, entry: Entry, event_id: UUID | None = None) -> Submission:
    """An entry, as it comes from a phone."""
    submitter = Submitter(await one.session(), UUID(one.member_id), UUID(one.rid))
    return Submission(submitter, [(event_id or uuid4(), entry)])


async def asks(one: Phone, event_id: UUID | None = None) -> Submission:
    """A request, as it comes from a phone."""
    return await submission(one, convert(REQUEST, Request), event_id)


async def at_once(service: Running, *submissions: Submission) -> WriteSet | None:
    """Record optimistically, with time to wait for the locks of the statement that appends."""
    context: Context = service.app.state.context
    async with context.writer() as db:
        await db.execute("SET lock_timeout = '5s'")
        return await record_optimistically(context, db, list(submissions))


async def test_what_stands_alone_is_recorded_without_a_lock_before(service: Running) -> None:
    one, two = await service.couple()
    done = await at_once(service, await asks(one), await asks(two), await asks(one))
    assert done is not None
    assert sorted(stored.event.position for _, stored in done.appended) == [2, 3, 4]
    counts = (await one.get(f"{HERE}/balances"))["asks"]["counts"]
    assert (counts["me"], counts["partner"]) == (2, 1)


@pytest.mark.parametrize(
    "entry", [convert(REQUEST, Request), Retraction(occurred_at=datetime.now(UTC), event_id=uuid4())]
)
def test_no_group_has_both_queues_and_single_entries(entry: Entry) -> None:
    submitters = [Submitter(uuid4(), uuid4(), uuid4()) for _ in range(100)]
    single = {slot_of(Submission(one, [(uuid4(), entry)])).lane for one in submitters}
    queues = {slot_of(Submission(one, [(uuid4(), entry)] * 100)).lane for one in submitters}
    assert (len(single), len(queues), single & queues) == (1, QUEUE_LANES, set())


async def test_nothing_follows_on_a_head_that_was_written_while_this_waited(service: Running) -> None:
    one, two = await service.couple()
    other, _ = await service.couple()
    group = [await asks(phone) for phone in (other, one, two)]
    before = await service.ask(ROWS)
    async with holding(service, WRITTEN, one.rid) as held:
        recording = asyncio.create_task(at_once(service, *group))
        await held.until_waiting()
    assert await recording is None
    assert await service.ask(ROWS) == before


KEPT: Json = NOTE | {"initiated_by": "me"}
SEALED: Json = KEPT | {"felt": {"close": 5}, "audience": "sealed"}


@pytest.mark.parametrize(
    ("kept", "who", "then"),
    [(KEPT, 0, KEPT | {"audience": "shared"}), (SEALED, 1, SEALED)],
    ids=["shared later", "revealed"],
)
async def test_nothing_follows_on_a_page_that_was_written_meanwhile(
    service: Running, kept: Json, who: int, then: Json
) -> None:
    couple, event_id = await service.couple(), uuid4()
    await couple[0].put("check-ins", kept, event_id)
    noted = await submission(couple[0], convert(KEPT, CheckIn))
    context: Context = service.app.state.context
    async with context.writer() as db:
        write_set = await load_write_set(context, db, [noted], locked=False)
        await decide_entries(write_set)
        # What was kept counts in the shared stream from now on. The private one stays as it was, but for its page.
        await couple[who].put("check-ins", then, event_id)
        assert not await append(db, write_set.rows())
    assert await differences(service, *couple) == 0


async def test_a_head_that_was_only_held_is_followed(service: Running) -> None:
    one, _ = await service.couple()
    asked = await asks(one)
    async with holding(service, SHARED_HEAD, one.rid) as held:
        recording = asyncio.create_task(at_once(service, asked))
        await held.until_waiting()
    assert await recording is not None


async def test_nothing_is_written_where_an_id_is_taken(service: Running) -> None:
    one, two = await service.couple()
    taken = UUID((await one.put("requests", REQUEST))["event"]["id"])
    before = await service.ask(ROWS)
    assert await at_once(service, await asks(two), await asks(one, taken)) is None
    assert await service.ask(ROWS) == before


async def test_who_is_erased_between_the_two_statements_writes_nothing(service: Running) -> None:
    one, _ = await service.couple()
    context: Context = service.app.state.context
    noted = await submission(one, convert(NOTE | {"felt": {"close": 5}}, CheckIn))
    async with context.writer() as db:
        write_set = await load_write_set(context, db, [noted], locked=False)
        await decide_entries(write_set)
        assert [type(answer) for answer in write_set.answers] == [SubmissionResult]
        await erasure.erase(context, noted.submitter.member_id)
        assert not await append(db, write_set.rows())
    assert await service.ask("SELECT FROM events WHERE ciphertext IS NOT NULL AND author <> 0") == []
    assert await service.ask("SELECT FROM pages") == []


FREE = SHARED_HEAD + "SKIP LOCKED"


async def test_each_shared_head_of_a_group_is_held_also_where_another_takes_something_back(service: Running) -> None:
    one, _ = await service.couple()
    other, _ = await service.couple()
    mine = (await one.put("requests", REQUEST))["event"]["id"]
    back = convert({"occurred_at": AT, "event_id": mine}, Retraction)
    prompted = convert(SHARED_NOTE | {"prompt_id": str(uuid4())}, CheckIn)
    group = [await submission(phone, entry) for phone, entry in ((one, back), (other, prompted))]
    context: Context = service.app.state.context
    async with context.writer() as db, db.transaction():
        await lock_stream_heads(db, group, await find_signed_in(db, [one.submitter for one in group]))
        assert [await service.ask(FREE, phone.rid) for phone in (one, other)] == [[], []]


async def test_who_is_confirmed_between_two_looks_is_told_to_come_again(service: Running) -> None:
    one, two = await service.member(), await service.member()
    code = (await one.expect(201, "POST", f"{HERE}/invites"))["code"]
    two.rid = (await two.expect(200, "POST", "/v1/invites/accept", {"code": code}))["relationship_id"]
    await one.expect(200, "POST", f"{HERE}/confirm")
    context: Context = service.app.state.context
    async with context.writer() as db:
        asked = Submitter(await two.session(), UUID(two.member_id), UUID(two.rid))
        others = [asked._replace(member_id=uuid4()), asked._replace(session_id=uuid4())]
        assert (await find_signed_in(db, [asked, *others])).keys() == {asked.session}
        assert await find_unconfirmed(db, [asked, others[0]]) == {asked}


@pytest.mark.parametrize("stream", ["shared", "private"])
async def test_two_processes_that_write_to_one_stream_leave_no_gap(service: Running, stream: str) -> None:
    one, two = await service.couple()
    entries = [NOTE | {"audience": stream} for _ in range(12)]
    writers = [one, two] if stream == "shared" else [one, one]

    async def write(writer: Phone) -> None:
        for entry in entries:
            noted = await submission(writer, convert(entry, CheckIn))
            while await at_once(service, noted) is None:
                pass

    before = len(await one.events(stream))
    await asyncio.gather(*map(write, writers))
    assert [event["position"] for event in await one.events(stream)] == list(range(1, before + 25))
