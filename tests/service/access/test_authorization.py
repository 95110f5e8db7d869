"""Who may do what: every operation of the contract document, asked for by six kinds of caller.

What is expected follows from the document: whether an operation needs a session, and what its path names. The tables
hold only what happens then; an operation that stands in none of them fails.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from msgspec import Struct

from service.app import create_app
from service.contract.document import document
from service.core.mail import ConsoleMailer
from service.settings import Settings
from tests.support.asking import prompted
from tests.support.contract import example_of, inlined
from tests.support.phones import KEYS, Json, Phone, Running, link, running
from tests.support.postgres import fresh_database

DOCUMENT = inlined(document(create_app("", Settings(), ConsoleMailer(), KEYS).litestar))
OPERATIONS: dict[str, tuple[str, str, Json]] = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
OCCURRED = "2026-06-15T10:00:00+02:00"
MALFORMED = ("no-id", "%00", "0", "0" * 32, "%7Brid%7D")

# --- Operations that need no session: what everybody gets, whoever they are. An example's code or token is nobody's.
OPEN = {
    "getVersion": 200,
    "getConsentText": 200,
    "getHelp": 200,
    "getLiveness": 200,
    "getReadiness": 200,
    "sendSignInCode": 202,
    "signIn": 401,
    "makeSignInNonce": 201,
    "refreshSession": 401,
    "signInWithApple": 404,  # of an operator who has not set it up
    "signInWithGoogle": 404,
}
# --- Operations on what is one's own: what whoever is signed in gets.
MINE = {
    "getMe": 200,
    "changeMe": 200,
    "sendAddressCode": 403,
    "changeAddress": 401,
    "giveConsent": 204,
    "withdrawConsent": 204,
    "listSessions": 200,
    "listRelationships": 200,
    "listQuestions": 200,
    "makeRelationship": 201,
    "acceptInvite": 404,
    "sendStepUpCode": 202,
    "stepUp": 401,
    "stepUpWithApple": 404,
    "stepUpWithGoogle": 404,
    "exportMe": 403,
    "eraseMe": 403,
    "listDevices": 200,
    "listPauses": 200,
    "getNextStep": 200,
    "getSchedule": 200,
    "putSchedule": 200,
    "listPrompts": 200,
}
# --- Operations on one thing of mine, named in the path: what its owner gets. To everybody else it is not there.
NAMED = {"endSession": 204, "removeDevice": 204, "dismissPrompt": 204, "getPause": 200, "removePause": 204}
# --- Operations that make what is named: what everybody gets under the same id, each for themselves.
MAKING = {"registerDevice": 200, "putPause": 200}
# --- Operations on a relationship: what the one who invited, the other one, and both after the end get.
OURS = {
    "getRelationship": (200, 200, 200),
    "listEvents": (200, 200, 200),
    "listRequests": (200, 200, 200),
    "listOpenings": (200, 200, 200),
    "getVoice": (200, 200, 200),
    "getHome": (200, 200, 200),
    "getReview": (200, 200, 200),
    "getBalances": (200, 200, 200),
    "getTrend": (200, 200, 200),
    "getPerspectives": (200, 200, 200),
    "getRoles": (200, 200, 200),
    "getChanges": (200, 200, 200),
    "listenLive": (200, 200, 200),
    "makeLiveTicket": (201, 201, 201),
    "sync": (200, 200, 200),
    "recordCheckIn": (201, 201, 201),
    "recordRequest": (201, 201, 403),
    "recordOpening": (201, 201, 403),
    "recordDecision": (201, 201, 201),
    "recordRetraction": (201, 201, 201),
    "invite": (403, 403, 403),
    "confirm": (200, 403, 403),
    "leave": (204, 204, 204),
}
# What an example cannot say: what is asked must be possible, and private, so that it stays so after the end.
BODIES: dict[str, Json | None] = {
    "makeRelationship": {},
    "recordCheckIn": {"occurred_at": OCCURRED, "note": "a walk"},
    "recordDecision": {"occurred_at": OCCURRED, "domain": "home", "decided_by": "me"},
    "recordRequest": {"occurred_at": OCCURRED, "domain": "home"},
    "recordOpening": {"occurred_at": OCCURRED, "domain": "home"},
    "recordRetraction": {"occurred_at": OCCURRED, "event_id": "{noted}"},
    "changeMe": {},
    "putSchedule": {"max_per_day": 1},
    "sync": {},
}
QUERIES = {
    "getTrend": "?measure=decides",
    "getPerspectives": "?measure=decides",
    "getChanges": "?quarter=2026-Q1",
}


class Cast(Struct):
    """Everybody who may ask. `one` invited `two`; `left` and `three` were a couple until `left` left."""

    anonymous: Phone
    stranger: Phone
    one: Phone
    two: Phone
    left: Phone
    three: Phone
    revoked: Phone

    @property
    def signed_in(self) -> list[Phone]:
        """Everybody with a session."""
        return [self.stranger, self.one, self.two, self.left, self.three]


@pytest.fixture(scope="module")
def module_database(postgres_url: str) -> Iterator[str]:
    """The DSN of a migrated database that lasts for the module."""
    with fresh_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
async def service(module_database: str) -> AsyncIterator[Running]:
    """One service for the module."""
    async with running(module_database) as started:
        yield started


@pytest.fixture(scope="module")
async def cast(service: Running) -> Cast:
    """Those who are refused, or who change nothing that others look at."""
    return await everybody(service)


@pytest.fixture
async def fresh(service: Running) -> Cast:
    """Those who really do it."""
    return await everybody(service)


async def everybody(service: Running) -> Cast:
    """New members."""
    stranger, (one, two), (left, three) = await service.member(), await service.couple(), await service.couple()
    await prompted(service, one)
    await left.expect(204, "POST", "/v1/relationships/{rid}/leave")
    revoked = await service.phone().sign_in(one.email)
    listed = (await revoked.get("/v1/sessions"))["sessions"]
    await revoked.expect(204, "DELETE", f"/v1/sessions/{next(s['id'] for s in listed if s['current'])}")
    revoked.rid = one.rid
    return Cast(service.phone(), stranger, one, two, left, three, revoked)


async def asked(phone: Phone, name: str, body: Json | None = None, **names: str) -> httpx.Response:
    """The operation with an example body; in its path what the phone's own things are called, or the names given."""
    method, path, operation = OPERATIONS[name]
    named = {"rid": phone.rid or str(uuid4()), "id": str(uuid4()), "month": "2026-05"} | names
    for parameter, value in named.items():
        path = path.replace(f"{{{parameter}}}", value)
    for parameter, of_phone in THINGS.items():
        if f"{{{parameter}}}" in path:
            path = path.replace(f"{{{parameter}}}", await of_phone(phone))
    if body is None and "requestBody" in operation:
        given = BODIES.get(name)
        body = example(operation) if given is None else given
        if "{noted}" in json.dumps(body):
            body = body | {"event_id": await noted(phone)}
    return await phone.call(method, path + QUERIES.get(name, ""), body)


