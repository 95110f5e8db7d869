"""What a count can carry: the reference values of the contract, every gate on both sides, and independent sums."""

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st
from scipy.stats import beta

from projections import statistics
from projections.statistics import (
    Agreement,
    Answers,
    Felt,
    Looks,
    Occasions,
    Split,
    SplitReading,
    WhoCounts,
    agreement,
    all_answers,
    all_felt,
    answers,
    bar,
    difference,
    felt,
    jeffreys,
    log_change,
    log_evidence,
    proportion,
    split,
    splits,
    tellings,
    wide_band,
    wide_bands,
)


def looks(window: int, one_domain: bool = False, from_first_day: bool = False) -> Looks:
    """How often a figure can be looked at: over all domains, in a window that has moved on, unless told otherwise."""
    return Looks(window, one_domain, from_first_day)


def of(me: int, partner: int, seen: Looks | None = None) -> Split:
    """The split of so many occasions, an entry each, in a window of 365 days."""
    return split({"me": me, "partner": partner}, me, partner, seen or looks(365))


def six_digits(numbers: tuple[float, ...] | None) -> tuple[float, ...] | None:
    return None if numbers is None else tuple(round(number, 6) for number in numbers)


# Reference values


@pytest.mark.parametrize(
    ("me", "partner", "evidence"),
    [
        (9, 0, 94.960938),
        (10, 0, 180.425781),
        (12, 0, 660.194336),
        (18, 2, 273.307056),
        (19, 1, 3370.787029),
        (20, 0, 131460.694141),
        (25, 5, 208.185767),
        (26, 4, 1179.719348),
        (32, 8, 278.932633),
        (33, 7, 1208.708075),
        (70, 30, 298.000166),
        (71, 29, 712.169889),
    ],
)
def test_the_evidence_against_an_even_split(me: int, partner: int, evidence: float) -> None:
    assert round(math.exp(log_evidence(me, partner)), 6) == evidence


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (looks(365), 130.356),
        (looks(90), 528.667),
        (looks(28), 1699.286),
        (looks(365, one_domain=True), 2005.479),
        (looks(90, one_domain=True), 8133.333),
        (looks(28, one_domain=True), 26142.857),
        *[(looks(window, from_first_day=True), 130) for window in (28, 90, 365)],
        *[(looks(window, one_domain=True, from_first_day=True), 2000) for window in (28, 90, 365)],
    ],
)
def test_the_bar_of_a_usual_window(seen: Looks, expected: float) -> None:
    assert round(bar(seen), 3) == expected


@pytest.mark.parametrize("window", [7, 27, 29, 89, 91, 364, 366])
def test_the_bar_of_any_other_window_is_higher(window: int) -> None:
    assert bar(looks(window)) == pytest.approx(400 * 366 / window)
    assert bar(looks(window, one_domain=True)) == pytest.approx(4000 * 366 / window)
    assert bar(looks(window, from_first_day=True)) == 400
    assert bar(looks(window, one_domain=True, from_first_day=True)) == 4000


SMALLEST_BY = (20, 25, 30, 40, 50, 80, 100, 200)
SMALLEST = [
    (looks(365), (18, 22, 25, 32, 38, 57, 69, 128)),
    (looks(90), (19, 22, 26, 33, 40, 59, 71, 131)),
    (looks(28), (19, 23, 27, 34, 40, 60, 72, 132)),
    (looks(365, one_domain=True), (19, 23, 27, 34, 41, 60, 73, 133)),
    (looks(90, one_domain=True), (20, 24, 27, 35, 42, 61, 74, 135)),
    (looks(28, one_domain=True), (20, 24, 28, 35, 42, 62, 75, 136)),
]


@pytest.mark.parametrize(
    ("seen", "n", "smallest"),
    [(seen, n, x) for seen, row in SMALLEST for n, x in zip(SMALLEST_BY, row, strict=True)],
)
def test_leans_from_the_smallest_count_on(seen: Looks, n: int, smallest: int) -> None:
    readings = [of(me, n - me, seen).reading for me in range(n + 1)]
    assert [me for me, reading in enumerate(readings) if reading == "leans_to_me"] == list(range(smallest, n + 1))
    assert [me for me, reading in enumerate(readings) if reading == "leans_to_partner"] == list(range(n - smallest + 1))


