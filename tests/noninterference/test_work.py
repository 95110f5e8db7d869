"""What the other does in private, and whether they are there at all, changes nothing of the work of my calls.

This counts work and no microseconds: the statements that a call sends, in two worlds; what a cache has, is not asked
for. `make soak-timing` times the same worlds.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from msgspec import Struct, convert

from events.entries import CheckIn, Decision, Entry, Request, Retraction
from projections import balances, perspectives, statistics, trends
from service.core import listeners
from service.core.clock import load_zones
from service.database.group_commit import GroupCommit
from service.reading import live
from service.reading.live import LivePace, LiveStream
from service.recording.concurrency import slot_of
from service.recording.write_set import Submission, Submitter
from tests.noninterference import calls
from tests.noninterference.calls import AT, BOTH, FELT, REQUEST, SEALED, SHARED, WRITES, Call, Seconds, forgetting, made
from tests.noninterference.worlds import ask
from tests.support.counting import seen
from tests.support.holding import holding
from tests.support.listening import Listening
from tests.support.phones import NOON, Json, Phone, Running, link
from tests.support.statements import overheard
from tests.support.turns import each_alone

PRIVATE_EVENTS = 20


class Counting(Struct):
    """A worker and the statements that it sends, and the one that serves the other: the same, or another one."""

    service: Running
    theirs: Running
    seconds: Seconds
    statements: list[str]

    async def work(self, phone: Phone, call: Call) -> tuple[int, Counter[str]]:
        """The status of a call, and what it has asked the database."""
        found = await calls.prepared(phone, call)
        self.statements.clear()
        answer = await made(self.service, phone, call, found)
        return answer.status, self.counted()

    def counted(self) -> Counter[str]:
        """What was asked since it was emptied, but for what asyncpg asks once on each new connection."""
        return Counter(one for one in self.statements if "typeinfo" not in one and "'jit'" not in one)

    async def couple(self) -> tuple[Phone, Phone]:
        """Whose work is counted, and the other."""
        one, two = await self.service.member(), await self.theirs.phone().sign_in()
        await two.consent()
        await link(one, two)
        return one, two

    async def all_calls(self) -> list[Call]:
        """One call of each kind."""
        return [*await calls.reads(self.service), *WRITES, *calls.OWN]


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
async def counting(lasting_database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Counting]:
    # Who listens is polled for by nobody here, or its statements would come between.
    pace = LivePace(poll_seconds=1000)
    async with AsyncExitStack() as stack:
        together, seconds = await stack.enter_async_context(
            forgetting(lasting_database_url, request.param, live_pace=pace)
        )
        service, theirs = each_alone(together) if request.param > 1 else (together, together)
        for one in (service, theirs):
            stack.push_async_callback(one.close)
        state = service.app.state
        context = state.context
        pools = (
            context.db,
            context.auth_db,
            context.admission_db,
            context.writer_db,
            context.references_db,
            state.counting_db,
        )
        statements = await stack.enter_async_context(overheard(*pools, state.reader_lookup._db, context.keys._db))  # type: ignore[arg-type]
        yield Counting(service, theirs, seconds, statements)


async def test_what_the_other_keeps_private_is_no_work_for_me(counting: Counting) -> None:
    (mine, _), (theirs, full) = [await counting.couple() for _ in range(2)]
    await calls.keep_private(full, PRIVATE_EVENTS)
    for call in await counting.all_calls():
        counting.seconds.later()
        assert await counting.work(mine, call) == await counting.work(theirs, call), call.name


@pytest.mark.parametrize("call", [calls.LEAVE, calls.ERASE], ids=lambda call: call.name)
async def test_nor_is_it_for_what_i_do_once(counting: Counting, call: Call) -> None:
    (mine, _), (theirs, full) = [await counting.couple() for _ in range(2)]
    await calls.keep_private(full, PRIVATE_EVENTS)
    counting.seconds.later()
    done = [await counting.work(phone, call) for phone in (mine, theirs)]
    assert done[0] == done[1]
    assert done[0][0] == 204


async def test_all_that_is_compared_is_answered_as_it_is_meant(counting: Counting) -> None:
    one, _ = await counting.couple()
    statuses = {call.name: (await counting.work(one, call))[0] for call in (*WRITES, *calls.OWN)}
    odd = {name: status for name, status in statuses.items() if status >= 300}
    assert odd == {
        "dismiss a prompt that is none": 404,
        "invite where both are in": 403,
        "accept a code that is none": 404,
        "sign out a session that is none": 404,
        "step up with a wrong code": 401,
        "change my address with a wrong code": 401,
    }


async def test_every_operation_is_among_them(counting: Counting) -> None:
    document = json.loads((await ask(counting.service.app, "GET", "/openapi.json", {})).body)
    tried = calls.tries("somebody@example.org", by_attempt=True)
    mailed = [calls.STEP_UP_CODE, *calls.codes_for(lambda: "")]
    once = [calls.LEAVE, calls.ERASE]
    made_here = {(call.method, plain(call.address)) for call in (*WRITES, *calls.OWN, *tried, *mailed, *once)}
    left = {
        operation["operationId"]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "get" and (method.upper(), plain(path)) not in made_here
    }
    # With a provider that is not set up here.
    assert left == {"signInWithApple", "signInWithGoogle", "stepUpWithApple", "stepUpWithGoogle"}


def plain(address: str) -> str:
    """An address without its ids."""
    return re.sub(r"\{[^}]*\}|[0-9a-f-]{36}", "*", address)


async def test_what_the_other_reads_and_writes_is_in_no_cache_of_mine(counting: Counting) -> None:
    (mine, idle), (theirs, busy) = [await counting.couple() for _ in range(2)]
    for phone in (idle, busy):
        await phone.expect(200, "PATCH", "/v1/me", {"name": "Ada"})
    every = await counting.all_calls()
    fill = [one for one in every if one.name in ("getRelationship", "listEvents", "getBalances", calls.SHARE.name)]
    for call in every:
        counting.seconds.later()
        await made(counting.theirs, idle, calls.SHARE)  # before it is long ago: both have shared as much
        counting.seconds.later()
        for one in fill:
            await made(counting.theirs, busy, one)
        assert await counting.work(theirs, call) == await counting.work(mine, call), call.name
        # And again, from the reader's own cache.
        assert await counting.work(theirs, call) == await counting.work(mine, call), call.name


async def test_whether_the_other_listens_is_no_work_before_my_answer(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "WAKE_SECONDS", (0.5, 0.5))
    told, pages = list[LiveStream](), LiveStream._pages

    async def noted(stream: LiveStream) -> Any:
        told.append(stream)
        return await pages(stream)

    (mine, _), (theirs, listens) = [await counting.couple() for _ in range(2)]
    for call in (calls.SHARE, calls.ASK, calls.DECIDE, calls.TAKE_BACK_SHARED):
        counting.seconds.later()
        async with Listening(counting.theirs.app, listens) as listening:
            await listening.caught_up()
            with monkeypatch.context() as patch:
                patch.setattr(LiveStream, "_pages", noted)
                found = await calls.prepared(theirs, call)
                counting.statements.clear()
                told.clear()
                answer = await made(counting.service, theirs, call, found)
                heard, status = counting.counted(), answer.status
                assert not told, f"{call.name}: somebody was woken before it was answered"
            await live.poll(counting.theirs.app.state.context)
            await listening.events(1)  # and then they are told
        counting.seconds.later()
        assert await counting.work(mine, call) == (status, heard), call.name


# --- At the same moment


def entry(body: Json) -> Entry:
    kinds: dict[str, type[Entry]] = {"event_id": Retraction, "text": Request, "domain": Decision, "outcome": Decision}
    return convert(body, next((kind for field, kind in kinds.items() if field in body), CheckIn))


BACK: Json = {"occurred_at": AT, "event_id": str(uuid4())}
NO: Json = {"occurred_at": AT, "request_id": str(uuid4()), "outcome": "no"}
MINE = {"share": SHARED, "keep": FELT, "ask": REQUEST, "decide": BOTH, "take back": BACK, "seal": SEALED, "no": NO}
THEIRS = {name: MINE[name] for name in ("keep", "take back", "seal", "no")}


@pytest.mark.parametrize("theirs", THEIRS)
@pytest.mark.parametrize("mine", MINE)
async def test_the_other_keeps_no_group_of_mine_waiting_that_a_stranger_would_not(mine: str, theirs: str) -> None:
    me = Submitter(uuid4(), uuid4(), uuid4())
    partner = me._replace(session_id=uuid4(), member_id=uuid4())
    stranger = Submitter(uuid4(), uuid4(), uuid4())
    submitted = Submission(me, [(uuid4(), entry(MINE[mine]))])
    waited = [
        await waits_behind(Submission(who, [(uuid4(), entry(THEIRS[theirs]))]), submitted)
        for who in (partner, stranger)
    ]
    assert waited[0] == waited[1]


async def waits_behind(first: Submission, second: Submission) -> bool:
    """Whether the second is committed only after the first, which is in the middle of its commit."""
    begun, go_on, order = asyncio.Event(), asyncio.Event(), list[Submission]()

    async def commit(submissions: Sequence[Submission], alone: bool) -> Sequence[bool]:
        if first in submissions:
            begun.set()
            await go_on.wait()
        order.extend(submissions)
        return [True] * len(submissions)

    grouped = GroupCommit[Submission, bool](commit, slot_of)
    one = asyncio.create_task(grouped.submit(first))
    await begun.wait()
    other = asyncio.create_task(grouped.submit(second))
    for _ in range(20):  # turns of the loop: nothing here waits for anything else
        await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(one, other)
    await grouped.close()
    return order[0] is first


PRIVATE_PAGES_OF = """
SELECT pages.month
FROM pages
JOIN memberships
    ON memberships.relationship_id = pages.relationship_id
    AND memberships.seat = pages.stream
