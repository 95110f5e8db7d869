"""Two people become linked, by three acts of their own: an invite, its acceptance, a confirmation. Either may leave."""

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from events import streams
from events.entries import Ended, Opened
from events.errors import ConsentRequired
from events.streams import Database, StreamKey
from projections.balances import Reader
from service import recorder, tokens
from service.errors import InviteNotFound, NotFound, NotTheInviter, WrongState
from service.http import Call, body_of, empty_answer, id_of, json_answer, world_of
from service.members import consented
from service.operations import described
from service.sessions import Bearer, Member, Nothing, signed_in
from service.world import World

INVITE_LIVES = timedelta(hours=24)

State = Literal["solo", "inviting", "confirming", "active", "ended"]


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
    state: State
    partner: Partner | None
    streams: StreamIds
    author: UUID


class Relationships(Struct, frozen=True):
    """My relationships, the newest first."""

    relationships: list[Relationship]


class Invite(Struct, frozen=True):
    """A code for one person, to be told in a way that only they hear."""

    code: str
    expires_at: datetime


class Accept(Struct, frozen=True, forbid_unknown_fields=True):
    """An invite code. Case, spaces and hyphens do not matter."""

    code: Annotated[str, Meta(max_length=100)]


class Accepted(Struct, frozen=True):
    """The relationship that waits for its inviter's confirmation."""

    relationship_id: UUID
    state: Literal["confirming"]


class Membership(Struct, frozen=True):
    """What one member is to one relationship."""

    relationship_id: UUID
    state: State
    seat: Literal["first", "second"]
    author_id: UUID
    shared_stream_id: UUID
    private_stream_id: UUID
    partner_id: UUID | None
    partner_member_id: UUID | None
    partner_sealed_name: bytes | None

    @property
    def shared(self) -> StreamKey:
        """The shared stream."""
        return StreamKey(self.relationship_id, self.shared_stream_id)

    @property
    def private(self) -> StreamKey:
        """This member's private stream."""
        return StreamKey(self.relationship_id, self.private_stream_id)


# An invite that nobody took in time leaves its maker alone again; nothing has to run for that.
OF_MEMBER = """
SELECT
    relationships.relationship_id,
    CASE
        WHEN relationships.state = 'inviting' AND relationships.invite_expires_at <= $2 THEN 'solo'
        ELSE relationships.state
    END AS state,
    mine.seat,
    mine.author_id,
    relationships.shared_stream_id,
    mine.private_stream_id,
    theirs.author_id AS partner_id,
    theirs.member_id AS partner_member_id,
    theirs.name AS partner_sealed_name
FROM memberships AS mine
JOIN relationships USING (relationship_id)
LEFT JOIN memberships AS theirs
    ON theirs.relationship_id = mine.relationship_id
    AND theirs.seat <> mine.seat
WHERE mine.member_id = $1
    AND ($3::uuid IS NULL OR mine.relationship_id = $3)
ORDER BY
    mine.joined_at DESC,
    mine.relationship_id
"""


async def membership_of(request: Call, member: Bearer, relationship_id: str) -> Membership:
    """What the member is to that relationship. Raises NotFound, the same for foreign, unknown and malformed ids."""
    world, wanted = world_of(request), id_of(relationship_id)
    async with world.acting(member.member_id) as db:
        return await membership_in(db, member.member_id, world.now(), wanted)


async def membership_in(db: Database, member_id: UUID, now: datetime, relationship_id: UUID) -> Membership:
    """The same, on a connection that acts for the member."""
    found = await memberships_of(db, member_id, now, relationship_id)
    if not found:
        raise NotFound
    return found[0]


async def memberships_of(
    db: Database, member_id: UUID, now: datetime, relationship_id: UUID | None = None
) -> list[Membership]:
    """What the member is to each of their relationships, the newest first, or to the one that is named."""
    return [Membership(**row) for row in await db.fetch(OF_MEMBER, member_id, now, relationship_id)]


def reader_of(membership: Membership) -> Reader:
    """The member as one who reads."""
    return Reader(
        membership.relationship_id,
        membership.author_id,
        membership.shared_stream_id,
        membership.private_stream_id,
    )


