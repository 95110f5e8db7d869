"""The service on a real socket, for what only a real socket can carry: raw bytes, raw paths, unknown lengths."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
import uvicorn
import uvloop

from service.app import App, create_app
from service.cli.http_protocol import BoundedProtocol
from service.core.mail import SmtpMailer
from tests.support.hanging_up import until_told
from tests.support.phones import KEYS, Clock, Phone, PostBox, Running, unlimited

T = TypeVar("T")


class Wire(Running):
    """The service behind uvicorn, in a thread of its own; its phones live in that thread's event loop."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop, *running: Any) -> None:
        super().__init__(*running)
        self.url = url
        self._loop = loop
        self._clients: list[httpx.AsyncClient] = []

    def phone(self) -> Phone:
        """A device that is not signed in yet, which talks over the socket."""
        self._clients.append(httpx.AsyncClient(base_url=self.url))
        return Phone(self._clients[-1], self.post)

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        """Wait for what has to run in the loop of the service: a phone's calls, a mail."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(timeout=60)

    async def close(self) -> None:
        """Hang up. A connection that is left open keeps uvloop from ending."""
        await super().close()
        for client in self._clients:
            await client.aclose()


@contextmanager
def served(
    database_url: str, as_called: Callable[[App], Any] = until_told, /, **settings_changed: Any
) -> Iterator[Wire]:
    """The service on a free port of loopback, served as `make serve` does it.

    Unless told otherwise its clients hang up on live streams: most of them read an answer to its end.
    """
    ready = threading.Event()
    told: list[tuple[Wire, Callable[[], None]]] = []

    async def serve() -> None:
        clock, settings = Clock(), unlimited(**settings_changed)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)  # what nobody reads soon fills it
            async with PostBox().open() as post:
                app = create_app(database_url, settings, SmtpMailer(post.url, "mutuality@example.org"), KEYS, now=clock)
                config = uvicorn.Config(
                    as_called(app),
                    http=BoundedProtocol,
                    lifespan="on",
                    log_level="warning",
                    access_log=False,
                    proxy_headers=False,
                )
                server = uvicorn.Server(config)
                url = f"http://127.0.0.1:{listener.getsockname()[1]}"
                wire = Wire(url, asyncio.get_running_loop(), app, clock, post, database_url)
                told.append((wire, lambda: setattr(server, "should_exit", True)))
                ready.set()
                await server.serve(sockets=[listener])
                await wire.close()

    thread = threading.Thread(target=uvloop.run, args=(serve(),))
    thread.start()
    assert ready.wait(60)
    wire, stop = told[0]
    try:
        yield wire
    finally:
        stop()
        thread.join(60)
        assert not thread.is_alive()
