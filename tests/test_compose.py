"""docker-compose.yml and Dockerfile, read: no container engine is needed, and none is run.

The schema is the one that the Compose project publishes, as check-jsonschema carries it.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.core.mail import start_tls_of
from service.settings import Settings

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return read


def test_follows_the_published_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*command, ROOT / "docker-compose.yml"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_every_service_has_something_to_run(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"database", "migrate", "service", "mail"}
    assert all("image" in each or "build" in each for each in compose["services"].values())


def test_the_database_is_postgresql_18_on_a_named_volume(compose: dict[str, Any]) -> None:
    database = compose["services"]["database"]
    assert database["image"] == "postgres:18"
    # Since 18 the image keeps its data in a directory of the version below this one.
    assert database["volumes"] == ["database:/var/lib/postgresql"]
    assert "database" in compose["volumes"]
    assert database["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]


def test_the_keys_outlive_a_container_and_lie_apart_from_the_data(compose: dict[str, Any]) -> None:
    service = compose["services"]["service"]
    assert service["environment"]["MUTUALITY_KEYS_DIR"] == "/keys"
    assert service["volumes"] == ["keys:/keys"]
    assert "keys" in compose["volumes"]


def test_the_service_waits_for_its_migrations(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["migrate"]["command"] == ["python", "-m", "service", "migrate"]
    assert services["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert services["service"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_there_is_no_password_but_the_operators(compose: dict[str, Any]) -> None:
    asked = re.findall(r"\$\{MUTUALITY_POSTGRES_PASSWORD([^}]*)\}", (ROOT / "docker-compose.yml").read_text())
    assert set(asked) == {":?set it, or put it into .env"}
    assert len(asked) == 2


def test_who_serves_does_not_know_who_migrates(compose: dict[str, Any]) -> None:
    services = compose["services"]
    serving, migrating = [services[name]["environment"]["MUTUALITY_DATABASE_URL"] for name in ("service", "migrate")]
    assert serving == "postgresql://database:5432/mutuality"
    assert migrating.startswith("postgresql://mutuality:${MUTUALITY_POSTGRES_PASSWORD:?")
    # The passwords of the roles are made from a secret there.
    assert services["migrate"]["volumes"] == services["service"]["volumes"] == ["keys:/keys"]


def test_mail_reaches_a_mailbox_that_has_no_tls(compose: dict[str, Any]) -> None:
    assert compose["services"]["service"]["environment"]["MUTUALITY_SMTP_URL"] == "smtp+plain://mail:1025"
    assert start_tls_of("smtp+plain", "mail") is False


def test_nothing_is_open_to_other_machines(compose: dict[str, Any]) -> None:
    ports = [port for each in compose["services"].values() for port in each.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", ["migrate", "service"])
def test_its_settings_exist(compose: dict[str, Any], name: str) -> None:
    known = {f"MUTUALITY_{field.upper()}" for field in Settings.model_fields}
    assert set(compose["services"][name]["environment"]) <= known


def test_the_image_is_not_run_by_root_and_watches_itself() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "USER mutuality" in lines
    assert any(line.startswith("HEALTHCHECK") for line in lines)
    assert lines[-1] == 'CMD ["python", "-m", "service", "serve"]'


def test_the_image_gets_every_file_it_copies() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = {line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line}
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)