MAKE_RELATIONSHIP = """
INSERT INTO relationships (
    relationship_id,
    state,
    shared_stream_id,
    created_at
) VALUES ($1, 'solo', $2, $3)
"""

JOIN = """
INSERT INTO memberships (
    relationship_id,
    seat,
    member_id,
    author_id,
    private_stream_id,
    name,
    joined_at
) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""

LET_READ = """
INSERT INTO readers (
    relationship_id,
    stream_id,
    member_id
) VALUES
    ($1, $2, $4),
    ($1, $3, $4)
"""


@post(
    "/v1/relationships",
    opt=described(
        id="makeRelationship",
        tag="Relationships",
        summary="Begin a relationship, alone for now; private entries work at once",
        body=Nothing,
        answers={201: Relationship},
    ),
)
async def make_relationship(request: Call) -> ASGIApp:
    """Its streams begin with it."""
    member = await signed_in(request)
    await body_of(request, Nothing)
    world = world_of(request)
    relationship_id = tokens.new_id(world.chance, "relationship id")
    await world.keys.make_for_relationship(relationship_id)
    shared = StreamKey(relationship_id, tokens.new_id(world.chance, f"shared stream of {relationship_id}"))
    async with world.door.acquire() as db, db.transaction():
        await db.execute(MAKE_RELATIONSHIP, relationship_id, shared.stream_id, world.now())
        await streams.create(db, shared, "shared")
        private = await _join(world, db, shared, "first", member)
        await streams.create(db, private, "private")
    membership = await membership_of(request, member, str(relationship_id))
    return json_answer(await view_of(world, membership), 201)


async def _join(
    world: World, db: Database, shared: StreamKey, seat: Literal["first", "second"], member: Member
) -> StreamKey:
    rid, now = shared.relationship_id, world.now()
    author_id = tokens.new_id(world.chance, f"author of {rid}")
    private = StreamKey(rid, tokens.new_id(world.chance, f"private stream of {rid}"))
    await db.execute(JOIN, rid, seat, member.member_id, author_id, private.stream_id, member.sealed_name, now)
    await db.execute(LET_READ, rid, shared.stream_id, private.stream_id, member.member_id)
    return private


@get(
    "/v1/relationships",
    opt=described(
        id="listRelationships", tag="Relationships", summary="My relationships", answers={200: Relationships}
    ),
)
async def list_relationships(request: Call) -> ASGIApp:
    """Ended ones too: what was shared stays readable."""
    member = await signed_in(request)
    world = world_of(request)
    async with world.acting(member.member_id) as db:
        found = await memberships_of(db, member.member_id, world.now())
    return json_answer(Relationships([await view_of(world, one) for one in found]))


@get(
    "/v1/relationships/{rid:str}",
    opt=described(
        id="getRelationship",
        tag="Relationships",
        summary="One relationship of mine",
        answers={200: Relationship},
        problems=(NotFound,),
    ),
)
async def get_relationship(request: Call, rid: FromPath[str]) -> ASGIApp:
    """As I see it."""
    membership = await membership_of(request, await signed_in(request), rid)
    return json_answer(await view_of(world_of(request), membership))


STATE = """
SELECT state
FROM relationships
WHERE relationship_id = $1
FOR UPDATE
"""

STILL_IN = """
SELECT count(*) > 0
FROM memberships
WHERE relationship_id = $1
    AND author_id = $2
"""

SET_STATE = """
UPDATE relationships
SET
    state = $2,
    invite_expires_at = $3
WHERE relationship_id = $1
"""

FORGET_INVITE = """
DELETE FROM invites
WHERE relationship_id = $1
"""

KEEP_INVITE = """
INSERT INTO invites (
    code_hash,
    relationship_id,
    expires_at
) VALUES ($1, $2, $3)
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
async def invite(request: Call, rid: FromPath[str]) -> ASGIApp:
    """The code is shown once; only its hash is kept."""
    member = await signed_in(request)
    membership = await membership_of(request, member, rid)
    _require_consent(member)
    world = world_of(request)
    code = tokens.new_invite(world.chance, membership.relationship_id)
    expires_at = world.now() + INVITE_LIVES
    async with world.acting(member.member_id) as db, db.transaction():
        if await _hold(db, membership) not in ("solo", "inviting"):
            raise WrongState("An invite can be made only while nobody else is in.")
        await db.execute(SET_STATE, membership.relationship_id, "inviting", expires_at)
        await db.execute(FORGET_INVITE, membership.relationship_id)
        await db.execute(KEEP_INVITE, tokens.invite_hash(code), membership.relationship_id, expires_at)
    return json_answer(Invite(code, expires_at), 201)


