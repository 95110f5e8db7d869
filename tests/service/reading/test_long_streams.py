"""What is read from a long stream: all of it where it is needed, slice by slice, and by nobody many times at once."""

import asyncio
import threading
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from events import reading
from events.reading import SLICE_EVENTS, TURN_EVENTS, decrypt_row, read_back
from projections import aside, openings, perspectives, requests
from projections.feed import as_read
from projections.standing import standing as standing_of
from service.reading.turns import Turns
from tests.service.reading.test_reads import AT, BOTH, REQUEST, answer, ask, later, put, read, standing, take_back
from tests.support.phones import Json, Phone, Running

MANY = 2 * SLICE_EVENTS + 50


async def fill(phone: Phone, audience: str = "shared") -> None:
    """So much in the stream that it is read in three slices."""
    note = {"occurred_at": AT, "note": "a walk", "audience": audience}
    entries: list[Json] = [{"id": str(uuid4()), "kind": "check_in", "check_in": note} for _ in range(MANY)]
    await phone.expect(200, "POST", "/v1/relationships/{rid}/sync", {"entries": entries[:400]})
    await phone.expect(200, "POST", "/v1/relationships/{rid}/sync", {"entries": entries[400:]})


async def slices(service: Running, phone: Phone, since: Any = None) -> list[list[int]]:
    """The positions in each slice of the shared stream."""
    context = service.app.state.context
    member, rid = UUID(phone.member_id), UUID(phone.rid)
    found = await service.app.state.reader_lookup.find(await phone.session(), member, rid)
    keys = await context.keys.relationship_keys(rid, found.reader.author_id)
    async with context.acting_as(member) as db:
        return [[e.position for e in part] async for part in read_back(db, keys, found.reader.shared, since)]


async def test_a_slice_is_short_and_nothing_is_left_out(service: Running) -> None:
    one, _ = await service.couple()
    await fill(one)
    found = await slices(service, one)
    assert [len(part) for part in found] == [SLICE_EVENTS, SLICE_EVENTS, MANY + 1 - 2 * SLICE_EVENTS]
    assert [position for part in reversed(found) for position in part] == list(range(1, MANY + 2))


