"""What whoever steals the disk of the database, its backups or a dump can find there."""

import subprocess
from pathlib import Path

import asyncpg

from service.database.embedded import program
from tests.support.phones import Running


async def keep_wal(db: "asyncpg.Connection[asyncpg.Record]") -> None:
    """From now on, and for as long as this connection is open, no WAL is removed or written over.

    Otherwise, what other tests write on the same server at that moment may take the place of what is looked for.
    """
    await db.execute("SELECT pg_create_physical_replication_slot('keep_' || pg_backend_pid(), true, true)")


async def places_of(
    service: Running, db: "asyncpg.Connection[asyncpg.Record]", word: bytes, folder: Path, but: bytes = b""
) -> set[str]:
    """In which places on the disk the bytes stand, as they are or in hex as a dump has them, outside of `but`.

    Places are heap (with all indexes), wal, and dump (of the data, without the keys).
    """
    await db.execute("CHECKPOINT")
    await db.execute("SELECT pg_switch_wal()")
    data = Path(await db.fetchval("SHOW data_directory"))
    oid = await db.fetchval("SELECT oid::text FROM pg_database WHERE datname = current_database()")
    dump = folder / "dump.sql"
    command = [str(program("pg_dump")), "--dbname", service.database_url, "--exclude-schema=keys", f"--file={dump}"]
    subprocess.run(command, check=True)  # noqa: ASYNC221
    places = {"heap": data / "base" / oid, "wal": data / "pg_wal", "dump": folder}
    spelled = [(word, but), (word.hex().encode(), but.hex().encode())]
    return {name for name, place in places.items() if any(_stands_in(place, *one) for one in spelled)}


def _stands_in(folder: Path, word: bytes, but: bytes) -> bool:
    contents = (_content_of(path) for path in folder.rglob("*") if path.is_file())
    return any(word in (content.replace(but, b"") if but else content) for content in contents)


def _content_of(file: Path) -> bytes:
    """What is in a file; the server may remove it while others use it."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""
