"""What people do with the app, in a real browser, against the real service on a database of its own."""

import json

from service.push.notices import PushClass
from service.push.payloads import WEB_PUSH
from tests.support.phones import Phone
from tests.support.wire import Wire
from tests.web_app.conftest import Tell, session_of


def test_two_browsers_tell_the_whole_story_of_a_couple(tell: Tell) -> None:
    told = tell("couple")
    assert told == {"faults": [], "elsewhere": [], "left": []}


def test_what_is_recorded_without_a_network_goes_out_once_and_in_order(tell: Tell, wire: Wire) -> None:
    one = wire.run(wire.member())

    def recorded() -> int:
        return len(wire.run(one.events("private")))

    def withdraw() -> None:
        wire.run(one.expect(204, "DELETE", "/v1/me/consent"))

    told = tell("offline", {"recorded": recorded, "withdraw": withdraw}, session=session_of(one))
    assert told["faults"] == []
    assert sum(told["calls"]) == 3, "two tabs send an entry once"
    assert "consent" in told["why"]
    notes = [event["check_in"]["note"] for event in wire.run(one.events("private"))]
    assert notes == ["one", "two", "three", "four", "five"]


def test_what_the_other_keeps_private_changes_no_pixel(tell: Tell, wire: Wire) -> None:
    one, two = wire.run(wire.couple())
    wire.run(record_a_little(wire, one, two))

    def private() -> None:
        wire.run(two.put("check-ins", {"occurred_at": _now(wire), "felt": {"close": 1}, "initiated_by": "me"}))
        wire.run(two.put("check-ins", {"occurred_at": _now(wire), "felt": {"close": 2}, "audience": "sealed"}))

    def shared() -> None:
        wire.run(two.put("check-ins", {"occurred_at": _now(wire), "initiated_by": "me", "audience": "shared"}))

    told = tell("private", {"private": private, "shared": shared}, session=session_of(one))
    assert told["faults"] == []
    assert told["private"] == []
    assert {"/today", "/pictures", "/log"} <= set(told["shared"]), "what is shared is seen: the pictures do change"


def test_each_screen_can_be_read_and_hit_by_everybody(tell: Tell, wire: Wire) -> None:
    one, two = wire.run(wire.couple())
    wire.run(record_a_little(wire, one, two))
    told = tell("screens", session=session_of(one))
    assert told == {"faults": [], "elsewhere": [], "found": []}


def test_a_push_is_discreet_and_a_tap_opens_today(tell: Tell, wire: Wire) -> None:
    one = wire.run(wire.member())
    payloads = {kind.value: json.loads(WEB_PUSH[kind]) for kind in PushClass}
    told = tell("push", session=session_of(one), **payloads)
    assert told["faults"] == []
    discreet = [{"title": "A moment for you", "body": "", "tag": "check-in"}]
    assert told["prompt"] == told["reminder"] == discreet
    registered = wire.run(one.get("/v1/me/devices"))
    assert [(device["platform"], device["provider"]) for device in registered["devices"]] == [("web", "webpush")]
    assert told["key"] == registered["vapid_public_key"]


def test_a_phone_that_may_be_looked_at(tell: Tell, wire: Wire) -> None:
    one = wire.run(wire.member())
    told = tell("guard", session=session_of(one), email=one.email)
    assert told == {"faults": [], "format": "mutuality/export/v1", "member": one.member_id}


def test_the_way_back_of_a_phone_stays_within_the_app_and_leaves_nothing_behind(tell: Tell, wire: Wire) -> None:
    one = wire.run(wire.member())
    told = tell("back", session=session_of(one))
    assert told == {"faults": [], "left": [], "before": "data:text/html,before"}


def _now(wire: Wire) -> str:
    return wire.clock.time.isoformat()


async def record_a_little(wire: Wire, one: Phone, two: Phone) -> None:
    """Some of everything: requests both ways, decisions told twice, an opening, what it felt like."""
    at = _now(wire)
    for _ in range(3):
        decided = {
            "occurred_at": at,
            "domain": "money",
            "decided_by": "me",
            "raised_by": "partner",
            "audience": "shared",
        }
        event = (await one.put("decisions", decided))["event"]["id"]
        told = {
            "occurred_at": at,
            "domain": "money",
            "decided_by": "partner",
            "my_input": "partly",
            "audience": "shared",
        }
        await two.put("decisions", told | {"about": event})
    await one.put("requests", {"occurred_at": at, "domain": "time", "text": "A walk?"})
    await two.put("requests", {"occurred_at": at, "domain": "home", "text": "A quiet evening?"})
    await two.put("openings", {"occurred_at": at, "domain": "plans", "text": "Where to go in summer?"})
    for value in range(3, 7):
        felt = {"occurred_at": at, "felt": {"close": value}, "initiated_by": "both", "audience": "shared"}
        await one.put("check-ins", felt)
        await two.put("check-ins", felt)
