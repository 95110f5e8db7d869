"""What a count can carry: shares, intervals and readings that stay hidden while the numbers are small.

Sources. The interval is the equal-tailed Jeffreys interval for a binomial proportion (Brown, Cai and DasGupta, Interval
Estimation for a Binomial Proportion, Statistical Science 16, 2001), with the limits 0 and 1 where a side has nothing.
The evidence E_q against a share q is the marginal likelihood under the Jeffreys prior Beta(1/2, 1/2) as a multiple of
the likelihood at q: a test martingale, so that it passes a bar b by chance in at most one of b cases, however often it
is looked at while it grows (Ville's inequality). {q : E_q < 20} is therefore a confidence sequence: a band that holds
the truth on all days at once in 95 of 100 cases. K is the same ratio for two shares against one common share
(Jeffreys, Theory of Probability, 1939, chapter 5). The interval of a difference of two shares is built from the
interval of each (Newcombe, Interval Estimation for the Difference Between Independent Proportions, Statistics in
Medicine 17, 1998, method 10, here with Jeffreys limits).

All of it is computed in logarithms, for many windows together, and kept by what it follows from while one answer is
computed: the same few pairs come again in window after window.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from msgspec import Struct
from scipy.special import betaincinv, betaln, expit, log_expit

INTERVAL_FROM = 8
SHARE_FROM = 20
EVEN_LOW, EVEN_HIGH = 0.35, 0.65
# What a bar allows for, beside how often a window renews itself: the figures and windows that there are to look at.
USUAL_WINDOWS = {28, 90, 365}
LOOKS_ALL_DOMAINS, LOOKS_ONE_DOMAIN = 130, 2000
LOOKS_ALL_DOMAINS_ANY_WINDOW, LOOKS_ONE_DOMAIN_ANY_WINDOW = 400, 4000
LOOKS_ABOUT_EVEN = 3
DAYS_OF_A_YEAR = 366
LOG_WIDE = math.log(20)
LOG_EVEN = float(betaln(0.5, 0.5))
MAX_CACHED = 1 << 16
# Newton's method takes 9 steps for the pairs up to 400 on each side, 12 up to 5,000.
MAX_NEWTON_STEPS = 30

Counts = Mapping[str, int]
Pair: TypeAlias = tuple[int, int]  # a part, and the rest
SplitReading = Literal["too_few", "unclear", "leans_to_me", "leans_to_partner", "about_even"]
AnswersReading = Literal["too_few", "unclear", "shown"]

Key = TypeVar("Key")
Value = TypeVar("Value")


class Looks(Struct, frozen=True):
    """How often a figure can be looked at: what its bar allows for, b = c * 366 / v.

    c stands for what else there is to look at on the same day: more where a figure is one of ten domains (one_domain),
    and more where the window is none of the usual three but any number of days.
    v stands for how often the window renews itself within a year. One that has moved on since the first day on which
    its telling counts anything is a new draw every `window` days: v = window. One that still begins at or before that
    day (from_first_day) has only grown, and E may be looked at as it grows for nothing: v = 366.
    """

    window: int
    one_domain: bool
    from_first_day: bool


class WhoCounts(Struct, frozen=True):
    """How many entries say me, partner, both and neither."""

    me: int
    partner: int
    both: int
    neither: int


class Occasions(Struct, frozen=True):
    """On how many occasions it was mostly me, and mostly the partner. An occasion is one day in one domain."""

    me: int
    partner: int


class Split(Struct, frozen=True):
    """How often me, the partner, both and neither; share is that of me among the occasions of me and partner (n).

    Below 8 occasions share, low and high are null, below 20 share is; low to high is a 95 % interval.
    reading is null where there is nothing at all.
    """

    counts: WhoCounts
    occasions: Occasions
    n: int
    share: float | None
    low: float | None
    high: float | None
    reading: SplitReading | None


class Answers(Struct, frozen=True):
    """How often input was not asked for, asked for, partly counted, counted; share is the last two among all (n).

    Below 8 answers share, low and high are null, below 20 share is; low to high is a 95 % interval.
    """

    not_asked: int
    asked: int
    partly: int
    counted: int
    n: int
    share: float | None
    low: float | None
    high: float | None
    reading: AnswersReading | None


class Counted(Struct, frozen=True):
    """Whether input was counted: by who decided, the other one alone or both."""

    when_other_decided: Answers
    when_both_decided: Answers


class Felt(Struct, frozen=True):
    """How something felt, self-reported: n answers, their mean, a 95 % interval of it, and how often 1, 2 … 7.

    Below 8 answers mean, low and high are null, below 20 mean is.
    """

    n: int
    mean: float | None
    low: float | None
    high: float | None
    counts: list[int]


class Agreement(Struct, frozen=True):
    """How many pairs a square table holds (n), and the share on its diagonal with its 95 % interval.

    near is the share within one step of the diagonal, null unless asked for. Below 8 all are null, below 20 the shares.
    """

    n: int
    agree: float | None
    low: float | None
    high: float | None
    near: float | None


class _OfPair(Struct, frozen=True):
    """What follows from a pair: the limits of its interval, and ln(B(part + 1/2, rest + 1/2) / B(1/2, 1/2))."""

    low: float
    high: float
    log_beta: float


class _Cache(dict[Key, Value]):
    """Values by what they follow from, computed when first looked up, and by `warm` for many keys together."""

    def __init__(self, compute: Callable[[Sequence[Key]], Iterable[Value]]) -> None:
        self._compute = compute

    def __missing__(self, key: Key) -> Value:
        self.warm([key])
        return self[key]

    def warm(self, keys: Iterable[Key]) -> None:
        """Compute what is not there yet. A cache that is full begins anew."""
        new = [key for key in dict.fromkeys(keys) if key not in self]
        if len(self) + len(new) > MAX_CACHED:
            self.clear()
        if new:
            self.update(zip(new, self._compute(new), strict=True))


def forget() -> None:
    """Empty what is kept of values computed before: what one reader looks at must make nothing faster for another."""
    for cache in (_of_pair, _wide_band_of, _felt_interval):
        cache.clear()


# The interval and the evidence of a pair


def _of_pairs(pairs: Sequence[Pair]) -> list[_OfPair]:
    """Together, because each of a hundred takes 2 µs, and alone 7."""
    a, b = [part + 0.5 for part, _ in pairs], [rest + 0.5 for _, rest in pairs]
    lows, highs = betaincinv(a, b, 0.025).tolist(), betaincinv(a, b, 0.975).tolist()
    logs = (betaln(a, b) - LOG_EVEN).tolist()
    return [
        _OfPair(low if part else 0.0, high if rest else 1.0, log)
        for (part, rest), low, high, log in zip(pairs, lows, highs, logs, strict=True)
    ]


_of_pair = _Cache[Pair, _OfPair](_of_pairs)


def jeffreys(part: int, rest: int) -> tuple[float, float]:
    """The 95 % Jeffreys interval of part / (part + rest)."""
    found = _of_pair[part, rest]
    return found.low, found.high


def log_evidence(part: int, rest: int, against: float = 0.5) -> float:
    """ln E_q: the natural logarithm of the evidence against a true share q, an even split if none is named."""
    return _of_pair[part, rest].log_beta - part * math.log(against) - rest * math.log(1 - against)


def proportion(part: int, rest: int) -> tuple[float | None, float | None, float | None]:
    """Share, low and high of a part in the whole: null while n cannot carry them (below 8, and the share below 20)."""
    n = part + rest
    if n < INTERVAL_FROM:
        return None, None, None
    return (part / n if n >= SHARE_FROM else None), *jeffreys(part, rest)


# Who


def bar(looks: Looks) -> float:
    """How much evidence E a lean needs: b = c * 366 / v, see Looks."""
    if looks.window in USUAL_WINDOWS:
        c = LOOKS_ONE_DOMAIN if looks.one_domain else LOOKS_ALL_DOMAINS
    else:
        c = LOOKS_ONE_DOMAIN_ANY_WINDOW if looks.one_domain else LOOKS_ALL_DOMAINS_ANY_WINDOW
    return c * _renewals(looks)


def _renewals(looks: Looks) -> float:
    """How often in a year a window is a new draw: 366 / v."""
    return DAYS_OF_A_YEAR / (DAYS_OF_A_YEAR if looks.from_first_day else looks.window)


def split(counts: Counts, me: int, partner: int, looks: Looks) -> Split:
    """The split of a window: entries by who they name, and the occasions of me and of the partner."""
    by_who = WhoCounts(counts.get("me", 0), counts.get("partner", 0), counts.get("both", 0), counts.get("neither", 0))
    anything = by_who.me or by_who.partner or by_who.both or by_who.neither
    reading = _split_reading(me, partner, looks) if anything else None
    return Split(by_who, Occasions(me, partner), me + partner, *proportion(me, partner), reading)


def splits(windows: Sequence[tuple[Counts, int, int, Looks]]) -> list[Split]:
    """The split of each window; their intervals are computed together."""
    _of_pair.warm((me, partner) for _, me, partner, _ in windows if me + partner >= INTERVAL_FROM)
    return [split(*window) for window in windows]


def _split_reading(me: int, partner: int, looks: Looks) -> SplitReading:
    n = me + partner
    if n < INTERVAL_FROM:
        return "too_few"
    if n < SHARE_FROM:
        return "unclear"
    if log_evidence(me, partner) >= math.log(bar(looks)):
        return "leans_to_me" if me > partner else "leans_to_partner"
    return "about_even" if _about_even(me, partner, looks) else "unclear"


def _about_even(me: int, partner: int, looks: Looks) -> bool:
    """Whether chance is a bad explanation for an even split if the truth is as far off as .35 or .65."""
    needed = math.log(LOOKS_ABOUT_EVEN * _renewals(looks))
    return (
        EVEN_LOW < me / (me + partner) < EVEN_HIGH
        and log_evidence(me, partner, EVEN_HIGH) >= needed
        and log_evidence(me, partner, EVEN_LOW) >= needed
        and log_evidence(me, partner) <= 0
    )


def tellings(one: SplitReading | None, other: SplitReading | None) -> Literal["same", "differ"] | None:
    """Whether two tellings, seen by the same reader, lean the same way or opposite ways; null unless both lean."""
    leans = ("leans_to_me", "leans_to_partner")
    if one not in leans or other not in leans:
        return None
    return "same" if one == other else "differ"


# The band in which the truth lies on most days at once


def _wide_bands_of(pairs: Sequence[Pair]) -> list[tuple[float, float]]:
    """The band of a share ends where that of its counterpart begins, so that all ends are lower ends."""
    sides = [side for me, partner in pairs for side in ((me, partner), (partner, me)) if side[0]]
    ends = dict(zip(sides, _lower_ends(sides), strict=True))
    return [(ends.get((me, partner), 0.0), 1.0 - ends.get((partner, me), 0.0)) for me, partner in pairs]


def _lower_ends(pairs: Sequence[Pair]) -> list[float]:
    """The share p below part / n at which E_p = 20, for each pair with a part, by Newton's method.

    With t = ln(p / (1 - p)), ln E_p = log_beta + n ln(1 + e^t) - part t is convex in t and lies above the line
    log_beta - part t. From where that line is ln 20, each step comes closer from outside, and none goes too far. A
    pair that has arrived stays there, so that its end does not depend on the pairs beside it. 400 pairs take half a
    millisecond.
    """
    x, n = np.array([part for part, _ in pairs], float), np.array([part + rest for part, rest in pairs], float)
    room: Any = LOG_WIDE - (betaln(x + 0.5, n - x + 0.5) - LOG_EVEN)
    t = -room / x
    under_way = np.ones(len(pairs), bool)
    for _ in range(MAX_NEWTON_STEPS):
        step = (-n * log_expit(-t) - x * t - room) / (x - n * expit(t))
        t += np.where(under_way, step, 0)
        under_way &= abs(step) >= 1e-9
        if not under_way.any():
            break
    ends: list[float] = expit(t).tolist()
    return ends


_wide_band_of = _Cache[Pair, tuple[float, float]](_wide_bands_of)


def wide_band(me: int, partner: int) -> tuple[float, float] | None:
    """The shares p with E_p < 20, as their two ends: null below 8 occasions."""
    return _wide_band_of[me, partner] if me + partner >= INTERVAL_FROM else None


def wide_bands(pairs: Sequence[Pair]) -> list[tuple[float, float] | None]:
    """The band of each pair, computed together."""
    _wide_band_of.warm((me, partner) for me, partner in pairs if me + partner >= INTERVAL_FROM)
    return [wide_band(me, partner) for me, partner in pairs]


# Whose input is counted


def answers(counts: Counts) -> Answers:
    """The distribution of counts by not_asked, asked, partly and counted."""
    not_asked, asked, partly, counted = _by_answer(counts)
    share, low, high = proportion(partly + counted, not_asked + asked)
    n = not_asked + asked + partly + counted
    return Answers(not_asked, asked, partly, counted, n, share, low, high, _answers_reading(n))


def all_answers(windows: Sequence[Counts]) -> list[Answers]:
    """The same of each window; their intervals are computed together."""
    each = [(partly + counted, not_asked + asked) for not_asked, asked, partly, counted in map(_by_answer, windows)]
    _of_pair.warm(pair for pair in each if sum(pair) >= INTERVAL_FROM)
    return [answers(counts) for counts in windows]


def _by_answer(counts: Counts) -> tuple[int, int, int, int]:
    return counts.get("not_asked", 0), counts.get("asked", 0), counts.get("partly", 0), counts.get("counted", 0)


def _answers_reading(n: int) -> AnswersReading | None:
    if n == 0:
        return None
    if n < INTERVAL_FROM:
        return "too_few"
    return "unclear" if n < SHARE_FROM else "shown"


# How it felt


def felt(counts: Sequence[int]) -> Felt:
    """The distribution of answers, of which counts tells how often each of 1, 2 … 7 was given."""
    n = sum(counts)
    if n < INTERVAL_FROM:
        return Felt(n, None, None, None, list(counts))
    mean = sum(value * count for value, count in enumerate(counts, 1)) / n if n >= SHARE_FROM else None
    return Felt(n, mean, *_felt_interval[tuple(counts)], list(counts))


def all_felt(windows: Sequence[Sequence[int]]) -> list[Felt]:
    """The same of each window; their intervals are computed together."""
    _felt_interval.warm(tuple(counts) for counts in windows if sum(counts) >= INTERVAL_FROM)
    return [felt(counts) for counts in windows]


def _felt_intervals(windows: Sequence[tuple[int, ...]]) -> list[tuple[float, float]]:
    """The quantiles .025 and .975 of the Beta on [1, 7] that each matches; an end that all have chosen is a limit."""
    a, b = zip(*map(_matched_beta, windows), strict=True)
    lows, highs = (1 + 6 * betaincinv(a, b, 0.025)).tolist(), (1 + 6 * betaincinv(a, b, 0.975)).tolist()
    return [
        (1.0 if counts[0] == sum(counts) else low, 7.0 if counts[-1] == sum(counts) else high)
        for counts, low, high in zip(windows, lows, highs, strict=True)
    ]


def _matched_beta(counts: tuple[int, ...]) -> tuple[float, float]:
    """The a and b of a Beta on [0, 1] with the mean and the variance of a mean, after one more answer spread over all.

    That is the posterior of a distribution over seven answers under a prior of 1/7 each: its mean has the variance
    s² / (A + 1) with A = n + 1.
    """
    whole = sum(counts) + 1
    weights = [(count + 1 / 7) / whole for count in counts]
    at = [i / 6 for i in range(7)]
    mean = sum(w * x for w, x in zip(weights, at, strict=True))
    variance = sum(w * (x - mean) ** 2 for w, x in zip(weights, at, strict=True)) / (whole + 1)
    both = mean * (1 - mean) / variance - 1
    return mean * both, (1 - mean) * both


_felt_interval = _Cache[tuple[int, ...], tuple[float, float]](_felt_intervals)


# Two tellings of the same thing


def agreement(table: Sequence[Sequence[int]], near: bool) -> Agreement:
    """How far a square table lies on its diagonal, and if `near`, within one step of it."""
    n = sum(map(sum, table))
    same = sum(table[i][i] for i in range(len(table)))
    agree, low, high = proportion(same, n - same)
    if not near or n < SHARE_FROM:
        return Agreement(n, agree, low, high, None)
    within = sum(count for i, row in enumerate(table) for j, count in enumerate(row) if abs(i - j) <= 1)
    return Agreement(n, agree, low, high, within / n)


# One quarter beside another


def log_change(x1: int, y1: int, x2: int, y2: int) -> float:
    """ln K: how much better two shares explain (x1, y1) before and (x2, y2) now than one share explains both."""
    before, now, together = _of_pair[x1, y1], _of_pair[x2, y2], _of_pair[x1 + x2, y1 + y2]
    return before.log_beta + now.log_beta - together.log_beta


def difference(x1: int, y1: int, x2: int, y2: int) -> tuple[float, float, float]:
    """d = p2 - p1 of the shares x / (x + y), and its 95 % interval from those of both. Neither pair may be empty."""
    p1, p2 = x1 / (x1 + y1), x2 / (x2 + y2)
    (l1, u1), (l2, u2) = jeffreys(x1, y1), jeffreys(x2, y2)
    d = p2 - p1
    return d, d - math.hypot(p2 - l2, u1 - p1), d + math.hypot(u2 - p2, p1 - l1)