def example(operation: Json) -> Json:
    """The body that the document shows."""
    shown: Json = example_of(operation["requestBody"]["content"]["application/json"])
    return shown


async def noted(phone: Phone) -> str:
    """A private note of the phone's, to be taken back; of none where it may not write."""
    event_id = str(uuid4())
    await phone.call("PUT", f"/v1/relationships/{{rid}}/check-ins/{event_id}", BODIES["recordCheckIn"])
    return event_id


async def session_of(phone: Phone) -> str:
    """A second session of the phone's member; of none where nobody is signed in."""
    listed = (await phone.call("GET", "/v1/sessions")).json().get("sessions", [])
    return str(next((one["id"] for one in listed), uuid4()))


async def device_of(phone: Phone) -> str:
    """A device of the phone's member, with an address of its own; of none where nobody is signed in."""
    device_id = str(uuid4())
    body = example(OPERATIONS["registerDevice"][2]) | {"token": uuid4().hex}
    await phone.call("PUT", f"/v1/me/devices/{device_id}", body)
    return device_id


async def prompt_of(phone: Phone) -> str:
    """A prompt of the phone's member; of none where nobody was asked anything."""
    listed = (await phone.call("GET", "/v1/me/prompts")).json().get("prompts", [])
    return str(next((one["id"] for one in listed), uuid4()))


async def pause_of(phone: Phone) -> str:
    """A pause of the phone's; of none where nobody is signed in."""
    name = str(uuid4())
    await phone.call("PUT", f"/v1/me/pauses/{name}", {"from": "2026-06-01"})
    return name


THINGS = {"session_id": session_of, "device_id": device_of, "prompt_id": prompt_of, "pause_id": pause_of}


