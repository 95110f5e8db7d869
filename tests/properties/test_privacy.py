"""What one member keeps private does not change a single byte of what the other can get: a first test of two worlds.

The same history is played in two databases that differ only in the private entries of one member. Time stands still,
and chance is keyed by what it is asked for, so that whatever is equal in both worlds has equal ids and links.
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Literal

import httpx
import pytest
import pytest_asyncio
from hypothesis import given, note
from msgspec import Struct

from tests.couples import Couple
from tests.phones import Phone
from tests.postgres import fresh_database
from tests.properties.histories import PROFILE, Call, Secret, secrets
from tests.properties.playing import PATHS, Place, place, queued, say

pytestmark = pytest.mark.asyncio(loop_scope="module")

FELT_ITEMS = ("close", "fair", "conflict")
QUERIES = {
    "/v1/relationships/{rid}/events": [
        *(f"?stream={stream}&limit={limit}&proof=true" for stream in ("shared", "private") for limit in (1, 2, 500)),
        *(f"?stream={stream}&after={after}&limit=3" for stream in ("shared", "private") for after in (0, 1, 4)),
        "",
    ],
    "/v1/relationships/{rid}/requests": ["", *(f"?state={s}" for s in ("open", "decided", "lapsed", "retracted"))],
    "/v1/relationships/{rid}/balances": ["", "?window=366", "?window=366&domain=home", "?on=2026-06-14&window=7"],
    "/v1/relationships/{rid}/trends": [
        *(f"?measure={measure}" for measure in ("initiates", "decides", "counted")),
        *(f"?measure=felt&item={item}&window=90" for item in FELT_ITEMS),
    ],
    "/v1/relationships/{rid}/perspectives": [
        "?measure=initiates",
        "?measure=decides",
        *(f"?measure=felt&item={item}" for item in FELT_ITEMS),
    ],
}

# It holds the relationships of earlier examples too, in which the reader was the other one.
ELSEWHERE = {"/v1/me/export"}

# Status, headers, body.
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class KeyedChance:
    """Random bytes that depend on nothing but the example, the purpose, and how often that was asked for."""

    def __init__(self) -> None:
        self._example = 0
        self._asked: Counter[str] = Counter()

    def next_example(self) -> None:
        """Begin anew: whatever the last example drew, both worlds draw the same from here."""
        self._example += 1
        self._asked.clear()

    def __call__(self, size: int, purpose: str) -> bytes:
        self._asked[purpose] += 1
        key = f"{self._example} {self._asked[purpose]} {purpose}"
        return hashlib.shake_256(key.encode()).digest(size)


class World(Struct, frozen=True):
    """One of the two."""

    place: Place
    chance: KeyedChance

    async def couple(self) -> Couple:
        """A new couple, with the same ids as in the other world."""
        self.chance.next_example()
        return await self.place.couple()


@pytest.fixture(scope="module")
def second_database(postgres_url: str) -> Iterator[str]:
    with fresh_database(postgres_url) as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worlds(module_database: str, second_database: str) -> AsyncIterator[tuple[World, World]]:
    one, two = KeyedChance(), KeyedChance()
    async with place(module_database, chance=one) as here, place(second_database, chance=two) as there:
        yield World(here, one), World(there, two)


@PROFILE
@given(secrets())
async def test_what_one_keeps_private_changes_no_byte_for_the_other(
    worlds: tuple[World, World], secret: Secret
) -> None:
    here, there = await worlds[0].couple(), await worlds[1].couple()
    assert await lived(there, secret, 1) == await lived(here, secret, 0)


async def lived(couple: Couple, secret: Secret, world: Literal[0, 1]) -> list[Answer]:
    """All that the reader is answered in that world: to each call of their own, and then to every GET."""
    reader, other = couple[secret.reader], couple[1 - secret.reader]
    answers = []
    calls = secret.world(world)
    note(f"In world {world}:")
    for call in calls:
        say(call)
        answer = await sent(couple[call.who], call)
        if call.who == secret.reader:
            answers.append(answer)
    # The worlds do differ: what is private is there.
    hidden = {step.index for call in calls for step in call.steps if secret.hides(step)}
    assert len(await other.events("private")) == len(hidden)
    return answers + await observed(reader)


async def sent(phone: Phone, call: Call) -> Answer:
    """The answer to one call, all of whose steps must be in the log now."""
    if call.queued:
        body = {"entries": [queued(step) for step in call.steps]}
        answer = await phone.call("POST", "/v1/relationships/{rid}/sync", body)
        assert {result["status"] for result in answer.json()["results"]} <= {"recorded", "replayed"}, answer.text
    else:
        (step,) = call.steps
        path = f"/v1/relationships/{{rid}}/{PATHS[step.kind]}/{step.event_id}"
        answer = await phone.call("PUT", path, step.body)
    assert answer.status_code in (200, 201), answer.text
    return bytes_of(answer)


async def observed(phone: Phone) -> list[Answer]:
    """The answers to every GET of the document, in several ways."""
    document = (await phone.call("GET", "/openapi.json")).json()
    answers: list[Answer] = []
    read = {path for path, methods in document["paths"].items() if path.startswith("/v1/") and "get" in methods}
    for path in sorted(read - ELSEWHERE):
        found = [await phone.call("GET", path + query) for query in QUERIES.get(path, [""])]
        assert {answer.status_code for answer in found} == {200}, f"{path}: its parameters must be added here"
        answers += map(bytes_of, found)
    return answers


def bytes_of(answer: httpx.Response) -> Answer:
    return answer.status_code, answer.headers.raw, answer.content
