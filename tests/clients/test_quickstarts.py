"""The quickstarts are true: what stands in them is pasted together, and run against a service as a user starts it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.workshop import ROOT, blocks, commands, folder_of, need, node_packages, python_tools, sh
from tests.support.console import console, wait_for

pytestmark = [pytest.mark.clients, pytest.mark.database]

CODE = r"--- mail to {}@example.org ---.*?Your code to sign in is (\d{{4}} \d{{4}})"


@pytest.fixture(name="started")
def fresh(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A service in which nobody is yet: each quickstart signs in the same two people."""
    with console(tmp_path) as running:
        yield running


def shown_in(text: str) -> str:
    """What a quickstart says will be seen."""
    (seen,) = blocks(text, "")
    return seen


def typed_in(script: str, folder: Path, mails: Path) -> str:
    """What the script says, where somebody types the two codes in as they come."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        ["bash", "-eu", "-c", script], stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=folder
    ) as run:
        assert run.stdin is not None
        for who in ("one", "two"):
            run.stdin.write(f"{wait_for(mails, CODE.format(who), seconds=900)[1]}\n")
            run.stdin.flush()
        said, errors = run.communicate(timeout=60)
    assert run.returncode == 0, said + errors
    return said


def test_typescript(started: tuple[str, Path], tmp_path: Path) -> None:
    need("npm", "the quickstart for TypeScript was not run.")
    address, mails = started
    text = (ROOT / "docs" / "quickstart-typescript.md").read_text().replace("http://127.0.0.1:8000", address)
    folder = tmp_path / "app"
    folder.mkdir()
    serve, generate, run = blocks(text, "sh")
    assert serve == "make serve\n"
    sh(generate, folder)
    (folder / "balance.ts").write_text("\n".join(blocks(text, "ts")))
    assert typed_in(run, folder, mails) == shown_in(text)


def test_kotlin(started: tuple[str, Path]) -> None:
    for program in ("java", "npm"):
        need(program, "the quickstart for Kotlin was not run.")
    address, mails = started
    text = (ROOT / "docs" / "quickstart-kotlin.md").read_text().replace("http://127.0.0.1:8000", address)
    serve, generate, run = blocks(text, "sh")
    assert serve == "make serve\n"
    python_tools()
    folder = folder_of("kotlin")
    node_packages(folder)
    # What installs was run already, to the letter; it is not run twice.
    install = "".join(commands(ROOT / "openapi" / "clients" / "README.md"))
    assert generate.startswith(f"cd openapi/clients\n{install}cd kotlin\nnpm ci\n")
    sh(generate.partition("npm ci\n")[2], folder)
    (folder / "Balance.kt").write_text("\n".join(blocks(text, "kotlin")))
    try:
        assert typed_in(run, folder, mails) == shown_in(text)
    finally:
        (folder / "Balance.kt").unlink()
