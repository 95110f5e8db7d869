"""When to ask: windows, clocks that change, travelling, quiet hours, caps, and after shared events."""

import random
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st

from service.accounts.me import zones
from service.prompts.planning import (
    AskedBefore,
    Occurrence,
    SharedEvent,
    Whereabouts,
    after_event,
    draw,
    free_spans,
    half_of,
    is_paused,
    is_quiet,
    occurrence,
    plan_day,
    until_paused,
)
from service.prompts.schedule import AfterEvents, Quiet, Schedule, ScheduledCheckIn
from tests.support.planned import BERLIN, NO_QUIET, SEED, at_home, between, item, minutes_of, schedule

DAY = date(2026, 6, 15)  # a Monday
FORWARD, BACK = date(2026, 3, 29), date(2026, 10, 25)  # in Berlin: 02:00 becomes 03:00, 03:00 becomes 02:00
NIGHT = Quiet("22:00", "08:00")


def moment(
    one: ScheduledCheckIn, day: date = DAY, zone: ZoneInfo = BERLIN, quiet: Quiet = NO_QUIET, seed: bytes = SEED
) -> datetime:
    """When it is asked, on the wall."""
    found = occurrence(one, schedule(quiet=quiet), at_home(zone), day, seed)
    assert found.at is not None, found
    return found.at.astimezone(zone)


def moments(one: ScheduledCheckIn, day: date = DAY, zone: ZoneInfo = BERLIN, quiet: Quiet = NO_QUIET) -> list[str]:
    """The earliest and the latest of many, to the minute."""
    found = sorted(moment(one, day, zone, quiet, n.to_bytes(32)).astimezone(UTC) for n in range(3000))
    return [f"{at.astimezone(zone):%H:%M}" for at in (found[0], found[-1])]


# Windows


def test_the_same_item_day_and_seed_give_the_same_moment() -> None:
    assert moment(item("20:00", "22:00")) == moment(item("20:00", "22:00"))


def test_another_item_day_or_seed_gives_another() -> None:
    first = moment(item("20:00", "22:00")).time()
    assert first != moment(item("20:00", "22:00", number=2)).time()
    assert first != moment(item("20:00", "22:00"), DAY + timedelta(days=1)).time()
    assert first != moment(item("20:00", "22:00"), seed=bytes(32)).time()


def test_the_whole_window_is_used() -> None:
    assert moments(item("20:00", "22:00")) == ["20:00", "21:59"]


def test_a_window_over_midnight_belongs_to_the_day_it_begins() -> None:
    assert moments(item("22:00", "01:00")) == ["22:00", "00:59"]
    found = [occurrence(item("22:00", "01:00"), schedule(), at_home(), DAY, bytes([n] * 32)) for n in range(50)]
    assert {one.day for one in found} == {DAY}
    assert {one.on for one in found} == {DAY, DAY + timedelta(days=1)}


def test_only_its_weekdays_are_asked() -> None:
    weekly = schedule(item("20:00", "22:00", weekdays=("sun",)))
    days = [DAY + timedelta(days=n) for n in range(14)]
    asked = [day for day in days if plan_day(weekly, at_home(), day, SEED, [])]
    assert asked == [date(2026, 6, 21), date(2026, 6, 28)]


# Clocks that change


@pytest.mark.parametrize(
    ("from_", "to", "seen"),
    [
        ("01:00", "04:00", ["01:00", "03:59"]),
        ("01:30", "02:30", ["01:30", "01:59"]),
        ("02:30", "03:30", ["03:00", "03:29"]),
        ("02:00", "03:00", ["03:00", "03:59"]),  # swallowed: as long as ever, from where the gap ends
        ("02:15", "02:45", ["03:00", "03:29"]),
        ("22:00", "01:00", ["22:00", "00:59"]),
    ],
)
def test_what_the_clock_skips_is_left_out_and_a_swallowed_window_moves_behind_it(
    from_: str, to: str, seen: list[str]
) -> None:
    assert moments(item(from_, to), FORWARD) == seen


@pytest.mark.parametrize(
    ("from_", "to"), [("02:00", "03:00"), ("02:15", "02:45"), ("01:30", "02:30"), ("02:30", "04:00")]
)
def test_an_hour_that_comes_twice_counts_the_first_time(from_: str, to: str) -> None:
    found = [moment(item(from_, to), BACK, seed=n.to_bytes(32)) for n in range(500)]
    assert {at.fold for at in found} == {0}
    assert {between(at.time(), from_, to) for at in found} == {True}