def parts(answer: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """All of an answer, but for what chance has made in it."""
    content = re.sub(rb'("(?:attempt_id|nonce|ticket)":)"[^"]{36,43}"', rb"\1\"\"", answer.content)
    headers = [(name, value) for name, value in answer.headers.raw if name != b"x-request-id"]
    return answer.status_code, headers, content


def of(table: dict[str, Any]) -> list[str]:
    """The operations of a table that this document has."""
    return [name for name in table if name in OPERATIONS]


def secured() -> list[str]:
    """The operations that need a session."""
    return [name for name, (_, _, operation) in OPERATIONS.items() if operation["security"]]


def naming(parameter: str) -> list[str]:
    """The operations whose path has a parameter."""
    return [name for name, (_, path, _) in OPERATIONS.items() if f"{{{parameter}}}" in path]


# --- The tables fit the document


async def test_every_operation_is_in_the_table_that_it_belongs_to() -> None:
    assert set(of(OPEN)) == OPERATIONS.keys() - set(secured())
    assert set(of(OURS)) == set(naming("rid"))
    named = {name for name, (_, path, _) in OPERATIONS.items() if "{" in path} - set(of(OURS))
    assert set(of(NAMED | MAKING)) == named & set(secured())
    assert set(of(MINE)) == set(secured()) - set(of(OURS)) - set(of(NAMED | MAKING))


async def test_what_is_expected_is_documented() -> None:
    for name, expected in (OPEN | MINE | NAMED | MAKING | OURS).items():
        statuses = expected if isinstance(expected, tuple) else (expected,)
        assert {str(status) for status in statuses} <= OPERATIONS[name][2]["responses"].keys(), name


async def test_every_name_in_a_path_is_tried() -> None:
    tried = {"rid", "id", "month", *THINGS}
    in_paths = {p["name"] for *_, operation in OPERATIONS.values() for p in operation.get("parameters", [])}
    assert {name for name in in_paths if naming(name)} == tried


# --- Six kinds of caller


@pytest.mark.parametrize("name", of(OPEN))
async def test_an_open_operation_does_not_look_at_who_asks(cast: Cast, name: str) -> None:
    callers = [cast.anonymous, cast.revoked, *cast.signed_in]
    answers = [parts(await asked(caller, name)) for caller in callers]
    assert answers == [answers[0]] * len(answers)
    assert answers[0][0] == OPEN[name]


@pytest.mark.parametrize("name", secured())
async def test_without_a_session_nothing_is_answered_and_nothing_is_done(cast: Cast, name: str) -> None:
    before = await everything(cast.one)
    answers = [parts(await asked(caller, name, rid=cast.one.rid)) for caller in (cast.anonymous, cast.revoked)]
    assert answers[0] == answers[1]
    assert (answers[0][0], json.loads(answers[0][2])["code"]) == (401, "not_signed_in")
    assert await everything(cast.one) == before


async def everything(phone: Phone) -> list[bytes]:
    """What a member sees of themselves and of their relationship."""
    paths = ["/v1/me", "/v1/sessions", "/v1/relationships", "/v1/me/devices", "/v1/me/schedule", "/v1/me/prompts"]
    paths.append("/v1/me/pauses")
    paths += [f"/v1/relationships/{{rid}}/events?stream={stream}" for stream in ("shared", "private")]
    return [(await phone.call("GET", path)).content for path in paths]


@pytest.mark.parametrize("name", of(MINE))
async def test_what_is_ones_own_is_there_for_everybody_and_tells_of_nobody_else(fresh: Cast, name: str) -> None:
    body = {"version": "1", "adult": True} if name == "giveConsent" else None
    for caller in fresh.signed_in:
        answer = await asked(caller, name, body)
        assert answer.status_code == MINE[name], answer.text
        foreign = [x for other in fresh.signed_in if other is not caller for x in (other.member_id, other.email)]
        assert not [one for one in foreign if one in answer.text]


@pytest.mark.parametrize("name", of(NAMED))
async def test_what_is_named_is_there_for_its_owner_only(fresh: Cast, name: str) -> None:
    others = [fresh.stranger, fresh.two, fresh.left]
    parameter, theirs = await named_in(name, fresh.one)
    before = await everything(fresh.one)
    assert {(await asked(other, name, None, **{parameter: theirs})).status_code for other in others} == {404}
    assert await everything(fresh.one) == before
    assert (await asked(fresh.one, name, None, **{parameter: theirs})).status_code == NAMED[name]


async def named_in(name: str, phone: Phone) -> tuple[str, str]:
    """What the path of the operation names, and which one of it is the phone's."""
    parameter = next(one for one in THINGS if name in naming(one))
    return parameter, await THINGS[parameter](phone)


@pytest.mark.parametrize("name", of(MAKING))
async def test_what_is_made_under_the_id_of_anothers_leaves_that_as_it_is(fresh: Cast, name: str) -> None:
    parameter, theirs = await named_in(name, fresh.one)
    before = await everything(fresh.one)
    for other in (fresh.stranger, fresh.two, fresh.left):
        answers = [await asked(other, name, None, **{parameter: one}) for one in (theirs, str(uuid4()))]
        assert [answer.status_code for answer in answers] == [MAKING[name]] * 2
    assert await everything(fresh.one) == before


@pytest.mark.parametrize("name", of(OURS))
async def test_a_relationship_is_there_for_its_two_members(fresh: Cast, name: str) -> None:
    first, second, ended = OURS[name]
    assert [(await asked(former, name)).status_code for former in (fresh.left, fresh.three)] == [ended, ended]
    assert (await asked(fresh.one, name)).status_code == first
    assert (await asked(fresh.two, name)).status_code == second


@pytest.mark.parametrize("name", of(OURS))
async def test_to_a_stranger_a_relationship_is_not_there(cast: Cast, name: str) -> None:
    before = await everything(cast.one)
    for caller in (cast.stranger, cast.left):
        assert (await asked(caller, name, rid=cast.one.rid)).status_code == 404
    assert await everything(cast.one) == before


# --- Ids that are not mine, that are nobody's, and that are none


@pytest.mark.parametrize("name", naming("rid"))
@pytest.mark.parametrize("body", [None, {"unknown": 1}], ids=["a fitting body", "another body"])
async def test_foreign_unknown_and_malformed_relationships_get_equal_bytes(
    cast: Cast, name: str, body: Json | None
) -> None:
    event_id = str(uuid4())
    names = [cast.one.rid, cast.left.rid, str(uuid4()), *MALFORMED]
    answers = [parts(await asked(cast.stranger, name, body or BODIES.get(name), rid=one, id=event_id)) for one in names]
    assert answers == [answers[0]] * len(names)
    assert answers[0][0] == 404


@pytest.mark.parametrize("name", of(NAMED))
async def test_foreign_unknown_and_malformed_ids_of_things_get_equal_bytes(cast: Cast, name: str) -> None:
    parameter, theirs = await named_in(name, cast.one)
    names = [theirs, (await named_in(name, cast.left))[1], str(uuid4()), *MALFORMED]
    answers = [parts(await asked(cast.two, name, None, **{parameter: one})) for one in names]
    assert answers == [answers[0]] * len(names)
    assert answers[0][0] == 404


@pytest.mark.parametrize("name", naming("id"))
async def test_an_id_that_the_other_uses_in_private_is_as_free_as_any(cast: Cast, name: str) -> None:
    theirs, unknown = await noted(cast.one), str(uuid4())
    body = BODIES[name]
    if name == "recordRetraction":
        body = {"occurred_at": OCCURRED, "event_id": str(uuid4())}
    answers = [await asked(cast.two, name, body, id=one) for one in (theirs, unknown)]
    assert len({answer.status_code for answer in answers}) == 1
    assert answers[0].status_code == (404 if name == "recordRetraction" else 201)


@pytest.mark.parametrize("name", naming("id"))
async def test_a_malformed_id_gets_the_bytes_of_a_relationship_that_is_not_there(cast: Cast, name: str) -> None:
    not_there = parts(await asked(cast.two, name, BODIES[name], rid=str(uuid4())))
    for one in MALFORMED:
        assert parts(await asked(cast.two, name, BODIES[name], id=one)) == not_there


@pytest.mark.parametrize("kind", ["check-ins", "requests", "decisions", "retractions"])
async def test_what_names_a_private_event_of_the_other_gets_the_bytes_of_what_names_none(cast: Cast, kind: str) -> None:
    theirs = await noted(cast.one)
    refers = {
        "check-ins": {"note": "a walk", "about": "{id}"},
        "requests": {"domain": "home", "in_reply_to": "{id}"},
        "decisions": {"outcome": "yes", "request_id": "{id}"},
        "retractions": {"event_id": "{id}"},
    }
    path, event_id = f"/v1/relationships/{{rid}}/{kind}", str(uuid4())
    said = json.dumps({"occurred_at": OCCURRED, **refers[kind]})
    bodies = [json.loads(said.replace("{id}", one)) for one in (theirs, str(uuid4()))]
    answers = [parts(await cast.two.call("PUT", f"{path}/{event_id}", body)) for body in bodies]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


async def test_what_is_linked_again_is_another_relationship(service: Running, fresh: Cast) -> None:
    before = fresh.left.rid
    await fresh.left.begin()
    await link(fresh.left, fresh.three)
    assert fresh.left.rid != before
    assert [event["kind"] for event in await fresh.three.events()] == ["opened"]
