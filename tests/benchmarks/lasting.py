"""What changes over time, or should not: memory, the start on existing data, and reading the whole log again."""

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import httpx
from msgspec import Struct

from service.cli import rebuild_tallies
from service.database import embedded
from tests.benchmarks import people, servers
from tests.benchmarks.load import Load, Target
from tests.benchmarks.table import Figure, Setting, at_least, at_most, in_turn, median, only, ratio
from tests.benchmarks.writes import COUPLES, stage

REQUESTS = 1_000_000
POINTS = 5
MEGABYTE = 1e6
REBUILT_EVENTS = 1_000_000
DAYS = 730


def memory(setting: Setting) -> list[Figure]:
    """What the worker holds after so many requests, writes and reads by turns, at several points on the way."""
    wanted, done = REQUESTS * setting.size, 0.0
    held: list[float] = []
    with stage(setting, "memory", COUPLES) as on:
        writes = on.requests(on.couples)
        reads = Load("get", [Target(f"{c.path}/balances", c.first.token) for c in on.couples])
        while done < wanted:
            for load in (writes, reads):
                done += on.rate(load) * setting.seconds
            if done >= wanted * len(held) / POINTS:
                held.append(on.service.process.memory_info().rss / MEGABYTE)
    said = ", ".join(f"{megabytes:.0f}" for megabytes in held)
    # Flat: what the second half of the requests added.
    grown = held[-1] / held[len(held) // 2]
    return [
        at_most(f"resident memory after {done:,.0f} requests, MB", held[-1], 200, said),
        at_most("the same, of what it was half-way", grown, 1.05),
    ]


def start(setting: Setting) -> list[Figure]:
    """From the command to the first 200, on data that exist, with an embedded PostgreSQL of its own."""
    folder = setting.folder / "start"
    folder.mkdir(mode=0o711)
    with embedded.running(folder / "data") as url:
        asyncio.run(_move_in(url, folder))
    took = [_started(folder) for _ in range(setting.rounds + 1)][1:]
    return [at_most("`make serve` on existing data to the first 200, s", median(took), 3)]


async def _move_in(url: str, folder: Path) -> None:
    await servers.migrate(url)
    await people.move_in(url, folder / "data" / "keys", 100, 100)


def _started(folder: Path) -> float:
    began = time.perf_counter()
    settings = {"DATA_DIR": str(folder / "data"), "KEYS_DIR": str(folder / "data" / "keys")}
    with servers.service(folder, "start", **settings) as server:
        assert httpx.get(f"{server.url}/health/ready").status_code == 200
        return time.perf_counter() - began


class Rebuilt(Struct, frozen=True):
    """A rebuild, without what the program takes to start."""

    events_a_second: float
    microseconds_each: float  # of processor time, in all its processes, without PostgreSQL's


def rebuild(setting: Setting) -> list[Figure]:
    """`python -m service rebuild` over real logs of 24 months each; nothing may differ. Beside it, COPY of the same."""
    if sys.platform != "linux":
        return [only("rebuild", "needs Linux, where a process can be kept to one core")]
    url, empty = servers.migrated(setting.url, "rebuilt"), servers.migrated(setting.url, "nothing")
    couples = max(1, round(REBUILT_EVENTS * setting.size / (2 * DAYS)))
    asyncio.run(people.move_in(url, setting.folder / "keys", couples, DAYS))
    events, one = asyncio.run(_count(url)), list[Rebuilt]()

    def by_one() -> float:
        one.append(_rebuilt(url, empty, setting.folder, events, _one_core()))
        return one[-1].events_a_second

    takes_turns = {
        "copy": lambda: events / asyncio.run(_copied(url)),
        "one": by_one,
        "all": lambda: _rebuilt(url, empty, setting.folder, events, os.sched_getaffinity(0)).events_a_second,
    }
    found = in_turn(takes_turns, setting.rounds)
    rate, processes = median(found["all"]), asyncio.run(_processes(url))
    each = median(rebuilt.microseconds_each for rebuilt in one)
    return [
        at_least(
            f"rebuild of {events:,} events by one process on one core, events a second",
            median(found["one"]),
            120_000,
            f"PostgreSQL beside it; {each:.1f} µs of its own time an event",
        ),
        at_most(
            f"the same for a million events by {processes} processes, s",
            1e6 / rate,
            20,
            f"{rate:,.0f} a second, {ratio(found['all'], found['copy']):.3f} of COPY",
        ),
    ]


def _one_core() -> set[int]:
    return {min(os.sched_getaffinity(0))}


async def _processes(url: str) -> int:
    return rebuild_tallies.processes(len(await rebuild_tallies.listed(url)))


async def _count(url: str) -> int:
    db = await asyncpg.connect(url)
    found: int = await db.fetchval("SELECT count(*) FROM events")
    await db.close()
    return found


async def _copied(url: str) -> float:
    """The seconds that it takes to copy all events out."""
    db = await asyncpg.connect(url)
    began = time.perf_counter()
    await db.copy_from_table("events", output=Path(os.devnull), format="binary")
    took = time.perf_counter() - began
    await db.close()
    return took


def _rebuilt(url: str, empty: str, folder: Path, events: int, cores: set[int]) -> Rebuilt:
    (seconds, used), (to_start, used_to_start) = _run(url, folder, cores), _run(empty, folder, cores)
    return Rebuilt(events / (seconds - to_start), 1e6 * (used - used_to_start) / events)


def _run(url: str, folder: Path, cores: set[int]) -> tuple[float, float]:
    """On those cores alone: the seconds that the command takes, and those of its processors."""
    settings = {"MUTUALITY_DATABASE_URL": url, "MUTUALITY_KEYS_DIR": str(folder / "keys")}
    command = [sys.executable, "-m", "service", "rebuild"]
    began, used = time.perf_counter(), _used_by_children()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # for what is started too, but PostgreSQL runs already
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | settings)
    finally:
        os.sched_setaffinity(0, before)
    took = time.perf_counter() - began
    assert re.search("No differences", done.stdout), done.stdout
    return took, _used_by_children() - used


def _used_by_children() -> float:
    times = os.times()
    return times.children_user + times.children_system
