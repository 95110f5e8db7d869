"""The worker that plans and sends prompts: inside `serve`, as `python -m service push`, or a step at a time.

Any number may run side by side, and each may be killed at any moment: what it holds, it holds by a lease.
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

WorkerStep: TypeAlias = Callable[[], Awaitable[int]]  # returns how much there was to do

POLL_SECONDS = 1.0
MAX_IN_FLIGHT = 200
LAST_SECONDS = 5  # for what is on its way to a provider when the worker is told to stop


async def work(context: Context, sender: Sender) -> None:
    """Do all that is due now, once."""
    while await planner.plan_windows(context):
        pass
    while await planner.plan_after_events(context):
        pass
    while await dispatch.dispatch(context):
        pass
    await outbox.end_parked(context)
    while pushes := await outbox.claim(context, MAX_IN_FLIGHT):
        await asyncio.gather(*(outbox.deliver(context, sender, push) for push in pushes))


@asynccontextmanager
async def working(context: Context, settings: Settings) -> AsyncIterator[None]:
    """Run the worker until the end of the block. Raises StartupError."""
    stop = Event()
    async with senders.open_senders(settings, context.now) as sender:
        task = asyncio.create_task(run(context, sender, stop))
        try:
            yield
        finally:
            stop.set()
            await task


async def run(context: Context, sender: Sender, stop: Event) -> None:
    """Plan and send until told to stop. While the database is unavailable it waits."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_repeat(context, stop, lambda: planner.plan_windows(context)))
        group.create_task(_repeat(context, stop, lambda: planner.plan_after_events(context)))
        group.create_task(_repeat(context, stop, lambda: outbox.end_parked(context)))
        group.create_task(_keep_sending(context, sender, stop))


async def _repeat(context: Context, stop: Event, step: WorkerStep) -> None:
    """Repeat a step: at once while it finds something to do, else after about a second."""
    while not stop.is_set():
        if not await _try(step):
            await _pause(context, stop)


async def _keep_sending(context: Context, sender: Sender, stop: Event) -> None:
    """Send what is due, so many at once that a slow provider delays few others."""
    in_flight: set[Task[int]] = set()

    async def send() -> int:
        if len(in_flight) > MAX_IN_FLIGHT // 2:
            await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
        # What is due is sent in the same step: to be late is the one thing that a prompt must not be.
        found = await _try(lambda: dispatch.dispatch(context))
        pushes = await outbox.claim(context, MAX_IN_FLIGHT - len(in_flight))
        for push in pushes:
            task = asyncio.create_task(_try(partial(outbox.deliver, context, sender, push)))
            in_flight.add(task)
            task.add_done_callback(in_flight.discard)
        return found + len(pushes)

    try:
        await _repeat(context, stop, send)
        if in_flight:
            await asyncio.wait(in_flight, timeout=LAST_SECONDS)
    finally:
        for task in in_flight:
            task.cancel()


async def _try(step: WorkerStep) -> int:
    """How much a step found to do; what goes wrong is logged, and the next step tries again."""
    try:
        return await step()
    except DATABASE_UNAVAILABLE as error:
        log.warning("push_waits_for_the_database", error=type(error).__name__)
    except Exception as error:
        log.error("push_step_failed", error=type(error).__name__)
    return 0


async def _pause(context: Context, stop: Event) -> None:
    """Wait about a second, or until told to stop; at random, so that several workers do not query at once."""
    share = int.from_bytes(context.random_bytes(4, "pause of the worker")) / 2**32
    with suppress(TimeoutError):
        async with asyncio.timeout(POLL_SECONDS * (0.5 + share)):
            await stop.wait()
