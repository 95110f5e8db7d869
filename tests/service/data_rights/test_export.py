"""An export is everything of mine, nothing of the other's, and whoever reads it can check it without the service."""

import csv
import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import asyncpg
import httpx
import msgspec
import pytest

from service.data_rights.export import CHUNK_EVENTS, Export
from tests.support.asking import device, listed, prompted
from tests.support.phones import Json, Phone, Running, headers_of
from tests.support.wire import Wire, served

VERIFIER = Path(__file__).parents[3] / "openapi" / "verify_export.py"
OCCURRED = "2026-06-15T10:00:00+02:00"
CANARY = "what nobody else may read"


async def exported(phone: Phone) -> httpx.Response:
    """The answer to an export, after a step-up."""
    await phone.step_up()
    answer = await phone.call("GET", "/v1/me/export")
    assert answer.status_code == 200, answer.text
    return answer


async def lived(one: Phone, two: Phone) -> None:
    """Something of every kind, in both streams of each."""
    asked = await one.put("requests", {"occurred_at": OCCURRED, "domain": "home", "text": "Tea?"})
    await two.put("decisions", {"occurred_at": OCCURRED, "request_id": asked["event"]["id"], "outcome": "yes"})
    for phone in (one, two):
        note = {"occurred_at": OCCURRED, "note": "Quiet", "decided_by": "partner"}
        kept = await phone.put("check-ins", note)
        await phone.put("check-ins", note | {"audience": "shared"})
        await phone.put("retractions", {"occurred_at": OCCURRED, "event_id": kept["event"]["id"]})


async def test_it_needs_a_fresh_code(service: Running) -> None:
    one = await service.member()
    refused = await one.call("GET", "/v1/me/export")
    assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
    await exported(one)
    service.clock.advance(minutes=5, seconds=1)
    assert (await one.call("GET", "/v1/me/export")).status_code == 403


async def test_it_says_what_every_other_call_says(service: Running) -> None:
    one, two = await service.couple()
    await lived(one, two)
    service.clock.advance(seconds=1)
    alone = await one.expect(201, "POST", "/v1/relationships", {})
    for phone in (one, two):
        document = (await exported(phone)).json()
        assert document["format"] == "mutuality/export/v1"
        assert document["me"] == await phone.get("/v1/me")
        assert document["sessions"] == (await phone.get("/v1/sessions"))["sessions"]
        listed = (await phone.get("/v1/relationships"))["relationships"]
        assert [told["relationship"] for told in document["relationships"]] == listed
        told = document["relationships"][-1]
        for stream in ("shared", "private"):
            path = "/v1/relationships/{rid}/events"
            assert told[stream] == await phone.get(path, stream=stream, proof="true", limit=500)
            assert len(told[stream]["events"]) >= 2
    assert (await exported(one)).json()["relationships"][0]["relationship"] == alone


async def test_it_holds_what_asks_me_but_no_address_and_nothing_planned(service: Running) -> None:
    one, two = await service.couple()
    for phone in (one, two):
        await device(phone)
        await phone.expect(200, "PUT", "/v1/me/schedule", {"after_events": {"enabled": True}})
        await prompted(service, phone)
        await prompted(service, phone, "scheduled")
    document = (await exported(one)).json()
    assert document["devices"] == (await one.get("/v1/me/devices"))["devices"] != []
    assert document["schedule"] == await one.get("/v1/me/schedule")
    assert document["prompts"] == await listed(one)
    assert len(document["prompts"]) == 1
    assert "c0ffee" not in json.dumps(document)


async def test_it_is_a_download_that_nobody_keeps(service: Running) -> None:
    headers = (await exported(await service.member())).headers
    assert headers["content-type"] == "application/json"
    assert headers["content-disposition"] == 'attachment; filename="mutuality-export.json"'
    assert headers["cache-control"] == "no-store"


async def test_its_bytes_are_those_of_one_piece_and_the_same_again(service: Running) -> None:
    one, two = await service.couple()
    await lived(one, two)
    await one.expect(201, "POST", "/v1/relationships", {})
    content = (await exported(one)).content
    assert msgspec.json.encode(msgspec.json.decode(content, type=Export)) == content
    assert (await one.call("GET", "/v1/me/export")).content == content


async def test_a_stream_longer_than_a_chunk_is_whole(service: Running) -> None:
    one = await service.member()
    await fill(one, CHUNK_EVENTS + 1)
    page = (await exported(one)).json()["relationships"][0]["private"]
    assert page["events"] == await one.events("private", proof="true")
    assert [event["position"] for event in page["events"]] == [*range(1, CHUNK_EVENTS + 2)]
    assert page["head"]["position"] == CHUNK_EVENTS + 1


