"""Leaving in the middle of everything: whatever is under way on both sides, nothing is shared behind the end."""

import asyncio
from collections.abc import Iterator
from random import Random
from uuid import uuid4

import pytest
from msgspec import Struct, field

from tests.support.couples import another_couple, two_members
from tests.support.phones import Json, Phone
from tests.support.postgres import fresh_database
from tests.support.wire import Wire, served

HERE = "/v1/relationships/{rid}"
ROUNDS = 40
DEVICES, CALLS = 2, 3
OCCURRED = "2026-06-15T10:00:00+02:00"
READS = ("", "/events?proof=true", "/requests", "/balances", "/perspectives?measure=decides")


class Round(Struct):
    """What came of what both sent while one of them left."""

    chance: Random
    calls_before: int  # so many are answered before somebody leaves, while others are under way
    time_to_leave: asyncio.Event = field(default_factory=asyncio.Event)
    answered: int = 0
    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    kept: dict[str, set[str]] = field(default_factory=dict)  # in private, by author

    def count(self) -> None:
        """One more call was answered."""
        self.answered += 1
        if self.answered > self.calls_before:
            self.time_to_leave.set()

    def note(self, phone: Phone, event_id: str, *, shared: bool, accepted: bool) -> None:
        """One entry was accepted, or was not."""
        if not shared:
            assert accepted, "private entries always work"
            self.kept.setdefault(phone.author, set()).add(event_id)
        else:
            (self.accepted if accepted else self.refused).add(event_id)


@pytest.fixture(scope="module")
def wire(postgres_url: str) -> Iterator[Wire]:
    """The service on a socket."""
    with fresh_database(postgres_url) as url, served(url) as started:
        yield started


@pytest.fixture(scope="module")
def members(wire: Wire) -> tuple[Phone, Phone]:
    """Two who are linked anew in every round."""
    return wire.run(two_members(wire))


def test_nothing_is_shared_behind_the_end(wire: Wire, members: tuple[Phone, Phone]) -> None:
    accepted = refused = 0
    for seed in range(ROUNDS):
        chance = Random(seed)
        found = wire.run(a_round(*members, Round(chance, chance.randrange(2 * DEVICES * CALLS))))
        accepted, refused = accepted + len(found.accepted), refused + len(found.refused)
    # The end did come in the middle.
    assert accepted > ROUNDS
    assert refused > ROUNDS
    assert wire.post.unread() == 0


async def a_round(first: Phone, second: Phone, found: Round) -> Round:
    """Both record and read on several devices; one leaves, or both do; then all is looked at."""
    one, two = await another_couple(first, second)
    both = [asyncio.create_task(live(phone, found)) for phone in (one, two) for _ in range(DEVICES)]
    leaving = found.chance.choice([[one], [two], [one, two]])
    await found.time_to_leave.wait()
    ended = await asyncio.gather(*(leave(phone, one, two) for phone in leaving))
    await asyncio.gather(*both)
    await look_back(one, two, found, ended[0])
    return found


async def live(phone: Phone, found: Round) -> None:
    """What one device does, whether the relationship has ended or not."""
    for _ in range(CALLS):
        does = found.chance.choice([put, put, sync, read])
        await does(phone, found)
        found.count()


async def put(phone: Phone, found: Round) -> None:
    """One entry, for both or for oneself."""
    event_id, shared = str(uuid4()), found.chance.random() < 0.7
    answer = await phone.call("PUT", f"{HERE}/check-ins/{event_id}", check_in(shared))
    assert answer.status_code in (201, 403), answer.text
    found.note(phone, event_id, shared=shared, accepted=answer.status_code == 201)


async def sync(phone: Phone, found: Round) -> None:
    """A queue of both kinds."""
    wanted = {str(uuid4()): i % 3 > 0 for i in range(6)}
    entries = [{"id": i, "kind": "check_in", "check_in": check_in(shared)} for i, shared in wanted.items()]
    answer = await phone.expect(200, "POST", f"{HERE}/sync", {"entries": entries})
    for result in answer["results"]:
        shared = wanted[result["id"]]
        found.note(phone, result["id"], shared=shared, accepted=result["status"] == "recorded")


async def read(phone: Phone, found: Round) -> None:
    """Reading always works."""
    await phone.expect(200, "GET", HERE + found.chance.choice(READS))


def check_in(shared: bool) -> Json:
    """An entry that counts."""
    said = {"occurred_at": OCCURRED, "initiated_by": "me", "felt": {"close": 5}}
    return said | {"audience": "shared" if shared else "private"}


async def leave(phone: Phone, one: Phone, two: Phone) -> bytes:
    """Leave; what is asked for from then on meets the end. The shared stream of that moment."""
    await phone.expect(204, "POST", f"{HERE}/leave")
    shared = await asyncio.gather(*(stream(other) for other in (one, two)))
    for other in (one, two):
        assert (await other.get(HERE))["state"] == "ended"
        assert await other.refused("check-ins", check_in(True)) == (403, "relationship_not_active")
        request = {"occurred_at": OCCURRED, "domain": "home"}
        queue = {"entries": [{"id": str(uuid4()), "kind": "request", "request": request}]}
        answer = await other.expect(200, "POST", f"{HERE}/sync", queue)
        assert [result["status"] for result in answer["results"]] == ["refused"]
    return min(shared, key=len)


async def stream(phone: Phone) -> bytes:
    """The shared stream with all its proofs."""
    return (await phone.call("GET", f"{HERE}/events?limit=500&proof=true")).content


async def look_back(one: Phone, two: Phone, found: Round, ended: bytes) -> None:
    """Both have what was accepted, and nothing else; it has not grown since somebody was told that it ended."""
    assert ended in (await stream(one), await stream(two))
    for phone in (one, two):
        shared = await phone.events()
        assert [event["kind"] for event in shared if event["by"] is None] == ["opened", "ended"]
        assert shared[-1]["kind"] == "ended"
        assert {event["id"] for event in shared[1:-1]} == found.accepted
        assert {event["id"] for event in await phone.events("private")} == found.kept.get(phone.author, set())
        counted = (await phone.get(f"{HERE}/balances"))["partners"]["initiates"]["counts"]["partner"]
        assert counted == sum(event["by"] == "partner" for event in shared)
