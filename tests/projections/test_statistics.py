"""What a count can carry: the reference values of the contract, every gate on both sides, and independent sums."""

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st
from scipy.stats import beta

from projections import statistics
from projections.statistics import (
    Counted,
    Felt,
    Split,
    agreement,
    all_counted,
    counted,
    felt,
    jeffreys,
    log_evidence,
    split,
    splits,
)


def of(me: int, n: int, **more: int) -> Split:
    """The split of n, of which me are mine."""
    return split({"me": me, "partner": n - me, **more})


def six_digits(number: float | None) -> float | None:
    return None if number is None else round(number, 6)


# Reference values: me, n, share, low, high, E, reading

REFERENCE = [
    (0, 5, None, None, None, 7.875, "too_few"),
    (10, 10, None, 0.782804, 1, 180.425781, "unclear"),
    (5, 10, None, 0.223529, 0.776471, 0.246094, "unclear"),
    (17, 20, 0.85, 0.651422, 0.955869, 39.043865, "unclear"),
    (18, 20, 0.9, 0.716147, 0.978628, 273.307056, "leans_to_me"),
    (2, 20, 0.1, 0.021372, 0.283853, 273.307056, "leans_to_partner"),
    (30, 40, 0.75, 0.601694, 0.863607, 23.443987, "unclear"),
    (25, 50, 0.5, 0.364686, 0.635314, 0.112275, "about_even"),
    (70, 100, 0.7, 0.605453, 0.783159, 298.000166, "leans_to_me"),
]


@pytest.mark.parametrize(("me", "n", "share", "low", "high", "evidence", "reading"), REFERENCE)
def test_gives_the_reference_values(
    me: int, n: int, share: Any, low: Any, high: Any, evidence: float, reading: str
) -> None:
    found = of(me, n)
    assert (six_digits(found.share), six_digits(found.low), six_digits(found.high)) == (share, low, high)
    assert six_digits(math.exp(log_evidence(me, n - me))) == evidence
    assert (found.me, found.partner, found.n, found.reading) == (me, n - me, n, reading)


def test_the_interval_of_none_of_five_is_known_though_it_is_not_shown() -> None:
    low, high = jeffreys(0, 5)
    assert (low, six_digits(high)) == (0, 0.379377)


@pytest.mark.parametrize(("n", "smallest"), [(20, 18), (30, 25), (40, 32), (50, 38), (80, 57), (100, 69), (200, 128)])
def test_leans_from_the_smallest_count_on(n: int, smallest: int) -> None:
    leaning = [me for me in range(n + 1) if of(me, n).reading == "leans_to_me"]
    assert leaning == list(range(smallest, n + 1))
    assert [me for me in range(n + 1) if of(me, n).reading == "leans_to_partner"] == list(range(n - smallest + 1))


@pytest.mark.parametrize(
    ("me", "n", "reading"),
    [(267, 450, "leans_to_me"), (183, 450, "leans_to_partner"), (181, 295, "unclear"), (114, 295, "unclear")],
)
def test_an_evidence_of_100_leans_and_one_just_below_does_not(me: int, n: int, reading: str) -> None:
    assert float(exact_evidence(me, n - me)) == pytest.approx(100, abs=0.006)
    assert of(me, n).reading == reading


def test_about_even_needs_42() -> None:
    assert not [n for n in range(42) if any(of(me, n).reading == "about_even" for me in range(n + 1))]
    assert [me for me in range(43) if of(me, 42).reading == "about_even"] == [21]


# Gates


@for_any(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300))))
def test_many_together_are_what_each_is_alone(windows: list[tuple[int, int]]) -> None:
    by_who = [{"me": me, "partner": partner} for me, partner in windows]
    by_input = [{"asked": me, "counted": partner} for me, partner in windows]
    statistics._known.clear()
    together = splits(by_who), all_counted(by_input)
    statistics._known.clear()
    assert together == ([split(one) for one in by_who], [counted(one) for one in by_input])


def test_below_8_there_are_only_counts() -> None:
    assert of(7, 7) == Split(7, 0, 0, 0, 7, None, None, None, "too_few")


