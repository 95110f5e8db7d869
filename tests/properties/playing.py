"""Histories, played over HTTP: who records what, what both read afterwards, and what the database has kept."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
from hypothesis import note
from msgspec import Struct

from events.encryption import RelationshipKeys
from events.records import SHARED, StreamKey
from projections import pages
from projections.pages import Page, PageKey
from projections.rebuild import Stream
from tests.properties.histories import Call, Step, respelled
from tests.support.couples import Couple, another_couple, two_members
from tests.support.phones import Json, Phone, Running, running

PATHS = {
    "check_in": "check-ins",
    "request": "requests",
    "opening": "openings",
    "decision": "decisions",
    "retraction": "retractions",
}

LOOKS = (
    "balances?window=366",
    "balances?window=7&on=2026-06-14&domain=home",
    "trends?measure=initiates&window=28&step=7&from=2026-01-01",
    "trends?measure=decides&window=7&step=1&from=2026-05-01&domain=other",
    "trends?measure=counted&when=other_decided&window=90&step=31&from=2026-01-01",
    "trends?measure=counted&when=both_decided&window=28",
    "trends?measure=asks&window=28&step=14",
    "balances?window=90&size=big",
    "trends?measure=felt&item=close&window=28&step=28",
    "roles?window=366",
    "roles?window=28&domain=home",
    "changes?quarter=2026-Q1",
    "changes?quarter=2025-Q4&domain=money",
    "voice?window=366",
    "reviews/2026-06",
    "perspectives?measure=decides",
    "perspectives?measure=initiates&from=2026-05-01",
    "perspectives?measure=felt&item=close",
    "perspectives?measure=felt&item=fair&to=2026-06-14",
)

Database: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Place(Struct, frozen=True):
    """A running service on a database that lasts for a module, and two members who begin a relationship an example."""

    service: Running
    members: Couple
    db: Database

    async def couple(self) -> Couple:
        """A relationship in which nothing was recorded yet."""
        return await another_couple(*self.members)

    async def tallies(self, couple: Couple) -> dict[tuple[Any, ...], int]:
        """All counts that are kept of the couple."""
        return await tallies(self.db, couple, await self.service.keys_of(couple[0].rid))


@asynccontextmanager
async def place(database_url: str) -> AsyncIterator[Place]:
    """The service, two members, and a connection of the database's superuser."""
    db = await asyncpg.connect(database_url)
    try:
        async with running(database_url) as service:
            yield Place(service, await two_members(service), db)
    finally:
        await db.close()


async def play(couple: Couple, calls: list[Call]) -> None:
    """Send the calls, in order. What is sent for the first time must be recorded, what is sent again a replay."""
    sent: set[int] = set()
    for call in calls:
        say(call)
        phone = couple[call.who]
        if call.queued:
            await _send_queue(phone, call.steps, sent)
        else:
            (step,) = call.steps
            await _send(phone, step, again=step.index in sent)
        sent.update(step.index for step in call.steps)


def say(call: Call) -> None:
    """Tell what is sent, where an example fails: the plug-in of schemathesis keeps hypothesis from showing values."""
    who, sends = ("one", "two")[call.who], "queues" if call.queued else "puts"
    for step in call.steps:
        note(f"{who} {sends} {step.kind} {step.event_id} {step.body}")


async def _send(phone: Phone, step: Step, *, again: bool) -> None:
    body = respelled(step) if again else step.body
    await phone.put(PATHS[step.kind], body, step.event_id, 200 if again else 201)


async def _send_queue(phone: Phone, steps: list[Step], sent: set[int]) -> None:
    queue = {"entries": [queued(step) for step in steps]}
    answer = await phone.expect(200, "POST", "/v1/relationships/{rid}/sync", queue)
    expected = []
    for i, step in enumerate(steps):
        again = step.index in sent or step in steps[:i]
        expected.append({"id": str(step.event_id), "status": "replayed" if again else "recorded"})
    assert answer["results"] == expected


def queued(step: Step) -> Json:
    """The step as an entry of a queue."""
    return {"id": str(step.event_id), "kind": step.kind, step.kind: step.body}


async def looks(phone: Phone) -> list[bytes]:
    """The bytes of each balance, trend and comparison that this member reads."""
    answers = [await phone.call("GET", f"/v1/relationships/{{rid}}/{look}") for look in LOOKS]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.content for answer in answers]


async def standings(phone: Phone) -> dict[str, Json]:
    """How each request and opening stands, as this member may know it, without their order, which is of recording."""
    listed = (await phone.get("/v1/relationships/{rid}/requests"))["requests"]
    listed += (await phone.get("/v1/relationships/{rid}/openings"))["openings"]
    for one in listed:
        for event in (one["event"], one["decision"] or {}):
            event.pop("position", None)
    return {one["event"]["id"]: one for one in listed}


STREAMS = """
SELECT
    relationships.shared_stream_id,
    memberships.seat,
    memberships.private_stream_id
FROM relationships
JOIN memberships USING (relationship_id)
WHERE relationship_id = $1
"""
SEATS = ("first", "second")


async def streams_of(db: Database, couple: Couple, keys: RelationshipKeys) -> dict[str, Stream]:
    """The three streams of the couple: shared, and the private one of who sits first and of who sits second."""
    rid = UUID(couple[0].rid)
    found: dict[str, Stream] = {}
    for shared_stream_id, seat, private_stream_id in await db.fetch(STREAMS, rid):
        shared = StreamKey(rid, SHARED, shared_stream_id)
        found["shared"] = Stream(shared, shared, keys)
        found[SEATS[seat - 1]] = Stream(StreamKey(rid, seat, private_stream_id), shared, keys)
    return found


async def tallies(db: Database, couple: Couple, keys: RelationshipKeys) -> dict[tuple[Any, ...], int]:
    """All counts that are kept of the couple, relative to their authors, with names in place of random ids."""
    streams = await streams_of(db, couple, keys)
    names = {stream.key.stream_id: name for name, stream in streams.items()}
    names |= dict(zip(keys.seats, SEATS, strict=True))
    found: dict[tuple[Any, ...], int] = {}
    for place, page in (await pages_of(db, couple, keys)).items():
        for key, count in pages.counted(place, page).items():
            named = (names[key.stream.stream_id], names[key.author], key.day, key.domain, key.measure, key.value)
            found[named] = count
    return found


async def pages_of(db: Database, couple: Couple, keys: RelationshipKeys) -> dict[PageKey, Page]:
    """The pages that are kept of the couple, in the order of their streams, authors and months."""
    streams = await streams_of(db, couple, keys)
    found = await pages.read_all(db, {UUID(couple[0].rid): keys}, [stream.key for stream in streams.values()])
    return {key: page for key, page in sorted(found.items()) if page is not None}