@pytest.mark.parametrize(("half", "evidence"), [(36, 2.794318), (37, 3.029183), (54, 12.473482), (68, 41.644495)])
def test_the_evidence_against_65_of_100_at_a_half(half: int, evidence: float) -> None:
    assert round(math.exp(log_evidence(half, half, 0.65)), 6) == evidence
    assert round(math.exp(log_evidence(half, half, 0.35)), 6) == evidence


@pytest.mark.parametrize(("window", "half"), [(365, 37), (90, 54), (28, 68), (366, 37)])
def test_a_half_is_about_even_from_so_many_on(window: int, half: int) -> None:
    readings = [of(k, k, looks(window)).reading for k in range(10, 100)]
    assert readings == ["unclear"] * (half - 10) + ["about_even"] * (100 - half)
    grown = [of(k, k, looks(window, from_first_day=True)).reading for k in range(10, 100)]
    assert grown == ["unclear"] * 27 + ["about_even"] * 63


@pytest.mark.parametrize(
    ("me", "partner", "interval"),
    [
        (0, 5, (0, 0.379377)),
        (10, 0, (0.782804, 1)),
        (5, 5, (0.223529, 0.776471)),
        (17, 3, (0.651422, 0.955869)),
        (30, 10, (0.601694, 0.863607)),
        (25, 25, (0.364686, 0.635314)),
    ],
)
def test_the_interval(me: int, partner: int, interval: tuple[float, float]) -> None:
    assert six_digits(jeffreys(me, partner)) == interval


@pytest.mark.parametrize(
    ("me", "partner", "band"),
    [
        (10, 10, (0.193004, 0.806996)),
        (18, 2, (0.591270, 0.996266)),
        (20, 0, (0.775994, 1)),
        (0, 20, (0, 0.224006)),
        (25, 25, (0.283652, 0.716348)),
        (70, 30, (0.537160, 0.834348)),
        (100, 100, (0.380597, 0.619403)),
    ],
)
def test_the_wide_band(me: int, partner: int, band: tuple[float, float]) -> None:
    assert six_digits(wide_band(me, partner)) == band


@pytest.mark.parametrize(
    ("before", "now", "k"),
    [
        ((9, 3), (6, 6), 0.708046),
        ((10, 0), (5, 5), 18.466367),
        ((20, 10), (10, 20), 6.075601),
        ((27, 3), (12, 18), 1483.112653),
        ((50, 50), (50, 50), 0.112416),
    ],
)
def test_the_evidence_of_a_change(before: tuple[int, int], now: tuple[int, int], k: float) -> None:
    assert round(math.exp(log_change(*before, *now)), 6) == k


def test_the_difference_of_two_shares() -> None:
    # The sheet of reference values cuts -.7687458 off after six digits.
    assert difference(20, 5, 5, 20) == pytest.approx((-0.6, -0.768745, -0.339499), abs=1e-6)
    assert six_digits(difference(10, 10, 10, 10)) == (0, -0.29221, 0.29221)


@pytest.mark.parametrize(
    ("counts", "interval"),
    [
        ((0, 0, 0, 0, 0, 0, 8), (5.665840, 7)),
        ((8, 0, 0, 0, 0, 0, 0), (1, 2.334160)),
        ((0, 0, 1, 3, 4, 2, 0), (4.020213, 5.225546)),
        ((2, 0, 1, 0, 0, 0, 5), (3.166271, 6.310693)),
        ((0, 0, 0, 2, 6, 8, 4), (5.159347, 6.030625)),
        ((0, 0, 0, 8, 0, 0, 0), (3.587240, 4.412760)),
    ],
)
def test_the_interval_of_a_feeling(counts: tuple[int, ...], interval: tuple[float, float]) -> None:
    found = felt(counts)
    assert found.low is not None
    assert found.high is not None
    assert six_digits((found.low, found.high)) == interval


# Gates


def test_where_nothing_is_there_nothing_is_read() -> None:
    nothing = Split(WhoCounts(0, 0, 0, 0), Occasions(0, 0), 0, None, None, None, None)
    assert split({}, 0, 0, looks(28)) == nothing
    assert split({"me": 0, "both": 0}, 0, 0, looks(28)) == nothing


