"""The offline queue up and the news down, in one call."""

import asyncio
import json
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from msgspec import Raw

from events.entries import FELT_ITEMS
from service.errors import MalformedJson
from service.recording import queue_text
from service.recording.offline_queue import read_entries
from service.recording.queue_text import MARK, MAX_MARKS, SLICE_MARKS, read_queue
from tests.support.phones import Json, Phone, Running


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


HERE = "/v1/relationships/{rid}"
AT = "2026-06-15T10:00:00+02:00"
NOTE = {"occurred_at": AT, "note": "a walk"}
SHARED_NOTE = NOTE | {"audience": "shared"}
REQUEST = {"occurred_at": AT, "domain": "home", "text": "Shall we go out?"}
BOTH = {"occurred_at": AT, "domain": "money", "decided_by": "me", "audience": "shared"}


def entry(kind: str, body: Any, event_id: UUID | str | None = None) -> Json:
    return {"id": str(event_id or uuid4()), "kind": kind, kind: body}


async def sync(phone: Phone, *entries: Any, **more: Any) -> Json:
    synced: Json = await phone.expect(200, "POST", f"{HERE}/sync", {"entries": list(entries), **more})
    return synced


async def sync_text(phone: Phone, text: bytes) -> httpx.Response:
    return await phone.call("POST", f"{HERE}/sync", content=text, headers={"Content-Type": "application/json"})


def statuses(synced: Json) -> list[tuple[str, str | None]]:
    return [(r["status"], r["problem"]["code"] if "problem" in r else None) for r in synced["results"]]


RECORDED = ("recorded", None)


async def test_entries_are_recorded_in_their_order_with_what_they_refer_to(service: Running) -> None:
    one, _ = await service.couple()
    note, both = entry("check_in", SHARED_NOTE), entry("decision", BOTH)
    about = entry("check_in", SHARED_NOTE | {"about": note["id"]})
    gone = entry("retraction", {"occurred_at": AT, "event_id": both["id"]})
    synced = await sync(one, note, about, both, gone, entry("request", REQUEST))
    assert statuses(synced) == [RECORDED] * 5
    assert [event["kind"] for event in synced["shared"]["events"]] == [
        "opened", "check_in", "check_in", "decision", "retraction", "request",
    ]  # fmt: skip
    assert [event["id"] for event in synced["shared"]["events"][1:]] == [r["id"] for r in synced["results"]]


async def test_an_entry_cannot_refer_to_one_behind_it(service: Running) -> None:
    one = await service.member()
    note = entry("check_in", NOTE)
    gone = entry("retraction", {"occurred_at": AT, "event_id": note["id"]})
    assert statuses(await sync(one, gone, note)) == [("refused", "unknown_event"), RECORDED]
    assert statuses(await sync(one, gone, note)) == [RECORDED, ("replayed", None)]


async def test_each_entry_has_a_result_of_its_own(service: Running) -> None:
    one, two = await service.couple()
    decided = (await two.put("decisions", BOTH))["event"]["id"]
    telling = BOTH | {"about": decided}
    first, other = entry("check_in", NOTE), entry("check_in", NOTE | {"note": "another"})
    other["id"] = first["id"]
    synced = await sync(
        one,
        first,
        first,
        other,
        entry("decision", telling),
        entry("decision", telling),
        entry("decision", BOTH | {"about": str(uuid4())}),
        entry("check_in", {"occurred_at": AT}),
        entry("check_in", SHARED_NOTE),
    )
    assert statuses(synced) == [
        RECORDED,
        ("replayed", None),
        ("conflict", "id_taken"),
        RECORDED,
        ("refused", "already_told"),
        ("refused", "unknown_event"),
        ("refused", "empty_check_in"),
        RECORDED,
    ]
    assert synced["results"][2]["problem"]["status"] == 409


BAD: list[Any] = [
    1,
    None,
    "an entry",
    [],
    {},
    {"kind": "check_in", "check_in": NOTE},
    entry("check_in", NOTE, "no-id"),
    entry("check_in", NOTE) | {"id": 7},
    entry("dream", NOTE),
    entry("check_in", None),
    entry("check_in", NOTE) | {"kind": "request"},
    entry("check_in", NOTE) | {"request": REQUEST},
    entry("check_in", NOTE) | {"more": 1},
    entry("check_in", NOTE | {"more": 1}),
    entry("check_in", NOTE | {"felt": {"fair": "1"}}),
    entry("check_in", NOTE | {"felt": {"fair": 10**30}}),
    entry("check_in", NOTE | {"note": "nul\x00"}),
    entry("check_in", NOTE | {"note": "a" * 2001}),
    entry("check_in", NOTE | {"occurred_at": "2026-06-15T10:00:00"}),
    entry("request", REQUEST | {"occurred_at": "9999-12-31T23:59:59Z"}),
    entry("check_in", NOTE | {"audience": "sealed", "sealed_for": "about"}),
]


