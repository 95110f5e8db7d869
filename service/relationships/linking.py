"""Link two members, by three acts of their own: an invite, its acceptance, a confirmation. Either may leave."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from asyncpg import UniqueViolationError
from litestar import post
from litestar.background_tasks import BackgroundTask
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from events.entries import Opened
from events.errors import ConsentRequired, IdTaken
from events.heads import DbConnection, create_stream
from events.records import SHARED, StreamKey
from service.access.authentication import Member, current_member
from service.access.consent import require_consent
from service.access.memberships import Membership, membership_of, memberships_of
from service.context import Context
from service.core import tokens
from service.database.pool import checked_out
from service.errors import InviteNotFound, NotFound, NotTheInviter, WrongState
from service.push import outbox
from service.recording import recorder
from service.relationships import seats
from service.relationships.seats import MembershipRow, Seat
from service.relationships.state import LOCK_STATE, forget_invite, lock_state, set_state
from service.relationships.view import Relationship, view_of
from service.web.associations import app_links_of, invite_link
from service.web.operation import described
from service.web.rate_limits import limits_of
from service.web.requests import ApiRequest, context_of, decode_body
from service.web.responses import json_answer

INVITE_TTL = timedelta(hours=24)


class Invite(Struct, frozen=True):
    """A code for one person, to be told in a way that only they hear, and a link that brings it along."""

    code: str
    link: str
    expires_at: datetime


class NewRelationship(Struct, frozen=True, forbid_unknown_fields=True):
    """A relationship to begin. With an id of the phone's own, the call can be repeated: it begins once."""

    id: UUID | None = None


class Accept(Struct, frozen=True, forbid_unknown_fields=True):
    """An invite code. Case, white space of any kind and dashes do not matter."""

    code: Annotated[str, Meta(max_length=100)]


class Accepted(Struct, frozen=True):
    """The relationship that waits for its inviter's confirmation."""

    relationship_id: UUID
    state: Literal["confirming"]


@post(
    "/v1/relationships",
    opt=described(
        id="makeRelationship",
        tag="Relationships",
        summary="Begin a relationship, alone for now; private entries work at once",
        body=NewRelationship,
        answers={200: Relationship, 201: Relationship},
        problems=(IdTaken,),
    ),
)
async def make_relationship(request: ApiRequest) -> ASGIApp:
    """Its streams begin with it. The same id again answers 200 with the relationship as it is now."""
    member = await current_member(request)
    wanted = (await decode_body(request, NewRelationship)).id
    context = context_of(request)
    relationship_id = wanted or tokens.new_id(context.random_bytes, "relationship id")
    known = await _mine(context, member, relationship_id) if wanted else None
    made = known is None and await _make(context, member, relationship_id)
    membership = known or await _mine(context, member, relationship_id)
    if membership is None:
        raise IdTaken
    return json_answer(await view_of(context, membership), 201 if made else 200)


async def _mine(context: Context, member: Member, relationship_id: UUID) -> Membership | None:
    async with context.acting_as(member.member_id) as db:
        found = await memberships_of(db, member.member_id, context.now(), relationship_id)
    return found[0] if found else None


async def _make(context: Context, member: Member, relationship_id: UUID) -> bool:
    """Whether it was made; not, where another call, or another member, has made one of this id."""
    await context.keys.make_for_relationship(relationship_id)
    shared = StreamKey(
        relationship_id, SHARED, tokens.new_id(context.random_bytes, f"shared stream of {relationship_id}")
    )
    with suppress(UniqueViolationError):
        async with checked_out(context.auth_db) as db, db.transaction():
            await seats.insert(db, relationship_id, "solo", shared.stream_id, context.now())
            await create_stream(db, shared)
            await create_stream(db, await _join(context, db, shared, 1, member))
        return True
    return False


async def _join(context: Context, db: DbConnection, shared: StreamKey, seat: Seat, member: Member) -> StreamKey:
    rid, me, now = shared.relationship_id, member.member_id, context.now()
    author_id = tokens.new_id(context.random_bytes, f"author of {rid}")
    private = StreamKey(rid, seat, tokens.new_id(context.random_bytes, f"private stream of {rid}"))
    await seats.join(db, MembershipRow(rid, seat, me, author_id, private.stream_id, member.name_ciphertext, now))
    await seats.let_read(db, rid, seat, me)
    return private


KEEP_INVITE = """
INSERT INTO invites (
    code_hash,
    relationship_id,
    expires_at,
    used
) VALUES ($1, $2, $3, false)
"""


@post(
    "/v1/relationships/{rid:str}/invites",
    opt=described(
        id="invite",
        tag="Relationships",
        summary="Make an invite code for one person; it replaces the one before",
        answers={201: Invite},
        problems=(ConsentRequired, WrongState, NotFound),
    ),
)
async def invite(request: ApiRequest, rid: FromPath[str]) -> ASGIApp:
    """The code is shown once; only its hash is kept."""
    member = await current_member(request)
    membership = await membership_of(request, member, rid)
    require_consent(member.consent_version)
    context = context_of(request)
    code = tokens.new_invite(context.random_bytes, membership.relationship_id)
    expires_at = context.now() + INVITE_TTL
    async with context.acting_as(member.member_id) as db, db.transaction():
        if await lock_state(db, membership) not in ("solo", "inviting"):
            raise WrongState("An invite can be made only while nobody else is in.")
        await set_state(db, membership.relationship_id, "inviting", expires_at)
        await forget_invite(db, membership.relationship_id)
        await db.execute(KEEP_INVITE, tokens.invite_hash(code), membership.relationship_id, expires_at)
    return json_answer(Invite(code, invite_link(app_links_of(request), code), expires_at), 201)


