"""Several workers on one socket: what was of one process holds over all, and a dead one costs nobody an answer.

A connection stays with the worker that has taken it. So whoever opens many at once speaks to several, which each test
makes sure of, and asks by each of them.
"""

import json
import os
import random
import re
import signal
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import uuid4

import psutil
import pytest

from service.cli.one_worker import _next_line
from service.core.listeners import MAX_STREAMS
from tests.faults.site import CUT, Phone, Site, Writers, another_couple, check_log, couple, eventually, site
from tests.faults.site import _free_port as free_port

pytestmark = pytest.mark.database  # of the service's own

WORKERS = 4
CONNECTIONS = 32
SHORT_KILLS, SOAK_KILLS = 3, int(os.environ.get("MUTUALITY_SOAK_KILLS", "200"))
METRICS_PORT = free_port()
TOLD_SECONDS = 1.0


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """A service of four workers for this module, with a limit that one member reaches soon."""
    settings = {"WORKERS": str(WORKERS), "METRICS_PORT": str(METRICS_PORT), "INVITE_TRIES_PER_HOUR": "10"}
    with site(**settings, LOG_LEVEL="warning") as started:
        eventually(is_settled)
        yield started


@pytest.fixture(scope="module")
def two(place: Site) -> tuple[Phone, Phone]:
    """A couple."""
    return couple(place)


def everywhere(at: Site, phone: Phone) -> list[Phone]:
    """Connections of one phone, which more than one worker has."""
    for _ in range(20):
        phones = [phone.twin() for _ in range(CONNECTIONS)]
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(lambda one: one.send("GET", "/health/live"), phones))
        if len(holders(at)) > 1:
            return phones
        for one in phones:
            one.hang_up()
    raise AssertionError("void: one worker has all connections")


def holders(at: Site) -> Counter[int]:
    """How many connections of phones each worker has."""
    found: Counter[int] = Counter()
    for process in at.workers():
        here = [one for one in process.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED]
        found[process.pid] = sum(one.laddr.port == at.port for one in here)
    return +found


def figures() -> str:
    """What Prometheus would be told."""
    with urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics") as answer:
        return str(answer.read().decode())


def figure(name: str) -> float:
    """One sample of it."""
    return next((float(line.split()[-1]) for line in figures().splitlines() if line.startswith(name)), 0.0)


def test_an_allowance_is_one_over_all_workers(place: Site, two: tuple[Phone, Phone]) -> None:
    phones = everywhere(place, two[0])
    told = Counter(one.send("POST", "/v1/invites/accept", {"code": "0" * 12})[0] for one in phones)
    assert told == {404: 10, 429: CONNECTIONS - 10}


def test_wrong_codes_are_counted_over_all_workers(place: Site) -> None:
    phone = Phone(place.port)
    attempt = phone.expect(202, "POST", "/v1/sign-in-codes", {"email": phone.email})
    right = place.mailed_code(phone.email)
    wrong = str((int(right.replace(" ", "")) + 1) % 10**8).zfill(8)
    body = {**attempt, "code": wrong, "device_name": "a phone"}
    for one in everywhere(place, phone)[:5]:
        assert one.send("POST", "/v1/sessions", body)[0] == 401
    assert phone.send("POST", "/v1/sessions", {**body, "code": right})[0] == 401


def test_a_session_that_has_ended_is_ended_for_all_workers(place: Site) -> None:
    phone = Phone(place.port).sign_in(place)
    made = phone.expect(201, "POST", "/v1/relationships", {})
    phone.rid = made["id"]
    phones = everywhere(place, phone)
    asked = "/v1/relationships/{rid}/balances?window=28"
    assert {one.send("GET", asked)[0] for one in phones} == {200}
    (session,) = phone.expect(200, "GET", "/v1/sessions")["sessions"]
    phone.expect(204, "DELETE", f"/v1/sessions/{session['id']}")
    assert {one.send("GET", asked)[0] for one in phones} == {401}


def test_what_one_worker_records_all_others_count(place: Site, two: tuple[Phone, Phone]) -> None:
    reader = everywhere(place, two[0])
    writers = everywhere(place, two[1])
    day = "2026-06-15T10:00:00Z"

    def asks(one: Phone) -> Any:
        found = one.expect(200, "GET", "/v1/relationships/{rid}/balances?window=28&on=2026-06-15")
        return found["asks"]["counts"]["partner"]

    before = asks(reader[0])
    for number, writer in enumerate(writers[:8], 1):
        name = f"/v1/relationships/{{rid}}/requests/{uuid4()}"
        writer.expect(201, "PUT", name, {"occurred_at": day, "domain": "home"})
        assert {asks(one) for one in reader} == {before + number}


