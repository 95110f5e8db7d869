"""A session that has ended is over at its next call, whichever process ended it: memory tells only whom it named."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from msgspec import convert

from events.entries import Request
from service.access.authentication import Authenticator
from service.context import Context
from service.core.tokens import token_hash
from service.errors import NotFound
from service.recording.recorder import record_optimistically
from service.recording.write_set import Submission, SubmissionResult, Submitter
from tests.service.recording.test_recording import AT, HERE, NOTE, REQUEST
from tests.service.recording.test_sealed import SEALED
from tests.support.holding import PRIVATE_HEAD, holding
from tests.support.phones import Phone, Running, running, unlimited


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


JSON = {"content-type": "application/json"}
END = "DELETE FROM sessions WHERE session_id = $1"
EVENTS = "SELECT event_id FROM events"

CALLS: dict[str, Callable[[Phone], Awaitable[httpx.Response]]] = {
    "record": lambda one: one.call("PUT", f"{HERE}/requests/{uuid4()}", REQUEST),
    "refer": lambda one: one.call("PUT", f"{HERE}/retractions/{uuid4()}", back(uuid4())),
    "record something wrong": lambda one: one.call("PUT", f"{HERE}/requests/{uuid4()}", {"domain": "no such"}),
    "record what is no JSON": lambda one: one.call("PUT", f"{HERE}/requests/{uuid4()}", content=b"{", headers=JSON),
    "record no type": lambda one: one.call("PUT", f"{HERE}/requests/{uuid4()}", content=b"{}"),
    "record too much": lambda one: one.call("PUT", f"{HERE}/requests/{uuid4()}", content=b" " * 300_000, headers=JSON),
    "seal": lambda one: one.call("PUT", f"{HERE}/check-ins/{uuid4()}", SEALED),
    "seal elsewhere": lambda one: one.call("PUT", f"/v1/relationships/{uuid4()}/check-ins/{uuid4()}", SEALED),
    "record elsewhere": lambda one: one.call("PUT", f"/v1/relationships/{uuid4()}/requests/{uuid4()}", REQUEST),
    "record nowhere": lambda one: one.call("PUT", f"/v1/relationships/nowhere/requests/{uuid4()}", REQUEST),
    "sync": lambda one: one.call("POST", f"{HERE}/sync", {"entries": [asked(uuid4())]}),
    "look": lambda one: one.call("GET", f"{HERE}/balances"),
    "look back": lambda one: one.call("GET", f"{HERE}/trends?measure=decides"),
    "read": lambda one: one.call("GET", f"{HERE}/events"),
    "look wrongly": lambda one: one.call("GET", f"{HERE}/balances?window=1"),
    "look elsewhere": lambda one: one.call("GET", f"/v1/relationships/{uuid4()}/balances"),
    "look nowhere": lambda one: one.call("GET", "/v1/relationships/nowhere/balances"),
    "ask for questions": lambda one: one.call("GET", "/v1/questions"),
}


def asked(event_id: UUID) -> dict[str, object]:
    """A request in a queue."""
    return {"id": str(event_id), "kind": "request", "request": REQUEST}


def back(event_id: UUID | str) -> dict[str, object]:
    """What takes an entry back."""
    return {"occurred_at": AT, "event_id": str(event_id)}


async def remembered(service: Running) -> Phone:
    """A phone that has recorded and looked."""
    one, _ = await service.couple()
    await one.put("check-ins", NOTE)
    await one.get(f"{HERE}/balances")
    return one


@pytest.mark.parametrize("name", CALLS)
async def test_it_is_over_at_its_next_call(service: Running, name: str) -> None:
    one = await remembered(service)
    before = await service.ask(EVENTS)
    assert (await CALLS[name](one)).status_code != 401
    await service.ask(END, await one.session())
    recorded = await service.ask(EVENTS)
    answer = await CALLS[name](one)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
    assert len(recorded) - len(before) == (name in ("record", "sync", "seal"))
    assert await service.ask(EVENTS) == recorded


@pytest.mark.parametrize("name", ["record", "look"])
async def test_a_token_is_over_after_its_time(service: Running, name: str) -> None:
    one = await remembered(service)
    service.clock.time += timedelta(minutes=15)
    assert (await CALLS[name](one)).status_code == 401


async def test_what_waits_while_its_session_ends_is_not_recorded(service: Running) -> None:
    one = await remembered(service)
    session = await one.session()
    noted = (await one.events("private"))[0]["id"]
    retracted = {"id": str(uuid4()), "kind": "retraction", "retraction": back(noted)}
    before = await service.ask(EVENTS)
    async with holding(service, PRIVATE_HEAD, one.author) as held:
        syncing = asyncio.create_task(one.call("POST", f"{HERE}/sync", {"entries": [retracted, asked(uuid4())]}))
        await held.until_waiting()
        await service.ask(END, session)
    assert (await syncing).status_code == 401
    assert await service.ask(EVENTS) == before


HEADS = "SELECT FROM heads WHERE relationship_id = $1 FOR UPDATE"
RELATIONSHIP = "SELECT FROM relationships WHERE relationship_id = $1 FOR UPDATE"


@pytest.mark.parametrize(("name", "rows"), [("refer", HEADS), ("seal", HEADS), ("seal", RELATIONSHIP)])
async def test_it_holds_and_waits_for_nothing(service: Running, name: str, rows: str) -> None:
    one = await remembered(service)
    await service.ask(END, await one.session())
    async with holding(service, rows, UUID(one.rid)):
        assert (await CALLS[name](one)).status_code == 401


async def test_its_calls_count_for_nobody_and_tell_nothing_of_others(database_url: str) -> None:
    async with running(database_url, settings=unlimited(requests_per_minute=20)) as service:
        lost = await remembered(service)
        kept = await service.phone().sign_in(lost.email)
        kept.rid, session = lost.rid, await lost.session()
        service.clock.time += timedelta(minutes=2)
        await service.ask(END, session)
        for _ in range(30):
            assert (await CALLS["look"](lost)).status_code == 401
        authenticator: Authenticator = service.app.state.authenticator
        assert session not in {bearer.session_id for bearer in authenticator._remembered.values()}
        assert [(await CALLS["look"](kept)).status_code for _ in range(21)] == [200] * 20 + [429]
        assert (await CALLS["look"](lost)).status_code == 401


async def test_that_its_member_asks_too_often_is_not_told_to_it(database_url: str) -> None:
    async with running(database_url, settings=unlimited(requests_per_minute=20)) as service:
        lost = await remembered(service)
        kept = await service.phone().sign_in(lost.email)
        kept.rid, session = lost.rid, await lost.session()
        while (await CALLS["look"](kept)).status_code == 200:
            pass
        assert (await CALLS["look"](lost)).status_code == 429
        await service.ask(END, session)
        assert (await CALLS["look"](lost)).status_code == 401


async def test_of_two_phones_of_one_member_in_one_group_the_other_goes_on(service: Running) -> None:
    lost = await remembered(service)
    kept = await service.phone().sign_in(lost.email)
    kept.rid = lost.rid
    submitters = [Submitter(await one.session(), UUID(one.member_id), UUID(one.rid)) for one in (lost, kept, lost)]
    group = [Submission(one, [(uuid4(), convert(REQUEST, Request))]) for one in submitters]
    await service.ask(END, submitters[0].session_id)
    context: Context = service.app.state.context
    async with context.writer() as db:
        done = await record_optimistically(context, db, group)
        assert done is not None
    assert [type(answer) for answer in done.answers] == [NotFound, SubmissionResult, NotFound]
    assert [stored.event.event_id for _, stored in done.appended] == [group[1].entries[0][0]]


async def test_somebody_elses_session_lets_nobody_in(service: Running) -> None:
    one, two = await service.couple()
    entry = convert(REQUEST, Request)
    borrowed = Submitter(await two.session(), UUID(one.member_id), UUID(one.rid))
    with pytest.raises(NotFound):
        await service.app.state.recorder.record(Submission(borrowed, [(uuid4(), entry)]))
    with pytest.raises(NotFound):
        await service.app.state.reader_lookup.find(*borrowed)


async def test_more_are_served_than_are_remembered(service: Running) -> None:
    authenticator = Authenticator(service.app.state.context, max_remembered=2)
    phones = [await service.phone().sign_in() for _ in range(3)]
    for one in [*phones, *phones]:
        bearer = await authenticator.authenticate_cached(token_hash(one.access_token))
        assert bearer is not None
        assert str(bearer.member_id) == one.member_id
    assert len(authenticator._remembered) == 2


async def test_who_comes_lets_those_be_forgotten_whose_time_is_over(service: Running) -> None:
    gone = await service.member()
    await gone.put("check-ins", NOTE)
    service.clock.time += timedelta(minutes=15)
    await (await service.member()).put("check-ins", NOTE)
    remembered_members = {str(one.member_id) for one in service.app.state.authenticator._remembered.values()}
    assert gone.member_id not in remembered_members
    assert len(remembered_members) == 1