async def fill(phone: Phone, count: int, audience: str = "private", note: str = "A walk") -> None:
    """So many check-ins."""
    for first in range(0, count, 500):
        queue = [check_in(audience, note) for _ in range(min(500, count - first))]
        answer = await phone.expect(200, "POST", "/v1/relationships/{rid}/sync", {"entries": queue})
        assert {result["status"] for result in answer["results"]} == {"recorded"}


def check_in(audience: str, note: str) -> Json:
    entry = {"occurred_at": OCCURRED, "note": note, "audience": audience}
    return {"id": str(uuid4()), "kind": "check_in", "check_in": entry}


# --- Nothing of the other's


async def test_the_others_private_stream_changes_no_byte_of_it(service: Running) -> None:
    one, two = await service.couple()
    await lived(one, two)
    asked = await one.put("requests", {"occurred_at": OCCURRED, "domain": "money"})
    before = await exported(one)
    no = {"occurred_at": OCCURRED, "request_id": asked["event"]["id"], "outcome": "no", "note": CANARY}
    quiet = await two.put("decisions", no)
    await two.put("check-ins", {"occurred_at": OCCURRED, "note": CANARY, "words": {CANARY: CANARY}, "decided_by": "me"})
    told = await two.put("decisions", {"occurred_at": OCCURRED, "domain": "home", "decided_by": "me", "text": CANARY})
    await two.put("retractions", {"occurred_at": OCCURRED, "event_id": told["event"]["id"]})
    await two.expect(200, "PATCH", "/v1/me", {"time_zone": "Europe/Berlin"})
    assert CANARY in (await exported(two)).text
    after = await one.call("GET", "/v1/me/export")
    assert (after.status_code, headers_of(after), after.content) == (200, headers_of(before), before.content)
    private = (await two.get("/v1/relationships/{rid}"))["streams"]["private"]
    secret = (CANARY, private, quiet["event"]["id"], two.member_id, two.email, two.access_token, two.refresh_token)
    assert [one_of_them for one_of_them in secret if one_of_them in after.text] == []


async def test_no_token_of_mine_is_in_it(service: Running) -> None:
    one = await service.member()
    told = (await exported(one)).text
    assert one.email in told
    assert one.access_token not in told
    assert one.refresh_token not in told


# --- Who checks it


def verify(content: bytes, *heads: str) -> subprocess.CompletedProcess[bytes]:
    """The program as a member runs it."""
    command = [sys.executable, "-S", str(VERIFIER), *heads]
    return subprocess.run(command, input=content, capture_output=True, check=False, timeout=30)


async def test_the_verifier_tells_the_head_of_each_stream(service: Running) -> None:
    one, two = await service.couple()
    await lived(one, two)
    content = (await exported(one)).content
    (told,) = json.loads(content)["relationships"]
    heads = [(told["relationship"]["streams"][name], told[name]["head"]) for name in ("shared", "private")]
    lines = [line.split()[1:] for line in verify(content).stdout.decode().splitlines()]
    assert lines == [[stream, str(head["position"]), head["link"]] for stream, head in heads]
    assert [head["position"] for _, head in heads] == [5, 2]


async def test_the_verifier_refuses_what_was_changed_or_cut_off(service: Running) -> None:
    one, two = await service.couple()
    await lived(one, two)
    content = (await exported(one)).content
    assert verify(content.replace(b"Tea?", b"Two?")).returncode != 0
    assert verify(content[:-1]).returncode != 0


def misquote_a_text(events: list[Json]) -> None:
    events[1]["request"]["text"] = "Two?"


def misquote_a_time(events: list[Json]) -> None:
    events[1]["request"]["occurred_at"] = "2026-06-15T09:00:00+01:00"


def misquote_who_decided(events: list[Json]) -> None:
    next(e for e in events if e["by"] == "partner" and "check_in" in e)["check_in"]["decided_by"] = "partner"


def claim_a_second_entry(events: list[Json]) -> None:
    events[1]["retraction"] = {"occurred_at": OCCURRED, "event_id": str(uuid4())}


def claim_what_nobody_said(events: list[Json]) -> None:
    events[0]["check_in"] = {"occurred_at": OCCURRED, "note": "Hello"}


MISQUOTES = (misquote_a_text, misquote_a_time, misquote_who_decided, claim_a_second_entry, claim_what_nobody_said)


async def test_an_entry_that_differs_from_its_proven_body_is_refused_by_the_verifier(service: Running) -> None:
    one, two = await service.couple()
    await lived(one, two)
    for phone in (one, two):
        assert verify((await exported(phone)).content).returncode == 0
    for misquote in MISQUOTES:
        document = (await exported(one)).json()
        misquote(document["relationships"][0]["shared"]["events"])
        refused = verify(json.dumps(document).encode())
        assert b"altered at" in refused.stderr, misquote.__name__


