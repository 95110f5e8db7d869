"""Balances, given what has happened: whose counts stand where, what narrows them, and which bar holds."""

import math
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from events.entries import WHO
from events.rules import Recorded
from projections import statistics
from projections.balances import Asked, Balances, Telling, fold
from projections.counts import Counts
from projections.statistics import Felt, Occasions, Split, WhoCounts
from tests.support.counting import seen
from tests.support.given import NOW, answer, ask, check_in, mine, partners, retract, settle

TODAY = NOW.date()
IDS = [UUID(int=100 + i) for i in range(400)]
NOBODY = WhoCounts(0, 0, 0, 0)


def balances(counts: Counts, **asked: Any) -> Balances:
    which: dict[str, Any] = {"on": TODAY, "window": 28} | asked
    return fold(counts, Asked(**which))


def ago(days: int) -> Any:
    return NOW - timedelta(days=days)


def daily(days: range, by: Any = mine, who: str = "me", **fields: Any) -> list[Recorded]:
    """A check-in on each of those days, counted back from today; shared."""
    return [by(IDS[i], check_in(occurred_at=ago(i), initiated_by=who, **fields)) for i in days]


# Whose counts stand where


def test_where_there_is_nothing_nothing_is_said() -> None:
    told = balances(Counts())
    nothing = Split(NOBODY, Occasions(0, 0), 0, None, None, None, None)
    assert told.asks == told.mine.initiates == told.partners.decides == nothing
    assert (told.mine.agreed, told.mine.felt, told.tellings.decides) == (NOBODY, {}, None)
    assert told.mine == told.partners


def test_mine_is_what_i_share_and_keep_and_partners_what_they_share() -> None:
    told = balances(
        seen(
            mine(IDS[0], settle(decided_by="me")),
            mine(IDS[1], settle(decided_by="partner"), "private"),
            partners(IDS[2], settle(decided_by="me")),
        )
    )
    assert told.mine.decides.counts == WhoCounts(1, 1, 0, 0)
    assert told.partners.decides.counts == WhoCounts(0, 1, 0, 0)


def test_requests_of_both_stand_beside_both_tellings_and_in_none() -> None:
    told = balances(seen(mine(IDS[0], ask()), mine(IDS[1], ask()), partners(IDS[2], ask())))
    assert told.asks.counts == WhoCounts(2, 1, 0, 0)
    assert told.mine == told.partners == balances(Counts()).mine


@pytest.mark.parametrize("outcome", ["yes", "not_now", "no"])
def test_no_answer_and_no_counter_offer_changes_anything(outcome: Any) -> None:
    asked = [partners(IDS[0], ask())]
    answered = [mine(IDS[1], answer(IDS[0], outcome)), mine(IDS[2], ask(in_reply_to=IDS[0]))]
    answered += [partners(IDS[3], answer(IDS[2], outcome))]
    assert balances(seen(*asked, *answered)) == balances(seen(*asked))


def test_sharing_later_leaves_mine_as_it_was() -> None:
    kept = mine(IDS[0], settle(raised_by="me", decided_by="partner", my_input="asked"), "private")
    shared = mine(IDS[0], settle(raised_by="me", decided_by="partner", my_input="asked"))
    assert (
        balances(seen(kept, shared)) == balances(seen(kept)) == balances(seen(shared)) == balances(seen(shared, kept))
    )
    assert balances(seen(kept, shared, mine(IDS[1], retract(IDS[0])))).mine.decides.counts == NOBODY


# Decisions: input, agreement, size


def test_input_is_counted_by_who_decided() -> None:
    told = balances(
        seen(
            mine(IDS[0], settle(decided_by="partner", my_input="counted"), "private"),
            mine(IDS[1], settle(decided_by="both", my_input="partly"), "private"),
            mine(IDS[2], settle(decided_by="me", my_input="asked"), "private"),
            mine(IDS[3], settle(decided_by="neither", my_input="asked"), "private"),
            partners(IDS[4], settle(decided_by="partner", my_input="not_asked")),  # I decided, and did not ask them
        )
    )
    counted = told.mine.counted
    assert (counted.when_other_decided.counted, counted.when_other_decided.n) == (1, 1)
    assert (counted.when_both_decided.partly, counted.when_both_decided.n) == (1, 1)
    theirs = told.partners.counted
    assert (theirs.when_other_decided.not_asked, theirs.when_other_decided.n, theirs.when_both_decided.n) == (1, 1, 0)


