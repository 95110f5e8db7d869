"""Two members with two phones each, thirty days without a network: however their queues come in, the same comes out."""

import os
import random
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct

from tests.faults.site import PATHS
from tests.support.couples import Couple, another_couple, two_members
from tests.support.phones import NOON, Json, Phone, running

pytestmark = pytest.mark.database  # of the service's own

SEEDS = int(os.environ.get("MUTUALITY_SOAK_SEEDS", "10000"))
PARTS = 20  # of the seeds, so that workers can share them: pytest -n 2
QUEUED = 500
COUPLES_OF_A_MEMBER = 10  # nobody has hundreds of relationships, which would slow down whatever they do
SHORT_SEEDS, SHORT_QUEUED = 8, 60
DAYS_OFFLINE = 30
DOMAINS = ["home", "money", "family", "other"]
WHO = ["me", "partner", "both", "neither"]
NO_NEWS = {"shared_after": 10**6, "private_after": 10**6}  # they are read at the end
LOOKS = ("balances?window=7", "balances?window=28", "balances?window=366&domain=home", "requests")


class Queued(Struct, frozen=True):
    """An entry that waits in a phone of its author."""

    who: int
    event_id: UUID
    kind: str
    body: Json

    @property
    def sent(self) -> Json:
        """The entry as sync takes it."""
        return {"id": str(self.event_id), "kind": self.kind, self.kind: self.body}


def month(chance: random.Random, entries: int) -> list[Queued]:
    """What both have recorded while they were offline, in the order in which it happened."""
    told: list[Queued] = []
    free: tuple[list[str], list[str]] = ([], [])
    for number in range(entries):
        ago = timedelta(days=DAYS_OFFLINE) * (entries - number) / entries
        who = chance.randrange(2)
        told.append(_entry(chance, who, free[who], f"{NOON - ago:%Y-%m-%dT%H:%M:%SZ}"))
    return told


def _entry(chance: random.Random, who: int, free: list[str], at: str) -> Queued:
    """An entry of one of them, who may still take back what is `free`."""
    name = UUID(int=chance.getrandbits(128), version=4)
    body: Json = {"occurred_at": at}
    kind = chance.choice(["check_in", "request", "decision", *(["retraction"] if free else [])])
    match kind:
        case "check_in":
            body |= {"felt": {"close": chance.randint(1, 7)}, "audience": chance.choice(["private", "shared"])}
        case "request":
            body |= {"domain": chance.choice(DOMAINS), "text": f"{name}", "expires_at": "2027-01-01T00:00:00Z"}
        case "decision":
            body |= {"domain": chance.choice(DOMAINS), "decided_by": chance.choice(WHO)}
            body |= {"raised_by": chance.choice(WHO), "audience": chance.choice(["private", "shared"])}
        case "retraction":
            body |= {"event_id": free.pop(chance.randrange(len(free)))}
    if kind in ("check_in", "decision"):
        free.append(f"{name}")
    return Queued(who, name, kind, body)


async def come_back(couple: Couple, told: list[Queued], chance: random.Random) -> None:
    """Empty the queues of all four phones: in parts, out of order, twice, and with the app killed after sending."""
    queues: list[tuple[int, list[Queued]]] = [(who, []) for who in (0, 1) for _ in range(2)]
    for entry in told:
        # Some are on both phones of their author: one was set up from the other's backup.
        for device in chance.choice([[0], [1], [0], [1], [0, 1]]):
            queues[2 * entry.who + device][1].append(entry)
    while waiting := [(who, queue) for who, queue in queues if queue]:
        who, queue = chance.choice(waiting)
        batch = _batch(chance, queue)
        done = await _send(couple[who], batch)
        if chance.random() < 0.7:
            queue[:] = [entry for entry in queue if entry.event_id not in done]


def _batch(chance: random.Random, queue: list[Queued]) -> list[Queued]:
    size = chance.randint(min(len(queue), 10), min(len(queue), 400))
    batch = queue[:size] if chance.random() < 0.5 else chance.sample(queue, size)
    return batch + chance.sample(batch, chance.randint(0, size // 4))


async def _send(phone: Phone, batch: list[Queued]) -> set[UUID]:
    """The entries that the service has by now; what came before what it refers to has to come again."""
    if len(batch) == 1:
        path = f"/v1/relationships/{{rid}}/{PATHS[batch[0].kind]}/{batch[0].event_id}"
        answer = await phone.call("PUT", path, batch[0].body)
        assert answer.status_code in (200, 201, 404), answer.text
        return {batch[0].event_id} if answer.status_code != 404 else set()
    queue = {"entries": [entry.sent for entry in batch], **NO_NEWS}
    answers = await phone.expect(200, "POST", "/v1/relationships/{rid}/sync", queue)
    refused = [one for one in answers["results"] if one["status"] not in ("recorded", "replayed")]
    assert {one["problem"]["code"] for one in refused} <= {"unknown_event"}, refused
    return {UUID(one["id"]) for one in answers["results"]} - {UUID(one["id"]) for one in refused}


async def record_plainly(couple: Couple, told: list[Queued]) -> None:
    """Each what they have to tell, as it happened, once."""
    for who in (0, 1):
        own = [entry for entry in told if entry.who == who]
        assert len(await _send(couple[who], own)) == len(own)


async def seen(phone: Phone) -> tuple[list[Json], Json]:
    """What a member reads, but for places, times of recording, and the order that follows from them."""
    looks = [await phone.get(f"/v1/relationships/{{rid}}/{look}") for look in LOOKS]
    requests = looks.pop()["requests"]
    standings = {one["event"]["id"]: one["state"] for one in requests}
    events = [event for stream in ("shared", "private") for event in await phone.events(stream)]
    told = [event for event in events if event["kind"] != "opened"]
    named = {f"{event['stream']} {event['id']}": event | {"position": 0, "recorded_at": ""} for event in told}
    return looks, {"standings": standings, "events": named}


async def converge(database_url: str, seeds: Iterable[int], entries: int) -> None:
    """For each seed, a month that comes in as it may, and the same month as it happened: both couples read the same."""
    async with running(database_url) as service:
        for number, seed in enumerate(seeds):
            if number % COUPLES_OF_A_MEMBER == 0:
                members = await two_members(service)
            told = month(random.Random(seed), entries)
            offline, plain = await another_couple(*members), await another_couple(*members)
            await come_back(offline, told, random.Random(-1 - seed))
            await record_plainly(plain, told)
            for mine, straight in zip(offline, plain, strict=True):
                assert await seen(mine) == await seen(straight), f"seed {seed}"


async def test_queues_of_four_phones_converge(database_url: str) -> None:
    await converge(database_url, range(SHORT_SEEDS), SHORT_QUEUED)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
async def test_queues_of_four_phones_always_converge(
    database_url: str, part: int, record_property: Callable[[str, Any], None]
) -> None:
    seeds = range(part, SEEDS, PARTS)
    await converge(database_url, seeds, QUEUED)
    record_property("measured", f"offline phones, part {part}: {len(seeds)} seeds, {QUEUED} entries each")
