"""91 couples who answered the same question on one day, both of them shared: how far do the two tellings agree?"""

from uuid import uuid4

from tests.replays.tables import sexual_fun
from tests.support.couples import Couple, another_couple, two_members
from tests.support.phones import Json, Running

ANSWERS = ["never_or_occasionally", "fairly_often", "very_often", "almost_always"]
PATH = "/v1/relationships/{rid}/perspectives"


def answers() -> list[tuple[int, int]]:
    """For each couple the husband's and the wife's answer, 1 to 4."""
    return [
        (ANSWERS.index(row["husband"]) + 1, ANSWERS.index(row["wife"]) + 1)
        for row in sexual_fun()
        for _ in range(int(row["couples"]))
    ]


async def checked_in(members: Couple, husbands: int, wifes: int) -> Couple:
    """A couple whose two check-ins of one evening are shared."""
    husband, wife = await another_couple(*members)
    for who, answer in ((husband, husbands), (wife, wifes)):
        felt = {"occurred_at": "2026-06-14T22:30:00+02:00", "felt": {"enjoyed": answer}, "audience": "shared"}
        await who.put("check-ins", felt, uuid4())
    return husband, wife


def summed(tables: list[list[list[int]]]) -> list[list[int]]:
    return [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*tables, strict=True)]


def transposed(table: list[list[int]]) -> list[list[int]]:
    return [list(column) for column in zip(*table, strict=True)]


def published() -> list[list[int]]:
    """The table, husband by wife, in the corner of the seven answers that the service knows."""
    table = [[0] * 7 for _ in range(7)]
    for row in sexual_fun():
        table[ANSWERS.index(row["husband"])][ANSWERS.index(row["wife"])] = int(row["couples"])
    return table


def assert_one_pair(found: Json) -> None:
    # A single pair is far below the gate: that it happens to agree says nothing.
    assert (found["measure"], found["item"], found["values"]) == ("felt", "enjoyed", [1, 2, 3, 4, 5, 6, 7])
    assert (found["n"], found["agree"]) == (1, None)


async def test_91_couples_give_the_published_table(service: Running) -> None:
    members = await two_members(service)
    couples = [await checked_in(members, *pair) for pair in answers()]
    husbands = [await husband.get(PATH, measure="felt", item="enjoyed") for husband, _ in couples]
    wifes = [await wife.get(PATH, measure="felt", item="enjoyed") for _, wife in couples]
    for found in husbands + wifes:
        assert_one_pair(found)

    table = summed([found["table"] for found in husbands])
    assert table == published()
    assert transposed(summed([found["table"] for found in wifes])) == table
    diagonal = [table[i][i] for i in range(7)]
    assert (sum(map(sum, table)), diagonal) == (91, [7, 8, 4, 14, 0, 0, 0])
    assert round(sum(diagonal) / 91, 6) == 0.362637


async def test_one_couple_of_91_days_agrees_as_the_91_couples_do(service: Running) -> None:
    husband, wife = await service.couple()
    days = [f"2026-{month:02}-{day:02}" for month in (1, 2, 3, 4) for day in range(1, 24)][:91]
    for who, side in ((husband, 0), (wife, 1)):
        entries = [felt_on(day, pair[side]) for day, pair in zip(days, answers(), strict=True)]
        await who.expect(200, "POST", "/v1/relationships/{rid}/sync", {"entries": entries})
    found = await husband.get(PATH, measure="felt", item="enjoyed")
    assert found["table"] == published()
    assert (found["n"], round(found["agree"], 6)) == (91, 0.362637)
    near = sum(count for i, row in enumerate(published()) for j, count in enumerate(row) if abs(i - j) <= 1)
    assert found["near"] == near / 91
    assert found["low"] < found["agree"] < found["high"] < found["near"]


def felt_on(day: str, answer: int) -> Json:
    felt = {"occurred_at": f"{day}T22:30:00+01:00", "felt": {"enjoyed": answer}, "audience": "shared"}
    return {"id": str(uuid4()), "kind": "check_in", "check_in": felt}
