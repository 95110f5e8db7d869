"""Several workers in one process: applications on one database, with one allowance, that answer by turns."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from typing import Any

from service.app import App, AppState, create_app
from service.core.mail import SmtpMailer
from service.web.rate_limits import LIMITS, rate_limits
from service.web.shared_limits import SharedLimit, SharedMemory, make_shared_memory
from tests.support.phones import KEYS, Running, lifespan, unlimited

A_LOT = {"requests_per_minute": 60_000, "invite_tries_per_hour": 60_000}  # counted, and never reached


class ByTurns:
    """The next request goes to the next of them, whoever asks."""

    def __init__(self, apps: list[App]) -> None:
        self._apps, self._next = apps, count()
        self.turns: list[int] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        turn = next(self._next) % len(self._apps)
        self.turns.append(turn)
        await self._apps[turn](scope, receive, send)

    @property
    def state(self) -> AppState:
        """The state of the first."""
        return self._apps[0].state


@asynccontextmanager
async def by_turns(first: Running, workers: int, options: dict[str, Any]) -> AsyncIterator[Running]:
    """The same service with more workers, which are made with those options as the first one was."""
    descriptor = make_shared_memory(LIMITS)
    mailer, settings = SmtpMailer(first.post.url, "mutuality@example.org"), unlimited(**A_LOT)
    apps = []
    async with AsyncExitStack() as stack:
        for _ in range(workers):
            limits = rate_limits(settings, partial(SharedLimit, memory=SharedMemory(descriptor)))
            app = create_app(first.database_url, settings, mailer, KEYS, limits=limits, **options)
            await stack.enter_async_context(lifespan(app))
            apps.append(app)
        together: Any = ByTurns(apps)
        running = Running(together, first.clock, first.post, first.database_url)
        stack.push_async_callback(running.close)
        yield running
    os.close(descriptor)
