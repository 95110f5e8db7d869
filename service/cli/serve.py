"""The command `serve`: migrate the database, then serve until told to stop."""

import asyncio
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import uvicorn
from litestar.types import ASGIApp

from service import logs, metrics
from service.app import App, create_app
from service.cli import workers
from service.cli.database import count_of, key_store, lasting_database, remind_of_rotation
from service.cli.http_protocol import BoundedProtocol
from service.core import mail
from service.core.clock import JumpGuardedClock
from service.core.garbage import collect_less
from service.errors import StartupError
from service.push import senders
from service.settings import Settings

# So long a phone that keeps its connection has to ask something once more, and to be told that it ends.
HAND_OVER_SECONDS = 2.0
LOOK_SECONDS = 0.02


def serve(settings: Settings) -> None:
    """Migrate the database, then serve until told to stop."""
    logs.configure(settings)
    mails = f"Mail goes to {settings.smtp_url.rpartition('@')[2]}." if settings.smtp_url else "Mail is printed here."
    pushes = where_pushes_go(settings)
    with lasting_database(settings) as url, listening(settings) as listener:
        settings = at_port_of(listener, settings)
        asyncio.run(remind_of_rotation(url))
        how_many = count_of(settings.workers, embedded=settings.database_url is None)
        if how_many > 1:
            banner = f"{greeting(settings)}\n{how_many} workers serve. {mails} {pushes}\nCtrl-C stops them."
            workers.supervise(settings, url, listener, how_many, banner)
            return
        mailer, inside = mail.mailer_for(settings.smtp_url, settings.mail_from), settings.push == "inside"
        store, clock = key_store(settings), JumpGuardedClock()
        app = create_app(url, settings, mailer, store, clock, with_prompts=inside, with_upkeep=True)
        with _metrics_served(app, settings) as metrics_line:
            banner = f"{greeting(settings)}\n{metrics_line}{mails} {pushes}\nCtrl-C stops it."
            run(app, listener, lambda: print(banner, flush=True), app.end_streams)


@contextmanager
def _metrics_served(app: App, settings: Settings) -> Iterator[str]:
    """Serve the metrics, if a port is set; yields the line to print about it."""
    if app.metrics is None or settings.metrics_port is None:
        yield ""
        return
    with metrics.serving(app.metrics, settings.host, settings.metrics_port) as address:
        yield f"Metrics are at {address}\n"


def where_pushes_go(settings: Settings) -> str:
    """Raises StartupError where a provider is only half set up."""
    if names := senders.provider_names(settings):
        return f"Pushes go to {', '.join(names)}; all others are printed here."
    return "Pushes are printed here."


def address(settings: Settings) -> str:
    """The URL of the address that it listens on."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def greeting(settings: Settings) -> str:
    """The first lines that are printed."""
    reached_at = (settings.public_url or address(settings)).rstrip("/")
    return (
        f"Mutuality serves on {address(settings)}\n"
        f"Its phone app is at {reached_at}/, its documentation at {reached_at}/docs"
    )


@contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """A listening socket, bound before the application starts. Raises StartupError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise StartupError(
            f"{address(settings)} is in use, or not an address of this machine; MUTUALITY_PORT chooses another port."
        ) from error
    with listener:
        yield listener


def at_port_of(listener: socket.socket, settings: Settings) -> Settings:
    """The settings with the port that was bound: 0 asks for any."""
    return settings.model_copy(update={"port": listener.getsockname()[1]})


class Server(uvicorn.Server):
    """uvicorn, with a call when it is ready, and one before it waits for open answers to end."""

    hands_over = False

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], leave: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._leave = leave

    def hand_over(self) -> None:
        """Stop, but hang up on nobody who is about to ask something: another process serves on the same socket."""
        self.hands_over = self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then call `ready`."""
        await super().startup(sockets)
        if self.started and not self.should_exit:
            collect_less()
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Call `leave`, which ends what would not end by itself, then wait for the rest."""
        if self.hands_over:
            await self._let_go()
        self._leave()
        await super().shutdown(sockets)

    async def _let_go(self) -> None:
        """Take no more connections, and tell who asks on one that it ends with the answer."""
        for listening_server in self.servers:
            listening_server.close()
        for connection in self.server_state.connections:
            if isinstance(connection, BoundedProtocol):
                connection.leaving = True
        for _ in range(int(HAND_OVER_SECONDS / LOOK_SECONDS)):
            if not self.server_state.connections:
                break
            await asyncio.sleep(LOOK_SECONDS)


def run(
    app: ASGIApp, listener: socket.socket, ready: Callable[[], None], leave: Callable[[], None] = lambda: None
) -> None:
    """Serve an application until told to stop; `leave` ends what would not end by itself."""
    server_of(app, ready, leave, Server).run(sockets=[listener])


AServer = TypeVar("AServer", bound=Server)


def server_of(
    app: ASGIApp,
    ready: Callable[[], None],
    leave: Callable[[], None],
    made_as: Callable[[uvicorn.Config, Callable[[], None], Callable[[], None]], AServer],
) -> AServer:
    """What serves an application."""
    config = uvicorn.Config(
        app,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http=BoundedProtocol,
        ws="none",  # also where a library for it happens to be installed: its connections would have no bounds
        lifespan="on",
        log_level="warning",
        access_log=False,  # it would log addresses and queries
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=10,
    )
    return made_as(config, ready, leave)
