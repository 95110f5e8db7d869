"""The migration runner: applies the numbered SQL files of service/database/migrations/.

A file NNNN_name.sql is executed statement by statement in one transaction, which also records it in
`schema_migrations` with its checksum. What was applied is never edited, renamed or removed: the next change
is the next number.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import asyncpg
from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

from service.database.roles import KEEPER_ROLE, OWNER_ROLE, SERVICE_ROLE, Connection, ensure, ensure_roles
from service.errors import MigrationError

UrlOrConnection: TypeAlias = "str | asyncpg.Connection[Record] | PoolConnectionProxy[Record]"

DIRECTORY = Path(__file__).with_name("migrations")


@dataclass(frozen=True)
class Migration:
    number: int
    name: str  # of the file, without .sql
    checksum: str  # SHA-256 in hex, the same for both kinds of line ends
    sql: str


async def migrate(
    database: UrlOrConnection,
    now: datetime,
    directory: Path = DIRECTORY,
    verifiers: Mapping[str, str] | None = None,
) -> list[str]:
    """Apply what is not applied yet; returns the names of the files that this call applied, in order.

    `database` is a DSN, or a connection that is not in a transaction; `now` is recorded as the time. `verifiers` are
    those of the passwords of roles that are made. Several processes may call this at once: a file is applied by one of
    them. Raises MigrationError if applied files were changed or are missing, if a file fails (it then leaves nothing
    behind), or if the connecting user may not make the roles.
    """
    migrations = _read(directory)
    async with _connected(database) as connection, _owning(connection, verifiers):
        await ensure(connection, TABLE_EXISTS, CREATE_TABLE)
        unapplied = await _unapplied(connection, migrations)
        return [each.name for each in unapplied if await _apply(connection, each, migrations, now)]


async def newest(connection: Connection) -> str:
    """The name of the last migration that was applied."""
    name: str = await connection.fetchval(SELECT_NEWEST)
    return name


async def pending(connection: Connection, directory: Path = DIRECTORY) -> list[str]:
    """The names of the files that are not applied yet. Changes nothing; MigrationError as for migrate."""
    migrations = _read(directory)
    if not await connection.fetchval(TABLE_EXISTS):
        return [each.name for each in migrations]
    return [each.name for each in await _unapplied(connection, migrations)]


@asynccontextmanager
async def _connected(database: UrlOrConnection) -> AsyncIterator[Connection]:
    if not isinstance(database, str):
        yield database
        return
    connection = await asyncpg.connect(database)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def _owning(connection: Connection, verifiers: Mapping[str, str] | None) -> AsyncIterator[None]:
    """Be the role that owns all that is made."""
    await ensure_roles(connection, verifiers)
    await connection.execute(f"SET ROLE {OWNER_ROLE}")
    try:
        yield
    finally:
        await connection.execute("RESET ROLE")


# --- The files

FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+")


def _read(directory: Path) -> list[Migration]:
    """All files of the directory, by number."""
    migrations = [_read_one(path) for path in sorted(directory.glob("*.sql"))]
    for one, next_one in pairwise(migrations):
        if one.number == next_one.number:
            raise MigrationError(f"{one.name} and {next_one.name} have the same number: renumber the newer one.")
    return migrations


def _read_one(path: Path) -> Migration:
    match = FILE_NAME.fullmatch(path.stem)
    if match is None:
        raise MigrationError(f"{path.name} is not named like 0001_what_it_does.sql.")
    sql = path.read_text(encoding="utf-8")  # \r\n is read as \n
    return Migration(int(match[1]), path.stem, hashlib.sha256(sql.encode()).hexdigest(), sql)


# --- The record of what was applied

TABLE_EXISTS = "SELECT to_regclass('schema_migrations') IS NOT NULL"

CREATE_TABLE = f"""
CREATE TABLE schema_migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL
);
GRANT SELECT ON schema_migrations TO {SERVICE_ROLE}, {KEEPER_ROLE}
"""

# Conflicts with itself, not with reading.
LOCK = "LOCK TABLE schema_migrations IN SHARE ROW EXCLUSIVE MODE"

SELECT_APPLIED = "SELECT number, name, checksum FROM schema_migrations ORDER BY number"

SELECT_NEWEST = "SELECT max(name) FROM schema_migrations"

INSERT_APPLIED = "INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES ($1, $2, $3, $4)"


async def _apply(connection: Connection, migration: Migration, all_of_them: list[Migration], now: datetime) -> bool:
    """Apply one file, unless it is applied already; returns whether it was applied here."""
    async with connection.transaction():
        # Another process may have applied the file while this waited for the lock.
        await connection.execute(LOCK)
        if migration not in await _unapplied(connection, all_of_them):
            return False
        for statement in statements(migration.sql):
            await _execute(connection, statement, migration.name)
        await connection.execute(INSERT_APPLIED, migration.number, migration.name, migration.checksum, now)
        return True


async def _execute(connection: Connection, statement: str, name: str) -> None:
    try:
        await connection.execute(statement)
    except asyncpg.PostgresError as error:
        first_line = statement.strip().splitlines()[0]
        raise MigrationError(f"{name} failed at the statement `{first_line}`: {error}") from error


async def _unapplied(connection: Connection, migrations: list[Migration]) -> list[Migration]:
    """What is still to be applied, after checking that what was applied is still what the files say."""
    files = {each.number: each for each in migrations}
    applied = await connection.fetch(SELECT_APPLIED)
    for row in applied:
        _check(row, files.get(row["number"]))
    last = applied[-1] if applied else None
    unapplied = [each for each in migrations if each.number not in {row["number"] for row in applied}]
    if last is not None and unapplied and unapplied[0].number < last["number"]:
        raise MigrationError(
            f"{unapplied[0].name} comes before {last['name']}, which is applied already: "
            f"give it a number after {last['number']:04}."
        )
    return unapplied


def _check(applied: Record, file: Migration | None) -> None:
    name = applied["name"]
    if file is None:
        raise MigrationError(
            f"{name} was applied to this database, but there is no such file: "
            "is this an older version of the program, or was the file renumbered?"
        )
    if file.name != name:
        raise MigrationError(f"Number {file.number:04} was applied as {name}, but the file is {file.name} now.")
    if file.checksum != applied["checksum"]:
        raise MigrationError(
            f"{name} was changed after it had been applied: restore it, and put the change into a new file."
        )


# --- Splitting SQL

# What may hold a semicolon that ends nothing. Block comments nest, so only their start is here.
TOKEN = re.compile(
    r"""
      (?P<comment> -- [^\n]* )
    | (?P<block> /\* )
    | (?P<escaped> \b [eE] ' (?: [^'\\] | \\. | '' )* ' )
    | (?P<text> ' (?: [^'] | '' )* ' )
    | (?P<name> " (?: [^"] | "" )* " )
    | (?P<dollar> (?<! [\w$] ) \$ (?P<tag> (?: [^\W\d] \w* )? ) \$ .*? \$ (?P=tag) \$ )
    | (?P<end> ; )
    """,
    re.VERBOSE | re.DOTALL,
)


def statements(sql: str) -> Iterator[str]:
    """Split SQL into its statements, without their semicolons and without comments around them.

    Knows comments, quoted texts and names, and dollar quotes; not the bodies of BEGIN ATOMIC.
    """
    kept: list[str] = []  # pieces of the statement being read
    position = 0
    while token := TOKEN.search(sql, position):
        kept.append(sql[position : token.start()])
        position = token.end()
        match token.lastgroup:
            case "end":
                yield from _whole(kept)
                kept = []
            case "comment":
                pass
            case "block":
                position = _end_of_block_comment(sql, position)
                kept.append(" ")
            case _:
                kept.append(token[0])
    kept.append(sql[position:])
    yield from _whole(kept)


def _whole(pieces: list[str]) -> Iterator[str]:
    statement = "".join(pieces).strip()
    if statement:
        yield statement


def _end_of_block_comment(sql: str, position: int) -> int:
    depth = 1
    while depth:
        mark = re.compile(r"/\*|\*/").search(sql, position)
        if mark is None:
            raise MigrationError("A comment that begins with /* does not end.")
        depth += 1 if mark[0] == "/*" else -1
        position = mark.end()
    return position
