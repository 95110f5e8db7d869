"""Look-ups that are answered together: all that wait, with one statement; nothing is delayed to gather more."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Pending: TypeAlias = dict[K, list[asyncio.Future[V | None]]]

STATEMENTS_AT_ONCE = 2  # while the database works at one, the answers of the other are given


class BatchedLookup(Generic[K, V]):
    """What comes while statements run is answered by the next one."""

    def __init__(self, look_up: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> None:
        """`look_up` answers many keys; one that it leaves out has no answer."""
        self._look_up = look_up
        self._waiting: Pending[K, V] = {}
        self._at_work: set[asyncio.Task[None] | None] = set()

    @property
    def waiting(self) -> int:
        """How many wait for a statement that has not begun."""
        return sum(map(len, list(self._waiting.values())))

    async def find(self, key: K) -> V | None:
        """The answer to a key, as of now or later."""
        answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(answer)
        if len(self._at_work) < STATEMENTS_AT_ONCE:
            self._at_work.add(asyncio.create_task(self._work()))
        return await answer

    async def _work(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            try:
                found = await self._look_up(list(waiting))
            except Exception as error:
                # Each caller gets it; the next statement may succeed.
                _fail(waiting, error)
            else:
                _resolve(waiting, found)
        # At once: whoever calls before the loop's next turn must find that no task is at work.
        self._at_work.remove(asyncio.current_task())


def _resolve(waiting: Pending[K, V], found: Mapping[K, V]) -> None:
    for key, answers in waiting.items():
        for answer in answers:
            if not answer.done():  # the caller may be gone
                answer.set_result(found.get(key))


def _fail(waiting: Pending[K, V], error: Exception) -> None:
    for answers in waiting.values():
        for answer in answers:
            if not answer.done():
                answer.set_exception(error)
