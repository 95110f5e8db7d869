"""When to ask: pure functions of a schedule, a time zone, a local day and a seed. Nothing here reads a clock.

Inside, instants are whole seconds since 1970 and spans are half open, so that drawing a moment is exact arithmetic.
"""

import hashlib
import hmac
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from math import ceil
from typing import Literal, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec import Struct

from service.prompts.schedule import WEEKDAYS, Quiet, Schedule, ScheduledCheckIn

TimeSpan: TypeAlias = tuple[int, int]
Paused: TypeAlias = tuple[tuple[date, date], ...]  # first and last days, in order
Omitted = Literal["asked", "no_such_day", "gone_by", "paused", "quiet", "full_day", "full_week"]

ONE_DAY, ONE_WEEK = timedelta(days=1), timedelta(days=7)
APART_SECONDS = 30 * 60


class Whereabouts(Struct, frozen=True):
    """Where the member is, and since when their zone and schedule are what they are: nothing is asked before.

    Nor is anything asked on a day on which they pause.
    """

    zone: ZoneInfo
    since: datetime
    paused: Paused = ()


class Occurrence(Struct, frozen=True):
    """One item on one local day, which together are its key, and when it is asked: `at` in UTC, `on` its local date.

    Where a rule forbids it, both are null and `omitted` names the rule: no day is skipped without a reason.
    """

    item_id: UUID
    day: date
    at: datetime | None = None
    on: date | None = None
    omitted: Omitted | None = None


class AskedBefore(Struct, frozen=True):
    """A prompt that was planned or sent before: `on` is its local date where the member was at that time.

    `item_id` is the schedule's item and `day` its day; for one after an event, the event's id and the date `on`.
    """

    item_id: UUID
    day: date
    at: datetime
    on: date


# --- A schedule's windows


def plan_day(
    schedule: Schedule, place: Whereabouts, day: date, seed: bytes, asked: Collection[AskedBefore]
) -> list[Occurrence]:
    """What each item of the schedule comes to on one local day, in the order of the items.

    `asked` are the member's prompts of the ISO weeks around. An (item, day) is asked once, wherever the member has
    travelled meanwhile. Crossing the date line westwards repeats a date: it is the same day, asked once. Crossing it
    eastwards, or any way east, can leave a window behind: it is `gone_by` where it ended before the change, and what
    is left of it is used where it had only begun.

    Where the caps leave too little room, a draw of that day decides which item has it, so that none is always last.
    """
    occurrences: dict[UUID, Occurrence] = {}
    asked_by_now = list(asked)
    todays = [item for item in schedule.check_ins if WEEKDAYS[day.weekday()] in item.weekdays]
    for item in _in_turn(todays, day, seed):
        found = _unless_asked(item, schedule, place, day, seed, asked_by_now)
        occurrences[item.id] = found
        if found.at and found.on:
            asked_by_now.append(AskedBefore(item.id, day, found.at, found.on))
    return [occurrences[item.id] for item in todays]


def _in_turn(items: list[ScheduledCheckIn], day: date, seed: bytes) -> list[ScheduledCheckIn]:
    return sorted(items, key=lambda one: draw(seed, "turn", one.id, day)) if len(items) > 1 else items


def _unless_asked(
    item: ScheduledCheckIn,
    schedule: Schedule,
    place: Whereabouts,
    day: date,
    seed: bytes,
    asked: Collection[AskedBefore],
) -> Occurrence:
    if any(one.day == day and one.item_id == item.id for one in asked):
        return Occurrence(item.id, day, omitted="asked")
    return _within_caps(occurrence(item, schedule, place, day, seed), schedule, place, asked)


