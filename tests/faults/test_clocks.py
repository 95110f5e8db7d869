"""The clock of the machine jumps by ten years, and back."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from tests.faults.site import Phone, Site, Writers, check_log, couple, end, entry, eventually, folder

pytestmark = pytest.mark.database  # of the service's own

TEN_YEARS = 10 * 365 * 24 * 3600
JUMPS = int(os.environ.get("MUTUALITY_SOAK_FAULTS", "20"))


@contextmanager
def wrong_clock() -> Iterator[tuple[Site, Callable[[int], None]]]:
    """A service, and how to set its clock ahead by some seconds."""
    with folder() as directory:

        def put(ahead: int) -> None:
            (directory / "new").write_text(str(ahead))
            (directory / "new").replace(directory / "ahead")

        put(0)
        at = Site(directory / "data", main=("-m", "tests.faults.clocked"))
        at.environment["CLOCK_AHEAD"] = str(directory / "ahead")
        try:
            at.start()
            yield at, put
        finally:
            end(at)


def put_once(phone: Phone) -> int:
    """The status of an entry that is sent once, and never again."""
    return phone.send("PUT", f"/v1/relationships/{{rid}}/requests/{uuid4()}", entry(0)[1])[0]


def jump(times: int) -> str:
    """So many jumps under load: nothing is recorded at a wrong time, nobody is signed out, nothing is refused."""
    with wrong_clock() as (at, put):
        pair = couple(at)
        with Writers([phone.twin() for phone in pair]) as writers:
            for number in range(times):
                writers.until(writers.acknowledged + 5)
                put(TEN_YEARS if number % 2 else -TEN_YEARS)
                eventually(lambda: pair[0].send("GET", "/v1/me")[0] == 503)
                assert {put_once(phone) for phone in pair for _ in range(5)} == {503}
                put(0)
                writers.until(writers.acknowledged + 5)
        assert check_log(writers.phones, writers.written) == writers.acknowledged
        recorded = [
            said["event"]["recorded_at"] for written in writers.written for said in written.acknowledged.values()
        ]
        assert len({time[:4] for time in recorded}) <= 2, "recorded in another decade"
    return f"{times} jumps, {writers.acknowledged} events"


def test_a_clock_that_jumps_is_not_believed() -> None:
    jump(2)


@pytest.mark.soak
def test_a_clock_that_jumps_often_is_not_believed(record_property: Callable[[str, Any], None]) -> None:
    record_property("measured", f"clock: {jump(JUMPS)}")
