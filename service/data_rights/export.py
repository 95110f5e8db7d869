"""Export everything of mine as one streamed document, to keep, to verify and to import elsewhere."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Literal
from uuid import UUID

import msgspec
import structlog
from litestar import Response, get
from litestar.response import Stream
from msgspec import Meta, Struct

from events import chain
from events.entries import Audience
from events.heads import read_head
from projections import feed
from projections.feed import Page
from projections.reader import Reader
from service.access.authentication import Member, check_step_up, current_member
from service.access.memberships import Membership, memberships_of, reader_of
from service.access.notices import tell_of_export
from service.access.pauses import Pause
from service.accounts.me import Me, me_of
from service.accounts.pauses import pauses_of
from service.accounts.sessions import Device, devices_of
from service.context import Context
from service.data_rights import tables
from service.data_rights.tables import OwnEntry
from service.errors import StepUpRequired
from service.prompts.prompts_api import Prompt, prompts_of
from service.prompts.schedule import Schedule
from service.prompts.schedule_api import schedule_of
from service.push.devices import RegisteredDevice, push_devices_of
from service.relationships.view import Relationship, view_of
from service.web.operation import described
from service.web.requests import JSON, ApiRequest, context_of, decode_query

log = structlog.get_logger()

FORMAT: Literal["mutuality/export/v1"] = "mutuality/export/v1"
CHUNK_EVENTS = 200
ARCHIVE = "application/zip"
ARCHIVE_HEADERS = {"Content-Disposition": 'attachment; filename="mutuality-tables.zip"', "Cache-Control": "no-store"}
HEADERS = {"Content-Disposition": 'attachment; filename="mutuality-export.json"', "Cache-Control": "no-store"}


class ExportQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be in it, and how it is written."""

    private: Annotated[
        bool,
        Meta(description="Whether my private streams and pauses are in it: whoever makes me export need not see them."),
    ] = True
    format: Annotated[
        Literal["json", "csv"],
        Meta(
            description="json: everything, with what verifies it. csv: my own entries that stand, a table for each "
            "kind, as a ZIP archive."
        ),
    ] = "json"


class ExportedRelationship(Struct, frozen=True):
    """A relationship as I see it, and the two streams that I can read, each as one page with all events and proofs.

    Where private streams were left out, `private` is null.
    """

    relationship: Relationship
    shared: Page
    private: Page | None


class Export(Struct, frozen=True, kw_only=True):
    """Everything of mine. `openapi/verify_export.py` checks it, `python -m service import` takes it in elsewhere.

    Not in it: the addresses of devices, which are of use to this service only, and prompts that are yet to come.
    """

    format: Literal["mutuality/export/v1"]
    me: Me
    sessions: list[Device]
    devices: list[RegisteredDevice]
    schedule: Schedule
    pauses: list[Pause]
    prompts: list[Prompt]
    relationships: list[ExportedRelationship]


class ExportCutOff(Exception):
    """Not everything could be read. The document has begun by then, so all that is left is to close the connection."""


@get(
    "/v1/me/export",
    opt=described(
        id="exportMe",
        tag="Leave",
        summary="Everything of mine as one document, with what verifies it, or my own entries as tables",
        query=ExportQuery,
        answers={200: Export},
        archive="The tables, for format=csv.",
        problems=(StepUpRequired,),
    ),
)
async def export_me(request: ApiRequest) -> Stream | Response[bytes]:
    """Sent while it is read: a document that does not close is not complete, and the connection then ends in an error.

    Each stream is as it was when its relationship came up. Who asks is checked once, at the beginning.
    """
    member = await current_member(request)
    query, context = decode_query(request, ExportQuery), context_of(request)
    check_step_up(member, context.now())
    start = await _about_me(context, member, private=query.private)
    await tell_of_export(context, member.member_id, member.session_id, context.now())
    async with context.acting_as(member.member_id) as db:
        found = await memberships_of(db, member.member_id, context.now())
    if query.format == "csv":
        content = await tables.archive(await _own_entries(context, member, found, query.private))
        return Response(content, media_type=ARCHIVE, headers=ARCHIVE_HEADERS)
    document = _document(context, start, [one.relationship_id for one in found], query.private)
    return Stream(_without_causes(document), media_type=JSON, headers=HEADERS)


