"""Answers of a running service to everything that can be read, each with the schema that the document gives it."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from tests.clients.workshop import OPENAPI
from tests.support.phones import Json, Phone, Running

DOCUMENT: Json = json.loads((OPENAPI / "openapi.json").read_text())
NOON = "2026-06-15T13:00:00+02:00"
MEASURES = ("asks", "initiates", "decides", "counted", "felt")
VALUES: dict[str, str] = {"month": "2026-06", "quarter": "2026-Q1", "stream": "shared", "proof": "true"}


async def real_answers(service: Running) -> list[Json]:
    """What somebody in a lived-in relationship gets: `{schema, body}` for each GET, and for what was recorded."""
    one, two = await service.couple()
    answers = [{"schema": "Recorded", "body": body} for body in await _record(one, two)]
    await one.expect(200, "PUT", f"/v1/me/pauses/{uuid4()}", {"from": "2026-08-01"})
    device = {"platform": "ios", "provider": "apns", "token": uuid4().hex}
    await one.expect(200, "PUT", f"/v1/me/devices/{uuid4()}", device)
    for path, operation, schema in _readable():
        for query in _queries(operation):
            body = await one.expect(200, "GET", path.replace("{month}", VALUES["month"]), params=query)
            answers.append({"schema": schema, "body": body})
    await one.step_up()
    answers.append({"schema": "MemberExport", "body": await one.get("/v1/me/export")})
    refused = await one.call("GET", "/v1/relationships/{rid}/balances", params={"window": "1"})
    return [*answers, {"schema": "Problem", "body": refused.json()}]


async def _record(one: Phone, two: Phone) -> list[Json]:
    """An entry of each kind, by both."""
    felt = {"occurred_at": NOON, "domain": "home", "initiated_by": "me", "felt": {"heard": 6}, "audience": "shared"}
    both = {"occurred_at": NOON, "domain": "money", "decided_by": "both", "my_input": "partly", "audience": "shared"}
    checked = await one.put("check-ins", felt | {"words": {"change": "More time."}, "day": "2026-06-14"})
    hers = await two.put("check-ins", felt | {"felt": {"heard": 3}})
    asked = await one.put("requests", {"occurred_at": NOON, "domain": "time"})
    answer = {"occurred_at": NOON, "request_id": asked["event"]["id"], "outcome": "yes"}
    decided = await one.put("decisions", both)
    told = await two.put("decisions", both | {"about": decided["event"]["id"]})
    opening = await one.put("openings", {"occurred_at": NOON, "domain": "plans", "text": "Where to?"})
    private = await one.put("check-ins", {"occurred_at": NOON, "concerns": ["pressured"], "note": "Mine."})
    taken = await one.put("retractions", {"occurred_at": NOON, "event_id": checked["event"]["id"]})
    return [checked, hers, asked, await two.put("decisions", answer), decided, told, opening, private, taken]


def _readable() -> Iterator[tuple[str, Json, str]]:
    """Every GET that answers JSON without more than a session: its path, itself, its schema."""
    for path, methods in DOCUMENT["paths"].items():
        operation = methods.get("get", {})
        content = operation.get("responses", {}).get("200", {}).get("content", {})
        if "application/json" in content and "{pause_id}" not in path and path != "/v1/me/export":
            yield path, operation, content["application/json"]["schema"]["$ref"].rpartition("/")[2]


def _queries(operation: Json) -> Iterator[dict[str, Any]]:
    """The parameters to ask with: for a figure of many measures, with each."""
    names = {one["name"] for one in operation.get("parameters", [])}
    given = {name: value for name, value in VALUES.items() if name in names - {"month"}}
    if "measure" not in names:
        yield given
        return
    for measure in MEASURES if "when" in names else ("initiates", "decides", "felt"):
        item = {"item": "heard"} if measure == "felt" else {}
        when = {"when": "both_decided"} if measure == "counted" else {}
        yield {**given, "measure": measure, **item, **when}