@pytest.mark.parametrize(("me", "n"), [(4, 8), (8, 8), (0, 19), (10, 19), (19, 19)])
def test_from_8_to_19_there_is_an_interval_and_no_share(me: int, n: int) -> None:
    found = of(me, n)
    assert (found.low, found.high) == jeffreys(me, n - me)
    assert (found.share, found.reading) == (None, "unclear")


def test_from_20_there_is_a_share() -> None:
    assert (of(19, 19).share, of(20, 20).share) == (None, 1)
    assert (of(19, 19).reading, of(20, 20).reading) == ("unclear", "leans_to_me")


def test_both_and_neither_are_shown_and_carry_nothing() -> None:
    assert of(4, 7, both=100, neither=100) == Split(4, 3, 100, 100, 7, None, None, None, "too_few")
    assert of(18, 20, both=9, neither=3) == Split(18, 2, 9, 3, 20, 0.9, *jeffreys(18, 2), "leans_to_me")


@pytest.mark.parametrize("counts", [{"both": 1}, {"neither": 1}, {"both": 30, "neither": 30}])
def test_where_only_both_or_neither_are_there_it_is_too_few(counts: dict[str, int]) -> None:
    found = split(counts)
    assert (found.n, found.share, found.low, found.high, found.reading) == (0, None, None, None, "too_few")


def test_where_nothing_is_there_nothing_is_read() -> None:
    assert split({}) == Split(0, 0, 0, 0, 0, None, None, None, None)
    assert split({"me": 0, "both": 0}) == split({})


def test_one_side_without_any_has_the_limits_0_and_1() -> None:
    assert (of(0, 30).low, of(30, 30).high) == (0, 1)
    assert 0 < of(1, 30).low < of(29, 30).high < 1  # type: ignore[operator]


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({}, Counted(0, 0, 0, 0, 0, None, None, None, None)),
        ({"not_asked": 1}, Counted(1, 0, 0, 0, 1, None, None, None, "too_few")),
        ({"asked": 3, "counted": 4}, Counted(0, 3, 0, 4, 7, None, None, None, "too_few")),
        ({"asked": 3, "counted": 5}, Counted(0, 3, 0, 5, 8, None, *jeffreys(5, 3), "shown")),
        ({"not_asked": 4, "partly": 15}, Counted(4, 0, 15, 0, 19, None, *jeffreys(15, 4), "shown")),
        (
            {"not_asked": 1, "asked": 2, "partly": 3, "counted": 14},
            Counted(1, 2, 3, 14, 20, 0.85, *jeffreys(17, 3), "shown"),
        ),
        ({"counted": 20}, Counted(0, 0, 0, 20, 20, 1, jeffreys(20, 0)[0], 1, "shown")),
        ({"asked": 20}, Counted(0, 20, 0, 0, 20, 0, 0, jeffreys(0, 20)[1], "shown")),
    ],
)
def test_counted_has_the_same_gates_and_no_verdict(counts: dict[str, int], found: Counted) -> None:
    assert counted(counts) == found


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({}, Felt(0, None, [0, 0, 0, 0, 0, 0, 0])),
        ({"7": 2}, Felt(2, None, [0, 0, 0, 0, 0, 0, 2])),
        ({"1": 1, "7": 2}, Felt(3, 5, [1, 0, 0, 0, 0, 0, 2])),
        ({"2": 1, "3": 2, "4": 3, "5": 4, "6": 5}, Felt(15, 70 / 15, [0, 1, 2, 3, 4, 5, 0])),
    ],
)
def test_a_feeling_has_a_mean_from_3_answers_on(counts: dict[str, int], found: Felt) -> None:
    assert felt(counts) == found


def test_two_tellings_agree_or_not_from_8_on() -> None:
    assert agreement([[4, 1], [1, 1]]) == (7, None)
    assert agreement([[4, 1], [2, 1]]) == (8, 5 / 8)
    assert agreement([[0, 4], [4, 0]]) == (8, 0)
    assert agreement([[0] * 7 for _ in range(7)]) == (0, None)


# Independent sums


def exact_evidence(me: int, partner: int) -> Fraction:
    """E without a beta function: B(i + 1/2, k + 1/2) / B(1/2, 1/2) = C(2i, i) C(2k, k) / (4^n C(n, i)), n = i + k."""
    n = me + partner
    return Fraction(math.comb(2 * me, me) * math.comb(2 * partner, partner), 2**n * math.comb(n, me))