@pytest.mark.parametrize("counts", [{"both": 1}, {"neither": 1}, {"both": 30, "neither": 30}, {"me": 1, "partner": 1}])
def test_entries_without_an_occasion_are_too_few(counts: dict[str, int]) -> None:
    found = split(counts, 0, 0, looks(28))
    assert (found.n, found.share, found.low, found.high, found.reading) == (0, None, None, None, "too_few")


def test_below_8_there_are_only_counts_and_occasions() -> None:
    seven = Split(WhoCounts(7, 0, 0, 0), Occasions(7, 0), 7, None, None, None, "too_few")
    assert of(7, 0) == seven
    assert wide_band(7, 0) is None


@pytest.mark.parametrize(("me", "partner"), [(4, 4), (8, 0), (0, 19), (10, 9), (19, 0)])
def test_from_8_to_19_there_is_an_interval_and_no_share(me: int, partner: int) -> None:
    found = of(me, partner)
    assert (found.low, found.high) == jeffreys(me, partner)
    assert (found.share, found.reading) == (None, "unclear")
    assert wide_band(me, partner) is not None


def test_from_20_there_is_a_share_and_a_reading() -> None:
    assert (of(19, 0).share, of(20, 0).share) == (None, 1)
    assert (of(19, 0).reading, of(20, 0).reading) == ("unclear", "leans_to_me")


def test_entries_are_shown_and_occasions_are_the_evidence() -> None:
    burst = split({"me": 18, "partner": 2, "both": 9, "neither": 3}, 1, 0, looks(28))
    assert burst == Split(WhoCounts(18, 2, 9, 3), Occasions(1, 0), 1, None, None, None, "too_few")
    many = split({"me": 50, "partner": 50}, 18, 2, looks(365))
    assert many == Split(WhoCounts(50, 50, 0, 0), Occasions(18, 2), 20, 0.9, *jeffreys(18, 2), "leans_to_me")


@pytest.mark.parametrize(
    ("seen", "reading"),
    [
        (looks(365), "leans_to_me"),
        (looks(90), "unclear"),
        (looks(90, from_first_day=True), "leans_to_me"),
        (looks(28), "unclear"),
        (looks(28, from_first_day=True), "leans_to_me"),
        (looks(366), "unclear"),
        (looks(365, one_domain=True), "unclear"),
        (looks(365, one_domain=True, from_first_day=True), "unclear"),
    ],
)
def test_the_same_occasions_lean_or_not_by_how_often_they_can_be_looked_at(seen: Looks, reading: str) -> None:
    assert of(18, 2, seen).reading == reading


def test_one_side_without_any_has_the_limits_0_and_1() -> None:
    assert (of(0, 30).low, of(30, 0).high) == (0, 1)
    assert 0 < jeffreys(1, 29)[0] < jeffreys(29, 1)[1] < 1


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({}, Answers(0, 0, 0, 0, 0, None, None, None, None)),
        ({"not_asked": 1}, Answers(1, 0, 0, 0, 1, None, None, None, "too_few")),
        ({"asked": 3, "counted": 4}, Answers(0, 3, 0, 4, 7, None, None, None, "too_few")),
        ({"asked": 3, "counted": 5}, Answers(0, 3, 0, 5, 8, None, *jeffreys(5, 3), "unclear")),
        ({"not_asked": 4, "partly": 15}, Answers(4, 0, 15, 0, 19, None, *jeffreys(15, 4), "unclear")),
        (
            {"not_asked": 1, "asked": 2, "partly": 3, "counted": 14},
            Answers(1, 2, 3, 14, 20, 0.85, *jeffreys(17, 3), "shown"),
        ),
        ({"counted": 20}, Answers(0, 0, 0, 20, 20, 1, jeffreys(20, 0)[0], 1, "shown")),
        ({"asked": 20}, Answers(0, 20, 0, 0, 20, 0, 0, jeffreys(0, 20)[1], "shown")),
    ],
)
def test_answers_have_the_same_gates_and_no_verdict(counts: dict[str, int], found: Answers) -> None:
    assert answers(counts) == found


def test_a_feeling_has_an_interval_from_8_and_a_mean_from_20_answers_on() -> None:
    assert felt([0] * 7) == Felt(0, None, None, None, [0] * 7)
    assert felt([3, 0, 0, 0, 0, 0, 4]) == Felt(7, None, None, None, [3, 0, 0, 0, 0, 0, 4])
    eight, nineteen, twenty = felt([3, 0, 0, 0, 0, 0, 5]), felt([0, 0, 0, 0, 0, 0, 19]), felt([0, 0, 5, 0, 0, 0, 15])
    assert (eight.mean, nineteen.mean, twenty.mean) == (None, None, 6)
    for found in (eight, nineteen, twenty):
        assert found.low is not None
        assert found.high is not None
        assert 1 < found.low < found.high
        assert found.high == 7 if found is nineteen else found.high < 7


