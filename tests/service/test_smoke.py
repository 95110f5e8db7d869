from uuid import uuid4

from tests.phones import Running


async def test_a_request_is_recorded_once(service: Running) -> None:
    one, two = await service.couple()
    request_id = uuid4()
    body = {"occurred_at": "2026-06-15T10:00:00+02:00", "domain": "home", "text": "Shall we go out?"}
    first = await one.put("requests", body, request_id)
    assert await one.put("requests", body, request_id, status=200) == first
    (asked,) = (await two.get("/v1/relationships/{rid}/requests"))["requests"]
    assert asked["state"] == "open"
