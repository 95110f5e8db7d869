"""Live events: each event that its reader may read, once and in order, and to nobody who may not read it any more."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from service.core.listeners import MAX_STREAMS
from service.reading.live import KEEP_ALIVE, LivePace
from tests.support.listening import PATIENCE_SECONDS, Listening
from tests.support.phones import Json, Phone, Running, running, unlimited
from tests.support.wire import served

ROOT = Path(__file__).parents[3]
OCCURRED = "2026-06-15T10:00:00+02:00"
NOTE = {"occurred_at": OCCURRED, "note": "a walk"}
TOLD = NOTE | {"audience": "shared"}
HERE = "/v1/relationships/{rid}"
ALL = "shared:0,private:0"


def paced(database_url: str, **pace: float) -> AbstractAsyncContextManager[Running]:
    """A service whose streams go at another pace; it soon learns what other processes did."""
    return running(database_url, live_pace=replace(LivePace(poll_seconds=0.02), **pace))


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Running]:
    async with paced(database_url) as started:
        yield started


def positions(events: list[Json], stream: str) -> list[int]:
    return [event["position"] for event in events if event["stream"] == stream]


# --- What comes


async def test_it_begins_where_the_log_is_and_tells_what_is_new(service: Running) -> None:
    one, two = await service.couple()
    async with Listening(service.app, one) as listening:
        assert await listening.chunk() == b"retry: 2000\nid: shared:1,private:0\n\n"
        assert await listening.chunk() == KEEP_ALIVE
        assert listening.headers[b"content-type"] == b"text/event-stream"
        assert listening.headers[b"cache-control"] == b"no-store"
        await two.put("check-ins", TOLD)
        await one.put("check-ins", NOTE)
        told = await listening.events(2)
        assert listening.id == "shared:2,private:1"
    assert told == (await one.events())[1:] + await one.events("private")
    assert [event["by"] for event in told] == ["partner", "me"]


async def test_what_another_process_records_is_told_too(service: Running) -> None:
    one, two = await service.couple()
    async with paced(service.database_url) as other, Listening(other.app, one) as listening:
        await listening.caught_up()
        await two.put("check-ins", TOLD)
        assert positions(await listening.events(1), "shared") == [2]


async def test_it_goes_on_behind_the_last_id_without_gap_or_repetition(database_url: str) -> None:
    async with paced(database_url, page_events=2) as service:
        one, two = await service.couple()
        for _ in range(5):
            await two.put("check-ins", TOLD)
            await one.put("check-ins", NOTE)
        async with Listening(service.app, one, ALL) as listening:
            first = await listening.events(4)
        async with Listening(service.app, one, listening.id) as listening:
            rest = await listening.caught_up()
        assert positions(first + rest, "shared") == [1, 2, 3, 4, 5, 6]
        assert positions(first + rest, "private") == [1, 2, 3, 4, 5]
        assert listening.id == "shared:6,private:5"


async def test_many_who_write_at_once_are_told_in_order(service: Running) -> None:
    one, two = await service.couple()
    async with Listening(service.app, one, ALL) as listening:
        writing = [who.put("check-ins", body) for _ in range(10) for who, body in ((one, NOTE), (two, TOLD))]
        recorded = asyncio.gather(*writing)
        told = await listening.events(21)
        await recorded
    assert positions(told, "shared") == list(range(1, 12))
    assert positions(told, "private") == list(range(1, 11))


async def test_what_is_recorded_while_others_are_told_wakes_again(database_url: str) -> None:
    async with paced(database_url, poll_seconds=1000) as service:  # nothing but the recorder wakes
        one = await service.member()
        async with Listening(service.app, one) as listening:
            await listening.caught_up()
            for _ in range(20):  # more than waits for a reader: the service stands in the middle of telling
                await one.put("check-ins", NOTE)
            assert positions(await listening.events(20), "private") == list(range(1, 21))


async def test_silence_is_broken_by_comments(database_url: str) -> None:
    async with paced(database_url, keep_alive_seconds=0.01) as service:
        one = await service.member()
        async with Listening(service.app, one) as listening:
            assert [await listening.chunk() for _ in range(4)][1:] == [KEEP_ALIVE] * 3


async def test_a_head_ends_at_once(service: Running) -> None:
    one = await service.member()
    async with Listening(service.app, one, method="HEAD") as listening:
        assert await listening.chunk() == b""
        await listening.task  # a server hangs up on whoever has got all
    assert listening.status == 200


# --- Ids that are none, and ids of what is not there


@pytest.mark.parametrize(
    "last", ["12", "shared:1", "private:1,shared:1", "shared:01,private:0", "shared:-1,private:0", f"{ALL} "]
)
async def test_an_id_that_is_none_is_refused(service: Running, last: str) -> None:
    one = await service.member()
    answer = await one.call("GET", f"{HERE}/live", headers={"Last-Event-ID": last})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid")
    assert problem["errors"][0]["pointer"] == "/Last-Event-ID"


async def test_an_empty_id_counts_as_none(service: Running) -> None:
    one, two = await service.couple()
    async with Listening(service.app, one, "") as listening:
        assert await listening.caught_up() == []
        assert listening.id == "shared:1,private:0"
        await two.put("check-ins", TOLD)
        assert positions(await listening.events(1), "shared") == [2]


async def test_a_position_that_is_not_reached_counts_as_the_head(service: Running) -> None:
    one, _ = await service.couple()
    async with Listening(service.app, one, "shared:9999999999999999999,private:0") as listening:
        assert await listening.chunk() == b"retry: 2000\nid: shared:1,private:0\n\n"
        assert await listening.caught_up() == []


# --- Who may not listen any more


async def test_a_revoked_session_hears_nothing_more(service: Running) -> None:
    one = await service.member()
    other = await service.phone().sign_in(one.email)
    sessions = (await other.get("/v1/sessions"))["sessions"]
    (revoked,) = (session["id"] for session in sessions if not session["current"])
    async with Listening(service.app, one) as listening:
        await listening.caught_up()
        await other.expect(204, "DELETE", f"/v1/sessions/{revoked}")
        await listening.ended()


async def test_it_ends_with_its_access_token(service: Running) -> None:
    one = await service.member()
    async with Listening(service.app, one) as listening:
        await listening.caught_up()
        service.clock.advance(minutes=15)
        await listening.ended()


async def test_who_is_erased_hears_nothing_more_and_the_other_hears_of_the_end(service: Running) -> None:
    one, two = await service.couple()
    await one.step_up()
    async with Listening(service.app, one) as erased, Listening(service.app, two) as left:
        await left.caught_up()
        await one.expect(204, "DELETE", "/v1/me")
        await erased.ended()
        assert [event["kind"] for event in await left.events(1)] == ["ended"]


async def test_who_is_not_confirmed_after_all_may_not_read_on(service: Running) -> None:
    one, two = await service.member(), await service.phone().sign_in()
    await two.consent()
    code = (await one.expect(201, "POST", f"{HERE}/invites"))["code"]
    two.rid = (await two.expect(200, "POST", "/v1/invites/accept", {"code": code}))["relationship_id"]
    async with Listening(service.app, one) as stays, Listening(service.app, two) as goes:
        await goes.caught_up()
        await one.expect(204, "POST", f"{HERE}/leave")
        await goes.ended()
        await one.put("check-ins", NOTE)
        assert positions(await stays.events(1), "private") == [1]


async def test_after_the_end_the_own_private_stream_goes_on(service: Running) -> None:
    one, two = await service.couple()
    async with Listening(service.app, one) as listening:
        await listening.caught_up()
        await two.expect(204, "POST", f"{HERE}/leave")
        assert [(event["kind"], event["by"]) for event in await listening.events(1)] == [("ended", None)]
        await one.put("check-ins", NOTE)
        assert positions(await listening.events(1), "private") == [1]


# --- Bounds


async def test_the_oldest_of_too_many_ends(service: Running) -> None:
    one = await service.member()
    streams = [Listening(service.app, one) for _ in range(MAX_STREAMS + 1)]
    for stream in streams:
        await stream.__aenter__()
        await stream.caught_up()
    await streams[0].ended()
    await one.put("check-ins", NOTE)
    for stream in streams[1:]:
        assert len(await stream.events(1)) == 1
        await stream.__aexit__(None, None, None)


@pytest.mark.parametrize("more", [1, 2, MAX_STREAMS + 1])
async def test_the_newest_of_too_many_end_with_their_token_as_any(service: Running, more: int) -> None:
    one = await service.member()
    streams = [Listening(service.app, one) for _ in range(MAX_STREAMS + more)]
    for stream in streams:
        await stream.__aenter__()
        await stream.caught_up()
    assert len(list(service.app.state.context.listeners)) == MAX_STREAMS
    service.clock.advance(minutes=15)
    for stream in streams:
        await stream.ended()
        await stream.__aexit__(None, None, None)


async def test_who_does_not_read_holds_one_page_and_ends_all_the_same(database_url: str) -> None:
    async with paced(database_url, page_events=10, last_seconds=0.01) as service:
        one = await service.member()
        for _ in range(30):
            await one.put("check-ins", NOTE)
        async with Listening(service.app, one, ALL) as listening:
            await listening.stuck()
            (listener,) = service.app.state.context.listeners
            assert listener.reached["private"] < 10
            service.app.end_streams()
            async with asyncio.timeout(5):
                await asyncio.wait([listening.task])


async def test_more_listen_than_there_are_connections(database_url: str) -> None:
    async with running(database_url, settings=unlimited(database_connections=2)) as service:
        one, two = await service.couple()
        streams = [Listening(service.app, who) for who in (one, two, one, two, one)]
        for stream in streams:
            await stream.__aenter__()
            await stream.caught_up()
        await two.put("check-ins", TOLD)
        for stream in streams:
            assert positions(await stream.events(1), "shared") == [2]
            await stream.__aexit__(None, None, None)
        assert not list(service.app.state.context.listeners)


# --- Over a real socket


async def lines_of(phone: Phone, url: str, last: str | None) -> AsyncIterator[str]:
    headers = {"Authorization": f"Bearer {phone.access_token}"} | ({"Last-Event-ID": last} if last else {})
    address = f"{HERE.replace('{rid}', phone.rid)}/live"
    async with httpx.AsyncClient(base_url=url) as http, http.stream("GET", address, headers=headers) as answer:
        async for line in answer.aiter_lines():
            yield line


def test_a_phone_listens_over_a_socket_and_connects_again(database_url: str) -> None:
    with served(database_url, lambda app: app) as wire:
        one, two = wire.run(wire.couple())

        async def ids(last: str | None, count: int) -> list[str]:
            lines = lines_of(one, wire.url, last)
            found = []
            async for line in lines:
                if line.startswith("id: "):
                    found.append(line[4:])
                    if len(found) == count:
                        break
                    await two.put("check-ins", TOLD)
            await lines.aclose()  # type: ignore[attr-defined]
            return found

        assert wire.run(ids(None, 3)) == ["shared:1,private:0", "shared:2,private:0", "shared:3,private:0"]
        assert wire.run(ids("shared:2,private:0", 2)) == ["shared:2,private:0", "shared:3,private:0"]


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """Not pytest's own: PostgreSQL, started by root, is somebody else, and may not enter that."""
    with tempfile.TemporaryDirectory(prefix="mutuality-tests-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.mark.database
def test_a_service_that_is_told_to_stop_waits_for_no_stream(own_folder: Path) -> None:
    settings = {"MUTUALITY_PORT": "0", "MUTUALITY_DATA_DIR": str(own_folder / "data")}
    command, output = [sys.executable, "-m", "service", "serve"], own_folder / "console"
    with output.open("w") as file:
        service = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=file, stderr=file)
    try:
        with httpx.Client(base_url=said(output, r"serves on (\S+)")) as http, listened_to(http, output) as answer:
            lines = answer.iter_lines()
            assert next(lines) == "retry: 2000"
            service.send_signal(signal.SIGTERM)
            assert list(lines)[-1] == ""  # it was ended: one that breaks off raises here
        assert service.wait(PATIENCE_SECONDS) == 128 + signal.SIGTERM
    finally:
        service.kill()
        service.wait()


def listened_to(http: httpx.Client, output: Path) -> AbstractContextManager[httpx.Response]:
    """A live stream of somebody who has just signed in."""
    attempt = http.post("/v1/sign-in-codes", json={"email": "one@example.org"}).json()
    body = {**attempt, "code": said(output, r"code to sign in is (\d{4} \d{4})"), "device_name": "a phone"}
    bearer = {"Authorization": f"Bearer {http.post('/v1/sessions', json=body).json()['access_token']}"}
    rid = http.post("/v1/relationships", json={}, headers=bearer).json()["id"]
    return http.stream("GET", f"/v1/relationships/{rid}/live", headers=bearer)


def said(output: Path, pattern: str) -> str:
    """What stands on the console, once it does."""
    for _ in range(600):
        if found := re.search(pattern, output.read_text()):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(output.read_text())
