"""The database's roles: one for each kind of work, which logs in, and one that owns all and never does.

What they may do is granted by the migrations. Here stands what they are, which holds for the whole cluster, and who may
enter the database. A role is a wall only if it cannot be left: none is above another, belongs to another or owns
anything, so that no statement in a session makes it somebody else.
"""

from collections.abc import Mapping, Sequence
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
OWNER_ROLE = "mutuality_owner"  # owns what the migrations make, and cannot log in

LOCK_SECONDS = 5
IDLE_SECONDS = 30  # PostgreSQL may no longer be able to reach us: it ends the session, and our locks go with it
# Who records waits for one lock no longer than this; then the group is taken apart.
GROUP_LOCK_MILLISECONDS = 50
# What protects belongs to the role: whatever stands between us and the server, it cannot get lost.
SETTINGS: Mapping[str, Mapping[str, str]] = {
    role: {
        "lock_timeout": f"{GROUP_LOCK_MILLISECONDS}ms" if role == RECORDER_ROLE else f"{LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
    }
    for role in ROLES
}


# --- What is not as it should be

ATTRIBUTES = """
SELECT
    rolname,
    rolcanlogin,
    rolinherit,
    rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication AS too_strong
FROM pg_roles
WHERE rolname = ANY ($1::text[])
"""

MEMBERSHIPS = """
SELECT
    granted.rolname AS granted,
    member.rolname AS member
FROM pg_auth_members AS membership
JOIN pg_roles AS granted ON granted.oid = membership.roleid
JOIN pg_roles AS member ON member.oid = membership.member
WHERE member.rolname = ANY ($1::text[])
"""

OWNERS = """
SELECT DISTINCT pg_roles.rolname
FROM pg_shdepend
JOIN pg_roles ON pg_roles.oid = refobjid
WHERE deptype = 'o'
    AND refclassid = 'pg_authid'::regclass
    AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    AND pg_roles.rolname = ANY ($1::text[])
"""

ROLE_SETTINGS = """
SELECT
    pg_roles.rolname,
    setting
FROM pg_db_role_setting
JOIN pg_roles ON pg_roles.oid = setrole
CROSS JOIN unnest(setconfig) AS setting
WHERE setdatabase = 0
    AND pg_roles.rolname = ANY ($1::text[])
"""

# Each right that somebody was given: PUBLIC is everybody.
DATABASE_RIGHTS = """
SELECT
    coalesce(pg_roles.rolname, 'PUBLIC') AS grantee,
    given.privilege_type
FROM pg_database
CROSS JOIN aclexplode(coalesce(datacl, acldefault('d', datdba))) AS given
LEFT JOIN pg_roles ON pg_roles.oid = given.grantee
WHERE datname = current_database()
"""

SCHEMA_RIGHTS = """
SELECT
    coalesce(pg_roles.rolname, 'PUBLIC') AS grantee,
    given.privilege_type
FROM pg_namespace
CROSS JOIN aclexplode(coalesce(nspacl, acldefault('n', nspowner))) AS given
LEFT JOIN pg_roles ON pg_roles.oid = given.grantee
WHERE nspname = 'public'
"""

WHERE_WE_ARE = """
SELECT
    quote_ident(current_database()) AS database,
    quote_ident(current_user) AS me,
    (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'public') AS schema_owner
"""

# Since PostgreSQL 16 a membership may lack the option to SET ROLE; before, there is no such column.
MAY_BECOME_OWNER = """
SELECT
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
    OR EXISTS (
        SELECT
        FROM pg_auth_members AS membership
        JOIN pg_roles AS granted ON granted.oid = membership.roleid
        JOIN pg_roles AS member ON member.oid = membership.member
        WHERE granted.rolname = $1
            AND member.rolname = current_user
            AND coalesce((to_jsonb(membership) ->> 'set_option')::boolean, true)
    )
"""


async def amiss(connection: Connection, verifiers: Mapping[str, str] | None = None) -> list[str]:
    """The statements that make the roles what they should be; none where they are. Anybody may ask.

    `verifiers` are those of the passwords of roles that are to be made.
    """
    all_of_them = (*ROLES, OWNER_ROLE)
    here = await connection.fetchrow(WHERE_WE_ARE)
    assert here is not None
    there = {row["rolname"]: row for row in await connection.fetch(ATTRIBUTES, all_of_them)}
    asked = [_create(role, (verifiers or {}).get(role)) for role in all_of_them if role not in there]
    asked += [_alter(row) for row in there.values() if not _is_bound(row)]
    asked += [
        f"REVOKE {row['granted']} FROM {row['member']}" for row in await connection.fetch(MEMBERSHIPS, all_of_them)
    ]
    asked += [f"REASSIGN OWNED BY {row[0]} TO {OWNER_ROLE}" for row in await connection.fetch(OWNERS, ROLES)]
    asked += _settings({(row[0], row[1]) for row in await connection.fetch(ROLE_SETTINGS, ROLES)})
    place = f"DATABASE {here['database']}"
    asked += _rights(place, "CONNECT", "CREATE", await connection.fetch(DATABASE_RIGHTS))
    asked += _rights("SCHEMA public", "USAGE", None, await connection.fetch(SCHEMA_RIGHTS))
    if here["schema_owner"] != OWNER_ROLE:
        asked.append(f"ALTER SCHEMA public OWNER TO {OWNER_ROLE}")
    return asked


