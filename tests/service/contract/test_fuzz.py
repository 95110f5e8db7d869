"""Schemathesis reads the contract document, and holds a running service to it: every status, body, header and code.

The short run is part of every test run; the long one tries a hundred times as much (make fuzz).
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from msgspec import Struct, field
from schemathesis.checks import CHECKS
from schemathesis.core.transport import Response

from service.app import create_app
from service.contract.document import document
from service.core.mail import ConsoleMailer
from service.settings import Settings
from service.web.requests import HYPHENATED
from tests.support.asking import device, prompted
from tests.support.contract import inlined
from tests.support.phones import KEYS, Phone
from tests.support.postgres import fresh_database
from tests.support.vouching import GOOGLE, KeyServer, hashed, registered, token
from tests.support.wire import Wire, served

DOCUMENT = inlined(document(create_app("", Settings(), ConsoleMailer(), KEYS).litestar))
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OCCURRED = "2026-06-15T10:00:00+02:00"
Json = dict[str, Any]
Case: TypeAlias = Any  # a schemathesis.Case, whose body may be of any type


class World(Struct):
    """Two who are linked, for the tries of one operation, and what has come of these."""

    wire: Wire
    one: Phone
    two: Phone
    session: requests.Session
    tries: int = 0
    answers: Counter[str] = field(default_factory=Counter)

    def call(self, method: str, path: str, body: Any = None, phone: Phone | None = None) -> Any:
        """The decoded answer to what must succeed; the first member asks unless another is named."""
        asked = (phone or self.one).call(method, path, body)
        answer = self.wire.run(asked)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


@pytest.fixture(scope="module")
def wire(postgres_url: str) -> Iterator[Wire]:
    """The service on a socket, registered with providers of identities."""
    with KeyServer().open() as keys, fresh_database(postgres_url) as url, served(url, **registered(keys)) as started:
        yield started


@pytest.fixture
def world(wire: Wire) -> Iterator[World]:
    """For each operation two others; in the end enough tries must have succeeded."""
    one, two = wire.run(wire.couple())
    with requests.Session() as session:
        tried = World(wire, one, two, session)
        yield tried
    meant = tried.answers["meant to succeed"]
    assert tried.answers["succeeded"] >= max(meant, 1), tried.answers


# --- What makes a try succeed that would fail for want of a real id, code or token


def own_session(world: World, case: Case) -> None:
    """Another device of the member."""
    phone = world.wire.phone()
    world.wire.run(phone.sign_in(world.one.email))
    newest = world.call("GET", "/v1/sessions", phone=phone)["sessions"]
    case.path_parameters["session_id"] = next(one["id"] for one in newest if one["current"])


def mailed_code(world: World, case: Case) -> None:
    """A code that was really sent."""
    phone = world.wire.phone()
    phone.email = f"{uuid4().hex}@example.org"
    attempt = world.call("POST", "/v1/sign-in-codes", {"email": phone.email}, phone)
    case.body |= {**attempt, "code": world.wire.run(phone.mailed_code())}


def own_code(world: World, case: Case) -> None:
    """A code that was sent to the member."""
    world.call("POST", "/v1/sessions/step-up-codes", {})
    case.body |= {"code": world.wire.run(world.one.mailed_code())}


def sent_to_a_new_address(world: World, case: Case) -> None:
    """An address that is one: the pattern knows no more than characters."""
    stepped_up(world, case)
    case.body |= {"email": f"{uuid4().hex}@example.org"}


def proven_address(world: World, case: Case) -> None:
    """A code that was sent to an address that nobody has."""
    stepped_up(world, case)
    address = f"{uuid4().hex}@example.org"
    world.call("POST", "/v1/me/email-codes", {"email": address})
    case.body |= {"code": world.wire.run(world.one.mailed_code(address))}
    world.one.email = address


def vouched(world: World, **said: str) -> Json:
    """A nonce that was really made, and a token that has its hash."""
    nonce = world.call("POST", "/v1/sign-in-nonces", {})["nonce"]
    return {"id_token": token(nonce=hashed(nonce), **said), "nonce": nonce}


def vouched_by_apple(world: World, case: Case) -> None:
    """A token of Apple."""
    case.body |= vouched(world)


def vouched_by_google(world: World, case: Case) -> None:
    """A token of Google."""
    case.body |= vouched(world, iss=GOOGLE)


def signed_in_with_apple(world: World, case: Case) -> None:
    """The member is one whom Apple knows, and has a token again."""
    body = vouched(world) | {"device_name": "a phone"}
    world.one.access_token = world.call("POST", "/v1/sessions/apple", body)["access_token"]
    vouched_by_apple(world, case)


def signed_in_with_google(world: World, case: Case) -> None:
    """The same with Google."""
    body = vouched(world, iss=GOOGLE) | {"device_name": "a phone"}
    world.one.access_token = world.call("POST", "/v1/sessions/google", body)["access_token"]
    vouched_by_google(world, case)


def fresh_token(world: World, case: Case) -> None:
    """A refresh token that nobody has used."""
    phone = world.wire.phone()
    world.wire.run(phone.sign_in())
    case.body |= {"refresh_token": phone.refresh_token}


def open_invite(world: World, case: Case) -> None:
    """An invite of somebody who is alone."""
    made = world.call("POST", "/v1/relationships", {}, world.two)
    case.body |= {"code": world.call("POST", f"/v1/relationships/{made['id']}/invites", None, world.two)["code"]}


def relationship_alone(world: World, case: Case) -> None:
    """A relationship in which an invite can be made."""
    case.path_parameters["rid"] = world.call("POST", "/v1/relationships", {})["id"]


def current_version(world: World, case: Case) -> None:
    """The consent that is in force."""
    case.body |= {"version": world.call("GET", "/v1/me")["consent"]["version"], "adult": True}


def known_zone(world: World, case: Case) -> None:
    """A zone that there is."""
    case.body.pop("time_zone", None)


def check_in(world: World, case: Case) -> None:
    """Something to tell of its own day, not sealed, about nothing, which both may read."""
    case.path_parameters["id"] = str(uuid4())
    case.body |= {"occurred_at": OCCURRED, "note": case.body.get("note") or "x", "audience": "shared"}
    without(case.body, "day", "about", "sealed_for", "concerns")


def request(world: World, case: Case) -> None:
    """A reply to nothing, open for a week."""
    case.path_parameters["id"] = str(uuid4())
    case.body |= {"occurred_at": OCCURRED}
    without(case.body, "in_reply_to", "expires_at")


def opening(world: World, case: Case) -> None:
    """Something of now."""
    case.path_parameters["id"] = str(uuid4())
    case.body |= {"occurred_at": OCCURRED}


def decision(world: World, case: Case) -> None:
    """An answer to a request that there is, or a decision for both."""
    case.path_parameters["id"] = str(uuid4())
    if case.body.get("outcome"):
        asked = {"occurred_at": OCCURRED, "domain": "home"}
        path = f"/v1/relationships/{world.one.rid}/requests/{uuid4()}"
        case.body |= {"request_id": world.call("PUT", path, asked, world.two)["event"]["id"]}
        without(case.body, "domain", "text", "size", "raised_by", "decided_by", "my_input", "opening_id", "about")
        without(case.body, "as_agreed")
    else:
        case.body |= {
            name: case.body.get(name) or value for name, value in {"domain": "home", "decided_by": "me"}.items()
        }
        without(case.body, "request_id", "outcome", "note", "opening_id", "about")
    case.body |= {"occurred_at": OCCURRED}


def retraction(world: World, case: Case) -> None:
    """An entry of mine that stands."""
    case.path_parameters["id"] = str(uuid4())
    path = f"/v1/relationships/{world.one.rid}/check-ins/{uuid4()}"
    told = world.call("PUT", path, {"occurred_at": OCCURRED, "note": "x"})
    case.body |= {"event_id": told["event"]["id"], "occurred_at": OCCURRED}


def by_token(world: World, case: Case) -> None:
    """No ticket, but the token."""
    without(case.query, "ticket")


def trend(world: World, case: Case) -> None:
    """A span of less than 400 points, an item where there is one, and who decided where that is told."""
    without(case.query, "from", "to", "item", "when")
    match case.query["measure"]:
        case "felt":
            case.query["item"] = "close"
        case "counted":
            case.query["when"] = "other_decided"


def perspective(world: World, case: Case) -> None:
    """An item where there is one."""
    without(case.query, "item")
    if case.query["measure"] == "felt":
        case.query["item"] = "close"


def quarter(world: World, case: Case) -> None:
    """One that is over."""
    case.query["quarter"] = "2025-Q4"


def month(world: World, case: Case) -> None:
    """One that has begun."""
    case.path_parameters["month"] = "2026-03"


def stepped_up(world: World, case: Case) -> None:
    """A session that has just shown a code."""
    world.wire.run(world.one.step_up())


def somebody_new(world: World, case: Case) -> None:
    """A member who is not needed any more."""
    world.one = world.wire.phone()
    world.wire.run(world.one.sign_in())
    stepped_up(world, case)


def own_device(world: World, case: Case) -> None:
    """A device that is registered."""
    case.path_parameters["device_id"] = world.wire.run(device(world.one))


def possible_device(world: World, case: Case) -> None:
    """An address of the kind that its provider gives out."""
    case.path_parameters["device_id"] = str(uuid4())
    case.body.clear()
    case.body.update(platform="android", provider="fcm", token="an-example")


def open_prompt(world: World, case: Case) -> None:
    """A prompt that was sent."""
    case.path_parameters["prompt_id"] = world.wire.run(prompted(world.wire, world.one))


def own_pause(world: World, case: Case) -> None:
    """A pause that was set."""
    case.path_parameters["pause_id"] = str(uuid4())
    world.call("PUT", f"/v1/me/pauses/{case.path_parameters['pause_id']}", {"from": "2026-06-01"})


def possible_pause(world: World, case: Case) -> None:
    """One with an end that is none before its beginning."""
    case.path_parameters["pause_id"] = str(uuid4())
    without(case.body, "to")


def as_it_is(world: World, case: Case) -> None:
    """Nothing has to be real."""


def without(names: Json, *unwanted: str) -> None:
    """Take names away, where they are."""
    for name in unwanted:
        names.pop(name, None)


POSSIBLE: dict[str, Callable[[World, Case], None]] = {
    "endSession": own_session,
    "exportMe": stepped_up,
    "signIn": mailed_code,
    "stepUp": own_code,
    "sendAddressCode": sent_to_a_new_address,
    "changeAddress": proven_address,
    "signInWithApple": vouched_by_apple,
    "signInWithGoogle": vouched_by_google,
    "stepUpWithApple": signed_in_with_apple,
    "stepUpWithGoogle": signed_in_with_google,
    "refreshSession": fresh_token,
    "acceptInvite": open_invite,
    "invite": relationship_alone,
    "giveConsent": current_version,
    "changeMe": known_zone,
    "eraseMe": somebody_new,
    "registerDevice": possible_device,
    "removeDevice": own_device,
    "dismissPrompt": open_prompt,
    "getPause": own_pause,
    "removePause": own_pause,
    "putPause": possible_pause,
    "recordCheckIn": check_in,
    "recordRequest": request,
    "recordOpening": opening,
    "recordDecision": decision,
    "recordRetraction": retraction,
    "listenLive": by_token,
    "getTrend": trend,
    "getPerspectives": perspective,
    "getChanges": quarter,
    "getReview": month,
}


# --- The run


def hold_to_it(case: Case, world: World) -> None:
    """One try: real ids where an id is well-formed; every second of those that could succeed is made to."""
    name = case.operation.definition.raw["operationId"]
    if is_uuid(case.path_parameters.get("rid")):
        case.path_parameters["rid"] = world.one.rid
    world.tries += 1
    could = (
        case.meta is not None and case.meta.generation.mode.is_positive and case.method == case.operation.method.upper()
    )
    meant = could and world.tries % 2 == 0
    if meant:
        POSSIBLE.get(name, as_it_is)(world, case)
    bearer = {"Authorization": f"Bearer {world.one.access_token}"}
    answer = case.call(base_url=world.wire.url, session=world.session, headers=bearer)
    world.answers["meant to succeed"] += meant
    world.answers["succeeded"] += answer.status_code < 400 and could
    case.validate_response(answer, excluded_checks=not_checked(name, case, answer))
    say_what_is_documented(case, answer)


def is_uuid(text: Any) -> bool:
    """Whether a path would take it for an id."""
    return isinstance(text, str) and HYPHENATED.fullmatch(text) is not None


def not_checked(name: str, case: Case, answer: Response) -> list[Any]:
    """What a schema cannot say: which valid bodies break a rule, and that a queue's entries are refused one by one.

    A parameter whose value is an empty list is not sent at all, and null in a body is as absent: neither is refused.
    The schema of a live stream is that of its text, and would be held against each of its frames.
    """
    (acceptance,) = CHECKS.get_by_names(["positive_data_acceptance"])
    if name == "listenLive":
        return [acceptance, *CHECKS.get_by_names(["response_schema_conformance"])]
    (rejection,) = CHECKS.get_by_names(["negative_data_rejection"])
    sent = parse_qs(urlsplit(answer.request.url or "").query, keep_blank_values=True)
    unsent = (case.query or {}).keys() - sent.keys()
    allowed = name == "sync" or unsent or holds_null(case.body)
    return [acceptance, rejection] if allowed else [acceptance]


def holds_null(value: Any) -> bool:
    """Whether something is null in it, at any depth."""
    if isinstance(value, dict):
        return any(one is None or holds_null(one) for one in value.values())
    return isinstance(value, list) and any(map(holds_null, value))


def say_what_is_documented(case: Case, answer: Response) -> None:
    """The code of a problem stands in the document, and nobody may keep an answer unasked."""
    assert answer.headers["cache-control"][0] in ("no-store", "private, no-cache")
    if case.method == case.operation.method.upper() and answer.status_code >= 400:
        documented = case.operation.definition.raw["responses"][str(answer.status_code)]["content"]
        assert answer.json()["code"] in documented["application/problem+json"]["examples"]


HEALTH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]


@SCHEMA.parametrize()
@settings(max_examples=10, deadline=None, derandomize=True, database=None, suppress_health_check=HEALTH)
def test_a_short_run_finds_nothing(case: Case, world: World) -> None:
    hold_to_it(case, world)


@pytest.mark.fuzz
@SCHEMA.parametrize()
@settings(max_examples=1000, deadline=None, suppress_health_check=HEALTH)
def test_a_long_run_finds_nothing(case: Case, world: World) -> None:
    hold_to_it(case, world)
