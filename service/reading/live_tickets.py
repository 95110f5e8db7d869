"""Tickets for live streams in a browser: its EventSource sends no header, and a token in an address would be logged."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from litestar import post
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from service.access.authentication import Bearer, admit, current_member, lock_session
from service.access.memberships import membership_of
from service.core import tokens
from service.database.pool import checked_out
from service.errors import NotFound, NotSignedIn
from service.web.operation import described
from service.web.requests import ApiRequest, Nothing, context_of, decode_body
from service.web.responses import json_answer

TICKET_TTL = timedelta(seconds=60)
STREAM_TTL = timedelta(minutes=15)  # as long as an access token lives


class LiveTicket(Struct, frozen=True):
    """A ticket for one live stream; the next one of the same session takes its place."""

    ticket: str
    expires_at: datetime


class LiveQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """In a browser, which sends no token along: a ticket."""

    ticket: (
        Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{43}$", description="A ticket, instead of the access token.")] | None
    ) = None


KEEP_TICKET = """
INSERT INTO live_tickets (
    session_id,
    ticket_hash,
    expires_at
)
VALUES ($1, $2, $3)
ON CONFLICT (session_id) DO UPDATE
SET
    ticket_hash = excluded.ticket_hash,
    expires_at = excluded.expires_at
"""


@post(
    "/v1/relationships/{rid:str}/live-tickets",
    opt=described(
        id="makeLiveTicket",
        tag="Read",
        summary="A ticket with which a browser opens one live stream",
        body=Nothing,
        answers={201: LiveTicket},
        problems=(NotFound,),
    ),
)
async def make_live_ticket(request: ApiRequest, rid: FromPath[str]) -> ASGIApp:
    """It is used once, as `?ticket=`, within 60 seconds; the stream then lasts for a quarter of an hour at most."""
    member, context = await current_member(request), context_of(request)
    await membership_of(request, member, rid)
    await decode_body(request, Nothing)
    ticket = tokens.new_token(context.random_bytes, "live ticket")
    made = LiveTicket(ticket, context.now() + TICKET_TTL)
    async with checked_out(context.auth_db) as db, db.transaction():
        await lock_session(db, member)
        await db.execute(KEEP_TICKET, member.session_id, tokens.token_hash(ticket), made.expires_at)
    return json_answer(made, 201)


USE_TICKET = """
DELETE FROM live_tickets
WHERE ticket_hash = $1
RETURNING
    session_id,
    expires_at
"""

MEMBER_OF_SESSION = """
SELECT member_id
FROM sessions
WHERE session_id = $1
"""


async def bearer_of_ticket(request: ApiRequest, ticket: str) -> Bearer:
    """The caller, by a ticket, which is then used up. Raises NotSignedIn and TooManyRequests."""
    context, now = context_of(request), context_of(request).now()
    async with checked_out(context.auth_db) as db, db.transaction():
        used = await db.fetchrow(USE_TICKET, tokens.token_hash(ticket))
        member_id: UUID | None = await db.fetchval(MEMBER_OF_SESSION, used["session_id"]) if used else None
    if used is None or member_id is None or used["expires_at"] <= now:
        raise NotSignedIn
    return admit(request, Bearer(member_id, used["session_id"], now + STREAM_TTL))
