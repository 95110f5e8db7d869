"""Record one entry: a PUT for each of the four kinds."""

from typing import Any, TypeVar
from uuid import UUID

from litestar import put
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Struct

from events import errors as refusals
from events.entries import CheckIn, Decision, Opening, Request, Retraction
from events.errors import Refusal
from projections import feed
from projections.feed import Event, Head
from service.access.authentication import Bearer, bearer_without_recheck, recheck_session
from service.access.memberships import membership_of
from service.errors import NotFound, Overloaded, ServiceError, WrongState
from service.recording.recorder import Recorder
from service.recording.write_set import RecordedEntry, Submission, Submitter
from service.web.operation import described
from service.web.requests import ApiRequest, decode_body, path_uuid, state_of
from service.web.responses import json_answer


class Recorded(Struct, frozen=True):
    """The event, and the position and link that it has in its stream: the same in every replay."""

    event: Event
    head: Head


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
        refusals.NotItsDay,
        refusals.EmptyCheckIn,
        refusals.ConcernsStayPrivate,
        refusals.SealedForNothing,
        refusals.SealedAboutNothing,
    ),
)
async def record_check_in(request: ApiRequest, rid: FromPath[str], id: FromPath[str]) -> ASGIApp:
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
async def record_request(request: ApiRequest, rid: FromPath[str], id: FromPath[str]) -> ASGIApp:
    """Always shared."""
    return await _record(request, rid, id, Request)


@put(
    "/v1/relationships/{rid:str}/openings/{id:str}",
    opt=_described("recordOpening", "Say that something is to be decided for both", Opening),
)
async def record_opening(request: ApiRequest, rid: FromPath[str], id: FromPath[str]) -> ASGIApp:
    """Always shared. Nobody is asked for anything by it, and nothing tells who has not said a view."""
    return await _record(request, rid, id, Opening)


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
        refusals.NotAnOpening,
        refusals.OpeningWithdrawn,
        refusals.AlreadyDecided,
    ),
)
async def record_decision(request: ApiRequest, rid: FromPath[str], id: FromPath[str]) -> ASGIApp:
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
async def record_retraction(request: ApiRequest, rid: FromPath[str], id: FromPath[str]) -> ASGIApp:
    """Read by whoever could read the entry."""
    return await _record(request, rid, id, Retraction)


Sent = TypeVar("Sent", CheckIn, Request, Opening, Decision, Retraction)


async def _record(request: ApiRequest, rid: str, entry_id: str, kind: type[Sent]) -> ASGIApp:
    bearer = await bearer_without_recheck(request)
    try:
        recorded = await recorder_of(request).record(await _submission(request, bearer, rid, entry_id, kind))
    except Overloaded:
        raise  # nothing more is looked up where there is too much to do
    except ServiceError:
        # Where the session has ended, nothing else is answered, whatever was sent.
        await recheck_session(request)
        raise
    (outcome,) = recorded.outcomes
    if isinstance(outcome, Refusal):
        raise outcome
    return json_answer(_recorded(outcome, recorded.author_id), 201 if outcome.new else 200)


async def _submission(request: ApiRequest, bearer: Bearer, rid: str, entry_id: str, kind: type[Sent]) -> Submission:
    relationship_id = path_uuid(rid)
    try:
        named = path_uuid(entry_id), await decode_body(request, kind)
    except ServiceError:
        # To a stranger everything is unknown, whatever it is called and whatever is sent.
        await membership_of(request, bearer, rid)
        raise
    return Submission(Submitter(bearer.session_id, bearer.member_id, relationship_id), [named])


def recorder_of(request: ApiRequest) -> Recorder:
    """The one recorder of this process."""
    recorder: Recorder = state_of(request).recorder
    return recorder


def _recorded(done: RecordedEntry, author_id: UUID) -> Recorded:
    event = feed.as_read(done.stored.event, author_id)
    return Recorded(event, Head(event.position, done.stored.link.hex()))
