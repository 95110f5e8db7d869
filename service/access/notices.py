"""What members are told by mail of their account: a sign-in, a device for pushes, an export. Time and device alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

import structlog

from service.context import Context
from service.core.mail import Mail

log = structlog.get_logger()

ADDRESS_OF_MEMBER = """
SELECT email
FROM members
WHERE member_id = $1
"""

DEVICE_OF_SESSION = """
SELECT device_name
FROM sessions
WHERE session_id = $1
    AND member_id = $2
"""

NOTICE_TEXT = """\
{what}

When: {at}
Device: {device}

If this was you, nothing needs to be done. If not, sign that device out in the
app: it is in your list of devices.
"""


async def tell_of_sign_in(context: Context, member_id: UUID, device_name: str, now: datetime) -> None:
    """A device has signed in."""
    await _tell(context, member_id, "Somebody signed in with your account", device_name, now)


async def tell_of_push_device(context: Context, member_id: UUID, session_id: UUID, now: datetime) -> None:
    """A session has registered a device that was not registered."""
    await _tell_of_session(context, member_id, "A device was set up for your notifications", session_id, now)


async def tell_of_export(context: Context, member_id: UUID, session_id: UUID, now: datetime) -> None:
    """A session takes everything of the member along."""
    await _tell_of_session(context, member_id, "Everything of yours was exported", session_id, now)


async def tell_of_address(context: Context, member_id: UUID, session_id: UUID, before: str, now: datetime) -> None:
    """A session has given the account another mail address. Told to the one before."""
    await _tell_of_session(context, member_id, "Your account has another mail address now", session_id, now, before)


async def _tell_of_session(
    context: Context, member_id: UUID, what: str, session_id: UUID, now: datetime, to: str | None = None
) -> None:
    with _never_in_the_way():
        async with context.acting_as(member_id) as db:
            name = await db.fetchval(DEVICE_OF_SESSION, session_id, member_id)
        if name is not None:
            device = await context.keys.decrypt_for(member_id, "device_name", name)
            await _tell(context, member_id, what, device, now, to)


async def _tell(
    context: Context, member_id: UUID, what: str, device_name: str, now: datetime, to: str | None = None
) -> None:
    with _never_in_the_way():
        if to is None:
            to = await _address_of(context, member_id)
        if to is not None:
            text = NOTICE_TEXT.format(what=f"{what}.", at=f"{now:%Y-%m-%d %H:%M} UTC", device=device_name)
            context.mailer.notify(Mail(to, what, text))


async def _address_of(context: Context, member_id: UUID) -> str | None:
    async with context.acting_as(member_id) as db:
        email = await db.fetchval(ADDRESS_OF_MEMBER, member_id)
    return await context.keys.decrypt_for(member_id, "email", email) if email is not None else None


@contextmanager
def _never_in_the_way() -> Iterator[None]:
    try:
        yield
    except Exception as failure:  # what it is about has happened, and its answer must go out
        log.error("notice_failed", failure=type(failure).__name__)