async def _hold(db: Database, membership: Membership) -> State:
    """The state, held until the transaction ends. Raises NotFound for who has left since the membership was read."""
    state: State = await db.fetchval(STATE, membership.relationship_id)
    if not await db.fetchval(STILL_IN, membership.relationship_id, membership.author_id):
        raise NotFound
    return state


INVITED = """
SELECT
    invites.relationship_id,
    relationships.shared_stream_id,
    memberships.member_id AS invited_by
FROM invites
JOIN memberships USING (relationship_id)
JOIN relationships USING (relationship_id)
WHERE invites.code_hash = $1
    AND invites.expires_at > $2
FOR UPDATE OF relationships
"""

USE_INVITE = """
DELETE FROM invites
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
async def accept_invite(request: Call) -> ASGIApp:
    """Unknown, used, expired and own codes are told apart by nobody."""
    member = await signed_in(request)
    code = (await body_of(request, Accept)).code
    _require_consent(member)
    world = world_of(request)
    request.app.state.invites_tried.take((member.member_id.bytes,), world.now())
    async with world.door.acquire() as db, db.transaction():
        code_hash = tokens.invite_hash(code)
        row = await db.fetchrow(INVITED, code_hash, world.now())
        if row is None or row["invited_by"] == member.member_id:
            raise InviteNotFound
        shared = StreamKey(row["relationship_id"], row["shared_stream_id"])
        # Used or replaced while this call waited for the row: of two who use one code at once, one gets in.
        if await db.execute(USE_INVITE, code_hash) == "DELETE 0":
            raise InviteNotFound
        await _join(world, db, shared, "second", member)
        await db.execute(SET_STATE, shared.relationship_id, "confirming", None)
    return json_answer(Accepted(shared.relationship_id, "confirming"))


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
async def confirm(request: Call, rid: FromPath[str]) -> ASGIApp:
    """From now on both can share. Confirming again changes nothing."""
    member = await signed_in(request)
    membership = await membership_of(request, member, rid)
    _require_consent(member)
    if membership.seat != "first":
        raise NotTheInviter
    world = world_of(request)
    async with world.acting(member.member_id) as db, db.transaction():
        state = await _hold(db, membership)
        if state == "confirming":
            await _open(world, db, membership)
        elif state != "active":
            raise WrongState("Nobody is waiting to be confirmed.")
    return json_answer(await view_of(world, await membership_of(request, member, rid)))


SECOND_PRIVATE_STREAM = """
SELECT private_stream_id
FROM memberships
WHERE relationship_id = $1
    AND seat = 'second'
"""


async def _open(world: World, db: Database, membership: Membership) -> None:
    second = await db.fetchval(SECOND_PRIVATE_STREAM, membership.relationship_id)
    await streams.create(db, StreamKey(membership.relationship_id, second), "private")
    await db.execute(SET_STATE, membership.relationship_id, "active", None)
    await recorder.announce(world, db, membership.shared, Opened())


@post(
    "/v1/relationships/{rid:str}/leave",
    status_code=204,
    opt=described(
        id="leave",
        tag="Leave",
        summary="Leave, at once and without a reason; the other is not notified",
        answers={204: None},
        problems=(NotFound,),
    ),
)
async def leave(request: Call, rid: FromPath[str]) -> Response[None]:
    """Leaving an ended relationship again changes nothing. While confirming, its maker is alone again."""
    member = await signed_in(request)
    membership = await membership_of(request, member, rid)
    await leave_as(world_of(request), member.member_id, membership)
    return empty_answer()


async def leave_as(world: World, member_id: UUID, membership: Membership) -> None:
    """End it, or withdraw from what is not confirmed yet. Nobody is asked about it any more."""
    # Each looks again behind its lock: the state may have changed since it was read, and between the two.
    done = membership.state == "confirming" and await _withdraw(world, membership)
    while not done:
        done = await _end(world, member_id, membership) or await _withdraw(world, membership)
    await _forget_prompts(world, membership.relationship_id)


# Prompts first: what is sent meanwhile holds them. Where one has withdrawn, those who are still members keep theirs.
FORGET_PROMPTS = """
DELETE FROM prompts
USING relationships
WHERE prompts.relationship_id = $1
    AND relationships.relationship_id = $1
    AND (relationships.state = 'ended' OR NOT EXISTS (
        SELECT
        FROM memberships
        WHERE memberships.relationship_id = $1
            AND memberships.member_id = prompts.member_id
    ))