def mass_below(x: float, me: int, partner: int) -> float:
    """The share of Beta(me + 1/2, partner + 1/2) below x: with x = sin² t it is an integral of sines (Simpson)."""
    steps, end = 2000, math.asin(math.sqrt(x))
    weights = [1, *(4 if i % 2 else 2 for i in range(1, steps)), 1]
    at = [math.sin(end * i / steps) ** (2 * me) * math.cos(end * i / steps) ** (2 * partner) for i in range(steps + 1)]
    whole = math.pi / 2 * float(exact_evidence(me, partner) / 2 ** (me + partner))
    return math.fsum(w * a for w, a in zip(weights, at, strict=True)) * end / steps / 3 / whole


@for_any(st.integers(0, 400), st.integers(0, 400))
def test_the_evidence_is_the_exact_ratio(me: int, partner: int) -> None:
    exact = exact_evidence(me, partner)
    assert log_evidence(me, partner) == pytest.approx(math.log(exact.numerator) - math.log(exact.denominator), abs=1e-9)


@settings(max_examples=50)
@for_any(st.integers(1, 150), st.integers(1, 150))
def test_a_fortieth_lies_below_the_interval_and_a_fortieth_above(me: int, partner: int) -> None:
    low, high = jeffreys(me, partner)
    assert mass_below(low, me, partner) == pytest.approx(0.025, abs=1e-9)
    assert mass_below(high, me, partner) == pytest.approx(0.975, abs=1e-9)


@for_any(st.integers(0, 5000), st.integers(0, 5000))
def test_the_limits_are_quantiles_of_the_beta_distribution(me: int, partner: int) -> None:
    low, high = beta.ppf([0.025, 0.975], me + 0.5, partner + 0.5)
    limits = (low if me else 0, high if partner else 1)
    assert jeffreys(me, partner) == pytest.approx(limits, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("n", [*range(20, 60), 100, 365])
def test_the_reading_follows_evidence_and_interval_for_every_count(n: int) -> None:
    for me in range(n + 1):
        low, high = beta.ppf([0.025, 0.975], me + 0.5, n - me + 0.5)
        even = "about_even" if low > 0.35 and high < 0.65 else "unclear"
        towards = "leans_to_me" if 2 * me > n else "leans_to_partner"
        assert of(me, n).reading == (towards if exact_evidence(me, n - me) >= 100 else even)


# Whatever the counts

counts_of_two = st.tuples(st.integers(0, 3000), st.integers(0, 3000))
MIRRORED = {"leans_to_me": "leans_to_partner", "leans_to_partner": "leans_to_me"}


@for_any(counts_of_two, st.integers(0, 9), st.integers(0, 9))
def test_seen_from_the_other_side_all_is_mirrored(two: tuple[int, int], both: int, neither: int) -> None:
    me, partner = two
    one = split({"me": me, "partner": partner, "both": both, "neither": neither})
    other = split({"me": partner, "partner": me, "both": both, "neither": neither})
    assert (other.me, other.partner, other.both, other.neither, other.n) == (partner, me, both, neither, one.n)
    assert other.reading == MIRRORED.get(one.reading or "", one.reading)
    assert mirrored(other.share) == pytest.approx(one.share)
    assert (mirrored(other.high), mirrored(other.low)) == pytest.approx((one.low, one.high), abs=1e-12)


def mirrored(number: float | None) -> float | None:
    return None if number is None else 1 - number


@for_any(counts_of_two)
def test_the_share_lies_in_its_interval(two: tuple[int, int]) -> None:
    found = split({"me": two[0], "partner": two[1]})
    if found.share is not None and found.low is not None and found.high is not None:
        assert 0 <= found.low <= found.share <= found.high <= 1


@for_any(counts_of_two)
def test_a_lean_excludes_the_middle(two: tuple[int, int]) -> None:
    found = split({"me": two[0], "partner": two[1]})
    if found.reading == "leans_to_me":
        assert found.low is not None
        assert found.low > 0.5
    if found.reading == "leans_to_partner":
        assert found.high is not None
        assert found.high < 0.5