async def test_the_verifier_says_what_it_proves_and_takes_remembered_heads(service: Running) -> None:
    one, two = await service.couple()
    remembered = (await one.put("requests", {"occurred_at": OCCURRED, "domain": "home"}))["head"]
    await lived(one, two)
    content = (await exported(one)).content
    stream = json.loads(content)["relationships"][0]["relationship"]["streams"]["shared"]
    head = (stream, str(remembered["position"]))
    assert b"No remembered head" in verify(content).stderr
    known = verify(content, *head, remembered["link"])
    assert (known.returncode, known.stderr) == (0, b"")
    assert verify(content, *head, "00" * 32).returncode != 0
    assert verify(content, str(uuid4()), "1", "00" * 32).returncode != 0


def test_the_verifier_is_short_and_stands_on_the_other_one() -> None:
    lines = VERIFIER.read_text().splitlines()
    imported = {line.split()[1] for line in lines if line.startswith(("import ", "from "))}
    assert len(lines) <= 20
    assert imported == {"json", "sys", "verify"}


# --- While it is sent


@pytest.fixture
def wire(database_url: str) -> Iterator[Wire]:
    with served(database_url) as started:
        yield started


async def change(wire: Wire, statement: str, *values: Any) -> None:
    db = await asyncpg.connect(wire.database_url, server_settings={"session_replication_role": "replica"})
    await db.execute(statement, *values)
    await db.close()


LAST = CHUNK_EVENTS + 1
DAMAGES = {
    "a text that does not open": "UPDATE events SET ciphertext = substr(ciphertext, 1, 40) WHERE position = $1",
    "an event that is missing": "DELETE FROM events WHERE position = $1",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_cannot_be_read_in_the_middle_ends_the_connection(wire: Wire, damage: str) -> None:
    one = wire.run(wire.member())
    wire.run(fill(one, LAST))
    wire.run(one.step_up())
    wire.run(change(wire, damage, LAST))
    status, content, broken = read_as_it_comes(wire, one)
    assert (status, broken) == (200, True)
    assert content.startswith(b'{"format":')
    with pytest.raises(ValueError, match=r"delimiter|Expecting|Unterminated"):
        json.loads(content)


def read_as_it_comes(wire: Wire, phone: Phone) -> tuple[int, bytes, bool]:
    """The status, all bytes that came, and whether the connection ended before the document had."""
    content = b""
    with httpx.stream("GET", f"{wire.url}/v1/me/export", headers=bearer(phone)) as answer:
        try:
            for part in answer.iter_raw():
                content += part
        except httpx.RemoteProtocolError:
            return answer.status_code, content, True
    return answer.status_code, content, False


def test_each_stream_ends_where_it_ended_when_it_came_up(wire: Wire) -> None:
    one, two = wire.run(wire.couple())
    wire.run(fill(one, LAST))
    wire.run(one.step_up())
    with httpx.stream("GET", f"{wire.url}/v1/me/export", headers=bearer(one)) as answer:
        parts = answer.iter_raw(1000)
        content = next(parts)
        assert b'"shared":{' in content
        wire.run(fill(two, 1, "shared"))
        wire.run(fill(one, 1))
        content += b"".join(parts)
    told = streams_in(content)
    assert [told[name]["head"]["position"] for name in ("shared", "private")] == [1, LAST]
    assert [len(told[name]["events"]) for name in ("shared", "private")] == [1, LAST]


def test_phones_that_stop_reading_keep_nobody_waiting(wire: Wire) -> None:
    one = wire.run(wire.member())
    wire.run(fill(one, 4 * CHUNK_EVENTS, note="A walk" * 300))
    wire.run(one.step_up())
    slow = httpx.HTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)])
    with httpx.Client(transport=slow, base_url=wire.url, headers=bearer(one)) as client:
        # More of them than the service has connections to its database.
        asked = [client.build_request("GET", "/v1/me/export") for _ in range(5)]
        answers = [client.send(request, stream=True) for request in asked]
        assert wire.run(one.get("/v1/relationships/{rid}/balances"))
        # That they have really stopped is seen from this: what nobody has read yet can still go missing.
        wire.run(change(wire, "DELETE FROM events WHERE position = $1", 4 * CHUNK_EVENTS))
        for answer in answers:
            with pytest.raises(httpx.RemoteProtocolError):
                answer.read()


def bearer(phone: Phone) -> dict[str, str]:
    return {"Authorization": f"Bearer {phone.access_token}"}


def streams_in(content: bytes) -> Json:
    (told,) = json.loads(content)["relationships"]
    return {name: told[name] for name in ("shared", "private")}


# --- Without what is private, and as tables


