"""Groups form by themselves while one commits, and one of a group cannot harm the others."""

import asyncio
from collections.abc import Callable, Sequence

import asyncpg
import pytest

from service.database.group_commit import GroupCommit, Slot
from service.errors import Overloaded


class Committing:
    """Commits numbers when it is let; odd ones can be made to break, or to be blocked until they are released."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.may_go_on = asyncio.Event()
        self.breaks: type[Exception] | None = None
        self.released = asyncio.Event()
        self.blocked_for_ever = False
        self._begun: asyncio.Queue[list[int]] = asyncio.Queue()

    async def __call__(self, submissions: Sequence[int], wait_for_locks: bool) -> Sequence[str | Exception]:
        self.groups.append(list(submissions))
        self._begun.put_nowait(list(submissions))
        await self.may_go_on.wait()
        if any(n % 2 for n in submissions):
            if wait_for_locks:
                await self.released.wait()
                if self.blocked_for_ever and self.breaks:
                    raise self.breaks
            elif self.breaks:
                raise self.breaks
        return [f"{n}" if n < 100 else LookupError() for n in submissions]

    async def next_group(self) -> list[int]:
        """The next one that is begun: what was submitted before it has come to wait, or is in it."""
        async with asyncio.timeout(10):
            return await self._begun.get()


@pytest.fixture
def committing() -> Committing:
    return Committing()


def in_one_stream(n: int) -> Slot:
    """Only 50 is heavy."""
    return Slot(lane=None, streams=frozenset({"one"}), blocking_key=n, weight=100 if n == 50 else 1)


def in_six_streams(lane: Callable[[int], bool] = lambda n: True) -> Callable[[int], Slot]:
    """Numbers that leave the same remainder have a stream in common."""
    return lambda n: Slot(lane=lane(n), streams=frozenset({n % 6}), blocking_key=n)


def grouped(
    committing: Committing, slot_of: Callable[[int], Slot] = in_one_stream, max_waiting: int = 1000
) -> GroupCommit[int, str]:
    return GroupCommit[int, str](committing, slot_of, max_waiting)


def impatient(committing: Committing, slot_of: Callable[[int], Slot]) -> GroupCommit[int, str]:
    """Gives a group up almost at once."""
    return GroupCommit[int, str](committing, slot_of, timeout_seconds=0.05)


def begin(group: GroupCommit[int, str], *numbers: int) -> list[asyncio.Task[str]]:
    """Submit them in this order, as soon as the test waits for something."""
    return [asyncio.create_task(group.submit(n)) for n in numbers]


async def test_what_waits_while_one_commits_goes_together(committing: Committing) -> None:
    group = grouped(committing)
    tasks = begin(group, 2)
    assert await committing.next_group() == [2]
    tasks += begin(group, 4, 6, 8)
    committing.may_go_on.set()
    assert await asyncio.gather(*tasks) == ["2", "4", "6", "8"]
    assert committing.groups == [[2], [4, 6, 8]]


async def test_two_lanes_are_under_way_at_once_but_no_stream_is_in_both(committing: Committing) -> None:
    group = grouped(committing, in_six_streams(lane=lambda n: n == 0))
    tasks = begin(group, 0)
    assert await committing.next_group() == [0]
    tasks += begin(group, 6, 2, 4)
    assert await committing.next_group() == [2, 4]
    committing.may_go_on.set()
    assert await asyncio.gather(*tasks) == ["0", "6", "2", "4"]
    assert committing.groups[2:] == [[6]]


async def test_no_group_grows_without_bounds(committing: Committing) -> None:
    committing.may_go_on.set()
    tasks = begin(grouped(committing), *range(0, 400, 2))
    await asyncio.gather(*tasks, return_exceptions=True)
    assert max(map(len, committing.groups)) == 128


async def test_what_is_heavy_fills_a_group_sooner(committing: Committing) -> None:
    committing.may_go_on.set()
    group = grouped(committing)
    await asyncio.gather(*begin(group, 50, 50, 50, 2, 4))
    assert committing.groups == [[50, 50], [50, 2, 4]]


async def test_what_has_to_be_alone_is_committed_so_and_at_once(committing: Committing) -> None:
    group = grouped(committing, lambda n: Slot(lane=None, streams=frozenset({0}), blocking_key=n, alone=n > 10))
    tasks = begin(group, 2, 12, 14, 4)
    committing.may_go_on.set()
    assert await asyncio.gather(*tasks) == ["2", "12", "14", "4"]
    assert sorted(committing.groups) == [[2, 4], [12], [14]]


async def test_a_group_is_of_one_lane_and_nobody_overtakes_in_a_stream(committing: Committing) -> None:
    group = grouped(committing, in_six_streams(lane=lambda n: n > 10))
    tasks = begin(group, 0, 2, 12, 6, 8, 14, 4)
    committing.may_go_on.set()
    assert await asyncio.gather(*tasks) == ["0", "2", "12", "6", "8", "14", "4"]
    assert committing.groups == [[0, 2, 8, 4], [12, 14], [6]]


async def test_each_has_an_answer_of_its_own(committing: Committing) -> None:
    committing.may_go_on.set()
    tasks = begin(grouped(committing), 2, 100, 4)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(answers[0]), type(answers[1]), str(answers[2])] == ["2", LookupError, "4"]


@pytest.mark.parametrize("failure", [ValueError, asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError])
async def test_what_breaks_a_group_holds_up_itself_alone(committing: Committing, failure: type[Exception]) -> None:
    committing.breaks = failure
    committing.may_go_on.set()
    group = grouped(committing)
    broken, *others = begin(group, 3, 2, 4)
    assert await asyncio.gather(*others) == ["2", "4"]
    (later,) = begin(group, 6)
    assert await later == "6"
    assert not broken.done()
    committing.released.set()
    assert await broken == "3"


async def blocked(committing: Committing, group: GroupCommit[int, str]) -> list[asyncio.Task[str]]:
    """One that failed in its group, and now waits for a lock alone."""
    committing.breaks = asyncpg.LockNotAvailableError
    committing.may_go_on.set()
    task = begin(group, 3)
    assert [await committing.next_group(), await committing.next_group()] == [[3], [3]]
    return task


async def test_what_may_be_blocked_too_queues_behind_it(committing: Committing) -> None:
    group = grouped(committing)
    tasks = await blocked(committing, group)
    tasks += begin(group, 3, 3)
    committing.released.set()
    assert await asyncio.gather(*tasks) == ["3", "3", "3"]
    assert committing.groups == [[3], [3], [3], [3]]


async def test_what_is_not_blocked_any_more_goes_together_again(committing: Committing) -> None:
    group = grouped(committing)
    tasks = await blocked(committing, group)
    tasks += begin(group, *[3] * 6)
    committing.breaks = None
    committing.released.set()
    assert await asyncio.gather(*tasks) == ["3"] * 7
    assert [len(one) for one in committing.groups] == [1, 1, 6]


async def test_where_the_database_is_away_everybody_hears_it_at_once(committing: Committing) -> None:
    committing.breaks = ConnectionResetError
    committing.may_go_on.set()
    answers = await asyncio.gather(*begin(grouped(committing), 3, 2), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionResetError] * 2
    assert committing.groups == [[3, 2]]


async def test_who_hangs_up_is_recorded_all_the_same(committing: Committing) -> None:
    gone, stays = begin(grouped(committing), 2, 4)
    assert await committing.next_group() == [2, 4]
    gone.cancel()
    committing.may_go_on.set()
    assert await stays == "4"
    assert committing.groups == [[2, 4]]


async def test_who_comes_when_too_many_wait_is_refused_at_once(committing: Committing) -> None:
    group = grouped(committing, max_waiting=2)
    tasks = begin(group, 2)
    await committing.next_group()
    *more, too_many = begin(group, 4, 6, 8)
    with pytest.raises(Overloaded):
        await too_many
    assert group.length == 2
    committing.may_go_on.set()
    assert await asyncio.gather(*tasks, *more) == ["2", "4", "6"]


async def test_closing_waits_for_what_was_submitted(committing: Committing) -> None:
    group = grouped(committing)
    tasks = begin(group, 2, 3)
    await committing.next_group()
    committing.may_go_on.set()
    committing.released.set()
    await group.close()
    assert all(task.done() for task in tasks)


async def test_nobody_waits_for_a_group_that_does_not_end(committing: Committing) -> None:
    group = impatient(committing, in_one_stream)
    tasks = begin(group, 2)
    await committing.next_group()
    tasks += begin(group, 4, 6)
    for answer in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(answer, Overloaded)
    with pytest.raises(Overloaded):
        await group.submit(8)
    committing.may_go_on.set()
    await group.close()
    assert await group.submit(10) == "10"
    assert committing.groups == [[2], [10]]


async def refused(*tasks: asyncio.Task[str]) -> bool:
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    return all(isinstance(answer, Overloaded) for answer in answers)


async def test_a_group_that_does_not_end_blocks_its_streams_and_a_second_one_everybody(committing: Committing) -> None:
    group = impatient(committing, in_six_streams())
    stuck = begin(group, 2)
    await committing.next_group()
    behind, beside = begin(group, 8, 4)
    assert await refused(*stuck, behind)
    assert await committing.next_group() == [4]
    assert await refused(beside)
    with pytest.raises(Overloaded):
        await group.submit(6)
    committing.may_go_on.set()
    await group.close()
    assert await asyncio.gather(*begin(group, 6, 8)) == ["6", "8"]


async def test_who_waits_behind_what_is_blocked_shares_its_fate(committing: Committing) -> None:
    group = grouped(committing, lambda n: Slot(lane=None, streams=frozenset({0}), blocking_key=n % 2))
    committing.may_go_on.set()
    committing.released.set()
    committing.breaks, committing.blocked_for_ever = asyncpg.LockNotAvailableError, True
    answers = await asyncio.gather(*begin(group, 1, 3, 5), return_exceptions=True)
    assert {type(one) for one in answers} == {asyncpg.LockNotAvailableError}
    assert committing.groups == [[1, 3, 5], [1]]
