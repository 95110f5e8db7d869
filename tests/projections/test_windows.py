"""Windows: which days they hold, where a trend looks, and that sliding one gives what adding each up gives."""

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st

from events.entries import WHO
from projections import statistics
from projections.balances import first_day
from projections.trends import Asked, Point, _points, _sums, days_of

LAST = date(2026, 6, 15)
dates = st.dates()
windows = st.integers(7, 366)
steps = st.integers(1, 31)


# One window


@pytest.mark.parametrize(
    ("on", "window", "first"),
    [
        (date(2026, 6, 28), 28, date(2026, 6, 1)),
        (date(2026, 6, 7), 7, date(2026, 6, 1)),
        (date(2024, 12, 31), 366, date(2024, 1, 1)),
        (date(2026, 3, 1), 7, date(2026, 2, 23)),
    ],
)
def test_a_window_ends_on_its_date_and_holds_that_many_days(on: date, window: int, first: date) -> None:
    assert first_day(on, window) == first


@for_any(dates.filter(lambda on: on > date(2, 2, 2)), windows)
def test_first_and_last_day_both_belong_to_it(on: date, window: int) -> None:
    assert (on - first_day(on, window)).days + 1 == window


@pytest.mark.parametrize(("on", "window"), [(date.min, 7), (date(1, 1, 7), 8), (date(1, 12, 31), 366)])
def test_no_window_begins_before_the_calendar(on: date, window: int) -> None:
    assert first_day(on, window) == date.min


def test_the_first_window_that_fits_into_the_calendar_is_whole() -> None:
    assert first_day(date(1, 1, 7), 7) == date.min
    assert first_day(date(1, 1, 8), 7) == date(1, 1, 2)


# Where a trend looks


@pytest.mark.parametrize(
    ("first", "step", "days"),
    [
        (date(2026, 6, 15), 7, [15]),
        (date(2026, 6, 9), 7, [15]),
        (date(2026, 6, 8), 7, [8, 15]),
        (date(2026, 6, 1), 7, [1, 8, 15]),
        (date(2026, 6, 2), 7, [8, 15]),
        (date(2026, 6, 12), 1, [12, 13, 14, 15]),
    ],
)
def test_looks_from_the_last_day_back_to_the_first_and_lists_forward(first: date, step: int, days: list[int]) -> None:
    assert days_of(first, LAST, step) == [date(2026, 6, day) for day in days]


@for_any(dates, st.integers(0, 400), steps)
def test_no_point_is_missing_or_lies_outside(last: date, span: int, step: int) -> None:
    first = date.fromordinal(max(last.toordinal() - span, 1))
    days = days_of(first, last, step)
    assert days[-1] == last
    assert first <= days[0] < first + timedelta(days=step)
    assert {(b - a).days for a, b in pairwise(days)} <= {step}


# Sliding


def asked(measure: Any, span: int = 0, window: int = 28, step: int = 7, last: date = LAST) -> Asked:
    first = date.fromordinal(max(last.toordinal() - span, 1))
    return Asked(measure, "fair" if measure == "felt" else None, None, window, step, first, last)


def points(asked: Asked, daily: dict[str, dict[date, int]]) -> list[Point]:
    """The points over counts by value and day, none of which lies before the first window: no others are read."""
    since = first_day(asked.first, asked.window)
    days = (asked.last - since).days + 1
    read = [(value, day, n) for value, by_day in daily.items() for day, n in by_day.items()]
    told = ((value, n, [day.toordinal()]) for value, day, n in read if since <= day <= asked.last)
    return _points(asked, since, _sums(since, days, told))


VALUES = {
    "initiates": WHO,
    "decides": WHO,
    "counted": ("not_asked", "asked", "partly", "counted"),
    "felt": tuple("1234567"),
}
SUMMED: dict[str, Any] = {
    "initiates": statistics.split,
    "decides": statistics.split,
    "counted": statistics.counted,
    "felt": statistics.felt,
}


@settings(max_examples=200)
@for_any(st.data(), st.sampled_from(list(VALUES)), st.integers(0, 120), st.integers(7, 60), steps)
def test_each_point_is_what_its_own_days_add_up_to(
    data: st.DataObject, measure: str, span: int, window: int, step: int
) -> None:
    days = st.integers(0, span + window + 5).map(lambda back: LAST - timedelta(days=back))
    daily = data.draw(
        st.dictionaries(st.sampled_from(VALUES[measure]), st.dictionaries(days, st.integers(1, 9), max_size=12))
    )
    for point in points(asked(measure, span, window, step), daily):
        held = {point.on - timedelta(days=i) for i in range(window)}
        sums = {value: sum(n for day, n in by_day.items() if day in held) for value, by_day in daily.items()}
        assert msgspec.to_builtins(point) == {"on": str(point.on)} | msgspec.to_builtins(SUMMED[measure](sums))


def test_a_day_enters_a_window_and_leaves_it_after_so_many_days() -> None:
    once = {"me": {LAST - timedelta(days=20): 3}}
    seen = points(asked("decides", span=25, window=7, step=1), once)
    assert [point.on for point in seen if point.me] == [LAST - timedelta(days=back) for back in range(20, 13, -1)]


def test_a_trend_ends_with_the_window_that_a_balance_shows() -> None:
    daily = {"me": {LAST: 5, LAST - timedelta(days=27): 4, LAST - timedelta(days=28): 90}, "partner": {LAST: 1}}
    (point,) = points(asked("initiates"), daily)
    assert (point.on, point.me, point.partner, point.n) == (LAST, 9, 1, 10)


@pytest.mark.parametrize(
    ("measure", "empty"),
    [
        ("initiates", dict.fromkeys(("me", "partner", "both", "neither"), 0) | {"n": 0}),
        ("counted", dict.fromkeys(("not_asked", "asked", "partly", "counted"), 0) | {"n": 0}),
        ("felt", {"n": 0, "counts": [0] * 7}),
    ],
)
def test_a_window_that_holds_nothing_stays_a_gap(measure: str, empty: dict[str, Any]) -> None:
    (point,) = points(asked(measure), {})
    nulls = {"mean": None} if measure == "felt" else dict.fromkeys(("share", "low", "high", "reading"))
    assert msgspec.to_builtins(point) == {"on": "2026-06-15"} | empty | nulls


def test_at_the_beginning_of_the_calendar_windows_are_cut_short() -> None:
    last = date(1, 1, 20)
    daily = {"me": {date.min: 2, last: 1}}
    seen = points(asked("decides", span=19, window=7, step=6, last=last), daily)
    assert [(point.on.day, point.me) for point in seen] == [(2, 2), (8, 0), (14, 0), (20, 1)]
