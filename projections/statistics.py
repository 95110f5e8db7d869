"""What a count can carry: shares and intervals that stay hidden while the numbers are small.

Sources: the interval is the equal-tailed Jeffreys interval for a binomial proportion (Brown, Cai and DasGupta,
Interval Estimation for a Binomial Proportion, Statistical Science 16, 2001), with the limits 0 and 1 where a side
counts nothing. The evidence is the ratio of the marginal likelihood under the Jeffreys prior Beta(1/2, 1/2) to the
likelihood of an even coin: a test martingale, so that looking often does not make a lean out of chance.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from scipy.special import betaincinv, betaln

INTERVAL_FROM = 8
SHARE_FROM = 20
MEAN_FROM = 3
LOG_EVIDENCE_FOR_A_LEAN = math.log(100)
LOG_2, LOG_EVEN = math.log(2), float(betaln(0.5, 0.5))
EVEN_LOW, EVEN_HIGH = 0.35, 0.65
MOST_KNOWN = 1 << 16

Counts = Mapping[str, int]
Pair: TypeAlias = tuple[int, int]  # a part, and the rest


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


class _Reckoned(Struct, frozen=True):
    """What follows from a pair: the limits of its interval, and the logarithm of its evidence."""

    low: float
    high: float
    log_evidence: float


# The same few pairs come again and again, in every window and for both who read.
_known: dict[Pair, _Reckoned] = {}


def _reckon(pairs: Sequence[Pair]) -> None:
    """Make known what follows from these pairs: together, each of a hundred takes 2 µs, and alone 7."""
    if len(_known) + len(pairs) > MOST_KNOWN:
        _known.clear()
    a, b = [part + 0.5 for part, _ in pairs], [rest + 0.5 for _, rest in pairs]
    limits = zip(betaincinv(a, b, 0.025).tolist(), betaincinv(a, b, 0.975).tolist(), strict=True)
    for (part, rest), (low, high), log in zip(pairs, limits, betaln(a, b).tolist(), strict=True):
        evidence = log - LOG_EVEN + (part + rest) * LOG_2
        _known[part, rest] = _Reckoned(0.0 if part == 0 else low, 1.0 if rest == 0 else high, evidence)


def _reckon_shown(pairs: Iterable[Pair]) -> None:
    new = [pair for pair in set(pairs) if sum(pair) >= INTERVAL_FROM and pair not in _known]
    if new:
        _reckon(new)


def _reckoned(part: int, rest: int) -> _Reckoned:
    found = _known.get((part, rest))
    if found is None:
        _reckon([(part, rest)])
        return _known[part, rest]
    return found


def jeffreys(part: int, rest: int) -> tuple[float, float]:
    """The 95 % Jeffreys interval of part / (part + rest)."""
    reckoned = _reckoned(part, rest)
    return reckoned.low, reckoned.high


def log_evidence(part: int, rest: int) -> float:
    """The natural logarithm of the evidence against an even split."""
    return _reckoned(part, rest).log_evidence


def split(counts: Counts) -> Split:
    """The split of counts by me, partner, both and neither."""
    me, partner = counts.get("me", 0), counts.get("partner", 0)
    both, neither = counts.get("both", 0), counts.get("neither", 0)
    share, low, high = _carried(me, partner)
    reading = _split_reading(me, partner) if me or partner or both or neither else None
    return Split(me, partner, both, neither, me + partner, share, low, high, reading)


def splits(windows: Sequence[Counts]) -> list[Split]:
    """The split of the counts of each window."""
    _reckon_shown((counts.get("me", 0), counts.get("partner", 0)) for counts in windows)
    return [split(counts) for counts in windows]


def counted(counts: Counts) -> Counted:
    """The distribution of counts by not_asked, asked, partly and counted."""
    not_asked, asked, partly, fully = _in_order(counts)
    n = not_asked + asked + partly + fully
    share, low, high = _carried(partly + fully, not_asked + asked)
    reading: Literal["too_few", "shown"] | None = None
    if n:
        reading = "too_few" if n < INTERVAL_FROM else "shown"
    return Counted(not_asked, asked, partly, fully, n, share, low, high, reading)


def all_counted(windows: Sequence[Counts]) -> list[Counted]:
    """The same of each window."""
    each = [_in_order(counts) for counts in windows]
    _reckon_shown((partly + fully, not_asked + asked) for not_asked, asked, partly, fully in each)
    return [counted(counts) for counts in windows]


def _in_order(counts: Counts) -> tuple[int, int, int, int]:
    return counts.get("not_asked", 0), counts.get("asked", 0), counts.get("partly", 0), counts.get("counted", 0)


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
    reckoned = _reckoned(part, rest)
    return (part / n if n >= SHARE_FROM else None), reckoned.low, reckoned.high


def _split_reading(
    me: int, partner: int
) -> Literal["too_few", "unclear", "leans_to_me", "leans_to_partner", "about_even"]:
    n = me + partner
    if n < INTERVAL_FROM:
        return "too_few"
    if n < SHARE_FROM:
        return "unclear"
    reckoned = _reckoned(me, partner)
    if reckoned.log_evidence >= LOG_EVIDENCE_FOR_A_LEAN:
        return "leans_to_me" if me > partner else "leans_to_partner"
    return "about_even" if reckoned.low > EVEN_LOW and reckoned.high < EVEN_HIGH else "unclear"
