"""The worker that plans and sends prompts: inside `serve`, as `python -m service push`, or a step at a time.

Any number may work side by side, and each may be killed at any moment: what it holds, it holds by a lease.
"""

import asyncio
from asyncio import Event, Task
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeAlias

import structlog

from service.context import Context
from service.database.outages import DATABASE_UNAVAILABLE
from service.prompts import dispatch, planner
from service.push import outbox, senders
from service.push.notices import Sender
from service.settings import Settings

log = structlog.get_logger()

WorkerStep: TypeAlias = Callable[[], Awaitable[int]]  # says how much there was to do

LOOK_EVERY_SECONDS = 1.0
IN_FLIGHT = 200
# For the pushes that are under way when the worker is told to stop.
LAST_SECONDS = 5


async def work(context: Context, sender: Sender) -> None:
    """All that is due now, once."""
    while await planner.plan_windows(context):
        pass
    while await planner.plan_after_events(context):
        pass
    while await dispatch.dispatch(context):
        pass
    while pushes := await outbox.claim(context, IN_FLIGHT):
        await asyncio.gather(*(outbox.deliver(context, sender, push) for push in pushes))


@asynccontextmanager
async def working(context: Context, settings: Settings) -> AsyncIterator[None]:
    """Work beside what happens inside the block, and stop with it. Raises StartupError."""
    stop = Event()
    async with senders.open_senders(settings, context.now) as sender:
        task = asyncio.create_task(run(context, sender, stop))
        try:
            yield
        finally:
            stop.set()
            await task


async def run(context: Context, sender: Sender, stop: Event) -> None:
    """Work until told to stop. While the database is away it waits."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_keep_on(context, stop, lambda: planner.plan_windows(context)))
        group.create_task(_keep_on(context, stop, lambda: planner.plan_after_events(context)))
        group.create_task(_keep_sending(context, sender, stop))


async def _keep_on(context: Context, stop: Event, step: WorkerStep) -> None:
    """Repeat a step: at once while it finds something, else after about a second."""
    while not stop.is_set():
        if not await _found(step):
            await _pause(context, stop)


async def _keep_sending(context: Context, sender: Sender, stop: Event) -> None:
    """Send what is due, many at once, so that a slow provider delays few others."""
    flying: set[Task[int]] = set()

    async def send() -> int:
        if len(flying) > IN_FLIGHT // 2:
            await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
        # What is due is sent in the same step: to be late is the one thing that a prompt must not be.
        found = await _found(lambda: dispatch.dispatch(context))
        pushes = await outbox.claim(context, IN_FLIGHT - len(flying))
        for push in pushes:
            task = asyncio.create_task(_found(partial(outbox.deliver, context, sender, push)))
            flying.add(task)
            task.add_done_callback(flying.discard)
        return found + len(pushes)

    try:
        await _keep_on(context, stop, send)
        if flying:
            await asyncio.wait(flying, timeout=LAST_SECONDS)
    finally:
        for task in flying:
            task.cancel()


async def _found(step: WorkerStep) -> int:
    """What a step found; an exception is logged, and the next step tries again."""
    try:
        return await step()
    except DATABASE_UNAVAILABLE as error:
        log.warning("push_waits_for_the_database", error=type(error).__name__)
    except Exception as error:
        log.error("push_step_failed", error=type(error).__name__)
    return 0


async def _pause(context: Context, stop: Event) -> None:
    """About a second, or until told to stop. Random, so that several workers do not look at the same moments."""
    share = int.from_bytes(context.random_bytes(4, "pause of the worker")) / 2**32
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_EVERY_SECONDS * (0.5 + share)):
            await stop.wait()
