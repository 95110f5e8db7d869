"""What clients are generated with, as far as it can be looked at without the generators."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.clients.workshop import OPENAPI, ROOT, blocks

CLIENTS = OPENAPI / "clients"
LANGUAGES = ("typescript", "python", "kotlin", "swift")
LOCKS = [CLIENTS / "requirements.lock", *(CLIENTS / one / "package-lock.json" for one in ("typescript", "kotlin"))]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(CLIENTS)))
def test_a_lock_file_names_no_registry(lock: Path) -> None:
    text = lock.read_text()
    assert "resolved" not in text
    assert not re.search(r"--(extra-)?index|--find-links|registry\.|pypi", text)


def test_every_python_package_has_a_hash() -> None:
    wanted = re.findall(r"^[\w.-]+==\S+[^\n]*", (CLIENTS / "requirements.lock").read_text(), re.MULTILINE)
    assert len(wanted) > 20
    assert [line for line in wanted if not line.endswith("\\")] == []


@pytest.mark.parametrize("language", ["kotlin", "swift"])
def test_a_generator_is_told_what_matters(language: str) -> None:
    settings = yaml.safe_load((CLIENTS / language / "generator.yaml").read_text())
    assert settings["inputSpec"] == "../../openapi.json"
    assert settings["additionalProperties"]["enumUnknownDefaultCase"] is True


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_says_how_and_what_to_set(language: str) -> None:
    told = (CLIENTS / language / "README.md").read_text()
    assert blocks(told, "sh")
    for topic in ("unknown words", "unknown kinds of events", "offset", "`TrendPoint.counts`"):
        assert topic in told.lower() or topic in told, topic
    assert f"]({language}/README.md)" in (CLIENTS / "README.md").read_text()


@pytest.mark.parametrize("language", ["typescript", "kotlin", "swift"])
def test_a_quickstart_begins_with_the_service_and_is_found(language: str) -> None:
    name = f"docs/quickstart-{language}.md"
    assert blocks((ROOT / name).read_text(), "sh")[0] == "make serve\n"
    assert f"]({name})" in (ROOT / "README.md").read_text()


def test_typescript_stays_where_its_generator_runs() -> None:
    package = json.loads((CLIENTS / "typescript" / "package.json").read_text())
    assert package["devDependencies"]["typescript"].startswith("^5.")
