"""Any order, any repetition and any grouping of the same entries comes to the same."""

from hypothesis import given
from hypothesis import strategies as st

from tests.properties.histories import PROFILE, Call, History, histories, one_by_one, schedules
from tests.properties.playing import Place, looks, play, standings

told_twice = histories().flatmap(lambda history: st.tuples(st.just(history), schedules(history)))


@PROFILE
@given(told_twice)
async def test_order_repetition_and_batches_do_not_matter(home: Place, told: tuple[History, list[Call]]) -> None:
    history, schedule = told
    one, other = await home.couple(), await home.couple()
    await play(one, one_by_one(history))
    await play(other, schedule)
    assert await home.tallies(other) == await home.tallies(one)
    for mine, anew in zip(one, other, strict=True):
        assert await looks(anew) == await looks(mine)
        assert await standings(anew) == await standings(mine)
