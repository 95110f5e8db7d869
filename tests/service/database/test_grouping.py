"""Groups form by themselves while one commits, and one of a group cannot harm the others."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from service.database import group_commit
from service.database.group_commit import GroupCommit
from service.errors import Overloaded


class Committing:
    """Commits numbers when it is let; odd ones can be made to break, or to be held up."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.may_go_on = asyncio.Event()
        self.breaks: type[Exception] | None = None
        self.held = asyncio.Event()
        self.held_up_for_ever = False

    async def __call__(self, submissions: Sequence[int], patient: bool) -> Sequence[str | Exception]:
        self.groups.append(list(submissions))
        await self.may_go_on.wait()
        if any(n % 2 for n in submissions):
            if patient:
                await self.held.wait()
                if self.held_up_for_ever and self.breaks:
                    raise self.breaks
            elif self.breaks:
                raise self.breaks
        return [f"{n}" if n < 100 else LookupError() for n in submissions]


@pytest.fixture
def committing() -> Committing:
    return Committing()


def weight(n: int) -> int:
    """Only 50 is heavy."""
    return 100 if n == 50 else 1


def grouped(committing: Committing, most_waiting: int = 1000) -> GroupCommit[int, str]:
    return GroupCommit[int, str](committing, lambda n: n, lambda _: ["one room"], weight, most_waiting)


async def begin(group: GroupCommit[int, str], *numbers: int) -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(group.submit(n)) for n in numbers]
    await asyncio.sleep(0)
    return tasks


async def test_what_waits_while_one_commits_goes_together(committing: Committing) -> None:
    group = grouped(committing)
    tasks = await begin(group, 2)
    tasks += await begin(group, 4, 6, 8)
    committing.may_go_on.set()
    assert await asyncio.gather(*tasks) == ["2", "4", "6", "8"]
    assert committing.groups == [[2], [4, 6, 8]]


async def test_two_kinds_are_under_way_at_once_but_no_room_is_in_both(committing: Committing) -> None:
    group = GroupCommit[int, str](committing, key=lambda n: n, rooms=lambda n: [n % 6], kind=lambda n: n == 0)
    tasks = await begin(group, 0)
    await asyncio.sleep(0)
    tasks += await begin(group, 6, 2, 4)
    await asyncio.sleep(0)
    assert committing.groups == [[0], [2, 4]]
    committing.may_go_on.set()
    assert await asyncio.gather(*tasks) == ["0", "6", "2", "4"]
    assert committing.groups[2:] == [[6]]


async def test_no_group_grows_without_bounds(committing: Committing) -> None:
    committing.may_go_on.set()
    tasks = await begin(grouped(committing), *range(0, 400, 2))
    await asyncio.gather(*tasks, return_exceptions=True)
    assert max(map(len, committing.groups)) == 128


async def test_what_is_heavy_fills_a_group_sooner(committing: Committing) -> None:
    committing.may_go_on.set()
    group = grouped(committing)
    await asyncio.gather(*await begin(group, 50, 50, 50, 2, 4))
    assert committing.groups == [[50, 50], [50, 2, 4]]


async def test_what_is_apart_is_committed_alone_and_at_once(committing: Committing) -> None:
    group = GroupCommit[int, str](committing, lambda n: n, lambda _: [0], apart=lambda n: n > 10)
    tasks = await begin(group, 2, 12, 14, 4)
    committing.may_go_on.set()
    assert await asyncio.gather(*tasks) == ["2", "12", "14", "4"]
    assert sorted(committing.groups) == [[2, 4], [12], [14]]


async def test_a_group_is_of_one_kind_and_nobody_overtakes_in_a_room(committing: Committing) -> None:
    group = GroupCommit[int, str](committing, lambda n: n, rooms=lambda n: [n % 6], kind=lambda n: n > 10)
    tasks = await begin(group, 0, 2, 12, 6, 8, 14, 4)
    committing.may_go_on.set()
    assert await asyncio.gather(*tasks) == ["0", "2", "12", "6", "8", "14", "4"]
    assert committing.groups == [[0, 2, 8, 4], [12, 14], [6]]


async def test_each_has_an_answer_of_its_own(committing: Committing) -> None:
    committing.may_go_on.set()
    tasks = await begin(grouped(committing), 2, 100, 4)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(answers[0]), type(answers[1]), str(answers[2])] == ["2", LookupError, "4"]


