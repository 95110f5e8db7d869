"""The published tables, read from their files."""

import csv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COUPLES_COPE = ROOT.parent / "shared" / "data" / "CouplesCope.csv"


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a table by column."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def house_tasks() -> list[dict[str, str]]:
    """A row for each task: who does it, in the wife's words."""
    return rows_of(ROOT / "tests" / "data" / "housetasks.csv")


def sexual_fun() -> list[dict[str, str]]:
    """A row for each pair of answers: how many couples gave it."""
    return rows_of(ROOT / "tests" / "data" / "sexualfun.csv")


def couples_cope() -> list[dict[str, str]]:
    """A row for each couple; skips the test where the table, which may not be copied, is missing."""
    if not COUPLES_COPE.exists():
        pytest.skip(f"{COUPLES_COPE.name} is not in ../shared/data; its licence keeps it out of this repository")
    return rows_of(COUPLES_COPE)
