"""Natural group commit: what waits while one group is being committed goes into the next. Nothing is delayed for it.

Alone, a submission is committed at once. Under load groups grow by themselves, and many share one write to the disk.
"""

import asyncio
from asyncio import Future, Task
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
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
# About a second's work: who comes later is refused at once.
MAX_WAITING = 2000
# A database that hangs may do so for long. What became of the group is the answer to the same call, sent again.
GROUP_TIMEOUT_SECONDS = 3.0
# One group may hang with its connection; where several do, it is the database.
MAX_STUCK = 2

# So many may follow one that was committed alone before it is worth trying them together again.
REJOIN_ABOVE = 4

BLOCKED = (DeadlockDetectedError, LockNotAvailableError)


class Slot(Struct, frozen=True):
    """Where a submission may be committed: with whom, beside whom, and behind whom.

    A group is of one `lane`. What has one of its `streams` in common is never in two groups at a time. What has the
    same `blocking_key` may wait for the same locks. `alone`, it shares its transaction with nobody from the start.
    """

    lane: Hashable
    streams: frozenset[Hashable]
    blocking_key: Hashable
    weight: int = 1
    alone: bool = False


class Waiting(Struct, Generic[S, A]):
    """A submission, its slot, and who waits for its answer."""

    submission: S
    slot: Slot
    answer: "Future[A]"


