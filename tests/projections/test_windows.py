"""Windows: which days they hold, where a trend looks, and that sliding one gives what adding each up gives."""

from datetime import date, timedelta
from itertools import pairwise
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st

from events.entries import WHO, MyInput
from projections import balances, statistics
from projections.counts import Counts, Series, first_day
from projections.statistics import Occasions, WhoCounts
from projections.trends import Asked, Point, days_of, fold

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

DOMAINS: list[Any] = ["home", "money"]
KEPT_AS: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "asks": [("asks", ("me", "partner"))],
    "initiates": [("initiates", WHO)],
    "decides": [(measure, WHO) for measure in ("decides", "decides:small", "decides:big")],
    "counted": [
        (f"input:{who}{size}", get_args(MyInput)) for who in ("partner", "both", "neither") for size in ("", ":big")
    ],
    "felt": [(f"felt:{item}", tuple("1234567")) for item in ("fair", "close")],
}
ITEMS: dict[str, list[Any]] = {"felt": ["fair", "close"]}
WHEN: dict[str, list[Any]] = {"counted": ["other_decided", "both_decided"]}


def asked(measure: Any, span: int = 0, window: int = 28, step: int = 7, last: date = LAST, **more: Any) -> Asked:
    first = date.fromordinal(max(last.toordinal() - span, 1))
    more = {"item": "fair" if measure == "felt" else None, "when": None, "domain": None} | more
    return Asked(measure, window=window, step=step, first=first, last=last, **more)


def told(measure: str, daily: dict[str, dict[date, int]]) -> Counts:
    """These counts of my own, by value and day."""
    counts = Counts()
    of = counts.asks if measure == "asks" else counts.mine
    for value, by_day in daily.items():
        of.add(measure, Series("home", value, [day.toordinal() for day in by_day], [*by_day.values()]))
        for day in by_day:
            of.begins(day.toordinal())
    return counts


@st.composite
def any_counts(draw: Any, measure: str, days: st.SearchStrategy[int]) -> Counts:
    """Counts of what the measure is kept as, in two domains, some of them on the days of others."""
    counts = Counts()
    tellings = [counts.asks] if measure == "asks" else [counts.mine, counts.partners]
    for of in tellings:
        for kept_as, values in KEPT_AS[measure]:
            for value in values:
                by_day = draw(st.dictionaries(days, st.integers(1, 3), max_size=6))
                of.add(kept_as, Series(draw(st.sampled_from(DOMAINS)), value, list(by_day), list(by_day.values())))
                for day in by_day:
                    of.begins(day)
    return counts


@settings(max_examples=200)
@for_any(st.data(), st.sampled_from(list(KEPT_AS)), st.integers(0, 120), st.sampled_from([7, 28, 60]), steps)
def test_each_point_is_what_a_balance_of_its_window_shows(
    data: st.DataObject, measure: str, span: int, window: int, step: int
) -> None:
    counts = data.draw(any_counts(measure, st.integers(0, span + window + 5).map(lambda ago: LAST.toordinal() - ago)))
    domain = data.draw(st.sampled_from([None, *DOMAINS]))
    item, when = (data.draw(st.sampled_from(some.get(measure, [None]))) for some in (ITEMS, WHEN))
    trend = fold(counts, asked(measure, span, window, step, item=item, when=when, domain=domain))
    tellings: list[Any] = ["mine", "partners"] if measure != "asks" else ["mine"]
    for telling in tellings:
        for point in getattr(trend, telling):
            balance = balances.fold(counts, balances.Asked(point.on, window, domain))
            of = balance if measure == "asks" else getattr(balance, telling)
            assert msgspec.to_builtins(point) == {"on": str(point.on)} | shown(of, measure, item, when)
    assert measure != "asks" or trend.partners == []