@pytest.mark.parametrize("failure", [ValueError, asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError])
async def test_what_breaks_a_group_holds_up_itself_alone(committing: Committing, failure: type[Exception]) -> None:
    committing.breaks = failure
    committing.may_go_on.set()
    group = grouped(committing)
    broken, *others = await begin(group, 3, 2, 4)
    assert await asyncio.gather(*others) == ["2", "4"]
    (later,) = await begin(group, 6)
    assert await later == "6"
    assert not broken.done()
    committing.held.set()
    assert await broken == "3"


async def test_what_might_be_held_up_too_queues_behind_it(committing: Committing) -> None:
    committing.breaks = asyncpg.LockNotAvailableError
    committing.may_go_on.set()
    group = grouped(committing)
    held = await begin(group, 3)
    await asyncio.sleep(0.01)
    held += await begin(group, 3, 3)
    committing.held.set()
    assert await asyncio.gather(*held) == ["3", "3", "3"]
    assert committing.groups == [[3], [3], [3], [3]]


async def test_what_is_not_held_up_any_more_goes_together_again(committing: Committing) -> None:
    committing.breaks = asyncpg.LockNotAvailableError
    committing.may_go_on.set()
    group = grouped(committing)
    held = await begin(group, 3)
    await asyncio.sleep(0.01)
    held += await begin(group, *[3] * 6)
    committing.breaks = None
    committing.held.set()
    assert await asyncio.gather(*held) == ["3"] * 7
    assert [len(one) for one in committing.groups] == [1, 1, 6]


async def test_where_the_database_is_away_everybody_is_told_at_once(committing: Committing) -> None:
    committing.breaks = ConnectionResetError
    committing.may_go_on.set()
    tasks = await begin(grouped(committing), 3, 2)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionResetError] * 2
    assert committing.groups == [[3, 2]]


async def test_who_hangs_up_is_recorded_all_the_same(committing: Committing) -> None:
    group = grouped(committing)
    gone, stays = await begin(group, 2, 4)
    gone.cancel()
    committing.may_go_on.set()
    assert await stays == "4"
    assert committing.groups == [[2, 4]]


async def test_who_comes_when_too_many_wait_is_told_so_at_once(committing: Committing) -> None:
    group = grouped(committing, most_waiting=2)
    tasks = await begin(group, 2)
    tasks += await begin(group, 4, 6)
    with pytest.raises(Overloaded):
        await group.submit(8)
    committing.may_go_on.set()
    assert await asyncio.gather(*tasks) == ["2", "4", "6"]


async def test_closing_waits_for_what_was_submitted(committing: Committing) -> None:
    group = grouped(committing)
    tasks = await begin(group, 2, 3)
    committing.may_go_on.set()
    committing.held.set()
    await group.close()
    assert all(task.done() for task in tasks)


async def test_nobody_waits_for_a_group_that_does_not_end(
    committing: Committing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "GROUP_TIMEOUT_SECONDS", 0.05)
    group = grouped(committing)
    tasks = await begin(group, 2)
    tasks += await begin(group, 4, 6)
    for told in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(told, Overloaded)
    with pytest.raises(Overloaded):
        await group.submit(8)
    committing.may_go_on.set()
    await group.close()
    assert await group.submit(10) == "10"
    assert committing.groups == [[2], [10]]


async def test_a_group_that_does_not_end_holds_up_its_rooms_alone_and_a_second_one_everybody(
    committing: Committing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "GROUP_TIMEOUT_SECONDS", 0.05)
    group = GroupCommit[int, str](committing, lambda n: n, rooms=lambda n: [n % 6])
    stuck = await begin(group, 2)
    await asyncio.sleep(0.01)
    behind, beside = await begin(group, 8, 4)
    assert isinstance((await asyncio.gather(*stuck, return_exceptions=True))[0], Overloaded)
    assert isinstance((await asyncio.gather(behind, return_exceptions=True))[0], Overloaded)
    assert committing.groups == [[2], [4]]
    assert isinstance((await asyncio.gather(beside, return_exceptions=True))[0], Overloaded)
    with pytest.raises(Overloaded):
        await group.submit(6)
    committing.may_go_on.set()
    await group.close()
    assert await asyncio.gather(*await begin(group, 6, 8)) == ["6", "8"]


async def test_who_waits_behind_what_is_held_up_shares_its_fate(committing: Committing) -> None:
    group = GroupCommit[int, str](committing, lambda n: n % 2, lambda _: [0])
    committing.may_go_on.set()
    committing.held.set()
    committing.breaks, committing.held_up_for_ever = asyncpg.LockNotAvailableError, True
    tasks = await begin(group, 1, 3, 5)
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(one) for one in told} == {asyncpg.LockNotAvailableError}
    assert committing.groups == [[1, 3, 5], [1]]
