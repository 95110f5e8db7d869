"""The second wall: whatever a statement forgets to ask for, the database shows nobody's rows but the member's own."""

import asyncio
import importlib
import json
import pkgutil
import re
from datetime import UTC, date, datetime
from types import ModuleType
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest
from asyncpg import Record

import events
import projections
import service as service_package
from events import reading
from service.context import Context
from tests.support.asking import device, prompted, pushing
from tests.support.phones import Phone, Running

Database: TypeAlias = "asyncpg.Connection[Record]"
OCCURRED = "2026-06-15T10:00:00+02:00"
HERE = "/v1/relationships/{rid}"

TABLES = """
SELECT pg_class.relname
FROM pg_class
WHERE pg_class.relkind = 'r'
    AND pg_class.relnamespace = 'public'::regnamespace
    AND pg_class.relname <> 'schema_migrations'
"""


@pytest.fixture
async def db(service: Running) -> Any:
    """The same database, as its superuser, whom no policy binds."""
    connection = await asyncpg.connect(service.database_url)
    yield connection
    await connection.close()


async def recorded(service: Running) -> tuple[Phone, Phone]:
    """Two who have recorded something of every kind, shared and private, and have made an invite elsewhere."""
    one, two = await service.couple()
    for phone, item in ((one, "close"), (two, "fair")):
        await phone.put("check-ins", {"occurred_at": OCCURRED, "felt": {item: 4}, "audience": "sealed"})
        asked = await phone.put("requests", {"occurred_at": OCCURRED, "domain": "home"})
        await phone.put("retractions", {"occurred_at": OCCURRED, "event_id": asked["event"]["id"]})
        await phone.put("decisions", {"occurred_at": OCCURRED, "domain": "home", "decided_by": "me"})
        await phone.put("check-ins", {"occurred_at": OCCURRED, "note": "A walk", "initiated_by": "me"})
        await phone.expect(200, "PUT", "/v1/me/schedule", {"after_events": {"enabled": True}})
        await device(phone)
        await pushing(service, phone, await prompted(service, phone))
    another = await service.member()
    await another.call("POST", f"{HERE}/invites")
    await another.call("POST", "/v1/sign-in-codes", {"email": another.email})
    await another.call("POST", "/v1/sign-in-nonces", {})
    await another.call("POST", "/v1/sessions/step-up-codes", {})
    await one.expect(201, "POST", "/v1/relationships/{rid}/live-tickets", {})
    return one, two


async def names(db: Database, query: str) -> list[str]:
    return [row[0] for row in await db.fetch(query)]


# --- The catalogue


async def test_every_table_is_walled_off_from_its_owner_too(db: Database) -> None:
    walled = "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"
    assert set(await names(db, TABLES)) <= set(await names(db, walled))


async def test_the_service_has_no_policy_that_shows_everything(db: Database) -> None:
    open_to_all = "SELECT tablename FROM pg_policies WHERE roles && '{mutuality_service,public}' AND qual = 'true'"
    assert await names(db, open_to_all) == []


async def test_no_role_of_the_service_is_above_the_wall(db: Database) -> None:
    above = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'mutuality%' AND (rolsuper OR rolbypassrls)"
    assert await names(db, above) == []
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('public', 'keys')"
    assert await names(db, owners) == ["mutuality_owner"]


# --- What is seen


async def seen(context: Context, table: str, *members: str) -> list[Record]:
    """The rows of a table, with the wall open for those members, or for nobody."""
    try:
        async with context.db.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('mutuality.members', $1, true)", "{" + ",".join(members) + "}")
            return await connection.fetch(f"TABLE {table}")
    except asyncpg.InsufficientPrivilegeError:
        return []


async def test_without_a_member_no_table_shows_a_row(service: Running, db: Database) -> None:
    await recorded(service)
    context = service.app.state.context
    for table in await names(db, TABLES):
        assert await db.fetchval(f"SELECT count(*) FROM {table}") > 0 or table in EMPTY, f"{table} holds nothing"
        assert await seen(context, table) == []
        assert await seen(context, table, str(uuid4())) == []


EMPTY = {"identities", "due_recounts"}  # who signs in by mail leaves nothing there; notes go at once


async def test_a_member_sees_only_streams_of_their_own(service: Running, db: Database) -> None:
    one, two = await recorded(service)
    await recorded(service)
    context = service.app.state.context
    for table in ("readers", "heads", "events", "pages"):
        rows = await seen(context, table, one.member_id)
        assert {(str(row["relationship_id"]), row["stream"]) for row in rows} == {(one.rid, 0), (one.rid, 1)}, table
        assert await seen(context, table, one.member_id, two.member_id) != rows