RETURNING
    prompts.member_id,
    prompts.prompt_id
"""

FORGET_PUSHES = """
DELETE FROM outbox
USING unnest($1::uuid[], $2::uuid[]) AS forgotten (member_id, prompt_id)
WHERE outbox.member_id = forgotten.member_id
    AND outbox.prompt_id = forgotten.prompt_id
"""

FORGET_OCCASIONS = """
DELETE FROM occasions
USING relationships
WHERE occasions.relationship_id = $1
    AND relationships.relationship_id = $1
    AND relationships.state = 'ended'
"""


async def _forget_prompts(world: World, relationship_id: UUID) -> None:
    # Also where it has ended before: whoever got no answer asks again.
    async with world.keeper.acquire() as db, db.transaction():
        await db.execute(FORGET_OCCASIONS, relationship_id)
        gone = await db.fetch(FORGET_PROMPTS, relationship_id)
        if gone:
            await db.execute(FORGET_PUSHES, *streams.transposed([tuple(row) for row in gone]))


async def _end(world: World, member_id: UUID, membership: Membership) -> bool:
    async with world.acting(member_id) as db, db.transaction():
        match await _hold(db, membership):
            case "confirming":
                return False
            case "solo" | "inviting":
                await db.execute(FORGET_INVITE, membership.relationship_id)
                await db.execute(SET_STATE, membership.relationship_id, "ended", None)
            case "active":
                # The head first: whoever is sharing at this moment finishes before, and nobody begins behind it.
                await recorder.announce(world, db, membership.shared, Ended())
                await db.execute(SET_STATE, membership.relationship_id, "ended", None)
            case "ended":
                pass
    return True


REMOVE_SECOND = """
DELETE FROM memberships
WHERE relationship_id = $1
    AND seat = 'second'
RETURNING member_id
"""

LET_READ_NO_MORE = """
DELETE FROM readers
WHERE relationship_id = $1
    AND member_id = $2
"""


async def _withdraw(world: World, membership: Membership) -> bool:
    async with world.door.acquire() as db, db.transaction():
        if await _hold(db, membership) != "confirming":
            return False
        second = await db.fetchval(REMOVE_SECOND, membership.relationship_id)
        await db.execute(LET_READ_NO_MORE, membership.relationship_id, second)
        await db.execute(SET_STATE, membership.relationship_id, "solo", None)
    return True


def _require_consent(member: Member) -> None:
    if not consented(member):
        raise ConsentRequired


async def view_of(world: World, membership: Membership) -> Relationship:
    """The relationship as its member sees it."""
    return Relationship(
        membership.relationship_id,
        membership.state,
        await _partner(world, membership),
        StreamIds(membership.shared_stream_id, membership.private_stream_id),
        membership.author_id,
    )


async def _partner(world: World, membership: Membership) -> Partner | None:
    if membership.partner_id is None:
        return None
    theirs, sealed_name = membership.partner_member_id, membership.partner_sealed_name
    if theirs is None or sealed_name is None:
        return Partner(None)
    # In a restored backup an erased partner has a name still, and no key that opens it.
    ring = await world.keys.ring(membership.relationship_id)
    if not ring.knows(membership.partner_id):
        return Partner(None)
    return Partner(await world.keys.open_for(theirs, "name", sealed_name))
