"""Folds of long histories beside the loop: others are answered while they run."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FEW_EVENTS = 2_000  # folded in some 2 ms


async def aside(events: int, fold: Callable[[], T]) -> T:
    """What a pure fold of so many events comes to.

    One of many runs in a thread: Python takes turns between threads every 5 ms, however long it is. It must touch
    nothing that anybody else does.
    """
    return fold() if events <= FEW_EVENTS else await asyncio.to_thread(fold)
