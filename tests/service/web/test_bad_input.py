"""Whatever a phone, or somebody who plays one, sends: a problem in plain words, below 500, and nothing is recorded.

The operations, their bodies and their queries are read from the contract document.
"""

import gzip
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import jsonschema_rs
import pytest
from msgspec import Struct

from service.app import create_app
from service.contract.document import document
from service.core.mail import ConsoleMailer
from service.settings import Settings
from tests.support.contract import example_of, inlined
from tests.support.phones import KEYS, Phone, Running, headers_of
from tests.support.wire import served


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


DOCUMENT = inlined(document(create_app("", Settings(), ConsoleMailer(), KEYS).litestar))
OCCURRED = "2026-06-15T10:00:00+02:00"
CHECK_IN = {"occurred_at": OCCURRED, "note": "A walk"}
MIB = 1024 * 1024
Json = dict[str, Any]


class Call(Struct, frozen=True):
    """An operation of the document."""

    name: str
    method: str
    path: str
    body: Any
    schema: Any
    parameters: list[Any]

    @property
    def address(self) -> str:
        """The path with new ids in it; the relationship is the phone's."""
        return re.sub(r"\{(id|\w+_id)}", lambda _: str(uuid4()), self.path)


def calls() -> Iterator[Call]:
    """All operations of the document."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            schema = DOCUMENT["components"]["schemas"].get(content.get("schema", {}).get("$ref", "").rpartition("/")[2])
            parameters = operation.get("parameters", [])
            yield Call(operation["operationId"], method.upper(), path, example_of(content), schema, parameters)


CALLS = list(calls())
WITH_BODY = [one for one in CALLS if one.schema]
WITH_QUERY = [one for one in CALLS if any(parameter["in"] == "query" for parameter in one.parameters)]


class World(Struct, frozen=True):
    """Two who are linked, and the database beneath them."""

    one: Phone
    two: Phone
    service: Running
    db: "asyncpg.Connection[asyncpg.Record]"

    async def tables(self) -> dict[str, Any]:
        """What stands in each table."""
        names = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        whole = "SELECT count(*), md5(string_agg(t::text, '' ORDER BY t::text)) FROM {} AS t"
        return {row[0]: tuple(*await self.db.fetch(whole.format(row[0]))) for row in await self.db.fetch(names)}

    async def send(self, call: Call, content: Any, media_type: str = "application/json") -> httpx.Response:
        """What an operation answers to these bytes."""
        headers = {"Content-Type": media_type} if media_type else {}
        return await self.one.call(call.method, call.address, content=content, headers=headers)


@pytest.fixture
async def world(service: Running) -> AsyncIterator[World]:
    """Two who have recorded something already."""
    one, two = await service.couple()
    await one.put("check-ins", CHECK_IN | {"audience": "shared"})
    db = await asyncpg.connect(service.database_url)
    yield World(one, two, service, db)
    await db.close()


def told(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem that is told as it should be."""
    assert answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"/docs/errors/{problem['code']}"
    assert problem["title"]
    assert problem["detail"].endswith(".")
    assert " " in problem["detail"]
    assert len(problem["detail"]) < 1000
    return answer.status_code, problem["code"]


def pointer(answer: httpx.Response) -> str | None:
    """Where the problem points to first."""
    where: str | None = answer.json().get("errors", [{"pointer": None}])[0]["pointer"]
    return where


def test_there_is_something_to_try() -> None:
    assert (len(WITH_BODY), len(WITH_QUERY)) >= (12, 5)
    assert sum(1 for call in WITH_BODY for _ in unfit_values(call)) > 600


# --- Bodies that are no JSON, or not of an object

NOT_JSON = {
    "nothing": b"",
    "a space": b" ",
    "half an object": b'{"note": "',
    "two values": b"{} {}",
    "a comma too many": b'{"note": "x",}',
    "other quotes": b"{'note': 'x'}",
    "a comment": b"// nothing\n{}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "UTF-16 without a mark": '{"note": "x"}'.encode("utf-16-le"),
    "Latin-1": '{"note": "ä"}'.encode("latin-1"),
    "an overlong NUL": b'{"note": "\xc0\x80"}',
    "an encoded surrogate": b'{"note": "\xed\xa0\x80"}',
    "an escaped lone surrogate": b'{"note": "\\ud800"}',
    "a surrogate the wrong way round": b'{"note": "\\udc00\\ud800"}',
    "a bare line break": b'{"note": "a\nb"}',
    "a bare NUL": b'{"note": "\x00"}',
    "NaN": b'{"note": NaN}',
    "Infinity": b'{"note": -Infinity}',
    "a leading zero": b'{"note": 01}',
    "open brackets": b"[" * 100_000,
    "deep arrays": b'{"note": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"note": ' * 20_000 + b"1" + b"}" * 20_000,
}
NOT_AN_OBJECT = [b"null", b"true", b"1", b'"{}"', b"[]", b"[{}]", b"1e400", b"9" * 5000]


