"""The contract document, made from the routes and the structs: no sentence of it is written twice.

The schemas come from msgspec. They are then normalised, because the generators of Swift and Kotlin clients stumble
over a `null` inside `anyOf`, and the paths are sorted, so that the same code gives the same bytes.
"""

import inspect
import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler

from service import errors
from service.operations import Operation
from service.problems import MEDIA_TYPE, Problem, problem, problem_of, status_of

VERSION = "1.0.0"
REFERENCE = "#/components/schemas/{name}"
Json = dict[str, Any]

INTRODUCTION = """\
Two people keep one relationship log. Each tells their own side; the two tellings are shown side by side, never merged.

Every id of an entry comes from the phone: send the same entry under the same id as often as needed. `Who` is relative
to the author in what is sent, and to the reader in what is answered. Problems are RFC 9457: programs look at `code`.
"""


def document(app: Litestar) -> Json:
    """The OpenAPI 3.1 document of the application's operations."""
    found = sorted(_operations(app), key=lambda one: (one[0], one[1]))
    paths: Json = {}
    for path, method, handler, operation in found:
        paths.setdefault(path, {})[method] = _described(path, handler, operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mutuality",
            "version": VERSION,
            "summary": "One relationship log, two tellings.",
            "description": INTRODUCTION,
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(operation for *_, operation in found),
            "securitySchemes": {
                "session": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The access token of a session.",
                }
            },
        },
    }


def _operations(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler, Operation]]:
    for route in app.routes:
        for handler in getattr(route, "route_handlers", []):
            operation = handler.opt.get("operation")
            if operation is not None:
                (method,) = handler.http_methods - {"HEAD", "OPTIONS"}
                yield re.sub(r":\w+}", "}", route.path), method.lower(), handler, operation


def _described(path: str, handler: HTTPRouteHandler, operation: Operation) -> Json:
    described: Json = {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": inspect.cleandoc(handler.fn.__doc__ or ""),
        "tags": [_tag(path)],
        "security": [{"session": []}] if operation.signed_in else [],
    }
    parameters = [*_path_parameters(path), *_query_parameters(operation.query)]
    if operation.cached:
        parameters.append(IF_NONE_MATCH)
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _content(operation.body, operation.example)}
    described["responses"] = {**_answers(operation), **_problems(path, operation)}
    return described


IF_NONE_MATCH: Json = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of the answer that the phone has.",
    "schema": {"type": "string"},
}
ETAG: Json = {"ETag": {"description": "Changes if and only if the answer does.", "schema": {"type": "string"}}}
RETRY_AFTER: Json = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}


def _tag(path: str) -> str:
    parts = [part for part in path.split("/") if part and part != "v1"]
    return parts[0] if parts[0] in ("health", "me", "relationships") else "sessions" if "s" in parts[0] else parts[0]


def _path_parameters(path: str) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
        for name in re.findall(r"{(\w+)}", path)
    ]


def _query_parameters(query: Any) -> list[Json]:
    if query is None:
        return []
    schema = _components([query])[query.__name__]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, **_lifted(_without_null(one))}
        for name, one in schema["properties"].items()
    ]


def _lifted(schema: Json) -> Json:
    """A description belongs to the parameter, not to its schema."""
    described = {"description": schema["description"]} if "description" in schema else {}
    return {**described, "schema": {key: value for key, value in schema.items() if key != "description"}}


def _without_null(schema: Json) -> Json:
    """In a query nothing can be null: what may be left out is simply left out."""
    kept = {key: value for key, value in schema.items() if not (key == "default" and value is None)}
    if isinstance(kept.get("type"), list):
        (kept["type"],) = (kind for kind in kept["type"] if kind != "null")
    if "enum" in kept:
        kept["enum"] = [value for value in kept["enum"] if value is not None]
    return kept


def _content(kind: Any, example: Any = None) -> Json:
    content: Json = {"schema": {"$ref": REFERENCE.format(name=kind.__name__)}}
    if example is not None:
        content["example"] = example
    return {"application/json": content}


