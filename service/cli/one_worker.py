"""One of several serving processes, as their parent (`workers`) starts it: it waits for its assignment, then serves."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import BinaryIO

import msgspec
from prometheus_client import generate_latest
from prometheus_client.registry import CollectorRegistry

from service import logs
from service.app import create_app
from service.cli.database import key_store
from service.cli.serve import Server, server_of
from service.cli.workers import STOP_SECONDS, Assignment
from service.core import mail
from service.core.clock import JumpGuardedClock
from service.settings import Settings
from service.web.rate_limits import rate_limits
from service.web.shared_limits import SharedLimit, SharedMemory


def main(control: socket.socket, figures: socket.socket, listener: socket.socket, limits: int) -> None:
    """Serve until told to stop, or until the parent has ended."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal is for the parent
    control.sendall(b"loaded\n")
    told = control.makefile("rb")
    line = _next_line(told)
    if not line:
        return
    assignment = msgspec.json.decode(line, type=Assignment)
    settings = Settings().model_copy(update={"port": assignment.port})
    logs.configure(settings)
    first = assignment.number == 0
    app = create_app(
        assignment.database_url,
        settings,
        mail.mailer_for(settings.smtp_url, settings.mail_from),
        key_store(settings),
        JumpGuardedClock(),
        with_prompts=first and settings.push == "inside",
        with_upkeep=first,
        limits=rate_limits(settings, partial(SharedLimit, memory=SharedMemory(limits))),
    )
    server = server_of(app, lambda: _say_ready(control), app.end_streams)
    _in_background(lambda: _obey(told, server))
    if app.metrics is not None:
        registry = app.metrics.registry
        _in_background(lambda: _tell_figures(figures, registry))
    server.run(sockets=[listener])


def _say_ready(control: socket.socket) -> None:
    with suppress(OSError):  # the parent has ended, and `_obey` finds that out
        control.sendall(b"ready\n")


def _in_background(task: Callable[[], None]) -> None:
    Thread(target=task, daemon=True).start()


def _next_line(told: BinaryIO) -> bytes:
    """What the parent says next; nothing once it has ended."""
    try:
        return told.readline()
    except (
        OSError
    ):  # it ended with something unread that this worker had said: the connection is then reset, not closed
        return b""


def _obey(told: BinaryIO, server: Server) -> None:
    if _next_line(told):
        server.hand_over()
    else:  # nobody is there any more who could end it, or start it again
        os.kill(os.getpid(), signal.SIGTERM)
        # What does not end by itself, its parent would have killed.
        time.sleep(STOP_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)


def _tell_figures(figures: socket.socket, registry: CollectorRegistry) -> None:
    while figures.recv(1):
        text = generate_latest(registry)
        figures.sendall(len(text).to_bytes(8) + text)


if __name__ == "__main__":
    control_fd, figures_fd, listener_fd, limits_fd = map(int, sys.argv[1:])
    control, figures, listener = (socket.socket(fileno=each) for each in (control_fd, figures_fd, listener_fd))
    main(control, figures, listener, limits_fd)