def occurrence(item: ScheduledCheckIn, schedule: Schedule, place: Whereabouts, day: date, seed: bytes) -> Occurrence:
    """The moment of one item on one local day, drawn evenly from what is free of its window.

    Quiet hours, the pause, and what lay before `place` are not free. A moment is not moved to the end of the quiet
    hours: two members with the same ones would be asked at the same instant, and either could foresee it. Where
    nothing is free, it lapses. The same draw is used in every zone, so that travelling keeps the hour on the wall.
    """
    window = window_of(item, day, place.zone)
    if window is None:
        return Occurrence(item.id, day, omitted="no_such_day")
    closed = [*_second_pass(window, place.zone), *quiet_spans(schedule.quiet, window, place.zone)]
    at, omitted = _moment(window, closed, schedule, place, draw(seed, "moment", item.id, day))
    return _occurrence(item.id, day, place, at, omitted)


def _occurrence(
    item_id: UUID, day: date, place: Whereabouts, at: datetime | None, omitted: Omitted | None
) -> Occurrence:
    return Occurrence(item_id, day, at, at and at.astimezone(place.zone).date(), omitted)


def _within_caps(
    found: Occurrence, schedule: Schedule, place: Whereabouts, asked: Collection[AskedBefore]
) -> Occurrence:
    full = found.at and over_cap(found.at, place.zone, schedule, asked)
    return Occurrence(found.item_id, found.day, omitted=full) if full else found


def _moment(
    window: TimeSpan, closed: Iterable[TimeSpan], schedule: Schedule, place: Whereabouts, drawn: int
) -> tuple[datetime | None, Omitted | None]:
    start, end = window
    begun = max(start, ceil(place.since.timestamp()))
    opens = max(begun, ceil(schedule.paused_until.timestamp())) if schedule.paused_until else begun
    if opens >= end:
        return None, "gone_by" if begun >= end else "paused"
    pauses = pause_spans(place.paused, (opens, end), place.zone)
    if not free_spans((opens, end), pauses):
        return None, "paused"
    free = free_spans((opens, end), [*closed, *pauses])
    if not free:
        return None, "quiet"
    return datetime.fromtimestamp(_point(free, drawn), UTC), None


def window_of(item: ScheduledCheckIn, day: date, zone: ZoneInfo) -> TimeSpan | None:
    """The window that begins on that day; null where the zone leaves the whole day out (Samoa, 30 December 2011).

    A local time means the first instant at which the clock shows it or a later one. So where clocks go forward, a
    window lacks what the clock skips, and where they go back, an hour that comes twice counts the first time only
    (`_second_pass` closes the other): every time of the window comes at most once, as on any day. A window that lies
    wholly inside what is skipped begins where the gap ends and keeps its length: a day must not be lost to the clock.
    """
    begins, ends = time.fromisoformat(item.from_), time.fromisoformat(item.to)
    start = instant_of(day, begins, zone)
    end = instant_of(day if begins < ends else day + ONE_DAY, ends, zone)
    if _local(start, zone).date() != day and not _exists(day, zone):
        return None
    return (start, end) if start < end else (start, start + _seconds_between(begins, ends))


def _exists(day: date, zone: ZoneInfo) -> bool:
    return _local(instant_of(day, time.min, zone), zone).date() == day


def _seconds_between(begins: time, ends: time) -> int:
    minutes = (ends.hour - begins.hour) * 60 + ends.minute - begins.minute
    return minutes % (24 * 60) * 60


def _second_pass(window: TimeSpan, zone: ZoneInfo) -> Iterator[TimeSpan]:
    """What of the window the clock shows for the second time, after it went back."""
    before, after = (_offset_seconds(edge, zone) for edge in window)
    if after < before:
        change = _first(range(*window), lambda instant: _offset_seconds(instant, zone) < before)
        yield change, change + before - after


# --- Quiet hours


def quiet_spans(quiet: Quiet, around: TimeSpan, zone: ZoneInfo) -> list[TimeSpan]:
    """The quiet hours of the days that a span touches; empty where from = to.

    Whenever the clock shows a quiet time it is quiet, be it the first time or the second; and what has become quiet
    stays so until the end, also where the clock goes back to before the beginning.
    """
    if quiet.from_ == quiet.to:
        return []
    begins, ends = time.fromisoformat(quiet.from_), time.fromisoformat(quiet.to)
    night = timedelta(days=begins > ends)
    first, last = (_local(edge, zone).date() for edge in around)
    days = [first - night + timedelta(days=i) for i in range((last - first + night).days + 1)]
    return [span for day in days for span in _quiet_from((day, begins), (day + night, ends), zone)]


