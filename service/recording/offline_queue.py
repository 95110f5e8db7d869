"""Sync: a phone's whole offline queue at once, and the news of both streams."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import post
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from events import errors as refusals
from events.entries import CheckIn, Decision, Entry, EntryKind, Opening, Request, Retraction
from events.errors import Refusal
from projections import feed
from projections.feed import Page
from service.access.authentication import Member, current_member, recheck_session
from service.access.memberships import Membership, membership_of, reader_of
from service.errors import Invalid, NotFound, ServiceError, TooLarge, WrongState
from service.recording.entries import recorder_of
from service.recording.queue_text import MAX_ENTRIES, Position, id_in, read_queue
from service.recording.write_set import Outcome, Submission, Submitter
from service.web.operation import described
from service.web.problems import Problem, problem_of
from service.web.rate_limits import limits_of
from service.web.requests import ApiRequest, context_of, decode, json_of
from service.web.responses import json_answer

SYNC_BYTES = 2 * 1024 * 1024
SYNC_PAGE = 200


class SyncEntry(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry of the queue: its id, its kind, and the entry in the field named as its kind."""

    id: UUID
    kind: EntryKind
    check_in: CheckIn | None = None
    request: Request | None = None
    opening: Opening | None = None
    decision: Decision | None = None
    retraction: Retraction | None = None


class Sync(Struct, frozen=True, forbid_unknown_fields=True):
    """What the phone recorded offline, in order, and how far it has read each stream."""

    entries: Annotated[list[SyncEntry], Meta(max_length=MAX_ENTRIES)] = []
    shared_after: Position = 0
    private_after: Position = 0


class SyncResult(Struct, frozen=True, omit_defaults=True):
    """What became of one entry. `id` is null only where the entry had none that could be read."""

    id: UUID | None
    status: Literal["recorded", "replayed", "conflict", "refused"]
    problem: Problem | None = None


class Synced(Struct, frozen=True):
    """A result for each entry, in their order, and the news of both streams."""

    results: list[SyncResult]
    shared: Page
    private: Page


@post(
    "/v1/relationships/{rid:str}/sync",
    status_code=200,
    request_max_body_size=SYNC_BYTES,
    opt=described(
        id="sync",
        tag="Record",
        summary="Send the offline queue and get the news of both streams",
        body=Sync,
        answers={200: Synced},
        problems=(WrongState, NotFound),
    ),
)
async def sync(request: ApiRequest, rid: FromPath[str]) -> ASGIApp:
    """At most 500 entries, kept in order; each has a result of its own."""
    member = await current_member(request)
    membership = await membership_of(request, member, rid)
    sent = await read_queue(await json_of(request))
    # What a call costs are its entries, so these are counted too, by the member's own alone.
    limits_of(request).entries.take((member.member_id.bytes,), context_of(request).now(), len(sent.entries))
    read = await read_entries(sent.entries)
    good = [entry for entry in read if not isinstance(entry, SyncResult)]
    context, reader = context_of(request), reader_of(membership)
    outcomes = iter(await _record_all(request, member, membership, good) if good else [])
    async with context.acting_as(member.member_id) as db:
        keys = await context.keys.relationship_keys(membership.relationship_id, membership.author_id)
        shared = await feed.page(db, keys, reader, "shared", sent.shared_after, SYNC_PAGE)
        private = await feed.page(db, keys, reader, "private", sent.private_after, SYNC_PAGE)
    results = [e if isinstance(e, SyncResult) else _result(e[0], next(outcomes)) for e in read]
    return json_answer(Synced(results, shared, private))


async def _record_all(
    request: ApiRequest, member: Member, membership: Membership, entries: list[tuple[UUID, Entry]]
) -> Sequence[Outcome | WrongState]:
    submitter = Submitter(member.session_id, member.member_id, membership.relationship_id)
    try:
        return (await recorder_of(request).record(Submission(submitter, entries))).outcomes
    except WrongState as error:
        return [error] * len(entries)  # the news are for everybody
    except NotFound:
        await recheck_session(request)
        raise


SLICE_ENTRIES, SLICE_BYTES = 32, 64 * 1024  # decoded before somebody else has a turn
# No larger entry could be sent by itself.
ENTRY_BYTES = 256 * 1024


async def read_entries(entries: Sequence[msgspec.Raw]) -> list[tuple[UUID, Entry] | SyncResult]:
    """Each entry decoded alone, others having their turns meanwhile."""
    read, count, size = list[tuple[UUID, Entry] | SyncResult](), 0, 0
    for raw in entries:
        read.append(_read_entry(raw))
        count, size = count + 1, size + len(memoryview(raw))
        if count >= SLICE_ENTRIES or size >= SLICE_BYTES:
            count, size = 0, 0
            await asyncio.sleep(0)
    return read


def _read_entry(raw: msgspec.Raw) -> tuple[UUID, Entry] | SyncResult:
    try:
        if len(memoryview(raw)) > ENTRY_BYTES:
            raise TooLarge
        sent = decode(raw, SyncEntry)
        return sent.id, _entry_of(sent)
    except ServiceError as error:
        return SyncResult(_id_in(raw), "refused", problem_of(error))


def _entry_of(sent: SyncEntry) -> Entry:
    given: dict[str, Entry | None] = {
        "check_in": sent.check_in,
        "request": sent.request,
        "opening": sent.opening,
        "decision": sent.decision,
        "retraction": sent.retraction,
    }
    entry = given.pop(sent.kind)
    if entry is None or any(given.values()):
        raise Invalid(f"An entry of kind {sent.kind} needs the field {sent.kind}, and no other entry.")
    return entry


def _id_in(raw: msgspec.Raw) -> UUID | None:
    try:
        return msgspec.convert(id_in(raw), UUID)
    except msgspec.ValidationError:
        return None


def _result(entry_id: UUID, outcome: Outcome | WrongState) -> SyncResult:
    if isinstance(outcome, refusals.IdTaken):
        return SyncResult(entry_id, "conflict", problem_of(outcome))
    if isinstance(outcome, Refusal | WrongState):
        return SyncResult(entry_id, "refused", problem_of(outcome))
    return SyncResult(entry_id, "recorded" if outcome.new else "replayed")
