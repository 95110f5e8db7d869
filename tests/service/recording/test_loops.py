"""Telling and taking back, over and over: whatever was taken back before is no work for what comes after it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from events import rules
from events.entries import Decision
from events.reading import SLICE_EVENTS, decrypt_row
from service.recording import load, reveal
from service.recording.decide import SLICE_ENTRIES
from tests.support.phones import Json, Phone, Running


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


HERE = "/v1/relationships/{rid}"
AT = "2026-06-15T10:00:00+02:00"
OPENING = {"occurred_at": AT, "domain": "home", "text": "Shall we move?"}
BOTH = {"occurred_at": AT, "domain": "money", "decided_by": "me", "audience": "shared"}
SEALED = {"occurred_at": AT, "felt": {"close": 5}, "audience": "sealed"}


def entry(kind: str, body: Any) -> Json:
    return {"id": str(uuid4()), "kind": kind, kind: body}


def back(event_id: str) -> Json:
    return {"occurred_at": AT, "event_id": event_id}


async def again_and_again(phone: Phone, path: str, body: Json, times: int) -> None:
    """Record it and take it back, so many times."""
    kind = {"check-ins": "check_in", "decisions": "decision"}[path]
    for begin in range(0, times, 250):
        entries: list[Json] = []
        for _ in range(min(250, times - begin)):
            said = entry(kind, body)
            entries += [said, entry("retraction", back(said["id"]))]
        synced = await phone.expect(200, "POST", f"{HERE}/sync", {"entries": entries})
        assert {result["status"] for result in synced["results"]} == {"recorded"}


@contextmanager
def counted(patch: pytest.MonkeyPatch) -> Iterator[list[UUID]]:
    """The ids of the events that are opened for what is recorded."""
    opened: list[UUID] = []

    def noting(decrypt: Callable[..., Any]) -> Callable[..., Any]:
        def noted(keys: Any, stream: Any, row: Any) -> Any:
            opened.append(row["event_id"])
            return decrypt(keys, stream, row)

        return noted

    with patch.context() as here:
        for module in (load, reveal):
            here.setattr(module, "decrypt_row", noting(module.decrypt_row))
        yield opened


async def telling(one: Phone, two: Phone) -> tuple[Phone, str, Json]:
    """Who goes on and on, and with what: one tells of the other's decision."""
    return one, "decisions", BOTH | {"about": (await two.put("decisions", BOTH))["event"]["id"]}


async def closing(one: Phone, two: Phone) -> tuple[Phone, str, Json]:
    """One closes what the other has opened."""
    return one, "decisions", BOTH | {"opening_id": (await two.put("openings", OPENING))["event"]["id"]}


async def sealing(one: Phone, two: Phone) -> tuple[Phone, str, Json]:
    """The other seals."""
    return two, "check-ins", SEALED


@pytest.mark.parametrize("begin", [telling, closing, sealing])
async def test_however_often_it_was_taken_back_as_much_is_opened_for_the_next(
    service: Running, monkeypatch: pytest.MonkeyPatch, begin: Callable[..., Any]
) -> None:
    counts = []
    for times in (2, 40):
        one, two = await service.couple()
        phone, path, body = await begin(one, two)
        await again_and_again(phone, path, body, times)
        if begin is sealing:
            await phone.put(path, body)  # and now it waits for the other's
        with counted(monkeypatch) as opened:
            said = (await one.put(path, body))["event"]["id"]
            if begin is not sealing:
                await one.put("retractions", back(said))
        counts.append(len(opened))
    assert counts[0] == counts[1]


async def test_both_are_revealed_after_all_that_was_taken_back(service: Running) -> None:
    one, two = await service.couple()
    await again_and_again(two, "check-ins", SEALED, 5)
    theirs, mine = [(await phone.put("check-ins", SEALED))["event"]["id"] for phone in (two, one)]
    assert {event["id"] for event in await one.events("shared")} >= {theirs, mine}


