"""The classes in Kotlin are compiled, and what the service says comes out of them as it went in."""

import json
import re

import pytest

from tests.clients.answers import real_answers
from tests.clients.workshop import commands, folder_of, need, node_packages, python_tools, sh
from tests.support.phones import Running

pytestmark = [pytest.mark.clients, pytest.mark.database]


async def test_examples_and_real_answers_go_through_the_classes(service: Running) -> None:
    for program in ("java", "npm"):
        need(program, "the client in Kotlin was not generated, and not compiled.")
    answers = await real_answers(service)
    python_tools()
    folder = folder_of("kotlin")
    node_packages(folder)
    (folder / "answers.json").write_text(json.dumps(answers))
    generate, compile_and_run = commands(folder / "README.md")
    sh(generate, folder)
    told = sh(f"{compile_and_run.rstrip()} answers.json", folder)
    found = re.fullmatch(r"(\d+) of (\d+) came out as they went in\.\n", told)
    assert found
    assert found[1] == found[2]
    assert int(found[1]) > len(answers) + 100
