"""What an answer carries beside its body: an id, what is left of an allowance, compression, CORS, tags."""

import re

import httpx
import pytest
from structlog.testing import capture_logs

from service.settings import Settings
from tests.support.phones import Phone, Running, running, unlimited

CHECK_IN = {"occurred_at": "2026-06-15T10:00:00+02:00", "felt": {"close": 5}, "audience": "shared"}
FIGURES = ("balances", "trends?measure=initiates", "roles", "changes?quarter=2026-Q1")
TEXTS = ("events", "requests", "openings", "home")


# --- An id


async def test_each_answer_has_an_id_that_its_line_in_the_log_has_too(service: Running) -> None:
    with capture_logs() as lines:
        answers = [await service.phone().call("GET", path) for path in ("/health/live", "/v1/me", "/nowhere")]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in ids)
    assert ids == [line["request_id"] for line in lines if line["event"] == "request"]
    assert len(set(ids)) == 3


# --- What is left


async def test_what_is_left_of_the_own_allowance_is_told(database_url: str) -> None:
    async with running(database_url, settings=unlimited(requests_per_minute=5)) as service:
        one, two = await service.phone().sign_in(), await service.phone().sign_in()
        answers = [await one.call("GET", "/v1/me") for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        told = [answer.headers["ratelimit"] for answer in answers]
        assert told == [f'"requests";r={left};t=61' for left in (4, 3, 2, 1, 0, 0)]
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"requests";q=5;w=60'}
        assert (await two.call("GET", "/v1/me")).headers["ratelimit"] == '"requests";r=4;t=61'


async def test_nobody_has_no_allowance_and_without_a_limit_none_is_told(service: Running) -> None:
    for path in ("/v1/me", "/health/live", "/openapi.json"):
        assert "ratelimit" not in (await service.phone().call("GET", path)).headers
    assert "ratelimit" not in (await (await service.phone().sign_in()).call("GET", "/v1/me")).headers


# --- Compression


async def asked(phone: Phone, path: str, encoding: str, **headers: str) -> httpx.Response:
    """An answer, asked for in that encoding."""
    return await phone.call("GET", path, headers={"Accept-Encoding": encoding, **headers})


@pytest.mark.parametrize("figure", FIGURES)
async def test_figures_come_compressed_under_a_tag_of_their_own(service: Running, figure: str) -> None:
    one, _ = await service.couple()
    path = f"/v1/relationships/{one.rid}/{figure}"
    plain, small = await asked(one, path, "identity"), await asked(one, path, "br, gzip")
    assert small.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert small.content == plain.content
    assert int(small.headers["content-length"]) < len(plain.content) / 2
    assert small.headers["etag"] == plain.headers["etag"][:-1] + '-gzip"'
    assert plain.headers["vary"] == small.headers["vary"] == "Authorization, Accept-Encoding"
    known = {"If-None-Match": small.headers["etag"]}
    assert [(await asked(one, path, name, **known)).status_code for name in ("gzip", "identity")] == [304, 200]
    assert "content-encoding" not in (await asked(one, path, "gzip;q=0")).headers


async def test_what_holds_texts_never_does(service: Running) -> None:
    one, _ = await service.couple()
    for _ in range(20):
        await one.put("requests", {"occurred_at": CHECK_IN["occurred_at"], "domain": "home", "text": "a walk " * 20})
        await one.put("openings", {"occurred_at": CHECK_IN["occurred_at"], "domain": "home", "text": "a trip " * 20})
    for part in TEXTS:
        answer = await asked(one, f"/v1/relationships/{one.rid}/{part}", "gzip")
        assert len(answer.content) > 2000, part
        assert "content-encoding" not in answer.headers, part
    news = await one.call("POST", "/v1/relationships/{rid}/sync", {}, headers={"Accept-Encoding": "gzip"})
    assert len(news.content) > 2000
    assert "content-encoding" not in news.headers


async def test_the_document_comes_compressed(service: Running) -> None:
    plain, small = [await asked(service.phone(), "/openapi.json", name) for name in ("identity", "gzip")]
    assert int(small.headers["content-length"]) < len(plain.content) / 5
    assert small.json() == plain.json()


# --- Other origins

ORIGIN = "https://app.example"
BEFORE = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}


async def test_a_page_of_a_named_origin_may_call(database_url: str) -> None:
    async with running(database_url, settings=unlimited(cors_origins=f"{ORIGIN}, https://b.example")) as service:
        phone = service.phone()
        before = await phone.call("OPTIONS", "/v1/me", headers=BEFORE)
        assert before.headers["access-control-allow-origin"] == ORIGIN
        assert "PUT" in before.headers["access-control-allow-methods"]
        assert "authorization" in before.headers["access-control-allow-headers"].lower()
        answer = await phone.call("GET", "/v1/me", headers={"Origin": ORIGIN})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, ORIGIN)
        assert "etag" in answer.headers["access-control-expose-headers"].lower()
        assert "access-control-allow-credentials" not in answer.headers
        other = await phone.call("GET", "/v1/me", headers={"Origin": "https://c.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_without_the_setting_none_may(service: Running) -> None:
    answer = await service.phone().call("GET", "/health/live", headers={"Origin": ORIGIN})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("text", ["app.example", "https://app.example/path", "", "https://a.example,,"])
def test_an_origin_is_a_scheme_and_a_host(text: str) -> None:
    with pytest.raises(ValueError, match="an origin is"):
        Settings(cors_origins=text)


# --- Tags


async def test_all_that_is_mine_has_a_tag(service: Running) -> None:
    one, _ = await service.couple()
    pause = "/v1/me/pauses/00000000-0000-4000-8000-000000000001"
    await one.expect(200, "PUT", pause, {"from": "2026-07-01"})
    mine = ("", "/schedule", "/devices", "/prompts", "/pauses")
    paths = [*(f"/v1/me{path}" for path in mine), pause, "/v1/sessions", "/v1/home", "/v1/relationships"]
    for path in [*paths, f"/v1/relationships/{one.rid}"]:
        answer = await one.call("GET", path)
        again = await one.call("GET", path, headers={"If-None-Match": answer.headers["etag"]})
        assert (answer.status_code, again.status_code, again.content) == (200, 304, b""), path
