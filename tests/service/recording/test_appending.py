"""What is recorded at once follows on what it was made ready for, or is not written at all."""

import asyncio
from uuid import UUID, uuid4

import pytest
from msgspec import convert

from events.entries import CheckIn, Entry, Request, Retraction
from service.context import Context
from service.data_rights import erasure
from service.recording.append import append
from service.recording.decide import decide_entries
from service.recording.load import find_unconfirmed, load_write_set, lock_stream_heads
from service.recording.recorder import record_optimistically
from service.recording.write_set import Submission, SubmissionResult, Submitter, WriteSet
from tests.service.recording.test_recording import AT, HERE, MY_HEAD, NOTE, REQUEST, SHARED_NOTE
from tests.support.holding import holding
from tests.support.phones import Phone, Running

WRITTEN_ANEW = "UPDATE heads SET position = position WHERE stream_id = $1::text::uuid RETURNING 1"
ROWS = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM texts), (SELECT sum(count) FROM tallies)"


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


async def shared_of(one: Phone) -> str:
    found: str = (await one.get(HERE))["streams"]["shared"]
    return found


async def test_what_stands_alone_is_recorded_without_a_lock_before(service: Running) -> None:
    one, two = await service.couple()
    done = await at_once(service, await asks(one), await asks(two), await asks(one))
    assert done is not None
    assert sorted(stored.event.position for _, stored in done.appended) == [2, 3, 4]
    initiates = (await one.get(f"{HERE}/balances"))["mine"]["initiates"]
    assert (initiates["me"], initiates["partner"]) == (2, 1)


async def test_nothing_follows_on_a_head_that_was_written_while_this_waited(service: Running) -> None:
    one, two = await service.couple()
    other, _ = await service.couple()
    group = [await asks(phone) for phone in (other, one, two)]
    before = await service.ask(ROWS)
    async with holding(service, WRITTEN_ANEW, await shared_of(one)) as held:
        recording = asyncio.create_task(at_once(service, *group))
        await held.until_waiting()
    assert await recording is None
    assert await service.ask(ROWS) == before


async def test_a_head_that_was_only_held_is_followed(service: Running) -> None:
    one, _ = await service.couple()
    asked = await asks(one)
    async with holding(service, MY_HEAD, await shared_of(one)) as held:
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
    noted = await submission(one, convert(NOTE, CheckIn))
    async with context.writer() as db:
        write_set = await load_write_set(context, db, [noted])
        decide_entries(write_set)
        assert [type(answer) for answer in write_set.answers] == [SubmissionResult]
        await erasure.erase(context, noted.submitter.member_id)
        assert not await append(db, write_set.rows())
    assert await service.ask("SELECT FROM texts WHERE author_id = $1::text::uuid", one.author) == []


FREE = "SELECT stream_id FROM heads WHERE stream_id = $1::text::uuid FOR UPDATE SKIP LOCKED"


async def test_each_shared_head_of_a_group_is_held_also_where_another_takes_something_back(service: Running) -> None:
    one, _ = await service.couple()
    other, _ = await service.couple()
    mine = (await one.put("requests", REQUEST))["event"]["id"]
    back = convert({"occurred_at": AT, "event_id": mine}, Retraction)
    prompted = convert(SHARED_NOTE | {"prompt_id": str(uuid4())}, CheckIn)
    group = [await submission(phone, entry) for phone, entry in ((one, back), (other, prompted))]
    context: Context = service.app.state.context
    async with context.writer() as db, db.transaction():
        await lock_stream_heads(db, group)
        assert [await service.ask(FREE, await shared_of(phone)) for phone in (one, other)] == [[], []]


async def test_who_is_confirmed_between_two_looks_is_told_to_come_again(service: Running) -> None:
    one, two = await service.member(), await service.member()
    code = (await one.expect(201, "POST", f"{HERE}/invites"))["code"]
    two.rid = (await two.expect(200, "POST", "/v1/invites/accept", {"code": code}))["relationship_id"]
    await one.expect(200, "POST", f"{HERE}/confirm")
    context: Context = service.app.state.context
    async with context.writer() as db:
        asked = Submitter(await two.session(), UUID(two.member_id), UUID(two.rid))
        others = [asked._replace(member_id=uuid4()), asked._replace(session_id=uuid4())]
        assert await find_unconfirmed(db, [asked, *others]) == {asked}


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
