"""A role cannot be left: whatever a statement says, a session stays who logged in, and sees what that role may see."""

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from asyncpg import Pool, Record

from service.cli.database import is_ready, migrate_database, migrate_where_needed
from service.database import embedded, logins
from service.database.pool import create_pool
from service.database.roles import OWNER_ROLE, ROLES, SERVICE_ROLE, amiss
from service.errors import MigrationError, StartupError
from tests.support.phones import Running
from tests.support.postgres import FAST, execute, in_memory

# By which a session might become who it was before, what it may not do at all, and what is foreign to each role.
LEAVING = (
    "SET ROLE NONE",
    "RESET ROLE",
    "SELECT set_config('role', 'none', true)",
    "SELECT set_config('role', 'none', false)",
    "SET SESSION AUTHORIZATION DEFAULT",
    "RESET SESSION AUTHORIZATION",
    "RESET ALL",
)
REFUSED = (
    "SET ROLE postgres",
    f"SET ROLE {OWNER_ROLE}",
    "SELECT set_config('role', 'postgres', true)",
    "SET SESSION AUTHORIZATION postgres",
    f"SET SESSION AUTHORIZATION {OWNER_ROLE}",
    "CREATE TEMP TABLE mine ()",
    "CREATE TABLE mine ()",
    "CREATE TABLE keys.mine ()",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine SUPERUSER",
    "ALTER ROLE CURRENT_USER BYPASSRLS",
    "TABLE pg_authid",
    "COPY (SELECT 1) TO PROGRAM 'true'",
)
FOREIGN = {
    "mutuality_service": ("keys.wrapped", "addresses", "sign_in_attempts", "access_tokens"),
    "mutuality_door": ("keys.wrapped", "events", "pages", "devices"),
    "mutuality_keys": ("members", "events", "sessions", "heads"),
    "mutuality_keeper": ("keys.wrapped",),
    "mutuality_prompter": ("keys.wrapped", "events", "pages", "sessions"),
    "mutuality_recorder": ("keys.wrapped", "events", "sessions", "readers", "addresses"),
}
WHO = "SELECT session_user || ' ' || current_user"


def pools(service: Running) -> "dict[str, Pool[Record]]":
    """All pools of the running service, by name."""
    state = service.app.state
    named = {name: getattr(state.context, name) for name in state.context.__struct_fields__ if name.endswith("db")}
    named |= {"lookup_db": state.reader_lookup._db, "counting_db": state.counting_db}
    return named | {"keys_db": state.context.keys._db}


async def test_no_pool_can_leave_its_role(service: Running) -> None:
    roles = set()
    for pool in pools(service).values():
        async with pool.acquire() as db:
            before = await db.fetchval(WHO)
            role = before.split()[0]
            assert before == f"{role} {role}"
            roles.add(role)
            for statement in LEAVING:
                async with db.transaction() if "true" in statement else nothing():
                    await db.execute(statement)
                    assert await db.fetchval(WHO) == before, statement
                    await stays_out(db, role)
            for statement in REFUSED:
                with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.InvalidSchemaNameError)):
                    await db.execute(statement)
    assert roles == set(ROLES)


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


async def stays_out(db: "asyncpg.pool.PoolConnectionProxy[Record]", role: str) -> None:
    """What is foreign to a role is still refused."""
    for table in FOREIGN[role]:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.transaction():
                await db.execute(f"TABLE {table}")


async def test_nobody_above_the_roles_stays_connected(service: Running) -> None:
    await service.couple()
    connected = await service.ask(
        "SELECT DISTINCT usename::text FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert {row[0] for row in connected} <= set(ROLES)
    assert SERVICE_ROLE in {row[0] for row in connected}


async def test_no_role_is_above_owns_or_belongs_to_another(service: Running) -> None:
    strong = await service.ask(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE 'mutuality%' AND"
        " (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication OR rolinherit)"
    )
    belongs = await service.ask("SELECT FROM pg_auth_members WHERE member::regrole::text LIKE 'mutuality%'")
    owns = await service.ask(
        "SELECT DISTINCT refobjid::regrole::text FROM pg_shdepend"
        " WHERE deptype = 'o' AND refclassid = 'pg_authid'::regclass AND refobjid::regrole::text = ANY ($1)",
        list(ROLES),
    )
    log_in = await service.ask("SELECT rolname FROM pg_roles WHERE rolname LIKE 'mutuality%' AND rolcanlogin")
    assert (strong, belongs, owns) == ([], [], [])
    assert {row[0] for row in log_in} == set(ROLES)


async def test_what_protects_belongs_to_the_roles(service: Running) -> None:
    for role in ROLES:
        async with create_pool(service.database_url, role, 1) as pool:
            shown = [
                await pool.fetchval(f"SHOW {name}") for name in ("lock_timeout", "idle_in_transaction_session_timeout")
            ]
            source = await pool.fetchval("SELECT source FROM pg_settings WHERE name = 'lock_timeout'")
        assert (shown, source) == (["50ms" if role == "mutuality_recorder" else "5s", "30s"], "user")


@pytest.mark.parametrize(
    "change",
    [
        "ALTER ROLE mutuality_door SUPERUSER",
        "ALTER ROLE mutuality_door NOLOGIN",
        "ALTER ROLE mutuality_door RESET lock_timeout",
        "GRANT pg_read_all_data TO mutuality_door",
    ],
)
async def test_what_was_changed_is_set_right_when_it_migrates(alone: str, change: str) -> None:
    url = logins.serving_url(alone, bytes(32))
    await migrate_database(alone, url)
    assert await is_ready(url)
    await execute(alone, change)
    assert not await is_ready(url)
    assert await migrate_where_needed(alone, url) == []
    assert await is_ready(url)


@pytest.mark.parametrize("right", ["TEMP ON DATABASE mutuality", "CREATE ON SCHEMA public"])
async def test_what_everybody_was_given_is_taken_away(alone: str, right: str) -> None:
    url = logins.serving_url(alone, bytes(32))
    await migrate_database(alone, url)
    await execute(alone, f"GRANT {right} TO PUBLIC")
    db = await asyncpg.connect(alone)
    assert await amiss(db) == [f"REVOKE {right.replace('TEMP', 'TEMPORARY')} FROM PUBLIC"]
    await db.close()
    await migrate_where_needed(alone, url)
    assert await is_ready(url)


# --- A server of the test's own, since roles belong to all of its databases


@pytest.fixture
def folder() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="mutuality-tests-", dir=in_memory()))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def alone(folder: Path) -> Iterator[str]:
    """The DSN of an embedded server's superuser."""
    with embedded.running(folder / "data", FAST) as url:
        yield url


