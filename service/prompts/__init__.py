"""When a member is asked, and what: the schedule, the plan, the prompts that are due, and what answers them.

Enters: schedules; notices of recorded entries; the time.
Leaves: prompts, and pushes in the outbox; the catalogue of questions.
Writes: `schedules`, `prompts`; `occasions` (`recording` notes one in the statement that appends its event); in the
`outbox` the pushes that tell of a prompt, with each change of it.
Never imports: `push`, `recording`; its rules (catalogue, schedule, planning, lifecycle) neither database nor web.
"""

from typing import Any

from service.prompts.prompts_api import dismiss_prompt, list_prompts
from service.prompts.questions_api import list_questions
from service.prompts.schedule_api import get_schedule, put_schedule

ROUTES: list[Any] = [
    get_schedule,
    put_schedule,
    list_prompts,
    dismiss_prompt,
    list_questions,
]
