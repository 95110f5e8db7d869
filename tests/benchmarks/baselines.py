"""What else puts rows on the same disk: pgbench with the service's own rows, and the library eventsourcing.

The library is installed by pip into an environment of its own beside the data, so that neither lock file knows it.
"""

import asyncio
import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
from msgspec import Struct
from tqdm import tqdm

from service.database import embedded
from tests.benchmarks.table import Setting
from tests.support.postgres import execute, in_database

LIBRARY = ["eventsourcing[postgres]==9.5.6", "psycopg[binary]"]
LIBRARY_THREADS = 8
LIBRARY_SCRIPT = Path(__file__).with_name("library.py")

# Streams by number, for a generator that can only count.
PLACES = """
CREATE TABLE places AS
SELECT
    row_number() OVER (ORDER BY relationships.relationship_id)::integer AS number,
    relationships.relationship_id
FROM relationships
"""

# The rows of one request: head, event and page. The lengths are those of the service's own.
ROWS = r"""
\set number random(1, :places)
WITH place AS (
    SELECT * FROM places WHERE number = :number
),
head AS (
    UPDATE heads
    SET version = heads.version + 1, position = heads.position + 1, link = decode(repeat('ab', 32), 'hex')
    FROM place
    WHERE heads.relationship_id = place.relationship_id AND heads.stream = 0
    RETURNING heads.relationship_id, heads.position, heads.link
),
kept AS (
    INSERT INTO events (
        relationship_id, stream, author, position, recorded_at, alters, event_id, commitment, link, ciphertext
    )
    SELECT relationship_id, 0, 1, position, now(), (random() * 9e18)::bigint, gen_random_uuid(), link, link,
        decode(repeat('cd', 28 + 384), 'hex')
    FROM head
)
INSERT INTO pages (relationship_id, stream, author, month, ciphertext)
SELECT relationship_id, 0, 1, 24317, decode(repeat('ef', 28 + 64), 'hex')
FROM head
ON CONFLICT (relationship_id, stream, author, month)
DO UPDATE SET ciphertext = excluded.ciphertext;
"""


async def make_places(url: str) -> None:
    """Number the streams of a database."""
    db = await asyncpg.connect(url)
    await db.execute(PLACES)
    await db.execute("ALTER TABLE places ADD PRIMARY KEY (number)")
    await db.execute("ANALYZE")
    await db.close()


def pgbench(url: str, connections: int, setting: Setting) -> float:
    """Transactions a second."""
    script = setting.folder / "rows.sql"
    script.write_text(ROWS)
    parts = urlsplit(url)
    found = parse_qs(parts.query)
    where = ["-h", found["host"][0], "-p", found["port"][0], "-U", embedded.SUPERUSER, "-f", str(script)]
    lasting = ["-T", str(max(1, round(setting.seconds))), "-c", str(connections), "-D", "places=2000"]
    command = [str(embedded.program("pgbench")), "-n", "-M", "prepared", *where, *lasting, parts.path.strip("/")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = re.search(r"tps = ([0-9.]+)", done.stdout)
    assert said is not None, done.stdout
    return float(said[1])


class Library(Struct, frozen=True):
    """A process that saves by the library when it is told to."""

    process: "subprocess.Popen[str]"

    def rate(self, seconds: float) -> float:
        """Aggregates saved a second, each with one new event."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{seconds}\n")
        stdin.flush()
        return float(stdout.readline())


@contextmanager
def library(setting: Setting) -> Iterator[Library]:
    """The library in a process of its own, on a database of its own on the same server."""
    python = _installed(setting.folder)
    asyncio.run(execute(in_database(setting.url, "postgres"), "CREATE DATABASE by_library"))
    found = parse_qs(urlsplit(setting.url).query)
    environment = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": "by_library",
        "POSTGRES_HOST": found["host"][0],
        "POSTGRES_PORT": found["port"][0],
        "POSTGRES_USER": embedded.SUPERUSER,
        "POSTGRES_PASSWORD": "unused",
        "POSTGRES_POOL_SIZE": str(LIBRARY_THREADS),
    }
    command = [str(python), str(LIBRARY_SCRIPT), str(LIBRARY_THREADS)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment
    ) as process:
        yield Library(process)
        assert process.stdin is not None
        process.stdin.close()


def _installed(folder: Path) -> Path:
    python = folder / "library" / "bin" / "python"
    tqdm.write("Installing the library eventsourcing into a folder of its own")
    venv.create(folder / "library", with_pip=True)
    quiet = ["-q", "--disable-pip-version-check", "--no-input"]
    subprocess.run([python, "-m", "pip", "install", *quiet, *LIBRARY], check=True, stdout=sys.stderr)
    return python
