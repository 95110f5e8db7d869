"""The simulation counts, looks and reads as the service does, and fills its table. What it finds is for a long run."""

from collections.abc import Sequence

import numpy as np
import pytest

from projections.changes import SPLITS, compared
from projections.statistics import Looks, split
from tests.simulation.__main__ import ABOUT_EVEN, FALSE_LEAN, LEAN_SHOWS, RATES, Row, show, simulate, verdict
from tests.simulation.diaries import DOMAINS, Habit, Told, tell
from tests.simulation.looking import WINDOWS, Seen, ever_seen, leans_from, uneven_from
from tests.simulation.quarters import Pairs, moved, occasions_to_see, seen_of, years

EVENLY = (1 / DOMAINS,) * DOMAINS
SEEN: list[Seen] = ["leans", "leans_to_me", "about_even"]


def told(days: int, **by_day: Sequence[int]) -> Told:
    """One couple; in their first telling and measure, an entry a day of me, or of the partner, in the first domain."""
    net = np.zeros((1, 2, 2, days, DOMAINS))
    net[0, 0, 0, list(by_day.get("me", ())), 0] = 1
    net[0, 0, 0, list(by_day.get("partner", ())), 0] = -1
    any_day = net[0].any(axis=(1, 3))
    return Told(net, np.where(any_day.any(axis=1), any_day.argmax(axis=1), days)[None])


def reading_on(told: Told, of: tuple[int, ...], on: int, window: int, domain: int | None) -> str:
    """What one look at one couple, telling and measure shows."""
    days = told.net[of][max(on - window + 1, 0) : on + 1]
    cells = days.ravel() if domain is None else days[:, domain]
    me, partner = int((cells > 0).sum()), int((cells < 0).sum())
    first_day = on - window + 1 <= told.first_day[of[:2]]
    found = split({"me": me, "partner": partner}, me, partner, Looks(window, domain is not None, bool(first_day)))
    return found.reading or ""


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("one_domain", [False, True])
def test_what_is_ever_seen_is_what_a_look_by_look_shows(seen: Seen, one_domain: bool) -> None:
    found = tell(np.random.default_rng(5), Habit(0.66, 1.1, 1, (0.7, 0.1, 0.1, 0.1, 0, 0, 0, 0, 0, 0)), 2, 160)
    days = range(100, 160)
    wanted = {"leans": ("leans_to_me", "leans_to_partner")}.get(seen, (seen,))
    scopes = range(4) if one_domain else (None,)
    expected = [
        any(reading_on(found, of, on, window, scope) in wanted for on in days for window in WINDOWS for scope in scopes)
        for of in np.ndindex(2, 2, 2)
    ]
    assert ever_seen(found, days, seen, one_domain).ravel().tolist() == expected


