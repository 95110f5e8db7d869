"""The PostgreSQL of a test run: one server, and for each test a fresh database made from a template.

MUTUALITY_TEST_DATABASE_URL names another server, of 15 to 18, and a superuser of it. It must let the service's roles in
without a password, as the embedded one does (`trust` in its pg_hba.conf). Those roles and databases named test_… are
made there.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from service.database import embedded, migrate

TEMPLATE = "template_mutuality"

# The data live as long as the run, so nothing has to survive a crash.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
# Two worlds of two workers have up to 148 at once, and those before them may not have ended yet.
MANY = {"max_connections": "300"}

GIVEN = "MUTUALITY_TEST_DATABASE_URL"


class SharedServer:
    """A server that starts when it is first asked for, and stops on `stop`, started or not."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._url: str | None = None

    @property
    def url(self) -> str:
        """The DSN of an empty database, as the server's superuser."""
        if self._url is None:
            given = os.environ.get(GIVEN)
            self._url = self._stack.enter_context(_given_server(given) if given else _server())
        return self._url

    def stop(self) -> None:
        self._stack.close()


@contextmanager
def _server() -> Iterator[str]:
    # Not pytest's own directory: nobody else may enter that, and a server started by root is somebody else.
    directory = Path(tempfile.mkdtemp(prefix="mutuality-tests-", dir=in_memory()))
    try:
        with embedded.running(directory, FAST | MANY) as url:
            asyncio.run(_make_template(url))
            yield url
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _given_server(url: str) -> Iterator[str]:
    asyncio.run(execute(url, f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)"))
    asyncio.run(_make_template(url))
    try:
        yield url
    finally:
        asyncio.run(execute(url, f"DROP DATABASE {TEMPLATE} WITH (FORCE)"))


MEMORY = Path("/dev/shm")  # noqa: S108 - what is made in it is a directory of its own
ENOUGH_BYTES = 2 * 2**30


def in_memory() -> Path | None:
    """Files in memory, where the system has room there: a database is 300 files, which take 20 ms to make, not 300."""
    try:
        return MEMORY if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ENOUGH_BYTES else None
    except OSError:
        return None


async def _make_template(url: str) -> None:
    await execute(url, f"CREATE DATABASE {TEMPLATE}")
    await migrate.migrate(in_database(url, TEMPLATE), now=datetime.now(UTC))


@contextmanager
def fresh_database(url: str, template: str = TEMPLATE) -> Iterator[str]:
    """The DSN of a new database, dropped afterwards, whoever is still connected."""
    name = f"test_{uuid4().hex}"
    asyncio.run(_make(url, name, template))
    try:
        yield in_database(url, name)
    finally:
        asyncio.run(execute(url, f"DROP DATABASE {name} WITH (FORCE)"))


# Who may enter a database is not copied with it; granted anew, it takes as long as the copy.
RIGHTS = """
UPDATE pg_database
SET datacl = (SELECT template.datacl FROM pg_database AS template WHERE template.datname = $1)
WHERE datname = $2
"""


async def _make(url: str, name: str, template: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        # By way of the log, as is the default, this takes more than three times as long.
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        if template == TEMPLATE:
            await connection.execute(RIGHTS, template, name)
    finally:
        await connection.close()


def in_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
