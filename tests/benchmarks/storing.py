"""What an event costs on disk, in the write-ahead log, and of the processors' time, recorded as the service does."""

import asyncio
import re
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from uuid import uuid4

import asyncpg
import psutil
from msgspec import Struct

from service.app import open_context
from service.context import Context
from service.core.mail import ConsoleMailer
from service.core.randomness import system_random_bytes
from service.database import embedded
from service.keys.key_store import FileKeyStore
from service.recording.recorder import Recorder, record_optimistically
from service.recording.write_set import Submission, Submitter
from service.settings import Settings
from tests.benchmarks import people
from tests.benchmarks.people import Couple, Said, diary
from tests.benchmarks.servers import as_served, migrated
from tests.benchmarks.table import Figure, Setting, at_most, only
from tests.support.postgres import execute

COUPLES, DAYS = 10, 365
GROUP = 64  # submissions of as many couples
DAYS_BEHIND = 90  # so long these couples have been there: there is something on their pages
WARM_UP_GROUPS, GROUPS = 20, 200

TABLES = ("events", "pages", "heads")
SIZES = """
SELECT
    relname,
    pg_table_size(pg_class.oid) AS rows_bytes,
    pg_indexes_size(pg_class.oid) AS indexes_bytes
FROM pg_class
WHERE relname = ANY ($1)
    AND relnamespace = 'public'::regnamespace
"""
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'mutuality'"


def measure(setting: Setting) -> list[Figure]:
    """A year of 10 couples, entry by entry; then groups of 64."""
    return [
        *as_served(_stored(setting, migrated(setting.url, "stored"))),
        *as_served(_grouped(setting, migrated(setting.url, "grouped"))),
    ]


class Then:
    """A clock that goes as the entries do."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def __call__(self) -> datetime:
        """The time of the entry that is recorded."""
        return self.time


@asynccontextmanager
async def opened(setting: Setting, url: str, now: Then) -> AsyncIterator[Context]:
    """All that the recorder needs, on that database."""
    store = FileKeyStore(setting.folder / "keys")
    async with open_context(url, Settings(), ConsoleMailer(), store, now, system_random_bytes) as context:
        yield context


def submission(couple: Couple, said: Said) -> Submission:
    """An entry, as it comes from its author's phone."""
    submitter = Submitter(said.by.session_id, said.by.member_id, couple.relationship_id)
    return Submission(submitter, [(uuid4(), said.entry)])


# --- On disk


async def _stored(setting: Setting, url: str) -> list[Figure]:
    now = Then()
    couples = await people.move_in(url, setting.folder / "keys", COUPLES)
    diaries = [[(couple, said) for said in diary(couple, now(), DAYS)] for couple in couples]
    async with opened(setting, url, now) as context:
        recorder = Recorder(context)
        for at_once in zip(*diaries, strict=True):  # one of each couple
            now.time = at_once[0][1].at
            await asyncio.gather(*(recorder.record(submission(*one)) for one in at_once))
        await recorder.close()
    db = await asyncpg.connect(url)
    events = await db.fetchval("SELECT count(*) FROM events")
    assert events == sum(map(len, diaries)) + COUPLES, "not all of it was recorded"
    sizes = {row["relname"]: row for row in await db.fetch(SIZES, TABLES)}
    await db.close()
    each = {name: (row["rows_bytes"] / events, row["indexes_bytes"] / events) for name, row in sizes.items()}
    parts = ", ".join(f"{name} {each[name][0]:.0f} + {each[name][1]:.0f}" for name in TABLES)
    total = sum(chain.from_iterable(each.values()))
    return [at_most(f"stored bytes an event, a year of {COUPLES} couples", total, 750, f"rows + indexes: {parts}")]


# --- In groups


class Taken(Struct, frozen=True):
    """What some groups took: bytes of the write-ahead log, apart from whole pages, and seconds of the processors."""

    log_bytes: int
    page_bytes: int
    python_seconds: float
    postgres_seconds: float


class Group(Struct, frozen=True):
    """An entry of each couple, recorded together at one time."""

    at: datetime
    submissions: list[Submission]


async def _grouped(setting: Setting, url: str) -> list[Figure]:
    now = Then()
    couples = await people.move_in(url, setting.folder / "keys", GROUP, DAYS_BEHIND, diary)
    groups = _groups(couples, now())
    async with opened(setting, url, now) as context:
        await _record(context, now, groups[:WARM_UP_GROUPS])
        await execute(url, "CHECKPOINT")
        first = await _taken(url, context, now, groups[WARM_UP_GROUPS : WARM_UP_GROUPS + 1])
        rest = await _taken(url, context, now, groups[WARM_UP_GROUPS + 1 :])
    events = (GROUPS - 1) * GROUP
    pages = f"{rest.page_bytes / events:.0f}; {first.page_bytes / GROUP:.0f} in the group behind a checkpoint"
    seconds = [1e6 * used / events for used in (rest.python_seconds, rest.postgres_seconds)]
    return [
        at_most("WAL bytes an event in groups of 64, without whole pages", rest.log_bytes / events, 1150),
        only("whole pages beside it, bytes an event", pages),
        only("processor time an event in groups of 64, µs", "Python {:.0f}, PostgreSQL {:.0f}".format(*seconds)),
    ]


def _groups(couples: Sequence[Couple], now: datetime) -> list[Group]:
    """What all record together from now on."""
    days = -(-(WARM_UP_GROUPS + GROUPS) // people.ENTRIES_A_DAY)
    diaries = [diary(couple, now + timedelta(days=days), round(days)) for couple in couples]
    at_once = [*zip(*diaries, strict=True)][: WARM_UP_GROUPS + GROUPS]
    return [Group(said[0].at, [*map(submission, couples, said)]) for said in at_once]


async def _record(context: Context, now: Then, groups: Sequence[Group]) -> None:
    """Each group by one statement, at its time."""
    for group in groups:
        now.time = group.at
        async with context.writer() as db:
            done = await record_optimistically(context, db, group.submissions)
        assert done is not None
        assert len(done.appended) == GROUP


async def _taken(url: str, context: Context, now: Then, groups: Sequence[Group]) -> Taken:
    """Record the groups, and tell what that took."""
    db = await asyncpg.connect(url)
    folder = Path(await db.fetchval("SHOW data_directory")) / "pg_wal"
    backends = [psutil.Process(row["pid"]) for row in await db.fetch(BACKENDS)]
    began, python, postgres = await db.fetchval(WRITTEN), time.process_time(), _used(backends)
    await _record(context, now, groups)
    python, postgres = time.process_time() - python, _used(backends) - postgres
    ended = await db.fetchval(WRITTEN)
    written = int(await db.fetchval("SELECT $1::text::pg_lsn - $2::text::pg_lsn", ended, began))
    await db.close()
    pages = _whole_pages(folder, began, ended)
    return Taken(written - pages, pages, python, postgres)


WRITTEN = "SELECT pg_current_wal_flush_lsn()::text"  # each group is flushed when it is answered


def _used(processes: Sequence[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(used.user + used.system for used in times)


def _whole_pages(folder: Path, began: str, ended: str) -> int:
    """The bytes of whole pages, which PostgreSQL writes at the first change behind a checkpoint."""
    command = [str(embedded.program("pg_waldump")), "--stats", f"--path={folder}", f"--start={began}", f"--end={ended}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # Total, records, their bytes, those of whole pages; each with its share.
    total = re.search(r"^Total +\d+ +(\d+) \[.*?\] +(\d+) \[", done.stdout, re.MULTILINE)
    assert total is not None, done.stdout
    return int(total[2])