@pytest.mark.parametrize("who", WHO)
def test_what_was_agreed_tells_who_decided(who: Any) -> None:
    told = balances(seen(*(mine(IDS[i], settle(decided_by=who, as_agreed=i == 0), "private") for i in range(2))))
    assert told.mine.agreed == WhoCounts(*(int(one == who) for one in WHO))
    assert sum((told.mine.decides.counts.me, told.mine.decides.counts.partner)) == 2 * (who in ("me", "partner"))


def test_a_size_narrows_what_is_told_of_decisions_and_nothing_else() -> None:
    sizes: list[Any] = ["small", "big", "big", None]
    told = [
        mine(IDS[i], settle(raised_by="me", decided_by="partner", my_input="asked", as_agreed=True, size=size))
        for i, size in enumerate(sizes)
    ]
    counts = seen(*told, mine(IDS[9], check_in(initiated_by="me", decided_by="partner", felt={"fair": 3})))
    shown = {size: balances(counts, size=size).mine for size in (None, "small", "big")}
    assert [one.decides.counts.partner for one in shown.values()] == [5, 1, 2]
    assert [one.counted.when_other_decided.asked for one in shown.values()] == [4, 1, 2]
    assert [one.initiates.counts.me for one in shown.values()] == [5, 5, 5]
    assert [one.agreed.partner for one in shown.values()] == [4, 4, 4]
    assert [one.felt["fair"].n for one in shown.values()] == [1, 1, 1]
    assert balances(counts, size="big").size == "big"


# Windows


def test_a_window_holds_its_days_and_no_others() -> None:
    counts = seen(*(mine(IDS[i], check_in(occurred_at=ago(i), initiated_by="me")) for i in (0, 6, 7, 27, 28)))
    shown = [
        balances(counts, window=w, on=TODAY - timedelta(days=d)).mine.initiates.n
        for w, d in ((7, 0), (8, 0), (28, 0), (28, 1))
    ]
    assert shown == [2, 3, 4, 4]


def test_what_was_felt_has_an_interval_from_8_and_a_mean_from_20() -> None:
    def felt(n: int) -> Felt:
        told = [mine(IDS[i], check_in(felt={"fair": 1 + i % 7}), "private") for i in range(n)]
        return balances(seen(*told)).mine.felt["fair"]

    assert felt(7) == Felt(7, None, None, None, [1] * 7)
    assert felt(8) == statistics.felt([2, 1, 1, 1, 1, 1, 1])
    assert (felt(8).low, felt(19).mean, felt(21).mean) != (None, None, None)
    assert (felt(19).mean, felt(21).mean) == (None, 4)


# The bar: how often a figure can be looked at


def against(days: range, domain: Any = "home") -> list[Recorded]:
    return [
        mine(IDS[200 + i], check_in(occurred_at=ago(i), initiated_by="partner", domain=domain), "private") for i in days
    ]


def test_a_window_from_the_first_day_on_needs_less_evidence() -> None:
    # 22 of 26 days in the last 28: enough for 130, which is never renewed, and not for 130 * 366 / 28.
    told = [*daily(range(22), domain="home"), *against(range(22, 26))]
    before = [mine(IDS[399], check_in(occurred_at=ago(28), felt={"fair": 4}), "private")]
    first = [mine(IDS[399], check_in(occurred_at=ago(27), felt={"fair": 4}), "private")]
    shown = [balances(seen(*told, *more)).mine.initiates for more in ([], first, before)]
    assert {(one.occasions, one.n) for one in shown} == {(Occasions(22, 4), 26)}
    assert math.log(130) < statistics.log_evidence(22, 4) < math.log(130 * 366 / 28)
    assert [one.reading for one in shown] == ["leans_to_me", "leans_to_me", "unclear"]