def test_all_workers_tell_what_happens_within_a_second(place: Site, two: tuple[Phone, Phone]) -> None:
    connections, streams = [], []
    for _ in range(5):  # as many as a member may have open
        http = HTTPConnection("127.0.0.1", place.port, timeout=10)
        path = f"/v1/relationships/{two[0].rid}/live"
        http.request("GET", path, headers={"Authorization": f"Bearer {two[0].token}"})
        connections.append(http)
        streams.append(http.getresponse())
    written = {"occurred_at": "2026-06-16T10:00:00Z", "domain": "time", "text": "a walk"}
    two[1].expect(201, "PUT", f"/v1/relationships/{{rid}}/requests/{uuid4()}", written)
    began = time.monotonic()
    for stream in streams:
        while b"a walk" not in stream.readline():
            assert time.monotonic() < began + 5
    assert time.monotonic() - began < TOLD_SECONDS
    for stream, http in zip(streams, connections, strict=True):
        stream.close()
        http.close()


def test_of_more_streams_of_a_member_than_5_the_oldest_end_whoever_serves_them(
    place: Site, two: tuple[Phone, Phone]
) -> None:
    opened = []
    for _ in range(3 * MAX_STREAMS):
        http = HTTPConnection("127.0.0.1", place.port, timeout=10)
        path = f"/v1/relationships/{two[1].rid}/live"
        http.request("GET", path, headers={"Authorization": f"Bearer {two[1].token}"})
        opened.append((http, http.getresponse()))
    assert len(holders(place)) > 1, "void: one worker has all streams"
    ended, still_open = opened[:-MAX_STREAMS], opened[-MAX_STREAMS:]
    for _, stream in ended:
        while stream.readline():
            pass
    written = {"occurred_at": "2026-06-17T10:00:00Z", "domain": "time", "text": "a swim"}
    two[0].expect(201, "PUT", f"/v1/relationships/{{rid}}/requests/{uuid4()}", written)
    for _, stream in still_open:
        while b"a swim" not in (line := stream.readline()):
            assert line, "the stream has ended"
    for http, stream in opened:
        stream.close()
        http.close()


def test_one_worker_plans_and_the_figures_are_those_of_all(place: Site, two: tuple[Phone, Phone]) -> None:
    # Each has two connections for it; it looks every second, and who does not plan uses none.
    planning = """
    SELECT count(*)
    FROM pg_stat_activity
    WHERE usename = 'mutuality_prompter' AND state_change > now() - interval '2 seconds'
    """
    eventually(lambda: 1 <= place.ask(planning)[0][0] <= 2)
    counted = 'mutuality_request_seconds_count{method="GET",route="/health/live",status="200"}'
    before, waiting = figure(counted), figure('mutuality_pushes_waiting{class="prompt"}')
    everywhere(place, two[0])
    assert figure(counted) >= before + CONNECTIONS
    assert waiting == figure('mutuality_pushes_waiting{class="prompt"}')
    assert all_ready()


def all_ready() -> bool:
    """Whether each worker says that it is ready."""
    return (
        sum(line.startswith("mutuality_worker_ready{") and line.endswith(" 1.0") for line in figures().splitlines())
        == WORKERS
    )


def is_settled() -> bool:
    """Whether, besides, one more waits with everything open."""
    return all_ready() and figure("mutuality_worker_spares") == 1


COUNTED = re.compile(r"^(\w+_(?:total|count|sum|bucket)(?:\{.*\})?) (\S+)$", re.MULTILINE)


def counts() -> dict[str, float]:
    """All that only grows."""
    return {name: float(value) for name, value in COUNTED.findall(figures())}


def test_no_sum_goes_down_when_a_worker_is_killed(place: Site, two: tuple[Phone, Phone]) -> None:
    eventually(is_settled)
    phones = everywhere(place, two[0])
    told = [counts()]
    os.kill(next(iter(holders(place))), signal.SIGKILL)
    while not is_settled():
        told.append(counts())
    with suppress(*CUT):
        phones[0].send("GET", "/health/live")
    told.append(counts())
    for before, after in pairwise(told):
        assert [name for name, value in before.items() if after.get(name, 0) < value] == []


@pytest.fixture
def phones(place: Site) -> list[Phone]:
    """Eight phones in three relationships, four of them in one."""
    one, other = couple(place)
    others = [another_couple(one, other) for _ in range(2)]
    return [one, other, one.twin(), other.twin(), *(phone for pair in others for phone in pair)]