async def test_what_is_learned_of_many_is_decided_in_slices(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = await service.couple()
    turn, decided, learned = 0, Counter[int](), Counter[int]()
    decide_one, decrypt = rules.decide, decrypt_row

    def deciding(*given: Any) -> Any:
        decided[turn] += 1
        return decide_one(*given)

    def decrypting(*given: Any) -> Any:
        learned[turn] += 1
        return decrypt(*given)

    async def others() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(rules, "decide", deciding)
    monkeypatch.setattr(load, "decrypt_row", decrypting)
    queue = [entry("check_in", {"occurred_at": AT, "note": "x"}) for _ in range(500)]
    beside = asyncio.create_task(others())
    for _ in range(2):  # and once more, when all of them are known
        await one.expect(200, "POST", f"{HERE}/sync", {"entries": queue})
    beside.cancel()
    assert decided.total() >= 1000
    assert max(decided.values()) <= SLICE_ENTRIES
    assert learned.total() >= 500
    assert max(learned.values()) <= SLICE_EVENTS


# --- And the rules hold: a second telling is refused until the first is taken back


async def refused(phone: Phone, body: Json, code: str) -> None:
    answer = await phone.put("decisions", body, status=409 if code == "already_told" else 422)
    assert answer["code"] == code


async def test_after_many_a_second_telling_is_refused_until_the_first_is_taken_back(service: Running) -> None:
    one, two = await service.couple()
    _, _, body = await telling(one, two)
    await again_and_again(one, "decisions", body, 3)
    said = (await one.put("decisions", body))["event"]["id"]
    for audience in ("shared", "private"):
        await refused(one, body | {"audience": audience}, "already_told")
    await one.put("retractions", back(said))
    await one.put("decisions", body)


async def test_after_many_an_opening_is_closed_once(service: Running) -> None:
    one, two = await service.couple()
    _, _, body = await closing(one, two)
    await again_and_again(one, "decisions", body, 3)
    await again_and_again(two, "decisions", body, 3)
    said = (await one.put("decisions", body))["event"]["id"]
    for phone in (one, two):
        await refused(phone, body, "already_decided")
    await one.put("retractions", back(said))
    await two.put("decisions", body)


async def test_a_telling_that_was_shared_later_and_taken_back_can_be_told_again(service: Running) -> None:
    one, two = await service.couple()
    _, _, body = await telling(one, two)
    name = uuid4()
    await one.put("decisions", body | {"audience": "private"}, name)
    await one.put("decisions", body, name)
    await one.put("retractions", back(str(name)))
    other = (await one.put("decisions", body))["event"]["id"]
    await one.put("retractions", back(other))
    await one.put("decisions", body | {"audience": "private"})


async def test_what_is_taken_back_under_the_id_of_the_others_decision_stays_so(service: Running) -> None:
    one, two = await service.couple()
    _, _, body = await telling(one, two)
    await one.put("check-ins", {"occurred_at": AT, "note": "x"}, body["about"])
    await one.put("retractions", back(body["about"]))
    said = await one.put("decisions", body | {"audience": "private"})
    answer = await one.put("retractions", back(body["about"]), status=422)
    assert answer["code"] == "already_retracted"
    await one.put("retractions", back(said["event"]["id"]))


BEFORE = """
UPDATE events
SET alters = $1
WHERE event_id = $2::text::uuid
"""


async def test_a_telling_of_before_it_had_an_index_of_its_own_is_found(service: Running) -> None:
    one, two = await service.couple()
    _, _, body = await telling(one, two)
    said = (await one.put("decisions", body))["event"]["id"]
    keys, shared = await service.keys_of(one.rid), (await one.get(HERE))["streams"]["shared"]
    await service.ask(BEFORE, keys.alters_index(UUID(shared), UUID(body["about"])), said)
    await refused(one, body, "already_told")
    await one.put("retractions", back(said))
    await one.put("decisions", body)


@pytest.mark.parametrize("audience", ["shared", "private"])
def test_the_last_in_its_stream_is_known_in_whatever_order_they_are_learned(audience: Any) -> None:
    me, decision = uuid4(), uuid4()
    known = rules.Known()
    for position in (3, 1, 2):
        fact = Decision(occurred_at=datetime.fromisoformat(AT), about=decision, decided_by="me", domain="home")
        rules.evolve(known, rules.Recorded(audience, position, uuid4(), me, fact.occurred_at, fact))
    assert [one.position for one in known.told_by(me, decision)] == [3]