async def test_a_member_sees_only_what_asks_themselves(service: Running) -> None:
    one, _ = await recorded(service)
    context = service.app.state.context
    for table in ("devices", "schedules", "prompts", "outbox"):
        assert [row["member_id"] for row in await seen(context, table, one.member_id)] == [UUID(one.member_id)], table
    assert await seen(context, "occasions", one.member_id) == []


async def test_who_plans_and_sends_reads_no_event_and_no_key(service: Running) -> None:
    await recorded(service)
    prompter = service.app.state.context.scheduler_db
    for table in ("events", "pages", "heads", "keys.wrapped", "sessions", "addresses"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await prompter.fetch(f"TABLE {table}")


async def test_a_connection_acts_for_who_uses_it_now(service: Running) -> None:
    couples = [await recorded(service) for _ in range(2)]
    context: Context = service.app.state.context
    for phone in [phone for couple in couples for phone in couple] * 3:
        for _ in range(2):
            async with context.acting_as(UUID(phone.member_id)) as connection:
                readers = await connection.fetch("SELECT DISTINCT member_id::text FROM readers")
            assert [row["member_id"] for row in readers] == [phone.member_id]


async def test_the_door_reads_no_event(service: Running) -> None:
    await recorded(service)
    door = service.app.state.context.auth_db
    for table in ("events", "pages", "heads", "keys.wrapped"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await door.fetch(f"TABLE {table}")


async def test_the_recorder_appends_for_all_and_reads_no_text(service: Running) -> None:
    await recorded(service)
    for statement in (
        "SELECT ciphertext FROM events",
        "TABLE sessions",
        "TABLE readers",
        "DELETE FROM events",
        "UPDATE events SET ciphertext = NULL",
        "UPDATE pages SET month = 0",
        "DELETE FROM pages",
    ):
        async with service.app.state.context.writer() as db:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await db.fetch(statement)


# --- Every statement, with its WHERE removed


def modules() -> list[ModuleType]:
    """All that may hold SQL, however deep it lies."""
    found = []
    for package in (events, projections, service_package):
        inside = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        found += [importlib.import_module(each.name) for each in inside if not each.name.endswith("__main__")]
    return found


# Only set_config, and no row of anything.
WHO_ACTS = re.compile(r"\s*SELECT(\s+set_config\([^()]*\),?)+\s*")


# What migrates works as who owns the tables, before anybody is served.
MIGRATIONS = {"service.database.migrate", "service.database.roles"}
# So that none is overlooked where files are moved: whoever adds a statement, or takes one away, says so here.
STATEMENTS = 190


def is_statement(text: str) -> bool:
    """Whether a text is SQL that asks for rows."""
    begins = re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", text)
    return begins is not None and not re.fullmatch(WHO_ACTS, text)


def statements() -> dict[str, str]:
    """Every statement of the program, by where it stands; one that another module imports, once."""
    found: dict[tuple[str, str], str] = {}
    for module in modules():
        for name, text in vars(module).items() if module.__name__ not in MIGRATIONS else ():
            if name.isupper() and isinstance(text, str) and is_statement(text):
                found.setdefault((name, text), f"{module.__name__}.{name}")
    return {place: text for (_, text), place in found.items()}


def test_no_statement_is_overlooked() -> None:
    assert len(statements()) == STATEMENTS


def without_where(statement: str) -> str:
    """The statement as it would be had its author forgotten every WHERE; AND binds closer than OR."""
    return re.sub(r"\bWHERE\b", "WHERE true OR", statement)


def columns_of(statement: str) -> dict[int, str]:
    """What a statement calls its parameters, by their places, where it makes columns of them."""
    found: dict[int, str] = {}
    for arrays, columns in re.findall(r"unnest\(([^()]*)\) AS \w+ \(([^()]*)\)", statement):
        places = [int(place) for place in re.findall(r"\$(\d+)", arrays)]
        found |= dict(zip(places, [name.strip() for name in columns.split(",")], strict=True))
    return found


def something(kind: str, foreign: dict[str, Any], index: int, column: str | None = None) -> Any:
    """A value of a type; those of a column, and all ids, are of rows that exist and are another's."""
    if kind.endswith("[]"):
        return [something(kind.removesuffix("[]"), foreign, index, column)]
    if column in foreign:
        return foreign[column]
    ids = [foreign["relationship_id"], foreign["event_id"], foreign["member_id"]]
    values: dict[str, Any] = {
        "uuid": ids[min(index, 2)],
        "text": "x",
        "bytea": bytes(32),
        "timestamptz": datetime.now(UTC),
        "date": date(2026, 6, 15),
        "bool": True,
        "int8": 1,
        "int4": 1,
        "int2": 0,
        "json": "[]",
    }
    return values[kind]


def rows_in_json(statement: str, foreign: dict[str, Any]) -> bytes:
    """One row of what a statement reads from JSON, column by column."""
    kinds = [typed or "text" for typed in re.findall(r"->> \d+(?:\)::(\w+))?", statement)]
    values = [something(kind.replace("bigint", "int8"), foreign, index) for index, kind in enumerate(kinds)]
    return json.dumps([values], default=str).encode()


def record_in_json(columns: str, foreign: dict[str, Any]) -> str:
    """One record with those columns, each of them a name and a type, as a statement names them."""
    kinds = {"boolean": "bool"}
    named = [column.split() for column in columns.split(",")]
    return json.dumps(
        [{name: something(kinds.get(kind, kind), foreign, index) for index, (name, kind) in enumerate(named)}],
        default=str,
    )


# What a statement repeats of what was asked, beside what it found.
REPEATED = {reading.BODIES: {"relationship_id", "stream", "after", "until"}}
# For whom a statement acts is who asks, whatever else they ask for.
ACTS_FOR = re.compile(r"set_config\('mutuality\.members', (?:ARRAY\[)?\$(\d+)")


async def outcome(db: Any, statement: str, foreign: dict[str, Any], caller: UUID) -> str:
    """What came of it: refused, or how many rows were seen or changed."""
    transaction = db.transaction()
    await transaction.start()
    try:
        prepared = await db.prepare(without_where(statement))
        kinds = [f"{p.name.removesuffix('[]')}[]" if p.kind == "array" else p.name for p in prepared.get_parameters()]
        columns = columns_of(statement)
        given = [something(kind, foreign, index, columns.get(index + 1)) for index, kind in enumerate(kinds)]
        for place in ACTS_FOR.findall(statement):
            given[int(place) - 1] = [caller] if kinds[int(place) - 1].endswith("[]") else caller
        for place in re.findall(r"convert_from\(\$(\d+)", statement):
            given[int(place) - 1] = rows_in_json(statement, foreign)
        for place, fields in re.findall(r"json_to_recordset\(\$(\d+)\) AS \w+ \(([^)]*)\)", statement):
            given[int(place) - 1] = record_in_json(fields, foreign)
        rows = await prepared.fetch(*given)
        changed = re.search(r"(\d+)$", prepared.get_statusmsg())
        repeated = REPEATED.get(statement, set())
        told = [row for row in rows if any(value for name, value in row.items() if name not in repeated)]
        return f"{len(told) if statement.lstrip().startswith('SELECT') else int(changed[1] if changed else 0)} rows"
    except (asyncpg.InsufficientPrivilegeError, asyncpg.DivisionByZeroError):  # so the one that appends takes all back
        return "refused"
    finally:
        await transaction.rollback()


# An event of somebody else, and all by which it, its author and what they count may be found or followed.
FOREIGN = """
SELECT
    events.*,
    heads.version,
    memberships.member_id,
    sessions.session_id,
    pages.month
FROM events
JOIN heads USING (relationship_id, stream)
JOIN pages USING (relationship_id, stream, author)
JOIN memberships
    ON memberships.relationship_id = events.relationship_id
    AND memberships.seat = events.author
JOIN sessions USING (member_id)
LIMIT 1
"""

# What needs no row of any table.
HARMLESS = {"service.data_rights.import_export.UNBOUND", "service.cli.database.UNSAFE"}


async def test_every_statement_with_its_where_removed_sees_and_changes_nothing_foreign(
    service: Running, db: Database
) -> None:
    await recorded(service)
    foreign = dict(await db.fetchrow(FOREIGN) or {})
    context: Context = service.app.state.context
    stranger, outcomes = uuid4(), {}
    for name, statement in statements().items():
        async with context.acting_as(stranger) as connection:
            outcomes[name] = await outcome(connection, statement, foreign, stranger)
    assert {n: o for n, o in outcomes.items() if o not in ("refused", "0 rows") and n not in HARMLESS} == {}
    assert sum(told == "0 rows" for told in outcomes.values()) >= 15


async def test_a_connection_that_was_left_in_the_middle_is_not_used_again(service: Running) -> None:
    context: Context = service.app.state.context
    used: list[int] = []
    begun = asyncio.Event()

    async def wait() -> None:
        async with context.acting_as(uuid4()) as connection:
            used.append(connection.get_server_pid())
            begun.set()
            await connection.execute("SELECT pg_sleep(60)")

    task = asyncio.create_task(wait())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with context.acting_as(uuid4()) as connection:
        assert connection.get_server_pid() not in used