def _quiet_from(begin: tuple[date, time], end: tuple[date, time], zone: ZoneInfo) -> Iterator[TimeSpan]:
    ends, again = instant_of(*end, zone), instant_of(*end, zone, fold=1)
    yield instant_of(*begin, zone), ends
    if ends < again:
        for change, _ in _second_pass((ends, again), zone):
            yield change, again


def is_quiet(at: datetime, quiet: Quiet, zone: ZoneInfo) -> bool:
    """Whether an instant lies in the quiet hours: for what is sent later than it was due, and for reminders."""
    instant = int(at.timestamp())
    return any(start <= instant < end for start, end in quiet_spans(quiet, (instant, instant), zone))


def until_quiet(at: datetime, before: datetime, quiet: Quiet, zone: ZoneInfo) -> datetime:
    """Until when something may be sent from `at` on: `before`, or earlier, when quiet hours begin; `at` within them."""
    begin, end = int(at.timestamp()), int(before.timestamp())
    free = free_spans((begin, end), quiet_spans(quiet, (begin, end), zone))
    return datetime.fromtimestamp(free[0][1], UTC) if free and free[0][0] == begin else at


# --- Pauses


def pause_spans(paused: Paused, around: TimeSpan, zone: ZoneInfo) -> list[TimeSpan]:
    """The days of pauses that a span touches, each as long as the clock says it is."""
    first, last = (_local(edge, zone).date() for edge in around)
    touched = [(max(begin, first), min(end, last)) for begin, end in paused if begin <= last and end >= first]
    return [(instant_of(begin, time.min, zone), instant_of(end + ONE_DAY, time.min, zone)) for begin, end in touched]


def is_paused(at: datetime, paused: Paused, zone: ZoneInfo) -> bool:
    """Whether an instant lies on a day of a pause."""
    on = at.astimezone(zone).date()
    return any(begin <= on <= end for begin, end in paused)


def until_paused(at: datetime, before: datetime, paused: Paused, zone: ZoneInfo) -> datetime:
    """Until when something may be sent from `at` on: `before`, or earlier, when a pause begins; `at` within one."""
    begin, end = int(at.timestamp()), int(before.timestamp())
    free = free_spans((begin, end), pause_spans(paused, (begin, end), zone))
    return datetime.fromtimestamp(free[0][1], UTC) if free and free[0][0] == begin else at


# --- Caps


def over_cap(
    at: datetime, zone: ZoneInfo, schedule: Schedule, asked: Collection[AskedBefore]
) -> Literal["full_day", "full_week"] | None:
    """Whether one more prompt at that instant would be too many, and for what.

    It counts on the date on which it arrives, and in that date's ISO week (Monday to Sunday, as for sealed check-ins:
    the same for everybody, whatever their country takes for the first day). A prompt from before a change of zone
    counts on both dates that it can be said to have come on. A planned prompt never gives way to a later one.
    """
    on = at.astimezone(zone).date()
    monday = on - timedelta(days=on.weekday())
    next_monday = monday + ONE_WEEK
    dates = [(one.on, one.at.astimezone(zone).date()) for one in asked]
    if sum(on in its for its in dates) >= schedule.max_per_day:
        return "full_day"
    if sum(monday <= a < next_monday or monday <= b < next_monday for a, b in dates) >= schedule.max_per_week:
        return "full_week"
    return None


# --- After shared events


class SharedEvent(Struct, frozen=True):
    """What planning needs of a shared event; `me` and `partner` are the authors' ids within the relationship."""

    event_id: UUID
    recorded_at: datetime
    me: UUID
    partner: UUID


