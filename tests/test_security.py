"""SECURITY.md is true as far as a program can tell: all rules are there, and the tests that it names exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| (R?[0-9.]+) \| (.+?) \| (.+) \|$", re.MULTILINE)
LINES = {number: (said, held) for number, said, held in ROW.findall((ROOT / "SECURITY.md").read_text())}

SECTIONS = {"1", "3", "4", "5", "6"}
RULES = {f"R{number}" for number in range(1, 27)}
ASVS = {
    *(
        "2.3.3",
        "2.4.1",
        "3.4.1",
        "3.4.5",
        "3.4.6",
        "4.1.3",
        "6.3.5",
        "6.3.7",
        "6.3.8",
        "6.5.2",
        "6.5.3",
        "6.5.4",
        "6.5.5",
        "6.6.2",
        "6.6.3",
        "6.8.1",
        "7.2.3",
    ),
    *("7.4.1", "7.4.2", "7.4.3", "7.5.1", "7.5.2", "7.5.3", "8.2.1", "8.2.2", "8.2.3", "8.3.2", "8.4.1"),
    *("9.1.1", "9.1.2", "9.1.3", "9.2.1", "9.2.2", "9.2.3", "9.2.4", "10.4.5", "10.4.8"),
    *("10.5.1", "10.5.2", "10.5.3", "10.5.4", "11.2.2", "11.3.2", "11.3.3", "11.3.4", "12.2.1", "13.2.2", "13.2.3"),
    *(
        "14.2.1",
        "14.2.7",
        "14.3.2",
        "15.2.2",
        "15.3.3",
        "15.4.2",
        "16.2.5",
        "16.3.2",
        "16.5.1",
        "16.5.2",
        "16.5.3",
        "16.5.4",
    ),
}


@cache
def names_in(file: str) -> frozenset[str]:
    """The tests of a file, those of its classes as Class::test; none where there is no such file."""
    path = ROOT / file
    return frozenset(_named(ast.parse(path.read_text()).body, "")) if path.is_file() else frozenset()


def _named(body: list[ast.stmt], inside: str) -> list[str]:
    found: list[str] = []
    for one in body:
        if isinstance(one, ast.ClassDef) and one.name.startswith("Test"):
            found += _named(one.body, f"{inside}{one.name}::")
        elif isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name.startswith("test"):
            found.append(inside + one.name)
    return found


def named(held: str) -> list[str]:
    """The tests that a line names, without those that it only announces."""
    return re.findall(r"`([^`]+)`", held.partition("TODO")[0])


def test_every_rule_has_its_line() -> None:
    assert LINES.keys() == SECTIONS | RULES | ASVS


@pytest.mark.parametrize("number", LINES)
def test_what_a_line_names_exists(number: str) -> None:
    said, held = LINES[number]
    assert said.endswith(".")
    assert [one for one in named(held) if one.partition("::")[2] not in names_in(one.partition("::")[0])] == []


@pytest.mark.parametrize("number", LINES)
def test_a_line_names_a_test_or_says_why_not(number: str) -> None:
    held = LINES[number][1]
    assert named(held) or "TODO" in held


@pytest.mark.parametrize("number", LINES)
def test_what_is_announced_is_not_there_yet(number: str) -> None:
    announced = re.findall(r"`([^`]+)`", LINES[number][1].partition("TODO")[2])
    assert [one for one in announced if one in all_in(one.partition("::")[0])] == []


def all_in(file: str) -> set[str]:
    """By which names a file could be announced, if it exists: its own, and those of its tests."""
    return {file, *(f"{file}::{name}" for name in names_in(file))} if (ROOT / file).is_file() else set()
