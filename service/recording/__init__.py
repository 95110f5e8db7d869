"""The one write path: whatever enters the log enters here, in one transaction with its counts.

Enters: entries of members, one by one or as a phone's queue; what the service announces; what is imported.
Leaves: recorded events, replays, or refusals; notices for `prompts` and listeners.
Writes: `events`, `heads`, `pages`, `waiting`; notes `occasions` for `prompts`.
Never imports: `reading`, `relationships`; behind its two handlers no web framework. Others import `recorder` alone.
"""

from typing import Any

from service.recording.entries import (
    record_check_in,
    record_decision,
    record_opening,
    record_request,
    record_retraction,
)
from service.recording.offline_queue import sync

ROUTES: list[Any] = [
    record_check_in,
    record_opening,
    record_request,
    record_decision,
    record_retraction,
    sync,
]
