"""The same gate with two workers: whichever of them answers, what one keeps private changes no byte for the other."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from tests.noninterference.comparing import Pair, two_worlds
from tests.noninterference.test_noninterference import no_difference
from tests.support.turns import ByTurns

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORKERS = 2
PAIRS = 25
Record = Callable[[str, object], None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(two_databases: tuple[str, str]) -> AsyncIterator[Pair]:
    """Two worlds, each of two workers that answer by turns."""
    async with two_worlds(*two_databases, workers=WORKERS) as started:
        yield started


def turns(pair: Pair) -> list[list[int]]:
    """Who has answered, in each world."""
    found = []
    for world in (pair.one, pair.two):
        app: Any = world.service.app
        assert isinstance(app, ByTurns)
        found.append(app.turns)
    return found


async def test_two_workers_change_no_byte_for_the_other(pair: Pair, record_property: Record) -> None:
    await no_difference(pair, "two workers", PAIRS, record_property)
    # The other asks more often in one world, so the reader is answered by other workers there.
    first, second = turns(pair)
    assert set(first) == set(second) == {0, 1}
    assert len(first) != len(second)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
async def test_they_change_none_in_many_pairs(pair: Pair, seed: int, record_property: Record) -> None:
    await no_difference(pair, f"two workers {seed}", 100, record_property)
