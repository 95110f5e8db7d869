"""The client in TypeScript tells the whole story to a running service."""

from pathlib import Path

import pytest

from tests.clients.workshop import commands, folder_of, need, node_packages, sh

pytestmark = [pytest.mark.clients, pytest.mark.database]


def test_the_story_is_told_in_typescript(started: tuple[str, Path]) -> None:
    need("npm", "the client in TypeScript was not generated, and its story was not told.")
    address, console = started
    folder = folder_of("typescript")
    node_packages(folder)
    build, story = commands(folder / "README.md")
    sh(build.removeprefix("npm ci\n"), folder)
    told = sh(story.replace("http://127.0.0.1:8000", address).replace("console.txt", str(console)), folder)
    assert told == "The whole story was told.\n"
