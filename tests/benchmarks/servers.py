"""What is measured: processes of the service as an operator starts them, on a PostgreSQL that loses nothing."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import psutil
import uvloop
from msgspec import Struct

from service.core.clock import utc_now
from service.core.garbage import collect_less
from service.database import embedded
from service.database.migrate import migrate as migrate_schema
from tests.support.postgres import execute, in_database

T = TypeVar("T")

STOP_SECONDS = 30
WORDS = re.compile(r"serves on (http://\S+)")
# A benchmark asks more than people do, and it must not be told to wait.
UNLIMITED = ("SIGN_INS_PER_HOUR", "REQUESTS_PER_MINUTE", "ENTRIES_PER_MINUTE", "INVITE_TRIES_PER_HOUR")
DURABILITY = "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')"


class Server(Struct, frozen=True):
    """A running server: its address, its process, and the file that it logs to."""

    url: str
    process: psutil.Process
    log: Path

    @property
    def port(self) -> int:
        """The port that it listens on, at 127.0.0.1."""
        return int(self.url.rpartition(":")[2])

    def cpu_seconds(self) -> float:
        """The processor time that its process has used so far."""
        used = self.process.cpu_times()
        return used.user + used.system


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A durable server of its own; the DSN of an empty database on it."""
    # Up to seven workers are measured side by side, each with connections of its own.
    with embedded.running(folder / "postgres", {"max_connections": "500"}) as url:
        asyncio.run(_be_durable(url))
        yield url


async def _be_durable(url: str) -> None:
    db = await asyncpg.connect(url)
    found = {row["name"]: row["setting"] for row in await db.fetch(DURABILITY)}
    await db.close()
    assert set(found.values()) == {"on"}, found


def migrated(url: str, name: str) -> str:
    """The DSN of a new database with the service's schema."""
    asyncio.run(execute(url, f"CREATE DATABASE {name}"))
    asyncio.run(migrate(in_database(url, name)))
    return in_database(url, name)


async def migrate(url: str) -> None:
    """The service's schema."""
    await migrate_schema(url, utc_now())


def as_served(work: Coroutine[Any, Any, T]) -> T:
    """What is run in this process, by the loop that the service has, and with as little looking for garbage."""
    collect_less()
    return uvloop.run(work)


@contextmanager
def service(folder: Path, name: str, **settings: str) -> Iterator[Server]:
    """`python -m service serve`, with settings named as in the README but for their prefix."""
    given = dict.fromkeys(UNLIMITED, "0") | {"PORT": "0", "KEYS_DIR": str(folder / "keys")} | settings
    environment = {f"MUTUALITY_{setting}": value for setting, value in given.items()}
    with started(folder, name, ["-m", "service", "serve"], environment) as server:
        yield server


@contextmanager
def bare(folder: Path, recorded: bytes, read: bytes) -> Iterator[Server]:
    """The same framework and server without a database: what every answer costs that anybody gives."""
    (folder / "recorded").write_bytes(recorded)
    (folder / "read").write_bytes(read)
    command = ["-m", "tests.benchmarks.bare", str(folder / "recorded"), str(folder / "read")]
    with started(folder, "bare", command, {}) as server:
        yield server


@contextmanager
def started(folder: Path, name: str, command: list[str], environment: dict[str, str]) -> Iterator[Server]:
    """A Python process that says where it serves, ended with the block."""
    log = folder / f"{name}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=file, text=True, env=os.environ | environment
        )
    try:
        yield Server(_said_address(process, log), psutil.Process(process.pid), log)
    finally:
        process.terminate()
        process.communicate(timeout=STOP_SECONDS)


def _said_address(process: "subprocess.Popen[str]", log: Path) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found := WORDS.search(line):
            return found.group(1)
    raise AssertionError(f"It did not start: {log.read_text()[-1000:]}")