INVITED_TO = """
SELECT relationship_id
FROM invites
WHERE code_hash = $1
"""

# A used one waits for nobody any more, but for its user, whose answer may have been lost.
USED = """
SELECT used
FROM invites
WHERE code_hash = $1
    AND (used OR expires_at > $2)
"""

INVITED = """
SELECT
    relationships.shared_stream_id,
    makers.member_id AS invited_by,
    guests.member_id AS accepted_by
FROM relationships
JOIN memberships AS makers
    ON makers.relationship_id = relationships.relationship_id
    AND makers.seat = 1
LEFT JOIN memberships AS guests
    ON guests.relationship_id = relationships.relationship_id
    AND guests.seat = 2
WHERE relationships.relationship_id = $1
"""

USE_INVITE = """
UPDATE invites
SET used = true
WHERE code_hash = $1
"""


@post(
    "/v1/invites/accept",
    status_code=200,
    opt=described(
        id="acceptInvite",
        tag="Relationships",
        summary="Accept an invite; its maker then confirms",
        body=Accept,
        answers={200: Accepted},
        problems=(ConsentRequired, InviteNotFound),
    ),
)
async def accept_invite(request: ApiRequest) -> ASGIApp:
    """Unknown, used, expired and own codes are told apart by nobody. Whoever used one may send it again."""
    member = await current_member(request)
    code = (await decode_body(request, Accept)).code
    require_consent(member.consent_version)
    context = context_of(request)
    limits_of(request).invites_tried.take((member.member_id.bytes,), context.now())
    async with checked_out(context.auth_db) as db, db.transaction():
        relationship_id, inviter = await _accept(context, db, member, tokens.invite_hash(code))
    # Once it is answered: how many devices the other has is nothing that the time of the answer may tell.
    telling = BackgroundTask(outbox.tell_accepted, context, inviter, relationship_id) if inviter else None
    return json_answer(Accepted(relationship_id, "confirming"), afterwards=telling)


async def _accept(context: Context, db: DbConnection, member: Member, code_hash: bytes) -> tuple[UUID, UUID | None]:
    """The relationship, and who is to be told: nobody where it was accepted before."""
    relationship_id: UUID | None = await db.fetchval(INVITED_TO, code_hash)
    if relationship_id is None:
        raise InviteNotFound
    await db.fetchval(LOCK_STATE, relationship_id)
    # Read after locking: of two who use one code at once, one gets in, and nobody by one that was replaced meanwhile.
    used = await db.fetchval(USED, code_hash, context.now())
    row = await db.fetchrow(INVITED, relationship_id)
    if used is None or row is None or row["invited_by"] == member.member_id:
        raise InviteNotFound
    if used and row["accepted_by"] != member.member_id:
        raise InviteNotFound
    if not used:
        await _join(context, db, StreamKey(relationship_id, SHARED, row["shared_stream_id"]), 2, member)
        await db.execute(USE_INVITE, code_hash)
        await set_state(db, relationship_id, "confirming")
    return relationship_id, None if used else row["invited_by"]


@post(
    "/v1/relationships/{rid:str}/confirm",
    status_code=200,
    opt=described(
        id="confirm",
        tag="Relationships",
        summary="Confirm who accepted my invite",
        answers={200: Relationship},
        problems=(ConsentRequired, NotTheInviter, WrongState, NotFound),
    ),
)
async def confirm(request: ApiRequest, rid: FromPath[str]) -> ASGIApp:
    """From now on both can share. Confirming again changes nothing."""
    member = await current_member(request)
    membership = await membership_of(request, member, rid)
    require_consent(member.consent_version)
    if membership.seat != 1:
        raise NotTheInviter
    context = context_of(request)
    async with context.acting_as(member.member_id) as db, db.transaction():
        state = await lock_state(db, membership)
        if state == "confirming":
            await _open(context, db, membership)
        elif state != "active":
            raise WrongState("Nobody is waiting to be confirmed.")
    return json_answer(await view_of(context, await membership_of(request, member, rid)))


SECOND_PRIVATE_STREAM = """
SELECT private_stream_id
FROM memberships
WHERE relationship_id = $1
    AND seat = 2
"""


async def _open(context: Context, db: DbConnection, membership: Membership) -> None:
    second = await db.fetchval(SECOND_PRIVATE_STREAM, membership.relationship_id)
    await create_stream(db, StreamKey(membership.relationship_id, 2, second))
    await set_state(db, membership.relationship_id, "active")
    await recorder.announce(context, db, membership.shared, Opened())
