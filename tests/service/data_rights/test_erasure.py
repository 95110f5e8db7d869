"""Who erases themselves leaves nothing that anybody can read, and takes nothing from the other's telling."""

import asyncio
import runpy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from service.cli.rebuild_tallies import rebuild_all
from service.data_rights import erasure
from service.data_rights.recounts import recount_due
from tests.service.push.test_devices import web
from tests.support.disk import keep_wal, places_of
from tests.support.holding import holding
from tests.support.phones import KEYS, Json, Phone, Running, link, running

verify = runpy.run_path(str(Path(__file__).parents[3] / "openapi" / "verify.py"))["verify"]

OCCURRED = "2026-06-15T10:00:00+02:00"
HERE = "/v1/relationships/{rid}"
LOOKS = (
    "balances?window=28",
    "trends?measure=initiates",
    "perspectives?measure=decides",
    "roles",
    "openings",
    "voice",
    "requests",
)
# The most intimate thing that is here: what it says is in the words, and in the counts.
INTIMATE = {"domain": "intimacy", "felt": {"free_to_say_no": 1, "conflict": 7}}


@pytest.fixture
async def db(service: Running) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """The same database, as its superuser."""
    connection = await asyncpg.connect(service.database_url)
    yield connection
    await connection.close()


SPOIL = """
UPDATE events
SET ciphertext = overlay(before.ciphertext PLACING '\\x00000000' FROM 1)
FROM events AS before
WHERE events.relationship_id = $1
    AND events.stream = 2
    AND (events.relationship_id, events.stream, events.position)
        = (before.relationship_id, before.stream, before.position)
RETURNING before.ciphertext
"""


MEND = "UPDATE events SET ciphertext = $2 WHERE relationship_id = $1 AND stream = 2"


async def told(phone: Phone, word: str = "x", other: Phone | None = None) -> None:
    """Something of every kind, shared and private, with a word in every text."""
    asked = await phone.put("requests", {"occurred_at": OCCURRED, "domain": "home", "text": f"{word} asks"})
    await phone.put("decisions", both(decided_by="me", text=f"{word} decides", audience="shared", raised_by="me"))
    await phone.put("check-ins", check_in(audience="shared", note=f"{word} shares", words={f"{word}?": word}))
    await phone.put("check-ins", check_in(note=f"{word} keeps"))
    await phone.put("check-ins", check_in(**INTIMATE))
    await phone.put("retractions", {"occurred_at": OCCURRED, "event_id": asked["event"]["id"]})
    again = await phone.put("requests", {"occurred_at": OCCURRED, "domain": "money", "text": f"{word} asks again"})
    if other:
        body = {"occurred_at": OCCURRED, "request_id": again["event"]["id"], "outcome": "no", "note": "No"}
        await other.put("decisions", body)


def both(**fields: Any) -> Json:
    return {"occurred_at": OCCURRED, "domain": "home", "size": "big", "my_input": "counted", **fields}


def check_in(**fields: Any) -> Json:
    return {"occurred_at": OCCURRED, "initiated_by": "me", "felt": {"close": 6}, **fields}


async def erase(phone: Phone) -> None:
    await phone.step_up()
    await phone.expect(204, "DELETE", "/v1/me")


async def test_it_needs_a_step_up(service: Running) -> None:
    phone = await service.member()
    assert (await phone.expect(403, "DELETE", "/v1/me"))["code"] == "step_up_required"
    await phone.get("/v1/me")


async def test_every_device_is_signed_out_and_the_address_makes_a_new_member(service: Running) -> None:
    phone = await service.member()
    tablet = await service.phone().sign_in(phone.email)
    await erase(phone)
    for device in (phone, tablet):
        await device.expect(401, "GET", "/v1/me")
        await device.expect(401, "POST", "/v1/sessions/refresh", {"refresh_token": device.refresh_token})
    anew = await service.phone().sign_in(phone.email)
    assert anew.member_id != phone.member_id
    assert (await anew.get("/v1/relationships"))["relationships"] == []


