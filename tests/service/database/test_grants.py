"""The service, as it connects, can append to the log and nothing more: the database itself says so."""

from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest
from asyncpg import InsufficientPrivilegeError, Record

from service.database.roles import ROLES
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
    "UPDATE events SET commitment = commitment",
    "UPDATE events SET ciphertext = NULL",
    "UPDATE events SET alters = 0 WHERE false",
    "UPDATE events SET position = position + 1",
    "DELETE FROM events",
    "DELETE FROM events WHERE false",
    "TRUNCATE events",
    "TRUNCATE heads CASCADE",
    "SELECT * FROM keys.wrapped",
    "DELETE FROM heads",
    "INSERT INTO occasions SELECT gen_random_uuid(), gen_random_uuid(), now()",
    "DELETE FROM pages",
    "UPDATE pages SET month = month",
    "DELETE FROM relationships",
    "SELECT * FROM events FOR UPDATE",
    "MERGE INTO events USING heads ON false WHEN MATCHED THEN DELETE",
    "INSERT INTO events TABLE events ON CONFLICT (relationship_id, stream, position) DO UPDATE SET ciphertext = NULL",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "ALTER TABLE events ADD COLUMN more text",
    "ALTER TABLE events OWNER TO mutuality_service",
    "DROP TABLE events CASCADE",
    "CREATE TABLE more ()",
    "CREATE INDEX ON events (author)",
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
    assert tuple(role) == ("mutuality_service", False, False, False, False, True, False)


async def test_the_service_owns_nothing_and_belongs_to_nobody(pool: Pool) -> None:
    owned = "SELECT count(*) FROM pg_shdepend WHERE deptype = 'o' AND refobjid = 'mutuality_service'::regrole"
    groups = "SELECT count(*) FROM pg_auth_members WHERE member = 'mutuality_service'::regrole"
    assert [await pool.fetchval(owned), await pool.fetchval(groups)] == [0, 0]


async def test_a_connection_comes_back_as_the_same_role(pool: Pool) -> None:
    for _ in range(20):
        assert await pool.fetchval("SELECT current_user") == "mutuality_service"


# --- Who erases


KEEPERS_FORBIDDEN = [
    "UPDATE events SET ciphertext = '\\x00'",
    "UPDATE events SET ciphertext = commitment WHERE position = 2",
    "UPDATE events SET ciphertext = other.ciphertext FROM (SELECT ciphertext FROM events WHERE position = 2) AS other",
    "UPDATE events SET commitment = commitment",
    "UPDATE events SET position = position + 10",
    "UPDATE events SET author = 2",
    "DELETE FROM events",
    "TRUNCATE events",
    "INSERT INTO events TABLE events ON CONFLICT DO NOTHING",
    "INSERT INTO events TABLE events ON CONFLICT ON CONSTRAINT events_pkey DO UPDATE SET ciphertext = '\\x00'",
    "UPDATE heads SET position = 0",
    "UPDATE heads SET link = link",
    "DELETE FROM heads",
]


async def test_who_erases_takes_texts_away_and_puts_none_in_their_place(service: Running, pool: Pool) -> None:
    keeper: Pool = service.app.state.context.maintenance_db
    logged = await service.ask(LOG)
    assert [statement for statement in KEEPERS_FORBIDDEN if not await refused(keeper, statement)] == []
    assert await service.ask(LOG) == logged
    await keeper.execute("UPDATE events SET ciphertext = NULL WHERE position = 2")
    assert await refused(keeper, "UPDATE events SET ciphertext = '\\x00' WHERE position = 2")
    # What is gone is gone: all else of the event is as it was.
    assert await service.ask(LOG) == [row for row in logged if row["position"] != 2]
    assert [row["position"] for row in await service.ask(WITHOUT_TEXTS)] == [2]


LOG = "SELECT * FROM events WHERE ciphertext IS NOT NULL ORDER BY relationship_id, stream, position"
WITHOUT_TEXTS = "SELECT position FROM events WHERE ciphertext IS NULL"


async def test_nobody_else_may_change_or_delete_an_event(service: Running) -> None:
    granted = await service.ask(
        "SELECT grantee, privilege_type, column_name FROM information_schema.column_privileges"
        " WHERE table_name = 'events' AND grantee = ANY ($1) AND privilege_type NOT IN ('SELECT', 'INSERT')",
        ROLES,
    )
    assert [tuple(row) for row in granted] == [("mutuality_keeper", "UPDATE", "ciphertext")]
    whole = await service.ask(
        "SELECT DISTINCT privilege_type FROM information_schema.table_privileges"
        " WHERE table_name = 'events' AND grantee = ANY ($1)",
        ROLES,
    )
    assert {row["privilege_type"] for row in whole} == {"SELECT", "INSERT"}


# What headers name stands in these tables, and is what the texts are bound to.
CHANGEABLE = """
SELECT DISTINCT format('%s.%s', table_name, column_name)
FROM information_schema.column_privileges
WHERE table_name IN ('relationships', 'memberships', 'readers')
    AND grantee = ANY ($1)
    AND privilege_type = 'UPDATE'
"""


async def test_nobody_may_change_the_ids_that_headers_name(service: Running) -> None:
    assert {row[0] for row in await service.ask(CHANGEABLE, ROLES)} == {
        "memberships.member_id",
        "memberships.name",
        "relationships.created_at",  # the recorder's, who must be allowed to change something to lock the row
        "relationships.invite_expires_at",
        "relationships.state",
    }


@pytest.mark.parametrize(("author", "stream"), [(1, 0), (2, 0), (1, 1), (0, 1)])
async def test_the_service_appends_nothing_in_the_name_of_a_member(service: Running, author: int, stream: int) -> None:
    one, _ = await service.couple()
    async with service.app.state.context.acting_as(UUID(one.member_id)) as db:
        with pytest.raises(InsufficientPrivilegeError, match="row-level security"):
            await db.execute(ADD, UUID(one.rid), stream, author)


ADD = """
INSERT INTO events
SELECT relationship_id, $2, $3, position + 1, recorded_at, alters, event_id, commitment, link, ciphertext
FROM events
WHERE relationship_id = $1
LIMIT 1
"""


async def test_the_service_writes_no_page(service: Running) -> None:
    one, _ = await service.couple()
    await one.put("check-ins", {"occurred_at": "2026-06-15T10:00:00Z", "initiated_by": "me", "audience": "shared"})
    async with service.app.state.context.acting_as(UUID(one.member_id)) as db:
        assert await db.fetchval("SELECT count(*) FROM pages") == 1
        assert await db.execute("UPDATE pages SET ciphertext = ciphertext") == "UPDATE 0"
        with pytest.raises(InsufficientPrivilegeError, match="row-level security"):
            await db.execute(ADD_PAGE)


ADD_PAGE = "INSERT INTO pages SELECT relationship_id, stream, author, month + 1, ciphertext FROM pages"
