"""The description of an operation in the OpenAPI document, written where its handler is."""

from typing import Any, Literal

from msgspec import Struct

Tag = Literal["Sign in", "Me", "Relationships", "Record", "Read", "Be asked", "Leave", "Help", "Health"]


class Operation(Struct, frozen=True, kw_only=True):
    """One operation: its id, its tag, one line of summary, what goes in and out, and its problems.

    `problems` names each exception type that the operation can raise; what a body, a query or a missing token can cause
    need not be repeated. Examples of what goes in and out stand in `contract.examples`, under the id. `cached` answers
    carry an ETag; an `archive` may come instead, as it says; a `live` one never ends, and each of its frames holds what
    is answered.
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


def described(**fields: Any) -> dict[str, Any]:
    """The description as the `opt` of a Litestar handler."""
    return {"operation": Operation(**fields)}
