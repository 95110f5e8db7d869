"""A schedule as a member writes it: when to ask and what, with its quiet hours and caps; and what is valid in one."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from msgspec import Meta, Struct, field

from events.entries import FeltItem, is_of_a_place
from service.errors import Invalid
from service.prompts.catalogue import AFTER_QUESTIONS, AfterQuestion, SelfQuestion

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)  # in the order of date.weekday()

MAX_A_DAY, MAX_A_WEEK = 2, 10
MAX_CHECK_INS = 50
DISTINCT = {"uniqueItems": True}

# The length as well: $ also matches before a last line break.
ClockTime = Annotated[
    str,
    Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5, description="A time of day, 00:00 to 23:59."),
]


class ScheduledCheckIn(Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A prompt at a random moment from `from` until before `to` on some weekdays.

    `to` may be earlier than `from`: the window then ends on the next day, and belongs to the day on which it begins.
    """

    id: Annotated[UUID, Meta(description="Given by the phone: any UUID, version 4 recommended.")]
    relationship_id: Annotated[UUID, Meta(description="A relationship of mine.")]
    weekdays: Annotated[list[Weekday], Meta(min_length=1, max_length=7, extra_json_schema=DISTINCT)]
    from_: ClockTime
    to: ClockTime
    questions: Annotated[
        list[Literal[FeltItem, SelfQuestion]],
        Meta(max_length=11, description="What to ask; none for a check-in of one's own.", extra_json_schema=DISTINCT),
    ]


class AfterEvents(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether to ask after shared events; each of the two is asked in a half of the delay of their own."""

    enabled: bool = False
    delay_minutes: Annotated[int, Meta(ge=0, le=1440, description="How long after an event at the most.")] = 240
    questions: Annotated[
        list[Literal[AfterQuestion, FeltItem]],
        Meta(max_length=12, description="What to ask.", extra_json_schema=DISTINCT),
    ] = field(default_factory=lambda: list(AFTER_QUESTIONS))


class Quiet(Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Hours without any prompt, every day; may cross midnight. `from` = `to` means none."""

    from_: ClockTime = "22:00"
    to: ClockTime = "08:00"


class Schedule(Struct, frozen=True, forbid_unknown_fields=True):
    """When and what to ask me, in my time zone. What is left out is as it is for a new member: nothing is asked."""

    check_ins: Annotated[list[ScheduledCheckIn], Meta(max_length=MAX_CHECK_INS)] = field(default_factory=list)
    after_events: AfterEvents = AfterEvents()
    quiet: Quiet = Quiet()
    max_per_day: Annotated[int, Meta(ge=0, le=MAX_A_DAY, description="Prompts on one day of mine.")] = MAX_A_DAY
    max_per_week: Annotated[
        int, Meta(ge=0, le=MAX_A_WEEK, description="Prompts in one ISO week, Monday to Sunday.")
    ] = MAX_A_WEEK
    paused_until: Annotated[datetime, Meta(tz=True, description="No prompt before, RFC 3339.")] | None = None


def validate(schedule: Schedule, relationship_ids: Collection[UUID]) -> None:
    """Raises Invalid, with a pointer to the first thing that breaks a rule. The ids are those of the member's own."""
    _distinct([item.id for item in schedule.check_ins], "/check_ins", "/id")
    for number, item in enumerate(schedule.check_ins):
        pointer = f"/check_ins/{number}"
        if item.relationship_id not in relationship_ids:
            raise Invalid("This is not a relationship of yours.", f"{pointer}/relationship_id")
        if item.from_ == item.to:
            raise Invalid("A window needs some length: to must differ from from.", f"{pointer}/to")
        _distinct(item.weekdays, f"{pointer}/weekdays")
        _distinct(item.questions, f"{pointer}/questions")
    _distinct(schedule.after_events.questions, "/after_events/questions")
    if schedule.paused_until is not None and not is_of_a_place(schedule.paused_until):
        raise Invalid("A time has the offset of a place, from -12:00 to +14:00.", "/paused_until")


def _distinct(values: Sequence[Any], pointer: str, within: str = "") -> None:
    for number, value in enumerate(values):
        if value in values[:number]:
            raise Invalid("This stands here twice.", f"{pointer}/{number}{within}")
