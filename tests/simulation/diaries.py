"""What simulated couples record: occasions by day and domain, drawn by chance."""

import numpy as np
from msgspec import Struct

TELLINGS, MEASURES, DOMAINS = 2, 2, 10


class Habit(Struct, frozen=True):
    """How a couple records. An entry says me with the chance `share`, else partner; a burst is so many at once.

    Entries of a burst lie on one day, in one domain, and give one answer. `weights` is the chance of each domain.
    """

    share: float
    entries_a_day: float
    burst: int
    weights: tuple[float, ...]


class Told(Struct, frozen=True):
    """What came of it, by couple, telling and measure; none depends on another.

    net: by day and domain, the entries of me less those of the partner. first_day: by couple and telling, the first day
    on which it counts anything, or the number of days if there is none.
    """

    net: np.ndarray
    first_day: np.ndarray


def tell(rng: np.random.Generator, habit: Habit, couples: int, days: int) -> Told:
    """So many couples over so many days. Entries (or bursts) fall on days by chance, at the same rate on each."""
    shape = (couples, TELLINGS, MEASURES, days, DOMAINS)
    diary_days = couples * TELLINGS * MEASURES * days
    n = rng.poisson(diary_days * habit.entries_a_day / habit.burst)
    at = rng.integers(diary_days, size=n) * DOMAINS + rng.choice(DOMAINS, size=n, p=habit.weights)
    says = np.where(rng.random(n) < habit.share, habit.burst, -habit.burst)
    net = np.bincount(at, weights=says, minlength=diary_days * DOMAINS).reshape(shape)
    told = np.bincount(at, minlength=diary_days * DOMAINS).reshape(shape).any(axis=(2, 4))
    return Told(net, np.where(told.any(axis=2), told.argmax(axis=2), days))
