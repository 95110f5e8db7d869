"""A body that does not fit is told with every place that does not, and a sentence that a person understands."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from events.entries import CheckIn
from service.errors import Invalid
from service.prompts.schedule import Schedule
from service.reading.reads import TrendsQuery
from service.web.requests import decode
from service.web.violations import MAX_VIOLATIONS, violations
from tests.support.phones import NOON, Running

OCCURRED = "2026-06-15T10:00:00+02:00"


def places(body: Any, kind: Any = CheckIn) -> dict[str, str]:
    """What is told of a body, by its place."""
    with pytest.raises(Invalid) as refused:
        decode(json.dumps(body).encode(), kind)
    return {one.pointer: one.message for one in refused.value.violations}


def test_every_place_is_told_at_once_in_the_order_of_the_fields() -> None:
    felt = {"heard": 9, "close": 0, "fair": "3", "nice": 1, "valued": 5}
    body = {"occurred_at": "yesterday", "felt": felt, "concerns": ["afraid", "x"], "note": 5, "a/b~": 1}
    told = places(body)
    assert list(told) == [
        "/occurred_at",
        "/felt/heard",
        "/felt/close",
        "/felt/fair",
        "/felt/nice",
        "/concerns/1",
        "/note",
        "/a~1b~0",
    ]
    assert told["/felt/heard"] == "At most 7."
    assert told["/felt/close"] == "At least 1."
    assert told["/felt/fair"] == "This is to be a whole number, not a text."
    assert "heard" in told["/felt/nice"]
    assert told["/a~1b~0"] == "There is no such field here."


def test_what_is_needed_is_told_by_its_name() -> None:
    assert places({}) == {"/occurred_at": "This is needed."}
    assert places({"occurred_at": None}) == {"/occurred_at": "This is needed."}


def test_a_list_is_looked_into() -> None:
    item = {"id": "x", "relationship_id": "y", "weekdays": ["mon", "x"], "from": "8", "to": "22:00", "questions": ["x"]}
    told = places({"check_ins": [item], "max_per_day": 99}, Schedule)
    assert {"/check_ins/0/id", "/check_ins/0/relationship_id", "/check_ins/0/weekdays/1"} <= told.keys()
    assert {"/check_ins/0/from", "/check_ins/0/questions/0", "/max_per_day"} <= told.keys()


@pytest.mark.parametrize("value", [{"a": 1}, [], "x", 7, 1.5, True, "\0", "x" * 3000, [{}], {"heard": {"a": [1]}}])
def test_each_is_a_sentence_without_words_of_programs(value: Any) -> None:
    for name in CheckIn.__struct_fields__:
        for message in places({"occurred_at": OCCURRED, name: value, "unknown": 1}).values():
            assert re.fullmatch(r"[A-Z'\d].*\.", message, re.DOTALL), message
            assert "`" not in message
            assert "regex" not in message
            assert len(message) < 400


def test_a_large_body_is_told_of_in_part() -> None:
    many = {"occurred_at": OCCURRED, "felt": {f"item {i}": 1 for i in range(5000)}}
    assert len(places(many)) == MAX_VIOLATIONS
    last = {"occurred_at": OCCURRED, "words": {f"question {i}": "x" for i in range(5000)} | {"the last": 1}}
    assert list(places(last)) == ["/words"]


def test_what_fits_has_none() -> None:
    assert list(violations({"occurred_at": OCCURRED, "note": "A walk", "felt": {"close": 5}}, CheckIn)) == []


async def test_over_http_the_first_is_the_detail_and_all_are_listed(service: Running) -> None:
    one = await service.member()
    body = {"occurred_at": OCCURRED, "felt": {"heard": 9, "close": 8}}
    path = "/v1/relationships/{rid}/check-ins/00000000-0000-4000-8000-000000000001"
    problem = await one.expect(422, "PUT", path, body)
    assert problem["detail"] == "/felt/heard: At most 7. And one more place does not fit."
    assert problem["errors"] == [
        {"pointer": "/felt/heard", "message": "At most 7."},
        {"pointer": "/felt/close", "message": "At most 7."},
    ]
    queue = {"entries": [{"id": "00000000-0000-4000-8000-000000000002", "kind": "check_in", "check_in": body}]}
    (result,) = (await one.expect(200, "POST", "/v1/relationships/{rid}/sync", queue))["results"]
    assert [e["pointer"] for e in result["problem"]["errors"]] == ["/check_in/felt/heard", "/check_in/felt/close"]
    trend = await one.call("GET", "/v1/relationships/{rid}/trends?measure=x&window=1&nothing=2")
    assert [e["pointer"] for e in trend.json()["errors"]] == ["/measure", "/window", "/nothing"]
    assert TrendsQuery.__struct_config__.forbid_unknown_fields


async def test_a_wrong_clock_is_told_the_time(service: Running) -> None:
    one = await service.member()
    ahead = {"occurred_at": (NOON + timedelta(minutes=6)).isoformat(), "note": "x"}
    path = "/v1/relationships/{rid}/check-ins/00000000-0000-4000-8000-000000000001"
    problem = await one.expect(422, "PUT", path, ahead)
    assert (problem["code"], problem["server_time"]) == ("in_the_future", NOON.isoformat().replace("+00:00", "Z"))
    assert "server_time" not in await one.expect(422, "PUT", path, {"occurred_at": OCCURRED})
