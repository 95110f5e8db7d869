"""Trouble in one place: rows held, spoiled or counted anew. Reads stay right or say 503; others notice nothing."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import asyncpg
import pytest

from service.keys.key_store import FileKeyStore
from tests.faults.site import Json, Phone, Site, Writers, another_couple, check_log, couple, entry, site
from tests.support.miscounting import miscount

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
    AND stream = 0
"""

# Once spoils, twice mends.
SPOIL_A_TEXT = """
UPDATE events
SET ciphertext = set_byte(ciphertext, 40, get_byte(ciphertext, 40) # 1)
WHERE relationship_id = $1::text::uuid
    AND stream = 0
    AND position = 2
"""

SPOIL_THE_PAGES = """
UPDATE pages
SET ciphertext = set_byte(ciphertext, 40, get_byte(ciphertext, 40) # 1)
WHERE relationship_id = $1::text::uuid
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
        loop.run_until_complete(db.fetch("SELECT count(*) FROM events, pages, heads"))
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


def test_counts_that_do_not_open_are_told_harm_nobody_else_and_are_made_anew(
    place: Site, pair: tuple[Phone, Phone]
) -> None:
    right = balances(pair[0])
    place.ask(SPOIL_THE_PAGES, pair[0].rid)
    with others(pair) as writers:
        for _ in range(20):
            assert put(pair[0]) == 503
            writers.until(writers.acknowledged + 1)
        assert writers.retries < 5, "others were refused for what they shared a group with"
        status, said = pair[0].send("GET", f"{HERE}/balances?window=365")
        assert (status, said["code"]) == (503, "unreadable")
        pair[0].expect(200, "GET", f"{HERE}/events?stream=shared")
        assert place.rebuilt().startswith("Counts that had differed and were set right: ")
    assert balances(pair[0], window=365)["asks"] == right["asks"]
    assert put(pair[0]) == 201


def test_a_rebuild_under_load_sets_right_what_was_changed_and_nothing_else(
    place: Site, pair: tuple[Phone, Phone]
) -> None:
    right, _ = [balances(phone) for phone in pair]
    with others(pair):
        changed = asyncio.run(miscount(place.url, FileKeyStore(place.data_dir / "keys"), rid=UUID(pair[0].rid)))
        # Of the old window the right counts are still in memory.
        assert balances(pair[1], window=365)["asks"] != balances(pair[1])["asks"]
        assert place.rebuilt() == f"Counts that had differed and were set right: {changed}."
        assert balances(pair[1], window=365)["asks"] == balances(pair[1])["asks"]
        assert balances(pair[0]) == right
