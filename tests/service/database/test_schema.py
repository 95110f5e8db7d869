"""The schema can be distributed by relationship, and needs nothing that a cluster of databases has not.

Read from the catalogue of a migrated database, so that a table of tomorrow is looked at too.
"""

from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest
from asyncpg import Record

from service.database import migrate
from service.database.roles import OWNER_ROLE, ensure_roles

Database: TypeAlias = "asyncpg.Connection[Record]"
Key: TypeAlias = tuple[str, str, tuple[str, ...]]

# Tables of no relationship: of the schema itself, of one member alone, or found by another key than a relationship's.
LOOKED_UP_OTHERWISE = {
    "schema_migrations": "one for the database",
    "members": "a member may have several relationships",
    "addresses": "found by the mail address",
    "identities": "found by an account elsewhere",
    "sign_in_nonces": "found by the hash of the nonce",
    "sign_in_attempts": "found by the hash of the attempt's id",
    "code_allowances": "found by a keyed hash of whose it is",
    "known_devices": "of a member",
    "session_codes": "of a session",
    "sessions": "of a member",
    "live_tickets": "of a session",
    "access_tokens": "found by the hash of the token",
    "refresh_tokens": "found by the hash of the token",
    "invites": "found by the hash of the code",
    "devices": "of a member",
    "schedules": "of a member",
    "prompts": "of a member, whose prompts from all relationships share one cap",
    "outbox": "of a member, and claimed by the time at which it is due",
}

KEYS = """
SELECT
    pg_class.relname AS table_name,
    pg_constraint.contype::text AS kind,
    array(
        SELECT pg_attribute.attname::text
        FROM unnest(pg_constraint.conkey) WITH ORDINALITY AS key (number, place)
        JOIN pg_attribute
            ON pg_attribute.attrelid = pg_class.oid
            AND pg_attribute.attnum = key.number
        ORDER BY key.place
    ) AS columns
FROM pg_constraint
JOIN pg_class
    ON pg_class.oid = pg_constraint.conrelid
WHERE pg_class.relnamespace = 'public'::regnamespace
    AND pg_constraint.contype IN ('p', 'u', 'f')
UNION ALL
SELECT
    pg_class.relname,
    'i',
    array(
        SELECT coalesce(pg_attribute.attname::text, 'an expression')
        FROM unnest(pg_index.indkey::smallint[]) WITH ORDINALITY AS key (number, place)
        LEFT JOIN pg_attribute
            ON pg_attribute.attrelid = pg_class.oid
            AND pg_attribute.attnum = key.number
        ORDER BY key.place
    )
FROM pg_index
JOIN pg_class
    ON pg_class.oid = pg_index.indrelid
WHERE pg_class.relnamespace = 'public'::regnamespace
    AND pg_index.indisunique
    AND NOT pg_index.indisprimary
"""


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """A migrated database, as the server's superuser."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def names(db: Database, query: str) -> list[str]:
    """The first column of what the query finds."""
    return [row[0] for row in await db.fetch(query)]


async def keys(db: Database) -> list[Key]:
    """Table, kind (p, u, f, or i for a unique index) and columns of every key."""
    return [(row["table_name"], row["kind"], tuple(row["columns"])) for row in await db.fetch(KEYS)]


TABLES = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"


async def test_every_table_is_of_a_relationship_or_says_why_not(db: Database) -> None:
    tables = set(await names(db, TABLES))
    assert tables >= LOOKED_UP_OTHERWISE.keys()
    assert tables - LOOKED_UP_OTHERWISE.keys() == {
        "relationships",
        "memberships",
        "readers",
        "heads",
        "events",
        "pages",
        "occasions",
        "waiting",
        "due_recounts",
    }


async def test_every_primary_key_begins_with_the_relationship(db: Database) -> None:
    primary = {table: columns for table, kind, columns in await keys(db) if kind == "p"}
    assert primary.keys() == set(await names(db, TABLES))
    of_relationships = primary.keys() - LOOKED_UP_OTHERWISE.keys()
    assert {primary[table][0] for table in of_relationships} == {"relationship_id"}


async def test_every_other_key_contains_the_relationship(db: Database) -> None:
    without = [key for key in await keys(db) if "relationship_id" not in key[2]]
    assert [key for key in without if key[0] not in LOOKED_UP_OTHERWISE] == []


async def test_every_key_over_events_contains_the_stream(db: Database) -> None:
    over_events = [key for key in await keys(db) if key[0] in ("readers", "heads", "events", "pages")]
    # Uniqueness of ids is asked for twice: once as a constraint, once as the index that keeps it.
    assert sorted((table, kind) for table, kind, _ in over_events) == [
        ("events", "i"),
        ("events", "p"),
        ("events", "u"),
        ("heads", "f"),
        ("heads", "p"),
        ("pages", "p"),
        ("readers", "p"),
    ]
    assert [key for key in over_events if "stream" not in key[2] and key[1] != "f"] == []


CROSSING = """
SELECT
    referring.relname AS referring,
    referred.relname AS referred
