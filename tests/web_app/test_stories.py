"""What people do with the app, in a real browser, against the real service on a database of its own."""

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from events import records
from projections import balances
from service.push.notices import PushClass
from service.push.payloads import WEB_PUSH
from service.reading import asking
from service.web.requests import APP_STATE
from service.web_app import pages
from tests.noninterference.leaks import everywhere
from tests.support.phones import Json, Phone
from tests.support.wire import Wire
from tests.web_app.conftest import WEB_APP, Tell, node, session_of


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
    assert "need your consent first" in told["why"]
    assert "Something else was recorded under the same id" in told["conflict"]
    notes = [event["check_in"]["note"] for event in wire.run(one.events("private"))]
    assert notes == ["one", "two", "three", "four", "five", "six"]


def test_an_update_keeps_the_queue_and_sends_it_once(
    tell: Tell, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = wire.run(wire.member())
    newer, notes = _built_anew(tmp_path, '"Today"', '"Today, newly"'), ["one", "two"]

    def update() -> None:
        monkeypatch.setattr(pages, "BUILT", newer)
        pages._read.cache_clear()  # the service reads a file once, and this one would be another
        pages._read_packed.cache_clear()

    try:
        told = tell("update", {"update": update}, session=session_of(one), notes=notes, title="Today, newly")
    finally:
        monkeypatch.undo()
        pages._read.cache_clear()
        pages._read_packed.cache_clear()
    assert told == {"faults": []}
    assert [event["check_in"]["note"] for event in wire.run(one.events("private"))] == notes


def _built_anew(folder: Path, text: str, other: str) -> Path:
    """The app with another text in it, built as the one that is served."""
    source = folder / "web_app"
    shutil.copytree(WEB_APP, source, ignore=shutil.ignore_patterns("node_modules", "built*"))
    (source / "node_modules").symlink_to(WEB_APP / "node_modules")
    texts = source / "src" / "texts" / "en.ts"
    texts.write_text(texts.read_text().replace(text, other))
    subprocess.run([node(), "build.mjs", str(folder / "newer")], cwd=source, check=True, capture_output=True)
    return folder / "newer"


def test_what_the_other_keeps_private_changes_no_pixel(tell: Tell, wire: Wire) -> None:
    told = _privately(tell, wire)
    assert told["faults"] == []
    assert told["private"] == []
    assert {"/today", "/pictures", "/log"} <= set(told["shared"]), "what is shared is seen: the pictures do change"


def _paused_days_that_count_what_is_private(patch: pytest.MonkeyPatch, kept: list[str]) -> None:
    found = balances.balances

    async def told(*args: Any) -> balances.Balances:
        return replace(await found(*args), paused=len(kept))

    everywhere(patch, found, told)


def _a_day_moved_by_what_is_private(patch: pytest.MonkeyPatch, kept: list[str]) -> None:
    found = asking.today_of
    everywhere(patch, found, lambda *args: found(*args) + timedelta(days=len(kept)))


@pytest.mark.parametrize(
    ("plant", "seen"),
    [(_paused_days_that_count_what_is_private, {"/pictures"}), (_a_day_moved_by_what_is_private, {"/today"})],
)
def test_a_planted_leak_changes_pixels(
    tell: Tell,
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch, list[str]], None],
    seen: set[str],
) -> None:
    plant(monkeypatch, _overheard(monkeypatch))
    assert seen <= set(_privately(tell, wire)["private"])


def _overheard(patch: pytest.MonkeyPatch) -> list[str]:
    """Grows with each private entry of anybody, as a service that leaks might know it."""
    kept: list[str] = []
    encrypt = records.encrypt_event

    def heard(keys: Any, head: Any, stream: Any, *args: Any) -> Any:
        if stream.audience == "private":
            kept.append(stream.audience)
        return encrypt(keys, head, stream, *args)

    everywhere(patch, encrypt, heard)
    return kept


async def _forget_answers(wire: Wire) -> None:
    """Have each answer computed anew: one that is remembered would hide what another computation tells."""
    wire.app.litestar.state[APP_STATE].answer_cache._entries.clear()


def _privately(tell: Tell, wire: Wire) -> Json:
    """Which screens of one change when the other records something in private, and when they then share something."""
    one, two = wire.run(wire.couple())
    wire.run(record_a_little(wire, one, two))

    def private() -> None:
        wire.run(two.put("check-ins", {"occurred_at": _now(wire), "felt": {"close": 1}, "initiated_by": "me"}))
        wire.run(two.put("check-ins", {"occurred_at": _now(wire), "felt": {"close": 2}, "audience": "sealed"}))
        wire.run(_forget_answers(wire))

    def shared() -> None:
        wire.run(two.put("check-ins", {"occurred_at": _now(wire), "initiated_by": "me", "audience": "shared"}))

    return tell("private", {"private": private, "shared": shared}, session=session_of(one))


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
    told = tell("guard", session=session_of(one), email=one.email, other="other@example.org")
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
