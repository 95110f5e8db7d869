"""Stepping up by a code that is mailed: a session shows once more who is calling.

The code is the session's own: it works for nothing else, and nobody else can ask for it, try it or use it up.
"""

import hmac
from datetime import datetime, timedelta

from litestar import Response, post
from litestar.types import ASGIApp
from msgspec import Struct

from service.access.authentication import Member, current_member, lock_session
from service.access.notices import ADDRESS_OF_MEMBER
from service.accounts import allowances, sessions
from service.accounts.mailed_codes import ANSWER_GRACE, CODE_TRIES, Code
from service.context import Context
from service.core import tokens
from service.core.keyboards import without_separators
from service.core.mail import Mail
from service.errors import NoAddress, Overloaded, TooManyRequests, WrongCode
from service.web.operation import described
from service.web.requests import ApiRequest, Nothing, context_of, decode_body
from service.web.responses import empty_answer, json_answer

STEP_UP_CODE_TTL = timedelta(minutes=5)


class StepUp(Struct, frozen=True, forbid_unknown_fields=True):
    """A fresh code, sent to my own mail address: whoever only holds my unlocked phone has none."""

    code: Code


KEEP_STEP_UP_CODE = """
INSERT INTO step_up_codes (
    session_id,
    code_hash,
    asked_at,
    tries_left
) VALUES ($1, $2, $3, $4)
ON CONFLICT (session_id) DO UPDATE
SET
    code_hash = excluded.code_hash,
    asked_at = excluded.asked_at,
    tries_left = excluded.tries_left,
    used_at = NULL
"""


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
        async with context.auth_db.acquire() as db, db.transaction():
            await lock_session(db, member)
            await allowances.spend(db, spent, now)
            code_hash = await _code_hash(context, member, code)
            await db.execute(KEEP_STEP_UP_CODE, member.session_id, code_hash, now, CODE_TRIES)
        place.fill(Mail(email, "Your code to confirm that it is you", MAIL_TEXT.format(code=tokens.grouped(code))))
    return json_answer(Nothing(), 202)


MAIL_TEXT = """\
Your code to export or erase your data is {code}

The device that asked for it is signed in with your account. With this code it
may, for 5 minutes, take everything of yours along, or erase it for ever. The
code works for 5 minutes. If you did not ask for it, tell it to nobody, and look
at your list of devices.
"""


async def _address_of(context: Context, member: Member) -> str:
    async with context.acting_as(member.member_id) as db:
        email = await db.fetchval(ADDRESS_OF_MEMBER, member.member_id)
    if email is None:  # signed in with Apple or Google
        raise NoAddress
    return await context.keys.decrypt_for(member.member_id, "email", email)


async def _code_hash(context: Context, member: Member, code: str) -> bytes:
    return await context.keys.blind_index("step-up code", str(member.session_id), code)


LOCK_STEP_UP_CODE = """
SELECT
    code_hash,
    used_at
FROM step_up_codes
WHERE session_id = $1
    AND asked_at > $2
    AND tries_left > 0
    AND (used_at IS NULL OR used_at > $3)
FOR UPDATE
"""

SPEND_STEP_UP_TRY = """
UPDATE step_up_codes
SET tries_left = tries_left - 1
WHERE session_id = $1
    AND tries_left > 0
"""

USE_STEP_UP_CODE = """
UPDATE step_up_codes
SET used_at = $2
WHERE session_id = $1
"""


@post(
    "/v1/sessions/step-up",
    status_code=204,
    opt=described(
        id="stepUp",
        tag="Sign in",
        summary="Show with a fresh mailed code that it is me: for 5 minutes this session may export and erase",
        body=StepUp,
        answers={204: None},
        problems=(WrongCode,),
    ),
)
async def step_up(request: ApiRequest) -> Response[None]:
    """The code is one that this session asked for less than 5 minutes ago. The right one may be sent again for 30 s."""
    member, context = await current_member(request), context_of(request)
    code = without_separators((await decode_body(request, StepUp)).code)
    used_at = await _use_code(context, member, code, context.now())
    if used_at is None:
        raise WrongCode
    # The time of the first use, also where its answer was lost on the way: a code sent again makes nothing last longer.
    await sessions.step_up(context, member, used_at)
    return empty_answer()


async def _use_code(context: Context, member: Member, code: str, now: datetime) -> datetime | None:
    """When the right code was used first, which may be now; null where it is wrong, and then it costs a try."""
    code_hash = await _code_hash(context, member, code)
    async with context.auth_db.acquire() as db, db.transaction():
        kept = await db.fetchrow(LOCK_STEP_UP_CODE, member.session_id, now - STEP_UP_CODE_TTL, now - ANSWER_GRACE)
        if kept is None or not hmac.compare_digest(kept["code_hash"], code_hash):
            await db.execute(SPEND_STEP_UP_TRY, member.session_id)
            return None
        used_at: datetime = kept["used_at"] or now
        await db.execute(USE_STEP_UP_CODE, member.session_id, used_at)
    return used_at
