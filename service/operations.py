"""What the OpenAPI document says of an operation, written where the operation is."""

from typing import Any

from msgspec import Struct


class Operation(Struct, frozen=True, kw_only=True):
    """One operation: its id, one line of summary, the types that go in and out, and the problems it can answer with.

    `problems` names each exception type that the operation can raise; what a body, a query or a missing token can cause
    need not be repeated. Examples of what goes in and out stand in `examples`, under the id. `cached` answers carry an
    ETag; a `live` one never ends, and each of its frames holds what is answered.
    """

    id: str
    summary: str
    body: Any = None
    query: Any = None
    answers: dict[int, Any]
    problems: tuple[type[Exception], ...] = ()
    signed_in: bool = True
    cached: bool = False
    live: bool = False


def described(**said: Any) -> dict[str, Any]:
    """The description as a Litestar handler carries it."""
    return {"operation": Operation(**said)}
