"""The parent of several serving processes: it starts them on one socket, and a dead one again; it serves nobody itself.

Each worker is a fresh interpreter, so that a reload takes new code and new key files. One more waits with everything
imported: it takes the place of one that has died, at once. Between a worker and its parent are two sockets: on one the
parent says what to do, and the worker that it has done so; on the other the parent asks for figures. The end of the
first one is the end of whoever held its other end.

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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Lock

import msgspec
import structlog
from msgspec import Struct

from service.cli import added_up
from service.errors import StartupError
from service.settings import Settings
from service.web.rate_limits import LIMITS

log = structlog.get_logger()

STOP_SECONDS = 20.0  # uvicorn gives answers 10, and pools 5 each
RESTART_SECONDS = 1.0  # between two tries where a worker ends before it was ready
MAX_RESTARTS = 5  # one after the other, while nobody serves: starting again does not mend it
FIGURES_SECONDS = 3.0


class Assignment(Struct, frozen=True):
    """What a worker is told when it is to serve. The rest of the settings it has from the environment."""

    number: int
    database_url: str
    port: int


def supervise(settings: Settings, database_url: str, listener: socket.socket, how_many: int, banner: str) -> None:
    """Keep so many workers serving until told to stop; SIGHUP replaces them one after another.

    Raises StartupError where they do not start.
    """
    from service.web.shared_limits import make_shared_memory  # Windows has no such locks

    limits = make_shared_memory(LIMITS)
    try:
        with ExitStack() as stack:
            parent = Parent(database_url, settings.port, listener, limits, how_many)
            if settings.metrics_port is not None:
                where = stack.enter_context(added_up.serving(parent.figures, settings.host, settings.metrics_port))
                banner = f"{banner}\nMetrics are at {where}"
            parent.run(lambda: print(banner, flush=True))
    finally:
        os.close(limits)


class Worker:
    """One process: loading, then waiting for work, serving, or leaving."""

    def __init__(self, listener: socket.socket, limits: int) -> None:
        self.number: int | None = None
        self.loaded = self.ready = self.leaving = False
        self.control, its_control = socket.socketpair()
        self._figures, its_figures = socket.socketpair()
        self._figures.settimeout(FIGURES_SECONDS)
        self._asking = Lock()
        given = (its_control.fileno(), its_figures.fileno(), listener.fileno(), limits)
        with its_control, its_figures:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.cli.one_worker", *map(str, given)],
                pass_fds=given,
                stdin=subprocess.DEVNULL,
                # Ctrl-C is for the parent, which ends them in order.
                start_new_session=True,
            )

    def assign(self, assignment: Assignment) -> None:
        """Let it serve, once it is loaded."""
        self.number = assignment.number
        self._say(msgspec.json.encode(assignment))

    def hand_over(self) -> None:
        """Let it leave without refusing anybody: another one serves already."""
        self.leaving = True
        self._say(b"leave")

    def _say(self, line: bytes) -> None:
        with suppress(OSError):  # whoever has died is found to be dead by the end of the socket
            self.control.sendall(line + b"\n")

    def figures(self) -> str | None:
        """What it has counted, as text for Prometheus; none where it does not answer."""
        with self._asking, suppress(OSError, ValueError):
            self._figures.sendall(b"?")
            length = int.from_bytes(_exactly(self._figures, 8))
            return _exactly(self._figures, length).decode()
        return None

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
        self._figures.close()
        return status


def _exactly(connection: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        more = connection.recv(length - len(found))
        if not more:
            raise ConnectionError
        found += more
    return found


class Parent:
    """Starts workers, replaces those that die, reloads them in turn, and stops all."""

    def __init__(self, database_url: str, port: int, listener: socket.socket, limits: int, how_many: int) -> None:
        self._database_url, self._port = database_url, port
        self._listener, self._limits, self._how_many = listener, limits, how_many
        self._all: list[Worker] = []
        self._wanted: deque[int] = deque()  # places that nobody has been found for yet
        self._to_reload: deque[int] = deque()
        self._successor: Worker | None = None  # is about to take the place of another one
        self._spare = 0  # how many are to wait for a place, once all serve
        self._failed, self._not_before = 0, 0.0
        self._stopping = False
        self._selector = selectors.DefaultSelector()

    def figures(self) -> list[tuple[int, bool, str | None]]:
        """Of each worker its number, whether it is ready, and what it has counted. Called from another thread."""
        serving = [one for one in list(self._all) if one.number is not None and not one.leaving]
        return [(one.number or 0, one.ready, one.figures() if one.ready else None) for one in serving]

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
        return [one for one in self._all if one.number is None and not one.leaving]

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
        worker = Worker(self._listener, self._limits)
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
            worker.assign(Assignment(self._wanted.popleft(), self._database_url, self._port))

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
            if worker is self._successor and worker.number is not None:
                worker.assign(Assignment(worker.number, self._database_url, self._port))
        elif word == b"ready":
            worker.ready, self._failed = True, 0
            if worker is self._successor:
                self._successor = None
                for one in self._all:
                    if one.number == worker.number and one is not worker and not one.leaving:
                        one.hand_over()
                if not self._to_reload:
                    log.info("workers_reloaded", workers=self._how_many)

    def _on_end(self, worker: Worker) -> None:
        self._selector.unregister(worker.control)
        self._all.remove(worker)
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
            self._not_before = time.monotonic() + RESTART_SECONDS
            if self._failed >= MAX_RESTARTS and not any(one.ready for one in self._all):
                raise StartupError("The workers end before they can serve; what they said stands above.")
        if worker.number is not None:
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