async def test_my_private_streams_can_be_left_out(service: Running) -> None:
    one, two = await service.couple()
    await lived(one, two)
    await one.put("check-ins", {"occurred_at": OCCURRED, "note": CANARY})
    await one.expect(200, "PUT", f"/v1/me/pauses/{uuid4()}", {"from": "2026-06-01"})
    whole = (await exported(one)).json()
    part = (await one.call("GET", "/v1/me/export?private=false")).content
    assert CANARY.encode() not in part
    told = json.loads(part)
    assert told["relationships"][0]["private"] is None
    assert told["relationships"][0]["shared"] == whole["relationships"][0]["shared"]
    assert told["pauses"] == []
    verified = verify(part)
    assert verified.returncode == 0
    assert b"left out" in verified.stdout


async def tables(phone: Phone, query: str = "") -> dict[str, list[dict[str, str]]]:
    """The rows of each table, by the names of the files."""
    await phone.step_up()
    answer = await phone.call("GET", f"/v1/me/export?format=csv{query}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/zip")
    assert "no-store" in answer.headers["Cache-Control"]
    with ZipFile(io.BytesIO(answer.content)) as zipped:
        texts = {name: zipped.read(name).decode("utf-8-sig") for name in zipped.namelist()}
    return {name: list(csv.DictReader(io.StringIO(text, newline=""))) for name, text in texts.items()}


async def test_the_tables_hold_my_own_entries_that_stand(service: Running) -> None:
    one, two = await service.couple()
    felt = {"felt": {"close": 6}, "words": {"my_view": "Blue"}, "concerns": ["hurt"], "note": 'Line\nfeed, "quoted"'}
    kept = await one.put("check-ins", {"occurred_at": OCCURRED, "day": "2026-06-14"} | felt)
    gone = await one.put("check-ins", {"occurred_at": OCCURRED, "note": "gone"})
    await one.put("retractions", {"occurred_at": OCCURRED, "event_id": gone["event"]["id"]})
    asked = await one.put("requests", {"occurred_at": OCCURRED, "domain": "home", "text": "Tea?"})
    await two.put("decisions", {"occurred_at": OCCURRED, "request_id": asked["event"]["id"], "outcome": "yes"})
    opening = await two.put("openings", {"occurred_at": OCCURRED, "domain": "money", "text": "theirs"})
    closing = {"occurred_at": OCCURRED, "domain": "money", "decided_by": "both", "as_agreed": False}
    await one.put("decisions", closing | {"opening_id": opening["event"]["id"], "audience": "shared"})
    found = await tables(one)
    assert {name: len(rows) for name, rows in found.items()} == {
        "check_ins.csv": 1,
        "requests.csv": 1,
        "openings.csv": 0,
        "decisions.csv": 1,
    }
    (check_in,) = found["check_ins.csv"]
    assert (check_in["id"], check_in["relationship"]) == (kept["event"]["id"], one.rid)
    assert (check_in["day"], check_in["read_by"], check_in["close"], check_in["fair"]) == ("2026-06-14", "me", "6", "")
    assert (check_in["words"], check_in["concerns"], check_in["note"]) == ("my_view: Blue", "hurt", felt["note"])
    (decision,) = found["decisions.csv"]
    assert (decision["decided_by"], decision["as_agreed"], decision["read_by"]) == ("both", "False", "both")
    assert found["requests.csv"][0]["text"] == "Tea?"
    # The other's tables hold theirs.
    theirs = await tables(two)
    assert [len(theirs[name]) for name in ("check_ins.csv", "openings.csv", "decisions.csv")] == [0, 1, 1]


async def test_the_tables_can_leave_out_what_is_private_too(service: Running) -> None:
    one, _ = await service.couple()
    await one.put("check-ins", {"occurred_at": OCCURRED, "note": CANARY})
    await one.put("check-ins", {"occurred_at": OCCURRED, "note": "for both", "audience": "shared"})
    found = await tables(one, "&private=false")
    assert [row["note"] for row in found["check_ins.csv"]] == ["for both"]


async def test_no_cell_is_taken_for_a_formula(service: Running) -> None:
    one = await service.member()
    for note in ("=1+1", "+1", "-1", "@x", "a=1"):
        await one.put("check-ins", {"occurred_at": OCCURRED, "note": note})
    notes = {row["note"] for row in (await tables(one))["check_ins.csv"]}
    assert notes == {"'=1+1", "'+1", "'-1", "'@x", "a=1"}


async def test_tables_need_a_fresh_code_too(service: Running) -> None:
    one = await service.member()
    assert (await one.call("GET", "/v1/me/export?format=csv")).status_code == 403
    assert (await one.call("GET", "/v1/me/export?format=xml")).status_code == 422
