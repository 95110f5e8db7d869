"""A "no" costs nothing: what is answered to a request, and whether it is told, changes no balance of anybody."""

from hypothesis import given

from tests.properties.histories import PROFILE, History, answered_in_two_ways, one_by_one
from tests.properties.playing import Place, looks, play


@PROFILE
@given(answered_in_two_ways())
async def test_other_answers_and_hidden_ones_change_no_balance(home: Place, told: tuple[History, History]) -> None:
    one, other = await home.couple(), await home.couple()
    await play(one, one_by_one(told[0]))
    await play(other, one_by_one(told[1]))
    assert await home.tallies(other) == await home.tallies(one)
    for mine, anew in zip(one, other, strict=True):
        assert await looks(anew) == await looks(mine)
