"""The service, as it connects, can append to the log and nothing more: the database itself says so."""

from typing import TypeAlias

import asyncpg
import pytest
from asyncpg import Record

from tests.support.phones import Running

Pool: TypeAlias = "asyncpg.Pool[Record]"


@pytest.fixture
async def pool(service: Running) -> Pool:
    """The connections of the running service, after two have recorded something."""
    one, _ = await service.couple()
    await one.put("requests", {"occurred_at": "2026-06-15T10:00:00Z", "domain": "home"})
    found: Pool = service.app.state.context.db
    return found


FORBIDDEN = [
    "UPDATE events SET header = header",
    "UPDATE events SET alters = NULL WHERE false",
    "UPDATE events SET position = position + 1",
    "DELETE FROM events",
    "DELETE FROM events WHERE false",
    "TRUNCATE events",
    "TRUNCATE heads CASCADE",
    "UPDATE texts SET sealed = sealed",
    "DELETE FROM texts",
    "SELECT * FROM keys.wrapped",
    "DELETE FROM heads",
    "DELETE FROM tallies",
    "INSERT INTO occasions SELECT gen_random_uuid(), gen_random_uuid(), now()",
    "DELETE FROM relationships",
    "SELECT * FROM events FOR UPDATE",
    "MERGE INTO events USING heads ON false WHEN MATCHED THEN DELETE",
    "INSERT INTO events TABLE events ON CONFLICT (relationship_id, stream_id, position) DO UPDATE SET header = ''",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "ALTER TABLE events ADD COLUMN more text",
    "ALTER TABLE events OWNER TO mutuality_service",
    "DROP TABLE events CASCADE",
    "CREATE TABLE more ()",
    "CREATE INDEX ON events (header)",
    "CREATE RULE quiet AS ON INSERT TO events DO INSTEAD NOTHING",
    "INSERT INTO schema_migrations TABLE schema_migrations",
    "SET session_replication_role = replica",
]


async def test_the_service_can_only_append(pool: Pool) -> None:
    assert [statement for statement in FORBIDDEN if not await refused(pool, statement)] == []


async def refused(pool: Pool, statement: str) -> bool:
    """Whether the statement fails for want of a right, and for nothing else."""
    try:
        await pool.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return True
    return False


async def test_the_service_cannot_grant_itself_more(pool: Pool) -> None:
    await pool.execute("GRANT ALL ON events TO mutuality_service")  # PostgreSQL warns, and grants nothing
    assert await refused(pool, "DELETE FROM events")


async def test_the_service_may_read_and_append(pool: Pool) -> None:
    granted = await pool.fetch(
        "SELECT privilege_type FROM information_schema.role_table_grants"
        " WHERE table_name = 'events' AND grantee IN ('mutuality_service', 'PUBLIC')"
    )
    assert {row[0] for row in granted} == {"SELECT", "INSERT"}
    assert not await pool.fetchval("SELECT has_any_column_privilege('events', 'UPDATE')")


async def test_the_service_acts_as_a_bound_role(pool: Pool) -> None:
    role = await pool.fetchrow(
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication"
        " FROM pg_roles WHERE rolname = current_user"
    )
    assert role is not None
    assert tuple(role) == ("mutuality_service", False, False, False, False, False, False)


async def test_the_service_owns_nothing_and_belongs_to_nobody(pool: Pool) -> None:
    owned = "SELECT count(*) FROM pg_shdepend WHERE deptype = 'o' AND refobjid = 'mutuality_service'::regrole"
    groups = "SELECT count(*) FROM pg_auth_members WHERE member = 'mutuality_service'::regrole"
    assert [await pool.fetchval(owned), await pool.fetchval(groups)] == [0, 0]


async def test_a_connection_comes_back_as_the_same_role(pool: Pool) -> None:
    for _ in range(20):
        assert await pool.fetchval("SELECT current_user") == "mutuality_service"