async def test_the_partner_sees_that_it_ended_and_what_was_erased_and_no_more(service: Running) -> None:
    one, two = await service.couple()
    await one.expect(200, "PATCH", "/v1/me", {"name": "A name"})
    await told(one, other=two)
    await told(two)
    before = await two.events(proof="true")
    await erase(one)
    relationship, after = await two.get(HERE), await two.events(proof="true")
    assert (relationship["state"], relationship["partner"]) == ("ended", {"name": None})
    assert [event["kind"] for event in after[len(before) :]] == ["ended"]
    for old, new in zip(before, after, strict=False):
        assert new == (old if old["by"] != "partner" else erased(old))


def erased(event: Json) -> Json:
    """What is left of an event: its place and its header."""
    kept = {name: event[name] for name in ("id", "stream", "position", "by", "recorded_at")}
    proof = {"header": event["proof"]["header"], "body": None, "opening": None}
    return kept | {"kind": "erased", "late": False, "proof": proof}


async def test_the_others_private_stream_is_byte_equal(service: Running) -> None:
    one, two = await service.couple()
    await told(one, other=two)
    await told(two)
    path = f"{HERE}/events?stream=private&proof=true"
    before = (await two.call("GET", path)).content
    await erase(one)
    assert (await two.call("GET", path)).content == before


async def test_both_chains_still_verify(service: Running) -> None:
    one, two = await service.couple()
    await told(one)
    seen = (await two.put("check-ins", check_in(audience="shared")))["head"]
    await told(two)
    await erase(one)
    streams = (await two.get(HERE))["streams"]
    for name, remembered in (("shared", [(seen["position"], seen["link"])]), ("private", [])):
        page = await two.get(f"{HERE}/events", stream=name, limit=500, proof="true")
        assert verify(streams[name], [page], *remembered) == (page["head"]["position"], page["head"]["link"])


async def test_the_other_keeps_their_own_telling_alone(service: Running) -> None:
    one, two = await service.couple()
    await told(one)
    await two.put("decisions", both(decided_by="partner", audience="shared"))
    await two.put("requests", {"occurred_at": OCCURRED, "domain": "home"})
    await erase(one)
    found = await two.get(f"{HERE}/balances")
    assert found["asks"]["counts"] == {"me": 1, "partner": 0, "both": 0, "neither": 0}
    assert found["mine"]["decides"]["counts"] == {"me": 0, "partner": 1, "both": 0, "neither": 0}
    assert found["mine"]["initiates"]["counts"] == {"me": 0, "partner": 0, "both": 0, "neither": 0}
    assert found["partners"] == (await (await service.member()).get(f"{HERE}/balances"))["partners"]
    assert {one["by"] for one in [r["event"] for r in (await two.get(f"{HERE}/requests"))["requests"]]} == {"me"}


async def test_what_was_told_about_what_is_gone_counts_the_episode_itself(service: Running) -> None:
    one, two = await service.couple()
    asked = (await one.put("requests", {"occurred_at": OCCURRED, "domain": "home"}))["event"]["id"]
    noted = (await one.put("check-ins", {"occurred_at": OCCURRED, "note": "x", "audience": "shared"}))["event"]["id"]
    for about in (asked, noted):
        for audience in ("shared", "private"):
            await two.put("check-ins", check_in(about=about, audience=audience))
    assert (await two.get(f"{HERE}/balances"))["mine"]["initiates"]["counts"]["me"] == 2
    await erase(one)
    assert (await two.get(f"{HERE}/balances"))["mine"]["initiates"]["counts"]["me"] == 4
    assert await asyncio.to_thread(rebuild_all, service.database_url, KEYS) == 0


