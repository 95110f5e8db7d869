"""Problems, RFC 9457: the one table from exceptions to statuses, and the exception handlers that answer with it."""

import traceback
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import UNSET, Struct, UnsetType

from events import errors as refusals
from events.encryption import DecryptionFailed
from service import errors
from service.database.outages import DATA_CORRUPTED, DATABASE_UNAVAILABLE
from service.errors import KeyStoreError, Violation

log = structlog.get_logger()

STATUSES: dict[type[Exception], int] = {
    errors.MalformedJson: 400,
    errors.NotSignedIn: 401,
    errors.WrongCode: 401,
    errors.IdentityRefused: 401,
    errors.RefreshRefused: 401,
    refusals.ConsentRequired: 403,
    refusals.NotActive: 403,
    errors.StepUpRequired: 403,
    errors.NoAddress: 403,
    errors.WrongState: 403,
    errors.NotTheInviter: 403,
    errors.NotFound: 404,
    errors.InviteNotFound: 404,
    refusals.UnknownEvent: 404,
    errors.AddressTaken: 409,
    refusals.IdTaken: 409,
    refusals.AlreadyTold: 409,
    errors.TooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.Invalid: 422,
    refusals.RuleBroken: 422,
    errors.TooManyRequests: 429,
    errors.ProviderAway: 503,
    errors.Overloaded: 503,
    errors.ClockJumped: 503,
}
RETRY_AFTER_SECONDS = 1
UNREADABLE_RETRY_SECONDS = 60
# RFC 9110 renamed two; which names Python knows depends on its version, and a title must not.
TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
MEDIA_TYPE = "application/problem+json"
# The framework's detail, with status 500, where a phone went away while it was sending; nobody reads the answer.
HUNG_UP = "client disconnected prematurely"


class Problem(Struct, frozen=True, kw_only=True):
    """An error, RFC 9457. Programs look at `code`, people read `detail`.

    A body or a query that does not fit is told with all places that do not, 20 at most. `server_time` comes where a
    phone's clock may be wrong.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[Violation] | UnsetType = UNSET
    server_time: datetime | UnsetType = UNSET


def problem(
    status: int, code: str, detail: str, violations: Sequence[Violation] = (), server_time: datetime | None = None
) -> Problem:
    """The problem of that status and code."""
    return Problem(
        type=f"/docs/errors/{code}",
        title=title_of(status),
        status=status,
        detail=detail,
        code=code,
        errors=list(violations) or UNSET,
        server_time=server_time or UNSET,
    )


def title_of(status: int) -> str:
    """The reason phrase of a status."""
    return TITLES.get(status) or HTTPStatus(status).phrase


def status_of(kind: type[Exception]) -> int | None:
    """The status of an exception type, its own or that of its nearest ancestor in the table."""
    return next((STATUSES[ancestor] for ancestor in kind.__mro__ if ancestor in STATUSES), None)


def problem_of(error: refusals.Refusal | errors.ServiceError) -> Problem:
    """The problem for an error that is raised on purpose."""
    status = status_of(type(error)) or 500
    if isinstance(error, errors.ServiceError):
        return problem(status, error.code, error.detail, error.violations)
    places = [errors.Violation(error.pointer, error.detail)] if error.pointer else []
    return problem(status, error.code, error.detail, places, getattr(error, "server_time", None))


def answer(found: Problem, headers: dict[str, str] | None = None) -> Response[bytes]:
    """The problem as a response."""
    return Response(msgspec.json.encode(found), status_code=found.status, media_type=MEDIA_TYPE, headers=headers or {})


def on_expected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Handles what the service raises on purpose."""
    assert isinstance(error, refusals.Refusal | errors.ServiceError)
    headers = {}
    if isinstance(error, errors.NotSignedIn):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.TooManyRequests | errors.ProviderAway | errors.Overloaded | errors.ClockJumped):
        headers["Retry-After"] = str(error.retry_after_seconds)
    return answer(problem_of(error), headers)


def on_http(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Handles what the framework raises: unknown routes, wrong methods, bodies that are too large."""
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            return answer(problem_of(errors.NotFound()))
        case 405:
            found = problem(405, "method_not_allowed", "This address does not know that method.")
            return answer(found, {"Allow": _allowed(error)})
        case 413:
            # The connection stays open: closed while the phone still sends, it would be reset, and this answer lost.
            return answer(problem_of(errors.TooLarge()))
        case status if 400 <= status < 500 or error.detail == HUNG_UP:
            return answer(problem(status if status < 500 else 400, "bad_request", "The request cannot be read."))
        case _:
            return on_unexpected(request, error)


def _allowed(error: HTTPException) -> str:
    methods = set((error.headers or {}).get("allow", "").split(", "))
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def on_database_unavailable(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Handles a database that is unavailable: nothing was recorded, or the same call will say what was."""
    log.warning("database_away", failure=type(error).__name__)
    found = problem(503, "try_again", "The service cannot reach its data just now; send the same request again soon.")
    return answer(found, {"Retry-After": str(RETRY_AFTER_SECONDS)})


def on_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Handles a bug. Messages of exceptions may hold what people wrote, so only places in the code are logged."""
    places = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
    log.error("unexpected", failure=type(error).__name__, places=places[-8:])
    return answer(problem(500, "internal", "Something went wrong on our side; the same request may be sent again."))


def on_unreadable(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Handles a text that cannot be decrypted, and rows that contradict each other: an operator has to look.

    No answer is better than a wrong one.
    """
    log.error("unreadable", failure=type(error).__name__)
    found = problem(503, "unreadable", "Something that was recorded cannot be opened just now; it is not lost.")
    return answer(found, {"Retry-After": str(UNREADABLE_RETRY_SECONDS)})


HANDLERS: dict[int | type[Exception], Any] = {
    refusals.Refusal: on_expected,
    errors.ServiceError: on_expected,
    HTTPException: on_http,
    **dict.fromkeys(DATABASE_UNAVAILABLE, on_database_unavailable),
    DecryptionFailed: on_unreadable,
    KeyStoreError: on_unreadable,
    **dict.fromkeys(DATA_CORRUPTED, on_unreadable),
    Exception: on_unexpected,
}
