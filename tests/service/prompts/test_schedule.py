"""A member's schedule: what it may say, and where a refusal points."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from service.errors import Invalid
from service.prompts.schedule import Schedule, validate
from service.web.requests import decode

RELATIONSHIP = UUID(int=7)
ITEM = {
    "id": str(UUID(int=1)),
    "relationship_id": str(RELATIONSHIP),
    "weekdays": ["mon", "sun"],
    "from": "20:00",
    "to": "22:00",
    "questions": ["close", "my_week"],
}
WHOLE = {
    "check_ins": [ITEM],
    "after_events": {"enabled": True, "delay_minutes": 120, "questions": ["how_was_it", "enjoyed"]},
    "quiet": {"from": "21:00", "to": "07:30"},
    "max_per_day": 1,
    "max_per_week": 5,
    "paused_until": "2026-06-20T08:00:00+02:00",
}


def read(said: Any) -> Schedule:
    schedule = decode(msgspec.json.encode(said), Schedule)
    validate(schedule, {RELATIONSHIP})
    return schedule


def refused_at(said: Any) -> str:
    with pytest.raises(Invalid) as refusal:
        read(said)
    assert refusal.value.detail
    return refusal.value.pointer


def with_items(*changes: Any) -> Any:
    return {"check_ins": [ITEM | {"id": str(UUID(int=n))} | change for n, change in enumerate(changes)]}


def test_what_is_said_is_what_is_shown() -> None:
    assert msgspec.to_builtins(read(WHOLE)) == WHOLE


def test_a_new_member_is_asked_nothing() -> None:
    shown = msgspec.to_builtins(read({}))
    assert shown == {
        "check_ins": [],
        "after_events": {
            "enabled": False,
            "delay_minutes": 240,
            "questions": ["how_was_it", "enjoyable", "change"],
        },
        "quiet": {"from": "22:00", "to": "08:00"},
        "max_per_day": 2,
        "max_per_week": 10,
        "paused_until": None,
    }


@pytest.mark.parametrize("quiet", [{"from": "00:00", "to": "00:00"}, {"from": "23:00", "to": "06:00"}])
def test_quiet_hours_may_be_none_or_cross_midnight(quiet: Any) -> None:
    assert msgspec.to_builtins(read({"quiet": quiet}).quiet) == quiet


@pytest.mark.parametrize(("from_", "to"), [("22:00", "01:00"), ("00:00", "23:59"), ("23:00", "00:00")])
def test_a_window_may_cross_midnight(from_: str, to: str) -> None:
    assert read(with_items({"from": from_, "to": to})).check_ins[0].from_ == from_


@pytest.mark.parametrize("said", ["24:00", "7:30", "20:60", "20:00\n", "20:00:00", "20.00", "", "２0:00"])
def test_a_time_of_day_is_written_in_one_way(said: str) -> None:
    assert refused_at(with_items({"from": said})) == "/check_ins/0/from"
    assert refused_at({"quiet": {"to": said}}) == "/quiet/to"


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"max_per_day": 3}, "/max_per_day"),
        ({"max_per_day": -1}, "/max_per_day"),
        ({"max_per_day": "1"}, "/max_per_day"),
        ({"max_per_week": 11}, "/max_per_week"),
        ({"paused_until": "2026-06-20T08:00:00"}, "/paused_until"),
        ({"after_events": {"delay_minutes": 1441}}, "/after_events/delay_minutes"),
        ({"after_events": {"questions": ["my_part"]}}, "/after_events/questions/0"),
        ({"after_events": {"questions": ["close", "close"]}}, "/after_events/questions/1"),
        ({"quiet": {"until": "08:00"}}, "/quiet/until"),
        ({"frequency": 3}, "/frequency"),
        ({"check_ins": [{}]}, "/check_ins/0/id"),
        (with_items({}, {"id": str(UUID(int=0))}), "/check_ins/1/id"),
        (with_items({}, {"relationship_id": str(UUID(int=8))}), "/check_ins/1/relationship_id"),
        (with_items({"to": "20:00"}), "/check_ins/0/to"),
        (with_items({"weekdays": []}), "/check_ins/0/weekdays"),
        (with_items({"weekdays": ["Mon"]}), "/check_ins/0/weekdays/0"),
        (with_items({"weekdays": ["mon", "tue", "mon"]}), "/check_ins/0/weekdays/2"),
        (with_items({"questions": ["close", "partner"]}), "/check_ins/0/questions/1"),
        (with_items({"questions": ["close", "close"]}), "/check_ins/0/questions/1"),
        (with_items(*[{}] * 51), "/check_ins"),
    ],
)
def test_a_refusal_points_to_its_place(said: Any, pointer: str) -> None:
    assert refused_at(said) == pointer


def test_a_pause_is_an_instant() -> None:
    assert read(WHOLE).paused_until == datetime(2026, 6, 20, 6, tzinfo=UTC)
