"""The contract document is complete, valid, committed and served as it is; its pages need no network."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema_rs
import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import FieldInfo
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from events import errors as refusals
from service.app import create_app
from service.cli import maintenance
from service.contract import examples
from service.contract.document import document
from service.contract.names import MAY_GROW, schema_name
from service.core.mail import ConsoleMailer
from service.settings import Settings
from service.web import requests
from service.web.operation import Operation
from tests.support.contract import example_of, inlined
from tests.support.phones import KEYS, Running

COMMITTED = Path(__file__).parents[3] / "openapi" / "openapi.json"
APP = create_app("", Settings(), ConsoleMailer(), KEYS).litestar
DOCUMENT = document(APP)
INLINED = inlined(DOCUMENT)
SCHEMAS = DOCUMENT["components"]["schemas"]
STRUCTS = [one for one in SCHEMAS.values() if "properties" in one]
OPERATIONS = {one["operationId"]: one for path in INLINED["paths"].values() for one in path.values()}
Json = dict[str, Any]


def walk(value: Any) -> Iterator[Json]:
    """Every object in a JSON value."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from walk(inner)


def contents(operation: Json) -> Iterator[tuple[str, Json]]:
    """All that goes in and out of an operation: a status, or "body", and the media type object."""
    for kind, one in [("body", operation.get("requestBody", {})), *operation["responses"].items()]:
        for content in one.get("content", {}).values():
            yield kind, content


def faults(example: Any, schema: Json) -> list[str]:
    """Where an example does not fit its schema."""
    whole = {**schema, "components": DOCUMENT["components"]}
    checked = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    return [str(fault) for fault in checked.iter_errors(example)]


# --- One document


def test_the_committed_document_is_the_generated_one(capsys: pytest.CaptureFixture[str]) -> None:
    maintenance.document(Settings())
    assert COMMITTED.read_bytes() == capsys.readouterr().out.encode(), "make openapi writes it anew"


async def test_the_served_document_is_the_committed_one(service: Running) -> None:
    assert await service.phone().get("/openapi.json") == json.loads(COMMITTED.read_text())


def test_the_document_is_openapi() -> None:
    assert OPENAPI_31_VALIDATOR.is_valid(DOCUMENT), [str(e) for e in OPENAPI_31_VALIDATOR.iter_errors(DOCUMENT)]


def test_every_route_is_described() -> None:
    undescribed = {
        handler.fn.__name__
        for route in APP.routes
        for handler in getattr(route, "route_handlers", [])
        if "operation" not in handler.opt and handler.http_methods != {"OPTIONS"}
    }
    pages = {"get_docs", "get_docs_page", "get_error_list", "get_error_page"}
    app = {"get_app", "get_app_file", "get_icon", "get_manifest", "get_service_worker"}
    links = {"get_apple_association", "get_android_association"}
    assert undescribed == {"get_document", *pages, *app, *links}
    assert {method for path in DOCUMENT["paths"].values() for method in path} == {
        "get",
        "post",
        "put",
        "patch",
        "delete",
    }


# --- What it says of an operation


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_described(name: str) -> None:
    operation = OPERATIONS[name]
    assert re.fullmatch("[a-z]+([A-Z][a-z]+)*", name)
    assert operation["summary"]
    assert operation["description"]
    assert {"2"} < {status[0] for status in operation["responses"]} <= {"2", "3", "4", "5"}
    assert all(parameter["description"] for parameter in operation.get("parameters", []) if parameter["in"] == "path")
    assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_goes_in_and_out_has_an_example(name: str) -> None:
    for kind, content in contents(OPERATIONS[name]):
        if content["schema"].get("contentMediaType") == "application/zip":
            continue  # bytes, which no example shows
        shown = [content["example"]] if "example" in content else [one["value"] for one in content["examples"].values()]
        assert shown, kind
        assert [fault for one in shown for fault in faults(one, content["schema"])] == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_problem_stands_under_its_status(name: str) -> None:
    for status, content in contents(OPERATIONS[name]):
        for code, one in content.get("examples", {}).items():
            if status[0] not in "45":
                continue
            assert (str(one["value"]["status"]), one["value"]["code"]) == (status, code)
            assert one["value"]["detail"].endswith(".")


def test_examples_are_of_operations() -> None:
    assert examples.ANSWERS.keys() | examples.BODIES.keys() <= OPERATIONS.keys()


def codes(name: str, status: str) -> set[str]:
    """The codes that an operation can answer with, under a status."""
    return set(OPERATIONS[name]["responses"][status]["content"]["application/problem+json"]["examples"])


def test_only_rules_that_can_be_broken_are_named() -> None:
    assert codes("recordCheckIn", "422") == {
        "invalid",
        "in_the_future",
        "not_its_day",
        "empty_check_in",
        "concerns_stay_private",
        "sealed_for_nothing",
        "sealed_about_nothing",
    }
    assert codes("recordRequest", "422") == {"invalid", "in_the_future", "expires_too_early", "not_a_request_to_me"}
    assert codes("recordRetraction", "422") == {
        "invalid",
        "in_the_future",
        "not_mine",
        "not_retractable",
        "already_retracted",
    }
    assert "request_lapsed" in codes("recordDecision", "422")


