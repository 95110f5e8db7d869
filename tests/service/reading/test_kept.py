"""What is answered from memory is what would be counted anew, and is forgotten when it gets too much."""

import asyncio
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from events.records import StreamKey
from projections import balances
from projections.reader import Reader
from projections.rebuild import Stream, rebuild
from service.access.reader_lookup import ReaderLookup
from service.database.pool import checked_out
from service.errors import NotFound
from service.reading.answer_cache import OVERHEAD_BYTES, AnswerCache
from service.web.responses import cacheable
from tests.support.miscounting import miscount
from tests.support.phones import KEYS, Phone, Running, running

HERE = "/v1/relationships/{rid}"
FELT = {"occurred_at": "2026-06-15T10:00:00+02:00", "felt": {"close": 5}, "initiated_by": "me"}
SHARED = FELT | {"audience": "shared"}


# Behind the service's back, so that no version moves: it shows in what is counted afterwards, and in nothing else.
LOSE_COUNTS = "DELETE FROM pages"


async def looked(*phones: Phone) -> list[bytes]:
    return [(await phone.call("GET", f"{HERE}/balances")).content for phone in phones]


async def counted_anew(service: Running, *phones: Phone) -> list[bytes]:
    """The same from a service on the same database that has answered nothing yet."""
    async with running(service.database_url) as other:
        return await looked(*[as_on(other, phone) for phone in phones])


def as_on(other: Running, phone: Phone) -> Phone:
    """That phone, as it calls another service."""
    same = other.phone()
    same.access_token, same.rid = phone.access_token, phone.rid
    return same


async def test_what_did_not_change_is_counted_once_for_each_reader(service: Running) -> None:
    one, two = await service.couple()
    await one.put("check-ins", SHARED)
    seen = await looked(one, two)
    await service.ask(LOSE_COUNTS)
    assert await looked(one, two) == seen
    assert not set(await counted_anew(service, one, two)) & set(seen)


async def test_an_answer_from_memory_has_the_tag_of_one_made_anew(service: Running) -> None:
    one, _ = await service.couple()
    await one.put("check-ins", SHARED)
    first, kept = [await one.call("GET", f"{HERE}/balances") for _ in range(2)]
    async with running(service.database_url) as other:
        anew = await as_on(other, one).call("GET", f"{HERE}/balances")
    assert first.headers["etag"] == kept.headers["etag"] == anew.headers["etag"] == cacheable(anew.json()).tag.decode()


async def test_what_the_other_keeps_private_makes_nothing_be_counted_anew(service: Running) -> None:
    one, two = await service.couple()
    await two.put("check-ins", SHARED)
    seen = await looked(one)
    await service.ask(LOSE_COUNTS)
    await two.put("check-ins", FELT)
    assert await looked(one) == seen
    await one.put("check-ins", FELT)
    assert await looked(one) != seen


@pytest.mark.parametrize("entry", [FELT, SHARED])
async def test_an_entry_of_mine_shows_in_the_next_answer(service: Running, entry: Any) -> None:
    one, two = await service.couple()
    before = await looked(one, two)
    await one.put("check-ins", entry)
    after = await looked(one, two)
    assert after[0] != before[0]
    assert (after[1] != before[1]) == (entry is SHARED)


async def test_another_question_has_another_answer(service: Running) -> None:
    one, _ = await service.couple()
    await one.put("check-ins", SHARED)
    asked = ("", "?window=7", "?domain=home", "?on=2026-06-01")
    seen = [(await one.call("GET", f"{HERE}/balances{query}")).content for query in asked]
    assert len(set(seen)) == len(asked)


async def test_an_erasure_shows_in_the_next_answer(service: Running) -> None:
    one, two = await service.couple()
    await two.put("check-ins", SHARED)
    await two.expect(204, "POST", f"{HERE}/leave")  # so that the erasure itself appends nothing
    before = await looked(one)
    await two.step_up()
    await two.expect(204, "DELETE", "/v1/me")
    assert await looked(one) != before


async def test_what_a_rebuild_sets_right_shows_in_the_next_answer(service: Running) -> None:
    one, two = await service.couple()
    await one.put("check-ins", SHARED)
    right = await counted_anew(service, one, two)
    assert await miscount(service.database_url, KEYS, "initiates") == 1
    assert await looked(one, two) != right
    shared = (await one.get(HERE))["streams"]["shared"]
    key = StreamKey(UUID(one.rid), 0, UUID(shared))
    db = await asyncpg.connect(service.database_url)
    assert (await rebuild(db, [Stream(key, key, await service.keys_of(one.rid))])).differences == 1
    await db.close()
    assert await looked(one, two) == right


async def test_many_look_up_at_once_and_each_finds_their_own(service: Running) -> None:
    couples = [await service.couple() for _ in range(3)]
    lookup: ReaderLookup = service.app.state.reader_lookup
    phones = [phone for couple in couples for phone in couple] * 5
    found = await asyncio.gather(*[lookup.find(await p.session(), UUID(p.member_id), UUID(p.rid)) for p in phones])
    assert [str(one.reader.author_id) for one in found] == [phone.author for phone in phones]
    strangers = [
        lookup.find(await one.session(), UUID(one.member_id), UUID(two.rid))
        for one, two in zip(phones, phones[2:], strict=False)
    ]
    assert {type(e) for e in await asyncio.gather(*strangers, return_exceptions=True)} == {NotFound}


async def test_a_look_up_leaves_nothing_on_its_connection(service: Running) -> None:
    one, _ = await service.couple()
    lookup: ReaderLookup = service.app.state.reader_lookup
    await lookup.find(await one.session(), UUID(one.member_id), UUID(one.rid))
    for _ in range(2):
        assert await lookup._db.fetch("SELECT * FROM readers") == []


async def test_counting_leaves_nothing_on_its_connection(service: Running) -> None:
    one, two = await service.couple()
    await looked(one, two)
    await one.get(f"{HERE}/trends", measure="decides")
    for _ in range(2):
        assert await service.app.state.counting_db.fetch("SELECT * FROM pages") == []


async def test_counting_sees_the_streams_of_who_asks_only(service: Running) -> None:
    one, two = await service.couple()
    await two.put("check-ins", FELT)
    shared, private = (await two.get(HERE))["streams"].values()
    reader = Reader(UUID(two.rid), 2, UUID(two.author), UUID(shared), UUID(private))
    keys = await service.keys_of(two.rid)
    for phone, seen in ((two, 1), (one, 0)):
        asked = balances.Asked(date(2026, 6, 15), 28)
        async with checked_out(service.app.state.counting_db) as db:
            told = await balances.balances(db, keys, reader, asked, UUID(phone.member_id))
        assert told.mine.initiates.counts.me == seen


def test_what_was_asked_for_the_longest_ago_goes_first() -> None:
    cache = AnswerCache(2 * (OVERHEAD_BYTES + 10))
    keys = [(uuid4(),) for _ in range(3)]
    for key in keys[:2]:
        cache.put(key, "1", cacheable("01234567"))
    assert cache.get(keys[0], "1") is not None
    cache.put(keys[2], "1", cacheable("01234567"))
    assert [cache.get(key, "1") is not None for key in keys] == [True, False, True]
    assert cache.get(keys[0], "2") is None
