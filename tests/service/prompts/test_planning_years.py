"""Two years in all IANA zones: nobody is asked in quiet hours, twice, too often, or left out without a reason."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from statistics import correlation
from typing import TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from service.accounts.me import zones
from service.prompts.planning import AskedBefore, Occurrence, plan_day
from service.prompts.schedule import WEEKDAYS, Quiet, Schedule
from tests.support.planned import SEED, at_home, between, item, minutes_of, schedule

FIRST, DAYS = date(2026, 1, 1), 730
NIGHT = Quiet("22:00", "08:00")
SCHEDULES = {
    "evenings": schedule(item("20:00", "22:00"), quiet=NIGHT),
    "over midnight": schedule(item("22:00", "01:00"), quiet=Quiet("01:00", "07:00")),
    "at the hours of changes": schedule(
        item("01:00", "04:00"), item("02:15", "02:45", 2, ("sat", "sun", "mon")), quiet=Quiet("12:00", "00:00")
    ),
    "Sundays, partly quiet": schedule(item("21:00", "02:30", 1, ("sun",)), quiet=Quiet("22:30", "02:00")),
    "more than the caps": schedule(
        item("07:00", "09:00"),
        item("12:00", "14:00", 2),
        item("23:00", "00:30", 3, ("fri", "sat", "sun")),
        quiet=Quiet("00:15", "07:30"),
    ),
}
Say: TypeAlias = Callable[[str, object], None]


@cache
def clocks() -> list[str]:
    """One name for each clock that some zone has in these years: what is planned knows nothing else of a zone."""
    found: dict[tuple[tuple[datetime, timedelta], ...], str] = {}
    for name in sorted(zones()):
        found.setdefault(tuple(changes(ZoneInfo(name))), name)
    return list(found.values())


def changes(zone: ZoneInfo) -> Iterator[tuple[datetime, timedelta]]:
    """Every change of the offset, to the second, and the offset from then on."""
    midnights = [datetime.combine(FIRST, time(), UTC) + timedelta(days=n) for n in range(-3, DAYS + 4)]
    yield midnights[0], offset(midnights[0], zone)
    for one, following in pairwise(midnights):
        if offset(one, zone) != (new := offset(following, zone)):
            seconds = range(24 * 60 * 60)
            at = bisect_left(seconds, True, key=lambda n: offset(one + timedelta(seconds=n), zone) == new)
            yield one + timedelta(seconds=at), new


def offset(at: datetime, zone: ZoneInfo) -> timedelta:
    found = at.astimezone(zone).utcoffset()
    assert found is not None
    return found


def lived(one: Schedule, zone: ZoneInfo, seed: bytes = SEED) -> list[Occurrence]:
    """What a member who stays in one zone is asked, planned day by day."""
    place, asked, found = at_home(zone), list[AskedBefore](), list[Occurrence]()
    for n in range(DAYS):
        day = FIRST + timedelta(days=n)
        todays = plan_day(one, place, day, seed, asked)
        found += todays
        asked += [AskedBefore(it.item_id, it.day, it.at, it.on) for it in todays if it.at and it.on]
        asked = [it for it in asked if (day - it.day).days < 9]
    return found


def broken(one: Schedule, zone: ZoneInfo, found: list[Occurrence]) -> Counter[str]:
    """How often each promise was broken, read from the wall alone."""
    walls = [it.at.astimezone(zone) for it in found if it.at]
    a_day = Counter(at.date() for at in walls)
    a_week = Counter(at.isocalendar()[:2] for at in walls)
    keys = {(it.item_id, it.day) for it in found}
    return Counter(
        {
            "prompts in quiet hours": sum(between(at.time(), one.quiet.from_, one.quiet.to) for at in walls),
            "duplicates": len(found) - len(keys),
            "days above the cap": sum(count > one.max_per_day for count in a_day.values()),
            "weeks above the cap": sum(count > one.max_per_week for count in a_week.values()),
            "prompts outside their window": sum(is_outside(one, zone, it) for it in found),
            "days left out": len(scheduled(one) ^ keys) + sum(is_lost(one, it, a_day, a_week) for it in found),
        }
    )


def scheduled(one: Schedule) -> set[tuple[UUID, date]]:
    days = [FIRST + timedelta(days=n) for n in range(DAYS)]
    return {(it.id, day) for it in one.check_ins for day in days if WEEKDAYS[day.weekday()] in it.weekdays}


def is_outside(one: Schedule, zone: ZoneInfo, found: Occurrence) -> bool:
    """Whether it comes when the wall shows no time of its window, though the clock does show some on that day."""
    if found.at is None:
        return False
    window = next(it for it in one.check_ins if it.id == found.item_id)
    there = found.at.astimezone(zone)
    inside = between(there.time(), window.from_, window.to) and there.fold == 0
    return not inside and any(minutes_of(found.day, window.from_, window.to, zone))


def is_lost(one: Schedule, found: Occurrence, a_day: Counter[date], a_week: Counter[tuple[int, int]]) -> bool:
    """Whether nothing was asked, though there was room."""
    could = [found.day, found.day + timedelta(days=1)]
    if found.omitted == "full_day":
        return all(a_day[on] < one.max_per_day for on in could)
    if found.omitted == "full_week":
        return all(a_week[on.isocalendar()[:2]] < one.max_per_week for on in could)
    return found.at is None


NAMES = [
    pytest.param(clocks, id="each clock"),
    pytest.param(lambda: sorted(zones()), id="each name", marks=pytest.mark.soak),
]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("said", list(SCHEDULES))
def test_two_years_in_all_zones(said: str, names: Callable[[], list[str]], record_property: Say) -> None:
    total, prompts = Counter[str](), 0
    for zone in map(ZoneInfo, names()):
        found = lived(SCHEDULES[said], zone)
        total.update(broken(SCHEDULES[said], zone, found))
        prompts += sum(it.at is not None for it in found)
    promises = ", ".join(f"{count} {promise}" for promise, count in total.items())
    record_property(
        "measured",
        f"asked {said}: {prompts:,} prompts in two years of {len(names())} zones ({len(zones())} with those that only "
        f"repeat one): {promises}",
    )
    assert len(names()) > 50
    assert prompts > len(names()) * 100
    assert set(total.values()) == {0}


def test_the_moments_of_the_two_have_nothing_to_do_with_each_other(record_property: Say) -> None:
    mine, theirs = (seconds_on_the_wall(bytes([n] * 32)) for n in (1, 2))
    between_them, from_day_to_day = correlation(mine, theirs), correlation(mine[:-1], mine[1:])
    record_property(
        "measured",
        f"asked evenings: correlation of the two members' moments {between_them:+.4f}, of one's own from day to day "
        f"{from_day_to_day:+.4f} ({len(mine):,} evenings)",
    )
    # Five times what chance alone would give.
    assert max(abs(between_them), abs(from_day_to_day)) < 5 / len(mine) ** 0.5


def seconds_on_the_wall(seed: bytes) -> list[float]:
    """How far into an evening's window each moment lies: in one zone, since the others have the same draws."""
    evenings = [lived(SCHEDULES["evenings"], ZoneInfo("Europe/Berlin"), seed + bytes([n])) for n in range(10)]
    walls = [it.at.astimezone(ZoneInfo("Europe/Berlin")) for years in evenings for it in years if it.at]
    return [(at - at.replace(hour=20, minute=0, second=0)).total_seconds() for at in walls]