@pytest.fixture
def asking(folder: Path) -> Iterator[str]:
    """That of a server which asks roles for a password, as one elsewhere does."""
    rules = folder / "rules"
    rules.write_text("local all postgres peer map=mutuality\nlocal all all scram-sha-256\n")
    rules.chmod(0o644)
    folder.chmod(0o711)
    with embedded.running(folder / "data", {**FAST, "hba_file": str(rules)}) as url:
        yield url


pytestmark = pytest.mark.database


async def test_each_role_has_a_password_of_its_own(asking: str) -> None:
    url = logins.serving_url(asking, bytes(32))
    assert await migrate_database(asking, url)
    for role in ROLES:
        async with create_pool(url, role, 1) as pool:
            assert await pool.fetchval(WHO) == f"{role} {role}"
        for other in set(ROLES) - {role}:
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(url, user=other, password=logins.login_of(url, role).password)
    assert len({logins.login_of(url, role).password for role in ROLES}) == len(ROLES)


async def test_another_secret_is_another_password_once_it_is_migrated(asking: str) -> None:
    old, new = [logins.serving_url(asking, secret) for secret in (bytes(32), bytes([1]) * 32)]
    await migrate_database(asking, old)
    assert not await is_ready(new)
    assert await migrate_where_needed(asking, new) == []
    assert await is_ready(new)
    assert await logins.locked_out(old) == list(ROLES)


async def test_who_serves_needs_nobody_who_migrates(asking: str) -> None:
    url = logins.serving_url(asking, bytes(32))
    await migrate_database(asking, url)
    nobody = asking.replace("postgres@", "nobody:wrong@")
    assert await migrate_where_needed(nobody, logins.serving_url(nobody, bytes(32))) == []
    assert "wrong" not in logins.serving_url(nobody, bytes(32))
    with pytest.raises(StartupError):
        await migrate_where_needed(nobody, logins.serving_url(nobody, bytes([1]) * 32))


async def test_an_administrator_can_run_what_the_message_says(asking: str) -> None:
    await execute(asking, "CREATE ROLE ordinary LOGIN PASSWORD 'x'; ALTER DATABASE mutuality OWNER TO ordinary")
    ordinary = asking.replace("postgres@", "ordinary:x@")
    url = logins.serving_url(ordinary, bytes(32))
    with pytest.raises(MigrationError, match="An administrator has to, once") as refused:
        await migrate_database(ordinary, url)
    asked = str(refused.value).partition("once: ")[2]
    assert str(logins.login_of(url, SERVICE_ROLE).password) not in asked
    await execute(asking, asked)
    assert await migrate_database(ordinary, url)
    assert await is_ready(url)


def test_the_socket_lets_nobody_else_in_as_anybody(alone: str) -> None:
    rules = asyncio.run(rows(alone, "SELECT type, auth_method FROM pg_hba_file_rules"))
    assert rules == [("local", "peer")]
    assert [name for (name,) in asyncio.run(rows(alone, "SELECT sys_name FROM pg_ident_file_mappings"))] == [me()]


@pytest.mark.parametrize("role", ["postgres", SERVICE_ROLE])
def test_nobody_is_let_in_over_tcp_even_if_it_listened(folder: Path, role: str) -> None:
    address = f"127.{os.getpid() // 250 % 250 + 1}.{os.getpid() % 250 + 1}.1"  # its port is always the same
    with (
        embedded.running(folder / "data", {**FAST, "listen_addresses": address}),
        pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match=r"no pg_hba\.conf entry"),
    ):
        asyncio.run(rows(f"postgresql://{role}@{address}:{embedded.PORT}/mutuality", "SELECT"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("role", ["postgres", SERVICE_ROLE])
def test_another_system_user_who_reaches_the_socket_is_refused(alone: str, folder: Path, role: str) -> None:
    asyncio.run(migrate_database(alone, logins.serving_url(alone, bytes(32))))
    sockets = folder / "data" / "socket"
    for path in (folder, sockets):
        path.chmod(0o755)
    (sockets / f".s.PGSQL.{embedded.PORT}").chmod(0o777)
    told = subprocess.run([sys.executable, "-c", AS_NOBODY, alone, role], capture_output=True, text=True, check=False)
    assert 'Peer authentication failed for user "' + role in told.stdout, told.stderr


AS_NOBODY = """
import asyncio, os, sys
import asyncpg
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
os.environ["HOME"] = "/"

async def enter():
    await asyncpg.connect(sys.argv[1], user=sys.argv[2])

try:
    asyncio.run(enter())
    print("is in")
except Exception as error:
    print(error)
"""


def me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


async def rows(url: str, statement: str) -> list[tuple[str, ...]]:
    db = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await db.fetch(statement)]
    finally:
        await db.close()