def test_two_tellings_agree_or_not_from_20_on() -> None:
    assert agreement([[4, 1], [1, 1]], near=False) == Agreement(7, None, None, None, None)
    assert agreement([[4, 1], [2, 1]], near=False) == Agreement(8, None, *jeffreys(5, 3), None)
    assert agreement([[0, 4], [15, 0]], near=False) == Agreement(19, None, 0, jeffreys(0, 19)[1], None)
    assert agreement([[8, 4], [1, 7]], near=False) == Agreement(20, 0.75, *jeffreys(15, 5), None)
    assert agreement([[0] * 7 for _ in range(7)], near=False) == Agreement(0, None, None, None, None)


def test_near_is_within_one_step_of_the_diagonal() -> None:
    table = [[5, 2, 1], [1, 4, 0], [4, 0, 3]]
    assert agreement(table, near=True) == Agreement(20, 0.6, *jeffreys(12, 8), 0.75)
    assert agreement(table, near=False).near is None
    table[0][0] = 4
    assert agreement(table, near=True) == Agreement(19, None, *jeffreys(11, 8), None)


READINGS: list[SplitReading | None] = ["too_few", "unclear", "leans_to_me", "leans_to_partner", "about_even", None]


def test_two_tellings_are_the_same_or_differ_only_where_both_lean() -> None:
    found = {(one, other): tellings(one, other) for one in READINGS for other in READINGS}
    assert {pair: said for pair, said in found.items() if said} == {
        ("leans_to_me", "leans_to_me"): "same",
        ("leans_to_partner", "leans_to_partner"): "same",
        ("leans_to_me", "leans_to_partner"): "differ",
        ("leans_to_partner", "leans_to_me"): "differ",
    }


# Many together

few = st.integers(0, 300)


@for_any(st.lists(st.tuples(few, few, st.sampled_from([28, 90, 365]), st.booleans(), st.booleans())))
def test_many_together_are_what_each_is_alone(windows: list[tuple[int, int, int, bool, bool]]) -> None:
    by_who = [
        ({"me": me, "partner": partner}, me, partner, Looks(window, one_domain, from_first_day))
        for me, partner, window, one_domain, from_first_day in windows
    ]
    by_input = [{"asked": me, "counted": partner} for me, partner, *_ in windows]
    by_feeling = [[me % 9, 0, partner % 8, 0, 0, me % 5, 1] for me, partner, *_ in windows]
    pairs = [(me, partner) for me, partner, *_ in windows]
    statistics.forget()
    together = splits(by_who), all_answers(by_input), all_felt(by_feeling), wide_bands(pairs)
    statistics.forget()
    assert together[0] == [split(*one) for one in by_who]
    assert together[1] == [answers(one) for one in by_input]
    assert together[2] == [felt(one) for one in by_feeling]
    for band, pair in zip(together[3], pairs, strict=True):
        assert band == (None if sum(pair) < 8 else pytest.approx(wide_band(*pair), abs=1e-9))


def test_no_cache_grows_for_ever() -> None:
    computed: list[int] = []

    def squares(keys: object) -> list[int]:
        assert isinstance(keys, list)
        computed.extend(keys)
        return [key * key for key in keys]

    cache = statistics._Cache[int, int](squares)
    cache.warm(range(statistics.MAX_CACHED))
    assert (cache[9], len(computed)) == (81, statistics.MAX_CACHED)
    assert cache[statistics.MAX_CACHED] == statistics.MAX_CACHED**2
    assert len(cache) == 1


# Independent sums


def exact_beta(me: int, partner: int) -> Fraction:
    """B(i + 1/2, k + 1/2) / B(1/2, 1/2) without a beta function: C(2i, i) C(2k, k) / (4^n C(n, i)), n = i + k."""
    n = me + partner
    return Fraction(math.comb(2 * me, me) * math.comb(2 * partner, partner), 4**n * math.comb(n, me))


