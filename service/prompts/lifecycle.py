"""The state machine of a prompt, in pure functions; nothing else decides what becomes of one.

    scheduled ────▶ sent ────▶ dismissed, lapsed
        └────────────┴───────────────┴─────────▶ answered

    scheduled   planned, and shown to nobody. `planner` makes it; `dispatch` sends it when it is due, or deletes it
                when it is too late to send: nobody learns that it was missed.
    sent        the member's devices show it until `expires_at`; `dispatch` reminds of it once, two hours later.
    dismissed   put aside on one device (`prompts_api`), and taken back from all.
    lapsed      over without an answer (`dispatch`). Nothing counts or shows it, and no device is woken to take it back.
    answered    a check-in named it (`answering`): final, from whatever state, and taken back from all devices.

A member has several devices, some of them offline: steps that come late, twice or in another order end the same.
`dispatch` takes its steps in SQL, many prompts at once, under the same conditions.
"""

from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from service.prompts.planning import is_quiet
from service.prompts.schedule import Quiet

PromptState = Literal["scheduled", "sent", "answered", "dismissed", "lapsed"]

# An evening's prompt can still be answered in the morning, and is gone before the next evening's.
OPEN_FOR = timedelta(hours=12)
REMIND_AFTER = timedelta(hours=2)


class PromptLife(Struct, frozen=True):
    """One prompt of one member. `late` says of an answer that it was given when the prompt was over."""

    state: PromptState
    due_at: datetime
    expires_at: datetime
    reminded_at: datetime | None = None
    answered_at: datetime | None = None
    late: bool = False


def scheduled(due_at: datetime) -> PromptLife:
    """A new prompt."""
    return PromptLife("scheduled", due_at, due_at + OPEN_FOR)


def sent(prompt: PromptLife, at: datetime) -> PromptLife:
    """Handed to the member's devices. Not before it is due, not when it is over, and never a second time."""
    if prompt.state != "scheduled" or at < prompt.due_at:
        return prompt
    return lapsed(prompt, at) if at >= prompt.expires_at else replace(prompt, state="sent")


def reminder_due_at(prompt: PromptLife, quiet: Quiet, zone: ZoneInfo) -> datetime | None:
    """When to remind of it: once, while it is open, and never in quiet hours, where it is left out.

    A reminder is no second prompt, so it does not count against the caps.
    """
    at = prompt.due_at + REMIND_AFTER
    if prompt.state != "sent" or prompt.reminded_at or is_quiet(at, quiet, zone):
        return None
    return at


def reminded(prompt: PromptLife, at: datetime) -> PromptLife:
    """The one reminder was handed over; where there can be none (any more), nothing changes, and none may be sent."""
    if prompt.state != "sent" or prompt.reminded_at or at >= prompt.expires_at:
        return prompt
    return replace(prompt, reminded_at=at)


def answered(prompt: PromptLife, occurred_at: datetime) -> PromptLife:
    """A check-in names it. The time of answering counts, not that of arriving here: phones are offline.

    Who answers before it was sent is not asked any more. Of several answers the earliest says when it was answered.
    """
    first = min(occurred_at, prompt.answered_at or occurred_at)
    return replace(prompt, state="answered", answered_at=first, late=first >= prompt.expires_at)


def dismissed(prompt: PromptLife) -> PromptLife:
    """Put aside on one device; no other shows it any more."""
    return replace(prompt, state="dismissed") if prompt.state in ("scheduled", "sent") else prompt


def lapsed(prompt: PromptLife, at: datetime) -> PromptLife:
    """Over without an answer, once its time has passed."""
    over = prompt.state in ("scheduled", "sent") and at >= prompt.expires_at
    return replace(prompt, state="lapsed") if over else prompt


def withdraws(before: PromptLife, after: PromptLife) -> bool:
    """Whether the step takes the notification back from the devices that show it."""
    return before.state == "sent" and after.state != "sent"
