"""Erase a member: their key first, then every row. The other keeps their own telling, and a chain that verifies."""

from uuid import UUID

import structlog
from litestar import Response, delete
from litestar.background_tasks import BackgroundTask

from events.erasing import erase_texts
from events.heads import DbConnection, lock_heads, touch_head
from events.waiting import forget_waiting
from projections import pages
from projections.rebuild import Stream, rebuild
from service.access.authentication import require_step_up
from service.access.memberships import Membership, memberships_of
from service.accounts import members
from service.context import Context
from service.data_rights import recounts
from service.data_rights.recounts import recount_due
from service.errors import StepUpRequired
from service.prompts import forgetting as prompts
from service.push import outbox
from service.relationships import seats
from service.relationships.leaving import leave_as
from service.web.operation import described
from service.web.requests import ApiRequest, context_of
from service.web.responses import empty_answer

log = structlog.get_logger()


@delete(
    "/v1/me",
    status_code=204,
    opt=described(
        id="eraseMe",
        tag="Leave",
        summary="Erase me and all that I recorded, for ever; needs a step-up",
        answers={204: None},
        problems=(StepUpRequired,),
    ),
)
async def erase_me(request: ApiRequest) -> Response[None]:
    """Relationships end first. Where I was, the partner sees that something was erased, and no more."""
    member, context = await require_step_up(request), context_of(request)
    await erase(context, member.member_id)
    return empty_answer(BackgroundTask(recount_due, context))


async def erase(context: Context, member_id: UUID) -> None:
    """Idempotent: every step can be repeated, and the account goes last, so a caller without an answer asks again."""
    await _leave_everything(context, member_id)
    memberships = await _memberships(context, member_id)
    # From here on nothing that the member wrote can be decrypted, whatever happens to the rest.
    await context.keys.destroy_for_member(member_id)
    await _say_what_backups_open(context)
    for membership in memberships:
        await _erase_from(context, member_id, membership)
    async with context.maintenance_db.acquire() as db, db.transaction():
        await _forget_account(db, member_id)


async def _memberships(context: Context, member_id: UUID) -> list[Membership]:
    async with context.acting_as(member_id) as db:
        return await memberships_of(db, member_id, context.now())


async def _say_what_backups_open(context: Context) -> None:
    epochs = await context.keys.epochs()
    log.warning("backups_open_until_rotation", epochs=epochs.numbers, erasures=epochs.erasures)


async def _leave_everything(context: Context, member_id: UUID) -> None:
    # Who leaves while confirming is alone again, and then ends what they are alone in.
    while left := [m for m in await _memberships(context, member_id) if m.state != "ended"]:
        for membership in left:
            await leave_as(context, member_id, membership)


async def _erase_from(context: Context, member_id: UUID, membership: Membership) -> None:
    rid, streams = membership.relationship_id, (membership.private, membership.shared)
    keys = (await context.keys.fetch_relationship_keys([rid]))[rid]
    async with context.maintenance_db.acquire() as db, db.transaction():
        # After acquiring the locks: what another device of the member is recording comes before, and is erased too, or
        # is refused, because its author is a reader no more.
        await lock_heads(db, streams)
        await seats.forget(db, rid, member_id)
        await erase_texts(db, rid, membership.seat)
        await pages.forget(db, rid, membership.seat)
        await forget_waiting(db, rid)
        await rebuild(db, [Stream(membership.shared, membership.shared, keys)])
        if membership.partner_id is not None:
            await recounts.note(db, rid, 3 - membership.seat)
        # Whoever has looked at the heads before, and is about to write, finds that something has changed.
        for stream in streams:
            await touch_head(db, stream)


async def _forget_account(db: DbConnection, member_id: UUID) -> None:
    # The sessions first: who writes for a session locks it. Then in the order of those who plan and send: a schedule,
    # its prompts, their pushes.
    await members.forget_sessions(db, member_id)
    await prompts.forget(db, member_id)
    await outbox.forget(db, member_id)
    await members.forget(db, member_id)
