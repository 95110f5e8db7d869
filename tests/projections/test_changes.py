"""Changes, given what has happened: a quarter beside the one before, and when that is said to have moved."""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from events.rules import Recorded
from projections import statistics
from projections.changes import COUNTED, SPLITS, Asked, Changes, Quarter, compared, fold
from projections.counts import Counts
from projections.statistics import Occasions
from tests.support.counting import seen
from tests.support.given import ask, check_in, mine, partners, settle

IDS = [UUID(int=100 + i) for i in range(400)]
SUMMER = Quarter(2025, 3)


def changes(counts: Counts, quarter: Quarter = SUMMER, **asked: Any) -> Changes:
    return fold(counts, Asked(quarter, **asked))


def at(day: date) -> Any:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def told(quarter: Quarter, first_id: int, *who: str, by: Any = mine) -> list[Recorded]:
    """A check-in a day from the first day of a quarter on, each in a domain of its own day."""
    days = [quarter.first + timedelta(days=i) for i in range(len(who))]
    return [
        by(IDS[first_id + i], check_in(occurred_at=at(day), initiated_by=one))
        for i, (day, one) in enumerate(zip(days, who, strict=True))
    ]


# The calendar


@pytest.mark.parametrize(
    ("quarter", "first", "last", "before"),
    [
        (Quarter(2026, 1), date(2026, 1, 1), date(2026, 3, 31), "2025-Q4"),
        (Quarter(2024, 2), date(2024, 4, 1), date(2024, 6, 30), "2024-Q1"),
        (Quarter(2026, 4), date(2026, 10, 1), date(2026, 12, 31), "2026-Q3"),
        (Quarter(9999, 4), date(9999, 10, 1), date(9999, 12, 31), "9999-Q3"),
    ],
)
def test_a_quarter_is_three_months(quarter: Quarter, first: date, last: date, before: str) -> None:
    assert (quarter.first, quarter.last, str(quarter.before)) == (first, last, before)


def test_days_outside_of_both_are_left_aside() -> None:
    days = [
        date(2025, 3, 31),
        date(2025, 4, 1),
        date(2025, 6, 30),
        date(2025, 7, 1),
        date(2025, 9, 30),
        date(2025, 10, 1),
    ]
    found = changes(
        seen(*(mine(IDS[i], check_in(occurred_at=at(day), initiated_by="me")) for i, day in enumerate(days)))
    )
    assert (found.mine.initiates.before.n, found.mine.initiates.now.n) == (2, 2)


# What moved


def moved(before: tuple[int, int], now: tuple[int, int]) -> Changes:
    """So many occasions of me and of the partner, before and now."""
    first = told(SUMMER.before, 0, *["me"] * before[0], *["partner"] * before[1])
    return changes(seen(*first, *told(SUMMER, 200, *["me"] * now[0], *["partner"] * now[1])))


def test_what_moved_is_said_with_its_difference() -> None:
    found = moved((27, 3), (12, 18)).mine.initiates
    assert (found.before.occasions, found.now.occasions) == (Occasions(27, 3), Occasions(12, 18))
    assert found.reading == "moved_to_partner"
    assert found.difference == pytest.approx(0.4 - 0.9)
    assert moved((12, 18), (27, 3)).mine.initiates.reading == "moved_to_me"


@pytest.mark.parametrize(
    ("before", "now", "reading"),
    [
        ((10, 10), (10, 9), "too_few"),
        ((10, 9), (30, 30), "too_few"),
        ((20, 10), (10, 20), "unclear"),  # K = 6
        ((40, 40), (40, 40), "steady"),
        ((10, 10), (10, 10), "unclear"),  # the interval is too wide
        ((0, 0), (0, 0), "too_few"),
    ],
)
def test_what_is_said_else(before: tuple[int, int], now: tuple[int, int], reading: str) -> None:
    found = moved(before, now).mine.initiates
    assert found.reading == reading
    assert (found.difference is None) == (found.low is None) == (found.high is None) == (reading == "too_few")


def test_in_one_domain_more_is_needed() -> None:
    before, now = (19, 11), (4, 26)
    evidence = statistics.log_change(*before, *now)
    assert math.log(100) < evidence < math.log(1000)
    for bar in (SPLITS, COUNTED):
        assert compared(before, now, bar, one_domain=False).direction == "down"
        assert compared(before, now, bar, one_domain=True).direction == "unclear"


def test_more_is_needed_than_the_design_asks_for() -> None:
    before, now = (16, 14), (4, 26)
    assert math.log(50) < statistics.log_change(*before, *now) < math.log(100)
    for bar in (SPLITS, COUNTED):
        assert compared(before, now, bar, one_domain=False).direction == "unclear"


def test_the_reference_differences() -> None:
    found = compared((20, 5), (5, 20), SPLITS, one_domain=False)
    # The design cuts the lower end off at six digits; rounded it is -.768746.
    assert (found.difference, found.low, found.high) == pytest.approx((-0.6, -0.768745, -0.339499), abs=1.1e-6)
    found = compared((10, 10), (10, 10), SPLITS, one_domain=False)
    assert (found.difference, found.low, found.high) == pytest.approx((0, -0.29221, 0.29221), abs=1e-6)


# Whose


def test_each_figure_is_whose_it_is() -> None:
    quarter = SUMMER
    found = changes(
        seen(
            mine(IDS[0], ask(occurred_at=at(quarter.first))),
            partners(IDS[1], ask(occurred_at=at(quarter.first))),
            mine(IDS[2], settle(occurred_at=at(quarter.first), decided_by="partner", my_input="counted")),
            mine(IDS[3], settle(occurred_at=at(quarter.first), decided_by="both", my_input="asked"), "private"),
            partners(IDS[4], settle(occurred_at=at(quarter.before.last), decided_by="partner", my_input="asked")),
        )
    )
    assert (found.asks.now.counts.me, found.asks.now.counts.partner) == (1, 1)
    assert (found.mine.decides.now.counts.partner, found.mine.decides.now.counts.both) == (1, 1)
    assert found.mine.counted.now.when_other_decided.counted == 1
    assert found.mine.counted.now.when_both_decided.asked == 1
    assert found.partners.decides.before.counts.me == 1
    assert found.partners.counted.before.when_other_decided.asked == 1


@pytest.mark.parametrize(("counted", "reading"), [(7, "too_few"), (8, "more")])
def test_counted_is_compared_from_eight_answers_on(counted: int, reading: str) -> None:
    def said(quarter: Quarter, first_id: int, how: Any, often: int) -> list[Recorded]:
        days = [at(quarter.first + timedelta(days=i)) for i in range(often)]
        return [
            mine(IDS[first_id + i], settle(occurred_at=day, decided_by="partner", my_input=how))
            for i, day in enumerate(days)
        ]

    found = changes(seen(*said(SUMMER.before, 0, "not_asked", 8), *said(SUMMER, 200, "counted", counted)))
    assert found.mine.counted.reading == reading
