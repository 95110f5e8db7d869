"""What an operator types, as far as it is not shown by the README's tour."""

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import structlog

from service.__main__ import main
from service.cli import database
from service.database import embedded
from service.database.migrate import migrate
from tests.support.phones import NOON

HERE = "/v1/relationships/{rid}"


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A command sets up logs for the standard error of its own process, which here is one of a test's."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def lasting_database() -> Iterator[str]:
    """A server that loses nothing until a test says otherwise."""
    folder = Path(tempfile.mkdtemp(prefix="mutuality-tests-"))
    with embedded.running(folder) as url:
        asyncio.run(migrate(url, NOON))
        yield url
    shutil.rmtree(folder, ignore_errors=True)


async def set_to(url: str, name: str, value: str) -> None:
    """Change a setting of the whole server; who connects from now on has it."""
    db = await asyncpg.connect(url)
    await db.execute(f"ALTER SYSTEM SET {name} = {value}")
    await db.execute("SELECT pg_reload_conf()")
    for _ in range(500):
        if await db.fetchval("SELECT current_setting($1)", name) == value:
            return await db.close()
        await asyncio.sleep(0.01)
    raise AssertionError(f"{name} stays what it was")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "abc", "MUTUALITY_PORT"),
        ("DATABASE_URL", "mysql://somewhere/else", "database cannot be reached"),
        ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none", "database cannot be reached"),
    ],
)
def test_what_goes_wrong_at_the_start_is_said_in_one_sentence(
    name: str,
    value: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("MUTUALITY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv(f"MUTUALITY_{name}", value)
    monkeypatch.setattr(sys, "argv", ["service", "rebuild"])
    assert main() == 1
    told = capsys.readouterr().err.strip()
    assert said in told
    assert len(told.splitlines()) == 1


@pytest.mark.database
@pytest.mark.parametrize(("given", "said"), [([], "Nothing is parked."), (["--clear"], "Cleared: 0.")])
def test_an_operator_sees_and_clears_what_is_parked(
    given: list[str],
    said: str,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MUTUALITY_DATABASE_URL", database_url)
    monkeypatch.setattr(sys, "argv", ["service", "parked", *given])
    assert main() == 0
    assert capsys.readouterr().out.strip() == said


@pytest.mark.database
@pytest.mark.parametrize("unsafe", ["fsync", "full_page_writes", "synchronous_commit"])
def test_nothing_is_served_where_an_answer_could_be_lost(
    unsafe: str,
    lasting_database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("MUTUALITY_DATA_DIR", str(tmp_path))
    asyncio.run(set_to(lasting_database, unsafe, "off"))
    try:
        for command in ("serve", "demo"):
            monkeypatch.setenv("MUTUALITY_DATABASE_URL", lasting_database)
            monkeypatch.setenv("MUTUALITY_HOST", "no address")  # so that nothing is served by mistake
            monkeypatch.setattr(sys, "argv", ["service", command])
            assert main() == 1
            assert f": {unsafe} must be on" in capsys.readouterr().err
    finally:
        asyncio.run(set_to(lasting_database, unsafe, "on"))


@pytest.mark.database
def test_what_lasts_is_served_with_any_kind_of_waiting_for_the_disk(lasting_database: str) -> None:
    for kind in ("on", "local", "remote_write", "remote_apply"):
        asyncio.run(set_to(lasting_database, "synchronous_commit", kind))
        asyncio.run(database.require_durability(lasting_database))


COMMAND_AND_LIMITS = """
import os, resource, sys
from service.__main__ import main
sys.argv = ["service", "openapi"]
main()
print(resource.getrlimit(resource.RLIMIT_CORE), os.system("exit $(ulimit -c)"), file=sys.stderr)
"""


def test_no_command_leaves_a_dump_of_its_memory() -> None:
    ran = subprocess.run([sys.executable, "-c", COMMAND_AND_LIMITS], capture_output=True, text=True, check=True)
    assert ran.stderr.splitlines()[-1] == "(0, 0) 0"
