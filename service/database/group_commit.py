"""Natural group commit: what waits while one group is being committed goes into the next. Nothing is delayed for it.

Alone, a submission is committed at once. Under load groups grow by themselves, and many share one write to the disk.
"""

import asyncio
from asyncio import Future, Task
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

import structlog
from asyncpg import DeadlockDetectedError, LockNotAvailableError
from msgspec import Struct

from service.database.outages import DATABASE_UNAVAILABLE
from service.errors import Overloaded

log = structlog.get_logger()

S = TypeVar("S")
A = TypeVar("A")

# What is weighed are entries. A group holds its locks until all of it is done, so it must not grow without bounds.
MAX_IN_A_GROUP = 128
# About a second's work: who comes later is told so at once.
MAX_WAITING = 2000
# A database that stands still may do so for long. What becomes of what it has, the same call will say.
GROUP_TIMEOUT_SECONDS = 3.0
# One group may hang with its connection; where several do, it is the database.
MAX_STUCK = 2

# So many may follow one that was committed alone before it is worth trying them together again.
REJOIN_ABOVE = 4

HELD_UP = (DeadlockDetectedError, LockNotAvailableError)


class Waiting(Struct, Generic[S, A]):
    """A submission, where it belongs, and who waits for its answer."""

    submission: S
    kind: Hashable
    rooms: frozenset[Hashable]
    answer: "Future[A]"


