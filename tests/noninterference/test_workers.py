"""The same gate with two workers: whichever of them answers, what one keeps private changes no byte for the other.

Both ways of `turns` are walked: by turns, where the other's asking more moves who answers the reader; and apart, where
the reader is answered by one worker and then by the other, and all that happens meanwhile has happened in the other.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tests.noninterference.comparing import Pair, two_worlds
from tests.noninterference.leaks import LEAKS, LEAKS_BETWEEN_WORKERS, planted
from tests.noninterference.test_leaks import fewer_looks
from tests.noninterference.test_live import heard
from tests.noninterference.test_noninterference import no_difference
from tests.noninterference.worlds import World
from tests.support.turns import Way, Workers

WORKERS = 2
PAIRS, PAIRS_OF_LEAKS = 25, 150
WAYS: list[Way] = ["by turns", "apart"]
# By what a worker keeps, by what they share, by what is counted.
SOME_LEAKS = ["a cache keyed by relationship", "a rate limit per relationship", "request ids from a counter"]
Record = Callable[[str, object], None]


@pytest.fixture(scope="module", params=WAYS)
async def pair(two_databases: tuple[str, str], request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """Two worlds, each of two workers."""
    async with two_worlds(*two_databases, workers=WORKERS, way=request.param) as started:
        yield started


def workers_of(world: World) -> Workers:
    """The workers of a world."""
    app: Any = world.service.app
    assert isinstance(app, Workers)
    return app


async def test_two_workers_change_no_byte_for_the_other(pair: Pair, record_property: Record) -> None:
    await no_difference(pair, f"two workers {workers_of(pair.one).way}", PAIRS, record_property)
    first, second = [workers_of(world).turns for world in (pair.one, pair.two)]
    if workers_of(pair.one).way == "by turns":
        # The other asks more often in one world, so the reader is answered by other workers there.
        assert of_reader(first) != of_reader(second)
    else:
        assert of_reader(first) == of_reader(second)
        assert all(one != other for one, other in of_both(second))
    for turns in (first, second):
        assert {turn for who, turn in turns if who == "reader"} == {0, 1}
        assert {turn for who, turn in turns if who == "other"} == {0, 1}


def of_reader(turns: list[tuple[str, int]]) -> list[int]:
    """Who has answered the reader."""
    return [turn for who, turn in turns if who == "reader"]


def of_both(turns: list[tuple[str, int]]) -> Iterator[tuple[int, int]]:
    """Who has answered the reader last, and then the other."""
    last = 0
    for who, turn in turns:
        if who == "reader":
            last = turn
        elif who == "other":
            yield last, turn


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(50))
async def test_they_change_none_in_many_pairs(pair: Pair, seed: int, record_property: Record) -> None:
    await no_difference(pair, f"two workers {workers_of(pair.one).way} {seed}", 100, record_property)


async def test_what_the_other_keeps_private_in_another_worker_moves_no_frame(pair: Pair) -> None:
    seed = f"live-{workers_of(pair.one).way}".replace(" ", "-")
    await pair.people(seed)
    assert await heard(pair.one, [], 0, seed) == await heard(pair.two, [], 5, seed)


@pytest.mark.parametrize("channel", [*LEAKS_BETWEEN_WORKERS, *SOME_LEAKS])
async def test_a_planted_leak_is_found(pair: Pair, channel: str, record_property: Record) -> None:
    await finds(pair, channel, record_property)


@pytest.mark.soak
@pytest.mark.parametrize("channel", LEAKS)
async def test_each_planted_leak_is_found(pair: Pair, channel: str, record_property: Record) -> None:
    await finds(pair, channel, record_property)


async def finds(pair: Pair, channel: str, record_property: Record) -> None:
    """That a leak is found, and soon."""
    way = workers_of(pair.one).way
    seed = f"leak {way} {[*LEAKS, *LEAKS_BETWEEN_WORKERS].index(channel)}".replace(" ", "-")
    with fewer_looks(pair, channel), planted(channel):
        found = await pair.find(seed, PAIRS_OF_LEAKS)
    assert found, "it survived"
    record_property("measured", f"leak found in pair {found[0]} of two workers {way}: {channel}")
