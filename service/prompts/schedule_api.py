"""Read and replace my schedule: when I want to be asked. Nobody else sees or changes it."""

from datetime import datetime
from uuid import UUID

import msgspec
from litestar import get, put
from litestar.types import ASGIApp
from msgspec import MsgspecError

from events.encryption import DecryptionFailed
from events.heads import DbConnection
from service.access.authentication import Member, current_member, lock_session
from service.access.memberships import memberships_of
from service.context import Context
from service.core.randomness import RandomBytes
from service.keys.keyring import Keyring
from service.prompts.ciphertexts import decrypt_schedule, encrypt_schedule
from service.prompts.replanning import LOCK_SCHEDULE, is_on, place_of, plan_again
from service.prompts.schedule import Schedule, validate
from service.web.operation import described
from service.web.requests import ApiRequest, context_of, decode_body
from service.web.responses import json_answer, tagged_answer

SEED_BYTES = 32

SCHEDULE = """
SELECT schedule
FROM schedules
WHERE member_id = $1
"""


@get(
    "/v1/me/schedule",
    opt=described(
        id="getSchedule", tag="Be asked", summary="When I want to be asked", answers={200: Schedule}, cached=True
    ),
)
async def get_schedule(request: ApiRequest) -> ASGIApp:
    """Nothing is asked before I have said so."""
    return tagged_answer(request, await schedule_of(context_of(request), await current_member(request)))


async def schedule_of(context: Context, member: Member) -> Schedule:
    """The member's schedule, or that of a new member."""
    async with context.acting_as(member.member_id) as db:
        ciphertext = await db.fetchval(SCHEDULE, member.member_id)
    return Schedule() if ciphertext is None else await decrypt_schedule(context.keys, member.member_id, ciphertext)


# It waits for another device that is putting the first one just now.
FIRST_SCHEDULE = """
INSERT INTO schedules (
    member_id,
    schedule,
    seed,
    since,
    plan_at
) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (member_id) DO NOTHING
RETURNING member_id
"""

# The seed is made once: the same schedule draws the same moments.
REPLACE_SCHEDULE = """
UPDATE schedules
SET
    schedule = $2,
    since = $3,
    plan_at = $4
WHERE member_id = $1
"""


async def keep_schedule(
    db: DbConnection, keys: Keyring, random_bytes: RandomBytes, member_id: UUID, schedule: Schedule, now: datetime
) -> bool:
    """Store a member's schedule, to be planned for from now on; returns whether it differs from the one before.

    The same schedule again changes nothing. Two ciphertexts of it differ, so that is seen by decrypting the one that
    stands there, under the lock of its row. Raises DecryptionFailed for who is erased, KeyStoreError.
    """
    plan_at = now if is_on(schedule) else None
    seed = random_bytes(SEED_BYTES, f"seed of {member_id}")
    # Encrypted first: the key is at hand by the time the row is locked.
    ciphertext = await encrypt_schedule(keys, member_id, schedule)
    if await db.fetchval(FIRST_SCHEDULE, member_id, ciphertext, seed, now, plan_at):
        return True
    if await _says(keys, member_id, await db.fetchval(LOCK_SCHEDULE, member_id), schedule):
        return False
    await db.execute(REPLACE_SCHEDULE, member_id, ciphertext, now, plan_at)
    return True


async def _says(keys: Keyring, member_id: UUID, ciphertext: bytes, schedule: Schedule) -> bool:
    """Whether a ciphertext says that schedule, to the letter; one that says nothing any more is to be replaced."""
    try:
        before = await decrypt_schedule(keys, member_id, ciphertext)
    except (DecryptionFailed, MsgspecError):
        return False
    # As texts: an instant is served with the offset with which it was written.
    return msgspec.json.encode(before) == msgspec.json.encode(schedule)


@put(
    "/v1/me/schedule",
    opt=described(
        id="putSchedule", tag="Be asked", summary="Say when I want to be asked", body=Schedule, answers={200: Schedule}
    ),
)
async def put_schedule(request: ApiRequest) -> ASGIApp:
    """The whole of it. What was planned and not sent is planned anew.

    An item of a relationship that has ended can stay; it asks for nothing.
    """
    member, context = await current_member(request), context_of(request)
    schedule, now = await decode_body(request, Schedule), context.now()
    async with context.acting_as(member.member_id) as db, db.transaction():
        await lock_session(db, member)
        mine = await memberships_of(db, member.member_id, now)
        validate(schedule, {one.relationship_id for one in mine})
        if await keep_schedule(db, context.keys, context.random_bytes, member.member_id, schedule, now):
            await plan_again(db, member.member_id, schedule, await place_of(db, context.keys, member.member_id, now))
    return json_answer(schedule)
