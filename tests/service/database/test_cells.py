"""What every table and every statement keeps to, so that couples can one day live in several databases.

A relationship's tables may lie in one database, a member's in another, and the directory of who may come in in a third.
Each sentence is looked at in the catalogue of a migrated database, or in every statement of the program, those that
`test_row_security` walks. What breaks a sentence is named here, with its reason.
"""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest
from asyncpg import LockNotAvailableError, Record

import events
import projections
import service as service_package
from events import rules
from events.entries import Request
from service.accounts.sessions import REFRESH_TTL
from service.context import Context
from service.core import tokens
from service.database.pool import SESSION_SETTINGS
from service.database.roles import ROLES
from service.recording.append import append
from service.recording.decide import decide_entries
from service.recording.load import load_write_set
from service.recording.recorder import RECORDING
from service.recording.write_set import Submission, Submitter
from tests.service.database.test_row_security import STATEMENTS, recorded, statements
from tests.support.phones import Running

Database: TypeAlias = "asyncpg.Connection[Record]"

CLASSES: Mapping[str, frozenset[str]] = {
    "relationship": frozenset(
        {"relationships", "memberships", "readers", "heads", "events", "pages", "occasions", "waiting", "due_recounts"}
    ),
    # A session, its tokens and codes lie where its member does; a directory would say where that is.
    "member": frozenset(
        {"members", "known_devices", "sessions", "session_codes", "access_tokens", "refresh_tokens", "live_tickets"}
        | {"schedules", "prompts", "devices", "outbox", "wrapped", "epochs"}
    ),
    "directory": frozenset(
        {"addresses", "identities", "sign_in_nonces", "sign_in_attempts", "code_allowances", "invites"}
    ),
}
CLASS_OF = {table: name for name, tables in CLASSES.items() for table in tables}

# --- The exceptions

