"""What a phone looks at: events, requests, balances, trends, perspectives, and how reads are cached."""

import asyncio
import hashlib
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.support.phones import Json, Phone, Running, headers_of, running, unlimited


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


HERE = "/v1/relationships/{rid}"
AT = "2026-06-15T10:00:00+02:00"
NOTE = {"occurred_at": AT, "note": "a walk"}
SHARED_NOTE = NOTE | {"audience": "shared"}
REQUEST = {"occurred_at": AT, "domain": "home", "text": "Shall we go out?"}
BOTH = {"occurred_at": AT, "domain": "money", "decided_by": "me", "audience": "shared"}
MEASURES: list[Json] = [
    {"measure": "decides"},
    {"measure": "initiates"},
    {"measure": "felt", "item": "fair"},
]


async def look(phone: Phone, what: str, etag: str = "", **params: Any) -> httpx.Response:
    headers = {"If-None-Match": etag} if etag else {}
    return await phone.call("GET", f"{HERE}/{what}", params=params, headers=headers)


async def read(phone: Phone, what: str, **params: Any) -> Any:
    return await phone.get(f"{HERE}/{what}", **params)


async def put(phone: Phone, kind: str, body: Json, event_id: UUID | str | None = None) -> str:
    return str((await phone.put(kind, body, event_id))["event"]["id"])


async def ask(phone: Phone, **fields: Any) -> str:
    return await put(phone, "requests", REQUEST | fields)


async def answer(phone: Phone, request_id: str, outcome: str, event_id: str | None = None, **fields: Any) -> str:
    body = {"occurred_at": AT, "request_id": request_id, "outcome": outcome} | fields
    return await put(phone, "decisions", body, event_id)


async def take_back(phone: Phone, event_id: str) -> None:
    await phone.put("retractions", {"occurred_at": AT, "event_id": event_id})


async def standing(phone: Phone, **params: str) -> list[tuple[str, str | None]]:
    """State, and the outcome that holds, of each request as this phone may know it."""
    listed = (await read(phone, "requests", **params))["requests"]
    return [(r["state"], r["decision"] and r["decision"]["decision"]["outcome"]) for r in listed]


async def later(service: Running, *phones: Phone, **by: float) -> None:
    """Let time pass for phones that stay signed in."""
    service.clock.advance(**by)
    for phone in phones:
        body = {"refresh_token": phone.refresh_token}
        fresh = await phone.expect(200, "POST", "/v1/sessions/refresh", body)
        phone.access_token, phone.refresh_token = fresh["access_token"], fresh["refresh_token"]


async def test_an_empty_stream_has_its_genesis_as_head(service: Running) -> None:
    one = await service.member()
    for stream, name in (await one.get(HERE))["streams"].items():
        parts = [b"mutuality/genesis/v1", name.encode()]
        genesis = hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()
        head = {"position": 0, "link": genesis}
        assert await read(one, "events", stream=stream) == {"events": [], "head": head, "more": False}


async def test_events_come_page_by_page_in_order(service: Running) -> None:
    one = await service.member()
    links = [(await one.put("check-ins", NOTE))["head"] for _ in range(5)]
    pages = [await read(one, "events", stream="private", after=after, limit=2) for after in (0, 2, 3, 4, 5, 99)]
    positions = [[event["position"] for event in page["events"]] for page in pages]
    assert positions == [[1, 2], [3, 4], [4, 5], [5], [], []]
    assert [page["more"] for page in pages] == [True, True, False, False, False, False]
    assert all(page["head"] == links[-1] for page in pages)


async def test_a_page_holds_two_hundred_events_unless_told_and_never_more_than_five_hundred(service: Running) -> None:
    one = await service.member()
    for _ in range(2):
        queue = [{"id": str(uuid4()), "kind": "check_in", "check_in": NOTE} for _ in range(251)]
        await one.expect(200, "POST", f"{HERE}/sync", {"entries": queue})
    for params, events in ({}, 200), ({"limit": 500}, 500), ({"limit": 1}, 1):  # type: tuple[Json, int]
        page = await read(one, "events", stream="private", **params)
        assert (len(page["events"]), page["more"]) == (events, True)


async def test_proofs_come_only_when_asked_for(service: Running) -> None:
    one, two = await service.couple()
    await ask(one)
    assert all("proof" not in event for event in await one.events())
    opened, asked = await two.events(proof=True)
    assert opened["proof"].keys() == asked["proof"].keys() == {"header", "body", "opening"}
    assert opened["proof"]["body"] == '{"kind":"opened"}'
    assert bytes.fromhex(asked["proof"]["opening"]).hex() == asked["proof"]["opening"]
    assert len(asked["proof"]["opening"]) == 64


