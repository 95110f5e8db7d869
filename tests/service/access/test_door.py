"""The wall around accounts: what each role may see of members, sessions and tokens, asked of PostgreSQL."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest
from asyncpg import Record

from service.context import Context
from service.database.migrate import migrate
from service.database.roles import OWNER_ROLE
from tests.support.phones import NOON, Phone, Running, running
from tests.support.postgres import execute, in_database

Pool: TypeAlias = "asyncpg.Pool[Record]"

AT_THE_DOOR = (
    "addresses",
    "identities",
    "sign_in_nonces",
    "sign_in_attempts",
    "code_allowances",
    "known_devices",
    "session_codes",
    "access_tokens",
    "refresh_tokens",
)
ACCOUNTS = (*AT_THE_DOOR, "members", "sessions")
LOG = ("heads", "events", "pages", "keys.wrapped", "keys.epochs")

FORCED = """
SELECT relname
FROM pg_class
WHERE relname = ANY ($1)
    AND relrowsecurity
    AND relforcerowsecurity
"""

OWNER_BOUND = """
SELECT NOT rolsuper
FROM pg_tables
JOIN pg_roles
    ON rolname = tableowner
WHERE tablename = 'members'
"""


def context_of(service: Running) -> Context:
    context: Context = service.app.state.context
    return context


async def refused(db: Pool, statement: str) -> bool:
    """Whether the statement fails for want of a right, and for nothing else."""
    try:
        await db.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return True
    return False


@pytest.fixture
async def two(service: Running) -> tuple[Phone, Phone]:
    """Two members, each with a session."""
    return await service.phone().sign_in(), await service.phone().sign_in()


async def test_every_table_of_accounts_is_forced(database_url: str) -> None:
    db = await asyncpg.connect(database_url)
    forced = await db.fetch(FORCED, ACCOUNTS)
    await db.close()
    assert {row["relname"] for row in forced} == set(ACCOUNTS)


async def test_with_no_member_set_nobody_is_seen(service: Running, two: tuple[Phone, Phone]) -> None:
    db = context_of(service).db
    tables = ("members", "sessions", "identities")
    assert [await db.fetchval(f"SELECT count(member_id) FROM {table}") for table in tables] == [0, 0, 0]


async def test_who_acts_sees_and_changes_their_own_rows_only(service: Running, two: tuple[Phone, Phone]) -> None:
    me = UUID(two[0].member_id)
    async with context_of(service).acting_as(me) as db:
        for table in ("members", "sessions"):
            assert {row["member_id"] for row in await db.fetch(f"SELECT member_id FROM {table}")} == {me}
        assert await db.execute("UPDATE members SET consent_version = '1'") == "UPDATE 1"
        assert await db.execute("UPDATE sessions SET stepped_up_at = now()") == "UPDATE 1"
        assert await db.execute("DELETE FROM sessions") == "DELETE 1"
    assert (await two[0].call("GET", "/v1/me")).status_code == 401
    assert (await two[1].get("/v1/me"))["consent"]["accepted"] is None


async def test_a_connection_goes_back_acting_for_nobody(service: Running, two: tuple[Phone, Phone]) -> None:
    context = context_of(service)
    for phone in two:
        async with context.acting_as(UUID(phone.member_id)):
            pass
    assert {await context.db.fetchval("SELECT count(*) FROM members") for _ in range(8)} == {0}


async def test_who_acts_for_members_can_look_up_no_credential(service: Running) -> None:
    db = context_of(service).db
    looked_up = [f"SELECT FROM {table}" for table in AT_THE_DOOR if table != "identities"]
    looked_up.append("SELECT identity_hash FROM identities")  # who elsewhere; whose account it is, its member sees
    assert [statement for statement in looked_up if not await refused(db, statement)] == []
    assert await refused(db, "INSERT INTO members TABLE members")
    assert await refused(db, "UPDATE sessions SET member_id = member_id")


async def test_the_door_opens_to_no_entry_key_or_profile(service: Running) -> None:
    door = context_of(service).auth_db
    closed = [*(f"SELECT * FROM {table}" for table in LOG), "SELECT email FROM members", "DELETE FROM members"]
    closed += ["SELECT device_name FROM sessions", "UPDATE sessions SET stepped_up_at = now()", "DELETE FROM addresses"]
    assert [statement for statement in closed if not await refused(door, statement)] == []


async def test_it_all_works_where_the_owner_of_the_tables_is_bound_too(postgres_url: str) -> None:
    async with database_of_a_bound_owner(postgres_url) as url, running(url) as service:
        db = await asyncpg.connect(url)
        assert await db.fetchval(OWNER_BOUND)
        await db.close()
        one, two = await service.couple()
        (session,) = (await one.get("/v1/sessions"))["sessions"]
        other = await service.phone().sign_in(one.email)
        await one.step_up()
        await other.expect(204, "DELETE", f"/v1/sessions/{session['id']}")
        assert (await one.call("GET", "/v1/me")).status_code == 401
        assert (await two.call("GET", "/v1/me")).status_code == 200


@asynccontextmanager
async def database_of_a_bound_owner(postgres_url: str) -> AsyncIterator[str]:
    """A migrated database whose owner is no superuser: what the server's checks do, they do under row security."""
    name = f"bound_{uuid4().hex}"
    await execute(postgres_url, f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{name}'")
    await execute(postgres_url, f"CREATE DATABASE {name} OWNER {name}")
    owners = in_database(postgres_url, name)
    await execute(postgres_url, f"GRANT {OWNER_ROLE} TO {name}")
    try:
        url = re.sub(r"//[^@]*@", f"//{name}:{name}@", owners)
        await migrate(url, NOON)
        yield url
    finally:
        await execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")
        await execute(postgres_url, f"DROP ROLE {name}")
