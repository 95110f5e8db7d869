"""What a phone records: four kinds of entry one by one, or its whole offline queue at once."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import msgspec
from litestar import post, put
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct
from msgspec.structs import replace

from events import errors as refusals
from events.entries import CheckIn, Decision, Entry, EntryKind, Request, Retraction
from events.errors import Refusal
from projections import feed
from projections.feed import Event, Head, Page
from service.errors import Invalid, MalformedJson, NotFound, Overloaded, ServiceError, WrongState
from service.http import Call, body_of, decode, id_of, json_answer, json_of, world_of
from service.operations import described
from service.problems import Problem, problem_of
from service.recorder import Done, Outcome, Recorder, Submission
from service.relationships import Membership, membership_of, reader_of
from service.sessions import Bearer, Member, recognised, signed_in, still_signed_in

SYNC_BYTES = 2 * 1024 * 1024
SYNC_PAGE = 200


class Recorded(Struct, frozen=True):
    """The event, and the position and link that it has in its stream: the same in every replay."""

    event: Event
    head: Head


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


RECORDING_PROBLEMS = (
    refusals.ConsentRequired,
    refusals.NotActive,
    WrongState,
    NotFound,
    refusals.UnknownEvent,
    refusals.IdTaken,
    refusals.InTheFuture,
)


def _described(operation: str, summary: str, body: type[Any], *more: type[Exception]) -> dict[str, Any]:
    return described(
        id=operation,
        tag="Record",
        summary=summary,
        body=body,
        answers={201: Recorded, 200: Recorded},
        problems=(*RECORDING_PROBLEMS, *more),
    )


@put(
    "/v1/relationships/{rid:str}/check-ins/{id:str}",
    opt=_described(
        "recordCheckIn",
        "Record how something was",
        CheckIn,
        refusals.EmptyCheckIn,
        refusals.SealedForNothing,
        refusals.SealedAboutNothing,
    ),
)
async def record_check_in(request: Call, rid: FromPath[str], id: FromPath[str]) -> ASGIApp:
    """Private unless it says otherwise."""
    return await _record(request, rid, id, CheckIn)


@put(
    "/v1/relationships/{rid:str}/requests/{id:str}",
    opt=_described(
        "recordRequest",
        "Ask the other member for something",
        Request,
        refusals.ExpiresTooEarly,
        refusals.NotARequestToMe,
    ),
)
async def record_request(request: Call, rid: FromPath[str], id: FromPath[str]) -> ASGIApp:
    """Always shared."""
    return await _record(request, rid, id, Request)


@put(
    "/v1/relationships/{rid:str}/decisions/{id:str}",
    opt=_described(
        "recordDecision",
        "Decide about a request, or record a decision for both",
        Decision,
        refusals.TwoForms,
        refusals.IncompleteDecision,
        refusals.NotARequest,
        refusals.OwnRequest,
        refusals.RequestRetracted,
        refusals.RequestLapsed,
        refusals.OwnDecision,
        refusals.NotADecisionForBoth,
        refusals.AlreadyTold,
    ),
)
async def record_decision(request: Call, rid: FromPath[str], id: FromPath[str]) -> ASGIApp:
    """A no stays with its author unless they share it."""
    return await _record(request, rid, id, Decision)


@put(
    "/v1/relationships/{rid:str}/retractions/{id:str}",
    opt=_described(
        "recordRetraction",
        "Take back an entry of mine",
        Retraction,
        refusals.NotMine,
        refusals.NotRetractable,
        refusals.AlreadyRetracted,
    ),
)
async def record_retraction(request: Call, rid: FromPath[str], id: FromPath[str]) -> ASGIApp:
    """Read by whoever could read the entry."""
    return await _record(request, rid, id, Retraction)


Sent = TypeVar("Sent", CheckIn, Request, Decision, Retraction)


async def _record(request: Call, rid: str, entry_id: str, kind: type[Sent]) -> ASGIApp:
    bearer = await recognised(request)
    try:
        recorded = await recorder_of(request).record(await _submission(request, bearer, rid, entry_id, kind))
    except Overloaded:
        raise  # nothing more is looked up where there is too much to do
    except ServiceError:
        # To who was signed out nothing else is told, whatever is sent.
        await still_signed_in(request)
        raise
    (outcome,) = recorded.outcomes
    if isinstance(outcome, Refusal):
        raise outcome
    return json_answer(_recorded(outcome, recorded.author_id), 201 if outcome.new else 200)


async def _submission(request: Call, bearer: Bearer, rid: str, entry_id: str, kind: type[Sent]) -> Submission:
    relationship_id = id_of(rid)
    try:
        named = id_of(entry_id), await body_of(request, kind)
    except ServiceError:
        # To who is nothing here, everything is unknown, whatever it is called and whatever is sent.
        await membership_of(request, bearer, rid)
        raise
    return Submission(bearer.session_id, bearer.member_id, relationship_id, [named])


def recorder_of(request: Call) -> Recorder:
    """The one recorder of this process."""
    recorder: Recorder = request.app.state["recorder"]
    return recorder


def _recorded(done: Done, author_id: UUID) -> Recorded:
    event = feed.as_read(done.stored.event, author_id)
    return Recorded(event, Head(event.position, done.stored.link.hex()))


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
async def sync(request: Call, rid: FromPath[str]) -> ASGIApp:
    """At most 500 entries, kept in order; each has a result of its own."""
    member = await signed_in(request)
    membership = await membership_of(request, member, rid)
    sent = await _sync_body(request)
    read = [_read_entry(raw) for raw in sent.entries]
    good = [entry for entry in read if not isinstance(entry, SyncResult)]
    world, reader = world_of(request), reader_of(membership)
    outcomes = iter(await _record_all(request, member, membership, good) if good else [])
    async with world.acting(member.member_id) as db:
        ring = await world.keys.ring(membership.relationship_id)
        shared = await feed.page(db, ring, reader, "shared", sent.shared_after, SYNC_PAGE)
        private = await feed.page(db, ring, reader, "private", sent.private_after, SYNC_PAGE)
    results = [e if isinstance(e, SyncResult) else _result(e[0], next(outcomes)) for e in read]
    return json_answer(Synced(results, shared, private))


async def _record_all(
    request: Call, member: Member, membership: Membership, entries: list[tuple[UUID, Entry]]
) -> Sequence[Outcome | WrongState]:
    submission = Submission(member.session_id, member.member_id, membership.relationship_id, entries)
    try:
        return (await recorder_of(request).record(submission)).outcomes
    except WrongState as error:
        return [error] * len(entries)  # the news are for everybody
    except NotFound:
        await still_signed_in(request)
        raise


async def _sync_body(request: Call) -> RawSync:
    text = await json_of(request)
    try:
        return decode(text, RawSync)
    except MalformedJson:
        return _mended(text)


def _mended(text: bytes) -> RawSync:
    """The queue in a text that only a lenient reader takes, for a lone surrogate or a NaN somewhere: its entries are
    taken apart, so that only the one at fault is refused. Raises MalformedJson where nobody could read it."""
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
