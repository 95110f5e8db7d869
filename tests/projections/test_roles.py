"""Roles, given what has happened: who initiates and who decides, in one table and in two splits."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from events.entries import WHO, Domain, Who
from events.rules import Recorded
from projections.counts import Counts
from projections.roles import Roles, RolesTold, fold
from projections.statistics import Occasions, WhoCounts
from projections.windows import Window
from tests.support.counting import seen
from tests.support.given import NOW, check_in, mine, partners, settle

IDS = [UUID(int=100 + i) for i in range(400)]


def roles(counts: Counts, domain: Domain | None = None) -> Roles:
    return fold(counts, Window(NOW.date(), 365, domain))


def daily(*told: tuple[Who, Who, int], by: Any = mine) -> list[Recorded]:
    """So many decisions of each kind, one a day."""
    pairs = [(raised, decided) for raised, decided, often in told for _ in range(often)]
    return [
        by(IDS[i], settle(raised_by=raised, decided_by=decided, occurred_at=NOW - timedelta(days=i)))
        for i, (raised, decided) in enumerate(pairs)
    ]


A_MONTH: list[tuple[Who, Who, int]] = [
    ("me", "partner", 21),
    ("partner", "me", 2),
    ("me", "me", 3),
    ("both", "both", 4),
]


def test_the_reference_example() -> None:
    told = roles(seen(*daily(*A_MONTH))).mine
    assert told.table == [[3, 21, 0, 0], [2, 0, 0, 0], [0, 0, 4, 0], [0, 0, 0, 0]]
    assert told.n == 30
    assert (told.crossed.n, told.crossed.counts) == (23, WhoCounts(21, 2, 0, 0))
    assert [told.crossed.share, told.crossed.low, told.crossed.high] == pytest.approx(
        [0.913043, 0.749213, 0.981485], abs=1e-6
    )
    assert (told.alone.n, told.alone.reading, told.alone.counts) == (3, "too_few", WhoCounts(3, 0, 0, 0))


def test_where_there_is_nothing_nothing_is_said() -> None:
    told = roles(Counts()).mine
    assert (told.n, told.crossed.reading, told.alone.reading) == (0, None, None)


def test_the_other_sees_the_same_table_turned() -> None:
    """What the partner recorded from where they stand is seen from mine."""
    told = roles(seen(*daily(*A_MONTH, by=partners)))
    assert told.mine.n == 0
    assert told.partners.table == [[0, 2, 0, 0], [21, 3, 0, 0], [0, 0, 4, 0], [0, 0, 0, 0]]
    assert told.partners.crossed.occasions == Occasions(2, 21)
    assert told.partners.alone.occasions == Occasions(0, 3)


def test_a_check_in_that_tells_both_is_one_too_and_one_that_tells_half_is_none() -> None:
    told = seen(
        mine(IDS[0], check_in(initiated_by="me", decided_by="partner")),
        mine(IDS[1], check_in(initiated_by="me")),
        mine(IDS[2], settle(decided_by="me")),
    )
    assert roles(told).mine.n == 1


def test_an_evening_in_one_domain_is_one_occasion_for_whom_it_names_more_often() -> None:
    said: list[tuple[Who, Who]] = [("me", "partner"), ("me", "partner"), ("partner", "me"), ("me", "me")]
    told = seen(*(mine(IDS[i], settle(raised_by=one, decided_by=other)) for i, (one, other) in enumerate(said)))
    found = roles(told).mine
    assert (found.crossed.occasions, found.alone.occasions) == (Occasions(1, 0), Occasions(1, 0))
    assert found.crossed.counts == WhoCounts(2, 1, 0, 0)


def test_a_domain_and_the_days_narrow_it() -> None:
    told = seen(
        mine(IDS[0], settle(raised_by="me", decided_by="me", domain="money")),
        mine(IDS[1], settle(raised_by="me", decided_by="me", domain="home")),
        mine(IDS[2], settle(raised_by="me", decided_by="me", occurred_at=NOW - timedelta(days=365))),
    )
    assert (roles(told).mine.n, roles(told, "money").mine.n) == (2, 1)


@pytest.mark.parametrize("raised", WHO)
@pytest.mark.parametrize("decided", WHO)
def test_each_of_sixteen_has_its_cell(raised: Who, decided: Who) -> None:
    found: RolesTold = roles(seen(*daily((raised, decided, 1)))).mine
    assert found.table[WHO.index(raised)][WHO.index(decided)] == found.n == 1