WHERE author_id = $1::text::uuid
FOR UPDATE OF pages
"""


@pytest.mark.parametrize("theirs", [calls.KEEP, calls.TAKE_BACK, calls.SEAL], ids=lambda call: call.name)
async def test_what_the_other_holds_in_private_is_waited_for_by_nobody(counting: Counting, theirs: Call) -> None:
    service = counting.service
    one, other = await counting.couple()
    _, stranger = await counting.couple()
    mine = [call for call in await counting.all_calls() if call is not calls.SEAL]
    done: list[list[Any]] = []
    for call in mine:  # once for nothing, so that both rounds begin alike
        await counting.work(one, call)
    for writes in (other, stranger):
        await calls.own_entry(writes)
        found = await calls.prepared(writes, theirs)
        counting.seconds.later()
        # It stands at the last thing that it does.
        async with holding(service, PRIVATE_PAGES_OF, writes.author) as held:
            writing = asyncio.create_task(made(counting.theirs, writes, theirs, found))
            # In a group nobody waits longer than 50 ms; then it waits by itself, with all that it locks.
            await held.until_waiting(1)
            if groups := list(counting.theirs.app.state.recorder._grouped._groups.values()):
                await asyncio.wait(groups)
            await held.until_waiting(1)
            async with asyncio.timeout(30):
                done.append([await counting.work(one, call) for call in mine])
            await held.until_waiting(1)
            assert not writing.done()
        assert (await writing).status == 201
    for call, beside_other, beside_stranger in zip(mine, *done, strict=True):
        assert beside_other == beside_stranger, call.name


# --- What waits for me


async def test_what_the_other_has_sealed_and_taken_back_is_no_work_for_me(counting: Counting) -> None:
    (mine, _), (theirs, other) = [await counting.couple() for _ in range(2)]
    await calls.seal_and_take_back(other)
    for call in await counting.all_calls():
        counting.seconds.later()
        assert await counting.work(theirs, call) == await counting.work(mine, call), call.name


async def test_whether_a_code_is_live_is_no_work_for_who_tries_one(counting: Counting) -> None:
    known, unknown = [await counting.service.phone().sign_in() for _ in range(2)]
    asked = await counting.service.phone().call("POST", "/v1/sign-in-codes", {"email": known.email})
    work = []
    for phone in (known, unknown):
        for call in calls.tries(phone.email, bool(asked.content)):
            work.append((call.name, await counting.work(counting.service.phone(), call)))
    assert work[: len(work) // 2] == work[len(work) // 2 :]


async def test_nor_is_what_the_other_keeps_for_a_code_of_mine(counting: Counting) -> None:
    (mine, _), (theirs, full) = [await counting.couple() for _ in range(2)]
    await calls.keep_private(full, PRIVATE_EVENTS)
    await full.expect(202, "POST", "/v1/sessions/step-up-codes", {})
    done = [await counting.work(phone, calls.STEP_UP_CODE) for phone in (mine, theirs)]
    assert done[0] == done[1]
    assert done[0][0] == 202


async def test_whether_somebody_has_an_address_is_no_work_for_who_has_a_code_mailed_there(counting: Counting) -> None:
    one, other = await counting.couple()
    await one.step_up()
    work = [
        [await counting.work(one, call) for call in calls.codes_for(lambda email=email: email)]  # type: ignore[misc]
        for email in (f"{uuid4().hex}@example.org", other.email)
    ]
    assert work[0] == work[1]
    assert [status for status, _ in work[0]] == [202, 202]


# --- Caches that have no reader


FOLDS: list[Callable[[], object]] = [
    lambda: balances.fold(seen(), balances.Asked(NOON.date(), 28)),
    lambda: trends.fold(seen(), trends.Asked("decides", None, None, None, 28, 7, NOON.date(), NOON.date())),
    lambda: perspectives._tabled("felt", "close", list(range(1, 8)), list[tuple[int, int]]()),
]


@pytest.mark.parametrize("fold", FOLDS)
async def test_no_interval_of_another_reader_is_left(fold: Callable[[], object]) -> None:
    statistics.jeffreys(3, 9)
    fold()
    assert (3, 9) not in statistics._of_pair


async def test_all_zones_are_in_memory_whoever_uses_them(counting: Counting) -> None:
    assert load_zones.cache_info().currsize == 1
    assert len(load_zones()) > 400


async def test_a_connection_and_what_it_has_prepared_last(counting: Counting) -> None:
    pools = (counting.service.app.state.context.db, counting.service.app.state.counting_db)
    for pool in pools:
        async with pool.acquire() as db:
            assert db._con._config.max_cached_statement_lifetime == 0  # type: ignore[attr-defined]
        assert {holder._max_inactive_time for holder in pool._holders} == {0}  # type: ignore[attr-defined]
