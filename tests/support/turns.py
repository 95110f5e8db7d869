"""Several workers in one process: applications on one database, with one allowance, one of which answers each request.

Which of them, is one of two ways. *By turns* the next request goes to the next one, whoever asks: so what one does more
moves who answers the other. *Apart* the reader's go to one or another, and all others' to one that has not answered the
reader last: so whatever a worker keeps of the reader is met by what has happened in another one.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from functools import partial
from itertools import count
from typing import Any, Literal, TypeAlias

from service.app import App, AppState, create_app
from service.core.mail import SmtpMailer
from service.web.rate_limits import LIMITS, rate_limits
from service.web.shared_limits import SharedLimit, SharedMemory, make_shared_memory
from service.web.shared_streams import STREAMS_BYTES, SharedStreams
from tests.support.phones import KEYS, Clock, PostBox, Running, lifespan, unlimited

A_LOT = {"requests_per_minute": 60_000, "invite_tries_per_hour": 60_000}  # counted, and never reached

Way: TypeAlias = Literal["by turns", "apart"]
asking: ContextVar[str] = ContextVar("asking", default="nobody")  # who asks, where it is one of a world's people


class Workers:
    """Applications that answer as one; `turns` are who has asked and which of them has answered."""

    def __init__(self, apps: list[App], way: Way = "by turns") -> None:
        self.apps, self.way = apps, way
        self._next, self._readers = count(), 0
        self.turns: list[tuple[str, int]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        who = asking.get()
        turn = self._turn_of(who) % len(self.apps)
        self.turns.append((who, turn))
        await self.apps[turn](scope, receive, send)

    def _turn_of(self, who: str) -> int:
        if self.way == "by turns":
            return next(self._next)
        if who == "reader":
            # 0 1 1 0 1 0 0 1 …: in no step, so that what is asked twice comes to the same one and to another.
            self._readers = next(self._next).bit_count()
            return self._readers
        return self._readers + 1

    @property
    def state(self) -> AppState:
        """The state of the first."""
        return self.apps[0].state


@asynccontextmanager
async def several(database_url: str, how_many: int, way: Way = "by turns", **options: Any) -> AsyncIterator[Running]:
    """As `running`, with so many workers, which share their limits."""
    clock, descriptor = options.pop("now", None) or Clock(), make_shared_memory(LIMITS, STREAMS_BYTES)
    settings = unlimited(**A_LOT)
    async with AsyncExitStack() as stack:
        stack.callback(os.close, descriptor)
        post = await stack.enter_async_context(PostBox().open())
        mailer, apps = SmtpMailer(post.url, "mutuality@example.org"), []
        for _ in range(how_many):
            memory = SharedMemory(descriptor)
            shared: Any = {
                "limits": rate_limits(settings, partial(SharedLimit, memory=memory)),
                "places": SharedStreams(memory),
            }
            app = create_app(database_url, settings, mailer, KEYS, now=clock, **shared, **options)
            await stack.enter_async_context(lifespan(app))
            apps.append(app)
        together: Any = Workers(apps, way)
        service = Running(together, clock, post, database_url)
        stack.push_async_callback(service.close)
        yield service


def each_alone(service: Running) -> list[Running]:
    """The same service, reached by each of its workers alone."""
    app: Any = service.app
    return [Running(one, service.clock, service.post, service.database_url) for one in app.apps]
