"""The command that recomputes all tallies: together or one by one, in one process or in several."""

import asyncio
import multiprocessing
from collections.abc import Iterator

import pytest

from events import reading
from service.cli import maintenance, rebuild_tallies
from service.cli.rebuild_tallies import Listed, RebuiltPart, deal_out, listed, rebuild_all
from service.errors import StartupError
from tests.support.holding import holding
from tests.support.miscounting import miscount
from tests.support.phones import KEYS, Phone, Running, link
from tests.support.postgres import in_database

HERE = "/v1/relationships/{rid}"
REQUEST = {"occurred_at": "2026-06-15T10:00:00Z", "domain": "home"}

SPOIL = """
UPDATE events
SET ciphertext = set_byte(ciphertext, 40, get_byte(ciphertext, 40) # 1)
WHERE relationship_id = $1::text::uuid
    AND stream = $2
    AND position = 2
"""


LOSE = """
DELETE FROM events
WHERE relationship_id = $1::text::uuid
    AND stream = $2
    AND position = 1
"""


async def asking(service: Running) -> Phone:
    """One of a couple, who has asked for something."""
    one, _ = await service.couple()
    await one.put("requests", REQUEST)
    return one


async def rebuilt(service: Running) -> int:
    """How many counts had differed."""
    return await asyncio.to_thread(rebuild_all, service.database_url, KEYS)


async def each_alone(service: Running) -> list[list[Listed]]:
    """Every stream as a part of its own."""
    return [[one] for part in await listed(service.database_url) for one in part]


async def dealt_out(service: Running) -> list[RebuiltPart]:
    """The same in two processes."""
    done: list[RebuiltPart] = []
    await asyncio.to_thread(deal_out, service.database_url, KEYS, await each_alone(service), 2, done.append)
    return done


async def test_it_finds_no_differences_where_there_are_none(service: Running) -> None:
    await asking(service)
    assert await rebuilt(service) == 0


async def test_it_sets_right_what_differs_and_then_finds_nothing(service: Running) -> None:
    one = await asking(service)
    seen = await one.get(f"{HERE}/balances")
    await miscount(service.database_url, KEYS)
    assert await rebuilt(service) == 1
    assert await one.get(f"{HERE}/balances") == seen
    assert await rebuilt(service) == 0


async def test_what_is_not_migrated_is_refused(empty_database_url: str) -> None:
    with pytest.raises(StartupError, match="service migrate"):
        await maintenance.require_current_schema(empty_database_url)


async def test_a_partner_who_comes_in_meanwhile_keeps_their_counts(service: Running) -> None:
    one, two = await service.member(), await service.phone().sign_in()
    await two.consent()
    (part,) = await listed(service.database_url)
    await link(one, two)
    await one.put("requests", REQUEST)
    done: list[RebuiltPart] = []
    await rebuild_tallies.work(service.database_url, KEYS, [part], done.append)
    assert [one.differences for one in done] == [0]
    assert (await two.get(f"{HERE}/balances"))["asks"]["counts"]["partner"] == 1


@pytest.mark.parametrize("at_once", [1, 2, 2000])
@pytest.mark.parametrize("spoil", [SPOIL, LOSE])
async def test_what_does_not_open_is_left_alone_and_named_and_all_else_is_set_right(
    service: Running, spoil: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Read in parts, more are on their way when one does not open.
    monkeypatch.setattr(reading, "BODIES_AT_ONCE", at_once)
    one, _ = await asking(service), await asking(service)
    spoilt = (await one.get(HERE))["streams"]["shared"]
    await service.ask(spoil, one.rid, 0)
    await miscount(service.database_url, KEYS)
    with pytest.raises(StartupError, match=f"left alone: {spoilt}. .* set right: 1"):
        await rebuilt(service)


SPOIL_PAGES = """
UPDATE pages
SET ciphertext = set_byte(ciphertext, 40, get_byte(ciphertext, 40) # 1)
WHERE relationship_id = $1::text::uuid
"""


async def test_a_page_that_does_not_open_is_written_anew(service: Running) -> None:
    one = await asking(service)
    seen = await one.get(f"{HERE}/balances")
    # On this page nothing is counted any more.
    taken_back = await one.put("check-ins", {"occurred_at": "2026-06-15T10:00:00Z", "felt": {"close": 3}})
    await one.put("retractions", {"occurred_at": "2026-06-15T10:00:00Z", "event_id": taken_back["event"]["id"]})
    await service.ask(SPOIL_PAGES, one.rid)
    assert await one.refused("requests", REQUEST) == (503, "unreadable")
    assert await rebuilt(service) == 1
    assert await one.get(f"{HERE}/balances") == seen
    await one.put("requests", REQUEST)


async def test_who_holds_a_head_keeps_the_others_of_its_part_free(service: Running) -> None:
    phones = {phone.rid: phone for phone in [await asking(service) for _ in range(2)]}
    locked_first, held = sorted(phones)
    await miscount(service.database_url, KEYS)
    shared_head = "SELECT FROM heads WHERE relationship_id = $1::text::uuid AND stream = 0 FOR UPDATE"
    async with holding(service, shared_head, held) as holder:
        rebuild = asyncio.create_task(rebuilt(service))
        await holder.until_waiting()
        await phones[locked_first].put("requests", REQUEST)
    assert await rebuild == 2


async def test_two_processes_do_what_one_does(service: Running) -> None:
    one, _ = await asking(service), await asking(service)
    spoilt = (await one.get(HERE))["streams"]["private"]
    await one.put("check-ins", {"occurred_at": "2026-06-15T10:00:00Z", "note": "x"})
    await one.put("check-ins", {"occurred_at": "2026-06-15T10:00:00Z", "note": "y"})
    await service.ask(SPOIL, one.rid, 1)
    await miscount(service.database_url, KEYS)
    done = await dealt_out(service)
    assert (sum(d.streams for d in done), sum(d.differences for d in done)) == (6, 2)
    assert [str(stream) for d in done for stream in d.left_alone] == [spoilt]


def interrupted() -> Iterator[list[Listed]]:
    """Parts, until somebody presses Ctrl-C."""
    yield []
    raise KeyboardInterrupt


async def test_what_ends_it_early_ends_its_processes(service: Running) -> None:
    with pytest.raises(KeyboardInterrupt):
        deal_out(service.database_url, KEYS, interrupted(), 2, lambda done: None)
    assert multiprocessing.active_children() == []


async def test_a_process_that_is_gone_is_told(service: Running) -> None:
    def kill(done: RebuiltPart) -> None:
        for process in multiprocessing.active_children():
            process.kill()
            process.join()

    await asking(service)
    with pytest.raises(StartupError, match="ended too early"):
        deal_out(service.database_url, KEYS, await each_alone(service), 1, kill)


async def test_what_a_process_cannot_begin_is_told(service: Running) -> None:
    nowhere = in_database(service.database_url, "none")
    with pytest.raises(StartupError, match="cannot be reached"):
        deal_out(nowhere, KEYS, [[]], 1, lambda done: None)