async def test_a_bad_entry_of_any_sort_never_blocks_the_others(service: Running) -> None:
    one, _ = await service.couple()
    sent = [each for bad in BAD for each in (bad, entry("check_in", NOTE))]
    synced = await sync(one, *sent)
    assert [result["status"] for result in synced["results"]] == ["refused", "recorded"] * len(BAD)
    assert [r["id"] for r in synced["results"]] == [readable_id(each) for each in sent]
    assert {r["problem"]["status"] for r in synced["results"] if "problem" in r} == {422}
    assert len(synced["private"]["events"]) == len(BAD)


def readable_id(sent: Any) -> str | None:
    if not isinstance(sent, dict) or sent.get("id") in (None, "no-id", 7):
        return None
    return str(sent["id"])


NO_TEXTS = [rb'"\ud800"', b'"\xed\xa0\x80"', b'"\xff"', b"NaN", b"-Infinity", rb'{"\udfff": 1}']


async def test_what_is_no_text_and_no_number_is_refused_where_it_stands(service: Running) -> None:
    one = await service.member()
    for bad in NO_TEXTS:
        ids = [str(uuid4()) for _ in range(3)]
        notes = zip(ids, ('"café"'.encode(), bad, rb'"\u00e9"'), strict=True)
        queue = b", ".join(NOTED % (name.encode(), note) for name, note in notes)
        after = (await sync(one))["private"]["head"]["position"]
        synced = (await sync_text(one, b'{"private_after": %d, "entries": [%s]}' % (after, queue))).json()
        assert [(r["id"], r["status"]) for r in synced["results"]] == list(
            zip(ids, ("recorded", "refused", "recorded"), strict=True)
        )
        assert [event["check_in"]["note"] for event in synced["private"]["events"]] == ["café", "é"]


NOTED = b'{"id": "%s", "kind": "check_in", "check_in": {"occurred_at": "2026-06-15T10:00:00Z", "note": %s}}'

NO_QUEUES = [
    (b"", 400),
    (b"{", 400),
    (b'"\\ud800"', 400),
    (b'{"entries": "\\ud800"}', 400),
    (b'{"entries": [], "x": "\\ud800"}', 400),
    ('{"entries": []}'.encode("utf-16"), 400),
    (b"[]", 422),
    (b'{"entries": {}}', 422),
    (b'{"entries": [], "more": 1}', 422),
    (b'{"shared_after": -1}', 422),
    (b'{"shared_after": "1"}', 422),
    (b'{"private_after": 9223372036854775808}', 422),
]


async def test_a_queue_that_is_none_is_refused_as_a_whole(service: Running) -> None:
    one = await service.member()
    for text, status in NO_QUEUES:
        answer = await sync_text(one, text)
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json"), text


async def test_five_hundred_entries_are_taken_and_one_more_is_refused_as_a_whole(service: Running) -> None:
    one = await service.member()
    queue = [entry("check_in", NOTE) for _ in range(501)]
    await one.expect(422, "POST", f"{HERE}/sync", {"entries": queue})
    assert await one.events("private") == []
    synced = await sync(one, *queue[:500])
    assert statuses(synced) == [RECORDED] * 500
    assert synced["private"]["head"]["position"] == 500
    text = b'{"entries": [%s "\\ud800"]}' % (b"1," * 500)
    assert (await sync_text(one, text)).status_code == 422


async def test_a_queue_may_hold_two_mebibytes(service: Running) -> None:
    one = await service.member()
    text = b'{"entries": []%s}'
    assert (await sync_text(one, text % (b" " * (2 * 1024 * 1024 - 15)))).status_code == 200
    answer = await sync_text(one, text % (b" " * (2 * 1024 * 1024 - 14)))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_null_is_as_absent_in_a_queue_and_in_its_entries(service: Running) -> None:
    one, _ = await service.couple()
    path, nothing = "/v1/relationships/{rid}/sync", dict.fromkeys(("entries", "shared_after", "private_after"))
    assert await one.expect(200, "POST", path, nothing) == await one.expect(200, "POST", path, {})
    told = {"occurred_at": "2026-06-15T10:00:00+02:00", "note": "x", "felt": {"close": 6, "fair": None}}
    others = dict.fromkeys(("request", "decision", "retraction"))
    unset = dict.fromkeys(("audience", "domain", "words", "about"))
    queue = [{"id": str(uuid4()), "kind": "check_in", "check_in": told | unset, **others}]
    answer = await one.expect(200, "POST", path, nothing | {"entries": queue})
    assert [result["status"] for result in answer["results"]] == ["recorded"]
    assert (await one.events("private"))[0]["check_in"]["felt"] == {"close": 6}