NONSENSE = [
    ("events", "limit=0"),
    ("events", "limit=501"),
    ("events", "limit=x"),
    ("events", "after=-1"),
    ("events", "stream=both"),
    ("events", "limit=1&limit=2"),
    ("events", "more=1"),
    ("requests", "state=pending"),
    ("balances", "window=6"),
    ("balances", "window=367"),
    ("balances", "on=2026-02-30"),
    ("balances", "domain=work"),
    ("balances", "size=huge"),
    ("requests", "state=decided"),
    ("requests", "limit=0"),
    ("requests", "limit=201"),
    ("requests", "after=0"),
    ("trends", "measure=counted"),
    ("trends", "measure=counted&when=me_decided"),
    ("trends", "measure=decides&when=both_decided"),
    ("trends", "measure=asks&item=fair"),
    ("perspectives", "measure=decides&from=2026-06-16&to=2026-06-15"),
    ("trends", ""),
    ("trends", "measure=mood"),
    ("trends", "measure=felt"),
    ("trends", "measure=decides&item=fair"),
    ("trends", "measure=decides&step=0"),
    ("trends", "measure=decides&step=32"),
    ("trends", "measure=decides&window=6"),
    ("trends", "measure=decides&from=2026-06-16&to=2026-06-15"),
    ("trends", "measure=decides&step=1&from=2025-05-11&to=2026-06-15"),
    ("perspectives", ""),
    ("perspectives", "measure=counted"),
    ("perspectives", "measure=felt"),
    ("perspectives", "measure=felt&item=mood"),
    ("perspectives", "measure=initiates&item=fair"),
]


async def test_a_question_that_makes_no_sense_is_refused(service: Running) -> None:
    one = await service.member()
    refused = {asked: await one.call("GET", f"{HERE}/{asked[0]}?{asked[1]}") for asked in NONSENSE}
    told = {asked: (answer.status_code, answer.json().get("code")) for asked, answer in refused.items()}
    assert told == dict.fromkeys(NONSENSE, (422, "invalid"))


async def test_a_request_is_open_until_it_is_decided_lapses_or_is_taken_back(service: Running) -> None:
    one, two = await service.couple()
    lapses = await ask(one, expires_at="2026-06-15T10:05:00Z")
    decided, gone, stays = [await ask(one) for _ in range(3)]
    await answer(two, decided, "yes")
    await take_back(one, gone)
    for phone in (one, two):
        listed = (await read(phone, "requests"))["requests"]
        assert [(r["event"]["id"], r["state"]) for r in listed] == [
            (stays, "open"), (gone, "retracted"), (decided, "decided"), (lapses, "lapsed"),
        ]  # fmt: skip
        assert (await read(phone, "requests", state="open"))["requests"] == listed[:1]
        assert (await read(phone, "requests", state="recent"))["requests"] == listed
        pages = [
            await read(phone, "requests", limit=2, **after) for after in ({}, {"after": listed[1]["event"]["position"]})
        ]
        assert [page["requests"] for page in pages] == [listed[:2], listed[2:]]
        assert [page["more"] for page in pages] == [True, False]
    assert [r["event"]["by"] for r in (await read(two, "requests"))["requests"]] == ["partner"] * 4


async def test_an_open_request_lapses_after_seven_days(service: Running) -> None:
    one, _ = await service.couple()
    await ask(one)
    assert (await read(one, "requests"))["requests"][0]["expires_at"] == "2026-06-22T12:00:00Z"
    await later(service, one, days=7, seconds=-1)
    assert await standing(one) == [("open", None)]
    await later(service, one, seconds=1)
    assert await standing(one) == [("lapsed", None)]


async def test_a_quiet_no_is_seen_by_nobody_else_before_or_after_the_lapse(service: Running) -> None:
    asked = [await service.couple() for _ in range(2)]
    request_id, opened = str(uuid4()), None
    for one, two in asked:
        await put(one, "requests", REQUEST, request_id)
        if opened is None:
            opened = await answer(two, request_id, "no")
    (one, two), (other, silent) = asked
    for state in ("open", "lapsed"):
        assert (await look(one, "requests")).content == (await look(other, "requests")).content
        assert await standing(one) == await standing(silent) == [(state, None)]
        assert await standing(two) == [("decided", "no")]
        open_ones = [(await look(phone, "requests", state="open")).content for phone in (one, other)]
        assert open_ones[0] == open_ones[1]
        await later(service, one, two, other, silent, days=8)


