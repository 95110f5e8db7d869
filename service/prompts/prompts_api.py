"""Read my prompts, open and over, and dismiss one. The states of a prompt are those of `lifecycle`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from asyncpg import Record
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from service.access.authentication import current_member
from service.context import ConnectionPool, Context
from service.database.batching import BatchedLookup
from service.database.pool import checked_out
from service.errors import NotFound
from service.prompts import lifecycle
from service.prompts.answering import PromptStep, apply_steps, lock_prompts
from service.prompts.catalogue import QuestionId
from service.prompts.ciphertexts import decrypt_questions
from service.prompts.self_questions import ask_of_oneself, asked_questions, self_questions_paused
from service.web.operation import described
from service.web.requests import ApiRequest, context_of, decode_query, path_uuid
from service.web.responses import empty_answer, tagged_answer

MAX_PROMPTS = 200

# As shown: open is what was sent and has not expired, lapsed what has, even before its row says so.
ShownState = Literal["open", "answered", "lapsed", "dismissed"]


class Prompt(Struct, frozen=True):
    """Something that I was asked. `about` is the shared event that it followed; questions stand in the catalogue."""

    id: UUID
    relationship_id: UUID
    reason: Literal["schedule", "after_event"]
    about: UUID | None
    questions: list[QuestionId]
    due_at: datetime
    expires_at: datetime
    state: ShownState


class Prompts(Struct, frozen=True):
    """My prompts, the newest first."""

    prompts: list[Prompt]


class PromptsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which prompts; all that were sent where left out."""

    state: Annotated[ShownState, Meta(description="open: it can still be answered in time.")] | None = None


# What is scheduled is not shown: a moment that one knows of is no moment to be asked at.
PROMPTS = """
SELECT
    prompt_id,
    relationship_id,
    reason,
    item_id,
    questions,
    due_at,
    expires_at,
    shown.state
FROM prompts
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN prompts.state <> 'sent' THEN prompts.state
        WHEN prompts.expires_at > $2 THEN 'open'
        ELSE 'lapsed'
    END AS state
) AS shown
WHERE member_id = $1
    AND prompts.state <> 'scheduled'
    AND ($3::text IS NULL OR shown.state = $3)
ORDER BY
    due_at DESC,
    prompt_id
LIMIT $4
"""


@get(
    "/v1/me/prompts",
    opt=described(
        id="listPrompts",
        cached=True,
        tag="Be asked",
        summary="What I was asked, newest first, 200 at most",
        query=PromptsQuery,
        answers={200: Prompts},
    ),
)
async def list_prompts(request: ApiRequest) -> ASGIApp:
    """Of questions about myself none is shown while they rest, and no prompt that has no other."""
    member, query = await current_member(request), decode_query(request, PromptsQuery)
    found = await prompts_of(context_of(request), member.member_id, query.state, MAX_PROMPTS)
    return tagged_answer(request, Prompts(found))


async def prompts_of(context: Context, member_id: UUID, state: ShownState | None, limit: int | None) -> list[Prompt]:
    """The member's prompts that were sent, the newest first; all of them without a limit."""
    now = context.now()
    async with context.acting_as(member_id) as db:
        rows = await db.fetch(PROMPTS, member_id, now, state, limit)
    return await _told(context, member_id, rows, now)


# Of many members, whose first screens ask at the same moment. It acts for them by itself, as service/context.py
# explains.
OPEN = """
WITH acting AS MATERIALIZED (
    SELECT set_config('mutuality.members', $1::uuid[]::text, true) AS members
)
SELECT found.*
FROM acting
CROSS JOIN LATERAL (
    SELECT
        prompts.member_id,
        prompts.prompt_id,
        prompts.relationship_id,
        prompts.reason,
        prompts.item_id,
        prompts.questions,
        prompts.due_at,
        prompts.expires_at,
        'open' AS state
    FROM unnest($1::uuid[]) AS asked (member_id)
    JOIN prompts USING (member_id)
    WHERE prompts.state = 'sent'
        AND prompts.expires_at > $2
        AND acting.members IS NOT NULL
    OFFSET 0
) AS found
ORDER BY
    due_at DESC,
    prompt_id
"""


class OpenPrompts:
    """What members can answer now, looked up together. The pool's connections must belong to the service's role."""

    def __init__(self, context: Context, db: ConnectionPool) -> None:
        self._context, self._db = context, db
        self._lookup: BatchedLookup[UUID, list[Record]] = BatchedLookup(self._look_up)

    async def find(self, member_id: UUID) -> list[Prompt]:
        """The prompts of one member, the newest first."""
        rows = await self._lookup.find(member_id)
        return await _told(self._context, member_id, rows, self._context.now()) if rows else []

    async def _look_up(self, asked: Sequence[UUID]) -> dict[UUID, list[Record]]:
        found: dict[UUID, list[Record]] = {}
        async with checked_out(self._db) as db:
            for row in await db.fetch(OPEN, asked, self._context.now()):
                found.setdefault(row["member_id"], []).append(row)
        return found


async def _told(context: Context, member_id: UUID, rows: Sequence[Record], now: datetime) -> list[Prompt]:
    chosen = [await decrypt_questions(context.keys, member_id, row["questions"]) for row in rows]
    paused = any(map(ask_of_oneself, chosen)) and await _paused(context, member_id, now)
    shown = [(row, asked_questions(each, paused=paused)) for row, each in zip(rows, chosen, strict=True)]
    return [_prompt(row, asked) for (row, asked), each in zip(shown, chosen, strict=True) if asked or not each]


async def _paused(context: Context, member_id: UUID, now: datetime) -> bool:
    async with context.acting_as(member_id) as db:
        return await self_questions_paused(context, db, member_id, now)


def _prompt(row: Record, questions: list[QuestionId]) -> Prompt:
    return Prompt(
        row["prompt_id"],
        row["relationship_id"],
        row["reason"],
        row["item_id"] if row["reason"] == "after_event" else None,
        questions,
        row["due_at"],
        row["expires_at"],
        row["state"],
    )


@post(
    "/v1/me/prompts/{prompt_id:str}/dismiss",
    status_code=204,
    opt=described(
        id="dismissPrompt",
        tag="Be asked",
        summary="Put a prompt aside, on all devices",
        answers={204: None},
        problems=(NotFound,),
    ),
)
async def dismiss_prompt(request: ApiRequest, prompt_id: FromPath[str]) -> Response[None]:
    """Again, or when it is over, it changes nothing. Nobody learns of it, and nothing counts it."""
    member, context, wanted = await current_member(request), context_of(request), path_uuid(prompt_id)
    now, name = context.now(), (member.member_id, wanted)
    async with context.acting_as(member.member_id) as db, db.transaction():
        was = (await lock_prompts(db, [name])).get(name)
        if was is None or was.state == "scheduled":
            raise NotFound
        step = PromptStep(*name, was, lifecycle.dismissed(lifecycle.lapsed(was, now)))
        await apply_steps(db, [step], now)
    return empty_answer()
