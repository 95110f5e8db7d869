"""How long an answer takes tells as little as what it says: neither locks nor sizes of the other's private stream."""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.noninterference.observing import looks
from tests.noninterference.worlds import ask
from tests.support.holding import PRIVATE_PAGES, holding
from tests.support.phones import Json, Phone, Running, running
from tests.support.postgres import fresh_database

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRIVATE_EVENTS = 300
ROUNDS = 400
MICROSECONDS = 50
FELT = {"occurred_at": "2026-06-15T10:00:00+02:00", "felt": {"close": 5}}
SHARED = FELT | {"audience": "shared"}


@pytest.fixture(scope="module")
def database(postgres_url: str) -> Iterator[str]:
    with fresh_database(postgres_url) as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(database: str) -> AsyncIterator[Running]:
    async with running(database) as started:
        yield started


async def test_nobody_waits_for_what_the_other_writes_in_private(service: Running) -> None:
    one, two = await service.couple()
    await two.put("check-ins", FELT)
    async with holding(service, PRIVATE_PAGES, two.rid) as held:
        # It holds all that it locks by now, and stands at the last thing that it does.
        writing = asyncio.create_task(two.put("check-ins", FELT))
        await held.until_waiting(1)
        async with asyncio.timeout(10):
            await one.put("check-ins", SHARED)
            await one.get("/v1/relationships/{rid}/balances")
            await one.expect(200, "POST", "/v1/relationships/{rid}/sync", {})
        assert not writing.done()
    await writing


@pytest.mark.soak
async def test_an_answer_takes_as_long_whatever_the_other_keeps(
    service: Running, record_property: Callable[[str, object], None]
) -> None:
    quiet, full = [await with_private_events(service, count) for count in (0, PRIVATE_EVENTS)]
    for operation, address in await addresses(service):
        apart, unsure = await measured(service, quiet, full, address)
        record_property("measured", f"{operation}: {apart:+.1f} ± {unsure:.1f} µs with {PRIVATE_EVENTS} private events")
        # On a busy machine a median itself may be further off than that.
        assert abs(apart) <= max(MICROSECONDS, 4 * unsure), operation


async def with_private_events(service: Running, count: int) -> Phone:
    """A member of a couple, whose other member keeps so many events in private."""
    one, two = await service.couple()
    for phone in (one, two):
        await phone.put("check-ins", SHARED)
    entries: list[Json] = [{"id": str(uuid4()), "kind": "check_in", "check_in": FELT} for _ in range(count)]
    await two.expect(200, "POST", "/v1/relationships/{rid}/sync", {"entries": entries})
    await one.step_up()
    return one


async def addresses(service: Running) -> list[tuple[str, str]]:
    """One address of every GET of the document."""
    document = json.loads((await ask(service.app, "GET", "/openapi.json", {})).body)
    found = {look.operation: look.address for look in looks(document, "timing", service.clock.time)}
    return list(found.items())


async def measured(service: Running, quiet: Phone, full: Phone, address: str) -> tuple[float, float]:
    """By how many microseconds the second is slower in the median of pairs, and how sure that is."""
    apart = []
    for i in range(ROUNDS):
        # Each is the first as often as the second.
        times = {phone.rid: await took(service, phone, address) for phone in ((quiet, full), (full, quiet))[i % 2]}
        apart.append((times[full.rid] - times[quiet.rid]) * 1e6)
    middle = statistics.median(apart)
    spread = statistics.median(abs(one - middle) for one in apart)
    return middle, 1.86 * spread / ROUNDS**0.5


async def took(service: Running, phone: Phone, address: str) -> float:
    """The seconds that one answer takes."""
    headers = {"authorization": f"Bearer {phone.access_token}"}
    began = time.perf_counter()
    await ask(service.app, "GET", address.replace("{rid}", phone.rid), headers)
    return time.perf_counter() - began
