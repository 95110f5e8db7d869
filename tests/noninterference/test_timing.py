"""By the time of one answer nobody tells what the other keeps private, nor whether they are there (`make soak-timing`).

Each row of the table is a pair of worlds and one call, made in both by turns, in a random order: the area under the ROC
curve of one answer's time, and the median of the differences of the pairs. A row that is off is looked at longer, for
chance alone puts some off.

There are two tables: in one, the worker that answers who measures serves the other as well; in the second, another
worker of the same service does.
"""

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any, TypeAlias

import numpy as np
import pytest
from msgspec import Struct, field
from scipy.stats import mannwhitneyu

from service.reading.live import LivePace
from tests.noninterference import calls
from tests.noninterference.calls import AT, FELT, SEALED, Call, Seconds, forgetting, made
from tests.noninterference.worlds import ask
from tests.support.holding import PRIVATE_PAGES, holding
from tests.support.listening import Listening
from tests.support.phones import Json, Phone, Running, link
from tests.support.turns import each_alone

PRIVATE_EVENTS = 300
COUPLES = 4  # of each world, so that where one's rows lie is no difference
ROUNDS = int(os.environ.get("MUTUALITY_SOAK_ROUNDS", "300"))
MOST_ROUNDS = 6 * ROUNDS
LOWEST, HIGHEST, MICROSECONDS = 0.45, 0.55, 50
SURE = 0.6  # of what is allowed: whoever is within that is looked at no longer
OVERLAP_SECONDS = 0.003

Do: TypeAlias = Callable[[int], Awaitable[Any]]
Begin: TypeAlias = Callable[[int], Coroutine[Any, Any, Any]]


async def nothing(number: int) -> None:
    """Do nothing."""


class Timed(Struct):
    """One of two worlds: who measures, what is done before, at the same moment and after, by number of the couple."""

    phones: list[Phone]
    before: Do = nothing
    beside: Begin | None = None
    after: Do = nothing
    seconds: list[float] = field(default_factory=list)


class Bench(Struct):
    """The worker that is measured, the one that serves the other, and the clock by which their caches expire."""

    service: Running
    theirs: Running
    forget: Seconds
    chance: Random
    rows: list[tuple[str, float, float, int]] = []

    async def couple(self) -> tuple[Phone, Phone]:
        """Who measures, and the other."""
        one, two = await self.service.member(), await self.theirs.phone().sign_in()
        await two.consent()
        await link(one, two)
        return one, two

    async def couples(self) -> list[tuple[Phone, Phone]]:
        """As many as a world has, each with a name and something that is shared."""
        found = [await self.couple() for _ in range(COUPLES)]
        for both in found:
            for phone in both:
                await phone.expect(200, "PATCH", "/v1/me", {"name": "Ada"})
                await phone.put("check-ins", calls.SHARED)
        return found

    async def compare(
        self, name: str, call: Call, one: Timed, two: Timed, *, also: tuple[Timed, Timed] | None = None
    ) -> None:
        """Time a call in both, until it is sure that it is within the limits, or is not: it, and what else is timed."""
        one.seconds, two.seconds = [], []
        pairs = [(one, two), *([also] if also else [])]
        for number in range(-10, MOST_ROUNDS):  # the first ones are for nothing
            if number and number % ROUNDS == 0 and all(within(*pair, SURE) for pair in pairs):
                break
            for world in self.chance.sample((one, two), 2):
                taken = await self.once(call, world, number % COUPLES)
                if number >= 0:
                    world.seconds.append(taken)
        self.tell(f"{name}: {call.name}", one, two)

    def tell(self, name: str, one: Timed, two: Timed) -> None:
        """Add a row to the table."""
        where = "" if self.service is self.theirs else "by another worker, "
        self.rows.append((f"{where}{name}", area(one, two), apart(one, two), len(one.seconds)))
        print(row_of(*self.rows[-1]))  # with -s it is there too where the run is cut off

    async def once(self, call: Call, world: Timed, number: int) -> float:
        """The seconds that one answer takes."""
        phone = world.phones[number]
        found = await calls.prepared(phone, call)
        self.forget.later()
        await world.before(number)
        await ask(self.service.app, "GET", "/health/live", {})
        beside = asyncio.create_task(world.beside(number)) if world.beside else None
        if beside:
            await asyncio.sleep(self.chance.uniform(0, OVERLAP_SECONDS))
        began = time.perf_counter()
        answer = await made(self.service, phone, call, found)
        taken = time.perf_counter() - began
        assert answer.status < 500, answer
        if beside:
            await beside
        await world.after(number)
        return taken


