"""Logs name members, routes and times, and nothing that anybody wrote; of a mistake, only they tell where it was."""

import json
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import structlog
from structlog.testing import capture_logs

from tests.service.push.test_devices import web
from tests.support.phones import Phone, Running

OCCURRED = "2026-06-15T10:00:00Z"
CANARY = "what nobody else may read"
SAID_OF_A_REQUEST = {"event", "method", "route", "member", "request_id", "status", "milliseconds", "log_level"}


@pytest.fixture(autouse=True)
def plain_logs() -> None:
    """Whatever an earlier test has set up."""
    structlog.reset_defaults()


async def lived(service: Running) -> Phone:
    """Sign in, record, look, fail: with words in everything that can carry some."""
    one, _ = await service.couple()
    await one.expect(200, "PATCH", "/v1/me", {"name": CANARY})
    await one.put("check-ins", {"occurred_at": OCCURRED, "note": CANARY, "audience": "shared"})
    await one.call("PUT", f"/v1/relationships/{{rid}}/requests/{CANARY}", {"note": CANARY})
    await one.call("GET", f"/v1/relationships/{{rid}}/requests?state={CANARY}", headers={"X-More": CANARY})
    await one.call("POST", "/v1/sessions", {"email": one.email, "code": "123456", "device_name": CANARY})
    await one.call("PUT", f"/v1/me/devices/{uuid4()}", {"platform": "android", "provider": "fcm", "token": CANARY})
    await one.call("PUT", f"/v1/me/devices/{uuid4()}", {"platform": "ios", "provider": "apns", "token": CANARY})
    await one.call("PUT", f"/v1/me/devices/{uuid4()}", web(f"https://10.0.0.1/{CANARY}"))
    await one.call("PUT", "/v1/me/schedule", {"quiet": CANARY})
    await one.call("POST", f"/v1/me/prompts/{CANARY}/dismiss")
    await one.call("GET", f"/{CANARY}")
    return one


async def test_no_word_address_or_token_is_logged(service: Running) -> None:
    with capture_logs() as logs:
        one = await lived(service)
    told = json.dumps(logs)
    secrets = (CANARY, one.email, one.access_token, one.refresh_token, one.rid, "127.0.0.1")
    assert [secret for secret in secrets if secret in told] == []
    assert [line.keys() - SAID_OF_A_REQUEST for line in logs if line["event"] == "request"] == [set()] * len(logs)
    assert len(logs) > 15


async def test_a_refused_request_is_logged_with_who_asked(service: Running) -> None:
    one, stranger = await service.member(), await service.phone().sign_in()
    stranger.rid = one.rid
    with capture_logs() as logs:
        await stranger.call("GET", "/v1/relationships/{rid}/balances")
        await stranger.call("GET", "/v1/me/export")
        await service.phone().call("GET", "/v1/me")
    said = [(line["route"], line["member"], line["status"]) for line in logs]
    assert said == [
        ("/v1/relationships/{rid}/balances", stranger.member_id, 404),
        ("/v1/me/export", stranger.member_id, 403),
        ("/v1/me", None, 401),
    ]


async def test_a_head_is_logged_as_such_with_its_route_and_who_asked(service: Running) -> None:
    one = await service.phone().sign_in()
    with capture_logs() as logs:
        await one.call("HEAD", "/v1/me")
    assert [(line["method"], line["route"], line["member"], line["status"]) for line in logs] == [
        ("HEAD", "/v1/me", one.member_id, 200)
    ]


async def test_a_mistake_of_ours_is_told_in_one_sentence_and_the_service_goes_on(service: Running) -> None:
    one = await service.member()
    await change(service, "ALTER TABLE pages RENAME COLUMN month TO something_else")
    with capture_logs() as logs:
        answer = await one.call("GET", "/v1/relationships/{rid}/balances?domain=home")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert not any(word in answer.text for word in ("pages", "month", "SELECT", "asyncpg", ".py"))
    (mistake,) = [line for line in logs if line["event"] == "unexpected"]
    assert mistake.keys() == {"event", "log_level", "failure", "places"}
    assert await one.get("/v1/me")


async def test_a_phone_that_goes_away_while_it_sends_is_no_mistake_of_ours(service: Running) -> None:
    one = await service.member()
    said: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(message)

    headers = [(b"authorization", f"Bearer {one.access_token}".encode()), (b"content-type", b"application/json")]
    path = f"/v1/relationships/{one.rid}/requests/{uuid4()}"
    scope: Any = {"type": "http", "method": "PUT", "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": headers, "client": None}
    with capture_logs() as logs:
        await service.app(scope, receive, send)
    assert [(line["event"], line["status"]) for line in logs] == [("request", 400)]


async def test_what_fails_halfway_leaves_nothing_behind(service: Running) -> None:
    one, _ = await service.couple()
    await change(service, "ALTER TABLE pages ADD CONSTRAINT never CHECK (false) NOT VALID")
    before = await rows(service)
    entry = {"occurred_at": OCCURRED, "domain": "home"}
    answer = await one.call("PUT", "/v1/relationships/{rid}/requests/5b0f7f0e-0f0e-4d7c-9d3e-1a1f6f6f0001", entry)
    assert answer.status_code == 500
    assert await rows(service) == before


async def change(service: Running, statement: str) -> None:
    db = await asyncpg.connect(service.database_url)
    await db.execute(statement)
    await db.close()


async def rows(service: Running) -> list[Any]:
    """The whole log and its heads."""
    db = await asyncpg.connect(service.database_url)
    found = [await db.fetch(f"TABLE {table} ORDER BY 1, 2, 3") for table in ("events", "pages", "heads")]
    await db.close()
    return found
