"""Sync: a phone's whole offline queue at once, and the news of both streams."""

import json
from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import post
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct
from msgspec.structs import replace

from events import errors as refusals
from events.entries import CheckIn, Decision, Entry, EntryKind, Request, Retraction
from events.errors import Refusal
from projections import feed
from projections.feed import Page
from service.access.authentication import Member, current_member, recheck_session
from service.access.memberships import Membership, membership_of, reader_of
from service.errors import Invalid, MalformedJson, NotFound, ServiceError, WrongState
from service.recording.entries import recorder_of
from service.recording.write_set import Outcome, Submission, Submitter
from service.web.operation import described
from service.web.problems import Problem, problem_of
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
    decision: Decision | None = None
    retraction: Retraction | None = None


Position = Annotated[int, Meta(ge=0, le=2**63 - 1, description="The last position that the phone has, 0 for none.")]


class Sync(Struct, frozen=True, forbid_unknown_fields=True):
    """What the phone recorded offline, in order, and how far it has read each stream."""

    entries: Annotated[list[SyncEntry], Meta(max_length=500)] = []
    shared_after: Position = 0
    private_after: Position = 0


class RawSync(Struct, frozen=True, forbid_unknown_fields=True):
    """The same, its entries not looked into yet: one that does not fit must not block the others."""

    entries: Annotated[list[msgspec.Raw], Meta(max_length=500)] = []
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
    sent = await _sync_body(request)
    read = [_read_entry(raw) for raw in sent.entries]
    good = [entry for entry in read if not isinstance(entry, SyncResult)]
    context, reader = context_of(request), reader_of(membership)
    outcomes = iter(await _record_all(request, member, membership, good) if good else [])
    async with context.acting_as(member.member_id) as db:
        keys = await context.keys.relationship_keys(membership.relationship_id)
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


async def _sync_body(request: ApiRequest) -> RawSync:
    text = await json_of(request)
    try:
        return decode(text, RawSync)
    except MalformedJson:
        return _mended(text)


def _mended(text: bytes) -> RawSync:
    """The queue in a text that only a lenient parser takes, for a lone surrogate or a NaN somewhere: its entries are
    taken apart, so that only the one at fault is refused. Raises MalformedJson where no parser takes it."""
    try:
        sent = json.loads(text.decode(errors="surrogateescape"))
        if not isinstance(sent, dict) or not isinstance(sent.get("entries"), list):
            raise MalformedJson
        entries = [msgspec.Raw(json.dumps(entry).encode()) for entry in sent["entries"]]
        rest = json.dumps(sent | {"entries": [None] * len(entries)}).encode()
    except (ValueError, RecursionError):
        raise MalformedJson from None
    return replace(decode(rest, RawSync), entries=entries)


def _read_entry(raw: msgspec.Raw) -> tuple[UUID, Entry] | SyncResult:
    try:
        sent = decode(raw, SyncEntry)
        return sent.id, _entry_of(sent)
    except ServiceError as error:
        return SyncResult(_id_in(raw), "refused", problem_of(error))


def _entry_of(sent: SyncEntry) -> Entry:
    given: dict[str, Entry | None] = {
        "check_in": sent.check_in,
        "request": sent.request,
        "decision": sent.decision,
        "retraction": sent.retraction,
    }
    entry = given.pop(sent.kind)
    if entry is None or any(given.values()):
        raise Invalid(f"An entry of kind {sent.kind} needs the field {sent.kind}, and no other entry.")
    return entry


class _Named(Struct, frozen=True):
    id: UUID


def _id_in(raw: msgspec.Raw) -> UUID | None:
    # Read leniently: what is wrong elsewhere in the entry must not hide which one it is.
    try:
        sent = json.loads(bytes(raw).decode(errors="surrogateescape"), parse_int=str)
        return msgspec.convert(sent, _Named).id
    except (ValueError, RecursionError, msgspec.ValidationError):
        return None


def _result(entry_id: UUID, outcome: Outcome | WrongState) -> SyncResult:
    if isinstance(outcome, refusals.IdTaken):
        return SyncResult(entry_id, "conflict", problem_of(outcome))
    if isinstance(outcome, Refusal | WrongState):
        return SyncResult(entry_id, "refused", problem_of(outcome))
    return SyncResult(entry_id, "recorded" if outcome.new else "replayed")
