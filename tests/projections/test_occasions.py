"""Occasions: a day and domain of one figure, for whom it names more often, after all streams were added."""

from collections import Counter
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from events.entries import WHO, Domain
from events.rules import Recorded
from projections.balances import Asked, Balances, fold
from projections.counts import Counts, Series
from projections.occasions import Figure, figure, summed, total
from projections.statistics import Occasions, WhoCounts
from tests.support.counting import seen
from tests.support.given import NOW, ask, check_in, mine, partners, retract, settle

TODAY = NOW.date()
NOTHING = Occasions(0, 0)
IDS = [UUID(int=100 + i) for i in range(40)]


def balances(counts: Counts, domain: Domain | None = None, window: int = 28) -> Balances:
    return fold(counts, Asked(TODAY, window, domain))


def at(days_ago: int) -> Any:
    return NOW - timedelta(days=days_ago)


def initiated(*who: Any, by: Any = mine, days_ago: int = 0, domain: Domain = "money", ids: int = 0) -> list[Recorded]:
    """Check-ins of one evening, private where they are mine."""
    said = [check_in(occurred_at=at(days_ago), domain=domain, initiated_by=one) for one in who]
    return [by(IDS[ids + i], one, "private" if by is mine else "shared") for i, one in enumerate(said)]


# The examples of the contract


def test_a_request_and_my_check_in_about_it_ask_once_and_initiate_nothing() -> None:
    asked = mine(IDS[0], ask(domain="intimacy"))
    told = balances(seen(asked, mine(IDS[1], check_in(about=IDS[0], domain="intimacy", initiated_by="me"), "private")))
    assert (told.asks.occasions, told.mine.initiates.counts) == (Occasions(1, 0), WhoCounts(0, 0, 0, 0))


def test_me_me_and_partner_on_one_evening_are_one_occasion_of_mine() -> None:
    told = balances(seen(*initiated("me", "me", "partner")))
    assert (told.mine.initiates.counts, told.mine.initiates.occasions) == (WhoCounts(2, 1, 0, 0), Occasions(1, 0))


def test_one_each_on_a_day_is_none() -> None:
    told = balances(seen(*initiated("me", "partner", domain="chores")))
    assert (told.mine.initiates.counts, told.mine.initiates.occasions) == (WhoCounts(1, 1, 0, 0), NOTHING)


def test_two_domains_on_one_day_are_two_over_all_and_one_in_each() -> None:
    counts = seen(*initiated("me"), *initiated("me", domain="time", ids=1))
    assert balances(counts).mine.initiates.occasions == Occasions(2, 0)
    domains: list[Domain] = ["money", "time"]
    for domain in domains:
        assert balances(counts, domain).mine.initiates.occasions == Occasions(1, 0)


def test_requests_of_one_minute_are_one_occasion() -> None:
    asked = [mine(IDS[i], ask()) for i in range(18)] + [partners(IDS[18 + i], ask()) for i in range(2)]
    told = balances(seen(*asked)).asks
    assert (told.counts, told.occasions) == (WhoCounts(18, 2, 0, 0), Occasions(1, 0))
    assert (told.n, told.share, told.low, told.reading) == (1, None, None, "too_few")


# After all streams were added


def test_what_i_share_and_what_i_keep_are_one_occasion_together() -> None:
    shared = [mine(IDS[10 + i], check_in(domain="money", initiated_by="partner")) for i in range(2)]
    assert balances(seen(*initiated("me"), *shared)).mine.initiates.occasions == Occasions(0, 1)
    assert balances(seen(*initiated("me", "me"), *shared)).mine.initiates.occasions == NOTHING


def test_decisions_of_all_sizes_and_check_ins_are_one_occasion_together() -> None:
    sizes: list[Any] = ["small", "big", None]
    told = [mine(IDS[i], settle(domain="money", decided_by="me", size=size)) for i, size in enumerate(sizes)]
    told += [mine(IDS[5], check_in(domain="money", decided_by="me"))]
    assert balances(seen(*told)).mine.decides.occasions == Occasions(1, 0)
    against = [mine(IDS[6 + i], check_in(domain="money", decided_by="partner")) for i in range(4)]
    assert balances(seen(*told, *against)).mine.decides.occasions == NOTHING


def test_both_and_neither_are_no_occasion_of_anybody() -> None:
    told = balances(seen(*initiated("both", "both", "neither"))).mine.initiates
    assert (told.counts, told.occasions, told.reading) == (WhoCounts(0, 0, 2, 1), NOTHING, "too_few")


