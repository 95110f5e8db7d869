"""My mail address: proving one, the first or another, with a code that is mailed there."""

from datetime import timedelta

from asyncpg import UniqueViolationError
from litestar import post, put
from litestar.types import ASGIApp
from msgspec import Struct

from events.heads import DbConnection
from service.access.authentication import Member, check_step_up, current_member, lock_session
from service.access.notices import tell_of_address
from service.accounts import allowances, session_codes
from service.accounts.addresses import Email, canonical
from service.accounts.mail_texts import TEXTS, code_mail
from service.accounts.mailed_codes import count_client
from service.accounts.me import Me, me_of
from service.accounts.session_codes import Code, ProvenAddress
from service.core import tokens
from service.database.pool import checked_out
from service.errors import AddressTaken, Overloaded, StepUpRequired, TooManyRequests, WrongCode
from service.web.operation import described
from service.web.requests import ApiRequest, Nothing, context_of, decode_body, language_of
from service.web.responses import json_answer

ADDRESS_CODE_TTL = timedelta(minutes=10)


class AddressWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """The mail address by which I want to sign in from now on."""

    email: Email


class AddressProof(Struct, frozen=True, forbid_unknown_fields=True):
    """The code from the mail: who has it reads what comes to that address."""

    code: Code


@post(
    "/v1/me/email-codes",
    opt=described(
        id="sendAddressCode",
        tag="Me",
        summary="Send a code to a mail address that is to become mine, the same whether somebody has it or not",
        body=AddressWanted,
        answers={202: Nothing},
        problems=(StepUpRequired, TooManyRequests, Overloaded),
    ),
)
async def send_address_code(request: ApiRequest) -> ASGIApp:
    """After a step-up: whoever only holds my unlocked phone moves nothing. The code that went out before is over."""
    member, context = await current_member(request), context_of(request)
    email, now = canonical((await decode_body(request, AddressWanted)).email), context.now()
    check_step_up(member, now)
    address_hash = await context.keys.blind_index("address", email)
    count_client(request, address_hash, now)
    address = ProvenAddress(await context.keys.encrypt_for(member.member_id, "email", email), address_hash)
    code = tokens.new_code(context.random_bytes, f"address code {member.session_id}")
    # Of the share of whoever knows the address: a member has no other way to it than a stranger.
    spent = await allowances.by_anybody(context, address_hash)
    with context.mailer.reserve() as place:
        async with checked_out(context.auth_db) as db, db.transaction():
            await lock_session(db, member)
            await allowances.spend(db, spent, now)
            await session_codes.keep(context, db, member, "address", code, now, address)
        place.fill(code_mail(email, "change address", language_of(request, None, TEXTS), code))
    return json_answer(Nothing(), 202)


@put(
    "/v1/me/email",
    opt=described(
        id="changeAddress",
        tag="Me",
        summary="Make the address to which the code went mine: from then on I sign in by it, and by no other",
        body=AddressProof,
        answers={200: Me},
        problems=(WrongCode, AddressTaken),
    ),
)
async def change_address(request: ApiRequest) -> ASGIApp:
    """A wrong code costs one of five tries. The right one may be sent again for 30 s.

    The address before is told so by mail, with time and device.
    """
    member, context = await current_member(request), context_of(request)
    code, now = (await decode_body(request, AddressProof)).code, context.now()
    before = await me_of(context, member)
    async with checked_out(context.auth_db) as db, db.transaction():
        await lock_session(db, member)
        used = await session_codes.use(context, db, member, "address", code, now, ADDRESS_CODE_TTL)
        if used is not None and used["used_at"] is None:
            await _move(db, member, ProvenAddress(used["email"], used["address_hash"]))
    # Raised only here, so that the try is charged: an exception inside would undo the transaction.
    if used is None:
        raise WrongCode
    after = await me_of(context, member)
    if before.email is not None and before.email != after.email:
        await tell_of_address(context, member.member_id, member.session_id, before.email, now)
    return json_answer(after)


# First, and so the lock: of two changes at once, the second one moves what the first one has moved.
SET_EMAIL = """
UPDATE members
SET email = $2
WHERE member_id = $1
"""

MOVE_ADDRESS = """
INSERT INTO addresses (
    address_hash,
    member_id
) VALUES ($1, $2)
ON CONFLICT (member_id) DO UPDATE
SET address_hash = excluded.address_hash
"""


async def _move(db: DbConnection, member: Member, address: ProvenAddress) -> None:
    await db.execute(SET_EMAIL, member.member_id, address.email)
    try:
        await db.execute(MOVE_ADDRESS, address.address_hash, member.member_id)
    except UniqueViolationError:
        # Said only to who has shown that they read what comes there: they may as well sign in by it.
        raise AddressTaken from None