async def _without_causes(document: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for part in document:
            yield part
    except Exception as error:
        # The server logs what ends a connection with all its causes, which may hold what people wrote.
        log.error("export_broken_off", failure=type(error).__name__)
        raise ExportCutOff from None


async def _about_me(context: Context, member: Member, *, private: bool) -> Export:
    return Export(
        format=FORMAT,
        me=await me_of(context, member),
        sessions=(await devices_of(context, member)).sessions,
        devices=await push_devices_of(context, member),
        schedule=await schedule_of(context, member),
        pauses=await pauses_of(context, member) if private else [],
        prompts=await prompts_of(context, member.member_id, None, None),
        relationships=[],
    )


async def _own_entries(
    context: Context, member: Member, memberships: Sequence[Membership], private: bool
) -> list[OwnEntry]:
    found: list[OwnEntry] = []
    for one in memberships:
        reader = reader_of(one)
        streams = reader.streams if private else [reader.shared]
        keys = await context.keys.relationship_keys(reader.relationship_id, reader.author_id)
        name = str(one.relationship_id)
        async with context.acting_as(member.member_id) as db:
            found += await tables.own_entries(db, keys, reader, streams, name)
    return found


async def _document(
    context: Context, start: Export, relationship_ids: list[UUID], private: bool
) -> AsyncIterator[bytes]:
    """The bytes of an Export, exactly as if encoded in one piece; `start` has no relationships yet."""
    yield msgspec.json.encode(start).removesuffix(b"]}")
    comma = b""
    for relationship_id in relationship_ids:
        async for part in _relationship(context, start.me.member_id, relationship_id, private):
            yield comma + part
            comma = b""
        comma = b","
    yield b"]}"


async def _relationship(
    context: Context, member_id: UUID, relationship_id: UUID, with_private: bool
) -> AsyncIterator[bytes]:
    membership, shared, private = await _as_of_now(context, member_id, relationship_id)
    reader = reader_of(membership)
    yield b'{"relationship":' + msgspec.json.encode(await view_of(context, membership)) + b',"shared":'
    async for part in _page(context, member_id, reader, "shared", shared):
        yield part
    yield b',"private":'
    if with_private:
        async for part in _page(context, member_id, reader, "private", private):
            yield part
    else:
        yield b"null"
    yield b"}"


async def _as_of_now(
    context: Context, member_id: UUID, relationship_id: UUID
) -> tuple[Membership, chain.Head, chain.Head]:
    # One snapshot, so that the state and the streams agree.
    async with context.acting_as(member_id) as db, db.transaction(isolation="repeatable_read", readonly=True):
        (membership,) = await memberships_of(db, member_id, context.now(), relationship_id)
        return (
            membership,
            await read_head(db, membership.shared),
            await read_head(db, membership.private),
        )


async def _page(
    context: Context, member_id: UUID, reader: Reader, audience: Audience, head: chain.Head
) -> AsyncIterator[bytes]:
    """All events up to a head, as one page. No connection is held while a slow phone reads."""
    after, comma = 0, b""
    yield b'{"events":['
    while after < head.position:
        wanted = min(CHUNK_EVENTS, head.position - after)
        keys = await context.keys.relationship_keys(reader.relationship_id, reader.author_id)
        async with context.acting_as(member_id) as db:
            page = await feed.page(db, keys, reader, audience, after, wanted, proof=True)
        if len(page.events) < wanted:
            raise ExportCutOff
        yield comma + msgspec.json.encode(page.events)[1:-1]
        after, comma = after + wanted, b","
    yield b'],"head":' + msgspec.json.encode(feed.as_head(head)) + b',"more":false}'