async def test_a_no_that_was_made_in_time_may_arrive_after_the_lapse(service: Running) -> None:
    one, two = await service.couple()
    request_id = await ask(one)
    await later(service, one, two, days=8)
    await answer(two, request_id, "no", audience="shared", occurred_at="2026-06-22T12:00:00Z")
    assert await standing(one) == [("decided", "no")]
    late = {"occurred_at": "2026-06-22T12:00:01Z", "request_id": request_id, "outcome": "yes"}
    assert await two.refused("decisions", late) == (422, "request_lapsed")


async def test_of_several_decisions_the_last_to_occur_holds_and_then_the_larger_id(service: Running) -> None:
    one, two = await service.couple()
    request_id = await ask(one)
    low, high = sorted((str(uuid4()), str(uuid4())))
    await answer(two, request_id, "yes", high)
    await answer(two, request_id, "no", low, audience="shared")
    assert await standing(one) == [("decided", "yes")]
    await answer(two, request_id, "not_now", occurred_at="2026-06-15T08:00:01Z")
    await answer(two, request_id, "no", occurred_at="2026-06-15T07:00:00Z", audience="shared")
    assert (await standing(one), await standing(two)) == ([("decided", "yes")], [("decided", "not_now")])


async def test_a_decision_that_is_taken_back_frees_the_request(service: Running) -> None:
    one, two = await service.couple()
    request_id = await ask(one)
    yes = await answer(two, request_id, "yes")
    await take_back(two, yes)
    assert await standing(one) == await standing(two) == [("open", None)]
    no = await answer(two, request_id, "no")
    await take_back(two, no)
    assert await standing(two) == [("open", None)]


async def test_a_request_that_is_taken_back_is_decided_no_more(service: Running) -> None:
    one, two = await service.couple()
    request_id = await ask(one)
    await answer(two, request_id, "yes")
    await take_back(one, request_id)
    assert await standing(two) == [("retracted", "yes")]
    again = {"occurred_at": AT, "request_id": request_id, "outcome": "no"}
    assert await two.refused("decisions", again) == (422, "request_retracted")


async def test_balances_count_the_days_of_the_window_and_no_others(service: Running) -> None:
    one = await service.member()
    for day in ("2026-06-01", "2026-06-07", "2026-06-08", "2026-06-14", "2026-06-15"):
        await one.put("check-ins", {"occurred_at": f"{day}T23:59:59-11:00", "decided_by": "me"} | (
            {"occurred_at": f"{day}T00:00:00+14:00"} if day < "2026-06-14" else {"occurred_at": f"{day}T01:00:00Z"}
        ))  # fmt: skip
    counts = [
        (await read(one, "balances", **params))["mine"]["decides"]["counts"]["me"]
        for params in (
            {"window": 7},
            {"window": 7, "on": "2026-06-14"},
            {"window": 8},
            {},
            {"on": "2026-06-10", "window": 7},
        )
    ]
    assert counts == [2, 2, 3, 5, 2]


async def test_without_a_date_balances_end_today_where_the_reader_is(service: Running) -> None:
    one, two = await service.couple()
    await one.expect(200, "PATCH", "/v1/me", {"time_zone": "Pacific/Kiritimati"})
    await two.expect(200, "PATCH", "/v1/me", {"time_zone": "Pacific/Midway"})
    assert (await read(one, "balances"))["on"] == "2026-06-16"
    assert (await read(two, "balances"))["on"] == "2026-06-15"
    assert (await read(one, "trends", measure="decides"))["mine"][-1]["on"] == "2026-06-16"
    await later(service, one, two, hours=-2)
    assert (await read(two, "balances"))["on"] == "2026-06-14"


async def test_balances_are_of_one_domain_or_of_all(service: Running) -> None:
    one, two = await service.couple()
    await one.put("decisions", BOTH | {"decided_by": "partner", "my_input": "counted", "raised_by": "partner"})
    await one.put("check-ins", SHARED_NOTE | {"decided_by": "both", "felt": {"fair": 6}})
    everything, money, other, home = [
        (await read(two, "balances", **({"domain": domain} if domain else {})))["partners"]
        for domain in ("", "money", "other", "home")
    ]
    assert [t["decides"]["counts"]["me"] for t in (everything, money, other, home)] == [1, 1, 0, 0]
    assert [t["decides"]["counts"]["both"] for t in (everything, money, other, home)] == [1, 0, 1, 0]
    assert [t["initiates"]["counts"]["me"] for t in (everything, money, other, home)] == [1, 1, 0, 0]
    answers = [t["counted"]["when_other_decided"]["counted"] for t in (everything, money, other, home)]
    assert answers == [1, 1, 0, 0]
    fair = {"fair": {"n": 1, "mean": None, "low": None, "high": None, "counts": [0, 0, 0, 0, 0, 1, 0]}}
    assert [t["felt"] for t in (everything, money, other, home)] == [fair, {}, fair, {}]


