"""The disk below the database: an answer means that the event is on it; none lies while it is full or fails."""

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from msgspec import Struct

from tests.faults.site import Phone, Site, Writers, Written, another_couple, check_log, couple, end, entry, folder, site

pytestmark = pytest.mark.database  # of the service's own

WRITERS = 4
PUTS = 20
FAULTS = int(os.environ.get("MUTUALITY_SOAK_FAULTS", "20"))
RECOVERY_SECONDS = 10
REFUSED = 5
DISK_MEGABYTES = 256  # PostgreSQL keeps about 80 of log ready for use
LARGE = entry(1)[1] | {"note": "x" * 2000}

# --- A system-call trace


class Sync(Struct, frozen=True):
    """A call that forced a file of the log to disk, and succeeded: when it began and ended, in seconds since 1970."""

    began: float
    ended: float


TRACED = re.compile(r"(\d+\.\d+) f(?:data)?sync\(\d+<[^>]*/pg_wal/[^>]*>\)\s+= 0 <(\d+\.\d+)>")


@contextmanager
def traced(at: Site) -> Iterator[list[Sync]]:
    """What every process of PostgreSQL forces to disk; known once the block has ended."""
    syncs: list[Sync] = []
    with folder() as directory:
        pids = [f"-p{process.pid}" for process in at.servers()]
        options = ["-ff", "-ttt", "-T", "-y", "-e", "trace=fdatasync,fsync", "-o", str(directory / "trace")]
        with subprocess.Popen(["strace", *options, *pids], stderr=subprocess.PIPE, text=True) as strace:
            _wait_until_attached(strace, len(pids))
            yield syncs
            strace.terminate()
            strace.communicate()
        for file in directory.glob("trace.*"):
            found = TRACED.findall(file.read_text())
            syncs += [Sync(float(began), float(began) + float(lasted)) for began, lasted in found]


def _wait_until_attached(strace: "subprocess.Popen[str]", processes: int) -> None:
    assert strace.stderr is not None
    for _ in range(processes):
        said = strace.stderr.readline()
        if "attached" not in said:
            strace.kill()
            pytest.skip(f"strace may not attach: {said.strip()}")


class Timed(Struct, frozen=True):
    """An acknowledged entry: when it was sent, and when its answer was there."""

    sent: float
    answered: float


