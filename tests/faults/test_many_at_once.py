"""Many at once: on one stream, at the end of the service, and more than it can serve."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from uuid import uuid4

import pytest

from tests.faults.site import CUT, RETRIED, Phone, Site, Writers, Written, check_log, couple, entry, eventually, site

pytestmark = pytest.mark.database  # of the service's own

ROUNDS = int(os.environ.get("MUTUALITY_SOAK_ROUNDS", "1000"))
SHORT_ROUNDS = 10
AT_ONCE = 20
STREAM = "/v1/relationships/{rid}/requests/"


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """A service for this module."""
    with site() as started:
        yield started


def rounds(place: Site, number: int) -> None:
    """Twenty phones put at once, again and again; what succeeded is there, in positions without gaps."""
    pair = couple(place)
    phones = [pair[i % 2].twin() for i in range(AT_ONCE)]
    written = [Written() for _ in phones]

    def put(i: int) -> None:
        written[i].write(phones[i], *entry(0))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in range(number):
            list(pool.map(put, range(AT_ONCE)))
    assert check_log(phones, written) == number * AT_ONCE


def put_one(phone: Phone) -> bool:
    """Put a new request once; whether it was recorded."""
    status, said = phone.send("PUT", f"{STREAM}{uuid4()}", entry(0)[1])
    assert status in (201, 503), said
    return status == 201


def test_parallel_puts_on_one_stream_are_all_there(place: Site) -> None:
    rounds(place, SHORT_ROUNDS)


@pytest.mark.soak
def test_parallel_puts_on_one_stream_are_all_there_for_long(place: Site) -> None:
    rounds(place, ROUNDS)


class Last(Writers):
    """Writers that write until nobody takes anything any more, and send nothing twice."""

    def _go_on(self, first: int, phone: Phone, written: Written) -> None:
        with suppress(*CUT):
            while True:
                kind, body = entry(0)
                name = str(uuid4())
                status, said = phone.send("PUT", f"{STREAM}{name}", body)
                assert status in (201, *RETRIED), said
                if status == 201:
                    written.acknowledge(name, kind, body, said)


def test_a_graceful_end_loses_nothing_that_was_answered(place: Site) -> None:
    one, two = couple(place)
    writers = Last([phone.twin() for phone in (one, two) for _ in range(4)])
    with writers:
        writers.until(100)
        status = place.stop()
    place.start()
    assert status in (-signal.SIGTERM, 128 + signal.SIGTERM), "it did not end by itself"
    # Not even a commit whose answer was lost.
    assert check_log(writers.phones, writers.written) == writers.acknowledged


def test_who_cannot_be_served_soon_is_told_so(place: Site) -> None:
    one, _ = couple(place)
    with ThreadPoolExecutor(3 * AT_ONCE) as pool:
        with stalled(place):
            putting = [pool.submit(put_one, one.twin()) for _ in range(3 * AT_ONCE)]
            eventually(lambda: sum(one.done() for one in putting) > AT_ONCE)
            assert not any(one.result() for one in putting if one.done())
        recorded = sum(one.result() for one in putting)
    stored = [event for page in one.pages("shared") for event in page["events"]]
    assert len(stored) - 1 >= recorded


@contextmanager
def stalled(at: Site) -> Iterator[None]:
    """A database that stands still, as on a disk that hangs."""
    servers = at.servers()
    for process in servers:
        process.suspend()
    try:
        yield
    finally:
        for process in servers:
            process.resume()
