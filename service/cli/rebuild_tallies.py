"""Recompute the tallies of all streams, in one process for each available processor, at most 8.

A part is some streams whose heads are locked together, for less than a tenth of a second unless one stream alone takes
longer. Each process has connections of its own, and asks for the next part when it has finished one.
"""

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from uuid import UUID

import asyncpg
from msgspec import Struct
from tqdm import tqdm

from events.encryption import DecryptionFailed
from events.heads import DbConnection, lock_heads
from events.records import SHARED, StreamKey
from projections.rebuild import Stream, rebuild
from service.core.clock import utc_now
from service.core.garbage import collect_less
from service.core.randomness import system_random_bytes
from service.database.pool import connect
from service.database.roles import KEEPER_ROLE, KEYS_ROLE
from service.errors import StartupError
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring

PART_EVENTS = 5_000
STREAM_COSTS_EVENTS = 10  # in time, a stream without any
MAX_PROCESSES = 8  # each has two connections, and a running service needs some too
MIN_PARTS_EACH = 8  # for fewer, starting a process takes longer than it saves


class Listed(Struct, frozen=True):
    """A stream to be rebuilt."""

    key: StreamKey
    shared: StreamKey


class RebuiltPart(Struct, frozen=True):
    """The result of a part: its number of streams, of counts that had differed, and the streams that do not decrypt."""

    streams: int
    differences: int
    left_alone: list[UUID]


def rebuild_all(url: str, store: KeyStore) -> int:
    """Set all tallies to what the log says; returns how many counts had differed.

    Raises StartupError in the end where streams were left alone because something in them does not decrypt.
    """
    parts, results = asyncio.run(listed(url)), list[RebuiltPart]()
    with tqdm(total=sum(map(len, parts)), unit=" streams", desc="Rebuilding") as bar:

        def collect(result: RebuiltPart) -> None:
            results.append(result)
            bar.update(result.streams)

        count = processes(len(parts))
        if count > 1:
            deal_out(url, store, parts, count, collect)
        else:
            _run(work(url, store, parts, collect))
    differences = sum(result.differences for result in results)
    if left_alone := sorted(str(stream) for result in results for stream in result.left_alone):
        raise StartupError(
            f"Something in these streams does not open, so they were left alone: {', '.join(left_alone)}."
            f" In all others, counts that had differed and were set right: {differences}."
        )
    return differences