@pytest.mark.parametrize(
    ("zone", "day", "from_", "to", "seen"),
    [
        ("Australia/Lord_Howe", date(2026, 10, 4), "02:00", "02:20", ["02:30", "02:49"]),  # half an hour
        ("Antarctica/Troll", date(2026, 3, 29), "01:30", "02:30", ["03:00", "03:59"]),  # two hours
        ("Africa/Cairo", date(2026, 4, 24), "00:00", "00:30", ["01:00", "01:29"]),  # at midnight
        ("Africa/Cairo", date(2026, 4, 23), "23:00", "00:30", ["23:00", "23:59"]),
        ("America/Nuuk", date(2026, 3, 28), "23:15", "23:45", ["00:00", "00:29"]),  # up to midnight
    ],
)
def test_changes_are_not_all_of_an_hour_at_two(zone: str, day: date, from_: str, to: str, seen: list[str]) -> None:
    assert moments(item(from_, to), day, ZoneInfo(zone)) == seen


def test_a_day_that_a_zone_leaves_out_is_not_asked_and_it_is_said() -> None:
    apia, gone = at_home(ZoneInfo("Pacific/Apia")), date(2011, 12, 30)
    found = [
        occurrence(item("20:00", "22:00"), schedule(), apia, gone + timedelta(days=n), SEED).omitted for n in (-1, 0, 1)
    ]
    assert found == [None, "no_such_day", None]


HALVES = st.sampled_from(["00:00", "00:30", "01:00", "01:30", "02:00", "02:30", "03:00", "03:30", "04:00"])
TIMES = HALVES | st.times().map(lambda one: f"{one:%H:%M}")
ZONES = st.sampled_from(sorted(zones())).map(ZoneInfo)
DAYS = st.dates(date(1990, 1, 1), date(2060, 1, 1)) | st.sampled_from(
    [FORWARD, BACK, date(2026, 3, 8), date(2026, 11, 1)]
)


@settings(max_examples=300, deadline=None)
@for_any(TIMES, TIMES, TIMES, TIMES, ZONES, DAYS, st.binary(min_size=32, max_size=32))
def test_a_moment_is_in_its_window_and_never_in_quiet_hours(
    from_: str, to: str, begins: str, ends: str, zone: ZoneInfo, day: date, seed: bytes
) -> None:
    if from_ == to:
        return
    found = occurrence(item(from_, to), schedule(quiet=Quiet(begins, ends)), at_home(zone), day, seed)
    shown = list(minutes_of(day, from_, to, zone))
    free = [at for at in shown if not between(at.time(), begins, ends)]
    if found.at is None:
        assert free == []
        assert found.omitted in ("quiet", "no_such_day")
        return
    there = found.at.astimezone(zone)
    assert not between(there.time(), begins, ends)
    assert not shown or (between(there.time(), from_, to) and there.fold == 0)
    assert found.on == there.date()


@settings(max_examples=300, deadline=None)
@for_any(TIMES, TIMES, ZONES, DAYS, st.integers(0, 48 * 60))
def test_it_is_quiet_whenever_the_wall_shows_a_quiet_time(
    begins: str, ends: str, zone: ZoneInfo, day: date, minutes: int
) -> None:
    at = datetime.combine(day, time(), UTC) + timedelta(minutes=minutes)
    if between(at.astimezone(zone).time(), begins, ends):
        assert is_quiet(at, Quiet(begins, ends), zone)


@pytest.mark.parametrize(
    ("utc", "quiet"),
    [("2026-10-24T23:20", False), ("2026-10-25T00:40", True), ("2026-10-25T01:10", True), ("2026-10-25T05:00", False)],
)
def test_what_has_become_quiet_stays_so_when_the_clock_goes_back(utc: str, quiet: bool) -> None:
    assert is_quiet(datetime.fromisoformat(utc + "+00:00"), Quiet("02:30", "06:00"), BERLIN) is quiet


@pytest.mark.parametrize(("utc", "quiet"), [("00:29", True), ("00:45", False), ("01:15", True), ("01:30", False)])
def test_an_end_that_the_clock_shows_twice_is_kept_twice(utc: str, quiet: bool) -> None:
    at = datetime.fromisoformat(f"{BACK}T{utc}+00:00")  # 02:29, 02:45, once more 02:15, 02:30
    assert is_quiet(at, Quiet("22:00", "02:30"), BERLIN) is quiet