def test_each_telling_has_a_first_day_of_its_own_and_so_have_requests() -> None:
    # 19 of 21: enough from the first day on, and not later.
    told = daily(range(19), by=partners, domain="home")
    told += daily(range(19, 21), by=partners, who="partner", domain="home")
    told += [partners(IDS[300 + i], ask(occurred_at=ago(i))) for i in range(19)]
    told += [mine(IDS[350 + i], ask(occurred_at=ago(i))) for i in (19, 20)]
    mine_before = mine(IDS[399], check_in(occurred_at=ago(90), initiated_by="me"), "private")
    theirs_before = partners(IDS[399], check_in(occurred_at=ago(90), felt={"fair": 4}))
    asked_before = mine(IDS[399], ask(occurred_at=ago(90)))
    found = [balances(seen(*told, *more)) for more in ([], [mine_before], [theirs_before], [asked_before])]
    leans, unclear = "leans_to_partner", "unclear"
    assert [one.partners.initiates.reading for one in found] == [leans, leans, unclear, leans]
    assert [one.asks.reading for one in found] == [leans, leans, leans, unclear]


def test_one_domain_and_an_unusual_window_need_more() -> None:
    told = [*daily(range(18), domain="home"), *against(range(18, 20))]
    counts = seen(*told)
    assert balances(counts, window=365).mine.initiates.reading == "leans_to_me"
    assert balances(counts, window=364).mine.initiates.reading == "unclear"
    assert balances(counts, window=365, domain="home").mine.initiates.reading == "unclear"


# Both tellings


@pytest.mark.parametrize(("theirs", "said"), [("partner", "same"), ("me", "differ"), ("both", None)])
def test_it_is_said_whether_both_lean_the_same_way(theirs: str, said: str | None) -> None:
    others = [partners(IDS[100 + i], check_in(occurred_at=ago(i), initiated_by=theirs)) for i in range(25)]
    told = balances(seen(*daily(range(25)), *others))
    assert (told.tellings.initiates, told.tellings.decides) == (said, None)


def test_swapped_members_read_swapped_tellings() -> None:
    def told(one: Any, other: Any) -> Balances:
        return balances(
            seen(
                *(one(IDS[i], check_in(occurred_at=ago(i), initiated_by="me", felt={"fair": 3})) for i in range(21)),
                one(IDS[50], ask()),
                other(IDS[51], settle(decided_by="both", raised_by="partner", my_input="asked", size="big")),
            )
        )

    here, there = told(mine, partners), told(partners, mine)
    assert turned(here.mine) == there.partners
    assert turned(here.partners) == there.mine
    assert (here.asks.counts, there.asks.counts) == (WhoCounts(1, 0, 0, 0), WhoCounts(0, 1, 0, 0))


def turned(telling: Telling) -> Telling:
    flip: dict[Any, Any] = {"leans_to_me": "leans_to_partner", "leans_to_partner": "leans_to_me"}

    def split(one: Split) -> Split:
        share, low, high = (None if x is None else pytest.approx(1 - x) for x in (one.share, one.high, one.low))
        counts = WhoCounts(one.counts.partner, one.counts.me, one.counts.both, one.counts.neither)
        occasions = Occasions(one.occasions.partner, one.occasions.me)
        return Split(counts, occasions, one.n, share, low, high, flip.get(one.reading, one.reading))  # type: ignore[arg-type]

    agreed = WhoCounts(telling.agreed.partner, telling.agreed.me, telling.agreed.both, telling.agreed.neither)
    return Telling(split(telling.initiates), split(telling.decides), agreed, telling.counted, telling.felt)


def test_the_first_day_of_the_calendar_has_windows_too() -> None:
    assert balances(Counts(), on=date.min).mine.initiates.n == 0
