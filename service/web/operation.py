"""The description of an operation in the OpenAPI document, written where its handler is."""

from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from typing import Any, Literal

from msgspec import Struct

Tag = Literal["Sign in", "Me", "Relationships", "Record", "Read", "Be asked", "Leave", "Help", "Health"]


class Operation(Struct, frozen=True, kw_only=True):
    """One operation: its id, its tag, one line of summary, what goes in and out, and its problems.

    `problems` names each exception type that the operation can raise; what a body, a query or a missing token can cause
    need not be repeated. Examples of what goes in and out stand in `contract.examples`, under the id. `cached` answers
    carry an ETag; an `archive` may come instead, as it says; a `live` one never ends, and each of its frames holds what
    is answered. One that is `deprecated_on` a day works until it is `sunset_on` another, and each answer says both.
    """

    id: str
    tag: Tag
    summary: str
    body: Any = None
    query: Any = None
    answers: dict[int, Any]
    problems: tuple[type[Exception], ...] = ()
    signed_in: bool = True
    cached: bool = False
    archive: str | None = None
    live: bool = False
    deprecated_on: date | None = None
    sunset_on: date | None = None


def described(**fields: Any) -> dict[str, Any]:
    """The description as the `opt` of a Litestar handler."""
    return {"operation": Operation(**fields)}


def announcements(operation: Operation) -> list[tuple[bytes, bytes]]:
    """The headers by which each answer says since when an operation is not to be used, and until when it can be.

    Deprecation is of RFC 9745, Sunset of RFC 8594.
    """
    headers: list[tuple[bytes, bytes]] = []
    if operation.deprecated_on is not None:
        headers.append((b"deprecation", b"@%d" % int(_midnight(operation.deprecated_on).timestamp())))
    if operation.sunset_on is not None:
        headers.append((b"sunset", format_datetime(_midnight(operation.sunset_on), usegmt=True).encode()))
    return headers


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