async def test_what_a_process_left_uncounted_the_next_one_counts(service: Running, db: Any) -> None:
    one, two = await service.couple()
    asked = (await one.put("requests", {"occurred_at": OCCURRED, "domain": "home"}))["event"]["id"]
    await two.put("check-ins", check_in(about=asked))
    await erasure.erase(service.app.state.context, UUID(one.member_id))  # what comes after the answer never runs
    assert await db.fetchval("SELECT count(*) FROM due_recounts") == 1
    async with running(service.database_url, with_upkeep=True):
        for _ in range(1000):
            if not await db.fetchval("SELECT count(*) FROM due_recounts"):
                break
            await asyncio.sleep(0.01)
    assert await asyncio.to_thread(rebuild_all, service.database_url, KEYS) == 0


async def test_of_what_cannot_be_counted_nothing_is_lost_and_the_rest_is(service: Running, db: Any) -> None:
    couples = [await service.couple() for _ in range(2)]
    for one, two in couples:
        asked = (await one.put("requests", {"occurred_at": OCCURRED, "domain": "home"}))["event"]["id"]
        await two.put("check-ins", check_in(about=asked))
        await erasure.erase(service.app.state.context, UUID(one.member_id))
    spoiled = min(UUID(two.rid) for _, two in couples)
    kept = await db.fetchval(SPOIL, spoiled)
    await recount_due(service.app.state.context)
    assert await db.fetchval("SELECT array_agg(relationship_id) FROM due_recounts") == [spoiled]
    await db.execute(MEND, spoiled, kept)
    await recount_due(service.app.state.context)
    assert await db.fetchval("SELECT count(*) FROM due_recounts") == 0
    assert await asyncio.to_thread(rebuild_all, service.database_url, KEYS) == 0


async def test_the_others_offline_queue_about_what_is_gone_is_recorded_for_them_alone(service: Running) -> None:
    one, two = await service.couple()
    asked = (await one.put("requests", {"occurred_at": OCCURRED, "domain": "home"}))["event"]["id"]
    decided = (await one.put("decisions", both(decided_by="me", audience="shared")))["event"]["id"]
    await erase(one)
    yes = {"occurred_at": OCCURRED, "request_id": asked, "outcome": "yes"}
    telling = both(decided_by="partner", about=decided, audience="shared")
    about = check_in(about=asked, audience="shared")
    queue = [
        {"id": str(uuid4()), "kind": "decision", "decision": yes},
        {"id": str(uuid4()), "kind": "decision", "decision": telling},
        {"id": str(uuid4()), "kind": "check_in", "check_in": about},
    ]
    for status in ("recorded", "replayed"):
        synced = await two.expect(200, "POST", f"{HERE}/sync", {"entries": queue})
        assert [result["status"] for result in synced["results"]] == [status] * 3
    private = await two.events("private")
    assert [event[event["kind"]]["audience"] for event in private] == ["private"] * 3
    mine = (await two.get(f"{HERE}/balances"))["mine"]
    assert mine["decides"]["counts"] == {"me": 0, "partner": 1, "both": 0, "neither": 0}
    assert mine["initiates"]["counts"]["me"] == 1
    assert (await two.get(f"{HERE}/perspectives", measure="decides"))["n"] == 0
    assert await asyncio.to_thread(rebuild_all, service.database_url, KEYS) == 0


async def test_a_rebuild_finds_nothing_to_set_right(service: Running) -> None:
    one, two = await service.couple()
    await told(one, other=two)
    await told(two)
    await erase(one)
    assert await asyncio.to_thread(rebuild_all, service.database_url, KEYS) == 0


async def test_no_row_is_left_that_names_who_was_erased(service: Running, db: Any) -> None:
    one, two = await service.couple()
    await told(one)
    author = one.author
    await erase(one)
    assert await two.get(f"{HERE}/events")
    tables = await db.fetch(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('public', 'keys')"
    )
    for (table,) in tables:
        rows = await db.fetch(f"SELECT t::text FROM {table} AS t")
        assert not [row for row in rows if one.member_id in row[0]], table
        if table != "public.memberships":  # headers name their author, as the chain needs
            assert not [row for row in rows if author in row[0]], table


