"""Open the database that a command works on: the one of the settings, or an embedded one."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

from service.core.clock import utc_now
from service.database import embedded, logins
from service.database.migrate import migrate as migrate_schema
from service.database.migrate import pending
from service.database.pool import connect
from service.database.roles import KEYS_ROLE, RECORDER_ROLE, SERVICE_ROLE, amiss
from service.errors import DataDirInUse, StartupError
from service.keys.epochs import epochs_in_use
from service.keys.key_store import FileKeyStore
from service.settings import Settings


async def missing_migrations(url: str) -> list[str]:
    """The names of the migrations that the database lacks."""
    db = await connect(url, SERVICE_ROLE)
    try:
        return await pending(db)
    finally:
        await db.close()


async def is_ready(url: str) -> bool:
    """Whether it can be served from as it is: migrated, and with roles that are what they should be."""
    if await logins.locked_out(url):
        return False
    db = await connect(url, SERVICE_ROLE)
    try:
        return not await pending(db) and not await amiss(db)
    finally:
        await db.close()


async def remind_of_rotation(url: str) -> None:
    """Print what a rotation would end: one that was cut off, and erasures that older backups still open."""
    db = await connect(url, KEYS_ROLE)
    try:
        epochs = await epochs_in_use(db)
        if before := epochs.numbers[:-1]:
            print(f"A rotation was cut off: epochs {', '.join(map(str, before))} are to be destroyed.")
        if epochs.erasures:
            print(f"Backups still open what {epochs.erasures} erased members wrote: rotate-keys ends that.")
    finally:
        await db.close()


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The address of the database for who migrates: the one that is set, or an embedded one started here."""
    if settings.database_url:
        yield settings.database_url
    else:
        with embedded.running(settings.data_dir, _room_for(settings)) as url:
            yield url


CONNECTIONS_OF_WORKER = 40  # beside DATABASE_CONNECTIONS, as the README's table says, and some for what is closing
CONNECTIONS_OF_SPARE = 10  # one in each pool of a worker that waits
OTHER_CONNECTIONS = 50  # of maintenance, of who looks, and PostgreSQL's own


def _room_for(settings: Settings) -> dict[str, str]:
    """How many connections an embedded PostgreSQL has to let in, where it is more than it does by itself."""
    workers = count_of(settings.workers, embedded=True)
    others = OTHER_CONNECTIONS + CONNECTIONS_OF_SPARE
    wanted = others + (workers + 1) * (settings.database_connections + CONNECTIONS_OF_WORKER)
    return {"max_connections": str(wanted)} if workers > 1 else {}


def count_of(workers: int | Literal["auto"], *, embedded: bool) -> int:
    """How many processes are to serve: auto is one a core, less one where PostgreSQL is on this machine as ours."""
    if workers != "auto":
        return workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(cores - embedded, 1)


@contextmanager
def lasting_database(settings: Settings) -> Iterator[str]:
    """Its address for who serves, migrated. StartupError where an answer would not mean that the event is on disk."""
    with database(settings) as administrators:
        url = serving(settings, administrators)
        asyncio.run(migrate_where_needed(administrators, url))
        asyncio.run(require_durability(url))
        yield url


@contextmanager
def database_in_use(settings: Settings) -> Iterator[str]:
    """As `database`, or the embedded one of a service that runs already: maintenance does not need it to stop."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(database(settings))
        except DataDirInUse:
            url = embedded.url_of_running(settings.data_dir)
        yield url


def serving(settings: Settings, administrators: str) -> str:
    """The address of the same database for the roles, which log in by passwords of their own."""
    return logins.serving_url(administrators, key_store(settings).database_secret)


def key_store(settings: Settings) -> FileKeyStore:
    """The key store that belongs to the data."""
    return FileKeyStore(settings.keys_dir or settings.data_dir / "keys")


# As they are for who records: a database or a role may have settings of its own.
UNSAFE = """
SELECT name
FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')
    AND setting = 'off'
ORDER BY name
"""


async def require_durability(url: str) -> None:
    """Raise StartupError where PostgreSQL acknowledges commits that it could lose."""
    db = await connect(url, RECORDER_ROLE)
    try:
        unsafe = [row["name"] for row in await db.fetch(UNSAFE)]
    finally:
        await db.close()
    if unsafe:
        raise StartupError(f"PostgreSQL could lose what was acknowledged: {', '.join(unsafe)} must be on, and is off.")


async def migrate_where_needed(administrators: str, url: str) -> list[str]:
    """Migrate what is not ready to be served from: where all is, nobody who could change it logs in."""
    if await is_ready(url):
        return []
    return await migrate_database(administrators, url)


async def migrate_database(administrators: str, url: str) -> list[str]:
    """Apply the migrations that are missing, and let the roles log in; returns the names of what was applied."""
    db = await connect(administrators)
    try:
        applied = await migrate_schema(db, utc_now(), verifiers=logins.verifiers(url))
        await logins.ensure_logins(db, url)
        return applied
    finally:
        await db.close()
