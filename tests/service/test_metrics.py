"""Figures for an operator: on a port of their own, and only if asked for; they count, and name nobody."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from service import metrics
from service.errors import StartupError
from service.metrics import Metrics
from service.settings import Settings
from tests.support.asking import device, opened, prompted, pushing
from tests.support.phones import Running, running, unlimited

HOST = "127.0.0.1"
LABELS = re.compile(r'(\w+)="([^"]*)"')


@pytest.fixture
async def counting(database_url: str) -> AsyncIterator[Running]:
    """A service that counts."""
    async with running(database_url, settings=unlimited(metrics_port=0)) as service:
        yield service


async def told(service: Running) -> str:
    """What the service tells on the other port."""
    assert service.app.metrics is not None
    return await served(service.app.metrics)


async def served(figures: Metrics) -> str:
    with metrics.serving(figures, HOST, 0) as address:
        return await asyncio.to_thread(lambda: httpx.get(address).text)


async def test_the_dashboard_shows_what_is_told_and_all_of_it(counting: Running) -> None:
    shown = set(re.findall(r"mutuality_\w+", (Path(__file__).parents[2] / "docs" / "dashboard.json").read_text()))
    await counting.phone().call("GET", "/health/live")
    known = set(re.findall(r"^# TYPE (mutuality_\w+)", await told(counting), re.MULTILINE))
    # A histogram is three series, and has a time of its own at which each began.
    of_series = {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown}
    assert of_series == {name for name in known if not name.endswith("_created")}


async def test_nothing_is_counted_unless_a_port_is_set(service: Running) -> None:
    assert Settings().metrics_port is None
    assert service.app.metrics is None


async def test_the_api_does_not_serve_them(counting: Running) -> None:
    for path in ("/metrics", "/v1/metrics"):
        assert (await counting.phone().call("GET", path)).status_code == 404


async def test_requests_are_counted_by_route_method_and_status(counting: Running) -> None:
    phone = counting.phone()
    for _ in range(3):
        await phone.call("GET", "/v1/me")
    labels = 'method="GET",route="/v1/me",status="401"'
    assert f"mutuality_request_seconds_count{{{labels}}} 3.0" in await told(counting)


async def test_labels_hold_no_id_no_address_and_nothing_that_was_sent(counting: Running) -> None:
    one, _ = await counting.couple()
    await one.put("requests", {"occurred_at": "2026-06-15T10:00:00Z", "domain": "home"})
    await one.call("GET", "/v1/relationships/{rid}/balances?window=9")
    await one.call("GET", "/a-word/somebody/sent")
    await one.call("BREW", "/v1/me")
    figures = await told(counting)
    labels = [pair for line in figures.splitlines() if "request_seconds" in line for pair in LABELS.findall(line)]
    templates = {route.path_format for route in counting.app.litestar.routes} | {"unknown"}
    assert {value for name, value in labels if name == "route"} <= templates
    assert {value for name, value in labels if name == "method"} <= metrics.METHODS | {"other"}
    assert {name for name, _ in labels} == {"route", "method", "status", "le"}
    assert "/v1/relationships/{rid}/requests/{id}" in {value for _, value in labels}


async def test_who_waits_is_told(counting: Running) -> None:
    figures = await told(counting)
    assert "mutuality_lookups_waiting 0.0" in figures
    assert "mutuality_submissions_waiting 0.0" in figures


async def test_what_is_on_its_way_is_told_and_since_when(counting: Running) -> None:
    one = await counting.member()
    await device(one)
    await pushing(counting, one, await prompted(counting, one))
    counting.clock.advance(seconds=7)
    figures = await told(counting)
    assert 'mutuality_pushes_waiting{class="prompt"} 1.0' in figures
    assert 'mutuality_pushes_waiting{class="withdraw"} 0.0' in figures
    assert 'mutuality_pushes_parked{class="prompt"} 0.0' in figures
    assert 'mutuality_pushes_late_seconds{class="prompt"} 7.0' in figures


async def test_what_cannot_be_counted_soon_is_left_out(service: Running) -> None:
    impatient = Metrics()
    impatient.watch("others", "Something else", lambda: 7)
    impatient.watch_pushes(service.app.state.context, asyncio.get_running_loop(), timeout_seconds=0.1)
    async with opened(service.database_url) as db, db.transaction():
        await db.execute("LOCK TABLE outbox")
        figures = await served(impatient)
    assert "mutuality_others 7.0" in figures
    assert "mutuality_pushes_waiting{" not in figures
    assert 'mutuality_pushes_waiting{class="prompt"} 0.0' in await served(impatient)


def test_a_port_that_is_taken_is_said_in_a_sentence() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(StartupError, match="MUTUALITY_METRICS_PORT"),
            metrics.serving(Metrics(), HOST, port),
        ):
            pass
