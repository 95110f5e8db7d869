"""One of several serving processes, as their parent (`workers`) starts it: it opens everything, waits, then serves."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from types import FrameType
from typing import BinaryIO

import msgspec
from prometheus_client.registry import CollectorRegistry

from service import logs
from service.app import create_app
from service.cli import added_up
from service.cli.database import key_store
from service.cli.serve import Server, server_of
from service.cli.workers import STOP_SECONDS, Service
from service.core import mail
from service.core.clock import JumpGuardedClock
from service.core.garbage import collect_less
from service.settings import Settings
from service.web.rate_limits import rate_limits
from service.web.shared_limits import SharedLimit, SharedMemory
from service.web.shared_streams import SharedStreams


def main(control: socket.socket, figures: socket.socket, listener: socket.socket, shared: int) -> None:
    """Serve until told to stop, or until the parent has ended."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal is for the parent
    told = control.makefile("rb")
    line = _next_line(told)
    if not line:
        return
    service = msgspec.json.decode(line, type=Service)
    settings = Settings().model_copy(update={"port": service.port})
    logs.configure(settings)
    memory, clock = SharedMemory(shared), JumpGuardedClock()
    turn = Turn(control, told, [listener], clock.believe)
    app = create_app(
        service.database_url,
        settings,
        mail.mailer_for(settings.smtp_url, settings.mail_from),
        key_store(settings),
        clock,
        with_prompts=settings.push == "inside",
        with_upkeep=True,
        limits=rate_limits(settings, partial(SharedLimit, memory=memory)),
        places=SharedStreams(memory),
        begin=turn.wait,
    )
    turn.server = server_of(app, lambda: _say(control, b"ready"), app.end_streams, WorkerServer)
    turn.server.turn = turn
    if metrics := app.metrics:
        _in_background(lambda: _tell_when_asked(figures, metrics.registry))
    turn.server.run(sockets=turn.accepts_on)
    if metrics:  # once more, for what it has counted goes on counting
        control.shutdown(socket.SHUT_RDWR)  # so that the parent listens, however much there is to tell
        added_up.tell(figures, metrics.counts)


class Turn:
    """When it is this process's turn to serve: everything is open by then, and only accepting is left to be done."""

    server: "WorkerServer"

    def __init__(
        self,
        control: socket.socket,
        told: BinaryIO,
        accepts_on: list[socket.socket],
        has_come: Callable[[], None],
    ) -> None:
        self._control, self._told, self.accepts_on, self._has_come = control, told, accepts_on, has_come
        self._loop: asyncio.AbstractEventLoop | None = None
        self._number: asyncio.Future[int | None] | None = None

    async def wait(self) -> bool:
        """Say that everything is open, and return once it is to serve: whether as the first of all."""
        self._loop = asyncio.get_running_loop()
        self._number = self._loop.create_future()
        collect_less()  # now, for it takes longer than all that is left to do
        _in_background(self._obey)
        _say(self._control, b"loaded")
        number = None if self.server.should_exit else await self._number
        if number is None:  # it is not needed: nobody is accepted, and what is open is closed
            self.accepts_on.clear()
        self._has_come()
        return number == 0

    def end(self) -> None:
        """It will not come. Called between any two steps of the program, by a signal."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._come, None)

    def _come(self, number: int | None) -> None:
        if self._number is not None and not self._number.done():
            self._number.set_result(number)

    def _obey(self) -> None:
        assert self._loop is not None
        if number := _next_line(self._told):
            self._loop.call_soon_threadsafe(self._come, int(number))
            if _next_line(self._told):
                self.server.hand_over()
                return
        # Nobody is there any more who could end it, or start it again.
        os.kill(os.getpid(), signal.SIGTERM)
        # What does not end by itself, its parent would have killed.
        time.sleep(STOP_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)


class WorkerServer(Server):
    """A server that may be told to end before it has begun."""

    turn: Turn

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop."""
        super().handle_exit(sig, frame)
        self.turn.end()


def _say(control: socket.socket, word: bytes) -> None:
    with suppress(OSError):  # the parent has ended, which is found out by who obeys it
        control.sendall(word + b"\n")


def _in_background(task: Callable[[], None]) -> None:
    Thread(target=task, daemon=True).start()


def _next_line(told: BinaryIO) -> bytes:
    """What the parent says next; nothing once it has ended."""
    try:
        return told.readline()
    except OSError:  # it ended with something unread that was said to it: the connection is then reset, not closed
        return b""


def _tell_when_asked(figures: socket.socket, registry: CollectorRegistry) -> None:
    while figures.recv(1):
        added_up.tell(figures, registry)


if __name__ == "__main__":
    control_fd, figures_fd, listener_fd, shared = map(int, sys.argv[1:])
    control, figures, listener = (socket.socket(fileno=each) for each in (control_fd, figures_fd, listener_fd))
    main(control, figures, listener, shared)