def exact_evidence(me: int, partner: int, against: Fraction) -> Fraction:
    return exact_beta(me, partner) / (against**me * (1 - against) ** partner)


def log_of(exact: Fraction) -> float:
    return math.log(exact.numerator) - math.log(exact.denominator)


def mass_below(x: float, me: int, partner: int) -> float:
    """The share of Beta(me + 1/2, partner + 1/2) below x: with x = sin² t it is an integral of sines (Simpson)."""
    steps, end = 2000, math.asin(math.sqrt(x))
    weights = [1, *(4 if i % 2 else 2 for i in range(1, steps)), 1]
    at = [math.sin(end * i / steps) ** (2 * me) * math.cos(end * i / steps) ** (2 * partner) for i in range(steps + 1)]
    whole = math.pi / 2 * float(exact_beta(me, partner))
    return math.fsum(w * a for w, a in zip(weights, at, strict=True)) * end / steps / 3 / whole


SHARES = [Fraction(1, 2), Fraction(13, 20), Fraction(7, 20)]


@for_any(st.integers(0, 400), st.integers(0, 400), st.sampled_from(SHARES))
def test_the_evidence_is_the_exact_ratio(me: int, partner: int, against: Fraction) -> None:
    exact = log_of(exact_evidence(me, partner, against))
    assert log_evidence(me, partner, float(against)) == pytest.approx(exact, abs=1e-9)


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


@for_any(st.integers(0, 300), st.integers(0, 300))
def test_the_evidence_at_both_ends_of_the_wide_band_is_20(me: int, partner: int) -> None:
    band = wide_band(me, partner)
    if band is None:
        assert me + partner < 8
        return
    low, high = band
    assert low <= me / (me + partner) <= high
    for end, count, limit in ((low, me, 0), (high, partner, 1)):
        if count:
            assert log_of(exact_evidence(me, partner, Fraction(end))) == pytest.approx(math.log(20), abs=1e-6)
        else:
            assert end == limit


@for_any(st.integers(0, 5000), st.integers(0, 5000))
def test_the_wide_band_lies_around_the_interval(me: int, partner: int) -> None:
    band = wide_band(me, partner)
    if band is not None:
        low, high = jeffreys(me, partner)
        assert 0 <= band[0] <= low < high <= band[1] <= 1


@for_any(*[st.integers(0, 200)] * 4)
def test_the_evidence_of_a_change_is_the_exact_ratio(x1: int, y1: int, x2: int, y2: int) -> None:
    exact = exact_beta(x1, y1) * exact_beta(x2, y2) / exact_beta(x1 + x2, y1 + y2)
    assert log_change(x1, y1, x2, y2) == pytest.approx(log_of(exact), abs=1e-9)


@for_any(st.lists(st.integers(0, 60), min_size=7, max_size=7).filter(lambda counts: sum(counts) >= 8))
def test_the_interval_of_a_feeling_is_that_of_a_beta_with_its_mean_and_variance(counts: list[int]) -> None:
    weights = [Fraction(7 * count + 1, 7 * (sum(counts) + 1)) for count in counts]
    mean = sum(w * v for v, w in enumerate(weights, 1))
    variance = sum(w * (v - mean) ** 2 for v, w in enumerate(weights, 1)) / (sum(counts) + 2)
    at = (mean - 1) / 6
    both = at * (1 - at) / (variance / 36) - 1
    low, high = beta.ppf([0.025, 0.975], float(at * both), float((1 - at) * both), loc=1, scale=6)
    limits = 1 if counts[0] == sum(counts) else low, 7 if counts[6] == sum(counts) else high
    found = felt(counts)
    assert (found.low, found.high) == pytest.approx(limits, rel=1e-9)


