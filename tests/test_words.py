"""The service describes and never grades: some words stand in no text of it. Their list stands here alone."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.phones import Running

ROOT = Path(__file__).parents[1]
WORDS = ["score", "owe", "debt", "win", "rank", "streak", "goal"]
# Whole words, in any case, one or many; an underscore does not hide one.
FORBIDDEN = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(WORDS)})s?(?![A-Za-z0-9])", re.IGNORECASE)
NAMES_OF_OTHERS = re.compile(r"\.DEFAULT_GOAL\b")  # a variable of make
NOT_OURS = {".git", ".venv", ".clients", ".data", ".demo-data", ".tools", "generated", "node_modules", "built"}
BINARY = {".gz", ".png", ".ico", ".parquet"}


def found_in(text: str) -> list[str]:
    """The forbidden words in a text, each with what stands around it."""
    ours = NAMES_OF_OTHERS.sub("", text)
    return [ours[max(hit.start() - 30, 0) : hit.end() + 30] for hit in FORBIDDEN.finditer(ours)]


def our_files() -> Iterator[Path]:
    """Every text file of this tree, but for this one and what tools have left."""
    for path in sorted(ROOT.rglob("*")):
        inside = path.relative_to(ROOT).parts
        ours = not NOT_OURS.intersection(inside) and not any(
            "cache" in part or part == ".hypothesis" for part in inside
        )
        if ours and path.is_file() and path != Path(__file__) and path.suffix not in BINARY:
            yield path


@pytest.mark.parametrize("text", ["The Score", "a goal.", "win_rate", "who-owes", "DEBTS", "rank1 rank", "my streak"])
def test_the_words_are_found(text: str) -> None:
    assert found_in(text)


@pytest.mark.parametrize("text", ["window", "win32", "allowed", "frank", "scored", "goalless", "following", "indebted"])
def test_what_only_contains_one_is_no_such_word(text: str) -> None:
    assert not found_in(text)


def test_no_file_has_one() -> None:
    files = list(our_files())
    names = {str(path.relative_to(ROOT)) for path in files}
    assert names >= {"README.md", "openapi/openapi.json", "service/accounts/sessions.py", "Makefile"}
    assert names >= {"service/web_app/src/texts/en.ts", "service/web_app/src/texts/de.ts"}
    assert {name: hits for name in names if (hits := found_in((ROOT / name).read_text(errors="replace")))} == {}


async def test_no_page_has_one(service: Running) -> None:
    phone = service.phone()
    pages = [f"/docs/{name}" for name in service.app.state.pages() if name]
    assert len(pages) > 50
    for path in ("/openapi.json", "/docs", "/docs/style.css", *pages):
        page = await phone.call("GET", path)
        assert page.status_code == 200
        assert found_in(page.text) == []


async def test_no_mail_has_one(service: Running) -> None:
    await service.phone().expect(202, "POST", "/v1/sign-in-codes", {"email": "someone@example.org"})
    mail = await service.post.next_mail("someone@example.org")
    assert "code" in str(mail["Subject"])
    assert found_in(mail.as_string()) == []
