"""Nobody's request slows others: an uninvolved member's call, and leaving, beside what is meant to slow them.

Everything here is measured, so it runs with `make soak` alone; what it rests on is counted elsewhere.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from msgspec import Struct, field

from tests.faults import attacks
from tests.faults.attacks import AT, BOTH, Caller, Target, under
from tests.faults.site import CUT, Phone, Site, another_couple, couple, site

pytestmark = [pytest.mark.database, pytest.mark.soak]

P99_MILLISECONDS, LEAVE_MILLISECONDS = 50.0, 100.0
TIMES = 5  # that somebody leaves
SECONDS = 4.0  # that is looked at before somebody does
PAUSE_SECONDS = 0.01
WARM_SECONDS = 1.0
LONG = 30_000
TOLD_BEFORE = 10_000


class Row(Struct):
    """What was measured beside one attack, in milliseconds."""

    name: str
    me: list[float] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    failed: int = 0

    def __str__(self) -> str:
        p50, p99 = np.percentile(self.me, [50, 99])
        return (
            f"{self.name:32} GET /v1/me p50 {p50:5.1f} p99 {p99:6.1f} max {max(self.me):6.1f} ms, n {len(self.me)}, "
            f"failed {self.failed};  leave median {np.median(self.left):5.1f} max {max(self.left):6.1f} ms, "
            f"n {len(self.left)}"
        )


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    with site() as started:
        yield started


def milliseconds(phone: Phone, method: str, path: str, status: int) -> float:
    began = time.perf_counter()
    found, said = phone.send(method, path)
    taken = (time.perf_counter() - began) * 1000
    assert found == status, said
    return taken


def decided(phone: Phone) -> str:
    name = str(uuid4())
    phone.expect(201, "PUT", f"/v1/relationships/{{rid}}/decisions/{name}", BOTH)
    return name


def measure(
    row: Row,
    bystander: Phone,
    pairs: Sequence[tuple[Phone, Phone]],
    attack: Callable[[Target], None],
    always: Target | None = None,
) -> None:
    """Somebody attacks in each of the relationships in turn, or always in one, and in each the other leaves."""
    for attacker, other in pairs:
        target = Target(attacker.port, attacker.token, attacker.rid, decided(other))
        with under(attack, always or target):
            time.sleep(WARM_SECONDS)
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                try:
                    row.me.append(milliseconds(bystander, "GET", "/v1/me", 200))
                except CUT:
                    row.failed += 1
                time.sleep(PAUSE_SECONDS)
            other.hang_up()
            with suppress(*CUT):
                other.send("GET", "/v1/me")  # a phone that is in use is connected
            row.left.append(milliseconds(other, "POST", "/v1/relationships/{rid}/leave", 204))


def fill(target: Target, entries: Iterator[list[attacks.Entry]]) -> None:
    with closing(Caller(target)) as caller:
        for queue in entries:
            assert caller.sync(queue) == 200


def told_before(target: Target) -> Iterator[list[attacks.Entry]]:
    for _ in range(TOLD_BEFORE // 500):
        yield attacks.telling_and_taking_back(target.decision)


def a_long_history() -> Iterator[list[attacks.Entry]]:
    bodies: list[tuple[str, attacks.Entry]] = [
        ("request", {"occurred_at": AT, "domain": "home", "text": "x"}),
        ("check_in", {"occurred_at": AT, "felt": {"close": 5}, "audience": "shared"}),
        ("decision", BOTH),
        ("opening", {"occurred_at": AT, "domain": "home"}),
    ]
    for _ in range(LONG // 500):
        yield [attacks.entry(*bodies[number % len(bodies)]) for number in range(500)]


def told(row: Row, record_property: Callable[[str, Any], None]) -> None:
    record_property("measured", str(row))
    print(row)
    assert np.percentile(row.me, 99) <= P99_MILLISECONDS, row
    assert max(row.left) <= LEAVE_MILLISECONDS, row
    assert row.failed == 0, row


def related(first: tuple[Phone, Phone], times: int = TIMES) -> list[tuple[Phone, Phone]]:
    """So many relationships of the two."""
    return [first, *(another_couple(*first) for _ in range(times - 1))]


ATTACKS = [attacks.nothing, attacks.a_queue_with_a_nan, attacks.idle_connections]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_beside(place: Site, attack: Callable[[Target], None], record_property: Any) -> None:
    bystander, pairs = Phone(place.port).sign_in(place), related(couple(place))
    row = Row(attack.__name__.replace("_", " "))
    measure(row, bystander, pairs, attack)
    told(row, record_property)


def test_beside_a_loop_of_telling(place: Site, record_property: Any) -> None:
    bystander, pairs = Phone(place.port).sign_in(place), related(couple(place))
    for attacker, other in pairs:
        target = Target(attacker.port, attacker.token, attacker.rid, decided(other))
        fill(target, told_before(target))
    row = Row("a loop of telling")
    measure(row, bystander, pairs, attacks.a_loop_of_telling)
    told(row, record_property)


def test_beside_long_reads(place: Site, record_property: Any) -> None:
    bystander, first = Phone(place.port).sign_in(place), couple(place)
    fill(Target(place.port, first[0].token, first[0].rid), a_long_history())
    # The one that is read is left in the end.
    long = Target(place.port, first[0].token, first[0].rid)
    row = Row(f"long reads of {LONG:,} events")
    measure(row, bystander, related(first)[::-1], attacks.long_reads, long)
    told(row, record_property)


def test_beside_a_name_server_that_hangs(record_property: Any) -> None:
    with site(("-m", "tests.faults.hanging_names")) as place:
        bystander, pairs = Phone(place.port).sign_in(place), related(couple(place))
        row = Row("a name server that hangs")
        measure(row, bystander, pairs, attacks.nothing)
    told(row, record_property)
