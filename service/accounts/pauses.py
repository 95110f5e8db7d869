"""My pauses: read, set and removed by me alone."""

from datetime import date
from typing import Annotated
from uuid import UUID

from litestar import Response, delete, get, put
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from events.heads import DbConnection
from service.access.authentication import Member, current_member, lock_session
from service.access.pauses import Pause, decrypt_pauses, encrypt_pauses, spans_of
from service.context import Context
from service.errors import Invalid, NotFound
from service.prompts.replanning import change_pauses, lock_schedule
from service.web.operation import described
from service.web.requests import ApiRequest, context_of, decode_body, path_uuid
from service.web.responses import empty_answer, json_answer, tagged_answer

MAX_PAUSES = 100


class PauseSet(Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """When I pause, in days of my time zone, both included. Without `to` it lasts until it is changed."""

    from_: Annotated[date, Meta(description="The first day.")]
    to: Annotated[date, Meta(description="The last day.")] | None = None


class Pauses(Struct, frozen=True):
    """My pauses, in the order of their first days."""

    pauses: list[Pause]


PAUSES = """
SELECT pauses
FROM members
WHERE member_id = $1
"""

LOCK_PAUSES = """
SELECT pauses
FROM members
WHERE member_id = $1
FOR NO KEY UPDATE
"""

SET_PAUSES = """
UPDATE members
SET pauses = $2
WHERE member_id = $1
"""


@get("/v1/me/pauses", opt=described(id="listPauses", tag="Me", summary="My pauses", answers={200: Pauses}, cached=True))
async def list_pauses(request: ApiRequest) -> ASGIApp:
    """Nobody else can tell that there are any."""
    return tagged_answer(request, Pauses(await pauses_of(context_of(request), await current_member(request))))


@get(
    "/v1/me/pauses/{pause_id:str}",
    opt=described(
        id="getPause", tag="Me", summary="One pause of mine", answers={200: Pause}, cached=True, problems=(NotFound,)
    ),
)
async def get_pause(request: ApiRequest, pause_id: FromPath[str]) -> ASGIApp:
    """As it was set."""
    mine = await pauses_of(context_of(request), await current_member(request))
    return tagged_answer(request, _found(mine, path_uuid(pause_id)))


async def pauses_of(context: Context, member: Member) -> list[Pause]:
    """The member's pauses."""
    async with context.acting_as(member.member_id) as db:
        ciphertext = await db.fetchval(PAUSES, member.member_id)
    return await decrypt_pauses(context.keys, member.member_id, ciphertext)


def _found(pauses: list[Pause], pause_id: UUID) -> Pause:
    for one in pauses:
        if one.id == pause_id:
            return one
    raise NotFound


@put(
    "/v1/me/pauses/{pause_id:str}",
    opt=described(
        id="putPause",
        tag="Me",
        summary="Pause on some days, without a reason, and without anybody else noticing",
        body=PauseSet,
        answers={200: Pause},
        problems=(NotFound,),
    ),
)
async def put_pause(request: ApiRequest, pause_id: FromPath[str]) -> ASGIApp:
    """Nothing is asked on these days, and my own view of counts leaves them out, in both columns. At most 100."""
    member, named = await current_member(request), path_uuid(pause_id)
    wanted = await decode_body(request, PauseSet)
    if wanted.to is not None and wanted.to < wanted.from_:
        raise Invalid("to must not lie before from.", "/to")
    pause = Pause(named, wanted.from_, wanted.to)
    await _change(request, member, named, pause)
    return json_answer(pause)


@delete(
    "/v1/me/pauses/{pause_id:str}",
    status_code=204,
    opt=described(
        id="removePause", tag="Me", summary="Pause no longer on these days", answers={204: None}, problems=(NotFound,)
    ),
)
async def remove_pause(request: ApiRequest, pause_id: FromPath[str]) -> Response[None]:
    """Its days count again in my view, as if it had never been."""
    member = await current_member(request)
    await _change(request, member, path_uuid(pause_id), None)
    return empty_answer()


async def _change(request: ApiRequest, member: Member, pause_id: UUID, pause: Pause | None) -> None:
    """Set a pause, or remove it. Raises NotFound where there is none to remove."""
    context = context_of(request)
    async with context.acting_as(member.member_id) as db, db.transaction():
        await lock_session(db, member)
        await _store(context, db, member.member_id, pause_id, pause)


async def _store(context: Context, db: DbConnection, member_id: UUID, pause_id: UUID, pause: Pause | None) -> None:
    await lock_schedule(db, member_id)
    before = await decrypt_pauses(context.keys, member_id, await db.fetchval(LOCK_PAUSES, member_id))
    if pause is None:
        _found(before, pause_id)
    kept = [one for one in before if one.id != pause_id] + ([pause] if pause else [])
    if len(kept) > MAX_PAUSES:
        raise Invalid("There is room for 100 pauses: remove one that is over.")
    after = sorted(kept, key=lambda one: (one.from_, one.id))
    await change_pauses(db, context.keys, member_id, spans_of(after), context.now())
    await db.execute(SET_PAUSES, member_id, await encrypt_pauses(context.keys, member_id, after))
