"""How soon the app can be used on a slow phone: a network of 150 ms and 1.6 Mbit/s, a processor four times as slow.

`make test` looks at what makes it so on every machine, however busy: how much is loaded, and how many answers have to
come one after another. The time itself is only worth something where nothing else runs, and belongs to `make soak`.
"""

from collections.abc import Callable
from statistics import median

import pytest

from tests.support.phones import Json
from tests.support.wire import Wire
from tests.web_app.conftest import Tell, session_of
from tests.web_app.test_app import FIRST_LOAD_BYTES
from tests.web_app.test_stories import record_a_little

INTERACTIVE_MILLISECONDS = 1500
ROUNDS = 9
# The page, then the script beside its texts, then who I am beside my relationships: what each visit cannot do without.
TRIPS = {"signing_in": 2, "signed_in": 3, "coming_back": 0}

Visits = dict[str, list[Json]]


@pytest.fixture
def visited(tell: Tell, wire: Wire) -> Callable[[int, str], Visits]:
    one, two = wire.run(wire.couple())
    wire.run(record_a_little(wire, one, two))
    return lambda rounds, locale: tell("performance", session=session_of(one), rounds=rounds, locale=locale)


@pytest.mark.parametrize(("locale", "other"), [("en-GB", "/app/de"), ("de-DE", "/app/en")])
def test_little_has_to_come_before_the_app_can_be_used(
    visited: Callable[[int, str], Visits], locale: str, other: str
) -> None:
    for kind, [visit] in visited(1, locale).items():
        assert visit["trips"] <= TRIPS[kind], (kind, visit["calls"])
        assert sum(call["bytes"] for call in visit["calls"]) <= FIRST_LOAD_BYTES
        assert not [call for call in visit["calls"] if call["name"].startswith(other)]


@pytest.mark.soak
def test_a_slow_phone_can_be_used_within_one_and_a_half_seconds(
    visited: Callable[[int, str], Visits], record_property: Callable[[str, object], None]
) -> None:
    medians = {kind: median(visit["ms"] for visit in seen) for kind, seen in visited(ROUNDS, "en-GB").items()}
    record_property("measured", f"interactive on a slow phone, ms: {medians}")
    assert max(medians.values()) <= INTERACTIVE_MILLISECONDS