async def test_balances_are_of_decisions_of_one_size_or_of_all(service: Running) -> None:
    one = await service.member()
    for size in ("small", "big", "big", None):
        await one.put("decisions", BOTH | {"audience": "private", "raised_by": "me", "size": size})
    found = [await read(one, "balances", **({"size": size} if size else {})) for size in (None, "small", "big")]
    assert [told["size"] for told in found] == [None, "small", "big"]
    assert [told["mine"]["decides"]["counts"]["me"] for told in found] == [4, 1, 2]
    assert [told["mine"]["initiates"]["counts"]["me"] for told in found] == [4, 4, 4]


async def test_where_there_is_nothing_nothing_is_said(service: Running) -> None:
    one, _ = await service.couple()
    found = await read(one, "balances")
    nobody = {"me": 0, "partner": 0, "both": 0, "neither": 0}
    split = {"counts": nobody, "occasions": {"me": 0, "partner": 0}, "n": 0} | NOTHING
    answers = {"not_asked": 0, "asked": 0, "partly": 0, "counted": 0, "n": 0} | NOTHING
    counted = {"when_other_decided": answers, "when_both_decided": answers}
    telling = {"initiates": split, "decides": split, "agreed": nobody, "counted": counted, "felt": {}}
    assert found == {
        "on": "2026-06-15",
        "window": 28,
        "domain": None,
        "size": None,
        "paused": 0,
        "asks": split,
        "mine": telling,
        "partners": telling,
        "tellings": {"initiates": None, "decides": None},
    }
    trend = await read(one, "trends", measure="felt", item="fair", from_="2026-06-15")
    nulls = dict.fromkeys(("mean", "low", "high", "wide_low", "wide_high"))
    assert trend["mine"] == trend["partners"] == [{"on": "2026-06-15", "n": 0, "counts": [0] * 7} | nulls]


async def test_what_was_asked_is_the_same_to_both_and_in_no_telling(service: Running) -> None:
    one, two = await service.couple()
    first = await ask(one)
    await ask(one, domain="money")
    await answer(two, first, "no")
    await ask(two, in_reply_to=first)
    mine, theirs = [await read(phone, "balances") for phone in (one, two)]
    assert mine["asks"]["counts"] == {"me": 2, "partner": 0, "both": 0, "neither": 0}
    assert theirs["asks"]["counts"] == {"me": 0, "partner": 2, "both": 0, "neither": 0}
    assert (mine["asks"]["occasions"], theirs["asks"]["occasions"]) == (
        {"me": 2, "partner": 0},
        {"me": 0, "partner": 2},
    )
    nothing = (await read(await service.member(), "balances"))["mine"]
    assert mine["mine"] == mine["partners"] == theirs["mine"] == theirs["partners"] == nothing
    trend = await read(two, "trends", measure="asks")
    assert (trend["mine"][-1]["counts"], trend["partners"]) == (theirs["asks"]["counts"], [])


async def test_a_bar_is_lower_while_the_window_reaches_back_to_the_first_day(service: Running) -> None:
    one = await service.member()
    for day in range(1, 27):
        at = f"2026-06-{day:02}T10:00:00Z" if day < 15 else f"2026-05-{day + 5:02}T10:00:00Z"
        await one.put("check-ins", {"occurred_at": at, "initiated_by": "me" if day < 23 else "partner"})
    before = await read(one, "balances")
    await one.put("check-ins", {"occurred_at": "2025-06-15T10:00:00Z", "felt": {"fair": 4}})
    after = await read(one, "balances")
    assert before["mine"]["initiates"]["occasions"] == after["mine"]["initiates"]["occasions"]
    readings = [told["mine"]["initiates"]["reading"] for told in (before, after)]
    assert readings == ["leans_to_me", "unclear"]
    point = (await read(one, "trends", measure="initiates"))["mine"][-1]
    assert (point["reading"], point["wide_low"] < point["low"] < point["high"] < point["wide_high"]) == (
        "unclear",
        True,
    )


NOTHING = {"share": None, "low": None, "high": None, "reading": None}