PLANNING = "prompts are planned and sent beside requests; where couples are apart, this becomes a look at each side"
CROSSES = {
    "service.prompts.dispatch.SEND": PLANNING,
    "service.prompts.planner.FORGET_UNASKED": PLANNING,
    "service.push.outbox.CLAIM": PLANNING,
}
LOCKS_MANY = {
    "service.prompts.dispatch.SEND": PLANNING,
    "service.prompts.dispatch.KEEP_QUESTIONS": PLANNING,
    "service.prompts.dispatch.LAPSE": PLANNING,
    "service.prompts.dispatch.FORGET_UNSENT": PLANNING,
}
SWEEPS = "what has expired goes, a hundred rows at a time, in the directory alone"
SKIPS_LOCKED = {
    "service.accounts.allowances.FORGET_ALLOWANCES": SWEEPS,
    "service.accounts.identity_providers.FORGET_NONCES": SWEEPS,
    "service.accounts.mailed_codes.FORGET_ATTEMPTS": SWEEPS,
}
# Who makes an invite writes it in the transaction that changes the relationship's state; where the two are apart, the
# directory's own role writes it.
POLICIES_THAT_CROSS = {"invites"}


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """A migrated database, as its superuser."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


# --- Tables


async def test_every_table_has_a_class(db: Database) -> None:
    query = "SELECT tablename FROM pg_tables WHERE schemaname IN ('public', 'keys')"
    assert {row[0] for row in await db.fetch(query)} == CLASS_OF.keys() | {"schema_migrations"}


async def test_every_key_of_a_relationships_table_has_the_relationship_and_the_primary_one_first(db: Database) -> None:
    rows = await db.fetch(
        """
        SELECT
            pg_class.relname,
            indisprimary,
            array(
                SELECT pg_attribute.attname::text
                FROM unnest(pg_index.indkey::smallint[]) WITH ORDINALITY AS key (number, place)
                JOIN pg_attribute ON pg_attribute.attrelid = indrelid AND pg_attribute.attnum = key.number
                ORDER BY key.place
            ) AS columns
        FROM pg_index
        JOIN pg_class ON pg_class.oid = indrelid
        WHERE indisunique AND pg_class.relname = ANY ($1)
        """,
        list(CLASSES["relationship"]),
    )
    assert {row["relname"] for row in rows} == CLASSES["relationship"]
    assert [row for row in rows if "relationship_id" not in row["columns"]] == []
    assert [row for row in rows if row["indisprimary"] and row["columns"][0] != "relationship_id"] == []


async def test_no_foreign_key_crosses_from_one_class_to_another(db: Database) -> None:
    rows = await db.fetch(
        """
        SELECT
            referring.relname,
            referred.relname,
            (SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY (conkey))
        FROM pg_constraint
        JOIN pg_class AS referring ON referring.oid = conrelid
        JOIN pg_class AS referred ON referred.oid = confrelid
        WHERE contype = 'f'
        """
    )
    assert len(rows) >= 8
    assert [row[:2] for row in rows if CLASS_OF[row[0]] != CLASS_OF[row[1]]] == []
    of_relationships = [row for row in rows if CLASS_OF[row[0]] == "relationship"]
    assert [row for row in of_relationships if "relationship_id" not in row[2]] == []


async def test_a_policy_asks_only_tables_of_its_own_class(db: Database) -> None:
    policies = await db.fetch("SELECT tablename, concat(qual, ' ', with_check) FROM pg_policies")
    crossing = {table for table, asks in policies if {CLASS_OF[one] for one in named(asks)} - {CLASS_OF[table]}}
    assert crossing == POLICIES_THAT_CROSS
    assert [asks for _, asks in policies if WHERE_IT_LIES.search(asks) or MADE_BY_SQL.search(asks)] == []


# --- Statements


def named(statement: str) -> set[str]:
    """The tables that a statement names."""
    after = re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE|USING|TABLE|ONLY)\s+(?:keys\.)?(\w+)\b(?!\s*\()", statement)
    own = set(re.findall(r"(?:WITH|,)\s+(\w+) AS (?:MATERIALIZED )?\(", statement))
    return {name for name in after if name in CLASS_OF} - own


def of_all(wanted: Any) -> set[str]:
    """The names of all statements of which that is true."""
    return {name for name, statement in statements().items() if wanted(statement)}


LOCKS = re.compile(r"\bFOR (?:NO KEY UPDATE|UPDATE|KEY SHARE|SHARE)\b")
WHERE_IT_LIES = re.compile(r"\b(xmin|xmax|ctid|cmin|cmax|tableoid)\b")
MADE_BY_SQL = re.compile(
    r"\b(now\(|current_timestamp|current_date|current_time|localtime\w*|clock_timestamp|statement_timestamp"
    r"|transaction_timestamp|timeofday|gen_random_uuid|uuidv\d|uuid_generate\w+|random\(|nextval|lastval)",
    re.IGNORECASE,
)
MEANS = re.compile(r"\b(LISTEN|NOTIFY|UNLISTEN|MERGE|COPY|TEMP|TEMPORARY|pg_notify|pg_\w*advisory\w*)\b")


def test_every_table_is_named_by_some_statement() -> None:
    # Or the pattern finds none, and all that follows looks at nothing.
    assert len(statements()) == STATEMENTS
    assert set[str]().union(*map(named, statements().values())) == CLASS_OF.keys()


def test_no_statement_names_tables_of_relationships_and_others() -> None:
    def crosses(statement: str) -> bool:
        classes = {CLASS_OF[table] for table in named(statement)}
        return "relationship" in classes and len(classes) > 1

    assert of_all(crosses) == CROSSES.keys()


def test_a_row_lock_names_one_table_and_one_owner_by_equality() -> None:
    def locks_otherwise(statement: str) -> bool:
        if not LOCKS.search(statement):
            return False
        (table,) = named(statement) if len(named(statement)) == 1 else ("several",)
        keys = {"relationship": "relationship_id", "member": "(?:member_id|session_id)", "directory": r"\w+_hash"}
        owner = rf"WHERE (?:{table}\.)?{keys.get(CLASS_OF.get(table, ''), 'none')} = \$\d"
        return bool(re.search(r"\bJOIN\b", statement)) or not re.search(owner, statement)

    assert of_all(locks_otherwise) == LOCKS_MANY.keys() | SKIPS_LOCKED.keys()


def test_no_row_lock_stands_beside_an_insert() -> None:
    assert of_all(lambda one: LOCKS.search(one) and "INSERT" in one) == {"service.prompts.dispatch.SEND"}


def test_locked_rows_are_skipped_in_the_directory_alone() -> None:
    assert of_all(lambda one: "SKIP LOCKED" in one) == SKIPS_LOCKED.keys()
    assert {CLASS_OF[table] for name in SKIPS_LOCKED for table in named(statements()[name])} == {"directory"}


def test_no_statement_asks_where_a_row_lies() -> None:
    assert of_all(WHERE_IT_LIES.search) == set()


def test_ids_and_times_come_from_the_program() -> None:
    assert of_all(MADE_BY_SQL.search) == set()


def sources() -> dict[str, str]:
    """Every file of the program, and every migration."""
    roots = [Path(package.__path__[0]) for package in (events, projections, service_package)]
    return {str(path): path.read_text() for root in roots for kind in ("*.py", "*.sql") for path in root.rglob(kind)}


def test_nothing_is_used_that_a_cluster_of_databases_has_not() -> None:
    # In the text of all files, for a statement might be one that nobody walks. Rights are taken away by name.
    texts = {path: re.sub(r"TEMP and CREATE", "", text) for path, text in sources().items()}
    assert len(texts) > 150
    assert {path for path, text in texts.items() if MEANS.search(text)} == set()
    ways = re.compile(r"\.(copy_records_to_table|copy_to_table|copy_from_\w+|add_listener)\(")
    assert {path for path, text in texts.items() if ways.search(text)} == set()


def test_who_shares_a_group_is_one_policy() -> None:
    made = [path for path, text in sources().items() if re.search(r"(?<!\w)Slot\(", re.sub("class Slot.*", "", text))]
    # The other one groups look-ups of access tokens, and knows no couple.
    assert sorted(Path(path).name for path in made) == ["authentication.py", "concurrency.py"]


# --- Settings that protect


def test_no_limit_is_given_at_start_up() -> None:
    assert [name for name in (*SESSION_SETTINGS, *RECORDING) if "timeout" in name] == []


async def test_each_role_brings_its_limits_along(database_url: str) -> None:
    for role in ROLES:
        connection = await asyncpg.connect(database_url, user=role)
        limits = [await connection.fetchval(f"SHOW {name}_timeout") for name in ("lock", "idle_in_transaction_session")]
        await connection.close()
        assert limits == ["50ms" if role == "mutuality_recorder" else "5s", "30s"], role


# --- Versions


async def test_a_head_with_another_version_refuses_the_append(service: Running, db: Database) -> None:
    one, _ = await service.couple()
    context: Context = service.app.state.context
    asked = Request(occurred_at=datetime(2026, 6, 15, 10, tzinfo=UTC), domain="home")
    submitter = Submitter(await one.session(), UUID(one.member_id), UUID(one.rid))
    submission = Submission(submitter, [(uuid4(), asked)])
    assert rules.is_shared(asked)

    async def write(change: str | None) -> bool:
        async with context.writer() as writer:
            write_set = await load_write_set(context, writer, [submission], locked=False)
            await decide_entries(write_set)
            if change:
                await db.execute(change, UUID(one.rid))
            return await append(writer, write_set.rows())

    before = await everything(db)
    assert not await write("UPDATE heads SET version = version + 1 WHERE relationship_id = $1 AND stream = 0")
    assert await everything(db) == before
    # Moved to another place, as a copy or a restore would: the same version, and so the same row.
    assert await write("UPDATE heads SET position = position WHERE relationship_id = $1 AND stream = 0")
    assert await everything(db) != before


async def everything(db: Database) -> list[Any]:
    """All that is recorded."""
    return [await db.fetch(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in ("events", "pages", "occasions")]


# --- Locks

# For each statement that locks a row: what to hold, an owner each time, and what must wait for it.
HELD = {
    "events.heads.LOCK": "SELECT relationship_id, array_agg(stream) FROM heads GROUP BY 1",
    "service.access.authentication.LOCK_SESSION": "SELECT session_id, member_id FROM sessions",
    "service.accounts.mailed_codes.LOCK_ATTEMPT": "SELECT attempt_hash, $1::timestamptz FROM sign_in_attempts",
    "service.accounts.pauses.LOCK_PAUSES": "SELECT member_id FROM members",
    "service.accounts.session_codes.LOCK_CODE": "SELECT session_id, purpose, $1::timestamptz, $1 FROM session_codes",
    "service.accounts.sessions.LOCK_FAMILY": "SELECT session_id FROM sessions",
    "service.accounts.sessions.LOCK_SESSIONS_OF": "SELECT member_id FROM sessions",
    "service.prompts.answering.LOCK": "SELECT member_id, array_agg(prompt_id) FROM prompts GROUP BY 1",
    "service.prompts.replanning.FORGET_PLANNED": "SELECT member_id FROM prompts WHERE state = 'scheduled'",
    "service.prompts.replanning.LOCK_SCHEDULE": "SELECT member_id FROM schedules",
    "service.prompts.replanning.RECENT_PROMPTS": "SELECT member_id, $1::timestamptz FROM prompts",
    "service.recording.reveal.LOCK_RELATIONSHIP": "SELECT relationship_id FROM relationships",
    "service.relationships.linking.LOCK_STATE": "SELECT relationship_id FROM relationships",
}
RIVALS = {
    "service.access.authentication.LOCK_SESSION": "DELETE FROM sessions WHERE session_id = $1 AND member_id = $2",
}
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


async def test_each_row_lock_blocks_who_wants_the_same_and_nobody_else(service: Running, db: Database) -> None:
    for _ in range(2):
        await recorded(service)
    await db.execute("UPDATE prompts SET state = 'scheduled'")
    locking = of_all(LOCKS.search) - LOCKS_MANY.keys() - SKIPS_LOCKED.keys()
    assert locking == HELD.keys()
    rival = await asyncpg.connect(service.database_url, server_settings={"lock_timeout": "100ms"})
    try:
        for name in locking:
            statement, found = statements()[name], HELD[name]
            owners = await db.fetch(f"{found} ORDER BY 1", *([LONG_AGO] if "$1" in found else []))
            first, second = list({row[0]: row for row in owners}.values())[:2]
            assert await blocks(db, rival, (statement, first), (RIVALS.get(name, statement), first)), name
            assert not await blocks(db, rival, (statement, first), (RIVALS.get(name, statement), second)), name
    finally:
        await rival.close()


Call: TypeAlias = tuple[str, Record]


async def blocks(db: Database, rival: Database, held: Call, wanted: Call) -> bool:
    """Whether another connection waits in vain while one holds a row."""
    holding, waiting = db.transaction(), rival.transaction()
    await holding.start()
    await waiting.start()
    try:
        status = await (await db.prepare(held[0])).fetch(*held[1])
        assert status or "DELETE" in held[0], f"{held[0]} holds nothing"
        await rival.fetch(wanted[0], *wanted[1])
    except LockNotAvailableError:
        return True
    else:
        return False
    finally:
        await waiting.rollback()
        await holding.rollback()


# --- Tokens


async def test_a_used_refresh_token_is_kept_until_it_is_over(service: Running, db: Database) -> None:
    phone = await service.phone().sign_in()
    first = phone.refresh_token

    async def refresh() -> None:
        body = {"refresh_token": phone.refresh_token}
        phone.take(await phone.expect(200, "POST", "/v1/sessions/refresh", body))

    async def is_kept() -> bool:
        count = "SELECT count(*) FROM refresh_tokens WHERE token_hash = $1"
        return bool(await db.fetchval(count, tokens.token_hash(first)))

    service.clock.advance(days=1)
    await refresh()
    service.clock.time += REFRESH_TTL - timedelta(days=2)
    await refresh()
    assert await is_kept()
    service.clock.advance(days=1, seconds=1)
    await refresh()
    assert not await is_kept()
