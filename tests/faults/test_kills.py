"""kill -9 under load: what was acknowledged is there, once; what was not answered is there once or not at all.

The writers live in other threads than the killer, which waits for nobody: killing between two requests would show
nothing. So a run counts commits whose answer was lost, and is void without any.
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.site import Phone, Site, Writers, another_couple, check_log, couple, site

pytestmark = pytest.mark.database  # of the service's own

WRITERS = 8
SHORT_CYCLES = 2
SOAK_CYCLES = int(os.environ.get("MUTUALITY_SOAK_KILLS", "1000"))
RECOVERY_SECONDS = 10


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """A service for this module."""
    with site() as started:
        yield started


@pytest.fixture
def phones(place: Site) -> list[Phone]:
    """Eight phones in three relationships: one of them has four writers, so that these meet."""
    one, two = couple(place)
    others = [another_couple(one, two) for _ in range(2)]
    return [one, two, one.twin(), two.twin(), *(phone for pair in others for phone in pair)]


def kill_postgres(at: Site) -> None:
    """The service has to bring it back by itself."""
    at.kill_postgres()


def kill_service(at: Site) -> None:
    """Its PostgreSQL goes on until the next start replaces it."""
    at.kill()
    at.start()


KILLS = [kill_postgres, kill_service]


def cycle(at: Site, kill: Callable[[Site], None], writers: Writers) -> float:
    """Let them write, kill at some moment, and say after how many seconds the service serves again."""
    writers.until(writers.acknowledged + 2 * WRITERS)
    time.sleep(random.random() * 0.05)
    began = time.monotonic()
    kill(at)
    writers.phones[0].twin().expect(200, "GET", "/v1/me")
    return time.monotonic() - began


@pytest.mark.parametrize("kill", KILLS)
def test_nothing_acknowledged_is_lost(
    place: Site, phones: list[Phone], kill: Callable[[Site], None], record_property: Callable[[str, Any], None]
) -> None:
    with Writers(phones) as writers:
        cycles = 0
        # However the moments fall, at least one commit must have lost its answer.
        while cycles < SHORT_CYCLES or (writers.lost_answers == 0 and cycles < 20 * SHORT_CYCLES):
            cycle(place, kill, writers)
            writers.until(writers.acknowledged + WRITERS)
            cycles += 1
    assert writers.lost_answers > 0, "void: no commit lost its answer"
    assert check_log(phones, writers.written) == writers.acknowledged
    assert place.rebuilt() == "No differences."
    record_property("measured", f"{kill.__name__}: {cycles} cycles, {writers.lost_answers} answers lost")


@pytest.mark.soak
@pytest.mark.parametrize("kill", KILLS)
def test_nothing_acknowledged_is_lost_in_many_cycles(
    place: Site, phones: list[Phone], kill: Callable[[Site], None], record_property: Callable[[str, Any], None]
) -> None:
    with Writers(phones) as writers:
        seconds = sorted(cycle(place, kill, writers) for _ in range(SOAK_CYCLES))
    found = check_log(phones, writers.written)
    record_property(
        "measured",
        f"{kill.__name__}: {SOAK_CYCLES} cycles, {found} events, {writers.lost_answers} answers lost,"
        f" back after {seconds[len(seconds) // 2]:.1f} s (median), {seconds[-1]:.1f} s (longest)",
    )
    assert found == writers.acknowledged
    assert writers.lost_answers >= SOAK_CYCLES // 10, "void: too few commits lost their answer"
    assert place.rebuilt() == "No differences."
    # Nobody but the service itself brings its PostgreSQL back; the service is started by whoever watches over it.
    assert kill is kill_service or seconds[-1] < RECOVERY_SECONDS