async def test_the_news_begin_behind_what_the_phone_has(service: Running) -> None:
    one, two = await service.couple()
    for _ in range(2):
        await two.put("check-ins", SHARED_NOTE)
        await two.put("check-ins", NOTE)
    mine = entry("check_in", NOTE)
    synced = await sync(one, mine, shared_after=2)
    assert [event["position"] for event in synced["shared"]["events"]] == [3]
    assert [event["id"] for event in synced["private"]["events"]] == [mine["id"]]
    for stream in ("shared", "private"):
        after = 2 if stream == "shared" else 0
        assert synced[stream] == await one.get(f"{HERE}/events", stream=stream, after=after)
    nothing_new = await sync(one, shared_after=3, private_after=1)
    assert nothing_new["results"] == nothing_new["shared"]["events"] == nothing_new["private"]["events"] == []
    assert nothing_new["shared"]["head"] == synced["shared"]["head"]


async def test_more_news_than_fit_into_a_page_are_announced(service: Running) -> None:
    one = await service.member()
    synced = await sync(one, *[entry("check_in", NOTE) for _ in range(201)])
    assert (len(synced["private"]["events"]), synced["private"]["more"]) == (200, True)
    rest = await sync(one, private_after=200)
    assert ([e["position"] for e in rest["private"]["events"]], rest["private"]["more"]) == ([201], False)


async def test_a_replay_is_the_same_whichever_way_it_comes(service: Running) -> None:
    one, _ = await service.couple()
    by_put, by_sync = entry("request", REQUEST), entry("check_in", SHARED_NOTE)
    first = await one.put("requests", REQUEST, by_put["id"])
    synced = await sync(one, by_put, by_sync)
    assert statuses(synced) == [("replayed", None), RECORDED]
    assert await one.put("requests", REQUEST, by_put["id"], status=200) == first
    again = await one.put("check-ins", SHARED_NOTE, by_sync["id"], status=200)
    assert again["event"] == synced["shared"]["events"][-1]


async def test_the_same_entries_one_by_one_and_as_a_queue_make_the_same_streams(service: Running) -> None:
    one, two = await service.couple()
    request, both, mine = (await two.put("requests", REQUEST))["event"]["id"], str(uuid4()), str(uuid4())
    bodies: list[tuple[str, str, Json]] = [
        ("check-ins", mine, NOTE | {"felt": {"fair": 5, "close": 2}, "words": {"why": "so"}}),
        ("check-ins", str(uuid4()), SHARED_NOTE | {"initiated_by": "partner"}),
        ("decisions", str(uuid4()), {"occurred_at": AT, "request_id": request, "outcome": "no"}),
        ("decisions", str(uuid4()), {"occurred_at": AT, "request_id": request, "outcome": "yes"}),
        ("decisions", both, BOTH | {"my_input": "counted"}),
        ("decisions", both, BOTH | {"my_input": "asked"}),
        ("requests", str(uuid4()), REQUEST | {"in_reply_to": request}),
        ("retractions", str(uuid4()), {"occurred_at": AT, "event_id": mine}),
        ("retractions", str(uuid4()), {"occurred_at": AT, "event_id": both}),
        ("retractions", str(uuid4()), {"occurred_at": AT, "event_id": both}),
    ]
    apart = [await one.call("PUT", f"{HERE}/{kind}/{name}", body) for kind, name, body in bodies]
    three, four = await service.couple()
    await four.put("requests", REQUEST, request)
    kinds = {"check-ins": "check_in", "requests": "request", "decisions": "decision", "retractions": "retraction"}
    synced = await sync(three, *[entry(kinds[kind], body, name) for kind, name, body in bodies])
    assert [a.json().get("code") for a in apart] == [code for _, code in statuses(synced)]
    for phones in ((one, three), (two, four)):
        for stream in ("shared", "private"):
            assert recorded(await phones[0].events(stream)) == recorded(await phones[1].events(stream))
        assert await phones[0].get(f"{HERE}/balances") == await phones[1].get(f"{HERE}/balances")


def recorded(events: list[Json]) -> list[Json]:
    return [event for event in events if event["by"]]


