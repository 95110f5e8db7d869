"""What a worker leaves behind, laid down by hand: prompts in any state, and pushes that wait."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg

from service.prompts.catalogue import QuestionId
from service.prompts.ciphertexts import encrypt_questions
from service.prompts.lifecycle import OPEN_FOR
from tests.support.phones import NOON, Json, Phone, Running

Database: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
HOUR = timedelta(hours=1)

PROMPT = """
INSERT INTO prompts (
    member_id,
    prompt_id,
    relationship_id,
    reason,
    item_id,
    day,
    asked_on,
    questions,
    looked_into,
    due_at,
    send_before,
    remind_at,
    remind_before,
    expires_at,
    state,
    late
) VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $10, $11, $12, $13, $14, false)
"""

PUSH = """
INSERT INTO outbox (
    member_id,
    prompt_id,
    device_id,
    class,
    due_at,
    send_before,
    attempts,
    parked
)
SELECT $1, $2, device_id, $3, $4::timestamptz, $4::timestamptz + interval '1 hour', 0, false
FROM devices
WHERE member_id = $1
"""


@asynccontextmanager
async def opened(database_url: str) -> AsyncIterator[Database]:
    """A database, as its superuser."""
    db = await asyncpg.connect(database_url)
    try:
        yield db
    finally:
        await db.close()


async def rows(service: Running, table: str, order: str = "1, 2") -> list[Any]:
    """All of a table."""
    return await service.ask(f"SELECT * FROM {table} ORDER BY {order}")


async def prompted(
    service: Running,
    phone: Phone,
    state: str = "sent",
    due_at: datetime = NOON,
    about: UUID | str | None = None,
    questions: tuple[QuestionId, ...] = ("close",),
    remind_after: timedelta | None = 2 * HOUR,
) -> str:
    """A prompt of the phone's member, looked into; about an event if one is named."""
    prompt_id, remind_at = uuid4(), due_at + remind_after if remind_after else None
    asked = await encrypt_questions(service.app.state.context.keys, UUID(phone.member_id), questions)
    await service.ask(
        PROMPT,
        *(phone.member_id, prompt_id, phone.rid, "after_event" if about else "schedule", about or uuid4()),
        *(due_at.date(), asked, True, due_at, due_at + HOUR),
        *(remind_at, remind_at and remind_at + HOUR, due_at + OPEN_FOR, state),
    )
    return str(prompt_id)


async def pushing(service: Running, phone: Phone, prompt_id: str, kind: str = "prompt") -> None:
    """A push for that prompt waits for each device of its member."""
    await service.ask(PUSH, phone.member_id, prompt_id, kind, NOON)


async def device(phone: Phone) -> str:
    """A device, registered, with an address of its own."""
    body = {"platform": "ios", "provider": "apns", "token": uuid4().hex}
    found: str = (await phone.expect(200, "PUT", f"/v1/me/devices/{uuid4()}", body))["id"]
    return found


async def listed(phone: Phone, **query: str) -> list[Json]:
    """The phone's prompts."""
    found: list[Json] = (await phone.get("/v1/me/prompts", **query))["prompts"]
    return found
