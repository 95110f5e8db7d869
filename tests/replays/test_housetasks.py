"""1,744 household tasks, recorded over HTTP as decisions in the wife's telling: an answer a day, a window a task.

On a day of its own each answer is an occasion, so that n is what the table has.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import date, timedelta
from uuid import uuid4

import pytest

from tests.replays.tables import house_tasks
from tests.support.couples import Couple
from tests.support.phones import Json, Phone, running
from tests.support.postgres import fresh_database

WHO = {"Wife": "me", "Husband": "partner", "Jointly": "both", "Alternating": "neither"}
LAST_DAY, WINDOW = date(2026, 6, 14), 365
SENT_ONE_BY_ONE = "Finances"

# The Jeffreys limits of each row were computed with another implementation of the beta quantile.
PUBLISHED = [
    ("Breakfast", 82, 97, 0.845361, 0.763743, 0.906744, "leans_to_me"),
    ("Dinner", 77, 84, 0.916667, 0.843358, 0.961949, "leans_to_me"),
    ("Dishes", 32, 36, 0.888889, 0.757127, 0.961313, "leans_to_me"),
    ("Driving", 10, 85, 0.117647, 0.062120, 0.198645, "leans_to_partner"),
    ("Finances", 13, 34, 0.382353, 0.233995, 0.549810, "unclear"),
    ("Holidays", 0, 6, None, None, None, "too_few"),
    ("Insurance", 8, 61, 0.131148, 0.064006, 0.232255, "leans_to_partner"),
    ("Laundry", 156, 158, 0.987342, 0.960017, 0.997361, "leans_to_me"),
    ("Main_meal", 124, 129, 0.961240, 0.917147, 0.985059, "leans_to_me"),
    ("Official", 12, 35, 0.342857, 0.202955, 0.507568, "unclear"),
    ("Repairs", 0, 160, 0.0, 0.0, 0.015553, "leans_to_partner"),
    ("Shopping", 33, 42, 0.785714, 0.645278, 0.888333, "leans_to_me"),
    ("Tidying", 53, 54, 0.981481, 0.916708, 0.997995, "leans_to_me"),
]
TASKS = [row[0] for row in PUBLISHED]


@pytest.fixture(scope="module")
def couples_database(postgres_url: str) -> Iterator[str]:
    with fresh_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
async def couple(couples_database: str) -> AsyncIterator[Couple]:
    """The wife, who has told everything, and the husband."""
    async with running(couples_database) as service:
        wife, husband = await service.couple()
        decisions = {row["task"]: decisions_of(row) for row in house_tasks()}
        for decision in decisions.pop(SENT_ONE_BY_ONE):
            await wife.put("decisions", decision)
        queue = [decision for task in decisions.values() for decision in task]
        for sent in (queue[i : i + 500] for i in range(0, len(queue), 500)):
            entries = [{"id": str(uuid4()), "kind": "decision", "decision": decision} for decision in sent]
            answer = await wife.expect(200, "POST", "/v1/relationships/{rid}/sync", {"entries": entries})
            assert {result["status"] for result in answer["results"]} == {"recorded"}
        yield wife, husband


def last_day_of(task: str) -> date:
    """The last day of the window that the task has to itself."""
    return LAST_DAY - timedelta(days=WINDOW * (len(TASKS) - 1 - TASKS.index(task)))


def decisions_of(row: dict[str, str]) -> list[Json]:
    """The answers of one task, each on a day of its own."""
    told = [who for column, who in WHO.items() for _ in range(int(row[column]))]
    days = [last_day_of(row["task"]) - timedelta(days=i) for i in range(len(told))]
    return [
        {"occurred_at": f"{day}T20:15:00+02:00", "domain": "chores", "decided_by": who, "audience": "shared"}
        for day, who in zip(days, told, strict=True)
    ]


def rounded(split: Json) -> tuple[float | None, ...]:
    return tuple(None if split[name] is None else round(split[name], 6) for name in ("share", "low", "high"))


async def decides_in(phone: Phone, task: str, **narrowed: str) -> tuple[Json, Json]:
    """Who decides in the window of a task, in both tellings."""
    told = await phone.get("/v1/relationships/{rid}/balances", on=last_day_of(task), window=WINDOW, **narrowed)
    return told["mine"]["decides"], told["partners"]["decides"]


async def test_nothing_is_lost_and_nothing_is_counted_twice(couple: Couple) -> None:
    told = [(await decides_in(couple[0], task))[0] for task in TASKS]
    assert sum(count for split in told for count in split["counts"].values()) == 1744
    assert all((one["counts"]["me"], one["counts"]["partner"]) == (*one["occasions"].values(),) for one in told)
    assert len(await couple[0].events()) == 1744 + 1


@pytest.mark.parametrize(("task", "me", "n", "share", "low", "high", "reading"), PUBLISHED, ids=TASKS)
async def test_each_task_reads_as_published(
    couple: Couple, task: str, me: int, n: int, share: float, low: float, high: float, reading: str
) -> None:
    decides, _ = await decides_in(couple[0], task)
    assert (decides["occasions"]["me"], decides["n"], decides["reading"]) == (me, n, reading)
    assert rounded(decides) == (share, low, high)


async def test_in_one_domain_a_lean_needs_more_which_one_task_has_not(couple: Couple) -> None:
    found = {task: (await decides_in(couple[0], task, domain="chores"))[0]["reading"] for task in TASKS}
    published = {row[0]: row[-1] for row in PUBLISHED}
    assert {task for task in TASKS if found[task] != published[task]} == {"Shopping"}
    assert found["Shopping"] == "unclear"


async def test_what_both_do_and_who_alternates_is_shown_and_never_split(couple: Couple) -> None:
    for row in house_tasks():
        counts = (await decides_in(couple[0], row["task"]))[0]["counts"]
        assert (counts["both"], counts["neither"]) == (int(row["Jointly"]), int(row["Alternating"]))


async def test_the_trend_shows_the_same_windows(couple: Couple) -> None:
    for task in TASKS:
        day = last_day_of(task)
        which = {"measure": "decides", "window": WINDOW, "from_": day, "to": day}
        (point,) = (await couple[0].get("/v1/relationships/{rid}/trends", **which))["mine"]
        band = (point.pop("wide_low"), point.pop("wide_high"))
        assert point == {"on": day.isoformat(), **(await decides_in(couple[0], task))[0]}
        assert (band == (None, None)) == (task == "Holidays")


async def test_the_husband_reads_the_same_windows_from_his_side(couple: Couple) -> None:
    mine, decides = await decides_in(couple[1], "Laundry")
    assert (decides["occasions"], decides["reading"]) == ({"me": 2, "partner": 156}, "leans_to_partner")
    assert rounded(decides) == (round(2 / 158, 6), round(1 - 0.997361, 6), round(1 - 0.960017, 6))
    assert mine["n"] == 0
