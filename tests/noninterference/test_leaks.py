"""The release gate finds what it is for: each leak that is planted is found, and soon."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.noninterference.comparing import Pair
from tests.noninterference.leaks import LEAKS, planted

PAIRS = 150

# What these show is made of what others show, and nothing is planted in them: to walk them for each leak takes as long
# as to look for it. The gate itself walks them all.
MADE_OF_OTHERS = {
    *("getHome", "getNextStep", "getRoles", "getChanges", "getVoice", "getReview"),
    *("getHelp", "listPauses", "getPause"),
}


# But where it is they that leak.
LEAK_THEMSELVES = {
    "roles with private events": "getRoles",
    "the month in words, with private counts": "getReview",
    "a first screen whose figures count what is private": "getHome",
    "voice, over private views": "getVoice",
}


@contextmanager
def fewer_looks(pair: Pair, channel: str) -> Iterator[None]:
    """Only what can tell is looked at, until the block ends."""
    unseen = MADE_OF_OTHERS - {LEAK_THEMSELVES.get(channel)}
    with pytest.MonkeyPatch.context() as patch:
        for world in (pair.one, pair.two):
            paths = world.document["paths"]
            kept = {path: one for path, one in paths.items() if one.get("get", {}).get("operationId") not in unseen}
            patch.setitem(world.document, "paths", kept)
        yield


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("channel", LEAKS)
async def test_a_planted_leak_is_found(
    pair: Pair, channel: str, record_property: Callable[[str, object], None]
) -> None:
    with fewer_looks(pair, channel), planted(channel):
        found = await pair.find(f"leak-{list(LEAKS).index(channel)}", PAIRS)
    assert found, "it survived"
    number, _, difference = found
    assert 500 not in [answer.status for answer in difference.answers if answer], "that is no leak, but a crash"
    record_property("measured", f"leak found in pair {number}: {channel}")


def test_there_is_a_leak_for_each_channel() -> None:
    assert len(LEAKS) >= 25
    assert LEAK_THEMSELVES.keys() <= LEAKS.keys()