FROM pg_constraint
JOIN pg_class AS referring ON referring.oid = conrelid
JOIN pg_class AS referred ON referred.oid = confrelid
WHERE contype = 'f'
    AND referring.relnamespace = 'public'::regnamespace
"""


async def test_no_foreign_key_crosses_from_one_kind_of_table_to_another(db: Database) -> None:
    # What is of a relationship may lie in another database than members, and than what invites are looked up in.
    crossing = [tuple(row) for row in await db.fetch(CROSSING)]
    assert len(crossing) > 3
    assert [pair for pair in crossing if (pair[0] in LOOKED_UP_OTHERWISE) != (pair[1] in LOOKED_UP_OTHERWISE)] == []
    assert [pair for pair in crossing if pair[0] == "invites"] == []


FORBIDDEN = {
    "triggers": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    "event triggers": "SELECT evtname FROM pg_event_trigger",
    "rules": "SELECT rulename FROM pg_rewrite JOIN pg_class ON pg_class.oid = ev_class WHERE relnamespace = {schema}",
    "functions": "SELECT proname FROM pg_proc WHERE pronamespace = {schema}",
    "sequences": "SELECT relname FROM pg_class WHERE relkind = 'S'",
    "identity columns": "SELECT attname FROM pg_attribute WHERE attidentity <> ''",
    "defaults": "SELECT adbin FROM pg_attrdef JOIN pg_class ON pg_class.oid = adrelid WHERE relnamespace = {schema}",
    "views": "SELECT relname FROM pg_class WHERE relkind IN ('v', 'm') AND relnamespace = {schema}",
    "domains, enums": "SELECT typname FROM pg_type WHERE typtype IN ('d', 'e') AND typnamespace = {schema}",
    "exclusion constraints": "SELECT conname FROM pg_constraint WHERE contype = 'x'",
    "extensions": "SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'",
    "other schemas": "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$|public$|keys$)'",
}


async def test_the_schema_has_nothing_that_a_cluster_has_not(db: Database) -> None:
    queries = {kind: query.replace("{schema}", "'public'::regnamespace") for kind, query in FORBIDDEN.items()}
    assert {kind: found for kind, query in queries.items() if (found := await names(db, query))} == {}


SNAPSHOT = """
SELECT format('%s %s %s %s', attrelid::regclass, attname, atttypid::regtype, attnotnull)
FROM pg_attribute
JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'public'::regnamespace
    AND attnum > 0
UNION ALL
SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT indexdef
FROM pg_indexes
WHERE schemaname = 'public'
UNION ALL
SELECT format('%s %s %s', table_name, grantee, privilege_type)
FROM information_schema.role_table_grants
WHERE table_schema = 'public'
ORDER BY 1
"""
OURS = "schema_migrations"


async def test_the_schema_is_what_the_numbered_files_say(db: Database, empty_database_url: str) -> None:
    by_hand = await asyncpg.connect(empty_database_url)
    await ensure_roles(by_hand)
    await by_hand.execute(f"SET ROLE {OWNER_ROLE}")
    for file in sorted(migrate.DIRECTORY.glob("*.sql")):
        await by_hand.execute(file.read_text())
    told = await names(by_hand, SNAPSHOT)
    await by_hand.close()
    assert len(told) > 100
    assert [line for line in await names(db, SNAPSHOT) if OURS not in line] == told