def area(one: Timed, two: Timed) -> float:
    """The chance that an answer of the second world took longer than one of the first."""
    return float(mannwhitneyu(two.seconds, one.seconds).statistic) / (len(one.seconds) * len(two.seconds))


def apart(one: Timed, two: Timed) -> float:
    """By how many microseconds the second is slower, in the median of pairs."""
    return float(np.median(np.array(two.seconds) - np.array(one.seconds))) * 1e6


def is_within(area: float, apart: float, share: float = 1.0) -> bool:
    return abs(area - 0.5) <= share * (HIGHEST - 0.5) and abs(apart) <= share * MICROSECONDS


def row_of(name: str, area: float, apart: float, count: int) -> str:
    return f"{name:72} AUC {area:.3f}  median {apart:+7.1f} µs  n {count}"


def within(one: Timed, two: Timed, share: float) -> bool:
    return is_within(area(one, two), apart(one, two), share)


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
async def bench(lasting_database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with forgetting(lasting_database_url, request.param, live_pace=LivePace()) as (service, seconds):
        mine, theirs = each_alone(service) if request.param > 1 else (service, service)
        try:
            yield Bench(mine, theirs, seconds, Random("timing"))
        finally:
            await mine.close()
            await theirs.close()


@pytest.fixture
def told(bench: Bench, record_property: Callable[[str, object], None]) -> Any:
    """Tell the rows of a test, also of one that fails, and fail where one is off."""
    bench.rows = []
    gc.collect()
    yield
    for name, area, apart, count in bench.rows:
        record_property("measured", row_of(name, area, apart, count))
    off = [row for row in bench.rows if not is_within(row[1], row[2])]
    assert bench.rows, "nothing was measured"
    assert not off, off


async def test_nobody_waits_for_what_the_other_writes_in_private(bench: Bench) -> None:
    one, two = await bench.couple()
    await two.put("check-ins", FELT)
    async with holding(bench.service, PRIVATE_PAGES, two.rid) as held:
        # It holds all that it locks by now, and stands at the last thing that it does.
        writing = asyncio.create_task(two.put("check-ins", FELT))
        await held.until_waiting(1)
        async with asyncio.timeout(10):
            await one.put("check-ins", calls.SHARED)
            await one.get("/v1/relationships/{rid}/balances")
            await one.expect(200, "POST", "/v1/relationships/{rid}/sync", {})
        assert not writing.done()
    await writing


@pytest.mark.soak
async def test_300_private_events_of_the_other(bench: Bench, told: None) -> None:
    worlds = []
    for count in (0, PRIVATE_EVENTS):
        couples = await bench.couples()
        for one, two in couples:
            await calls.keep_private(two, count) if count else None
            await one.step_up()
        worlds.append(Timed([one for one, _ in couples]))
    for call in [*await calls.reads(bench.service), *calls.WRITES]:
        await bench.compare("0, or 300 private events", call, *worlds)


@pytest.mark.soak
async def test_300_private_events_of_the_other_and_what_is_about_oneself(bench: Bench, told: None) -> None:
    worlds = []
    for count in (0, PRIVATE_EVENTS):
        couples = await bench.couples()
        for _, two in couples:
            await calls.keep_private(two, count) if count else None
        worlds.append(Timed([one for one, _ in couples]))
    for call in calls.OWN:
        await bench.compare("0, or 300 private events", call, *worlds)


SOME = ("getRelationship", "listRelationships", "listEvents", "listRequests", "getBalances", "getTrend", "getMe")


async def usual(service: Running) -> list[Call]:
    """Calls that a phone makes all the time."""
    return [*(one for one in await calls.reads(service) if one.name in SOME), calls.SHARE, calls.KEEP, calls.SYNC]


@pytest.mark.soak
async def test_the_other_reads(bench: Bench, told: None) -> None:
    mine, theirs = await bench.couples(), await bench.couples()
    fill = [one for one in await calls.reads(bench.service) if one.name in SOME]

    # The same one reads in both worlds, a stranger in the first: a machine that has rested, whoever left it alone,
    # answers later than one that has just worked, by up to 800 µs after 12 ms.
    async def read(number: int) -> None:
        for one in fill:
            await made(bench.theirs, theirs[number][1], one)

    for call in await usual(bench.service):
        worlds = [Timed([one for one, _ in couples], read) for couples in (mine, theirs)]
        await bench.compare("a stranger reads, or the other", call, *worlds)


@asynccontextmanager
async def listening_in_one(bench: Bench) -> AsyncIterator[list[Timed]]:
    """Two worlds; in the second the other listens."""
    mine, theirs = await bench.couples(), await bench.couples()
    async with AsyncExitStack() as stack:
        for _, other in theirs:
            listening = await stack.enter_async_context(Listening(bench.theirs.app, other))
            await listening.caught_up()
            reading = asyncio.create_task(listening.ended())
            stack.callback(reading.cancel)
        yield [Timed([one for one, _ in couples]) for couples in (mine, theirs)]


LISTENS = "the other listens not, or does"


@pytest.mark.soak
@pytest.mark.parametrize(
    "call",
    [calls.SHARE, calls.ASK, calls.DECIDE, calls.TAKE_BACK_SHARED, calls.KEEP, calls.OPEN],
    ids=lambda call: call.name,
)
async def test_the_other_listens(bench: Bench, told: None, call: Call) -> None:
    read = next(one for one in await calls.reads(bench.service) if one.name == "getRelationship")
    async with listening_in_one(bench) as worlds:
        after = (Timed([]), Timed([]))

        def reading_after(world: Timed, taken: Timed) -> Do:
            async def read_and_rest(number: int) -> None:
                began = time.perf_counter()
                await made(bench.service, world.phones[number], read)
                taken.seconds.append(time.perf_counter() - began)
                await asyncio.sleep(0.27)  # until all are told: what they read belongs to no other answer

            return read_and_rest

        for world, taken in zip(worlds, after, strict=True):
            world.after = reading_after(world, taken)
        await bench.compare(LISTENS, call, *worlds, also=after)
        bench.tell(f"{LISTENS}: {read.name} right after", *after)


@pytest.mark.soak
async def test_the_other_listens_while_i_read(bench: Bench, told: None) -> None:
    looked_at = ("listOpenings", "getRoles", "getReview", "getHome", "getBalances", "listEvents")
    async with listening_in_one(bench) as worlds:
        for call in await calls.reads(bench.service):
            if call.name in looked_at:
                await bench.compare(LISTENS, call, *worlds)


@pytest.mark.soak
@pytest.mark.parametrize("what", ["take back", "seal"])
async def test_the_other_writes_in_private_at_the_same_moment(bench: Bench, told: None, what: str) -> None:
    mine, strangers = await bench.couples(), await bench.couples()

    def world(writers: list[Phone]) -> Timed:
        entries: dict[int, str] = {}

        async def keep(number: int) -> None:
            entries[number] = await calls.own_entry(writers[number])

        async def write(number: int) -> None:
            if what == "take back":
                body: Json = {"occurred_at": AT, "event_id": entries[number]}
                await writers[number].put("retractions", body)
            else:
                await writers[number].put("check-ins", SEALED)

        return Timed([one for one, _ in mine], keep, write)

    for call in [*await usual(bench.service), calls.TAKE_BACK]:
        name = f"a stranger, or the other, at the same moment: {what}"
        await bench.compare(name, call, world([two for _, two in strangers]), world([two for _, two in mine]))


@pytest.mark.soak
async def test_the_other_sealed_and_took_back(bench: Bench, told: None) -> None:
    mine, theirs = await bench.couples(), await bench.couples()
    for _, two in theirs:
        await calls.seal_and_take_back(two)
    worlds = [Timed([one for one, _ in couples]) for couples in (mine, theirs)]
    for call in [calls.SEAL, *await usual(bench.service)]:
        await bench.compare("the other never sealed, or sealed and took back", call, *worlds)


@pytest.mark.soak
async def test_a_code_is_live(bench: Bench, told: None) -> None:
    service, anybody = bench.service, bench.service.phone()
    known: list[str] = []

    async def mailed(address: str) -> bytes:
        answer = await bench.theirs.phone().call("POST", "/v1/sign-in-codes", {"email": address})
        await service.post.next_mail(address)
        return answer.content

    async def address(number: int) -> str:
        return f"{bench.chance.getrandbits(64):x}@example.org"

    by_attempt = bool(await mailed(await address(0)))

    async def code_for(number: int, live: bool) -> None:
        known[:] = [await address(number)]
        await mailed(known[0] if live else await address(number))

    async def taken(number: int) -> None:
        if known and service.post.unread():
            await service.post.next_mail(known[0])

    for position in range(2):
        name = calls.tries("", by_attempt)[position].name

        def body(_: Any, position: int = position) -> Json:
            made_of = calls.tries(known[0], by_attempt)[position].body
            assert made_of
            return made_of(None)

        call = Call(name, "POST", calls.tries("", by_attempt)[position].address, body)
        worlds = [
            Timed([anybody] * COUPLES, lambda n, live=live: code_for(n, live), after=taken)  # type: ignore[misc]
            for live in (False, True)
        ]
        await bench.compare("no code is live, or one is", call, *worlds)


@pytest.mark.soak
async def test_codes_for_myself(bench: Bench, told: None) -> None:
    mine, theirs, strangers = [await bench.couples() for _ in range(3)]
    for _, two in theirs:
        await calls.keep_private(two, PRIVATE_EVENTS)

    def world(couples: list[tuple[Phone, Phone]], before: Do = nothing) -> Timed:
        async def after(number: int) -> None:
            await couples[number][0].mailed_code()
            await calls.give_back_codes(bench.service)

        return Timed([one for one, _ in couples], before, after=after)

    def stepping_up(couples: list[tuple[Phone, Phone]]) -> Do:
        return lambda number: couples[number][1].step_up()

    call = calls.STEP_UP_CODE
    await bench.compare("0, or 300 private events", call, world(mine), world(theirs))
    who = [stepping_up(couples) for couples in (strangers, mine)]
    await bench.compare("a stranger, or the other, stepped up before", call, *[world(mine, one) for one in who])


@pytest.mark.soak
async def test_an_address_is_known(bench: Bench, told: None) -> None:
    couples = await bench.couples()
    wanted: list[str] = []

    def world(addresses: list[str], phones: list[Phone]) -> Timed:
        async def before(number: int) -> None:
            wanted[:] = [addresses[number]]

        async def after(number: int) -> None:
            await bench.service.post.next_mail(addresses[number])
            await calls.give_back_codes(bench.service)

        return Timed(phones, before, after=after)

    phones = [one for one, _ in couples]
    for phone in phones:
        await phone.step_up()
    nobodys = [f"{bench.chance.getrandbits(128):032x}@example.org" for _ in couples]
    others = [two.email for _, two in couples]
    for call in calls.codes_for(lambda: wanted[0]):
        worlds = world(nobodys, phones), world(others, phones)
        await bench.compare("an address is nobody's, or the other's", call, *worlds)