async def test_what_is_not_json_is_400(world: World) -> None:
    before = await world.tables()
    for call in WITH_BODY:
        answers = {why: told(await world.send(call, content)) for why, content in NOT_JSON.items()}
        assert answers == dict.fromkeys(NOT_JSON, (400, "malformed_json")), call.name
    assert await world.tables() == before


async def test_json_in_another_encoding_is_400(world: World) -> None:
    for call in WITH_BODY:
        for encoding in ("utf-8-sig", "utf-16", "utf-16-be", "utf-32"):
            body = json.dumps(call.body).encode(encoding)
            assert told(await world.send(call, body)) == (400, "malformed_json"), call.name


async def test_what_is_not_an_object_is_422(world: World) -> None:
    before = await world.tables()
    for call in WITH_BODY:
        answers = {content: told(await world.send(call, content)) for content in NOT_AN_OBJECT}
        assert answers == dict.fromkeys(NOT_AN_OBJECT, (422, "invalid")), call.name
    assert await world.tables() == before


async def test_another_media_type_is_415(world: World) -> None:
    others = ["", "text/plain", "application/jsonx", "application/json-patch+json", "multipart/form-data; boundary=x"]
    for call in WITH_BODY:
        body = json.dumps(call.body)
        answers = [told(await world.send(call, body, other)) for other in others]
        assert set(answers) == {(415, "unsupported_media_type")}, call.name


async def test_another_charset_or_a_compressed_body_is_415_with_a_sentence(world: World) -> None:
    said = {}
    for call in WITH_BODY:
        body = json.dumps(call.body).encode()
        for charset in ("utf-16", "ISO-8859-1", '"latin1"'):
            answer = await world.send(call, body, f"application/json; charset={charset}")
            assert told(answer) == (415, "unsupported_media_type"), call.name
            said["charset"] = answer.json()["detail"]
        headers = {"content-type": "application/json", "content-encoding": "gzip"}
        answer = await world.one.call(call.method, call.address, content=gzip.compress(body), headers=headers)
        assert told(answer) == (415, "unsupported_media_type"), call.name
        said["gzip"] = answer.json()["detail"]
    assert "UTF-8" in said["charset"]
    assert "Content-Encoding" in said["gzip"]


async def test_json_may_be_spelled_otherwise(world: World) -> None:
    (call,) = (one for one in CALLS if one.name == "recordCheckIn")
    for spelled in ("Application/JSON", 'application/json; Charset="UTF-8"', "application/json;x=y"):
        assert (await world.send(call, json.dumps(call.body), spelled)).status_code == 201


# --- Bodies that are too large


