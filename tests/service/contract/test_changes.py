"""A change of the contract that breaks clients of the released one is announced, or does not pass."""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.support.contract_changes import Breaking, breaking_changes, without_prose

ROOT = Path(__file__).parents[3]
RELEASED, COMMITTED = (json.loads((ROOT / "openapi" / f"{name}.json").read_text()) for name in ("released", "openapi"))
NEWEST = (ROOT / "CHANGELOG.md").read_text().partition("\n## ")[2].partition("\n## ")[0]
Json = dict[str, Any]
Change = Callable[[Json, Json], object]  # of the paths and the schemas


def announced(changelog: str) -> set[str]:
    """The operations and properties in its lines that begin with `Breaking:`."""
    lines = re.findall(r"^\* Breaking: (.*(?:\n  .*)*)", changelog, re.MULTILINE)
    return {place for line in lines for place in re.findall(r"`([\w.-]+)`", line)}


def test_no_change_breaks_clients_unannounced() -> None:
    found = breaking_changes(RELEASED, COMMITTED)
    told = announced(NEWEST)
    assert [one for one in found if one.place not in told] == [], "say so in CHANGELOG: `* Breaking: `place` …`"


def test_the_released_document_has_no_prose() -> None:
    assert without_prose(RELEASED) == RELEASED
    assert len(json.dumps(RELEASED, separators=(",", ":"))) < 120_000


def test_an_announcement_names_places() -> None:
    told = announced("* Breaking: `Balances.on` is gone, and\n  so is `getVoice`.\n* `Other.thing` is new.\n")
    assert told == {"Balances.on", "getVoice"}


BALANCES = "/v1/relationships/{rid}/balances"
CHECK_INS = "/v1/relationships/{rid}/check-ins/{id}"

BREAKING: dict[str, tuple[Change, Breaking]] = {
    "an operation is gone": (lambda paths, _: paths.pop(BALANCES), Breaking("getBalances", "is gone")),
    "an operation is called otherwise": (
        lambda paths, _: paths[BALANCES]["get"].update(operationId="readBalances"),
        Breaking("getBalances", "is called readBalances"),
    ),
    "a session is needed": (
        lambda paths, _: paths["/v1/help"]["get"].update(security=[{"session": []}]),
        Breaking("getHelp", "needs a session"),
    ),
    "a parameter is gone": (
        lambda paths, _: paths[BALANCES]["get"]["parameters"].pop(1),
        Breaking("getBalances.window", "is gone"),
    ),
    "a parameter is required": (
        lambda paths, _: paths[BALANCES]["get"]["parameters"][1].update(required=True),
        Breaking("getBalances.window", "is required"),
    ),
    "an answer of success is gone": (
        lambda paths, _: paths[CHECK_INS]["put"]["responses"].pop("201"),
        Breaking("recordCheckIn", "answers 201 no more"),
    ),
    "an answer has another name": (
        lambda paths, _: paths[BALANCES]["get"]["responses"]["200"]["content"]["application/json"].update(
            schema={"$ref": "#/components/schemas/Roles"}
        ),
        Breaking("getBalances", "is a Roles, was a Balances"),
    ),
    "an answered property is gone": (
        lambda _, schemas: schemas["Balances"]["properties"].pop("on"),
        Breaking("Balances.on", "is gone"),
    ),
    "an answered property may be left out": (
        lambda _, schemas: schemas["Balances"]["required"].remove("on"),
        Breaking("Balances.on", "may be left out"),
    ),
    "an answered property may be null": (
        lambda _, schemas: schemas["Balances"]["properties"]["window"].update(type=["integer", "null"]),
        Breaking("Balances.window", "may be null"),
    ),
    "a type is another": (
        lambda _, schemas: schemas["Split"]["properties"]["n"].update(type="string"),
        Breaking("Split.n", "is of type string, was integer"),
    ),
    "a list holds something else": (
        lambda _, schemas: schemas["TellingRoles"]["properties"]["table"]["items"].update(items={"type": "number"}),
        Breaking("TellingRoles.table", "is of type number, was integer"),
    ),
    "a word may not be sent": (
        lambda _, schemas: schemas["Domain"]["enum"].remove("plans"),
        Breaking("Domain", "may not be plans"),
    ),
    "a word is answered that may not grow": (
        lambda _, schemas: schemas["RelationshipState"]["enum"].append("paused"),
        Breaking("RelationshipState", "may be paused"),
    ),
    "a sent property is required": (
        lambda _, schemas: schemas["CheckInEntry"]["required"].append("domain"),
        Breaking("CheckInEntry.domain", "is required"),
    ),
    "a sent property is gone": (
        lambda _, schemas: schemas["CheckInEntry"]["properties"].pop("note"),
        Breaking("CheckInEntry.note", "is gone"),
    ),
    "a sent text is shorter": (
        lambda _, schemas: schemas["CheckInEntry"]["properties"]["note"].update(maxLength=100),
        Breaking("CheckInEntry.note", "has a lower maxLength"),
    ),
    "a sent text has a pattern": (
        lambda _, schemas: schemas["SignIn"]["properties"]["device_name"].update(pattern="^x"),
        Breaking("SignIn.device_name", "has another pattern"),
    ),
    "null may not be sent": (
        lambda _, schemas: schemas["Schedule"]["properties"]["paused_until"].update(type="string"),
        Breaking("Schedule.paused_until", "may not be null"),
    ),
}

ADDITIVE: dict[str, Change] = {
    "an operation": lambda paths, _: paths.update({"/v2": {"get": {"operationId": "getMore", "responses": {}}}}),
    "a parameter": lambda paths, _: paths[BALANCES]["get"]["parameters"].append(
        {"name": "more", "in": "query", "required": False, "schema": {"type": "string"}}
    ),
    "an answered property": lambda _, schemas: schemas["Balances"]["properties"].update(more={"type": "string"}),
    "a sent property": lambda _, schemas: schemas["CheckInEntry"]["properties"].update(more={"type": "string"}),
    "a word to send": lambda _, schemas: schemas["ExportFormat"]["enum"].append("xml"),
    "a word that may come": lambda _, schemas: schemas["EventKind"]["enum"].append("letter"),
    "a longer text": lambda _, schemas: schemas["CheckInEntry"]["properties"]["note"].update(maxLength=9_999),
    "another sentence": lambda _, schemas: schemas["Balances"].update(description="Something else."),
}


def changed(change: Change) -> Json:
    """The committed document with a change."""
    document: Json = deepcopy(COMMITTED)
    change(document["paths"], document["components"]["schemas"])
    return document


@pytest.mark.parametrize("name", BREAKING)
def test_what_breaks_a_client_is_seen(name: str) -> None:
    change, expected = BREAKING[name]
    assert expected in breaking_changes(without_prose(COMMITTED), changed(change))


@pytest.mark.parametrize("name", ADDITIVE)
def test_what_is_added_breaks_nothing(name: str) -> None:
    assert changed(ADDITIVE[name]) != COMMITTED
    assert breaking_changes(without_prose(COMMITTED), changed(ADDITIVE[name])) == []