def _answers(operation: Operation) -> Json:
    answers: Json = {}
    for status, kind in operation.answers.items():
        answers[str(status)] = {"description": HTTPStatus(status).phrase}
        if kind is not None:
            answers[str(status)]["content"] = _content(kind)
        if operation.cached:
            answers[str(status)]["headers"] = ETAG
    if operation.cached:
        answers["304"] = {"description": "The phone has this answer already.", "headers": ETAG}
    return answers


def _problems(path: str, operation: Operation) -> Json:
    by_status: dict[int, dict[str, Problem]] = {}
    for kind in _possible(path, operation):
        found = problem_of(kind()) if kind is not errors.TooManyRequests else problem_of(errors.TooManyRequests(1))
        by_status.setdefault(found.status, {})[found.code] = found
    for status, code, detail in ALWAYS:
        by_status.setdefault(status, {})[code] = problem(status, code, detail)
    return {str(status): _problem_answer(status, found) for status, found in sorted(by_status.items())}


ALWAYS = (
    (400, "bad_request", "The request cannot be read."),
    (500, "internal", "Something went wrong on our side; the same request may be sent again."),
    (503, "try_again", "The service cannot reach its data just now; send the same request again soon."),
)


def _possible(path: str, operation: Operation) -> Iterator[type[Any]]:
    yield from (kind for named in operation.problems for kind in (named, *_below(named)))
    if operation.body is not None:
        yield from (errors.MalformedJson, errors.UnsupportedMediaType, errors.TooLarge)
    if operation.body is not None or operation.query is not None:
        yield errors.Invalid
    if operation.signed_in:
        yield errors.NotSignedIn


def _below(kind: type[Any]) -> Iterator[type[Any]]:
    for one in kind.__subclasses__():
        # Those with a status of their own are named where they can happen.
        if status_of(one) == status_of(kind):
            yield one
            yield from _below(one)


def _problem_answer(status: int, found: dict[str, Problem]) -> Json:
    answer: Json = {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(sorted(found))}",
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": REFERENCE.format(name="Problem")},
                "examples": {code: {"value": msgspec.to_builtins(found[code])} for code in sorted(found)},
            }
        },
    }
    if status in (429, 503):
        answer["headers"] = RETRY_AFTER
    return answer


def _schemas(operations: Iterable[Operation]) -> Json:
    kinds: list[Any] = [Problem]
    for operation in operations:
        kinds += [kind for kind in (operation.body, *operation.answers.values()) if kind is not None]
    return dict(sorted(_components(dict.fromkeys(kinds)).items()))


def _components(kinds: Iterable[Any]) -> Json:
    _, components = msgspec.json.schema_components(list(kinds), ref_template=REFERENCE)
    return {name: _normalised(schema) for name, schema in components.items()}


def _normalised(schema: Any) -> Any:
    """The schema with nulls where client generators understand them, and without titles that repeat the name."""
    if isinstance(schema, list):
        return [_normalised(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    required = set(schema.get("required", []))
    normal = {key: _normalised(value) for key, value in schema.items() if key != "title"}
    if "anyOf" in normal:
        normal = _with_null_inside(normal)
    if "properties" in normal:
        normal["properties"] = {
            name: _optional(one) if name not in required else one for name, one in normal["properties"].items()
        }
    if "enum" in normal and "type" not in normal:
        normal = {"type": "string", **normal}
    return normal


def _with_null_inside(schema: Json) -> Json:
    choices = [one for one in schema["anyOf"] if one != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if len(choices) != 1 or len(choices) == len(schema["anyOf"]) or "$ref" in choices[0]:
        return schema
    (choice,) = choices
    nullable = {**choice, **rest, "type": [choice["type"], "null"]}
    if "enum" in choice:
        nullable["enum"] = [*choice["enum"], None]
    return nullable


def _optional(schema: Json) -> Json:
    """A property that may be left out needs no null beside a reference, and no null as its default."""
    kept = {key: value for key, value in schema.items() if not (key == "default" and value is None)}
    choices = kept.get("anyOf", [])
    if len(choices) == 2 and {"type": "null"} in choices:
        (reference,) = (one for one in choices if one != {"type": "null"})
        return dict(reference)
    return kept