def test_a_window_right_after_quiet_hours_is_asked_though_the_clock_goes_back_into_them() -> None:
    assert moments(item("02:30", "03:00"), BACK, quiet=Quiet("22:00", "02:30")) == ["02:30", "02:59"]


# Quiet hours, pauses


def test_a_moment_is_drawn_from_what_quiet_hours_leave() -> None:
    assert moments(item("21:00", "23:00"), quiet=NIGHT) == ["21:00", "21:59"]
    assert moments(item("07:00", "09:00"), quiet=NIGHT) == ["08:00", "08:59"]
    assert moments(item("12:00", "14:00"), quiet=Quiet("12:30", "13:30")) == ["12:00", "13:59"]


def test_a_window_within_quiet_hours_is_not_asked() -> None:
    assert occurrence(item("23:00", "07:00"), schedule(quiet=NIGHT), at_home(), DAY, SEED).omitted == "quiet"


@pytest.mark.parametrize(
    ("until", "omitted", "earliest"),
    [("2026-06-15T19:00", None, 20), ("2026-06-15T21:00", None, 21), ("2026-06-15T22:00", "paused", None)],
)
def test_a_pause_cuts_the_window(until: str, omitted: str | None, earliest: int | None) -> None:
    paused = schedule(paused_until=datetime.fromisoformat(until).replace(tzinfo=BERLIN))
    found = [occurrence(item("20:00", "22:00"), paused, at_home(), DAY, bytes([n] * 32)) for n in range(200)]
    assert {one.omitted for one in found} == {omitted}
    assert min((one.at.astimezone(BERLIN).hour for one in found if one.at), default=None) == earliest


def test_what_is_free_of_a_span() -> None:
    assert free_spans((10, 20), []) == [(10, 20)]
    assert free_spans((10, 20), [(18, 25), (5, 12), (14, 15), (14, 14)]) == [(12, 14), (15, 18)]
    assert free_spans((10, 20), [(5, 15), (11, 25)]) == free_spans((10, 10), []) == []
    assert free_spans((10, 20), [(1, 5), (30, 40)]) == [(10, 20)]


# Travelling

TOKYO, NEW_YORK, HONOLULU, AUCKLAND = map(
    ZoneInfo, ("Asia/Tokyo", "America/New_York", "Pacific/Honolulu", "Pacific/Auckland")
)
EVENINGS = item("20:00", "22:00")


def planned(place: Whereabouts, day: date, asked: Any = (), **said: Any) -> Occurrence:
    (found,) = plan_day(schedule(EVENINGS, **said), place, day, SEED, asked)
    return found


def stands(found: Occurrence) -> AskedBefore:
    assert found.at is not None
    assert found.on is not None
    return AskedBefore(found.item_id, found.day, found.at, found.on)


def test_a_day_that_had_its_prompt_is_not_asked_again_further_west() -> None:
    had = stands(planned(at_home(BERLIN), DAY))
    flown = at_home(NEW_YORK, had.at + timedelta(minutes=1))
    assert planned(flown, DAY, [had]).omitted == "asked"
    assert planned(flown, DAY + timedelta(days=1), [had]).at


def test_a_date_that_the_date_line_repeats_is_asked_once() -> None:
    had = stands(planned(at_home(AUCKLAND), DAY))
    landed = at_home(HONOLULU, had.at + timedelta(hours=9))
    assert landed.since.astimezone(HONOLULU).date() == DAY
    assert planned(landed, DAY, [had]).omitted == "asked"


def test_a_day_left_behind_by_the_date_line_is_named() -> None:
    left = datetime(2026, 6, 15, 23, tzinfo=HONOLULU)
    landed = at_home(AUCKLAND, left)
    assert left.astimezone(AUCKLAND).date() == date(2026, 6, 16)
    assert planned(landed, date(2026, 6, 16)).at
    assert planned(at_home(AUCKLAND, left + timedelta(hours=2)), date(2026, 6, 16)).omitted == "gone_by"
    assert planned(landed, date(2026, 6, 17)).at


def test_what_is_left_of_a_window_is_used() -> None:
    landed = datetime(2026, 6, 15, 21, 40, tzinfo=TOKYO)
    found = [occurrence(EVENINGS, schedule(), at_home(TOKYO, landed), DAY, bytes([n] * 32)).at for n in range(99)]
    assert all(at and landed <= at < landed + timedelta(minutes=20) for at in found)