def processes(parts: int) -> int:
    """The number of processes for so many parts."""
    return min(_processors(), MAX_PROCESSES, max(1, parts // MIN_PARTS_EACH))


def _processors() -> int:
    """The processors that this process may use, where the system says so."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


STREAMS = """
SELECT
    heads.relationship_id,
    heads.stream,
    relationships.shared_stream_id,
    memberships.private_stream_id,
    heads.position
FROM heads
JOIN relationships USING (relationship_id)
LEFT JOIN memberships
    ON memberships.relationship_id = heads.relationship_id
    AND memberships.seat = heads.stream
ORDER BY
    heads.relationship_id,
    heads.stream
"""


async def listed(url: str) -> list[list[Listed]]:
    """All streams, in parts."""
    db = await connect(url, KEEPER_ROLE)
    try:
        rows = await db.fetch(STREAMS)
    finally:
        await db.close()
    parts, room = list[list[Listed]](), 0
    for relationship_id, number, shared_id, private_id, position in rows:
        cost = STREAM_COSTS_EVENTS + position
        if not parts or cost > room:
            parts.append([])
            room = PART_EVENTS
        shared = StreamKey(relationship_id, SHARED, shared_id)
        parts[-1].append(Listed(StreamKey(relationship_id, number, private_id) if number else shared, shared))
        room -= cost
    return parts


def deal_out(
    url: str, store: KeyStore, parts: Iterable[Sequence[Listed]], count: int, collect: Callable[[RebuiltPart], None]
) -> None:
    """Rebuild parts in so many processes. An exception here ends them at once. Raises StartupError."""
    waiting = iter(parts)
    with ExitStack() as started:
        pipes = [started.enter_context(_process(url, store)) for _ in range(count)]
        while pipes:
            for pipe in wait(pipes):
                assert isinstance(pipe, Pipe)
                collect(_received(pipe))
                part = next(waiting, None)
                if part is None:
                    pipes.remove(pipe)
                else:
                    pipe.send(part)


def _received(pipe: "Pipe[Sequence[Listed], RebuiltPart | StartupError]") -> RebuiltPart:
    received = pipe.recv()
    if isinstance(received, StartupError):
        raise received
    return received


@contextmanager
def _process(url: str, store: KeyStore) -> Iterator["Pipe[Sequence[Listed], RebuiltPart | StartupError]"]:
    spawn = multiprocessing.get_context("spawn")  # the same on every system, and nothing of ours is inherited
    pipe, theirs = spawn.Pipe()
    # These go through a pipe, and nobody sees them on a command line. No key was read here yet.
    process = spawn.Process(target=_work, args=(theirs, url, store), daemon=True)
    with _uninterrupted():
        process.start()
    theirs.close()
    try:
        yield pipe
    except (EOFError, ConnectionError):
        process.terminate()
        raise StartupError("A process of this rebuild has ended too early; what it had set right stays so.") from None
    except BaseException:
        process.terminate()
        raise
    finally:
        pipe.close()  # which tells it that there is no more to do
        process.join()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C reaches every process on the terminal: those that are started in this block inherit that it is blocked."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # a process of the library's, which would end what begins here
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(pipe: "Pipe[RebuiltPart | StartupError, Sequence[Listed]]", url: str, store: KeyStore) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _run(work(url, store, _asked_for(pipe), pipe.send))
    except StartupError as error:
        pipe.send(error)
    except (EOFError, BrokenPipeError):
        pass  # nothing is left to do, or nobody to do it for


def _asked_for(pipe: "Pipe[RebuiltPart | StartupError, Sequence[Listed]]") -> Iterator[Sequence[Listed]]:
    pipe.send(RebuiltPart(0, 0, []))  # the first part is asked for as all others are
    while True:
        yield pipe.recv()


def _run(work: Coroutine[None, None, None]) -> None:
    collect_less()
    with asyncio.Runner(loop_factory=_fast_loop) as runner:
        runner.run(work)


def _fast_loop() -> asyncio.AbstractEventLoop:
    """As the server's, where there is one."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


async def work(
    url: str, store: KeyStore, parts: Iterable[Sequence[Listed]], collect: Callable[[RebuiltPart], None]
) -> None:
    """Rebuild one part after the other."""
    # Counts are grouped by hashing: PostgreSQL expects few of a stream, and to sort them took it twice as long.
    db = await connect(url, KEEPER_ROLE, enable_sort="off")
    try:
        keys_db = await connect(url, KEYS_ROLE)
        try:
            keys = Keyring(keys_db, store, utc_now, system_random_bytes)
            for part in parts:
                collect(await rebuild_part(db, keys, part))
        finally:
            await keys_db.close()
    finally:
        await db.close()


WAIT_SHORTLY = "SET LOCAL lock_timeout = '200ms'"
# A long stream takes its time, and who waits for its head waits for that.
WAIT_LONG = "SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"


async def rebuild_part(db: DbConnection, keys: Keyring, part: Sequence[Listed]) -> RebuiltPart:
    """Rebuild some streams together or, where something does not decrypt or a head stays locked, one by one."""
    try:
        async with db.transaction():
            # A transaction that waits for one head must not keep writers of the others waiting.
            await db.execute(WAIT_SHORTLY)
            return RebuiltPart(len(part), await _rebuild(db, keys, part), [])
    except (DecryptionFailed, asyncpg.LockNotAvailableError):
        each = [await _rebuild_alone(db, keys, one) for one in part]
    differences, left_alone = sum(r.differences for r in each), [stream for r in each for stream in r.left_alone]
    return RebuiltPart(len(part), differences, left_alone)


async def _rebuild_alone(db: DbConnection, keys: Keyring, one: Listed) -> RebuiltPart:
    try:
        async with db.transaction():
            await db.execute(WAIT_LONG)
            return RebuiltPart(1, await _rebuild(db, keys, [one]), [])
    except DecryptionFailed:
        return RebuiltPart(1, 0, [one.key.stream_id])


async def _rebuild(db: DbConnection, keys: Keyring, part: Sequence[Listed]) -> int:
    # After acquiring the locks: a partner who came in since the streams were listed has written with their own key.
    await lock_heads(db, [one.key for one in part])
    keys_of = await keys.fetch_relationship_keys({one.key.relationship_id for one in part})
    given = [Stream(one.key, one.shared, keys_of[one.key.relationship_id]) for one in part]
    return (await rebuild(db, given)).differences
