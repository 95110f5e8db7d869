"""python -m tests.simulation [--quick]: how often chance alone makes a reading, in one table.

Simulated couples record by chance, and somebody looks every day for a year at both tellings, at who initiates and who
decides, over all domains together and in each of the ten, in windows of 28, 90 and 365 days. What they see is read by
the service's own statistics, from occasions.
"""

import argparse
import math
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct
from tqdm import tqdm

from tests.simulation.diaries import DOMAINS, Habit, tell
from tests.simulation.looking import Seen, ever_seen
from tests.simulation.quarters import occasions_to_see, years

SEED = 14
RATES = (0.3, 1.0, 3.0, 8.0)
BURSTS = {1: "one by one", 3: "bursts of 3"}
SPREADS = {
    "uneven": tuple(1 / place / sum(1 / p for p in range(1, DOMAINS + 1)) for place in range(1, DOMAINS + 1)),
    "even": (1 / DOMAINS,) * DOMAINS,
}
YEARS = {"first": range(365), "second": range(365, 730)}
COUPLES_TOGETHER = 100

ASSUMED = """\
Simulated with seed {seed}; {couples:,} couples in each figure, {few:,} where a figure is one split (each couple has 4).
± is the standard error. "a day": entries of each telling in each measure, on days by chance (Poisson).
The tellings and measures of a couple are independent: what they have in common would make false readings rarer.
Domains: even, or uneven as 1 to 1/2 to 1/3 … to 1/10. Bursts of 3 are as many entries, three at once with one answer;
three for each entry instead would be the same occasions as one by one.
Years: the first of a couple, and the second, in which windows have moved on from the first day.
"""


class Question(Struct, frozen=True):
    """One thing that is looked for; its figure is to be at most, or at least, so much in 100."""

    what: str
    share: float
    seen: Seen
    scopes: Sequence[bool]
    by_couple: bool
    rates: Sequence[float] = RATES
    most: float = math.inf
    least: float = -math.inf


FALSE_LEAN = Question("even couples: any lean in a year", 0.5, "leans", (False, True), by_couple=True, most=5)
ABOUT_EVEN = Question("a true .65: about_even in a year", 0.65, "about_even", (False,), by_couple=False, most=2)
LEAN_SHOWS = Question(
    "80/20: leans within 60 days", 0.8, "leans_to_me", (False,), by_couple=False, rates=(1.0,), least=85
)


class Row(Struct, frozen=True):
    """A question under one condition: how often, and the number of couples or splits that it is of, by rate."""

    question: Question
    spread: str
    days: range
    year: str
    burst: int
    found: dict[float, tuple[float, int]]


def rows_to_simulate() -> Iterator[Row]:
    """The table without its figures."""
    for question in (FALSE_LEAN, ABOUT_EVEN):
        for year, days in YEARS.items():
            for spread in SPREADS:
                for burst in BURSTS:
                    yield Row(question, spread, days, year, burst, {})
    for spread in SPREADS:
        yield Row(LEAN_SHOWS, spread, range(60), "first", 1, {})


def simulate(couples: int, few: int) -> list[Row]:
    """The table: so many couples where a figure is about a couple, so few where it is about each of its splits."""
    rows = list(rows_to_simulate())
    cells = [(row, rate) for row in rows for rate in row.question.rates]
    for i, (row, rate) in enumerate(tqdm(cells, unit=" figures", leave=False, disable=None)):
        # Each of its own seed, so that a figure does not depend on those before it.
        rng = np.random.default_rng([SEED, i])
        row.found[rate] = how_often(rng, row, rate, couples if row.question.by_couple else few)
    return rows


def how_often(rng: np.random.Generator, row: Row, rate: float, couples: int) -> tuple[float, int]:
    """The share of couples, or of their splits, that ever show what is looked for; and how many there are."""
    habit = Habit(row.question.share, rate, row.burst, SPREADS[row.spread])
    met: list[bool] = []
    while couples > 0:
        told = tell(rng, habit, min(couples, COUPLES_TOGETHER), row.days.stop)
        by_split = np.any(
            [ever_seen(told, row.days, row.question.seen, scope) for scope in row.question.scopes], axis=0
        )
        met += (by_split.any(axis=(1, 2)) if row.question.by_couple else by_split.ravel()).tolist()
        couples -= COUPLES_TOGETHER
    return sum(met) / len(met), len(met)


def show(rows: Sequence[Row]) -> str:
    """The table in Markdown, figures in 100."""
    lines = [["in 100", "year", "domains", "entries", *(f"{rate:g} a day" for rate in RATES), "to reach", ""]]
    lines += [
        [
            row.question.what,
            row.year,
            row.spread,
            BURSTS[row.burst],
            *(_cell(*row.found[rate]) if rate in row.found else "" for rate in RATES),
            f"<= {row.question.most:g}" if row.question.most < math.inf else f">= {row.question.least:g}",
            verdict(row),
        ]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    printed = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    printed.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(printed)


def _cell(share: float, n: int) -> str:
    return f"{100 * share:.2f} ± {100 * _error(share, n):.2f}"


def verdict(row: Row) -> str:
    """Whether all figures of a row are as they are to be; unclear where one misses by less than 2 standard errors."""
    beyond = [
        (max(100 * share - row.question.most, row.question.least - 100 * share), 100 * _error(share, n))
        for share, n in row.found.values()
    ]
    if any(by > 2 * error for by, error in beyond):
        return "NOT reached"
    return "unclear" if any(by > 0 for by, _ in beyond) else "reached"


def _error(share: float, n: int) -> float:
    return math.sqrt(share * (1 - share) / n)


def main() -> None:
    """Simulate, and print what was assumed and found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few couples: to see that it works")
    couples, few = (200, 100) if parser.parse_args().quick else (4000, 2500)
    print(ASSUMED.format(seed=SEED, couples=couples, few=4 * few))
    print(show(simulate(couples, few)))
    print(QUARTERS)
    print(show_quarters(couples))


QUARTERS = """
Quarters: each is looked at once, beside the one before, in all figures (asks; in two tellings initiates, decides,
counted) and all eleven scopes. Nothing changes: any "moved" is false. At most 2 in 100 years, of counted alone 1.
"""


def show_quarters(couples: int) -> str:
    """How often a year shows a change where there is none, and what it takes to see one."""
    rates = " | ".join(f"{rate:g} a day" for rate in RATES)
    lines = [f"| in 100 years | share | domains | {rates} |", "|---" * (3 + len(RATES)) + "|"]
    for s, share in enumerate((0.5, 0.7)):
        for w, (spread, weights) in enumerate(SPREADS.items()):
            seeds = [[SEED, 1000, s, w, r] for r in range(len(RATES))]
            found = [
                years(np.random.default_rng(seed), Habit(share, rate, 1, weights), couples)
                for seed, rate in zip(seeds, RATES, strict=True)
            ]
            lines.append(_quarters_row("any figure", share, spread, [year.any_figure for year in found]))
            lines.append(_quarters_row("counted alone", share, spread, [year.counted for year in found]))
    needed = occasions_to_see(0.5, 0.8, (0.5, 0.8, 0.9))
    seen = [f".5 to .8 is seen in {100 * chance:g} of 100 cases with {n} occasions a quarter" for chance, n in needed]
    return "\n".join([*lines, "", *seen])


def _quarters_row(what: str, share: float, spread: str, met: Sequence[np.ndarray]) -> str:
    cells = " | ".join(_cell(float(one.mean()), len(one)) for one in met)
    return f"| {what} | {share:g} | {spread} | {cells} |"


if __name__ == "__main__":
    main()
