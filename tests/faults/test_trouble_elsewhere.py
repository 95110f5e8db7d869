"""Trouble in one place: rows held, spoiled or counted anew. Reads stay right or say 503; others notice nothing."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import asyncpg
import pytest

from tests.faults.site import Json, Phone, Site, Writers, another_couple, check_log, couple, entry, site

pytestmark = pytest.mark.database  # of the service's own

HERE = "/v1/relationships/{rid}"
ENOUGH = 30

HOLD = """
SELECT heads.position
FROM heads
WHERE heads.relationship_id = $1::text::uuid
FOR UPDATE
"""

# As after a restore that lost some pages: the next event would take a place that is taken.
SET_BACK = """
UPDATE heads
SET position = position - $2::integer
WHERE relationship_id = $1::text::uuid
    AND NOT private
"""

# Once spoils, twice mends.
SPOIL_A_TEXT = """
UPDATE texts
SET sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1)
WHERE relationship_id = $1::text::uuid
    AND position = 2
"""

MISCOUNT = """
UPDATE tallies
SET count = count + 3
WHERE relationship_id = $1::text::uuid
    AND measure = 'asks'
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """A service for this module."""
    with site() as started:
        yield started


@pytest.fixture
def pair(place: Site) -> tuple[Phone, Phone]:
    """The couple that has the trouble, and has recorded something."""
    one, two = couple(place)
    for phone in (one, two):
        assert put(phone) == 201
    return one, two


def put(phone: Phone) -> int:
    """The status of a request that is sent once."""
    return phone.twin().send("PUT", f"{HERE}/requests/{uuid4()}", entry(0)[1])[0]


def balances(phone: Phone, window: int = 366) -> Json:
    """What the phone reads."""
    return phone.expect(200, "GET", f"{HERE}/balances?window={window}")


@contextmanager
def others(pair: tuple[Phone, Phone]) -> Iterator[Writers]:
    """Another relationship of the same two, in which all is well before, meanwhile and afterwards."""
    phones = [phone.twin() for phone in another_couple(*pair) for _ in range(2)]
    with Writers(phones) as writers:
        writers.until(ENOUGH)
        yield writers
        writers.until(writers.acknowledged + ENOUGH)
    assert check_log(phones, writers.written) == writers.acknowledged


@contextmanager
def long_transaction(at: Site, pair: tuple[Phone, Phone]) -> Iterator[None]:
    """Somebody's transaction that looks at everything, holds this couple's heads, and does not end."""
    loop = asyncio.new_event_loop()
    db: asyncpg.Connection[asyncpg.Record] = loop.run_until_complete(asyncpg.connect(at.url))
    try:
        loop.run_until_complete(db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ"))
        loop.run_until_complete(db.fetch("SELECT count(*) FROM events, tallies, heads"))
        assert loop.run_until_complete(db.fetch(HOLD, pair[0].rid))
        yield
    finally:
        loop.run_until_complete(db.close())
        loop.close()


def test_a_long_transaction_holds_up_only_what_it_holds(place: Site, pair: tuple[Phone, Phone]) -> None:
    before = balances(pair[0])
    with others(pair) as writers:
        with long_transaction(place, pair):
            assert [put(phone) for phone in pair] == [503, 503]
            writers.until(writers.acknowledged + ENOUGH)
            assert balances(pair[0]) == before
        assert [put(phone) for phone in pair] == [201, 201]


def test_what_makes_the_database_refuse_does_not_harm_who_records_at_the_same_time(
    place: Site, pair: tuple[Phone, Phone]
) -> None:
    place.ask(SET_BACK, pair[0].rid, 1)
    with others(pair) as writers:
        for _ in range(20):
            assert put(pair[0]) == 503
            writers.until(writers.acknowledged + 1)
        assert writers.retries < 5, "others were refused for what they shared a group with"
        balances(pair[0])
    place.ask(SET_BACK, pair[0].rid, -1)
    assert put(pair[0]) == 201


def test_a_text_that_does_not_open_is_told_and_harms_nobody_else(place: Site, pair: tuple[Phone, Phone]) -> None:
    place.ask(SPOIL_A_TEXT, pair[0].rid)
    with others(pair):
        status, said = pair[0].send("GET", f"{HERE}/events?stream=shared")
        assert (status, said["code"]) == (503, "unreadable")
        pair[0].expect(200, "GET", f"{HERE}/events?stream=private")
        assert put(pair[1]) == 201
        assert "counts that had differed and were set right: 0." in place.rebuilt()
    place.ask(SPOIL_A_TEXT, pair[0].rid)
    pair[0].expect(200, "GET", f"{HERE}/events?stream=shared")


def test_a_rebuild_under_load_sets_right_what_was_changed_and_nothing_else(
    place: Site, pair: tuple[Phone, Phone]
) -> None:
    right, _ = [balances(phone) for phone in pair]
    with others(pair):
        changed = len(place.ask(f"{MISCOUNT} RETURNING 1", pair[0].rid))
        # Of the old window the right counts are still in memory.
        assert balances(pair[1], window=365)["mine"] != balances(pair[1])["mine"]
        assert place.rebuilt() == f"Counts that had differed and were set right: {changed}."
        assert balances(pair[1], window=365)["mine"] == balances(pair[1])["mine"]
        assert balances(pair[0]) == right