async def test_outside_an_active_relationship_the_private_entries_of_a_queue_are_kept(service: Running) -> None:
    one, two = await service.couple()
    await two.expect(204, "POST", f"{HERE}/leave")
    synced = await sync(one, entry("request", REQUEST), entry("check_in", NOTE), entry("check_in", SHARED_NOTE))
    not_active = ("refused", "relationship_not_active")
    assert statuses(synced) == [not_active, RECORDED, not_active]
    assert [event["kind"] for event in synced["shared"]["events"]] == ["opened", "ended"]


async def test_who_waits_for_the_confirmation_gets_the_news_and_each_entry_refused(service: Running) -> None:
    one, two = await service.member(), await service.phone().sign_in()
    await two.consent()
    code = (await one.expect(201, "POST", "/v1/relationships/{rid}/invites"))["code"]
    two.rid = (await two.expect(200, "POST", "/v1/invites/accept", {"code": code}))["relationship_id"]
    entry = {
        "id": str(uuid4()),
        "kind": "check_in",
        "check_in": {"occurred_at": "2026-06-15T10:00:00Z", "note": "Soon"},
    }
    answer = await two.expect(200, "POST", "/v1/relationships/{rid}/sync", {"entries": [entry]})
    assert [(r["status"], r["problem"]["code"]) for r in answer["results"]] == [("refused", "wrong_state")]
    assert answer["shared"]["events"] == []


# What a decoder gives up at, in an entry that is an entry all the same, and what each is refused as.
HARD = {
    "nested deeply": b'{"id": "%s", "kind": "check_in", "check_in": ' + b"[" * 1000 + b"]" * 1000 + b"}",
    "long digits beside half a pair": b'{"id": "%s", "n": ' + b"1" * 5000 + b', "note": "\\ud800"}',
    "wrong brackets": b'{"id": "%s", "x": [}}',
    "long words": b'{"id": "%s", "kind": "check_in", "check_in": {"note": "' + b"a" * 300_000 + b'"}}',
}


async def test_an_entry_that_no_decoder_takes_is_refused_alone(service: Running) -> None:
    one = await service.member()
    for bad in HARD.values():
        good, name = entry("check_in", NOTE), str(uuid4())
        text = json.dumps(good).encode() + b" , " + bad.replace(b"%s", name.encode())
        results = (await sync_text(one, b'{"private_after": 0, "entries" : [%b]}' % text)).json()["results"]
        assert [(r["id"], r["status"]) for r in results] == [(good["id"], "recorded"), (name, "refused")]


async def test_what_is_no_queue_is_looked_at_once_and_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at, turn, at_once = 0, 0, Counter[int]()

    class Counted:
        def finditer(self, text: bytes) -> Any:
            nonlocal looked_at
            for mark in MARK.finditer(text):
                looked_at += 1
                at_once[turn] += 1
                yield mark

    async def others() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(queue_text, "MARK", Counted())
    size, beside = 2 * 1024 * 1024, asyncio.create_task(others())
    for text in (
        b"[" * size,
        b'{"entries": [' + b"[NaN]," * (size // 6),
        b'{"entries": [' + b'"",' * (size // 3),
        b'{"entries": ["' + b'\\"' * (size // 2),
        b"NaN",
    ):
        looked_at = 0
        with pytest.raises(MalformedJson):
            await read_queue(text)
        assert looked_at <= MAX_MARKS + 1
    beside.cancel()
    assert max(at_once.values()) <= SLICE_MARKS + 1
    assert MAX_MARKS <= 25_000


async def test_a_full_queue_with_one_odd_entry_is_taken_apart(service: Running) -> None:
    one = await service.member()
    full = {"initiated_by": "me", "decided_by": "both", "felt": dict.fromkeys(FELT_ITEMS, 5), "words": {"why": "so"}}
    queue = [entry("check_in", NOTE | full) for _ in range(499)]
    text = json.dumps({"entries": queue}).encode().replace(b'"entries": [', b'"entries": [NaN, ')
    results = (await sync_text(one, text)).json()["results"]
    assert [result["status"] for result in results] == ["refused", *["recorded"] * 499]


async def test_others_have_their_turns_while_a_queue_is_decoded() -> None:
    turns = 0

    async def somebody() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(somebody())
    small = [Raw(b"1")] * 500
    large = [Raw(b'{"id": "' + b"x" * 100_000 + b'"}')] * 20
    for entries, slices in ((small, 500 // 32), (large, 20)):
        turns = 0
        assert len(await read_entries(entries)) == len(entries)
        assert turns >= slices
    other.cancel()