async def test_what_is_private_counts_in_my_telling_and_in_nobody_elses(service: Running) -> None:
    one, two = await service.couple()
    await one.put("check-ins", NOTE | {"decided_by": "partner"})
    await one.put("check-ins", SHARED_NOTE | {"decided_by": "partner"})
    assert (await read(one, "balances"))["mine"]["decides"]["counts"]["partner"] == 2
    assert (await read(two, "balances"))["partners"]["decides"] == {
        "counts": {"me": 1, "partner": 0, "both": 0, "neither": 0},
        "occasions": {"me": 1, "partner": 0},
        "n": 1, "share": None, "low": None, "high": None, "reading": "too_few",
    }  # fmt: skip
    assert (await read(two, "balances"))["mine"]["decides"]["n"] == 0


async def test_a_trend_has_a_point_every_step_back_from_the_last_date(service: Running) -> None:
    one = await service.member()
    for day in ("2026-05-20", "2026-06-10"):
        await one.put("check-ins", {"occurred_at": f"{day}T10:00:00Z", "initiated_by": "partner"})
    params = {"measure": "initiates", "from_": "2026-05-20", "to": "2026-06-15", "step": 10, "window": 7}
    trend = await read(one, "trends", **params)
    assert [(point["on"], point["counts"]["partner"]) for point in trend["mine"]] == [
        ("2026-05-26", 1), ("2026-06-05", 0), ("2026-06-15", 1),
    ]  # fmt: skip
    for point in trend["mine"]:
        balances = await read(one, "balances", on=point["on"], window=7)
        assert point == {"on": point["on"], "wide_low": None, "wide_high": None} | balances["mine"]["initiates"]
    assert {key: trend[key] for key in ("measure", "window", "step", "domain", "item")} == {
        "measure": "initiates", "window": 7, "step": 10, "domain": None, "item": None,
    }  # fmt: skip


@pytest.mark.parametrize("measure", ["initiates", "decides", "counted", "felt"])
async def test_a_trend_is_the_balances_of_its_dates(service: Running, measure: str) -> None:
    which: Json = {"felt": {"item": "close"}, "counted": {"when": "both_decided"}}.get(measure, {})
    one, two = await service.couple()
    for day in range(1, 13):
        at = {"occurred_at": f"2026-06-{day:02}T10:00:00Z"}
        told = {"decided_by": "both", "raised_by": "partner", "my_input": "asked" if day % 3 else "partly"}
        await one.put("decisions", BOTH | at | told)
        await one.put("check-ins", SHARED_NOTE | at | {"felt": {"close": day % 7 + 1}})
    for phone, telling in ((one, "mine"), (two, "partners")):
        for point in (await read(phone, "trends", measure=measure, from_="2026-05-30", step=4, **which))[telling]:
            said = (await read(phone, "balances", on=point["on"]))[telling][measure]
            if measure == "felt":
                said = said.get("close", {"n": 0, "mean": None, "low": None, "high": None, "counts": [0] * 7})
            elif measure == "counted":
                said = said["when_both_decided"]
            band = {name: point.pop(name) for name in ("wide_low", "wide_high")}
            assert point == {"on": point["on"]} | said
            assert (band["wide_low"] is not None) == (measure in ("initiates", "decides") and point["n"] >= 8)


async def test_a_trend_covers_a_year_unless_told_and_at_most_four_hundred_points(service: Running) -> None:
    one = await service.member()
    usual = await read(one, "trends", measure="decides")
    assert (usual["window"], usual["step"]) == (28, 7)
    assert [usual["mine"][0]["on"], usual["mine"][-1]["on"], len(usual["mine"])] == ["2025-06-16", "2026-06-15", 53]
    first = date(2026, 6, 15) - timedelta(days=399)
    most = await read(one, "trends", measure="decides", step=1, from_=first)
    assert len(most["mine"]) == len(most["partners"]) == 400
    assert most["mine"][0]["on"] == first.isoformat()


async def test_a_trend_may_reach_the_ends_of_the_calendar(service: Running) -> None:
    one = await service.member()
    for to in ("0001-01-01", "9999-12-31"):
        assert (await read(one, "trends", measure="decides", to=to, window=366))["mine"][-1]["on"] == to
        assert (await read(one, "balances", on=to, window=366))["on"] == to


async def tell(one: Phone, two: Phone, first: Json, second: Json, day: int = 1) -> str:
    """A decision that the first describes, and the second's telling of it."""
    at = {"occurred_at": f"2026-06-{day:02}T10:00:00Z"}
    decision = await put(one, "decisions", BOTH | at | first)
    return await put(two, "decisions", BOTH | {"about": decision} | second)


