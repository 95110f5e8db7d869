"""What one member keeps private does not change a single byte of what the other can get: the release gate.

Two worlds differ only in what one member does in private: entries, quiet answers, retractions, ids that were or will be
used elsewhere, reading, devices, another relationship. The other writes and reads in both; all answers are compared.
"""

import time
from collections.abc import Callable

import pytest

from tests.noninterference.comparing import Pair, Tally
from tests.noninterference.observing import gets

PAIRS = 25  # a test, so that both workers have work
SUCCESSES = 0.6
Record = Callable[[str, object], None]


@pytest.mark.parametrize("seed", range(5))
async def test_what_one_keeps_private_changes_no_byte_for_the_other(
    pair: Pair, seed: int, record_property: Record
) -> None:
    await no_difference(pair, f"gate {seed}", PAIRS, record_property)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100))
async def test_it_changes_none_in_many_pairs(pair: Pair, seed: int, record_property: Record) -> None:
    await no_difference(pair, f"soak {seed}", 100, record_property)


async def no_difference(pair: Pair, seed: str, pairs: int, record_property: Record) -> None:
    """So many pairs, none of which differs although the worlds do."""
    tally, began = Tally(), time.perf_counter()
    if found := await pair.find(seed.replace(" ", "-"), pairs, tally):
        number, failing, difference = found
        _, what = await pair.shrunk(failing, f"{seed.replace(' ', '-')} {number}", difference)
        pytest.fail(what)
    record_property("measured", f"{seed}: {pairs / (time.perf_counter() - began):.1f} pairs/s")
    assert tally.pairs == pairs
    assert max(tally.answers) < 500, tally.answers
    assert tally.told_apart > pairs * 0.7, "the worlds hardly differ"
    record_property("measured", f"{seed}: revealed in {tally.reveals} of {2 * pairs} worlds")
    assert tally.reveals > pairs * 0.2, "hardly anything sealed was revealed"
    assert tally.share_of_successes() > SUCCESSES, tally.answers
    assert gets(pair.one.document) <= tally.visited
    assert gets(pair.one.document) <= tally.succeeded
