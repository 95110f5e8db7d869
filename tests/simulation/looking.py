"""Somebody looks every day at every figure: which readings do they ever meet? The readings are the service's own."""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np

from projections.statistics import Looks, SplitReading, splits
from tests.simulation.diaries import DOMAINS, Told

WINDOWS = (28, 90, 365)
Seen = Literal["leans", "leans_to_me", "about_even"]


def ever_seen(told: Told, days: range, seen: Seen, one_domain: bool) -> np.ndarray:
    """By couple, telling and measure: whether a look on any of these days, at any window (and domain), shows it."""
    mine, partners = _so_far(told.net > 0, one_domain), _so_far(told.net < 0, one_domain)
    on = np.arange(days.start, days.stop)
    ever = np.zeros(told.net.shape[:3], bool)
    for window in WINDOWS:
        begin = np.maximum(on + 1 - window, 0)
        me, partner = (so_far[:, :, :, on + 1] - so_far[:, :, :, begin] for so_far in (mine, partners))
        has_grown = (on + 1 - window <= told.first_day[:, :, None])[:, :, None, :, None]
        grown, moved_on = (_shows(seen, me, partner, Looks(window, one_domain, first)) for first in (True, False))
        ever |= np.where(has_grown, grown, moved_on).any(axis=(3, 4))
    return ever


def _so_far(occasions: np.ndarray, one_domain: bool) -> np.ndarray:
    """[…, day, scope]: the occasions before that day, in each domain, or in all of them as one scope."""
    daily = occasions if one_domain else occasions.sum(axis=4, keepdims=True)
    before_the_first = np.zeros_like(daily[:, :, :, :1], np.int16)
    return np.concatenate([before_the_first, daily.cumsum(axis=3, dtype=np.int16)], axis=3)


def _shows(seen: Seen, me: np.ndarray, partner: np.ndarray, looks: Looks) -> np.ndarray:
    match seen:
        case "leans":
            return np.maximum(me, partner) >= leans_from(looks)[me + partner]
        case "leans_to_me":
            return me >= leans_from(looks)[me + partner]
        case "about_even":
            return np.maximum(me, partner) < uneven_from(looks)[me + partner]


# A look asks for a table instead of a reading: the service's own takes some microseconds, and a year of one couple has
# 48,180 of them.


@lru_cache
def leans_from(looks: Looks) -> np.ndarray:
    """[n]: how many of n occasions the larger side needs to lean; n + 1 where none is enough."""
    return _smallest(looks, lambda reading: reading == "leans_to_me")


@lru_cache
def uneven_from(looks: Looks) -> np.ndarray:
    """[n]: how many of n occasions the larger side needs to be about even no more."""
    return _smallest(looks, lambda reading: reading != "about_even")


def _smallest(looks: Looks, holds: Callable[[SplitReading | None], bool]) -> np.ndarray:
    """By bisection, for every n that fits into the window: readings hold from some number of the larger side on."""
    n = np.arange(looks.window * (1 if looks.one_domain else DOMAINS) + 1)
    low, high = (n + 1) // 2, n + 1
    while (low < high).any():
        middle = (low + high) // 2
        pairs = zip(np.minimum(middle, n).tolist(), np.maximum(n - middle, 0).tolist(), strict=True)
        found = splits([({"me": me, "partner": partner}, me, partner, looks) for me, partner in pairs])
        held = np.array([holds(split.reading) for split in found])
        low, high = np.where(held | (low == high), low, middle + 1), np.where(held & (low < high), middle, high)
    return low
