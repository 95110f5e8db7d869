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

from service.context import World
from service.database.outages import DATABASE_AWAY
from service.prompts import dispatch, planner
from service.push import outbox, senders
from service.push.notices import Sender
from service.settings import Settings

log = structlog.get_logger()

Step: TypeAlias = Callable[[], Awaitable[int]]  # says how much there was to do

LOOK_EVERY_SECONDS = 1.0
IN_FLIGHT = 200
# What is on its way to a provider when the worker is told to stop.
LAST_SECONDS = 5


async def work(world: World, sender: Sender) -> None:
    """All that is due now, once."""
    while await planner.plan_windows(world):
        pass
    while await planner.plan_after_events(world):
        pass
    while await dispatch.dispatch(world):
        pass
    while pushes := await outbox.claim(world, IN_FLIGHT):
        await asyncio.gather(*(outbox.deliver(world, sender, push) for push in pushes))


@asynccontextmanager
async def working(world: World, settings: Settings) -> AsyncIterator[None]:
    """Work beside what happens inside the block, and stop with it. Raises StartupError."""
    stop = Event()
    async with senders.opened(settings, world.now) as sender:
        task = asyncio.create_task(run(world, sender, stop))
        try:
            yield
        finally:
            stop.set()
            await task


async def run(world: World, sender: Sender, stop: Event) -> None:
    """Work until told to stop. While the database is away it waits."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_keep_on(world, stop, lambda: planner.plan_windows(world)))
        group.create_task(_keep_on(world, stop, lambda: planner.plan_after_events(world)))
        group.create_task(_keep_sending(world, sender, stop))


async def _keep_on(world: World, stop: Event, step: Step) -> None:
    """Take a step again and again: at once while it finds something, else after about a second."""
    while not stop.is_set():
        if not await _found(step):
            await _pause(world, stop)


async def _keep_sending(world: World, sender: Sender, stop: Event) -> None:
    """Send what is due, so many at once that a slow provider holds up few others."""
    flying: set[Task[int]] = set()

    async def send() -> int:
        if len(flying) > IN_FLIGHT // 2:
            await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
        # What is due is sent in the same step: to be late is the one thing that a prompt must not be.
        found = await _found(lambda: dispatch.dispatch(world))
        pushes = await outbox.claim(world, IN_FLIGHT - len(flying))
        for push in pushes:
            task = asyncio.create_task(_found(partial(outbox.deliver, world, sender, push)))
            flying.add(task)
            task.add_done_callback(flying.discard)
        return found + len(pushes)

    try:
        await _keep_on(world, stop, send)
        if flying:
            await asyncio.wait(flying, timeout=LAST_SECONDS)
    finally:
        for task in flying:
            task.cancel()


async def _found(step: Step) -> int:
    """What a step found; whatever goes wrong is told, and the next one tries again."""
    try:
        return await step()
    except DATABASE_AWAY as error:
        log.warning("push_waits_for_the_database", error=type(error).__name__)
    except Exception as error:
        log.error("push_step_failed", error=type(error).__name__)
    return 0


async def _pause(world: World, stop: Event) -> None:
    """About a second, or until told to stop. By chance, so that several workers do not look at the same moments."""
    share = int.from_bytes(world.chance(4, "pause of the worker")) / 2**32
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_EVERY_SECONDS * (0.5 + share)):
            await stop.wait()