async def test_each_state_can_be_left_by_erasure(service: Running) -> None:
    solo, inviting = await service.member(), await service.member()
    await inviting.expect(201, "POST", f"{HERE}/invites")
    for phone in (solo, inviting):
        await erase(phone)
    for first_goes in (True, False):
        one, two = await service.member(), await service.phone().sign_in()
        await two.consent()
        code = (await one.expect(201, "POST", f"{HERE}/invites"))["code"]
        two.rid = (await two.expect(200, "POST", "/v1/invites/accept", {"code": code}))["relationship_id"]
        await erase(one if first_goes else two)
        assert (await (two if first_goes else one).get("/v1/relationships"))["relationships"] == (
            [] if first_goes else [await one.get(HERE)]
        )


async def test_one_after_the_other_both_can_be_erased(service: Running) -> None:
    one, two = await service.couple()
    await told(one, other=two)
    await told(two)
    await erase(one)
    await erase(two)
    await two.expect(401, "GET", HERE)


SEAT = "SELECT FROM memberships WHERE member_id = $1::text::uuid FOR UPDATE"


async def test_who_lost_the_answer_asks_again(service: Running) -> None:
    one, two = await service.couple()
    await told(one)
    await one.step_up()
    async with holding(service, SEAT, one.member_id) as held:
        erasing = asyncio.create_task(one.call("DELETE", "/v1/me"))
        await held.until_waiting()
        await held.end_waiting()
    assert (await erasing).status_code == 503
    assert {e["kind"] for e in await two.events() if e["by"] == "partner"} == {"erased"}
    await one.expect(204, "DELETE", "/v1/me")
    await one.expect(401, "GET", "/v1/me")


async def test_what_another_device_records_meanwhile_is_refused_or_erased(service: Running, db: Any) -> None:
    one, two = await service.couple()
    tablet = await service.phone().sign_in(one.email)
    tablet.rid = one.rid
    await one.step_up()
    writes = [tablet.call("PUT", f"{HERE}/check-ins/{uuid4()}", check_in(note="late")) for _ in range(20)]
    answers = await asyncio.gather(one.call("DELETE", "/v1/me"), *writes)
    assert answers[0].status_code == 204
    assert {answer.status_code for answer in answers[1:]} <= {201, 401, 403, 404}
    assert await db.fetchval("SELECT count(ciphertext) FROM events WHERE author = 1") == 0
    assert await db.fetchval("SELECT count(*) FROM pages WHERE author = 1") == 0
    await two.get(f"{HERE}/events")


# --- Nothing is left on the disk


async def test_no_canary_is_found_in_heap_index_wal_dump_or_log(
    service: Running, db: Any, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    canary = f"canary{uuid4().hex}"
    await keep_wal(db)
    one, two = await service.member(), await service.phone().sign_in()
    one = await service.phone().sign_in(f"{canary}@example.org", device_name=canary)
    await one.begin()
    await one.expect(200, "PATCH", "/v1/me", {"name": canary})
    for address in addresses(canary):
        await one.expect(200, "PUT", f"/v1/me/devices/{uuid4()}", address)
    await two.consent()
    await link(one, two)
    await told(one, canary, other=two)
    for name in LOOKS:
        await two.expect(200, "GET", f"{HERE}/{name}")
    # Three times: where a page of the WAL ends within a word, its header stands in the middle of it.
    planted = "CREATE TABLE planted AS SELECT $1::text AS word FROM generate_series(1, 3)"
    await db.execute(planted, f"not-{canary}")
    assert await places_of(service, db, f"not-{canary}".encode(), tmp_path) >= {"heap", "wal", "dump"}
    await erase(one)
    await db.execute("DROP TABLE planted")
    assert await places_of(service, db, canary.upper().encode(), tmp_path) == set()
    assert await places_of(service, db, canary.encode(), tmp_path, but=f"not-{canary}".encode()) == set()
    assert canary not in "".join(capfd.readouterr())


def addresses(canary: str) -> list[Json]:
    """Where pushes go, with a word in it."""
    return [
        {"platform": "android", "provider": "fcm", "token": canary},
        web(f"https://push.example.org/{canary}"),
    ]