async def chunks(size: int) -> AsyncIterator[bytes]:
    """So many bytes, whose number is not told beforehand."""
    for _ in range(size // 65_536):
        yield b" " * 65_536


async def test_ten_megabytes_are_413(world: World) -> None:
    before = await world.tables()
    for call in WITH_BODY:
        assert told(await world.send(call, b" " * 10 * MIB)) == (413, "too_large"), call.name
        assert told(await world.send(call, chunks(10 * MIB))) == (413, "too_large"), call.name
    assert await world.tables() == before


async def unsent() -> AsyncIterator[bytes]:
    """A body that nobody may ask for."""
    raise AssertionError
    yield b""


async def test_what_is_announced_as_too_large_is_refused_before_it_is_sent(world: World) -> None:
    for call in WITH_BODY:
        for length in (str(10 * MIB), f"{10 * MIB:020}"):
            headers = {"content-type": "application/json", "content-length": length}
            answer = await world.one.call(call.method, call.address, content=unsent(), headers=headers)
            assert told(answer) == (413, "too_large"), call.name


async def test_the_limits_are_exact(world: World) -> None:
    (one,) = (call for call in CALLS if call.name == "recordCheckIn")
    (many,) = (call for call in CALLS if call.name == "sync")
    for call, limit in ((one, MIB // 4), (many, 2 * MIB)):
        body = json.dumps(call.body).encode()
        assert (await world.send(call, body.ljust(limit))).status_code in (200, 201)
        assert told(await world.send(call, body.ljust(limit + 1))) == (413, "too_large")


# --- Bodies whose values do not fit: all that the document's schemas rule out

SAMPLES = [
    "1",
    "true",
    "",
    "\0",
    "x" * 3000,
    0,
    1,
    -1,
    1.0,
    1.5,
    2**31,
    2**63,
    2**70,
    -(2**70),
    True,
    [],
    [1],
    {},
    {"a": 1},
]


def unfit_values(call: Call) -> Iterator[tuple[str, Any]]:
    """Each field with each sample that its schema rules out; what is wrong within a queue is told entry by entry."""
    for name, schema in call.schema["properties"].items():
        whole = {**schema, "components": DOCUMENT["components"]}
        fits = jsonschema_rs.Draft202012Validator(whole, validate_formats=True).is_valid
        for value in SAMPLES:
            # To JSON Schema 1.0 is a whole number; to a strict reader it is not.
            whole_number = isinstance(value, float) and schema.get("type") == "integer"
            if (whole_number or not fits(value)) and not (name == "entries" and value == [1]):
                yield name, value


async def test_a_value_that_does_not_fit_is_pointed_to(world: World) -> None:
    before = await world.tables()
    for call in WITH_BODY:
        for name, value in unfit_values(call):
            answer = await world.send(call, json.dumps(call.body | {name: value}))
            assert told(answer) == (422, "invalid"), (call.name, value)
            # Or to what is wrong within it.
            assert f"{pointer(answer)}/".startswith(f"/{name}/"), (call.name, value)
    assert await world.tables() == before


async def test_null_is_as_absent(world: World) -> None:
    before = await world.tables()
    for call in WITH_BODY:
        for name in call.schema.get("required", []):
            absent = json.dumps({key: value for key, value in call.body.items() if key != name})
            answers = [await world.send(call, text) for text in (json.dumps(call.body | {name: None}), absent)]
            assert told(answers[0]) == (422, "invalid"), (call.name, name)
            assert answers[0].content == answers[1].content, (call.name, name)
    assert await world.tables() == before


UNKNOWN = {"more": "/more", "~a/b": "/~0a~1b", "": "/", "\0": "/\0", "ä - at `$.x`": "/ä - at `$.x`"}


async def test_an_unknown_field_is_pointed_to(world: World) -> None:
    before = await world.tables()
    for call in WITH_BODY:
        for name, place in UNKNOWN.items():
            for value in (1, None):
                answer = await world.send(call, json.dumps(call.body | {name: value}))
                assert (*told(answer), pointer(answer)) == (422, "invalid", place), call.name
    assert await world.tables() == before


async def test_a_missing_field_is_pointed_to(world: World) -> None:
    for call in WITH_BODY:
        for name in call.schema.get("required", []):
            answer = await world.send(call, json.dumps({key: call.body[key] for key in call.body.keys() - {name}}))
            assert (*told(answer), pointer(answer)) == (422, "invalid", f"/{name}"), call.name


async def test_what_lies_deeper_is_pointed_to_as_far_as_it_has_a_name(world: World) -> None:
    within = {
        '{"felt": {"valued": 8}}': "/felt/valued",
        '{"felt": {"valued": 100000000000000000000000}}': "/felt/valued",
        '{"felt": {"calm": 1}}': "/felt/calm",
        '{"words": {"Why?": 1}}': "/words/Why?",
        '{"words": {"\\u0000": "x"}}': "/words/\0",
    }
    for body, place in within.items():
        answer = await world.one.call(
            "PUT", f"/v1/relationships/{{rid}}/check-ins/{uuid4()}", json.loads(body) | CHECK_IN
        )
        assert (*told(answer), pointer(answer)) == (422, "invalid", place)


async def test_of_a_name_that_stands_twice_the_last_counts(world: World) -> None:
    (call,) = (one for one in CALLS if one.name == "recordCheckIn")
    body = '{"note": "A", "felt": {"heard": 1, "heard": 2}, "occurred_at": "%s", "note": "B"}' % OCCURRED  # noqa: UP031
    recorded = (await world.send(call, body)).json()["event"]["check_in"]
    assert recorded == {"occurred_at": OCCURRED, "note": "B", "felt": {"heard": 2}, "audience": "private"}


# --- Times

NO_TIMES = [
    "2026-06-15T10:00:00",
    "2026-06-15",
    "2026-06-15T10:00+02:00",
    "2026-06-15T10:00:00+02",
    "2026-06-15T10:00:00+24:00",
    "2026-06-15T10:00:00+99:99",
    "2026-06-15T24:00:00Z",
    "2026-06-15T23:59:60Z",
    "2016-12-31T23:59:60Z",
    "2026-02-29T10:00:00Z",
    "2026-04-31T10:00:00Z",
    "2026-13-01T10:00:00Z",
    "0000-12-31T10:00:00Z",
    "10000-01-01T00:00:00Z",
    "-0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.9999999",
    "2026-06-15T10:00:00.99999999+2",
    "2026-W25-1T10:00:00Z",
    "now",
    "1781510400",
    "٢٠٢٦-06-15T10:00:00Z",
    "2026-06-15T10:00:00Z\n",
]


async def test_what_is_no_time_is_pointed_to(world: World) -> None:
    before = await world.tables()
    for written in NO_TIMES:
        for kind, name in [("check-ins", "occurred_at"), ("requests", "expires_at")]:
            body = ({"domain": "home", "occurred_at": OCCURRED} if kind == "requests" else CHECK_IN) | {name: written}
            answer = await world.one.call("PUT", f"/v1/relationships/{{rid}}/{kind}/{uuid4()}", body)
            assert (*told(answer), pointer(answer)) == (422, "invalid", f"/{name}"), written
            assert "+02:00" in answer.json()["detail"]
    assert await world.tables() == before


FINER_TIMES = [
    ("2026-06-14T23:59:59.9999996+01:00", "2026-06-14T23:59:59.999999+01:00"),  # C#'s last tick of a day
    ("2026-06-14T23:59:59.999999999+01:00", "2026-06-14T23:59:59.999999+01:00"),  # Java's LocalTime.MAX
    ("2026-06-14t23:59:59.9999999z", "2026-06-14T23:59:59.999999Z"),
    ("2026-06-14T23:59:59.12345678901234567890Z", "2026-06-14T23:59:59.123456Z"),
    ("2026-06-14T23:59:59.0000000-02:00", "2026-06-14T23:59:59-02:00"),
]
LAST_TICK = "9999-12-31T23:59:59.9999999Z"


async def test_digits_beyond_microseconds_are_cut_off_and_never_change_the_day(world: World) -> None:
    for sent, kept in FINER_TIMES:
        words = {"occurred_at": sent, "note": sent}
        body = {"occurred_at": sent, "note": sent, "words": words}
        path = f"/v1/relationships/{{rid}}/check-ins/{uuid4()}"
        recorded = (await world.one.expect(201, "PUT", path, body))["event"]["check_in"]
        assert (recorded["occurred_at"], recorded["note"], recorded["words"]) == (kept, sent, words)
        assert (await world.one.expect(200, "PUT", path, body | {"occurred_at": kept}))["event"]["check_in"] == recorded
        queued = {"id": str(uuid4()), "kind": "check_in", "check_in": body}
        broken = {"id": str(uuid4()), "kind": "check_in", "check_in": CHECK_IN | {"felt": {"close": 10**400}}}
        synced = await world.one.expect(200, "POST", "/v1/relationships/{rid}/sync", {"entries": [queued, broken]})
        assert [result["status"] for result in synced["results"]] == ["recorded", "refused"]
        assert synced["private"]["events"][-1]["check_in"]["occurred_at"] == kept


async def test_the_last_tick_of_the_calendar_is_a_time(world: World) -> None:
    asked = {"occurred_at": OCCURRED, "domain": "home", "expires_at": LAST_TICK}
    recorded = (await world.one.put("requests", asked))["event"]["request"]
    assert recorded["expires_at"] == "9999-12-31T23:59:59.999999Z"
    schedule = await world.one.expect(200, "PUT", "/v1/me/schedule", {"paused_until": LAST_TICK})
    assert schedule["paused_until"] == "9999-12-31T23:59:59.999999Z"


@pytest.mark.parametrize("offset", ["-12:01", "+14:01", "+23:59", "-23:59"])
async def test_an_offset_of_no_place_is_pointed_to(world: World, offset: str) -> None:
    at = f"2026-06-14T12:00:00{offset}"
    asked = {"domain": "home", "occurred_at": OCCURRED, "expires_at": at.replace("2026", "2027")}
    told_then = CHECK_IN | {"occurred_at": at}
    for kind, body, name in [("check-ins", told_then, "occurred_at"), ("requests", asked, "expires_at")]:
        answer = await world.one.call("PUT", f"/v1/relationships/{{rid}}/{kind}/{uuid4()}", body)
        assert (*told(answer), pointer(answer)) == (422, "invalid", f"/{name}")
    answer = await world.one.call("PUT", "/v1/me/schedule", {"paused_until": at})
    assert (*told(answer), pointer(answer)) == (422, "invalid", "/paused_until")


EDGES = [
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00-12:00",
    "0001-01-01T00:00:00.000001+14:00",
]


async def test_the_first_days_of_the_calendar_can_be_read(world: World) -> None:
    for written in EDGES:
        body = {"occurred_at": written, "initiated_by": "me", "felt": {"close": 5}, "audience": "shared"}
        recorded = await world.one.put("check-ins", body)
        assert recorded["event"]["check_in"]["occurred_at"] == written
        assert recorded["event"]["late"]
    balances = await world.two.get("/v1/relationships/{rid}/balances", on="0001-01-01", window=366)
    assert balances["partners"]["initiates"]["counts"]["partner"] == 4
    days = {"from_": "0001-01-01", "to": "0001-01-02", "step": 1}
    trend = await world.two.get("/v1/relationships/{rid}/trends", measure="initiates", window=366, **days)
    assert [point["counts"]["partner"] for point in trend["partners"]] == [4, 4]
    felt = await world.two.get("/v1/relationships/{rid}/perspectives", measure="felt", item="close", to="0001-01-01")
    assert felt["n"] == 0


async def test_the_last_days_of_the_calendar_can_be_read(world: World) -> None:
    for ahead in ("9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59.999999+14:00"):
        body = {"occurred_at": ahead, "note": "x"}
        assert await world.one.refused("check-ins", body) == (422, "in_the_future")
        body = {"occurred_at": "0001-01-01T00:00:00+14:00", "domain": "home", "expires_at": ahead}
        await world.one.put("requests", body)
    (first, second) = (await world.two.get("/v1/relationships/{rid}/requests", state="open"))["requests"]
    assert {first["expires_at"], second["expires_at"]} == {
        "9999-12-31T23:59:59-12:00",
        "9999-12-31T23:59:59.999999+14:00",
    }
    balances = await world.one.get("/v1/relationships/{rid}/balances", on="9999-12-31", window=366)
    assert balances["mine"]["initiates"]["n"] == 0
    trend = await world.one.get(
        "/v1/relationships/{rid}/trends", measure="decides", from_="9999-12-30", to="9999-12-31", step=1
    )
    assert [point["on"] for point in trend["mine"]] == ["9999-12-30", "9999-12-31"]


async def test_a_request_of_the_last_second_can_be_answered_and_taken_back(world: World) -> None:
    expires = "9999-12-31T23:59:59-12:00"
    asked = await world.one.put("requests", {"occurred_at": EDGES[0], "domain": "home", "expires_at": expires})
    request_id = asked["event"]["id"]
    await world.two.put("decisions", {"occurred_at": EDGES[3], "request_id": request_id, "outcome": "no"})
    await world.one.put("retractions", {"occurred_at": EDGES[2], "event_id": request_id})
    (listed,) = (await world.two.get("/v1/relationships/{rid}/requests"))["requests"]
    assert listed["state"] == "retracted"


async def test_an_unknown_zone_is_pointed_to(world: World) -> None:
    unknown = ("", "Mars/Olympus", "europe/berlin", "../../etc/passwd", "/etc/localtime", "UTC ", "\0", "UTC+1", "ä")
    for zone in (*unknown, "localtime", "Factory", "posixrules", "posix/Europe/Berlin", "right/Europe/Berlin"):
        answer = await world.one.call("PATCH", "/v1/me", {"time_zone": zone})
        assert (*told(answer), pointer(answer)) == (422, "invalid", "/time_zone"), zone
    assert (await world.one.get("/v1/me"))["time_zone"] == "UTC"


# --- Ids of others


async def test_a_relationship_of_strangers_is_as_unknown_as_any(world: World) -> None:
    stranger = await world.service.member()
    before = await world.tables()
    ids = [stranger.rid, stranger.author, str(uuid4()), "x", world.one.rid.replace("-", ""), "null", "💔", "a" * 5000]
    for call in CALLS:
        if "{rid}" in call.path:
            answers = [await world.one.call(call.method, call.address.replace("{rid}", rid), call.body) for rid in ids]
            assert {told(answer) for answer in answers} == {(404, "not_found")}, call.name
            assert len({(answer.content, str(headers_of(answer))) for answer in answers}) == 1
    assert await world.tables() == before


async def test_an_event_of_strangers_is_as_unknown_as_any(world: World) -> None:
    stranger = await world.service.member()
    theirs = (await stranger.put("check-ins", CHECK_IN))["event"]["id"]
    hidden = (await world.two.put("check-ins", CHECK_IN))["event"]["id"]
    before = await world.tables()
    for kind, name in [
        ("check-ins", "about"),
        ("requests", "in_reply_to"),
        ("decisions", "about"),
        ("decisions", "opening_id"),
        ("retractions", "event_id"),
    ]:
        bodies = {
            "check-ins": CHECK_IN,
            "requests": {"domain": "home"},
            "decisions": {"domain": "home", "decided_by": "me"},
        }
        for event_id in (theirs, hidden, str(uuid4()), "00000000-0000-0000-0000-000000000000"):
            body = {"occurred_at": OCCURRED, **bodies.get(kind, {}), name: event_id}
            assert await world.one.refused(kind, body) == (404, "unknown_event")
    assert await world.tables() == before


async def test_a_session_of_another_is_as_unknown_as_any(world: World) -> None:
    (theirs,) = (await world.two.get("/v1/sessions"))["sessions"]
    answers = [await world.one.call("DELETE", f"/v1/sessions/{one}") for one in (theirs["id"], uuid4(), "x", "%00")]
    assert {told(answer) for answer in answers} == {(404, "not_found")}
    assert len({answer.content for answer in answers}) == 1
    assert (await world.two.get("/v1/sessions"))["sessions"] == [theirs]


# --- Queries

GARBAGE = ["", "null", "None", "%00", "%ff", "1e1", "1.0", "+8", "08", "٨", "-1", "9" * 40, "[]", "8,9", "2026-02-30"]


def fitting(call: Call) -> dict[str, str]:
    """A value that fits, for each parameter of the query."""
    queried = [parameter for parameter in call.parameters if parameter["in"] == "query"]
    return {one["name"]: str(one["example"]) for one in queried}


def needed(call: Call) -> dict[str, str]:
    """The same, of the parameters without which there is no answer."""
    required = {parameter["name"] for parameter in call.parameters if parameter["required"]}
    return {name: value for name, value in fitting(call).items() if name in required}


async def test_a_parameter_that_does_not_fit_is_pointed_to(world: World) -> None:
    for call in WITH_QUERY:
        for name in fitting(call):
            for garbage in GARBAGE:
                query = "&".join(f"{key}={value}" for key, value in (needed(call) | {name: garbage}).items())
                answer = await world.one.call("GET", f"{call.address}?{query}")
                assert (*told(answer), pointer(answer)) == (422, "invalid", f"/{name}"), (call.name, garbage)


async def test_an_unknown_or_repeated_parameter_is_refused(world: World) -> None:
    for call in WITH_QUERY:
        query = "&".join(f"{name}={value}" for name, value in needed(call).items())
        for more in ("more=1", "Window=28", "%77indow%00=28", "=1", "%ff=1"):
            answer = await world.one.call("GET", f"{call.address}?{query}&{more}")
            assert told(answer) == (422, "invalid")
            assert (pointer(answer) or "").startswith("/")
        for name, value in fitting(call).items():
            answer = await world.one.call("GET", f"{call.address}?{query}&{name}={value}&{name}={value}")
            assert told(answer) == (422, "invalid")
            assert "twice" in answer.json()["detail"]


async def test_a_trend_has_its_limits(world: World) -> None:
    refused = {
        "measure=felt": "/item",
        "measure=decides&item=close": "/item",
        "measure=decides&from=2026-06-02&to=2026-06-01": "/from",
        "measure=decides&from=0001-01-01&to=9999-12-31&step=31": "/from",
        "measure=decides&from=2025-05-11&to=2026-06-15&step=1": "/from",
        "measure=decides&window=367": "/window",
        "measure=decides&step=0": "/step",
    }
    for query, place in refused.items():
        answer = await world.one.call("GET", f"/v1/relationships/{{rid}}/trends?{query}")
        assert (*told(answer), pointer(answer)) == (422, "invalid", place)
    allowed = await world.one.get(
        "/v1/relationships/{rid}/trends", measure="decides", from_="2025-05-12", to="2026-06-15", step=1
    )
    assert len(allowed["mine"]) == 400


# --- Mail addresses

NO_ADDRESSES = [
    "",
    "@",
    "someone",
    "someone@",
    "@example.org",
    "some\none@example.org",
    "someone@example.org\r\nBcc: other@example.org",
    "someone@example.org\r\n\r\nHello",
    "other@example.org,someone@example.org",
    "someone@example.org;other@example.org",
    "<someone@example.org>",
    "Someone <someone@example.org>",
    "some one@example.org",
    '"some one"@example.org',
    "sömeone@example.org",
    "someone@[127.0.0.1]",
    "someone@example..org",
    "someone@example.org.",
    "someone@@example.org",
    "someone\0@example.org",
    "s" * 250 + "@example.org",
]


async def test_what_is_no_mail_address_is_pointed_to(world: World) -> None:
    before = await world.tables()
    for address in NO_ADDRESSES:
        answer = await world.service.phone().call("POST", "/v1/sign-in-codes", {"email": address})
        assert (*told(answer), pointer(answer)) == (422, "invalid", "/email"), address
    assert await world.tables() == before


# --- The offline queue

BAD_ENTRIES = {
    "1": (422, "invalid"),
    "null": (422, "invalid"),
    '"x"': (422, "invalid"),
    "[]": (422, "invalid"),
    "{}": (422, "invalid"),
    '{"id": 1, "kind": "check_in"}': (422, "invalid"),
    '{"id": "%s", "kind": "opened"}': (422, "invalid"),
    '{"id": "%s", "kind": "check_in"}': (422, "invalid"),
    '{"id": "%s", "kind": "check_in", "check_in": {}, "request": {}}': (422, "invalid"),
    '{"id": "%s", "kind": "check_in", "check_in": {"occurred_at": "2026-06-15"}}': (422, "invalid"),
    '{"id": "%s", "kind": "check_in", "check_in": {"occurred_at": "2026-06-15T10:00:00Z"}}': (422, "empty_check_in"),
    '{"id": "%s", "kind": "retraction", "check_in": {"occurred_at": "2026-06-15T10:00:00Z", "note": "x"}}': (
        422,
        "invalid",
    ),
    '{"id": "%s", "kind": "check_in", "check_in": {"occurred_at": "2026-06-15T10:00:00Z", "note": "\\ud800"}}': (
        400,
        "malformed_json",
    ),
    '{"id": "%s", "kind": "check_in", "check_in": {"occurred_at": "2026-06-15T10:00:00Z", "note": "\\u0000"}}': (
        422,
        "invalid",
    ),
    '{"id": "%s", "kind": "check_in", "check_in": {"occurred_at": "2026-06-15T10:00:00Z", "felt": {"fair": 1.5}}}': (
        422,
        "invalid",
    ),
    '{"id": "%s", "kind": "request", "request": {"occurred_at": "9999-12-31T10:00:00Z", "domain": "home"}}': (
        422,
        "in_the_future",
    ),
}


async def test_a_bad_entry_of_a_queue_stops_no_other(world: World) -> None:
    good = [f'{{"id": "{uuid4()}", "kind": "check_in", "check_in": {json.dumps(CHECK_IN)}}}' for _ in range(2)]
    bad = [entry.replace("%s", str(uuid4())) for entry in BAD_ENTRIES]
    content = f'{{"entries": [{", ".join([good[0], *bad, good[1]])}]}}'
    (call,) = (one for one in CALLS if one.name == "sync")
    answer = await world.send(call, content)
    assert answer.status_code == 200, answer.text
    first, *refused, last = answer.json()["results"]
    assert [first["status"], last["status"]] == ["recorded", "recorded"]
    assert [(one["problem"]["status"], one["problem"]["code"]) for one in refused] == list(BAD_ENTRIES.values())
    assert [one["id"] for one in refused] == [
        json.loads(entry)["id"] if "-" in entry and '"id"' in entry else None for entry in bad
    ]
    assert answer.json()["private"]["head"]["position"] == 2


async def test_an_encoded_surrogate_in_a_queue_stops_no_other(world: World) -> None:
    entry = b'{"id": "%b", "kind": "check_in", "check_in": {"occurred_at": "2026-06-15T10:00:00Z", "note": "%b"}}'
    ids = [str(uuid4()).encode() for _ in range(2)]
    content = b'{"entries": [%b, %b]}' % (entry % (ids[0], b"\xed\xa0\x80"), entry % (ids[1], b"x"))
    (call,) = (one for one in CALLS if one.name == "sync")
    results = (await world.send(call, content)).json()["results"]
    assert [one["status"] for one in results] == ["refused", "recorded"]
    assert [one["id"].encode() for one in results] == ids


async def test_a_queue_has_its_limit(world: World) -> None:
    (call,) = (one for one in CALLS if one.name == "sync")
    answer = await world.send(call, json.dumps({"entries": [1] * 501}))
    assert (*told(answer), pointer(answer)) == (422, "invalid", "/entries")
    assert len((await world.send(call, json.dumps({"entries": [1] * 500}))).json()["results"]) == 500


# --- Over a real socket: what no client library would send


def test_raw_paths_are_answered_in_kind(database_url: str) -> None:
    with served(database_url) as wire:
        one = wire.run(wire.member())
        for path in (
            "%00",
            "%ff",
            "%zz",
            "%",
            "x%2f..%2f",
            "%2e%2e",
            "a" * 50_000,
            "%F0%9F%92%94",
            "%ed%a0%80",
            ";",
            "'--",
        ):
            for address in (
                f"/v1/relationships/{path}",
                f"/v1/relationships/{one.rid}/{path}",
                f"/{path}",
                f"/docs/{path}",
            ):
                status, head, body = exchange(wire.url, one, f"GET {address}")
                assert status == 404, (address[:80], status)
                assert "content-type: application/problem+json" in head
                assert json.loads(body)["code"] == "not_found"


def test_methods_are_answered_in_kind(database_url: str) -> None:
    with served(database_url) as wire:
        one = wire.run(wire.member())
        status, head, body = exchange(wire.url, one, "TRACE /v1/me")
        assert (status, json.loads(body)["code"]) == (405, "method_not_allowed")
        assert "allow: DELETE, GET, HEAD, OPTIONS, PATCH" in head.splitlines()
        status, head, body = exchange(wire.url, one, "OPTIONS /v1/me")
        assert (status, body) == (204, "")
        assert "allow: DELETE, GET, HEAD, OPTIONS, PATCH" in head.splitlines()
        for address in ("/v1/me", "/health/ready", f"/v1/relationships/{one.rid}/balances", "/docs"):
            got, asked = (exchange(wire.url, one, f"{method} {address}") for method in ("GET", "HEAD"))
            assert asked[0] == got[0] == 200
            assert asked[2] == ""
            assert length(asked[1]) == length(got[1]) == len(got[2].encode())


def test_a_connection_outlives_a_head(database_url: str) -> None:
    with served(database_url) as wire:
        one = wire.run(wire.member())
        _, head, body = exchange(
            wire.url, one, "HEAD /health/live HTTP/1.1\r\nHost: mutuality.test\r\n\r\nGET /health/live"
        )
        assert head.startswith("HTTP/1.1 200 OK")
        assert body.startswith("HTTP/1.1 200 OK")


def exchange(url: str, phone: Phone, line: str) -> tuple[int, str, str]:
    """Status, head and body of the answer to a request line that is sent as it is."""
    headers = f"Host: mutuality.test\r\nConnection: close\r\nAuthorization: Bearer {phone.access_token}\r\n"
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10) as connection:
        connection.sendall(f"{line} HTTP/1.1\r\n{headers}\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b"")).decode()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), head, body


def length(head: str) -> int:
    """What the head says of the length of the body."""
    (told_length,) = (line for line in head.splitlines() if line.startswith("content-length: "))
    return int(told_length.removeprefix("content-length: "))


def test_who_sends_too_much_hears_of_it(database_url: str) -> None:
    with served(database_url) as wire:
        one = wire.run(wire.member())
        headers = {"Authorization": f"Bearer {one.access_token}", "Content-Type": "application/json"}
        with httpx.Client(base_url=wire.url, headers=headers) as client:
            for content in (b" " * 10 * MIB, iter([b" " * 65_536] * 160)):
                answer = client.put(f"/v1/relationships/{one.rid}/check-ins/{uuid4()}", content=content)
                assert told(answer) == (413, "too_large")
                assert "connection" not in answer.headers  # closed meanwhile, it would be reset, and this answer lost
            assert client.get("/v1/me").status_code == 200
