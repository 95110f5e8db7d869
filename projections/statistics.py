"""What a count can carry: shares and intervals that stay hidden while the numbers are small.

Sources: the interval is the equal-tailed Jeffreys interval for a binomial proportion (Brown, Cai and DasGupta,
Interval Estimation for a Binomial Proportion, Statistical Science 16, 2001), with the limits 0 and 1 where a side
counts nothing. The evidence is the ratio of the marginal likelihood under the Jeffreys prior Beta(1/2, 1/2) to the
likelihood of an even coin: a test martingale, so that looking often does not make a lean out of chance.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

from msgspec import Struct
from scipy.special import betaincinv, betaln

INTERVAL_FROM = 8
SHARE_FROM = 20
MEAN_FROM = 3
LOG_EVIDENCE_FOR_A_LEAN = math.log(100)
EVEN_LOW, EVEN_HIGH = 0.35, 0.65

Counts = Mapping[str, int]


class Split(Struct, frozen=True):
    """How often me, the partner, both and neither; share is me among me and partner (n).

    share, low and high are null while n cannot carry them; low to high is a 95 % interval.
    reading is null where there is nothing at all.
    """

    me: int
    partner: int
    both: int
    neither: int
    n: int
    share: float | None
    low: float | None
    high: float | None
    reading: Literal["too_few", "unclear", "leans_to_me", "leans_to_partner", "about_even"] | None


class Counted(Struct, frozen=True):
    """How often input was not asked for, asked for, partly counted, counted; share is the last two among all (n)."""

    not_asked: int
    asked: int
    partly: int
    counted: int
    n: int
    share: float | None
    low: float | None
    high: float | None
    reading: Literal["too_few", "shown"] | None


class Felt(Struct, frozen=True):
    """How something felt, self-reported: n answers, their mean (null below 3), and how often 1, 2 … 7."""

    n: int
    mean: float | None
    counts: list[int]


@lru_cache(maxsize=1 << 16)
def jeffreys(part: int, rest: int) -> tuple[float, float]:
    """The 95 % Jeffreys interval of part / (part + rest)."""
    low = 0.0 if part == 0 else float(betaincinv(part + 0.5, rest + 0.5, 0.025))
    high = 1.0 if rest == 0 else float(betaincinv(part + 0.5, rest + 0.5, 0.975))
    return low, high


@lru_cache(maxsize=1 << 16)
def log_evidence(part: int, rest: int) -> float:
    """The natural logarithm of the evidence against an even split."""
    return float(betaln(part + 0.5, rest + 0.5) - betaln(0.5, 0.5)) + (part + rest) * math.log(2)


def split(counts: Counts) -> Split:
    """The split of counts by me, partner, both and neither."""
    me, partner, both, neither = (counts.get(who, 0) for who in ("me", "partner", "both", "neither"))
    share, low, high = _carried(me, partner)
    reading = _split_reading(me, partner) if me or partner or both or neither else None
    return Split(me, partner, both, neither, me + partner, share, low, high, reading)


def counted(counts: Counts) -> Counted:
    """The distribution of counts by not_asked, asked, partly and counted."""
    not_asked, asked, partly, fully = (counts.get(v, 0) for v in ("not_asked", "asked", "partly", "counted"))
    n = not_asked + asked + partly + fully
    share, low, high = _carried(partly + fully, not_asked + asked)
    reading: Literal["too_few", "shown"] | None = None
    if n:
        reading = "too_few" if n < INTERVAL_FROM else "shown"
    return Counted(not_asked, asked, partly, fully, n, share, low, high, reading)


def felt(counts: Counts) -> Felt:
    """The distribution of counts by the answers "1" to "7"."""
    by_answer = [counts.get(str(answer), 0) for answer in range(1, 8)]
    n = sum(by_answer)
    mean = sum(a * count for a, count in enumerate(by_answer, 1)) / n if n >= MEAN_FROM else None
    return Felt(n, mean, by_answer)


def agreement(table: Sequence[Sequence[int]]) -> tuple[int, float | None]:
    """How many pairs a square table holds, and the share on its diagonal (null below 8)."""
    n = sum(map(sum, table))
    same = sum(table[i][i] for i in range(len(table)))
    return n, same / n if n >= INTERVAL_FROM else None


def _carried(part: int, rest: int) -> tuple[float | None, float | None, float | None]:
    n = part + rest
    if n < INTERVAL_FROM:
        return None, None, None
    low, high = jeffreys(part, rest)
    return (part / n if n >= SHARE_FROM else None), low, high


def _split_reading(
    me: int, partner: int
) -> Literal["too_few", "unclear", "leans_to_me", "leans_to_partner", "about_even"]:
    n = me + partner
    if n < INTERVAL_FROM:
        return "too_few"
    if n < SHARE_FROM:
        return "unclear"
    if log_evidence(me, partner) >= LOG_EVIDENCE_FOR_A_LEAN:
        return "leans_to_me" if me > partner else "leans_to_partner"
    low, high = jeffreys(me, partner)
    return "about_even" if low > EVEN_LOW and high < EVEN_HIGH else "unclear"