def shown(of: Any, measure: str, item: Any, when: Any) -> dict[str, Any]:
    """What a balance shows of a measure, with the band that a trend adds."""
    wide: tuple[float | None, float | None] = (None, None)
    match measure:
        case "counted":
            found = getattr(of.counted, f"when_{when}")
        case "felt":
            found = of.felt.get(item) or statistics.felt([0] * 7)
        case _:
            found = getattr(of, measure)
            wide = statistics.wide_band(found.occasions.me, found.occasions.partner) or wide
    return msgspec.to_builtins(found) | {"wide_low": wide[0], "wide_high": wide[1]}  # type: ignore[no-any-return]


def me(point: Point) -> int:
    assert isinstance(point.counts, WhoCounts)
    return point.counts.me


def test_a_day_enters_a_window_and_leaves_it_after_so_many_days() -> None:
    once = told("decides", {"me": {LAST - timedelta(days=20): 3}})
    seen = fold(once, asked("decides", span=25, window=7, step=1)).mine
    assert [point.on for point in seen if me(point)] == [LAST - timedelta(days=back) for back in range(20, 13, -1)]


def test_what_lies_outside_of_all_windows_is_left_aside() -> None:
    daily = {"me": {LAST: 5, LAST - timedelta(days=27): 4, LAST - timedelta(days=28): 90, LAST + timedelta(days=1): 7}}
    (point,) = fold(told("initiates", daily | {"partner": {LAST: 1}}), asked("initiates")).mine
    assert (point.on, point.counts, point.occasions) == (LAST, WhoCounts(9, 1, 0, 0), Occasions(2, 0))


@pytest.mark.parametrize(("first_day", "reading"), [(27, "leans_to_me"), (28, "unclear")])
def test_a_point_has_the_bar_of_how_far_back_its_telling_reaches(first_day: int, reading: str) -> None:
    days = [LAST - timedelta(days=ago) for ago in range(26)]
    counts = told("initiates", {"me": dict.fromkeys(days[:22], 1), "partner": dict.fromkeys(days[22:], 1)})
    counts.mine.begins((LAST - timedelta(days=first_day)).toordinal())
    (point,) = fold(counts, asked("initiates")).mine
    assert (point.occasions, point.reading) == (Occasions(22, 4), reading)


def test_a_band_is_drawn_from_eight_occasions_on() -> None:
    for n, band in ((7, (None, None)), (8, statistics.wide_band(8, 0))):
        daily = {"me": {LAST - timedelta(days=i): 1 for i in range(n)}}
        (point,) = fold(told("initiates", daily), asked("initiates")).mine
        assert (point.wide_low, point.wide_high) == band


@pytest.mark.parametrize(
    ("measure", "empty"),
    [
        ("initiates", {"counts": dict.fromkeys(WHO, 0), "occasions": {"me": 0, "partner": 0}, "n": 0}),
        ("counted", dict.fromkeys(("not_asked", "asked", "partly", "counted"), 0) | {"n": 0}),
        ("felt", {"n": 0, "counts": [0] * 7}),
    ],
)
def test_a_window_that_holds_nothing_stays_a_gap(measure: str, empty: dict[str, Any]) -> None:
    when = "other_decided" if measure == "counted" else None
    (point,) = fold(Counts(), asked(measure, when=when)).mine
    nulls = dict.fromkeys(("low", "high", "wide_low", "wide_high"))
    nulls |= {"mean": None} if measure == "felt" else dict.fromkeys(("share", "reading"))
    assert msgspec.to_builtins(point) == {"on": "2026-06-15"} | empty | nulls


def test_at_the_beginning_of_the_calendar_windows_are_cut_short() -> None:
    last = date(1, 1, 20)
    daily = told("decides", {"me": {date.min: 2, last: 1}})
    seen = fold(daily, asked("decides", span=19, window=7, step=6, last=last)).mine
    assert [(point.on.day, me(point)) for point in seen] == [(2, 2), (8, 0), (14, 0), (20, 1)]
