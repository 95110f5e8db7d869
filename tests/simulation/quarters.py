"""Somebody looks once at each quarter: how often has nothing moved, and it is said to have? All figures together."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct
from scipy.special import betaln

from projections.changes import COUNTED, SPLITS, Bar
from tests.simulation.diaries import DOMAINS, Habit, tell

QUARTER_DAYS = 91
LOOKS_A_YEAR = 4
COUPLES_TOGETHER = 200
COUNTED_OF = 1 / 3  # of what is told, that much is a decision of the other's with an answer about input


class Pairs(Struct, frozen=True):
    """[couple, figure, quarter, scope]: a part and the rest, over all domains in scope 0, and in each domain."""

    part: np.ndarray
    rest: np.ndarray


class Year(Struct, frozen=True):
    """Of so many couples, who met any change that is none within a year: in any figure, and in counted alone."""

    any_figure: np.ndarray
    counted: np.ndarray


def years(rng: np.random.Generator, habit: Habit, couples: int) -> Year:
    """Four looks of each couple, at asks, and in two tellings at initiates, decides and counted, in eleven scopes."""
    parts = [_years(rng, habit, min(COUPLES_TOGETHER, couples - done)) for done in range(0, couples, COUPLES_TOGETHER)]
    return Year(*(np.concatenate([getattr(one, name) for one in parts]) for name in ("any_figure", "counted")))


def _years(rng: np.random.Generator, habit: Habit, couples: int) -> Year:
    splits = _told(rng, habit, couples)
    counted = _answered(rng, habit, couples)
    in_splits = moved(splits, SPLITS).any(axis=(1, 2, 3))
    in_counted = moved(counted, COUNTED).any(axis=(1, 2, 3))
    return Year(in_splits | in_counted, in_counted)


def _told(rng: np.random.Generator, habit: Habit, couples: int) -> Pairs:
    """Occasions of five figures: what both tell of initiating and deciding, and what was asked."""
    days = QUARTER_DAYS * (LOOKS_A_YEAR + 1)
    net = np.concatenate(
        [tell(rng, habit, couples, days).net.reshape(couples, 4, days, DOMAINS) for _ in range(2)], axis=1
    )
    by_quarter = net[:, :5].reshape(couples, 5, LOOKS_A_YEAR + 1, QUARTER_DAYS, DOMAINS)
    return _scoped((by_quarter > 0).sum(axis=3), (by_quarter < 0).sum(axis=3))


def _answered(rng: np.random.Generator, habit: Habit, couples: int) -> Pairs:
    """Answers of both about input, entry by entry."""
    mean = habit.entries_a_day * QUARTER_DAYS * COUNTED_OF * np.array(habit.weights)
    n = rng.poisson(mean, size=(couples, 2, LOOKS_A_YEAR + 1, DOMAINS))
    part = rng.binomial(n, habit.share)
    return _scoped(part, n - part)


def _scoped(part: np.ndarray, rest: np.ndarray) -> Pairs:
    return Pairs(*(np.concatenate([one.sum(axis=3, keepdims=True), one], axis=3) for one in (part, rest)))


def moved(pairs: Pairs, bar: Bar) -> np.ndarray:
    """[couple, figure, look, scope]: whether a quarter is said to differ from the one before."""
    x1, y1, x2, y2 = pairs.part[:, :, :-1], pairs.rest[:, :, :-1], pairs.part[:, :, 1:], pairs.rest[:, :, 1:]
    bars = np.log([bar.all_domains] + [bar.one_domain] * DOMAINS)
    enough = (x1 + y1 >= bar.least) & (x2 + y2 >= bar.least)
    return enough & (log_change(x1, y1, x2, y2) >= bars)


def log_change(x1: np.ndarray, y1: np.ndarray, x2: np.ndarray, y2: np.ndarray) -> np.ndarray:
    """ln K of many pairs at once, as `statistics.log_change` has it of one."""
    log_beta = [betaln(x + 0.5, y + 0.5) for x, y in ((x1, y1), (x2, y2), (x1 + x2, y1 + y2))]
    found: np.ndarray = log_beta[0] + log_beta[1] - log_beta[2] - betaln(0.5, 0.5)
    return found


def seen_of(before: float, now: float, n: int) -> float:
    """The chance that a change from one true share to another is said to have moved, with n occasions in each."""
    x = np.arange(n + 1)
    first, second = np.meshgrid(x, x, indexing="ij")
    says = log_change(first, n - first, second, n - second) >= math.log(SPLITS.all_domains)
    up = second > first if now > before else second < first
    return float((_binomial(n, before)[:, None] * _binomial(n, now)[None, :])[says & up].sum())


def _binomial(n: int, p: float) -> np.ndarray:
    x = np.arange(n + 1)
    log_choose = -betaln(x + 1, n - x + 1) - math.log(n + 1)
    found: np.ndarray = np.exp(log_choose + x * math.log(p) + (n - x) * math.log(1 - p))
    return found


def occasions_to_see(before: float, now: float, chances: Sequence[float]) -> Iterator[tuple[float, int]]:
    """How many occasions in each quarter it takes to see a change with each of those chances."""
    n = SPLITS.least
    for chance in chances:
        while seen_of(before, now, n) < chance:
            n += 1
        yield chance, n
