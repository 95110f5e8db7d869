"""Stepping up by a code that is mailed: a session shows once more who is calling."""

from datetime import timedelta

from litestar import Response, post
from litestar.types import ASGIApp
from msgspec import Struct

from service.access.authentication import Member, current_member, lock_session
from service.access.notices import ADDRESS_OF_MEMBER
from service.accounts import allowances, session_codes, sessions
from service.accounts.mail_texts import TEXTS, code_mail
from service.accounts.session_codes import Code
from service.context import Context
from service.core import tokens
from service.database.pool import checked_out
from service.errors import NoAddress, Overloaded, TooManyRequests, WrongCode
from service.web.operation import described
from service.web.requests import ApiRequest, Nothing, context_of, decode_body, language_of
from service.web.responses import empty_answer, json_answer

STEP_UP_CODE_TTL = timedelta(minutes=5)


class StepUp(Struct, frozen=True, forbid_unknown_fields=True):
    """A fresh code, sent to my own mail address: whoever only holds my unlocked phone has none."""

    code: Code


@post(
    "/v1/sessions/step-up-codes",
    opt=described(
        id="sendStepUpCode",
        tag="Sign in",
        summary="Send me a code by mail with which this session can step up",
        body=Nothing,
        answers={202: Nothing},
        problems=(NoAddress, TooManyRequests, Overloaded),
    ),
)
async def send_step_up_code(request: ApiRequest) -> ASGIApp:
    """The one that was sent to this session before works no longer. 403 for who has no mail address here."""
    member, context = await current_member(request), context_of(request)
    await decode_body(request, Nothing)
    email, now = await _address_of(context, member), context.now()
    code = tokens.new_code(context.random_bytes, f"step-up code {member.session_id}")
    spent = await allowances.to_step_up(context, member.member_id.bytes, member.session_id.bytes)
    with context.mailer.reserve() as place:
        async with checked_out(context.auth_db) as db, db.transaction():
            await lock_session(db, member)
            await allowances.spend(db, spent, now)
            await session_codes.keep(context, db, member, "step-up", code, now)
        place.fill(code_mail(email, "step up", language_of(request, None, TEXTS), code))
    return json_answer(Nothing(), 202)


async def _address_of(context: Context, member: Member) -> str:
    async with context.acting_as(member.member_id) as db:
        email = await db.fetchval(ADDRESS_OF_MEMBER, member.member_id)
    if email is None:  # signed in with Apple or Google
        raise NoAddress
    return await context.keys.decrypt_for(member.member_id, "email", email)


@post(
    "/v1/sessions/step-up",
    status_code=204,
    opt=described(
        id="stepUp",
        tag="Sign in",
        summary="Show with a fresh mailed code that it is me: for 5 minutes I may export, erase, or change my address",
        body=StepUp,
        answers={204: None},
        problems=(WrongCode,),
    ),
)
async def step_up(request: ApiRequest) -> Response[None]:
    """The code is one that this session asked for less than 5 minutes ago. The right one may be sent again for 30 s."""
    member, context = await current_member(request), context_of(request)
    code, now = (await decode_body(request, StepUp)).code, context.now()
    async with checked_out(context.auth_db) as db, db.transaction():
        used = await session_codes.use(context, db, member, "step-up", code, now, STEP_UP_CODE_TTL)
    # Raised only here, so that the try is charged: an exception inside would undo the transaction.
    if used is None:
        raise WrongCode
    # The time of the first use, also where its answer was lost on the way: a code sent again makes nothing last longer.
    await sessions.step_up(context, member, used["used_at"] or now)
    return empty_answer()