async def test_others_have_their_turns_while_a_slice_is_opened(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = await service.couple()
    await fill(one)
    turn, opened = 0, Counter[int]()

    def counted(*given: Any) -> Any:
        opened[turn] += 1
        return decrypt_row(*given)

    async def others() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(reading, "decrypt_row", counted)
    beside = asyncio.create_task(others())
    await slices(service, one)
    beside.cancel()
    assert opened.total() == MANY + 1
    assert max(opened.values()) <= TURN_EVENTS


LONG_READS = {
    "requests": {"state": "open"},
    "openings": {},
    "voice": {},
    "perspectives": {"measure": "decides"},
    "perspectives of what was felt": {"measure": "felt", "item": "fair"},
}


@pytest.mark.parametrize("what", LONG_READS)
async def test_a_long_history_is_folded_beside_the_loop(
    service: Running, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    one, _ = await service.couple()
    await ask(one)
    await put(one, "openings", {"occurred_at": AT, "domain": "home"})
    await put(one, "decisions", BOTH)
    await put(one, "check-ins", {"occurred_at": AT, "felt": {"fair": 3}, "audience": "shared"})
    threads = set[int]()

    def noting(events: Any) -> Any:
        threads.add(threading.get_ident())
        return standing_of(events)

    for module in (requests, openings, perspectives):
        monkeypatch.setattr(module, "standing", noting)
    few = await read(one, what.partition(" ")[0], **LONG_READS[what])
    assert threads == {threading.get_ident()}
    monkeypatch.setattr(aside, "FEW_EVENTS", 0)
    threads.clear()
    await put(one, "check-ins", {"occurred_at": AT, "note": "another version", "audience": "shared"})
    assert await read(one, what.partition(" ")[0], **LONG_READS[what]) == few
    assert threads.isdisjoint({threading.get_ident()})
    assert threads


async def test_only_what_is_listed_is_made_ready_to_be_read(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = await service.couple()
    for _ in range(5):
        await ask(one)
        await put(one, "openings", {"occurred_at": AT, "domain": "home"})
    made = list[Any]()

    def counted(event: Any, me: Any) -> Any:
        made.append(event)
        return as_read(event, me)

    for module in (requests, openings):
        monkeypatch.setattr(module, "as_read", counted)
    assert len((await read(one, "requests", state="open", limit=2))["requests"]) == 2
    assert len((await read(one, "openings", limit=2))["openings"]) == 2
    assert len(made) == 4


async def test_what_is_older_is_left_alone(service: Running) -> None:
    one, _ = await service.couple()
    await fill(one)
    await later(service, one, days=10)
    since = service.clock() - timedelta(days=9)
    assert len(await slices(service, one, since)) == 1


async def test_what_is_open_is_found_however_old_it_is(service: Running) -> None:
    one, two = await service.couple()
    lasting: Json = {"expires_at": "2027-01-01T00:00:00Z"}
    kept, declined, gone = [await ask(one, **lasting) for _ in range(3)]
    await answer(two, declined, "no")
    await take_back(one, gone)
    await fill(one)
    await fill(two, "private")
    await later(service, one, two, days=30)
    open_to_me, open_to_other = [
        [asked["event"]["id"] for asked in (await read(phone, "requests", state="open"))["requests"]]
        for phone in (one, two)
    ]
    assert (open_to_me, open_to_other) == ([declined, kept], [kept])
    assert await standing(one) == []


async def test_what_is_recent_stands_as_its_answers_say_that_lie_slices_later(service: Running) -> None:
    one, two = await service.couple()
    first, second = await ask(one), await ask(one)
    offered = await put(two, "requests", REQUEST | {"in_reply_to": second})
    await fill(two)
    await answer(two, first, "not_now")
    await answer(one, offered, "yes")
    await fill(two, "private")
    assert await standing(two) == [("decided", "yes"), ("answered_otherwise", None), ("decided", "not_now")]
    assert await standing(one) == [("decided", "yes"), ("answered_otherwise", None), ("open", None)]


async def test_tellings_are_compared_over_slices(service: Running) -> None:
    one, two = await service.couple()
    decided = [await put(one, "decisions", BOTH) for _ in range(3)]
    await put(one, "check-ins", {"occurred_at": AT, "felt": {"fair": 3}, "audience": "shared"})
    await fill(one)
    for decision in decided[:2]:
        await put(two, "decisions", BOTH | {"about": decision})
    await put(two, "check-ins", {"occurred_at": AT, "felt": {"fair": 4}, "audience": "shared"})
    await take_back(one, decided[0])
    found = await read(one, "perspectives", measure="decides")
    assert (found["n"], found["table"][0][1]) == (1, 1)
    assert (await read(one, "perspectives", measure="felt", item="fair"))["table"][2][3] == 1


@pytest.fixture
def begun() -> list[str]:
    return []


async def test_a_member_reads_one_at_a_time_and_few_do_at_once(begun: list[str]) -> None:
    turns, go_on = Turns(at_once=2), asyncio.Event()
    busy, other, third = uuid4(), uuid4(), uuid4()

    async def long(name: str, member: UUID) -> None:
        async with turns.take(member):
            begun.append(name)
            await go_on.wait()

    tasks = [asyncio.create_task(long(f"busy {i}", busy)) for i in range(5)]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(long("other", other)), asyncio.create_task(long("third", third))]
    for _ in range(5):
        await asyncio.sleep(0)
    assert begun == ["busy 0", "other"]
    go_on.set()
    await asyncio.gather(*tasks)
    assert sorted(begun) == ["busy 0", "busy 1", "busy 2", "busy 3", "busy 4", "other", "third"]


async def test_who_gives_up_makes_room() -> None:
    turns, member = Turns(at_once=1), uuid4()
    async with turns.take(member):
        waiting = asyncio.create_task(turns.take(member).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(5), turns.take(uuid4()):
        pass