class GroupCommit(Generic[S, A]):
    """Commits submissions in groups: each of one `kind`, and one of a kind at a time.

    Two of a kind at a time would each be half as large, and half of the work is done once for a group. What has one of
    its `rooms` in common is never in two groups, so that no group waits for another.

    Where a group fails or is held up, each of it is committed alone: what one breaks or waits for must not touch the
    others. Meanwhile what has the same `key`, and so might be held up too, queues behind it. Whatever is `apart` is
    committed alone from the start.

    `commit` takes submissions and whether to be patient, and gives an answer for each, or an exception in its place.
    Impatient, as with a group, it raises soon where somebody else holds what it needs.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[S], bool], Awaitable[Sequence[A | Exception]]],
        key: Callable[[S], Hashable],
        rooms: Callable[[S], Iterable[Hashable]] = lambda submission: [submission],
        weight: Callable[[S], int] = lambda submission: 1,
        most_waiting: int = MAX_WAITING,
        apart: Callable[[S], bool] = lambda _: False,
        kind: Callable[[S], Hashable] = lambda _: None,
    ) -> None:
        self._commit, self._key, self._weight, self._most_waiting = commit, key, weight, most_waiting
        self._rooms_of, self._apart, self._kind = rooms, apart, kind
        self._waiting: deque[Waiting[S, A]] = deque()
        self._held_up: dict[Hashable, deque[Waiting[S, A]]] = {}
        self._groups: dict[Hashable, Task[None]] = {}  # under way, by kind
        self._rooms: set[Hashable] = set()  # of the groups under way
        self._stuck: set[frozenset[Hashable]] = set()  # rooms of groups that do not come to an end
        self._tasks: set[Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    @property
    def length(self) -> int:
        """How many wait."""
        held_up = sum(map(len, self._held_up.values())) if self._held_up else 0
        return len(self._waiting) + held_up

    async def submit(self, submission: S) -> A:
        """The answer, once it is on disk. Whoever is cancelled meanwhile leaves the submission where it is.

        Raises Overloaded, and what the commit raises.
        """
        rooms = frozenset(self._rooms_of(submission))
        if self.length >= self._most_waiting or (self._stuck and self._is_stuck(rooms)):
            raise Overloaded
        kind = self._kind(submission)
        one: Waiting[S, A] = Waiting(submission, kind, rooms, self._loop.create_future())
        if self._apart(submission) or (self._held_up and self._key(submission) in self._held_up):
            self._put_aside(one)
        else:
            self._waiting.append(one)
            self._start(kind)
        return await one.answer

    async def close(self) -> None:
        """Return when nothing is under way any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _keep(self, task: Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _start(self, *kinds: Hashable) -> None:
        for kind in kinds:
            if kind not in self._groups:
                self._groups[kind] = self._loop.create_task(self._commit_groups(kind))
                self._keep(self._groups[kind])

    async def _commit_groups(self, kind: Hashable) -> None:
        own = asyncio.current_task()
        # Not chosen before this runs: all that came in at the same moment go together.
        while self._groups.get(kind) is own and (group := self._next_group(kind)):
            await self._commit_in_time(kind, group)
        if self._groups.get(kind) is own:
            del self._groups[kind]

    async def _commit_in_time(self, kind: Hashable, group: Sequence[Waiting[S, A]]) -> None:
        rooms = frozenset[Hashable]().union(*(one.rooms for one in group))
        self._rooms |= rooms
        late = self._loop.call_later(GROUP_TIMEOUT_SECONDS, self._give_up, kind, group, rooms)
        try:
            await self._commit_group(group)
        finally:
            late.cancel()
            self._rooms -= rooms
            self._stuck.discard(rooms)
            # Another kind may have waited for one of these rooms.
            self._start(*{one.kind for one in self._waiting})

    def _next_group(self, kind: Hashable) -> list[Waiting[S, A]]:
        """Those of a kind who have waited longest, without the rooms of other groups.

        All others keep their places. Nobody overtakes in a room: behind who is passed over, its others are too.
        """
        group: list[Waiting[S, A]] = []
        weight, passed_over, occupied = 0, [], set(self._rooms)
        while self._waiting and weight < MAX_IN_A_GROUP:
            one = self._waiting.popleft()
            if one.kind != kind or not one.rooms.isdisjoint(occupied):
                passed_over.append(one)
                occupied |= one.rooms
            else:
                group.append(one)
                weight += self._weight(one.submission)
        self._waiting.extendleft(reversed(passed_over))
        return group

    def _give_up(self, kind: Hashable, group: Sequence[Waiting[S, A]], rooms: frozenset[Hashable]) -> None:
        """Let nobody wait any longer for a group that does not come to an end; others of its kind go on beside it."""
        del self._groups[kind]
        self._stuck.add(rooms)
        for one in (*group, *(one for one in self._waiting if self._is_stuck(one.rooms))):
            _tell(one, Overloaded())
        self._waiting = deque(one for one in self._waiting if not one.answer.done())
        self._start(*{one.kind for one in self._waiting})

    def _is_stuck(self, rooms: frozenset[Hashable]) -> bool:
        return len(self._stuck) >= MAX_STUCK or any(not rooms.isdisjoint(stuck) for stuck in self._stuck)

    async def _commit_group(self, group: Sequence[Waiting[S, A]]) -> None:
        try:
            answers = await self._commit([one.submission for one in group], False)
        except Exception as error:
            # Where the database is away, asking once more for each would only be late.
            if isinstance(error, DATABASE_UNAVAILABLE) and not isinstance(error, HELD_UP):
                answers = [error] * len(group)
            else:
                log.info("group_taken_apart", failure=type(error).__name__, submissions=len(group))
                for one in group:
                    self._put_aside(one)
                return
        for one, answer in zip(group, answers, strict=True):
            _tell(one, answer)

    def _put_aside(self, one: Waiting[S, A]) -> None:
        key = self._key(one.submission)
        if key in self._held_up:
            self._held_up[key].append(one)
            return
        self._held_up[key] = deque([one])
        self._keep(self._loop.create_task(self._commit_one_by_one(key)))

    async def _commit_one_by_one(self, key: Hashable) -> None:
        queue = self._held_up[key]
        while queue:
            one = queue.popleft()
            answer = await self._commit_alone(one)
            if isinstance(answer, HELD_UP):
                # Those behind it would wait as long for the same, one after the other.
                while queue:
                    _tell(queue.popleft(), answer)
            _tell(one, answer)
            if len(queue) > REJOIN_ABOVE and not isinstance(answer, Exception):
                break  # nothing holds it up any more, and together they are faster
        del self._held_up[key]
        self._waiting.extend(queue)
        self._start(*{one.kind for one in queue})

    async def _commit_alone(self, one: Waiting[S, A]) -> A | Exception:
        try:
            (answer,) = await self._commit([one.submission], True)
        except Exception as error:
            answer = error
        return answer


def _tell(one: Waiting[S, A], answer: A | Exception) -> None:
    if one.answer.done():
        return  # nobody waits for it any more
    if isinstance(answer, Exception):
        one.answer.set_exception(answer)
    else:
        one.answer.set_result(answer)
