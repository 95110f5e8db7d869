"""Leave a relationship, by one call of one member."""

from uuid import UUID

from litestar import Response, post
from litestar.params import FromPath

from events.entries import Ended
from service.access.authentication import current_member
from service.access.memberships import Membership, membership_of
from service.context import Context
from service.database.pool import checked_out
from service.errors import NotFound
from service.prompts.forgetting import forget_prompts
from service.recording import recorder
from service.relationships import seats
from service.relationships.state import forget_invite, lock_state, set_state
from service.web.operation import described
from service.web.requests import ApiRequest, context_of
from service.web.responses import empty_answer


@post(
    "/v1/relationships/{rid:str}/leave",
    status_code=204,
    opt=described(
        id="leave",
        tag="Leave",
        summary="Leave, at once and without a reason; the other is not notified",
        answers={204: None},
        problems=(NotFound,),
    ),
)
async def leave(request: ApiRequest, rid: FromPath[str]) -> Response[None]:
    """Leaving an ended relationship again changes nothing. While confirming, its maker is alone again."""
    member = await current_member(request)
    membership = await membership_of(request, member, rid)
    await leave_as(context_of(request), member.member_id, membership)
    return empty_answer()


async def leave_as(context: Context, member_id: UUID, membership: Membership) -> None:
    """End it, or withdraw where it is not confirmed yet; delete the prompts about it."""
    # Each reads the state again after acquiring its lock: it may have changed since it was read, and between the two.
    done = membership.state == "confirming" and await _withdraw(context, membership)
    while not done:
        done = await _end(context, member_id, membership) or await _withdraw(context, membership)
    await forget_prompts(context, membership.relationship_id)


async def _end(context: Context, member_id: UUID, membership: Membership) -> bool:
    async with context.acting_as(member_id) as db, db.transaction():
        match await lock_state(db, membership):
            case "confirming":
                return False
            case "solo" | "inviting":
                await set_state(db, membership.relationship_id, "ended")
            case "active":
                # The head is locked first: who is sharing at this moment finishes before, and nobody shares after it.
                await recorder.announce(context, db, membership.shared, Ended())
                await set_state(db, membership.relationship_id, "ended")
            case "ended":
                pass
        await forget_invite(db, membership.relationship_id)
    return True


REMOVE_SECOND = """
DELETE FROM memberships
WHERE relationship_id = $1
    AND seat = 2
RETURNING member_id
"""


async def _withdraw(context: Context, membership: Membership) -> bool:
    async with checked_out(context.auth_db) as db, db.transaction():
        if await lock_state(db, membership) != "confirming":
            return False
        second = await db.fetchval(REMOVE_SECOND, membership.relationship_id)
        await seats.let_read_no_more(db, membership.relationship_id, second)
        await forget_invite(db, membership.relationship_id)
        await set_state(db, membership.relationship_id, "solo")
    return True
