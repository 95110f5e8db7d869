"""Each table has one owner: the room that alone writes it, so that who looks for what changes a row looks there."""

import importlib
import re
from collections.abc import Iterator

import asyncpg
import pytest

from tests.service.database.test_row_security import is_statement, modules

OWNERS = {
    "access_tokens": {"accounts"},
    "addresses": {"accounts"},
    "code_allowances": {"accounts"},
    "devices": {"push"},
    "due_recounts": {"data_rights"},
    "events": {"recording", "events"},
    "heads": {"events", "recording"},
    "identities": {"accounts"},
    "invites": {"relationships"},
    "keys.epochs": {"keys"},
    "keys.wrapped": {"keys"},
    "known_devices": {"accounts"},
    "members": {"accounts"},
    "live_tickets": {"reading"},
    "memberships": {"relationships"},
    "occasions": {"prompts"},
    "outbox": {"push"},
    "pages": {"projections", "recording"},
    "prompts": {"prompts"},
    "readers": {"relationships"},
    "refresh_tokens": {"accounts"},
    "relationships": {"relationships"},
    "schedules": {"prompts"},
    "schema_migrations": {"database"},
    "sessions": {"accounts"},
    "sign_in_attempts": {"accounts"},
    "sign_in_nonces": {"accounts"},
    "session_codes": {"accounts"},
    "waiting": {"events"},
}
# A room that writes another's table, and why it must.
EXCEPTIONS = {
    ("accounts", "memberships"): "the other sees a member's name there, and cannot look at the member's own row",
    ("prompts", "outbox"): "a push is put in and taken out with the change of the prompt that it tells of, or neither",
    ("recording", "occasions"): "an event is noted in the one statement that appends it, or neither is there",
}
# Not what only locks a row (FOR UPDATE, FOR NO KEY UPDATE), nor what an INSERT does where the row is there.
WRITES = re.compile(r"\b(?:INSERT INTO|DELETE FROM|(?<!FOR )(?<!KEY )(?<!DO )UPDATE)\s+([\w.]+)")

TABLES = """
SELECT CASE WHEN schemaname = 'public' THEN tablename ELSE schemaname || '.' || tablename END
FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
"""


def written_by(statement: str) -> set[str]:
    """The tables that a statement changes."""
    return set(WRITES.findall(statement))


def writes() -> Iterator[tuple[str, str, str]]:
    """Room, table and place of all that is written: also where a module has a statement of another's."""
    for module in modules():
        package, _, rest = module.__name__.partition(".")
        room = rest.partition(".")[0] if package == "service" else package
        for name, text in vars(module).items():
            if name.isupper() and isinstance(text, str) and is_statement(text):
                yield from ((room, table, f"{module.__name__}.{name}") for table in written_by(text))


def test_each_room_writes_its_own_tables_only() -> None:
    foreign = [one for one in writes() if one[0] not in OWNERS[one[1]] and one[:2] not in EXCEPTIONS]
    assert foreign == []


def test_no_exception_and_no_owner_is_left_over() -> None:
    found = {(room, table) for room, table, _ in writes()}
    assert set(EXCEPTIONS) - found == set()
    assert {(room, table) for table, rooms in OWNERS.items() for room in rooms} - found == set()


async def test_every_table_has_an_owner(database_url: str) -> None:
    db = await asyncpg.connect(database_url)
    try:
        assert {row[0] for row in await db.fetch(TABLES)} == set(OWNERS)
    finally:
        await db.close()


@pytest.mark.parametrize("room", sorted(set.union(*OWNERS.values()) - {"events", "projections"}))
def test_the_door_of_a_room_names_what_it_writes(room: str) -> None:
    door = importlib.import_module(f"service.{room}").__doc__ or ""
    told = door.partition("Writes: ")[2].partition("Never imports:")[0]
    written = {table for name, table, _ in writes() if name == room}
    assert written - set(re.findall(r"`([\w.]+)`", told)) == set()


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("INSERT INTO a (b) VALUES ($1) ON CONFLICT (b) DO UPDATE SET b = excluded.b", {"a"}),
        ("WITH held AS (SELECT FROM a FOR UPDATE OF a) DELETE FROM keys.b USING held", {"keys.b"}),
        ("WITH c AS (UPDATE a SET b = 1 RETURNING b) SELECT b FROM c FOR NO KEY UPDATE", {"a"}),
    ],
)
def test_what_a_statement_writes_is_read_from_its_text(statement: str, tables: set[str]) -> None:
    assert written_by(statement) == tables