async def test_decisions_that_both_described_stand_in_a_table_of_two_tellings(service: Running) -> None:
    one, two = await service.couple()
    await tell(one, two, {"decided_by": "me", "raised_by": "me"}, {"decided_by": "partner", "raised_by": "both"})
    await tell(two, one, {"decided_by": "neither"}, {"decided_by": "me", "raised_by": "me"})
    await one.put("decisions", BOTH)
    mine, theirs = [await read(phone, "perspectives", measure="decides") for phone in (one, two)]
    assert mine == {
        "measure": "decides",
        "item": None,
        "values": ["me", "partner", "both", "neither"],
        "table": [[1, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        "n": 2,
        "agree": None,
        "low": None,
        "high": None,
        "near": None,
    }
    assert theirs["table"] == [[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    assert (await read(one, "perspectives", measure="initiates"))["table"][0] == [0, 0, 1, 0]


async def test_how_far_two_agree_has_an_interval_from_eight_on_and_is_said_from_twenty_on(service: Running) -> None:
    one, two = await service.couple()
    said: dict[int, Any] = {}
    for day in range(1, 21):
        await tell(one, two, {}, {"decided_by": "partner" if day % 4 else "both"}, day % 14 + 1)
        for phone in (one, two):
            found = await read(phone, "perspectives", measure="decides")
            said[found["n"]] = (found["agree"], found["low"] is not None, found["high"] is not None, found["near"])
    assert said == {n: (0.75 if n == 20 else None, n >= 8, n >= 8, None) for n in range(1, 21)}


async def test_of_what_was_felt_it_is_said_how_often_they_were_a_step_apart_at_most(service: Running) -> None:
    one, two = await service.couple()
    for day in range(1, 22):
        at = f"2026-05-{day:02}T10:00:00Z"
        await feel(one, at, fair=4)
        await feel(two, at, fair=4 + day % 3)
    found = await read(two, "perspectives", measure="felt", item="fair")
    assert (found["n"], round(found["agree"], 6), round(found["near"], 6)) == (21, 0.333333, 0.666667)


async def test_perspectives_see_only_what_is_shared_and_stands(service: Running) -> None:
    one, two = await service.couple()
    await tell(one, two, {}, {"audience": "private"})
    gone = await tell(one, two, {}, {})
    assert (await read(one, "perspectives", measure="decides"))["n"] == 1
    await take_back(two, gone)
    for phone in (one, two):
        assert (await read(phone, "perspectives", measure="decides"))["n"] == 0
    first = await put(one, "decisions", BOTH)
    await two.put("decisions", BOTH | {"about": first})
    await take_back(one, first)
    assert (await read(two, "perspectives", measure="decides"))["n"] == 0


async def test_the_day_of_a_decision_is_that_of_the_one_recorded_first(service: Running) -> None:
    one, two = await service.couple()
    await tell(one, two, {}, {"occurred_at": "2026-06-10T10:00:00Z"}, day=3)
    for first, last, n in ("2026-06-03", "2026-06-03", 1), ("2026-06-04", "2026-06-10", 0), ("2026-06-01", None, 1):
        period = {"from_": first} | ({"to": last} if last else {})
        assert (await read(one, "perspectives", measure="decides", **period))["n"] == n


async def feel(phone: Phone, at: str, event_id: str | None = None, audience: str = "shared", **felt: int) -> str:
    return await put(phone, "check-ins", {"occurred_at": at, "felt": felt, "audience": audience}, event_id)


async def test_how_it_felt_is_compared_on_days_that_both_shared(service: Running) -> None:
    one, two = await service.couple()
    await feel(one, "2026-06-01T10:00:00Z", fair=2)
    await feel(two, "2026-06-01T23:00:00Z", fair=5, close=1)
    await feel(one, "2026-06-02T10:00:00Z", fair=3)
    await feel(two, "2026-06-02T10:00:00Z", fair=3, audience="private")
    await feel(one, "2026-06-03T00:30:00+02:00", fair=7)
    await feel(two, "2026-06-03T23:30:00-05:00", fair=7)
    mine, theirs = [await read(phone, "perspectives", measure="felt", item="fair") for phone in (one, two)]
    assert (mine["item"], mine["values"], mine["n"]) == ("fair", [1, 2, 3, 4, 5, 6, 7], 2)
    assert [(r, c) for r in range(7) for c in range(7) if mine["table"][r][c]] == [(1, 4), (6, 6)]
    assert theirs["table"] == [list(column) for column in zip(*mine["table"], strict=True)]
    found = await read(one, "perspectives", measure="felt", item="fair", from_="2026-06-02", to="2026-06-03")
    assert found["n"] == 1


async def test_of_several_answers_on_a_day_the_last_one_counts(service: Running) -> None:
    one, two = await service.couple()
    low, high = sorted((str(uuid4()), str(uuid4())))
    await feel(two, "2026-06-01T10:00:00Z", fair=1)
    await feel(one, "2026-06-01T12:00:00Z", high, fair=4)
    await feel(one, "2026-06-01T12:00:00Z", low, fair=5)
    await feel(one, "2026-06-01T11:00:00Z", fair=6)
    assert (await read(one, "perspectives", measure="felt", item="fair"))["table"][3][0] == 1
    await take_back(one, high)
    assert (await read(one, "perspectives", measure="felt", item="fair"))["table"][4][0] == 1


CACHED: list[tuple[str, Json]] = [
    ("events", {}),
    ("requests", {}),
    ("balances", {}),
    ("trends", {"measure": "decides"}),
    *(("perspectives", params) for params in MEASURES),
]


async def test_a_phone_that_has_an_answer_is_told_so(service: Running) -> None:
    one, _ = await service.couple()
    for what, params in CACHED:
        full = await look(one, what, **params)
        etag = full.headers["ETag"]
        assert etag.startswith('"')
        for given in (etag, f'"other", {etag}', f"W/{etag}", "*"):
            same = await look(one, what, given, **params)
            assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", etag)
        assert (await look(one, what, '"other"', **params)).content == full.content
        for answered in (full, same):
            assert answered.headers["Cache-Control"] == "private, no-cache"
            assert answered.headers["Vary"].split(", ")[0] == "Authorization"


async def test_several_lines_of_tags_all_count(service: Running) -> None:
    one, _ = await service.couple()
    etag = (await look(one, "balances")).headers["ETag"]
    for lines in (['"a"', etag], [etag, '"b"'], ['"a", "b"', f'W/{etag}, "c"'], ['"a"', '"b"']):
        sent = [("Authorization", f"Bearer {one.access_token}"), *(("If-None-Match", line) for line in lines)]
        answer = await one.http.get(f"{HERE}/balances".replace("{rid}", one.rid), headers=sent)
        assert answer.status_code == (304 if etag in "".join(lines) else 200), lines


@pytest.mark.parametrize(
    ("occurred_at", "day"),
    [
        ("2026-11-20T00:30:00+13:00", "2026-11-20"),
        ("2026-11-19T11:30:00Z", "2026-11-19"),  # the same moment, by a phone that lost its offset
        ("2026-11-20T23:59:59.9999996+01:00", "2026-11-20"),
    ],
)
async def test_an_event_shows_the_day_on_which_it_was_counted(service: Running, occurred_at: str, day: str) -> None:
    service.clock.advance(days=180)
    one, _ = await service.couple()
    for kind, body in (("requests", {"domain": "home"}), ("decisions", {"domain": "home", "decided_by": "me"})):
        await one.put(kind, body | {"occurred_at": occurred_at})
    told = (await one.put("check-ins", {"occurred_at": occurred_at, "initiated_by": "me"}))["event"]
    events = [*(await one.events())[1:], *await one.events("private")]
    assert [event["day"] for event in events] == [day] * 3
    assert told in events
    assert "day" not in (await one.events())[0]
    on = {d: (await read(one, "balances", window=7, on=d))["mine"]["initiates"]["n"] for d in (day, before(day))}
    assert list(on.values()) == [1, 0]


async def test_what_is_told_after_midnight_shows_its_day(service: Running) -> None:
    one, _ = await service.couple()
    await one.put("check-ins", {"occurred_at": "2026-06-15T00:30:00+02:00", "day": "2026-06-14", "note": "x"})
    await take_back(one, (await one.events("private"))[0]["id"])
    assert [event.get("day") for event in await one.events("private")] == ["2026-06-14", None]


def before(day: str) -> str:
    return str(date.fromisoformat(day) - timedelta(days=1))


async def test_an_etag_tells_of_shared_things_and_never_of_private_ones(service: Running) -> None:
    one, two = await service.couple()
    request_id = await ask(one)
    decision = await put(one, "decisions", BOTH)
    await feel(one, AT, fair=3)
    before = await etags(one)
    await two.put("check-ins", NOTE | {"felt": {"fair": 1}, "decided_by": "me"})
    await answer(two, request_id, "no")
    await two.put("decisions", BOTH | {"about": decision, "audience": "private"})
    assert await etags(one) == before
    await tell(one, two, {"raised_by": "me"}, {"raised_by": "me"})
    await feel(two, AT, fair=1)
    await answer(two, request_id, "yes")
    assert all(now != then for now, then in zip(await etags(one), before, strict=True))


async def etags(phone: Phone) -> list[str]:
    return [(await look(phone, what, **params)).headers["ETag"] for what, params in CACHED]


async def test_head_answers_as_get_does_without_a_body(service: Running) -> None:
    one = await service.member()
    mine = [HERE, *(f"{HERE}/{what}" for what in ("events", "requests", "balances"))]
    for path in ("/v1/me", "/v1/sessions", "/v1/relationships", *mine):
        head, get = await one.call("HEAD", path), await one.call("GET", path)
        assert (head.status_code, head.content) == (200, b"")
        assert headers_of(head) == headers_of(get)
        assert int(head.headers["Content-Length"]) == len(get.content)


async def test_what_is_not_cacheable_is_kept_by_nobody(service: Running) -> None:
    one = await service.member()
    calls = [("GET", "/health/live"), ("GET", "/v1/nothing"), ("DELETE", "/v1/me/consent"), ("PUT", "/v1/me")]
    answers = [await one.call(method, path) for method, path in calls]
    assert [a.status_code for a in answers] == [200, 404, 204, 405]
    assert {a.headers["Cache-Control"] for a in answers} == {"no-store"}
    assert {a.headers["X-Content-Type-Options"] for a in answers} == {"nosniff"}
    assert {a.headers["Referrer-Policy"] for a in answers} == {"no-referrer"}


async def test_no_answer_is_shown_inside_another_page(service: Running) -> None:
    one = await service.member()
    paths = ("/docs", "/docs/style.css", "/openapi.json", "/v1/me", "/v1/nothing", "/nowhere")
    for answer in [await one.call("GET", path) for path in paths]:
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "frame-ancestors 'none'"} <= set(policy)


@pytest.mark.parametrize(
    ("public_url", "said"),
    [
        ("https://mutuality.example", "max-age=31536000"),
        ("HTTPS://mutuality.example", "max-age=31536000"),
        ("http://127.0.0.1:8000", None),
        (None, None),
    ],
)
async def test_where_phones_come_by_tls_they_are_told_to_do_so_for_a_year(
    database_url: str, public_url: str | None, said: str | None
) -> None:
    async with running(database_url, settings=unlimited(public_url=public_url)) as service:
        answers = [await service.phone().call("GET", path) for path in ("/health/live", "/v1/me", "/docs")]
        assert {answer.headers.get("Strict-Transport-Security") for answer in answers} == {said}


ALLOWED = [
    ("PUT", "/v1/me", {"DELETE", "GET", "HEAD", "PATCH"}),
    ("GET", "/v1/invites/accept", {"POST"}),
    ("POST", f"/v1/relationships/{uuid4()}/balances", {"GET", "HEAD"}),
    ("DELETE", f"/v1/relationships/{uuid4()}/check-ins/{uuid4()}", {"PUT"}),
    ("PATCH", f"/v1/relationships/{uuid4()}/requests/{uuid4()}", {"PUT"}),
]


async def test_a_wrong_method_is_told_the_right_ones(service: Running) -> None:
    for method, path, allowed in ALLOWED:
        refused = await service.phone().call(method, path)
        assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")
        assert set(refused.headers["Allow"].split(", ")) - {"OPTIONS"} == allowed


async def test_an_unknown_address_is_a_problem_too(service: Running) -> None:
    one = await service.phone().sign_in()
    known = await one.call("GET", f"/v1/relationships/{uuid4()}")
    for path in ("/app", "/v1", "/v2/me", "/v1/me/nothing", "/v1/relationships/a/b/c", "/docs/secret"):
        unknown = await one.call("GET", path)
        assert (unknown.status_code, unknown.headers["Content-Type"]) == (404, "application/problem+json")
        assert unknown.content == known.content


async def test_what_cannot_be_read_is_told_apart_by_nobody(service: Running) -> None:
    one, stranger = await service.member(), await service.phone().sign_in()
    names = [one.rid, str(uuid4()), "malformed", "%00"]
    calls = [("events", "?limit=x"), ("events", ""), ("requests", ""), ("balances", "?window=1"), ("trends", "")]
    answers = await asyncio.gather(
        *(stranger.call("GET", f"/v1/relationships/{rid}/{what}{query}") for what, query in calls for rid in names)
    )
    assert {a.status_code for a in answers} == {404}
    assert len({(a.content, str(headers_of(a))) for a in answers}) == 1
