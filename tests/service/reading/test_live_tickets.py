"""A browser listens by a ticket: once, soon, for its own member, and not longer than a token would last."""

from datetime import timedelta

from service.reading.live import KEEP_ALIVE
from tests.support.listening import Listening
from tests.support.phones import Phone, Running

OCCURRED = "2026-06-15T10:00:00+02:00"
LIVE = "/v1/relationships/{rid}/live"


async def ticket_of(phone: Phone) -> str:
    """A new ticket of that phone's session."""
    return str((await phone.expect(201, "POST", f"{LIVE}-tickets", {}))["ticket"])


async def refused(phone: Phone, ticket: str) -> bool:
    """Whether a stream cannot be opened by it."""
    answer = await phone.http.get(LIVE.replace("{rid}", phone.rid), params={"ticket": ticket})
    return (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")


async def test_it_opens_a_stream_of_its_member_without_a_token(service: Running) -> None:
    one, two = await service.couple()
    async with Listening(service.app, one, ticket=await ticket_of(one)) as listening:
        await listening.chunk()
        assert await listening.chunk() == KEEP_ALIVE
        await two.put("check-ins", {"occurred_at": OCCURRED, "note": "x", "audience": "shared"})
        await two.put("check-ins", {"occurred_at": OCCURRED, "note": "y"})
        await one.put("check-ins", {"occurred_at": OCCURRED, "note": "z"})
        told = await listening.events(2)
        assert [event["check_in"]["note"] for event in told] == ["x", "z"]


async def test_it_works_once(service: Running) -> None:
    one, _ = await service.couple()
    ticket = await ticket_of(one)
    async with Listening(service.app, one, ticket=ticket) as listening:
        await listening.chunk()
        assert await refused(one, ticket)


async def test_a_later_one_takes_its_place_and_both_end_after_a_minute(service: Running) -> None:
    one, _ = await service.couple()
    earlier, later = await ticket_of(one), await ticket_of(one)
    assert await refused(one, earlier)
    service.clock.time += timedelta(seconds=60)
    assert await refused(one, later)


async def test_it_ends_with_its_session_and_opens_nothing_of_others(service: Running) -> None:
    one, two = await service.couple()
    stranger = await service.member()
    theirs = await ticket_of(stranger)
    answer = await one.http.get(LIVE.replace("{rid}", one.rid), params={"ticket": theirs})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    ticket = await ticket_of(two)
    await two.expect(204, "DELETE", f"/v1/sessions/{await two.session()}")
    assert await refused(two, ticket)
    foreign = await one.call("POST", f"/v1/relationships/{stranger.rid}/live-tickets", {})
    assert foreign.status_code == 404


async def test_it_is_kept_as_a_hash_and_gone_once_it_is_used(service: Running) -> None:
    one, _ = await service.couple()
    ticket = await ticket_of(one)
    (row,) = await service.ask("SELECT ticket_hash FROM live_tickets")
    assert ticket.encode() not in row["ticket_hash"]
    async with Listening(service.app, one, ticket=ticket) as listening:
        await listening.chunk()
    assert await service.ask("SELECT ticket_hash FROM live_tickets") == []
