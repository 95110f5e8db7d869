"""What is printed in the end: each figure beside what is to be reached."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from tqdm import tqdm

Measured = TypeVar("Measured")


class Setting(Struct, frozen=True):
    """How long to look, and where. `size` scales what is filled or sent in bulk: 1 is what the issue asks for."""

    folder: Path
    url: str
    rounds: int
    seconds: float
    size: float


class Figure(Struct, frozen=True):
    """One line of the table; `reached` is null where nothing is asked for."""

    what: str
    to_reach: str
    measured: str
    reached: bool | None


def at_least(what: str, figure: float, least: float, note: str = "") -> Figure:
    """A figure that is to be large."""
    return Figure(what, f">= {least:g}", f"{figure:.3g}{_noted(note)}", figure >= least)


def at_most(what: str, figure: float, most: float, note: str = "") -> Figure:
    """A figure that is to be small."""
    return Figure(what, f"<= {most:g}", f"{figure:.3g}{_noted(note)}", figure <= most)


def only(what: str, measured: str) -> Figure:
    """What is good to know."""
    return Figure(what, "", measured, None)


def _noted(note: str) -> str:
    return f" ({note})" if note else ""


def in_turn(measured: Mapping[str, Callable[[], Measured]], rounds: int) -> dict[str, list[Measured]]:
    """What each measurement gave, a round after the other: what slows the machine for a while slows them alike."""
    found: dict[str, list[Measured]] = {name: [] for name in measured}
    turns = [name for _ in range(rounds) for name in measured]
    for name in (bar := tqdm(turns, unit=" measurements", leave=False, disable=None)):
        bar.set_description(name)
        found[name].append(measured[name]())
    return found


def ratio(these: Sequence[float], those: Sequence[float]) -> float:
    """The median over the rounds of one figure as a multiple of another."""
    return statistics.median(a / b for a, b in zip(these, those, strict=True))


def median(figures: Iterable[float]) -> float:
    """The middle one."""
    return statistics.median(figures)


def show(figures: Sequence[Figure]) -> str:
    """The table, in Markdown."""
    said = {None: "", True: "reached", False: "NOT reached"}
    rows = [("what", "to reach", "measured", "")]
    rows += [(figure.what, figure.to_reach, figure.measured, said[figure.reached]) for figure in figures]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