def test_the_partners_telling_is_turned_before_it_is_compared() -> None:
    told = balances(seen(*initiated("me", "me", "partner", by=partners)))
    assert told.mine.initiates.counts == WhoCounts(0, 0, 0, 0)
    assert (told.partners.initiates.counts, told.partners.initiates.occasions) == (
        WhoCounts(1, 2, 0, 0),
        Occasions(0, 1),
    )


def test_what_was_taken_back_is_part_of_no_occasion() -> None:
    told = initiated("me", "partner", "partner")
    back = [mine(IDS[20 + i], retract(one.event_id), "private") for i, one in enumerate(told[1:])]
    assert balances(seen(*told, *back[:1])).mine.initiates.occasions == NOTHING
    assert balances(seen(*told, *back)).mine.initiates.occasions == Occasions(1, 0)


def test_an_answer_after_midnight_belongs_to_the_evening_before() -> None:
    evening = initiated("partner", days_ago=1)
    after = [check_in(occurred_at=NOW, day=TODAY - timedelta(days=1), domain="money", initiated_by="me")] * 2
    told = [mine(IDS[10 + i], one, "private") for i, one in enumerate(after)]
    assert balances(seen(*evening, *told)).mine.initiates.occasions == Occasions(1, 0)


# Any counts

days = st.integers(1, 12)
some = st.lists(
    st.builds(
        lambda d, v, day, n: Series(d, v, [day], [n]),
        st.sampled_from(["home", "money"]),
        st.sampled_from(WHO),
        days,
        st.integers(1, 3),
    ),
    max_size=12,
)


def told_again(series: list[Series], domain: Domain | None, first: int, last: int) -> tuple[Counter[str], int, int]:
    """Counts and occasions, told a second time: cell by cell."""
    counts: Counter[str] = Counter()
    cells: dict[tuple[int, str], Counter[str]] = {}
    for one in series:
        (day,), (count,) = one.days, one.counts
        if first <= day <= last and domain in (None, one.domain):
            counts[one.value] += count
            cells.setdefault((day, one.domain), Counter())[one.value] += count
    me = sum(cell["me"] > cell["partner"] for cell in cells.values())
    return counts, me, sum(cell["me"] < cell["partner"] for cell in cells.values())


@for_any(some, st.sampled_from([None, "home", "money"]), days, days)
def test_each_cell_is_for_whom_it_names_more_often(series: list[Series], domain: Any, one: int, two: int) -> None:
    first, last = sorted((one, two))
    found = figure(series, domain, first, last)
    counts = Counter({value: total(days) for value, days in found.values.items()})
    assert (+counts, total(found.me), total(found.partner)) == told_again(series, domain, first, last)


@for_any(some, st.randoms())
def test_neither_order_nor_splitting_into_parts_matters(series: list[Series], chance: Any) -> None:
    parts = [one._replace(counts=[1]) for one in series for _ in range(one.counts[0])]
    chance.shuffle(parts)
    assert figure(parts, None, 1, 12) == figure(series, None, 1, 12)


@for_any(some, st.sampled_from([None, "home"]))
def test_added_up_each_window_is_one_subtraction(series: list[Series], domain: Any) -> None:
    sums = summed(figure(series, domain, 1, 12), 1, 12)
    for first in range(1, 13):
        for last in range(first, 13):
            alone = figure(series, domain, first, last)
            for running, days in ((sums.me, alone.me), (sums.partner, alone.partner)):
                assert running[last] - running[first - 1] == total(days)
            for value, running in sums.values.items():
                assert running[last] - running[first - 1] == total(alone.values.get(value, {}))


@for_any(some)
def test_turned_round_all_is_turned(series: list[Series]) -> None:
    turned = {"me": "partner", "partner": "me", "both": "both", "neither": "neither"}
    found = figure(series, None, 1, 12)
    other = figure([one._replace(value=turned[one.value]) for one in series], None, 1, 12)
    assert other == Figure({turned[value]: days for value, days in found.values.items()}, found.partner, found.me)


@pytest.mark.parametrize("day", [date.min.toordinal(), date.max.toordinal()])
def test_at_the_ends_of_the_calendar_too(day: int) -> None:
    assert figure([Series("home", "me", [day], [1])], None, day, day).me == {day: 1}
