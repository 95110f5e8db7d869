"""The client in Python tells the whole story to a running service."""

from pathlib import Path

import pytest

from tests.clients.workshop import OPENAPI, commands, folder_of, python_tools, sh

pytestmark = [pytest.mark.clients, pytest.mark.database]


def test_the_story_is_told_in_python(started: tuple[str, Path]) -> None:
    address, console = started
    python_tools()
    folder = folder_of("python")
    sh(f"rm -rf templates && cp -r {OPENAPI}/clients/python/templates .", folder)
    generate, story = commands(folder / "README.md")
    sh(generate, folder)
    told = sh(story.replace("http://127.0.0.1:8000", address).replace("console.txt", str(console)), folder)
    assert told == "The whole story was told.\n"
