"""Read my relationships, as I see them."""

from uuid import UUID

from litestar import get
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Struct

from service.access.authentication import current_member
from service.access.memberships import Membership, RelationshipState, membership_of, memberships_of
from service.context import Context
from service.errors import NotFound
from service.web.operation import described
from service.web.requests import ApiRequest, context_of
from service.web.responses import tagged_answer


class Partner(Struct, frozen=True):
    """The other member: nothing but the name they chose, if they did."""

    name: str | None


class StreamIds(Struct, frozen=True):
    """The ids of the streams that I can read, as they stand in headers."""

    shared: UUID
    private: UUID


class Relationship(Struct, frozen=True):
    """A relationship as one of its members sees it. `author` is my id in its headers."""

    id: UUID
    state: RelationshipState
    partner: Partner | None
    streams: StreamIds
    author: UUID


class Relationships(Struct, frozen=True):
    """My relationships, the newest first."""

    relationships: list[Relationship]


@get(
    "/v1/relationships",
    opt=described(
        id="listRelationships",
        tag="Relationships",
        summary="My relationships",
        answers={200: Relationships},
        cached=True,
    ),
)
async def list_relationships(request: ApiRequest) -> ASGIApp:
    """Ended ones too: what was shared stays readable."""
    member = await current_member(request)
    context = context_of(request)
    async with context.acting_as(member.member_id) as db:
        found = await memberships_of(db, member.member_id, context.now())
    return tagged_answer(request, Relationships([await view_of(context, one) for one in found]))


@get(
    "/v1/relationships/{rid:str}",
    opt=described(
        id="getRelationship",
        cached=True,
        tag="Relationships",
        summary="One relationship of mine",
        answers={200: Relationship},
        problems=(NotFound,),
    ),
)
async def get_relationship(request: ApiRequest, rid: FromPath[str]) -> ASGIApp:
    """As I see it."""
    membership = await membership_of(request, await current_member(request), rid)
    return tagged_answer(request, await view_of(context_of(request), membership))


async def view_of(context: Context, membership: Membership) -> Relationship:
    """The relationship as its member sees it."""
    return Relationship(
        membership.relationship_id,
        membership.state,
        await _partner(context, membership),
        StreamIds(membership.shared_stream_id, membership.private_stream_id),
        membership.author_id,
    )


async def _partner(context: Context, membership: Membership) -> Partner | None:
    if membership.partner_id is None:
        return None
    theirs, name_ciphertext = membership.partner_member_id, membership.partner_name_ciphertext
    if theirs is None or name_ciphertext is None:
        return Partner(None)
    # In a restored backup an erased partner still has a name, and no key that decrypts it.
    keys = await context.keys.relationship_keys(membership.relationship_id, membership.author_id)
    if not keys.knows(membership.partner_id):
        return Partner(None)
    return Partner(await context.keys.decrypt_for(theirs, "name", name_ciphertext, membership.author_id))
