"""Connections cut at any byte: between phone and service, and between service and database."""

import asyncio
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from service.database import embedded
from tests.faults.cutting import Cutter, Way, cutter
from tests.faults.site import (
    PATIENCE_SECONDS,
    Site,
    Writers,
    another_couple,
    check_log,
    couple,
    end,
    eventually,
    folder,
    site,
)

pytestmark = pytest.mark.database  # of the service's own

CUTS = int(os.environ.get("MUTUALITY_SOAK_CUTS", "2000"))
SHORT_CUTS = 40
FULL_EXCHANGE_BYTES = 3000  # a PUT and its answer take about half
CHANCE = random.Random(8)

LEFT_OPEN = """
SELECT count(*) AS sessions
FROM pg_stat_activity
WHERE datname = current_database()
    AND state LIKE 'idle in transaction%'
"""


def some_of_an_exchange() -> int:
    """Bytes, both ways together, after which a phone's connection is cut."""
    return CHANCE.randint(1, FULL_EXCHANGE_BYTES)


def some_of_a_session() -> int:
    """Bytes after which a session with PostgreSQL is cut: while it begins, in its first statements, or later."""
    return CHANCE.choice([CHANCE.randint(1, 2_000), CHANCE.randint(1, 20_000), CHANCE.randint(1, 200_000)])


@contextmanager
def cut_phones() -> Iterator[tuple[Site, Cutter, int]]:
    """A service, and the port at which phones reach it through what cuts."""
    with site() as at, cutter(lambda: asyncio.open_connection("127.0.0.1", at.port), some_of_an_exchange) as way:
        yield at, way, way.port


@contextmanager
def cut_database() -> Iterator[tuple[Site, Cutter, int]]:
    """A service that reaches its database through what cuts."""
    with folder() as directory, embedded.running(directory / "elsewhere") as url:
        socket = directory / "elsewhere" / "socket" / f".s.PGSQL.{embedded.PORT}"

        async def reach() -> Way:
            return await asyncio.open_unix_connection(socket)

        with cutter(reach, some_of_a_session) as way:
            cut = f"postgresql://postgres@127.0.0.1:{way.port}/mutuality?sslmode=disable"
            at = Site(directory / "data", DATABASE_URL=cut)
            at.direct_url = url
            try:
                at.start()
                yield at, way, at.port
            finally:
                end(at)


WAYS = [cut_phones, cut_database]


def cut(way: Callable[[], Any], cuts: int) -> str:
    """Writers under so many cuts. Each entry ends as one event, and each answer is about what was sent."""
    with way() as (at, cutting, port):
        one, two = couple(at)
        three, four = another_couple(one, two)
        straight = [one, two, one, two, three, four, three, four]
        with Writers([phone.twin(port) for phone in straight]) as writers:
            cutting.cutting = True
            eventually(lambda: writers.failed() or cutting.cuts >= cuts, seconds=PATIENCE_SECONDS + cuts)
            cutting.cutting = False
        assert check_log([phone.twin() for phone in straight], writers.written) == writers.acknowledged
        eventually(lambda: at.ask(LEFT_OPEN)[0]["sessions"] == 0)
        assert at.rebuilt() == "No differences."
    return f"{cutting.cuts} cuts, {writers.acknowledged} events, {writers.lost_answers} answers lost"


@pytest.mark.parametrize("way", WAYS)
def test_a_cut_connection_makes_one_event_or_none(
    way: Callable[[], Any], record_property: Callable[[str, Any], None]
) -> None:
    record_property("measured", f"{way.__name__}: {cut(way, SHORT_CUTS)}")


@pytest.mark.soak
@pytest.mark.parametrize("way", WAYS)
def test_many_cut_connections_make_one_event_each_or_none(
    way: Callable[[], Any], record_property: Callable[[str, Any], None]
) -> None:
    record_property("measured", f"{way.__name__}: {cut(way, CUTS)}")