def put_timed(phone: Phone, done: list[Timed]) -> None:
    """Put new entries one after the other."""
    for number in range(PUTS):
        kind, body = entry(number)
        sent = time.time()
        Written().write(phone, kind, body)
        done.append(Timed(sent, time.time()))


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_an_answer_comes_after_the_log_was_forced_to_disk(record_property: Callable[[str, Any], None]) -> None:
    done: list[Timed] = []
    with site() as at:
        phones = [phone.twin() for phone in couple(at) for _ in range(WRITERS // 2)]
        threads = [threading.Thread(target=put_timed, args=(phone, done)) for phone in phones]
        with traced(at) as syncs:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        method = at.ask("SHOW wal_sync_method")[0][0]
    assert method in ("fdatasync", "fsync")
    without = [one for one in done if not any(one.sent < s.began and s.ended < one.answered for s in syncs)]
    assert len(done) == WRITERS * PUTS
    assert without == [], f"{len(without)} of {len(done)} answers came before the disk had it"
    record_property("measured", f"trace: {len(done)} acknowledged entries, {len(syncs)} calls of {method} on the WAL")


# --- Errors of the disk

SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int forced(const char *name, int file) {
    const char *flag = getenv("FAULTY_DISK");
    if (flag && access(flag, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return ((int (*)(int)) dlsym(RTLD_NEXT, name))(file);
}

int fsync(int file) { return forced("fsync", file); }
int fdatasync(int file) { return forced("fdatasync", file); }
"""


@contextmanager
def faulty_disk() -> Iterator[tuple[Site, Callable[[bool], None]]]:
    """A service whose disk refuses to be forced while it is told to."""
    with folder() as directory:
        source, shim, flag = directory / "shim.c", directory / "shim.so", directory / "faulty"
        source.write_text(SHIM)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
        at = Site(directory / "data")
        at.environment |= {"LD_PRELOAD": str(shim), "FAULTY_DISK": str(flag)}
        try:
            at.start()
            yield at, lambda faulty: flag.touch() if faulty else flag.unlink()
        finally:
            end(at)


@contextmanager
def full_disk() -> Iterator[tuple[Site, Callable[[bool], None]]]:
    """A service on a small disk of its own, which can be filled up."""
    with folder() as directory:
        data, filler = directory / "data", directory / "data" / "filler"
        data.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", data], capture_output=True, check=False
        )
        if mounted.returncode != 0:
            pytest.skip("a disk of its own may not be mounted here")
        at = Site(data)
        try:
            at.start()
            yield at, lambda full: fill(filler) if full else filler.unlink()
        finally:
            end(at)
            subprocess.run(["umount", "--lazy", data], check=True)


def fill(filler: Path) -> None:
    """Leave no room."""
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def fail_and_recover(at: Site, fault: Callable[[bool], None], pair: tuple[Phone, Phone]) -> tuple[Written, float]:
    """One fault: while it lasts, nothing is acknowledged that is not there; seconds until an entry is taken again."""
    written, refused = Written(), set[str]()
    fault(True)
    while len(refused) < REFUSED:
        name = str(uuid4())
        if not put_once(pair[0], written, name):
            refused.add(name)
    fault(False)
    began = time.monotonic()
    kind, body = entry(0)
    written.write(pair[1], kind, body)
    seconds = time.monotonic() - began
    # What was refused may be there all the same: the same call says so.
    for name in refused:
        written.write(pair[0], "check_in", LARGE, name)
    return written, seconds


def put_once(phone: Phone, written: Written, name: str) -> bool:
    """Send an entry that needs room, once; every answer but a success must be 503."""
    status, said = phone.send("PUT", f"/v1/relationships/{{rid}}/check-ins/{name}", LARGE)
    assert status in (201, 503), said
    if status == 201:
        written.acknowledge(name, "check_in", LARGE, said)
    return status == 201


@contextmanager
def full_log() -> Iterator[tuple[Site, Callable[[bool], None]]]:
    """The same, with no room left for the log itself: PostgreSQL cannot go on at all, nor start again."""
    with full_disk() as (at, full):

        def fault(begins: bool) -> None:
            full(begins)
            while begins and at.servers():
                # A new file of the log, until there is no room for one.
                with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    at.ask("SELECT pg_switch_wal() FROM (SELECT pg_logical_emit_message(false, 'x', 'x')) AS written")

        yield at, fault


FAULTY = [
    pytest.param(faulty_disk, marks=pytest.mark.skipif(shutil.which("cc") is None, reason="cc is not installed")),
    full_disk,
    full_log,
]


def survive(way: Callable[[], Any], faults: int) -> list[float]:
    """So many faults under load; the seconds after which entries were taken again, sorted."""
    with way() as (at, fault):
        pair = couple(at)
        other = another_couple(*pair)
        with Writers([phone.twin() for phone in other]) as writers:
            writers.until(10)
            ended = [fail_and_recover(at, fault, pair) for _ in range(faults)]
        mine = [written for written, _ in ended]
        phones = [pair[0].twin(), pair[1].twin()]
        both = Written({name: said for written in mine for name, said in written.acknowledged.items()})
        assert check_log(phones, [both, Written()]) == len(both.acknowledged)
        assert check_log(writers.phones, writers.written) == writers.acknowledged
        assert at.rebuilt() == "No differences."
    return sorted(seconds for _, seconds in ended)


@pytest.mark.parametrize("way", FAULTY)
def test_a_disk_that_fails_makes_no_false_answer(
    way: Callable[[], Any], record_property: Callable[[str, Any], None]
) -> None:
    (seconds,) = survive(way, 1)
    record_property("measured", f"{way.__name__}: back after {seconds:.1f} s")


@pytest.mark.soak
@pytest.mark.parametrize("way", FAULTY)
def test_a_disk_that_fails_often_makes_no_false_answer(
    way: Callable[[], Any], record_property: Callable[[str, Any], None]
) -> None:
    seconds = survive(way, FAULTS)
    said = f"back after {seconds[len(seconds) // 2]:.1f} s (median), {seconds[-1]:.1f} s (longest)"
    record_property("measured", f"{way.__name__}: {FAULTS} faults, {said}")
    assert seconds[-1] < RECOVERY_SECONDS