def test_every_rule_is_named_somewhere() -> None:
    recording = ["recordCheckIn", "recordRequest", "recordDecision", "recordRetraction"]
    named = set().union(*(codes(name, status) for name in recording for status in ("403", "404", "409", "422")))
    assert {kind.code for kind in below(refusals.Refusal) if not kind.__subclasses__()} <= named


def below(kind: type[refusals.Refusal]) -> Iterator[type[refusals.Refusal]]:
    """All types under one."""
    for one in kind.__subclasses__():
        yield one
        yield from below(one)


# --- What generators of clients need


def test_nothing_is_a_choice_but_what_may_be_missing() -> None:
    choices = [one for one in walk(DOCUMENT) if one.keys() & {"oneOf", "anyOf", "allOf"}]
    assert len(choices) > 20
    assert all(one["anyOf"][1:] == [{"type": "null"}] and "$ref" in one["anyOf"][0] for one in choices)


def test_no_schema_is_called_as_what_it_holds() -> None:
    """Python's generator makes a variable of each, and would take the list for its holder."""
    same = [
        name for name, one in SCHEMAS.items() if re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() in properties_of(one)
    ]
    assert same == []


def properties_of(schema: Json) -> set[str]:
    """The names of what it holds."""
    return set(schema.get("properties", {}))


def test_what_may_be_left_out_is_not_null_beside_it() -> None:
    both = {
        f"{schema}.{name}"
        for schema, name, one in properties()
        if name not in SCHEMAS[schema].get("required", []) and ("anyOf" in one or "null" in one.get("type", ""))
    }
    # A point or a window has what belongs to its figure: the rest is left out, and null is what is not known.
    assert {name.partition(".")[0] for name in both} == {"TrendPoint", "HomeWindow", "Schedule"}
    assert sum(name.startswith("Schedule") for name in both) == 1


def test_lists_of_words_have_names_and_keep_their_order() -> None:
    inside = list(walk([DOCUMENT["paths"], *(list(one["properties"].values()) for one in STRUCTS)]))
    assert [one for one in inside if "enum" in one] == []
    assert SCHEMAS["Weekday"]["enum"] == ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    assert SCHEMAS["Who"]["enum"] == ["me", "partner", "both", "neither"]
    assert {name for name, one in SCHEMAS.items() if "x-may-grow" in one} == MAY_GROW.keys()


def test_names_are_free_in_the_languages_of_clients() -> None:
    assert not SCHEMAS.keys() & {"Request", "Page", "Point", "Sync", "Export", "Nothing", "Change"}
    assert "token" in SCHEMAS["DeviceRegistration"]["properties"]
    assert "failing_since" in SCHEMAS["Device"]["properties"]
    assert "refreshed_at" in SCHEMAS["Session"]["properties"]


def test_what_is_true_is_a_boolean() -> None:
    assert SCHEMAS["ConsentGiven"]["properties"]["adult"]["type"] == "boolean"


def test_every_property_and_parameter_is_described_and_shown() -> None:
    for schema, name, one in properties():
        named = "$ref" in one or "anyOf" in one or "$ref" in one.get("items", {})
        assert one["description"].strip(), f"{schema}.{name}"
        assert named or one["examples"], f"{schema}.{name}"
        assert all(faults(shown, one) == [] for shown in one.get("examples", [])), f"{schema}.{name}"
    for operation in OPERATIONS.values():
        for parameter in operation.get("parameters", []):
            assert parameter["description"], parameter
            assert faults(parameter["example"], parameter["schema"]) == [], parameter


def test_both_forms_of_a_decision_are_shown() -> None:
    shown = OPERATIONS["recordDecision"]["requestBody"]["content"]["application/json"]["examples"]
    assert {"request_id" in one["value"] for one in shown.values()} == {True, False}


def test_the_document_is_small() -> None:
    assert len(msgspec.json.encode(DOCUMENT)) <= 240_000


def test_the_document_names_its_server() -> None:
    assert document(APP, "https://mutuality.example")["servers"][0]["url"] == "https://mutuality.example"


def test_references_lead_somewhere() -> None:
    led = {one["$ref"] for one in walk(DOCUMENT) if "$ref" in one}
    components = {f"#/components/{kind}/{name}" for kind, all_of in DOCUMENT["components"].items() for name in all_of}
    assert led == components - {"#/components/securitySchemes/session"}


def test_prose_is_not_indented() -> None:
    prose = [one["description"] for one in walk(DOCUMENT) if isinstance(one.get("description"), str)]
    assert len(prose) > 100
    assert [text for text in prose if "\n " in text or text != text.strip()] == []


