"""Whoever asks while the last statements end is answered too."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

from projections.reader import Reader
from service.access.reader_lookup import LookupKey, ReaderAccess, ReaderLookup


class Gated(ReaderLookup):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.gates: list[asyncio.Future[None]] = []

    async def _look_up(self, asked: Sequence[LookupKey]) -> dict[LookupKey, ReaderAccess]:
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        await gate
        return {
            one: ReaderAccess(Reader(one[2], 1, one[1], UUID(int=1), UUID(int=2)), "UTC", "1", None) for one in asked
        }


async def until_begun(lookup: Gated, statements: int) -> None:
    """Return once so many statements have begun."""
    for _ in range(100):
        if len(lookup.gates) == statements:
            return
        await asyncio.sleep(0)
    raise AssertionError("nobody is at work")


async def begun(lookup: Gated, statements: int) -> asyncio.Task[ReaderAccess]:
    """Somebody who asks, once so many statements have begun."""
    task = asyncio.create_task(lookup.find(uuid4(), uuid4(), uuid4()))
    await until_begun(lookup, statements)
    return task


async def test_who_asks_in_the_turn_in_which_both_statements_end_is_not_forgotten() -> None:
    lookup, now = Gated(), asyncio.Event()
    first, second = await begun(lookup, 1), await begun(lookup, 2)

    async def ask() -> ReaderAccess:
        await now.wait()
        return await lookup.find(uuid4(), uuid4(), uuid4())

    third = asyncio.create_task(ask())
    await asyncio.sleep(0)
    for gate in lookup.gates:
        gate.set_result(None)
    now.set()
    await asyncio.gather(first, second)
    await until_begun(lookup, 3)
    lookup.gates[2].set_result(None)
    await third
