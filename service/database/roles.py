"""The database's roles: one for each kind of work, created before the migrations where they are missing."""

from typing import TypeAlias

import asyncpg
from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

from service.errors import MigrationError

Connection: TypeAlias = "asyncpg.Connection[Record] | PoolConnectionProxy[Record]"
SERVICE_ROLE = "mutuality_service"  # acts for signed-in members: may append events, not change them
DOOR_ROLE = "mutuality_door"  # finds out who is there: sign-in, tokens, invites; sees no event
KEYS_ROLE = "mutuality_keys"  # reads and writes wrapped keys, and nothing else
KEEPER_ROLE = "mutuality_keeper"  # erases and recounts
PROMPTER_ROLE = "mutuality_prompter"  # plans and sends prompts; sees no event
RECORDER_ROLE = "mutuality_recorder"  # appends for many members at once; reads no text
ROLES = (SERVICE_ROLE, DOOR_ROLE, KEYS_ROLE, KEEPER_ROLE, PROMPTER_ROLE, RECORDER_ROLE)


# Roles belong to the whole cluster, so databases that are migrated at once race to create them.

ROLE_EXISTS = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')"

CREATE_ROLE = "CREATE ROLE {role} NOLOGIN"  # neither SUPERUSER nor BYPASSRLS, unless asked for

# Since PostgreSQL 16 a membership may lack the option to SET ROLE; before, there is no such column.
ROLE_GRANTED = """
SELECT EXISTS (
    SELECT
    FROM pg_auth_members AS membership
    JOIN pg_roles AS granted ON granted.oid = membership.roleid
    JOIN pg_roles AS member ON member.oid = membership.member
    WHERE granted.rolname = '{role}'
      AND member.rolname = current_user
      AND coalesce((to_jsonb(membership) ->> 'set_option')::boolean, true)
)
"""

GRANT_ROLE = "GRANT {role} TO CURRENT_USER"

ROLE_TOO_STRONG = """
SELECT rolsuper OR rolbypassrls
FROM pg_roles
WHERE rolname = '{role}'
"""


async def ensure_roles(connection: Connection) -> None:
    """Create the roles that are missing. Raises MigrationError where the connecting user may not."""
    try:
        for role in ROLES:
            await _ensure_role(connection, role)
    except asyncpg.InsufficientPrivilegeError as error:
        user = await connection.fetchval("SELECT quote_ident(current_user)")
        there = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        asked = [CREATE_ROLE.format(role=role) for role in ROLES if role not in there]
        asked.append(f"GRANT {', '.join(ROLES)} TO {user}")
        raise MigrationError(
            f"The database user {user} may not make the roles of the service. An administrator has to, once: "
            f"{'; '.join(asked)};"
        ) from error


async def _ensure_role(connection: Connection, role: str) -> None:
    """Create one of the roles, which are constants of this module, and let the connecting user act as it."""
    await ensure(connection, ROLE_EXISTS.format(role=role), CREATE_ROLE.format(role=role))
    await ensure(connection, ROLE_GRANTED.format(role=role), GRANT_ROLE.format(role=role))
    if await connection.fetchval(ROLE_TOO_STRONG.format(role=role)):
        raise MigrationError(
            f"The role {role} is a superuser or bypasses row security; it has to be bound: "
            f"ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS;"
        )


ENSURE_TRIES = 10


async def ensure(connection: Connection, is_there: str, make: str) -> None:
    """Create what is not there. After losing a race against another process, look again."""
    for _ in range(ENSURE_TRIES):
        if await connection.fetchval(is_there):
            return
        try:
            await connection.execute(make)
        except (asyncpg.DuplicateObjectError, asyncpg.DuplicateTableError, asyncpg.UniqueViolationError):
            continue
        except asyncpg.InternalServerError as error:
            if "concurrently updated" not in str(error):
                raise
    if not await connection.fetchval(is_there):
        raise MigrationError(f"This had no effect, again and again: {make.strip()}")