@pytest.mark.parametrize("looks", [Looks(28, False, False), Looks(28, False, True), Looks(90, True, False)])
def test_the_tables_hold_what_each_count_reads(looks: Looks) -> None:
    for n in range(91 if looks.one_domain else 281):
        larger = range((n + 1) // 2, n + 1)
        readings = [split({"me": 1}, me, n - me, looks).reading for me in larger]
        assert [me >= leans_from(looks)[n] for me in larger] == [reading == "leans_to_me" for reading in readings]
        assert [me < uneven_from(looks)[n] for me in larger] == [reading == "about_even" for reading in readings]


def test_a_lean_is_seen_on_the_day_from_which_it_is_one() -> None:
    ten_and_on = told(40, me=range(5, 40))
    assert not ever_seen(ten_and_on, range(24), "leans", False).any()
    assert ever_seen(ten_and_on, range(25), "leans", False).tolist() == [[[True, False], [False, False]]]
    theirs = told(40, partner=range(5, 40))
    assert ever_seen(theirs, range(25), "leans", False).any()
    assert not ever_seen(theirs, range(25), "leans_to_me", False).any()


def test_a_window_that_has_moved_on_from_the_first_day_needs_more() -> None:
    # 18 of the last 20 days, after 20 days of each: enough for a window that grows, not for one of 28 or 90 days.
    late = told(400, me=[*range(100, 120), *range(372, 390)], partner=[*range(120, 140), 370, 371])
    assert late.first_day[0, 0] == 100
    assert not ever_seen(late, range(371, 390), "leans", False).any()
    late.first_day[0, 0] = 370
    assert ever_seen(late, range(371, 390), "leans", False).any()


def test_a_window_has_only_grown_while_it_begins_on_the_first_day() -> None:
    # The evidence is 130.23, between the bars of 365 days: 130 with the first day, 130.36 without.
    whole = told(400, me=range(10, 182), partner=range(182, 288))
    assert ever_seen(whole, range(374, 375), "leans", False).any()
    whole.first_day[0, 0] = 9
    assert not ever_seen(whole, range(374, 375), "leans", False).any()


def test_a_window_of_365_days_forgets_what_is_older() -> None:
    twenty = told(600, me=range(100, 120))
    assert ever_seen(twenty, range(464, 465), "leans", False).any()
    assert not ever_seen(twenty, range(465, 600), "leans", False).any()


def test_a_burst_is_one_occasion() -> None:
    one_by_one, bursts = (
        tell(np.random.default_rng(3), Habit(0.6, rate, burst, EVENLY), 5, 50) for rate, burst in ((1.0, 1), (3.0, 3))
    )
    assert np.array_equal(np.sign(one_by_one.net), np.sign(bursts.net))
    assert np.array_equal(one_by_one.net * 3, bursts.net)


def test_entries_lie_where_and_as_often_as_the_habit_says() -> None:
    found = tell(np.random.default_rng(1), Habit(1.0, 2.0, 1, (0.9, 0.1, 0, 0, 0, 0, 0, 0, 0, 0)), 50, 100)
    assert found.net.min() == 0
    assert found.net.mean(axis=(0, 1, 2, 3)) == pytest.approx([1.8, 0.2, *[0] * 8], abs=0.05)


def test_the_first_day_of_a_telling_is_that_of_either_measure() -> None:
    found = tell(np.random.default_rng(1), Habit(1.0, 0.1, 1, EVENLY), 50, 100)
    first_days = found.net.any(axis=(2, 4)).argmax(axis=2)
    assert np.array_equal(found.first_day, first_days)
    assert len(set(first_days.ravel())) > 10


def test_who_tells_nothing_has_no_first_day() -> None:
    nothing = tell(np.random.default_rng(1), Habit(0.5, 0.0, 1, EVENLY), 3, 30)
    assert nothing.first_day.tolist() == [[30, 30]] * 3
    assert not any(ever_seen(nothing, range(30), seen, False).any() for seen in SEEN)


def test_a_tiny_simulation_fills_the_table() -> None:
    rows = simulate(couples=3, few=2)
    assert [len(row.found) for row in rows] == [len(RATES)] * 16 + [1] * 2
    shares = {row.question: [share for share, _ in row.found.values()] for row in rows}
    assert set(shares) == {FALSE_LEAN, ABOUT_EVEN, LEAN_SHOWS}
    assert all(0 <= share <= 1 for row in rows for share, _ in row.found.values())
    assert {n for row in rows for _, n in row.found.values()} == {3, 8}
    lines = show(rows).splitlines()
    assert len(lines) == 2 + len(rows)
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("met", "n", "said"),
    [(50, 1000, "reached"), (51, 1000, "unclear"), (63, 1000, "unclear"), (80, 1000, "NOT reached")],
)
def test_a_figure_is_judged_with_its_error(met: int, n: int, said: str) -> None:
    assert verdict(Row(FALSE_LEAN, "even", range(365), "first", 1, {1.0: (met / n, n), 3.0: (0.0, n)})) == said


def test_a_figure_may_have_to_be_large() -> None:
    assert verdict(Row(LEAN_SHOWS, "even", range(60), "first", 1, {1.0: (0.86, 1000)})) == "reached"
    assert verdict(Row(LEAN_SHOWS, "even", range(60), "first", 1, {1.0: (0.7, 1000)})) == "NOT reached"


# Quarters


def test_what_is_said_to_move_is_what_the_service_says() -> None:
    rng = np.random.default_rng(3)
    n = rng.integers(0, 60, size=(2, 400))
    part = rng.binomial(n, 0.5)
    part[1, ::3] = rng.binomial(n[1, ::3], 0.9)
    x, y = part, n - part
    said = moved(Pairs(x.T[:, None, :, None].repeat(11, 3), y.T[:, None, :, None].repeat(11, 3)), SPLITS)
    for i in range(400):
        before, now = (int(x[0, i]), int(y[0, i])), (int(x[1, i]), int(y[1, i]))
        for scope, one_domain in ((0, False), (1, True)):
            direction = compared(before, now, SPLITS, one_domain).direction
            assert said[i, 0, 0, scope] == (direction in ("up", "down"))


def test_a_year_of_nothing_moves_seldom_and_a_large_change_is_seen_with_many_occasions() -> None:
    found = years(np.random.default_rng(1), Habit(0.5, 3.0, 1, EVENLY), 50)
    assert found.any_figure.shape == found.counted.shape == (50,)
    assert found.any_figure.mean() < 0.2
    assert seen_of(0.5, 0.8, 20) < 0.5 < seen_of(0.5, 0.8, 100)
    assert [chance for chance, _ in occasions_to_see(0.5, 0.8, (0.5, 0.9))] == [0.5, 0.9]