def after_event(
    event: SharedEvent, schedule: Schedule, place: Whereabouts, seed: bytes, asked: Collection[AskedBefore]
) -> Occurrence:
    """When one member is asked after a shared event: drawn from what is free of their half of their own delay.

    Nothing of the partner but the id goes in, so no setting of theirs can move it. Where both have the same delay, of
    30 minutes or more, the two are at least as far apart; for any two delays that cannot be had without looking at
    the other's. The event's id is the key: each event is asked about once.
    """
    day = event.recorded_at.astimezone(place.zone).date()
    if any(one.item_id == event.event_id for one in asked):
        return Occurrence(event.event_id, day, omitted="asked")
    first, last = half_of(event, schedule.after_events.delay_minutes)
    begin = ceil(event.recorded_at.timestamp())
    window = begin + first, begin + last + 1
    closed = quiet_spans(schedule.quiet, window, place.zone)
    at, omitted = _moment(window, closed, schedule, place, draw(seed, "after", event.event_id))
    found = _occurrence(event.event_id, day, place, at, omitted)
    return _within_caps(found, schedule, place, asked)


def half_of(event: SharedEvent, delay_minutes: int) -> TimeSpan:
    """The first and the last second after the event at which `me` may be asked.

    The smaller hash of event and author has the first half: swapping the two swaps their halves, and neither has
    the first one always. 30 minutes between the halves belong to nobody, or the whole delay where it is shorter.
    """
    delay = delay_minutes * 60
    apart = min(APART_SECONDS, delay)
    end_of_first = (delay - apart) // 2
    if _hash(event.event_id, event.me) < _hash(event.event_id, event.partner):
        return 0, end_of_first
    return end_of_first + apart, delay


def _hash(event_id: UUID, author: UUID) -> bytes:
    return hashlib.sha256(b"mutuality/half/v1|" + event_id.bytes + author.bytes).digest()


# --- Drawing


def draw(seed: bytes, *what: object) -> int:
    """64 uniform bits for what is drawn. The seed is the member's secret: nobody without it can foresee a moment."""
    return int.from_bytes(hmac.digest(seed, "|".join(map(str, what)).encode(), "sha256")[:8])


def free_spans(span: TimeSpan, closed: Iterable[TimeSpan]) -> list[TimeSpan]:
    """A span without what is closed, in order."""
    free, (begin, end) = [], span
    for start, stop in sorted(closed):
        if begin < min(start, end):
            free.append((begin, min(start, end)))
        begin = max(begin, stop)
    return [*free, (begin, end)] if begin < end else free


def _point(free: Iterable[TimeSpan], drawn: int) -> int:
    """The second that was drawn from the free ones, each as likely as any other."""
    spans = list(free)
    ahead = drawn * sum(end - start for start, end in spans) >> 64
    for start, end in spans:
        if ahead < end - start:
            break
        ahead -= end - start
    return start + ahead


# --- Local time


def instant_of(day: date, clock: time, zone: ZoneInfo, fold: Literal[0, 1] = 0) -> int:
    """The instant of a local time, the second of two with fold=1; of one that the clock skips, the change."""
    wall = datetime.combine(day, clock, zone)
    shown = int(wall.replace(fold=fold).timestamp())
    # Two times of the same zone compare by their local time.
    if _local(shown, zone) == wall:
        return shown
    # Computed with the offset from after the change it is an instant before it, and the other way round.
    before, after = (int(wall.replace(fold=side).timestamp()) for side in (1, 0))
    return _first(range(before, after), lambda instant: _local(instant, zone) >= wall)


def _first(instants: range, is_so: Callable[[int], bool]) -> int:
    """The first of these instants at which it is so; from there on it stays so."""
    return instants.start + bisect_left(instants, True, key=is_so)


def _local(instant: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(instant, zone)


def _offset_seconds(instant: int, zone: ZoneInfo) -> int:
    offset = _local(instant, zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())
