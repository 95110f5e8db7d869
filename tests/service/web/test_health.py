"""Whether requests can be answered, said also while the database hangs; and who is let in while others sign in."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service import app
from service.app import AUTH_CONNECTIONS
from service.web import health
from tests.support.holding import holding
from tests.support.phones import Running, running
from tests.support.stalling import Way, stalling


@pytest.fixture
async def way(database_url: str) -> AsyncIterator[Way]:
    async with stalling(database_url) as found:
        yield found


async def test_while_the_database_hangs_readiness_says_so(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    assert health.READY_SECONDS < 2
    monkeypatch.setattr(health, "READY_SECONDS", 0.2)
    async with running(way.url) as service:
        phone = service.phone()
        assert (await phone.get("/health/ready"))["status"] == "ok"
        way.open.clear()
        problem = await phone.expect(503, "GET", "/health/ready")
        assert problem["code"] == "try_again"
        assert await phone.get("/health/live") == {"status": "ok"}
        way.open.set()
        assert (await phone.get("/health/ready"))["status"] == "ok"


async def test_nor_does_it_keep_anybody_waiting_who_signs_in_or_refreshes(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert app.AUTH_SECONDS <= 5
    monkeypatch.setattr(app, "AUTH_SECONDS", 0.3)
    async with running(way.url) as service:
        phone = await service.phone().sign_in()
        attempt = await phone.expect(202, "POST", "/v1/sign-in-codes", {"email": "someone@example.org"})
        asked = [
            ("/v1/sign-in-codes", {"email": "someone@example.org"}),
            ("/v1/sessions", {**attempt, "code": "1234 5678", "device_name": "a phone"}),
            ("/v1/sessions/refresh", {"refresh_token": phone.refresh_token}),
            ("/v1/sessions/step-up", {"code": "1234 5678"}),
        ]
        way.open.clear()
        async with asyncio.timeout(20):
            answers = [await phone.call("POST", path, body) for path, body in asked]
        assert [(answer.status_code, answer.headers["Retry-After"].isdecimal()) for answer in answers] == [
            (503, True)
        ] * len(asked)
        way.open.set()
        await phone.expect(200, "POST", "/v1/sessions/refresh", {"refresh_token": phone.refresh_token})


ATTEMPT = "SELECT attempt_hash FROM sign_in_attempts WHERE used_at IS NULL FOR UPDATE"


async def test_whoever_signs_in_keeps_no_member_out(service: Running) -> None:
    one = await service.member()
    stranger = service.phone()
    attempt = await stranger.expect(202, "POST", "/v1/sign-in-codes", {"email": "someone@example.org"})
    guess = {**attempt, "code": "1234 5678", "device_name": "a phone"}
    async with holding(service, ATTEMPT) as held:
        guesses = [asyncio.create_task(stranger.call("POST", "/v1/sessions", guess)) for _ in range(20)]
        await held.until_waiting(AUTH_CONNECTIONS)
        async with asyncio.timeout(5):
            await one.get("/v1/me")
            await one.put("check-ins", {"occurred_at": "2026-06-15T10:00:00+02:00", "note": "a walk"})
    await asyncio.gather(*guesses)


async def test_readiness_names_the_schema(service: Running) -> None:
    last = max(file.stem for file in (Path(app.__file__).parent / "database" / "migrations").glob("*.sql"))
    assert await service.phone().get("/health/ready") == {"status": "ok", "schema": last}
