"""The parent of several serving processes: it starts them on one socket, and a dead one again; it serves nobody itself.

Each worker is a fresh interpreter, so that a reload takes new code and new key files. One more waits with everything
imported and open, and accepts nobody: it takes the place of one that has died, at once. Between a worker and its parent
are two sockets: on one the parent says what to do, and the worker that it has done so; on the other the parent asks for
figures. The end of the first one is the end of whoever held its other end.

Worker 0 plans prompts and rotates keys. While it is replaced there may be two for a moment, as there may be with
`python -m service push` at any time: what they do is kept apart by the database.
"""

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from threading import Lock

import msgspec
import structlog
from msgspec import Struct
from prometheus_client import Metric

from service.cli import added_up
from service.cli.added_up import Figures, FiguresOfOne
from service.errors import StartupError
from service.settings import Settings
from service.web.rate_limits import LIMITS

log = structlog.get_logger()

STOP_SECONDS = 20.0  # uvicorn gives answers 10, and pools 5 each
RESTART_SECONDS = 1.0  # after a worker that ended before it was ready; after each one more, so much longer
MOST_RESTART_SECONDS = 10.0
MAX_RESTARTS = 5  # one after the other, while nobody serves: starting again does not mend it


class Service(Struct, frozen=True):
    """What a worker is told at once, to open everything. The rest of the settings it has from the environment."""

    database_url: str
    port: int


def supervise(settings: Settings, database_url: str, listener: socket.socket, how_many: int, banner: str) -> None:
    """Keep so many workers serving until told to stop; SIGHUP replaces them one after another.

    Raises StartupError where they do not start.
    """
    from service.web.shared_limits import make_shared_memory  # Windows has no such locks
    from service.web.shared_streams import STREAMS_BYTES

    shared = make_shared_memory(LIMITS, STREAMS_BYTES)
    try:
        with ExitStack() as stack:
            parent = Parent(Service(database_url, settings.port), listener, shared, how_many)
            if settings.metrics_port is not None:
                where = stack.enter_context(added_up.serving(parent.figures, settings.host, settings.metrics_port))
                banner = f"{banner}\nMetrics are at {where}"
            parent.run(lambda: print(banner, flush=True))
    finally:
        os.close(shared)


class Worker:
    """One process: opening all that it serves with, then waiting for a place, serving, or leaving."""

    def __init__(self, service: Service, listener: socket.socket, shared: int) -> None:
        self.number: int | None = None
        self.loaded = self.ready = self.leaving = False
        self.control, its_control = socket.socketpair()
        asks, its_figures = socket.socketpair()
        self.figures = FiguresOfOne(asks)
        given = (its_control.fileno(), its_figures.fileno(), listener.fileno(), shared)
        with its_control, its_figures:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.cli.one_worker", *map(str, given)],
                pass_fds=given,
                stdin=subprocess.DEVNULL,
                # Ctrl-C is for the parent, which ends them in order.
                start_new_session=True,
            )
        self._say(msgspec.json.encode(service))

    @property
    def is_waiting(self) -> bool:
        """Whether it has no place yet."""
        return self.number is None and not self.leaving

    @property
    def is_wanted(self) -> bool:
        """Whether it has a place, and keeps it."""
        return self.number is not None and not self.leaving

    def assign(self, number: int) -> None:
        """Let it serve, once it is loaded."""
        self.number = number
        self._say(b"%d" % number)

    def hand_over(self) -> None:
        """Let it leave without refusing anybody: another one serves already."""
        self.leaving = True
        self._say(b"leave")

    def _say(self, line: bytes) -> None:
        with suppress(OSError):  # whoever has died is found to be dead by the end of the socket
            self.control.sendall(line + b"\n")

    def stop(self) -> None:
        """Ask it to end."""
        self.leaving = True
        self.process.terminate()

    def wait(self, seconds: float) -> int:
        """Its exit status; it is killed where it takes longer."""
        try:
            status = self.process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.control.close()
        self.figures.close()
        return status


class Vacancy(Struct, frozen=True):
    """Since when nobody serves in a place, as a monotonic time, and whether somebody had waited for one by then."""

    since: float
    one_waited: bool


