"""My own account: name, time zone and consent."""

from functools import cache
from typing import Annotated, Literal
from uuid import UUID
from zoneinfo import available_timezones

from asyncpg import Record
from litestar import Response, delete, get, patch, put
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from service.access.authentication import Member, current_member
from service.access.consent import CONSENT_VERSION
from service.accounts.id_tokens import ProviderName
from service.context import Context
from service.errors import Invalid, NotSignedIn
from service.prompts.replanning import change_time_zone
from service.web.operation import described
from service.web.requests import ApiRequest, context_of, decode_body
from service.web.responses import empty_answer, json_answer, tagged_answer

Name = Annotated[
    str,
    Meta(min_length=1, max_length=100, pattern=r"^[^\x00]*$", description="The name that the partner sees."),
]


class Consent(Struct, frozen=True):
    """The version of the consent text that is in force, and the one that I accepted, if any."""

    version: str
    accepted: str | None


class Me(Struct, frozen=True):
    """Myself, as only I see it; the partner sees the name.

    Who signs in with Apple or Google has no address here until they prove one. `identities` are the accounts elsewhere
    by which I sign in, beside the address or instead of it.
    """

    member_id: UUID
    email: str | None
    name: str | None
    time_zone: str
    consent: Consent
    identities: list[ProviderName]


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of me; what is left out or null stays."""

    name: (
        Annotated[
            str,
            Meta(
                max_length=100,
                pattern=r"^[^\x00]*$",
                description="The name that the partner sees; an empty text clears it. White space around it and marks "
                "of direction are taken off.",
            ),
        ]
        | None
    ) = None
    time_zone: Annotated[str, Meta(max_length=100, description="An IANA zone.", examples=["Europe/Berlin"])] | None = (
        None
    )


class ConsentGiven(Struct, frozen=True, forbid_unknown_fields=True):
    """Consent to a version of the text, by an adult."""

    version: Annotated[str, Meta(max_length=100, description="The current version, as GET /v1/me names it.")]
    adult: Literal[True]


MYSELF = """
SELECT
    email,
    name,
    time_zone,
    consent_version,
    array(
        SELECT provider
        FROM identities
        WHERE member_id = $1
        ORDER BY provider
    ) AS identities
FROM members
WHERE member_id = $1
"""


@get("/v1/me", opt=described(id="getMe", tag="Me", summary="Myself", answers={200: Me}, cached=True))
async def get_me(request: ApiRequest) -> ASGIApp:
    """My own view of me."""
    return tagged_answer(request, await me_of(context_of(request), await current_member(request)))


async def me_of(context: Context, member: Member) -> Me:
    """The member, as only they see themselves."""
    async with context.acting_as(member.member_id) as db:
        row = await db.fetchrow(MYSELF, member.member_id)
    return await _me(context, member, row)


CHANGE_MEMBER = """
UPDATE members
SET
    name = CASE WHEN $2 THEN $3 ELSE name END,
    time_zone = coalesce($4, time_zone)
WHERE member_id = $1
RETURNING
    email,
    name,
    time_zone,
    consent_version,
    array(
        SELECT provider
        FROM identities
        WHERE member_id = $1
        ORDER BY provider
    ) AS identities
"""

# What the partner sees: each relationship has the name itself, since nobody can look at another member's row. Where it
# has ended, that stays the name of that time: whoever has left tells nothing more.
SHOW_NAME = """
UPDATE memberships
SET name = $2
FROM relationships
WHERE relationships.relationship_id = memberships.relationship_id
    AND relationships.state <> 'ended'
    AND memberships.member_id = $1
"""


@patch(
    "/v1/me",
    opt=described(id="changeMe", tag="Me", summary="Change my name or time zone", body=Change, answers={200: Me}),
)
async def change_me(request: ApiRequest) -> ASGIApp:
    """Only what is named changes, whatever another device changes meanwhile."""
    member = await current_member(request)
    change = await decode_body(request, Change)
    time_zone, wanted = change.time_zone, None if change.name is None else readable_name(change.name)
    if time_zone is not None and time_zone not in zones():
        raise Invalid("This is not the name of an IANA time zone, such as Europe/Berlin.", "/time_zone")
    context = context_of(request)
    renamed = wanted is not None
    name = await context.keys.encrypt_for(member.member_id, "name", wanted) if wanted else None
    async with context.acting_as(member.member_id) as db, db.transaction():
        if time_zone is not None:
            await change_time_zone(db, context.keys, member.member_id, time_zone, context.now())
        row = await db.fetchrow(CHANGE_MEMBER, member.member_id, renamed, name, time_zone)
        if renamed:
            await db.execute(SHOW_NAME, member.member_id, name)
    return json_answer(await _me(context, member, row))


# Marks that turn the direction of what stands around a name, or that nobody sees. Those that join or part letters and
# emoji, U+200C and U+200D, belong to names.
MARKS = dict.fromkeys([0x61C, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF])
JOINERS = "\u200c\u200d"


def readable_name(text: str) -> str:
    """The name without what nobody sees; empty only if it was. Raises Invalid where nothing else would be left."""
    name = text.translate(MARKS).strip()
    if text and not name.strip(JOINERS).strip():
        raise Invalid("A name needs something that can be seen; an empty text clears it.", "/name")
    return name


SET_CONSENT = """
UPDATE members
SET consent_version = $2
WHERE member_id = $1
"""


@put(
    "/v1/me/consent",
    status_code=204,
    opt=described(
        id="giveConsent",
        tag="Me",
        summary="Consent, as an adult, to the current version",
        body=ConsentGiven,
        answers={204: None},
    ),
)
async def give_consent(request: ApiRequest) -> Response[None]:
    """Needed before anything is recorded."""
    member = await current_member(request)
    given = await decode_body(request, ConsentGiven)
    if given.version != CONSENT_VERSION:
        raise Invalid("This is not the version in force; GET /v1/me names it.", "/version")
    await _set_consent(request, member, given.version)
    return empty_answer()


@delete(
    "/v1/me/consent",
    status_code=204,
    opt=described(
        id="withdrawConsent", tag="Me", summary="Withdraw my consent; nothing more is recorded", answers={204: None}
    ),
)
async def withdraw_consent(request: ApiRequest) -> Response[None]:
    """One call, at any time."""
    member = await current_member(request)
    await _set_consent(request, member, None)
    return empty_answer()


async def _set_consent(request: ApiRequest, member: Member, version: str | None) -> None:
    async with context_of(request).acting_as(member.member_id) as db:
        await db.execute(SET_CONSENT, member.member_id, version)


# What a system calls zones, and no place does: one is whatever the machine is set to, another says that none is set.
NO_PLACES = {"localtime", "posixrules", "Factory"}
OTHER_FORMS = ("posix/", "right/")


@cache
def zones() -> frozenset[str]:
    """The names of all IANA time zones."""
    return frozenset(name for name in available_timezones() - NO_PLACES if not name.startswith(OTHER_FORMS))


async def _me(context: Context, member: Member, row: Record | None) -> Me:
    if row is None:  # erased since the token was looked up
        raise NotSignedIn
    return Me(
        member.member_id,
        await context.keys.decrypt_for(member.member_id, "email", row["email"]) if row["email"] else None,
        await context.keys.decrypt_for(member.member_id, "name", row["name"]) if row["name"] else None,
        row["time_zone"],
        Consent(CONSENT_VERSION, row["consent_version"]),
        row["identities"],
    )
