"""The release gate finds what it is for: each leak that is planted is found, and soon."""

from collections.abc import Callable

import pytest

from tests.noninterference.comparing import Pair
from tests.noninterference.leaks import LEAKS, planted

PAIRS = 100

# What these show is made of what others show, and nothing is planted in them: to walk them for each leak takes as long
# as to look for it. The gate itself walks them all.
MADE_OF_OTHERS = {
    *("getHome", "getNextStep", "getRoles", "getChanges", "getVoice", "getReview"),
    *("getHelp", "listPauses", "getPause"),
}


@pytest.fixture(autouse=True)
def _fewer_looks(pair: Pair) -> None:
    for one in (pair.one, pair.two):
        paths = one.document["paths"]
        shown = {path: methods["get"]["operationId"] for path, methods in paths.items() if "get" in methods}
        for path in [path for path, name in shown.items() if name in MADE_OF_OTHERS]:
            del paths[path]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("channel", LEAKS)
async def test_a_planted_leak_is_found(
    pair: Pair, channel: str, record_property: Callable[[str, object], None]
) -> None:
    with planted(channel):
        found = await pair.find(f"leak-{list(LEAKS).index(channel)}", PAIRS)
    assert found, "it survived"
    number, _, difference = found
    assert 500 not in [answer.status for answer in difference.answers if answer], "that is no leak, but a crash"
    record_property("measured", f"leak found in pair {number}: {channel}")


def test_there_is_a_leak_for_each_channel() -> None:
    assert len(LEAKS) >= 25