FORMATS = {
    r".*_at|.*_since|paused_until|server_time": "date-time",
    r"on|day|(Pause(Set)?|MonthWindow)\.(from|to)": "date",
    r"id|.*_id|about|in_reply_to|author|shared|private": "uuid",
    r"position|.*_after": "int64",
}


def test_times_ids_positions_and_numbers_say_their_format() -> None:
    for schema, name, one in properties():
        if (schema, name) == ("ReviewSentence", "id"):
            continue  # the name of a text in the catalogue
        names = (name, f"{schema}.{name}")
        fitting = (form for pattern, form in FORMATS.items() if any(re.fullmatch(pattern, each) for each in names))
        expected = next(fitting, "double" if "number" in one.get("type", "") else None)
        assert one.get("format") == expected or one.keys() & {"$ref", "anyOf"}, f"{schema}.{name}"


def properties() -> Iterator[tuple[str, str, Json]]:
    """Every property of every schema: where it stands, its name, its schema."""
    for schema, one in SCHEMAS.items():
        for name, inner in one.get("properties", {}).items():
            yield schema, name, inner


def test_what_is_sent_is_closed_and_what_is_answered_is_open() -> None:
    sent = {operation.opt["operation"].body for operation in handlers()} - {None}
    assert all(SCHEMAS[schema_name(kind.__name__)]["additionalProperties"] is False for kind in sent)
    assert "additionalProperties" not in SCHEMAS["Event"]


def test_felt_items_are_named() -> None:
    named = {"$ref": "#/components/schemas/FeltItem"}
    assert SCHEMAS["CheckInEntry"]["properties"]["felt"]["propertyNames"] == named
    assert SCHEMAS["Telling"]["properties"]["felt"]["propertyNames"] == named
    assert len(SCHEMAS["FeltItem"]["enum"]) == 9


def handlers() -> Iterator[Any]:
    """The handlers that are operations."""
    for route in APP.routes:
        yield from (one for one in getattr(route, "route_handlers", []) if "operation" in one.opt)


# --- Its examples work


def test_example_bodies_are_read_as_they_are_meant() -> None:
    for operation in (handler.opt["operation"] for handler in handlers()):
        assert isinstance(operation, Operation)
        for shown in shown_bodies(operation):
            assert msgspec.json.decode(msgspec.json.encode(shown), type=operation.body) == shown


def shown_bodies(operation: Operation) -> list[Any]:
    """The examples of what is sent to it."""
    shown = examples.BODIES.get(operation.id, [])
    return list(shown.values()) if isinstance(shown, dict) else [shown] if shown else []


def nulled(value: Any) -> Any:
    """A body with null in every field that has its default, at any depth."""
    if isinstance(value, Struct):
        fields = {field.encode_name: field for field in msgspec.structs.fields(value)}
        given = {name: getattr(value, field.name) for name, field in fields.items()}
        return {name: None if is_default(one, fields[name]) else nulled(one) for name, one in given.items()}
    if isinstance(value, list):
        return [nulled(one) for one in value]
    if isinstance(value, dict):
        return {name: nulled(one) for name, one in value.items()}
    return None if value is msgspec.UNSET else msgspec.to_builtins(value)


def is_default(value: Any, field: FieldInfo) -> bool:
    if field.default_factory is not msgspec.NODEFAULT:
        return bool(value == field.default_factory())
    return not field.required and bool(value == field.default)


def test_null_in_a_body_is_as_absent() -> None:
    seen = 0
    for operation in (handler.opt["operation"] for handler in handlers()):
        for shown in shown_bodies(operation):
            sent = nulled(shown)
            seen += str(sent).count("None")
            assert requests.decode(msgspec.json.encode(sent), operation.body) == shown, sent
    assert seen > 20


@pytest.mark.parametrize("name", ["recordCheckIn", "recordRequest", "recordDecision"])
async def test_an_example_can_be_recorded(service: Running, name: str) -> None:
    one, _ = await service.couple()
    (path,) = (path for path, methods in DOCUMENT["paths"].items() if methods.get("put", {}).get("operationId") == name)
    shown = {kind: example_of(content) for kind, content in contents(OPERATIONS[name])}
    body, answer = shown["body"], shown["201"]
    recorded = await one.expect(201, "PUT", path.replace("{id}", str(uuid4())), body)
    (kind,) = answer["event"].keys() & {"check_in", "request", "decision"}
    if kind == "request":
        del recorded["event"][kind]["expires_at"], answer["event"][kind]["expires_at"]
    assert recorded["event"][kind] == answer["event"][kind]


@pytest.mark.parametrize("name", ["a_phone", "a_browser"])
async def test_an_example_of_a_device_can_be_registered(service: Running, name: str) -> None:
    phone = await service.phone().sign_in()
    (shown,) = (content["examples"] for kind, content in contents(OPERATIONS["registerDevice"]) if kind == "body")
    registered = await phone.expect(200, "PUT", f"/v1/me/devices/{uuid4()}", shown[name]["value"])
    assert registered["platform"] == shown[name]["value"]["platform"]