def _create(role: str, verifier: str | None) -> str:
    if role == OWNER_ROLE:
        return f"CREATE ROLE {role} NOLOGIN NOINHERIT"
    return f"CREATE ROLE {role} LOGIN NOINHERIT" + (f" PASSWORD '{verifier}'" if verifier else "")


def _is_bound(role: Record) -> bool:
    return not role["too_strong"] and not role["rolinherit"] and role["rolcanlogin"] == (role["rolname"] != OWNER_ROLE)


def _alter(role: Record) -> str:
    login = "NOLOGIN" if role["rolname"] == OWNER_ROLE else "LOGIN"
    weaker = " NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION" if role["too_strong"] else ""
    return f"ALTER ROLE {role['rolname']} {login} NOINHERIT{weaker}"


def _settings(there: set[tuple[str, str]]) -> list[str]:
    return [
        f"ALTER ROLE {role} SET {name} = '{value}'"
        for role, settings in SETTINGS.items()
        for name, value in settings.items()
        if (role, f"{name}={value}") not in there
    ]


def _rights(place: str, roles_right: str, owners_right: str | None, given: Sequence[Record]) -> list[str]:
    """What to grant on a database or a schema, and what to take away: TEMP and CREATE, and all that is everybody's."""
    has = {(row["grantee"], row["privilege_type"]) for row in given}
    wanted = {(role, roles_right) for role in ROLES} | ({(OWNER_ROLE, owners_right)} if owners_right else set())
    too_much = {each for each in has - wanted if each[0] == "PUBLIC" or each[0] in ROLES}
    revoked = [f"REVOKE {right} ON {place} FROM {grantee}" for grantee, right in sorted(too_much)]
    return revoked + [f"GRANT {right} ON {place} TO {grantee}" for grantee, right in sorted(wanted - has)]


# --- Making it so


async def ensure_roles(connection: Connection, verifiers: Mapping[str, str] | None = None) -> None:
    """Make the roles what they should be. Raises MigrationError where the connecting user may not.

    Roles belong to the whole cluster, so databases that are migrated at once race to create them.
    """
    for _ in range(ENSURE_TRIES):
        asked = await _asked(connection, verifiers)
        if not asked:
            return
        try:
            for statement in asked:
                await connection.execute(statement)
        except asyncpg.InsufficientPrivilegeError as error:
            raise await _refused(connection, await _asked(connection, verifiers)) from error
        except RACES as error:
            if not _is_race(error):
                raise
    raise MigrationError(f"This had no effect, again and again: {'; '.join(asked)};")


async def _asked(connection: Connection, verifiers: Mapping[str, str] | None) -> list[str]:
    asked = await amiss(connection, verifiers)
    if not await connection.fetchval(MAY_BECOME_OWNER, OWNER_ROLE):
        # Before what only its members may do.
        made = sum(statement.startswith("CREATE ROLE") for statement in asked)
        asked.insert(made, f"GRANT {OWNER_ROLE} TO {await connection.fetchval('SELECT quote_ident(current_user)')}")
    return asked


async def _refused(connection: Connection, asked: Sequence[str]) -> MigrationError:
    user = await connection.fetchval("SELECT quote_ident(current_user)")
    return MigrationError(
        f"The database user {user} may not make the roles of the service what they have to be. An administrator has "
        f"to, once: {'; '.join(asked)};"
    )


async def set_passwords(connection: Connection, verifiers: Mapping[str, str]) -> None:
    """Give roles other passwords, of which the server learns the verifiers alone. Raises MigrationError."""
    asked = [f"ALTER ROLE {role} PASSWORD '{verifier}'" for role, verifier in verifiers.items()]
    try:
        for statement in asked:
            await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError as error:
        raise await _refused(connection, asked) from error
    except asyncpg.InternalServerError as error:
        if not _is_race(error):  # another process sets the same
            raise


ENSURE_TRIES = 10
RACES = (
    asyncpg.DuplicateObjectError,
    asyncpg.DuplicateTableError,
    asyncpg.UniqueViolationError,
    asyncpg.InternalServerError,
)


def _is_race(error: Exception) -> bool:
    return not isinstance(error, asyncpg.InternalServerError) or "concurrently updated" in str(error)


async def ensure(connection: Connection, is_there: str, make: str) -> None:
    """Create what is not there. After losing a race against another process, look again."""
    for _ in range(ENSURE_TRIES):
        if await connection.fetchval(is_there):
            return
        try:
            await connection.execute(make)
        except RACES as error:
            if not _is_race(error):
                raise
    if not await connection.fetchval(is_there):
        raise MigrationError(f"This had no effect, again and again: {make.strip()}")
