"""64 couples observed for 48 intervals of 10 seconds: a bid is a request by one, a response in time the other's answer.

Whatever is answered, in whatever order and however often it is sent, the balances are the same bytes.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec import Struct
from msgspec.structs import replace

from tests.replays.tables import couples_cope
from tests.support.couples import Couple, another_couple, two_members
from tests.support.phones import Json, Phone, running
from tests.support.postgres import fresh_database

INTERVALS = range(48)
IN_TIME = 3
# Requests stay open for seven days after they were recorded, and the answers come within a minute: nothing lapses.
BEGIN = datetime(2026, 6, 15, 9, 0, tzinfo=UTC)
WINDOWS = (28, 366)

BIDDER, RESPONDER = 0, 1
PATHS = {"request": "requests", "decision": "decisions"}


class Entry(Struct, frozen=True):
    """What one of the two records: the bidder a request, the responder the answer to it."""

    who: int
    kind: str
    event_id: UUID
    body: Json


Entries = list[Entry]
Sent = Callable[[Couple, Entries], Awaitable[None]]


class Replay(Struct, frozen=True):
    """A couple that has recorded all its entries."""

    couple: Couple
    entries: Entries
    onsets: int
    balances: list[bytes]


def observed(row: dict[str, str], behaviour: str) -> list[bool]:
    return [row[f"{behaviour}{interval + 1:02}"] == "1" for interval in INTERVALS]


def onsets(behaviour: list[bool]) -> list[int]:
    """The intervals in which a run begins."""
    return [i for i in INTERVALS if behaviour[i] and not (i and behaviour[i - 1])]


def response(row: dict[str, str], bid: int, within: int = IN_TIME) -> int | None:
    """The first interval, at most so many later, in which the other copes with it."""
    copes = observed(row, "DCCB")
    return next((i for i in INTERVALS if bid <= i <= bid + within and copes[i]), None)


def at(interval: int) -> str:
    return (BEGIN + timedelta(seconds=10 * interval)).isoformat()


def entries_of(row: dict[str, str]) -> Entries:
    """Each bid, and behind it the yes that it met, if any."""
    entries = []
    for bid in onsets(observed(row, "IKCB")):
        asked = Entry(BIDDER, "request", uuid4(), {"occurred_at": at(bid), "domain": "time"})
        entries.append(asked)
        if (answered := response(row, bid)) is not None:
            said = {"occurred_at": at(answered), "request_id": str(asked.event_id), "outcome": "yes"}
            entries.append(Entry(RESPONDER, "decision", uuid4(), said))
    return entries


def every_answer_no(entries: Entries) -> Entries:
    return _answered(entries, lambda _: {"outcome": "no", "audience": "shared"})


def half_of_the_answers_private(entries: Entries) -> Entries:
    return _answered(entries, lambda i: {"outcome": "no", "audience": ("private", "shared")[i % 2]})


def shuffled(entries: Entries) -> Entries:
    """Any order in which answers come after their requests."""
    chance = random.Random(len(entries))
    when = {entry.event_id: chance.random() for entry in entries}

    def turn(entry: Entry) -> tuple[float, bool]:
        asked = UUID(entry.body["request_id"]) if entry.kind == "decision" else entry.event_id
        return max(when[entry.event_id], when[asked]), entry.kind == "decision"

    return sorted(entries, key=turn)


def every_entry_twice(entries: Entries) -> Entries:
    return [entry for entry in entries for _ in range(2)]


def as_it_was(entries: Entries) -> Entries:
    return entries


def _answered(entries: Entries, answer: Callable[[int], Json]) -> Entries:
    answers = [entry for entry in entries if entry.kind == "decision"]
    said = {e.event_id: replace(e, body=e.body | answer(i)) for i, e in enumerate(answers)}
    return [said.get(entry.event_id, entry) for entry in entries]


async def one_by_one(couple: Couple, entries: Entries) -> None:
    first: dict[UUID, Any] = {}
    for entry in entries:
        status = 200 if entry.event_id in first else 201
        answer = await couple[entry.who].put(PATHS[entry.kind], entry.body, entry.event_id, status)
        assert first.setdefault(entry.event_id, answer) == answer


async def in_batches(couple: Couple, entries: Entries) -> None:
    """The bidder's queue in threes, then the responder's at once."""
    asked, answered = ([entry for entry in entries if entry.who == who] for who in (BIDDER, RESPONDER))
    for batch in [*(asked[i : i + 3] for i in range(0, len(asked), 3)), answered]:
        await in_one_batch(couple[BIDDER if batch is not answered else RESPONDER], batch)


async def in_one_batch(phone: Phone, batch: Entries) -> None:
    queue = [{"id": str(e.event_id), "kind": e.kind, e.kind: e.body} for e in batch]
    answer = await phone.expect(200, "POST", "/v1/relationships/{rid}/sync", {"entries": queue})
    assert [result["status"] for result in answer["results"]] == ["recorded"] * len(batch)


@pytest.fixture(scope="module")
def couples_database(postgres_url: str) -> Iterator[str]:
    with fresh_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
async def members(couples_database: str) -> AsyncIterator[Couple]:
    """Two people who stand for all the couples, in a relationship for each."""
    async with running(couples_database) as service:
        yield await two_members(service)


@pytest.fixture(scope="module")
async def replays(members: Couple) -> list[Replay]:
    """All 64 couples with every answer a yes, entry by entry."""
    done = []
    for row in couples_cope():
        entries, couple = entries_of(row), await another_couple(*members)
        await one_by_one(couple, entries)
        done.append(Replay(couple, entries, len(onsets(observed(row, "IKCB"))), await balances(couple)))
    return done


async def replayed(
    members: Couple, replays: list[Replay], changed: Callable[[Entries], Entries], sent: Sent
) -> list[Couple]:
    """The same couples anew, with changed entries; the balances of both must be what they were."""
    couples = []
    for replay in replays:
        couple = await another_couple(*members)
        await sent(couple, changed(replay.entries))
        assert await balances(couple) == replay.balances
        couples.append(couple)
    return couples


async def balances(couple: Couple) -> list[bytes]:
    """The very bytes that both read, for several windows."""
    paths = [f"/v1/relationships/{{rid}}/balances?window={window}" for window in WINDOWS]
    answers = [await phone.call("GET", path) for phone in couple for path in paths]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.content for answer in answers]


async def how_many(couple: Couple, who: int) -> tuple[int, int]:
    """How many requests that member sees decided, and how many open; there are no others."""
    listed = (await couple[who].get("/v1/relationships/{rid}/requests"))["requests"]
    states = [request["state"] for request in listed]
    assert set(states) <= {"decided", "open"}
    return states.count("decided"), states.count("open")


def summed(counts: list[tuple[int, int]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*counts, strict=True)))


async def test_the_table_holds_what_its_source_says() -> None:
    rows = couples_cope()
    bids = [onsets(observed(row, "IKCB")) for row in rows]
    assert (len(rows), sum(map(len, bids))) == (64, 280)
    assert (min(map(len, bids)), max(map(len, bids))) == (1, 9)
    assert sum(len(onsets(observed(row, "DCCB"))) for row in rows) == 328


@pytest.mark.parametrize(("within", "met"), [(0, 217), (1, 251), (2, 255), (3, 263), (6, 266)])
async def test_bids_that_meet_a_response(within: int, met: int) -> None:
    found = [response(row, bid, within) for row in couples_cope() for bid in onsets(observed(row, "IKCB"))]
    assert sum(interval is not None for interval in found) == met


async def test_280_requests_are_263_decided_and_17_open_to_both(replays: list[Replay]) -> None:
    for who in (BIDDER, RESPONDER):
        assert summed([await how_many(replay.couple, who) for replay in replays]) == (263, 17)


NOBODY = {"me": 0, "partner": 0, "both": 0, "neither": 0}


async def test_each_bid_is_asked_once_and_all_of_a_day_are_one_occasion(replays: list[Replay]) -> None:
    for replay in replays:
        for who, by in ((BIDDER, "me"), (RESPONDER, "partner")):
            asks = (await replay.couple[who].get("/v1/relationships/{rid}/balances"))["asks"]
            assert asks["counts"] == NOBODY | {by: replay.onsets}
            assert asks["occasions"] == {"me": 0, "partner": 0} | {by: 1}
            assert (asks["n"], asks["reading"]) == (1, "too_few")


async def test_and_leaves_both_tellings_empty(replays: list[Replay]) -> None:
    for replay in replays:
        for who in (BIDDER, RESPONDER):
            read = await replay.couple[who].get("/v1/relationships/{rid}/balances")
            for telling in (read["mine"], read["partners"]):
                assert telling["initiates"]["counts"] == telling["decides"]["counts"] == NOBODY


@pytest.mark.parametrize(
    ("changed", "sent"),
    [
        (every_answer_no, one_by_one),
        (shuffled, one_by_one),
        (every_entry_twice, one_by_one),
        (as_it_was, in_batches),
    ],
    ids=["every answer no", "shuffled", "every entry twice", "in batches"],
)
async def test_the_balances_of_both_are_the_same_bytes(
    members: Couple, replays: list[Replay], changed: Callable[[Entries], Entries], sent: Sent
) -> None:
    couples = await replayed(members, replays, changed, sent)
    assert summed([await how_many(couple, BIDDER) for couple in couples]) == (263, 17)


async def test_with_half_of_the_answers_private_too_and_those_are_open_requests_to_who_asked(
    members: Couple, replays: list[Replay]
) -> None:
    couples = await replayed(members, replays, half_of_the_answers_private, one_by_one)
    private = sum((sum(e.kind == "decision" for e in replay.entries) + 1) // 2 for replay in replays)
    assert summed([await how_many(couple, RESPONDER) for couple in couples]) == (263, 17)
    assert summed([await how_many(couple, BIDDER) for couple in couples]) == (263 - private, 17 + private)