def test_the_hour_on_the_wall_travels_along() -> None:
    assert {moment(EVENINGS, zone=zone).time() for zone in (BERLIN, TOKYO, HONOLULU)} == {moment(EVENINGS).time()}


@settings(max_examples=60, deadline=None)
@for_any(st.lists(st.tuples(ZONES, st.integers(1, 90)), max_size=6), st.binary(min_size=32, max_size=32))
def test_wherever_one_goes_no_day_is_asked_twice_or_lost_without_a_reason(
    journey: list[tuple[ZoneInfo, int]], seed: bytes
) -> None:
    now, place = datetime(2026, 6, 1, tzinfo=UTC), at_home(BERLIN)
    sent: list[AskedBefore] = []
    for zone, hours in [*journey, (BERLIN, 48)]:
        until = now + timedelta(hours=hours)
        for day in (now.date() + timedelta(days=n) for n in range(-1, hours // 24 + 3)):
            found = plan_day(schedule(EVENINGS), place, day, seed, sent)
            sent += [stands(one) for one in found if one.at and now <= one.at < until]
            assert all(one.at or one.omitted in ("asked", "gone_by", "no_such_day", "full_day") for one in found)
        now, place = until, Whereabouts(zone, until)
    assert len({one.day for one in sent}) == len(sent)


# Caps


def test_no_more_than_the_cap_on_one_day() -> None:
    three = schedule(*(item(f"{hour:02}:00", f"{hour + 1}:00", number=hour) for hour in (9, 13, 19)))
    turns = [plan_day(three, at_home(), DAY + timedelta(days=n), SEED, []) for n in range(60)]
    assert {sum(one.at is not None for one in day) for day in turns} == {2}
    assert {one.item_id for day in turns for one in day if one.omitted == "full_day"} == {
        UUID(int=9),
        UUID(int=13),
        UUID(int=19),
    }


@pytest.mark.parametrize(("caps", "reason"), [({"max_per_day": 0}, "full_day"), ({"max_per_week": 0}, "full_week")])
def test_none_may_be_allowed(caps: Any, reason: str) -> None:
    assert planned(at_home(), DAY, **caps).omitted == reason


def test_a_week_begins_on_monday() -> None:
    sent: list[AskedBefore] = []
    for n in range(8):
        found = planned(at_home(), DAY + timedelta(days=n), sent, max_per_week=3)
        sent += [stands(found)] if found.at else []
    assert [one.day.day for one in sent] == [15, 16, 17, 22]


def test_after_midnight_it_counts_on_the_next_day() -> None:
    late = item("23:59", "00:01")
    (seed,) = [n.to_bytes(32) for n in range(40) if moment(late, seed=n.to_bytes(32)).hour == 0][:1]
    (found,) = plan_day(schedule(late, max_per_day=1), at_home(), DAY, seed, [])
    tomorrow = DAY + timedelta(days=1)
    assert planned(at_home(), tomorrow, [stands(found)], max_per_day=1).omitted == "full_day"


def test_one_from_another_zone_counts_on_both_of_its_dates() -> None:
    morning = datetime(2026, 6, 15, 6, tzinfo=AUCKLAND)  # still Sunday in Berlin
    had = AskedBefore(UUID(int=5), DAY, morning, DAY)
    flown = at_home(BERLIN, morning)
    assert planned(flown, DAY, [had], max_per_day=1).omitted == "full_day"
    assert planned(flown, DAY - timedelta(days=1), [had], max_per_day=1).omitted == "full_day"
    assert planned(flown, DAY + timedelta(days=1), [had], max_per_day=1).at


# After shared events

RECORDED = datetime(2026, 6, 15, 10, tzinfo=UTC)
A, B = UUID(int=100), UUID(int=200)
CHANCE = random.Random(4)
EVENTS = [UUID(int=CHANCE.getrandbits(128), version=4) for _ in range(500)]


def after(event_id: UUID, me: UUID = A, delay: int = 240, seed: bytes = SEED, **said: Any) -> Occurrence:
    event = SharedEvent(event_id, RECORDED, me, B if me == A else A)
    asked = said.pop("asked", ())
    mine = schedule(after_events=AfterEvents(True, delay), **said)
    return after_event(event, mine, at_home(), seed, asked)


def minutes_after(found: Occurrence) -> float:
    assert found.at is not None
    return (found.at - RECORDED).total_seconds() / 60


@pytest.mark.parametrize("delay", [0, 1, 29, 30, 31, 60, 240, 1440])
def test_each_has_a_half_of_their_own_and_they_are_apart(delay: int) -> None:
    for event_id in EVENTS[:100]:
        early, late = sorted(minutes_after(after(event_id, me, delay, bytes([me.int % 251] * 32))) for me in (A, B))
        assert 0 <= early <= delay / 2 <= late <= delay
        assert late - early >= min(30, delay)


def test_the_hash_decides_who_is_first_as_often_the_one_as_the_other() -> None:
    first = sum(half_of(SharedEvent(event_id, RECORDED, A, B), 240)[0] == 0 for event_id in EVENTS)
    assert 200 < first < 300


def test_swapping_the_two_swaps_their_halves() -> None:
    for event_id in EVENTS:
        mine, theirs = (half_of(SharedEvent(event_id, RECORDED, *two), 240) for two in ((A, B), (B, A)))
        assert {mine, theirs} == {(0, 105 * 60), (135 * 60, 240 * 60)}


def test_the_whole_half_is_used() -> None:
    firsts = [minutes_after(after(event_id)) for event_id in EVENTS]
    assert min(firsts) < 2
    assert max(firsts) > 238
    assert not any(105 < one < 135 for one in firsts)


def test_a_moment_after_an_event_keeps_quiet_hours_or_lapses() -> None:
    event_id = EVENTS[0]
    assert after(event_id, quiet=Quiet("12:00", "17:00")).omitted == "quiet"  # RECORDED is noon in Berlin
    found = [after(one, quiet=Quiet("13:00", "15:00")).at for one in EVENTS]
    assert not any(at and 13 <= at.astimezone(BERLIN).hour < 15 for at in found)


def test_an_event_is_asked_about_once_and_within_the_caps() -> None:
    had = stands(after(EVENTS[0]))
    assert after(EVENTS[0], asked=[had]).omitted == "asked"
    assert after(EVENTS[1], asked=[had], max_per_day=1).omitted == "full_day"
    assert after(EVENTS[1], paused_until=RECORDED + timedelta(days=1)).omitted == "paused"


# Drawing


def test_draws_are_even() -> None:
    drawn = sorted(draw(SEED, "moment", UUID(int=n), DAY) / 2**64 for n in range(2000))
    assert max(abs(one - n / 2000) for n, one in enumerate(drawn)) < 0.04
    assert max(later - one for one, later in pairwise(drawn)) < 0.01


def test_nothing_is_asked_of_who_has_chosen_nothing() -> None:
    assert plan_day(Schedule(), at_home(), DAY, SEED, []) == []


# Pauses


def pausing(*days: tuple[int, int]) -> Whereabouts:
    """In Berlin, where these days of July are paused, from the first to the last."""
    paused = tuple((date(2026, 7, first), date(2026, 7, last)) for first, last in days)
    return Whereabouts(BERLIN, datetime(2026, 1, 1, tzinfo=UTC), paused)


def test_on_days_of_a_pause_nothing_is_asked() -> None:
    evening, place = item("20:00", "22:00"), pausing((2, 3), (5, 5))
    asked = [occurrence(evening, schedule(), place, date(2026, 7, day), SEED).omitted for day in range(1, 7)]
    assert asked == [None, "paused", "paused", None, "paused", None]


def test_of_a_window_over_midnight_what_lies_outside_is_left() -> None:
    night = item("22:00", "02:00")
    for seed in (b"one", b"two", b"three"):
        before = occurrence(night, schedule(), pausing((2, 2)), date(2026, 7, 1), seed)
        after = occurrence(night, schedule(), pausing((2, 2)), date(2026, 7, 2), seed)
        assert (before.on, after.on) == (date(2026, 7, 1), date(2026, 7, 3))


def test_what_is_sent_late_is_not_sent_into_a_pause() -> None:
    at, hour = datetime(2026, 7, 1, 23, 30, tzinfo=BERLIN), timedelta(hours=1)
    paused = pausing((2, 3)).paused
    assert until_paused(at, at + hour, paused, BERLIN) == datetime(2026, 7, 2, tzinfo=BERLIN)
    assert until_paused(at + hour, at + 2 * hour, paused, BERLIN) == at + hour
    assert [is_paused(one, paused, BERLIN) for one in (at, at + hour, at + 49 * hour)] == [False, True, False]