class GroupCommit(Generic[S, A]):
    """Commits submissions in groups: each of one lane, and one group of a lane at a time.

    Two groups of a lane at a time would each be half as large, and half of the work is done once for a group. Groups
    of several lanes run beside each other, but never with a stream in common, so that none waits for another.

    Where a group fails or is blocked by a lock, each of it is committed alone: what one breaks or waits for must not
    touch the others. Meanwhile what has the same blocking key queues behind it.

    `commit` takes submissions and whether to wait for locks, and returns an answer for each, or an exception in its
    place. Told not to wait, as with a group, it raises soon where somebody else holds what it needs.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[S], bool], Awaitable[Sequence[A | Exception]]],
        slot_of: Callable[[S], Slot],
        max_waiting: int = MAX_WAITING,
        timeout_seconds: float = GROUP_TIMEOUT_SECONDS,
    ) -> None:
        self._commit, self._slot_of = commit, slot_of
        self._max_waiting, self._timeout_seconds = max_waiting, timeout_seconds
        self._waiting: deque[Waiting[S, A]] = deque()
        self._blocked: dict[Hashable, deque[Waiting[S, A]]] = {}  # by blocking key
        self._groups: dict[Hashable, Task[None]] = {}  # under way, by lane
        self._streams: set[Hashable] = set()  # of the groups under way
        self._stuck: set[frozenset[Hashable]] = set()  # streams of groups that do not come to an end
        self._tasks: set[Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    @property
    def length(self) -> int:
        """How many wait."""
        blocked = sum(map(len, self._blocked.values())) if self._blocked else 0
        return len(self._waiting) + blocked

    async def submit(self, submission: S) -> A:
        """The answer, once it is on disk. Whoever is cancelled meanwhile leaves the submission where it is.

        Raises Overloaded, and what the commit raises.
        """
        slot = self._slot_of(submission)
        if self.length >= self._max_waiting or (self._stuck and self._is_stuck(slot.streams)):
            raise Overloaded
        one: Waiting[S, A] = Waiting(submission, slot, self._loop.create_future())
        if slot.alone or slot.blocking_key in self._blocked:
            self._set_apart(one)
        else:
            self._waiting.append(one)
            self._start(slot.lane)
        return await one.answer

    async def close(self) -> None:
        """Return when nothing is under way any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _keep(self, task: Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- In groups

    def _start(self, *lanes: Hashable) -> None:
        for lane in lanes:
            if lane not in self._groups:
                self._groups[lane] = self._loop.create_task(self._commit_groups(lane))
                self._keep(self._groups[lane])

    def _start_waiting(self) -> None:
        self._start(*{one.slot.lane for one in self._waiting})

    async def _commit_groups(self, lane: Hashable) -> None:
        own = asyncio.current_task()
        # Not chosen before this runs: all that came in at the same moment go together.
        while self._groups.get(lane) is own and (group := self._next_group(lane)):
            await self._commit_in_time(lane, group)
        if self._groups.get(lane) is own:
            del self._groups[lane]

    async def _commit_in_time(self, lane: Hashable, group: Sequence[Waiting[S, A]]) -> None:
        streams = frozenset[Hashable]().union(*(one.slot.streams for one in group))
        self._streams |= streams
        late = self._loop.call_later(self._timeout_seconds, self._give_up, lane, group, streams)
        try:
            await self._commit_group(group)
        finally:
            late.cancel()
            self._streams -= streams
            self._stuck.discard(streams)
            self._start_waiting()  # another lane may have waited for one of these streams

    def _next_group(self, lane: Hashable) -> list[Waiting[S, A]]:
        """Those of a lane who have waited longest, without the streams of other groups.

        All others keep their places. Nobody overtakes in a stream: where one is passed over, whoever comes behind it
        with one of its streams is too.
        """
        group: list[Waiting[S, A]] = []
        weight, passed_over, occupied = 0, [], set(self._streams)
        while self._waiting and weight < MAX_IN_A_GROUP:
            one = self._waiting.popleft()
            if one.slot.lane != lane or not one.slot.streams.isdisjoint(occupied):
                passed_over.append(one)
                occupied |= one.slot.streams
            else:
                group.append(one)
                weight += one.slot.weight
        self._waiting.extendleft(reversed(passed_over))
        return group

    async def _commit_group(self, group: Sequence[Waiting[S, A]]) -> None:
        try:
            answers = await self._commit([one.submission for one in group], False)
        except Exception as error:
            # Where the database is away, asking once more for each would only be late.
            if isinstance(error, DATABASE_UNAVAILABLE) and not isinstance(error, BLOCKED):
                answers = [error] * len(group)
            else:
                log.info("group_taken_apart", failure=type(error).__name__, submissions=len(group))
                for one in group:
                    self._set_apart(one)
                return
        for one, answer in zip(group, answers, strict=True):
            _resolve(one, answer)

    # --- Groups that do not come to an end

    def _give_up(self, lane: Hashable, group: Sequence[Waiting[S, A]], streams: frozenset[Hashable]) -> None:
        """Let nobody wait any longer for such a group; others of its lane go on beside it."""
        self._mark_stuck(lane, streams)
        self._refuse_stuck(group)
        self._start_waiting()

    def _mark_stuck(self, lane: Hashable, streams: frozenset[Hashable]) -> None:
        """Free the lane, but not the streams: until the group ends, nobody knows what it does to them."""
        del self._groups[lane]
        self._stuck.add(streams)

    def _refuse_stuck(self, group: Sequence[Waiting[S, A]]) -> None:
        """Answer the group, and all who wait for its streams."""
        for one in (*group, *(one for one in self._waiting if self._is_stuck(one.slot.streams))):
            _resolve(one, Overloaded())
        self._waiting = deque(one for one in self._waiting if not one.answer.done())

    def _is_stuck(self, streams: frozenset[Hashable]) -> bool:
        return len(self._stuck) >= MAX_STUCK or any(not streams.isdisjoint(stuck) for stuck in self._stuck)

    # --- One by one

    def _set_apart(self, one: Waiting[S, A]) -> None:
        """Commit it alone, behind whatever has its blocking key."""
        key = one.slot.blocking_key
        if key in self._blocked:
            self._blocked[key].append(one)
            return
        self._blocked[key] = deque([one])
        self._keep(self._loop.create_task(self._commit_one_by_one(key)))

    async def _commit_one_by_one(self, key: Hashable) -> None:
        queue = self._blocked[key]
        while queue:
            one = queue.popleft()
            answer = await self._commit_alone(one)
            if isinstance(answer, BLOCKED):
                # Those behind it would wait as long for the same locks, one after the other.
                while queue:
                    _resolve(queue.popleft(), answer)
            _resolve(one, answer)
            if len(queue) > REJOIN_ABOVE and not isinstance(answer, Exception):
                break  # nothing blocks it any more, and together they are faster
        del self._blocked[key]
        self._waiting.extend(queue)
        self._start(*{one.slot.lane for one in queue})

    async def _commit_alone(self, one: Waiting[S, A]) -> A | Exception:
        try:
            (answer,) = await self._commit([one.submission], True)
        except Exception as error:
            answer = error
        return answer


def _resolve(one: Waiting[S, A], answer: A | Exception) -> None:
    if one.answer.done():
        return  # nobody waits for it any more
    if isinstance(answer, Exception):
        one.answer.set_exception(answer)
    else:
        one.answer.set_result(answer)