class Parent:
    """Starts workers, replaces those that die, reloads them in turn, and stops all."""

    def __init__(self, service: Service, listener: socket.socket, shared: int, how_many: int) -> None:
        self._service = service
        self._listener, self._shared, self._how_many = listener, shared, how_many
        self._all: list[Worker] = []
        self._wanted: deque[int] = deque()  # places that nobody has been found for yet
        self._vacant: dict[int, Vacancy] = {}  # places that nobody serves in
        self._to_reload: deque[int] = deque()
        self._successor: Worker | None = None  # is about to take the place of another one
        self._spare = 0  # how many are to wait for a place, once all serve
        self._failed, self._not_before = 0, 0.0
        self._counting = Lock()
        self._ended: Sequence[Metric] = []  # what those have counted that live no more
        self._stopping = False
        self._selector = selectors.DefaultSelector()

    def figures(self) -> Figures:
        """What is known of all workers. Called from another thread."""
        with self._counting:
            known, ended = list(self._all), self._ended
        answers = {one: one.figures.answers() for one in known if one.ready and not one.leaving}
        return Figures(
            ready={one.number or 0: answers.get(one, False) for one in known if one.is_wanted},
            spares=sum(one.loaded for one in known if one.is_waiting),
            texts=[one.figures.text for one in known],  # of who leaves, and who does not answer, what they told last
            ended=ended,
        )

    def _keep_counts_of(self, worker: Worker) -> None:
        """What it has counted goes on counting, and it is known no more: both at once for who asks for figures."""
        worker.figures.hear_last()
        with self._counting:
            self._all.remove(worker)
            self._ended = added_up.counts_of([*self._ended, *added_up.read(worker.figures.text)])

    def run(self, ready: Callable[[], None]) -> None:
        """Return when all have ended, after a signal to stop. Raises StartupError."""
        with self._signals():
            try:
                self._wanted.extend(range(self._how_many))
                self._turn_until(lambda: sum(one.ready for one in self._all) == self._how_many)
                if not self._stopping:
                    ready()
                self._spare = 1
                self._turn_until(lambda: False)
            finally:
                self._stop_all()

    def _turn_until(self, done: Callable[[], bool]) -> None:
        while not self._stopping and not done():
            self._spawn_missing()
            self._assign()
            is_complete = not self._wanted and len(self._waiting()) == self._spare
            for key, _ in self._selector.select(60 if is_complete else 0.1):
                key.data()

    def _waiting(self) -> list[Worker]:
        return [one for one in self._all if one.is_waiting]

    # --- Signals

    @contextmanager
    def _signals(self) -> Iterator[None]:
        woken, wakes = socket.socketpair()
        for one in (woken, wakes):
            one.setblocking(False)
        self._selector.register(woken, selectors.EVENT_READ, lambda: woken.recv(4096))
        caught = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop, signal.SIGHUP: self._reload}
        before = {each: signal.signal(each, handler) for each, handler in caught.items()}
        fd_before = signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(fd_before)
            for each, handler in before.items():
                signal.signal(each, handler)
            woken.close()
            wakes.close()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _reload(self, *_: object) -> None:
        self._to_reload = deque(range(self._how_many))

    # --- Starting

    def _spawn(self) -> Worker:
        worker = Worker(self._service, self._listener, self._shared)
        self._all.append(worker)
        self._selector.register(worker.control, selectors.EVENT_READ, lambda: self._hear(worker))
        return worker

    def _spawn_missing(self) -> None:
        if time.monotonic() >= self._not_before:
            for _ in range(len(self._wanted) + self._spare - len(self._waiting())):
                self._spawn()

    def _assign(self) -> None:
        """Give each free place to who waits, and begin the next step of a reload."""
        if self._to_reload and not self._wanted and self._successor is None:
            self._begin_replacing(self._to_reload.popleft())
        while self._wanted and time.monotonic() >= self._not_before:
            worker = next((one for one in self._waiting() if one.loaded), None)
            if worker is None:
                break
            worker.assign(self._wanted.popleft())

    def _begin_replacing(self, number: int) -> None:
        if number == 0:  # who waits has loaded what was there before
            for one in self._waiting():
                one.stop()
        self._successor = self._spawn()
        self._successor.number = number

    # --- What a worker says

    def _hear(self, worker: Worker) -> None:
        with suppress(OSError):
            said = worker.control.recv(64)
            if said:
                for word in said.split():
                    self._on_word(worker, word)
                return
        self._on_end(worker)

    def _on_word(self, worker: Worker, word: bytes) -> None:
        if word == b"loaded":
            worker.loaded = True
            if any(one.ready for one in self._all):  # or one that opens everything, and then ends, is tried for ever
                self._failed = 0
            if worker is self._successor and worker.number is not None:
                worker.assign(worker.number)
        elif word == b"ready":
            worker.ready, self._failed = True, 0
            if worker.number in self._vacant:
                self._tell_replaced(worker.number, self._vacant.pop(worker.number))
            if worker is self._successor:
                self._successor = None
                for one in self._all:
                    if one.number == worker.number and one is not worker and not one.leaving:
                        one.hand_over()
                if not self._to_reload:
                    log.info("workers_reloaded", workers=self._how_many)

    def _tell_replaced(self, number: int, vacancy: Vacancy) -> None:
        seconds = round(time.monotonic() - vacancy.since, 3)
        log.warning("worker_replaced", worker=number, seconds=seconds, one_waited=vacancy.one_waited)

    def _on_end(self, worker: Worker) -> None:
        self._selector.unregister(worker.control)
        self._keep_counts_of(worker)
        status = worker.wait(STOP_SECONDS)
        if worker.leaving or self._stopping:
            pass
        elif worker is self._successor:
            # Those that serve go on: what was to be loaded cannot be.
            self._successor = None
            self._to_reload.clear()
            log.error("worker_not_replaced", worker=worker.number, status=status)
        else:
            log.error("worker_ended", worker=worker.number, status=status)
            self._replace(worker)

    def _replace(self, worker: Worker) -> None:
        if not worker.ready:
            self._failed += 1
            self._not_before = time.monotonic() + min(RESTART_SECONDS * self._failed, MOST_RESTART_SECONDS)
            if self._failed >= MAX_RESTARTS and not any(one.ready for one in self._all):
                raise StartupError("The workers end before they can serve; what they said stands above.")
        if worker.number is not None:
            one_waits = any(one.loaded for one in self._waiting())
            self._vacant.setdefault(worker.number, Vacancy(time.monotonic(), one_waits))
            self._wanted.append(worker.number)

    # --- Stopping

    def _stop_all(self) -> None:
        self._stopping = True
        for worker in self._all:
            worker.stop()
        give_up_at = time.monotonic() + STOP_SECONDS
        for worker in self._all:
            worker.wait(give_up_at - time.monotonic())
        self._all.clear()
        self._selector.close()