def test_a_reload_replaces_all_workers_and_refuses_nobody(place: Site, phones: list[Phone]) -> None:
    assert place.process is not None
    eventually(is_settled)
    before, recorded = {one.pid for one in place.workers()}, entries_counted()
    with Writers(phones) as writers:
        writers.until(len(phones))
        place.process.send_signal(signal.SIGHUP)
        eventually(lambda: writers.failed() or not before & {one.pid for one in place.workers()})
        eventually(lambda: len(place.workers()) == WORKERS + 1 and is_settled())
        writers.until(writers.acknowledged + len(phones))
    assert (writers.refused, writers.retries) == (0, 0)
    assert check_log(phones, writers.written) == writers.acknowledged
    # Those who left have told what they had counted.
    assert entries_counted() == recorded + writers.acknowledged


def entries_counted() -> float:
    """How many entries were recorded by a PUT, as it is counted."""
    name = 'mutuality_request_seconds_count{method="PUT",route="/v1/relationships/{rid}/'
    return sum(value for labels, value in counts().items() if labels.startswith(name) and 'status="201"' in labels)


class Replaced(NamedTuple):
    """What the parent says of a place that was taken again: after how long, and whether somebody had waited for it."""

    seconds: float
    one_waited: bool


def replaced(at: Site) -> list[Replaced]:
    """All that it has said."""
    lines = [line for line in at.console.read_text(errors="replace").splitlines() if "worker_replaced" in line]
    return [Replaced(told["seconds"], told["one_waited"]) for told in map(json.loads, lines)]


def kill_one(at: Site, writers: Writers) -> Replaced:
    """Kill a worker that has connections while one more waits, and say how its place was taken."""
    writers.until(writers.acknowledged + 2 * len(writers.phones))
    held = eventually(lambda: is_settled() and list(holders(at)))
    assert len(at.workers()) == WORKERS + 1, "who waits has no connections open"
    time.sleep(random.random() * 0.05)
    before = len(replaced(at))
    with suppress(ProcessLookupError):
        os.kill(random.choice(held), signal.SIGKILL)
    others = Phone(at.port)
    with suppress(*CUT):  # the dead one may have had it in its queue
        assert others.send("GET", "/health/ready")[0] == 200
    eventually(lambda: writers.failed() or len(replaced(at)) > before)
    return replaced(at)[-1]


def kills(at: Site, phones: list[Phone], least: int, record_property: Callable[[str, Any], None]) -> None:
    with Writers(phones) as writers:
        found: list[Replaced] = []
        while len(found) < least or (writers.lost_answers == 0 and len(found) < 20 * least):
            found.append(kill_one(at, writers))
        writers.until(writers.acknowledged + len(phones))
    seconds = sorted(one.seconds for one in found)
    record_property(
        "measured",
        f"kill one of {WORKERS} workers: {len(found)} times, {writers.acknowledged} entries acknowledged,"
        f" {writers.lost_answers} answers lost, {writers.retries} sent again, {writers.refused} refused,"
        f" another one accepts after {seconds[len(seconds) // 2]:.3f} s (median), {seconds[-1]:.3f} s (longest)",
    )
    assert all(one.one_waited for one in found), "a place was vacant until something was loaded"
    assert writers.lost_answers > 0, "void: no commit lost its answer"
    assert writers.refused == 0, "an answer of a worker that lived asked to come again"
    assert check_log(phones, writers.written) == writers.acknowledged
    assert at.rebuilt() == "No differences."


def test_a_dead_worker_costs_nobody_what_was_acknowledged(
    place: Site, phones: list[Phone], record_property: Callable[[str, Any], None]
) -> None:
    kills(place, phones, SHORT_KILLS, record_property)


@pytest.mark.soak
def test_many_dead_workers_cost_nobody_what_was_acknowledged(
    place: Site, phones: list[Phone], record_property: Callable[[str, Any], None]
) -> None:
    kills(place, phones, SOAK_KILLS, record_property)


def test_no_worker_outlives_its_parent() -> None:
    with site(WORKERS="2") as at:
        assert at.process is not None
        eventually(at.workers)
        # Those too that are only starting.
        workers = [one for one in psutil.Process(at.process.pid).children() if one.name() != "postgres"]
        at.kill()
        _, alive = psutil.wait_procs(workers, 40)
        assert alive == []
        at.start()
        workers = eventually(at.workers)
        assert at.stop() == 0, at.console.read_text()[-2000:]
        assert [one for one in workers if one.is_running()] == []
        assert at.servers() == []


def test_a_parent_that_ends_with_something_unread_is_known_to_have_ended() -> None:
    parent, worker = socket.socketpair()
    with worker:
        worker.sendall(b"ready\n")
        parent.close()
        assert _next_line(worker.makefile("rb")) == b""