@pytest.mark.parametrize("n", [*range(20, 60), 73, 74, 75, 100, 107, 108, 136, 200, 365, 730])
@pytest.mark.parametrize("seen", [looks(365), looks(28), looks(90, one_domain=True), looks(28, from_first_day=True)])
def test_the_reading_follows_the_exact_evidence_for_every_count(n: int, seen: Looks) -> None:
    renewals = Fraction(366, 366 if seen.from_first_day else seen.window)
    needed = (2000 if seen.one_domain else 130) * renewals
    half, high, low = SHARES
    for me in range(n // 2, n + 1):
        expected = "unclear"
        if exact_evidence(me, n - me, half) >= needed:
            expected = "leans_to_me"
        elif (
            low < Fraction(me, n) < high
            and min(exact_evidence(me, n - me, low), exact_evidence(me, n - me, high)) >= 3 * renewals
            and exact_evidence(me, n - me, half) <= 1
        ):
            expected = "about_even"
        assert of(me, n - me, seen).reading == expected


def test_what_speaks_against_even_is_not_about_even_however_far_it_is_from_65_of_100() -> None:
    assert min(log_evidence(401, 329, 0.65), log_evidence(401, 329, 0.35)) > math.log(1000)
    assert log_evidence(400, 330) < 0 < log_evidence(401, 329)
    assert (of(400, 330).reading, of(401, 329).reading) == ("about_even", "unclear")


# Whatever the counts

counts_of_two = st.tuples(st.integers(0, 3000), st.integers(0, 3000))
some_looks = st.builds(Looks, st.integers(7, 366), st.booleans(), st.booleans())
MIRRORED = {"leans_to_me": "leans_to_partner", "leans_to_partner": "leans_to_me"}


@for_any(counts_of_two, st.integers(0, 9), st.integers(0, 9), some_looks)
def test_seen_from_the_other_side_all_is_mirrored(two: tuple[int, int], both: int, neither: int, seen: Looks) -> None:
    me, partner = two
    one = split({"me": me, "partner": partner, "both": both, "neither": neither}, me, partner, seen)
    other = split({"me": partner, "partner": me, "both": both, "neither": neither}, partner, me, seen)
    assert other.counts == WhoCounts(partner, me, both, neither)
    assert (other.occasions, other.n) == (Occasions(partner, me), one.n)
    assert other.reading == MIRRORED.get(one.reading or "", one.reading)
    assert mirrored(other.share) == pytest.approx(one.share)
    assert (mirrored(other.high), mirrored(other.low)) == pytest.approx((one.low, one.high), abs=1e-12)


def mirrored(number: float | None) -> float | None:
    return None if number is None else 1 - number


@for_any(counts_of_two)
def test_the_wide_band_of_the_other_side_is_mirrored(two: tuple[int, int]) -> None:
    one, other = wide_band(*two), wide_band(two[1], two[0])
    assert (one is None) == (other is None)
    if one and other:
        assert one == pytest.approx((1 - other[1], 1 - other[0]), abs=1e-12)


@for_any(counts_of_two)
def test_the_share_lies_in_its_interval(two: tuple[int, int]) -> None:
    share, low, high = proportion(*two)
    if share is not None and low is not None and high is not None:
        assert 0 <= low <= share <= high <= 1


@for_any(counts_of_two, some_looks)
def test_a_lean_excludes_the_middle(two: tuple[int, int], seen: Looks) -> None:
    found = of(*two, seen)
    if found.reading == "leans_to_me":
        assert found.low is not None
        assert found.low > 0.5
    if found.reading == "leans_to_partner":
        assert found.high is not None
        assert found.high < 0.5


quarters = st.tuples(few, few, few, few).filter(lambda q: q[0] + q[1] > 0 and q[2] + q[3] > 0)


@for_any(quarters)
def test_a_difference_is_turned_round_with_its_quarters_and_with_its_sides(q: tuple[int, int, int, int]) -> None:
    x1, y1, x2, y2 = q
    d, low, high = difference(x1, y1, x2, y2)
    assert -1 - 1e-9 <= low <= d <= high <= 1 + 1e-9
    turned: list[Callable[[], tuple[float, float, float]]] = [
        lambda: difference(x2, y2, x1, y1),
        lambda: difference(y1, x1, y2, x2),
    ]
    for other in turned:
        assert other() == pytest.approx((-d, -high, -low), abs=1e-9)
    assert log_change(x1, y1, x2, y2) == pytest.approx(log_change(y2, x2, y1, x1), abs=1e-9)


@for_any(st.lists(st.integers(0, 60), min_size=7, max_size=7))
def test_a_feeling_turned_round_is_mirrored(counts: list[int]) -> None:
    one, other = felt(counts), felt(counts[::-1])
    if one.low is None or one.high is None:
        assert (one.n, other.low) == (sum(counts), None)
        return
    assert (other.low, other.high) == pytest.approx((8 - one.high, 8 - one.low), abs=1e-9)
    if one.mean is not None:
        assert other.mean == pytest.approx(8 - one.mean)
