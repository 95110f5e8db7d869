"""The runner of migrations, on a real server, with SQL files of the tests' own."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import asyncpg
import pytest

from service.database.migrate import migrate, pending, statements
from service.errors import MigrationError
from tests.support.postgres import execute, in_database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

Write = Callable[[str, str], Path]
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes one SQL file into tmp_path."""

    def write_one(name: str, sql: str) -> Path:
        path = tmp_path / f"{name}.sql"
        path.write_text(sql)
        return path

    return write_one


@pytest.fixture
async def connection(empty_database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


async def test_applies_each_file_once_in_order(connection: Connection, write: Write, tmp_path: Path) -> None:
    write("0002_more", "ALTER TABLE things ADD COLUMN b int;")
    write("0001_things", "CREATE TABLE things (a int);")

    assert await pending(connection, tmp_path) == ["0001_things", "0002_more"]
    assert await migrate(connection, NOW, tmp_path) == ["0001_things", "0002_more"]
    assert await migrate(connection, NOW, tmp_path) == []
    assert await pending(connection, tmp_path) == []


async def test_records_number_name_checksum_and_the_time_of_the_caller(
    connection: Connection, write: Write, tmp_path: Path
) -> None:
    write("0007_nothing", "-- only a comment\n")
    await migrate(connection, NOW, tmp_path)

    row = await connection.fetchrow("SELECT number, name, length(checksum), applied_at FROM schema_migrations")
    assert row is not None
    assert tuple(row) == (7, "0007_nothing", 64, NOW)


async def test_takes_a_dsn(empty_database_url: str, write: Write, tmp_path: Path) -> None:
    write("0001_things", "CREATE TABLE things (a int);")
    assert await migrate(empty_database_url, NOW, tmp_path) == ["0001_things"]


async def test_line_ends_do_not_matter(connection: Connection, write: Write, tmp_path: Path) -> None:
    path = write("0001_things", "CREATE TABLE things\n(a int);\n")
    await migrate(connection, NOW, tmp_path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert await pending(connection, tmp_path) == []


async def test_a_failing_file_leaves_nothing_behind(connection: Connection, write: Write, tmp_path: Path) -> None:
    write("0001_first", "CREATE TABLE first (a int);")
    bad = write("0002_second", "CREATE TABLE second (a int); SELECT nonsense;")

    with pytest.raises(MigrationError, match=r"0002_second failed at .* .SELECT nonsense.*nonsense. does not exist"):
        await migrate(connection, NOW, tmp_path)
    assert await connection.fetchval("SELECT to_regclass('first') IS NOT NULL")
    assert await connection.fetchval("SELECT to_regclass('second') IS NULL")

    bad.write_text("CREATE TABLE second (a int);")
    assert await migrate(connection, NOW, tmp_path) == ["0002_second"]


async def test_refuses_a_changed_file(connection: Connection, write: Write, tmp_path: Path) -> None:
    path = write("0001_things", "CREATE TABLE things (a int);")
    await migrate(connection, NOW, tmp_path)
    path.write_text("CREATE TABLE things (a bigint);")

    with pytest.raises(MigrationError, match="0001_things was changed after it had been applied"):
        await migrate(connection, NOW, tmp_path)
    with pytest.raises(MigrationError, match="0001_things was changed"):
        await pending(connection, tmp_path)


async def test_refuses_a_missing_file(connection: Connection, write: Write, tmp_path: Path) -> None:
    path = write("0001_things", "CREATE TABLE things (a int);")
    await migrate(connection, NOW, tmp_path)
    path.unlink()
    with pytest.raises(MigrationError, match="0001_things was applied to this database, but there is no such"):
        await migrate(connection, NOW, tmp_path)


async def test_refuses_a_renumbered_and_a_renamed_file(connection: Connection, write: Write, tmp_path: Path) -> None:
    path = write("0001_things", "CREATE TABLE things (a int);")
    await migrate(connection, NOW, tmp_path)

    renumbered = path.rename(tmp_path / "0002_things.sql")
    with pytest.raises(MigrationError, match="0001_things was applied"):
        await migrate(connection, NOW, tmp_path)

    renumbered.rename(tmp_path / "0001_stuff.sql")
    with pytest.raises(MigrationError, match="Number 0001 was applied as 0001_things, but the file is 0001_stuff"):
        await migrate(connection, NOW, tmp_path)


async def test_refuses_a_new_file_before_an_applied_one(connection: Connection, write: Write, tmp_path: Path) -> None:
    write("0002_things", "CREATE TABLE things (a int);")
    await migrate(connection, NOW, tmp_path)
    write("0001_late", "SELECT 1;")
    with pytest.raises(MigrationError, match=r"0001_late comes before 0002_things.* a number after 0002"):
        await migrate(connection, NOW, tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [(["0001_a", "0001_b"], "the same number"), (["1_a"], "not named"), (["0001-a"], "not named")],
)
async def test_refuses_bad_names(
    connection: Connection, write: Write, tmp_path: Path, names: list[str], message: str
) -> None:
    for name in names:
        write(name, "SELECT 1;")
    with pytest.raises(MigrationError, match=message):
        await migrate(connection, NOW, tmp_path)


async def test_processes_at_once_apply_each_file_once(empty_database_url: str, write: Write, tmp_path: Path) -> None:
    for number in range(1, 6):
        write(f"{number:04}_table", f"CREATE TABLE t{number} (a int);")
    applied = await asyncio.gather(*(migrate(empty_database_url, NOW, tmp_path) for _ in range(6)))
    assert sorted(name for names in applied for name in names) == [f"{number:04}_table" for number in range(1, 6)]


# --- The role


async def test_the_service_role_is_bound_and_granted(connection: Connection, write: Write, tmp_path: Path) -> None:
    await migrate(connection, NOW, tmp_path)
    row = await connection.fetchrow(
        "SELECT rolcanlogin, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = 'mutuality_service'"
    )
    assert row is not None
    assert tuple(row) == (True, False, False)
    await connection.execute("SET ROLE mutuality_service")
    assert await pending(connection, tmp_path) == []


@pytest.fixture
async def owner(connection: Connection, empty_database_url: str) -> AsyncIterator[str]:
    """The DSN of an ordinary user who owns the database and may make roles, but did not make this one."""
    database = await connection.fetchval("SELECT current_database()")
    name = f"owner_of_{database}"
    await connection.execute(f"CREATE ROLE {name} LOGIN CREATEROLE")
    await connection.execute(f"ALTER DATABASE {database} OWNER TO {name}")
    yield empty_database_url.replace("postgres@", f"{name}@")
    await connection.execute(f"REASSIGN OWNED BY {name} TO postgres; DROP OWNED BY {name}; DROP ROLE {name}")


async def test_an_ordinary_user_is_told_what_an_administrator_has_to_do(
    connection: Connection, owner: str, write: Write, tmp_path: Path
) -> None:
    if connection.get_server_version().major < 16:
        pytest.skip("until PostgreSQL 15 whoever may make roles may also make themselves a member of any")
    write("0001_things", "CREATE TABLE things (a int); GRANT SELECT ON things TO mutuality_service;")
    with pytest.raises(MigrationError, match="An administrator has to, once") as refused:
        await migrate(owner, NOW, tmp_path)

    asked = str(refused.value).partition("once: ")[2]
    assert re.search(r"GRANT mutuality_owner TO \w+;", asked)
    await connection.execute(asked)
    assert await migrate(owner, NOW, tmp_path) == ["0001_things"]


async def test_databases_migrated_at_once_share_the_role(postgres_url: str, write: Write, tmp_path: Path) -> None:
    write("0001_things", "CREATE TABLE things (a int); GRANT SELECT ON things TO mutuality_service;")
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(database(postgres_url)) for _ in range(4)]
        applied = await asyncio.gather(*(migrate(url, NOW, tmp_path) for url in urls))
    assert applied == [["0001_things"]] * 4


@asynccontextmanager
async def database(postgres_url: str) -> AsyncIterator[str]:
    name = f"race_{uuid4().hex}"
    await execute(postgres_url, f"CREATE DATABASE {name}")
    yield in_database(postgres_url, name)
    await execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


# --- The splitter


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1; SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
        (" ;; \n ; ", []),
        ("-- a; b\nSELECT 1 -- c;\n;", ["SELECT 1"]),
        ("/* a; /* b; */ c; */ SELECT/**/1;", ["SELECT 1"]),
        ("SELECT 'a;--b', 'it''s;';", ["SELECT 'a;--b', 'it''s;'"]),
        (r"SELECT E'\';', e'\\';SELECT 2", [r"SELECT E'\';', e'\\'", "SELECT 2"]),
        (r"SELECT '\';SELECT 2", [r"SELECT '\'", "SELECT 2"]),
        ('SELECT 1 AS "a;""b";', ['SELECT 1 AS "a;""b"']),
        ("DO $$ BEGIN; END $$; SELECT 2", ["DO $$ BEGIN; END $$", "SELECT 2"]),
        ("DO $a$ $$;$$ $b$;$b$ $a$;", ["DO $a$ $$;$$ $b$;$b$ $a$"]),
        ("SELECT $1; SELECT a$b$c; SELECT $2", ["SELECT $1", "SELECT a$b$c", "SELECT $2"]),
    ],
)
def test_splits_into_statements(sql: str, expected: list[str]) -> None:
    assert list(statements(sql)) == expected


def test_a_comment_without_an_end_is_refused() -> None:
    with pytest.raises(MigrationError, match="does not end"):
        list(statements("SELECT 1; /* so on"))
