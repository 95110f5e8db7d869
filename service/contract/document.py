"""Generate the OpenAPI document from the routes and structs: no sentence of it is written twice.

The schemas come from msgspec. They are then normalised, because the generators of Swift and Kotlin clients fail on a
`null` inside `anyOf`, and the paths are sorted, so that the same code gives the same bytes.
"""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from msgspec.inspect import (
    DateTimeType,
    DictType,
    Field,
    IntType,
    ListType,
    LiteralType,
    Metadata,
    NoneType,
    StructType,
    Type,
    UnionType,
)

from service import errors
from service.contract import examples
from service.reading.live import POSITIONS
from service.web.operation import Operation, Tag
from service.web.problems import MEDIA_TYPE, Problem, problem, problem_of, title_of

VERSION = "1.0.0"
REFERENCE = "#/components/schemas/{name}"
Json = dict[str, Any]

INTRODUCTION = """\
Two people keep one relationship log. Each tells their own side; the two tellings are shown side by side, never merged.

Every id of an entry comes from the phone: send the same entry under the same id as often as needed. `Who` is relative
to the author in what is sent, and to the reader in what is answered.

Bodies are JSON in UTF-8, read strictly: unknown fields and wrong types are refused (neither `"1"` nor `1.0` is 1).
Null is the same as leaving a field out, in every body. Where a name stands twice in one object, the last one counts.
Times are RFC 3339 with an offset, read to the microsecond, without leap seconds. An operation that has query parameters
refuses any others, and one that stands twice.

**Send `occurred_at` in local time, with the offset of the place: `2026-11-20T00:30:00+13:00`, never turned into `Z`.**
Its own calendar date is the day on which an entry counts: half past midnight in Auckland, sent as
`2026-11-19T11:30:00Z`, counts on the day before. `day` of an event is the day on which it was counted.

Problems are RFC 9457: programs look at `code`, people read `detail`, and `errors` points to the place, where one can be
named. An address that is not described here answers 404, a method that is not described 405.
"""

# Integers beyond these bounds do not fit the 32 bits that generated clients give them by default.
INT32 = range(-(2**31), 2**31)

# In the order in which a phone needs them.
TAGS: dict[Tag, str] = {
    "Sign in": "By a mailed code, with Apple or with Google; the devices that are signed in; stepping up.",
    "Me": "My name, my address, my time zone, my consent, and when I pause.",
    "Relationships": "Two people become linked, by three acts of their own: an invite, its acceptance, a confirmation.",
    "Record": "What a phone records: four kinds of entry one by one, or its whole offline queue at once.",
    "Read": "What a phone looks at: events, also as they happen, requests, and what the log adds up to.",
    "Be asked": "When I want to be asked, what I was asked, and the devices that my pushes go to.",
    "Leave": "Leaving a relationship, taking everything of mine along, and being erased.",
    "Help": "Where to turn in danger.",
    "Health": "Whether the process lives, and whether it can work.",
}

PATH_PARAMETERS = {
    "rid": "The id of a relationship of mine.",
    "id": "The id that the phone gives to the entry: any UUID, version 4 recommended.",
    "session_id": "The id of a session of mine.",
    "device_id": "The id that the phone gives to itself: any UUID, version 4 recommended.",
    "prompt_id": "The id of a prompt of mine.",
    "month": "A month of the calendar that has begun.",
    "pause_id": "The id that the phone gives to the pause: any UUID, version 4 recommended.",
}


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
            "description": INTRODUCTION.strip(),
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": told} for name, told in TAGS.items()],
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
        "tags": [operation.tag],
        "security": [{"session": []}] if operation.signed_in else [],
    }
    parameters = [*_path_parameters(path), *_query_parameters(operation.query)]
    if operation.cached:
        parameters.append(IF_NONE_MATCH)
    if operation.live:
        parameters.append(LAST_EVENT_ID)
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": _content(operation.body, examples.BODIES.get(operation.id)),
        }
    described["responses"] = {**_answers(operation), **_problems(operation)}
    return described


IF_NONE_MATCH: Json = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of the answer that the phone has.",
    "schema": {"type": "string"},
}
LAST_EVENT_ID: Json = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The id of the last frame that the phone has; an empty one is none. Browsers send it by themselves.",
    "schema": {"type": "string", "pattern": f"^({POSITIONS.pattern})?$"},
}
ETAG: Json = {
    "ETag": {"description": "Changes if and only if the answer does.", "required": True, "schema": {"type": "string"}}
}
RETRY_AFTER: Json = {
    "Retry-After": {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer"}}
}


MONTH: Json = {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$", "examples": ["2026-03"]}


def _path_parameters(path: str) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATH_PARAMETERS[name],
            "schema": MONTH if name == "month" else {"type": "string", "format": "uuid"},
        }
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
    """In a query nothing can be null: an optional parameter is left out."""
    kept = {key: value for key, value in schema.items() if not (key == "default" and value is None)}
    if isinstance(kept.get("type"), list):
        (kept["type"],) = (kind for kind in kept["type"] if kind != "null")
    if "enum" in kept:
        kept["enum"] = [value for value in kept["enum"] if value is not None]
    return kept


def _content(kind: Any, example: Any = None) -> Json:
    content: Json = {"schema": {"$ref": REFERENCE.format(name=kind.__name__)}}
    if example is not None:
        content["example"] = _rounded(msgspec.to_builtins(example))
    return {"application/json": content}


def _frames(kind: Any, example: str) -> Json:
    """Server-sent events: a schema can only call them a text."""
    told = f"Frames of server-sent events; the data of each is the JSON of one {kind.__name__}."
    return {"text/event-stream": {"schema": {"type": "string", "description": told}, "example": example}}


def _binary(told: str) -> Json:
    return {"type": "string", "contentMediaType": "application/zip", "description": told}


def _rounded(value: Any) -> Any:
    """Floats to six digits: the last ones differ between machines, and the document must not."""
    match value:
        case float():
            return round(value, 6)
        case dict():
            return {key: _rounded(one) for key, one in value.items()}
        case list():
            return [_rounded(one) for one in value]
        case _:
            return value


def _answers(operation: Operation) -> Json:
    answers: Json = {}
    for status, kind in operation.answers.items():
        again = status == 200 and 201 in operation.answers
        answers[str(status)] = {
            "description": "Recorded before: the answer of that time" if again else title_of(status)
        }
        if operation.live:
            answers[str(status)]["content"] = _frames(kind, examples.ANSWERS[operation.id])
        elif kind is not None:
            answers[str(status)]["content"] = _content(kind, examples.ANSWERS.get(operation.id))
        if operation.archive is not None:
            answers[str(status)]["content"] |= {"application/zip": {"schema": _binary(operation.archive)}}
        if operation.cached:
            answers[str(status)]["headers"] = ETAG
    if operation.cached:
        answers["304"] = {"description": "The phone has this answer already.", "headers": ETAG}
    return answers


def _problems(operation: Operation) -> Json:
    by_status: dict[int, dict[str, Problem]] = {}
    for kind in _possible(operation):
        found = problem_of(examples.PROBLEMS[kind] if kind in examples.PROBLEMS else kind())
        by_status.setdefault(found.status, {})[found.code] = found
    for status, code, detail in ALWAYS:
        by_status.setdefault(status, {})[code] = problem(status, code, detail)
    return {str(status): _problem_answer(status, found) for status, found in sorted(by_status.items())}


ALWAYS = (
    (400, "bad_request", "The request cannot be read."),
    (500, "internal", "Something went wrong on our side; the same request may be sent again."),
    (503, "try_again", "The service cannot reach its data just now; send the same request again soon."),
)


def _possible(operation: Operation) -> Iterator[type[Any]]:
    yield from operation.problems
    if operation.body is not None:
        yield from (errors.MalformedJson, errors.UnsupportedMediaType, errors.TooLarge)
    if operation.body is not None or operation.query is not None:
        yield errors.Invalid
    if operation.signed_in:
        yield from (errors.NotSignedIn, errors.TooManyRequests)


def _problem_answer(status: int, found: dict[str, Problem]) -> Json:
    answer: Json = {
        "description": f"{title_of(status)}: {', '.join(sorted(found))}",
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
    listed = list(kinds)
    _, components = msgspec.json.schema_components(listed, ref_template=REFERENCE)
    structs = _structs(msgspec.inspect.multi_type_info(listed))
    return {name: _detailed(_normalised(schema), structs[name].fields) for name, schema in components.items()}


def _structs(types: Iterable[Type]) -> dict[str, StructType]:
    found: dict[str, StructType] = {}
    waiting = list(types)
    while waiting:
        one = waiting.pop()
        if isinstance(one, StructType) and one.cls.__name__ not in found:
            found[one.cls.__name__] = one
            waiting += [field.type for field in one.fields]
        waiting += _inside(one)
    return found


def _inside(one: Type) -> list[Type]:
    match one:
        case Metadata():
            return [one.type]
        case UnionType():
            return list(one.types)
        case ListType():
            return [one.item_type]
        case DictType():
            return [one.value_type]
        case _:
            return []


def _detailed(schema: Json, fields: Iterable[Field]) -> Json:
    """The schema of a struct, with what the types know and msgspec's schemas leave out."""
    for field in fields:
        _add_details(schema["properties"][field.encode_name], field.type)
    return schema


def _add_details(schema: Json, kind: Type) -> None:
    match kind:
        case Metadata():
            _add_details(schema, kind.type)
        case UnionType():
            only = [one for one in kind.types if not isinstance(one, NoneType)]
            if len(only) == 1:
                _add_details(schema, only[0])
        case DateTimeType():
            schema["format"] = "date-time"
        case IntType() if not all(bound is None or bound in INT32 for bound in (kind.ge, kind.le)):
            schema["format"] = "int64"
        case DictType(key_type=LiteralType() as key):
            schema["propertyNames"] = {"type": "string", "enum": sorted(key.values)}


def _normalised(schema: Any) -> Any:
    """The schema with nulls where client generators understand them, and without titles that repeat the name."""
    if isinstance(schema, list):
        return [_normalised(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    normal = {key: _normalised(value) for key, value in schema.items() if key not in ("title", "properties")}
    if "anyOf" in normal:
        normal = _with_null_inside(normal)
    if "properties" in schema:
        required = schema.get("required", [])
        normal["properties"] = {
            name: _normalised(one) if name in required else _optional(_normalised(one))
            for name, one in schema["properties"].items()
        }
    if normal.get("required") == []:
        del normal["required"]
    if "enum" in normal and "type" not in normal:
        (kind,) = {JSON_TYPES[type(value)] for value in normal["enum"]}
        normal = {"type": kind, **normal}
    if "description" in normal:
        normal["description"] = inspect.cleandoc(normal["description"])
    return normal


JSON_TYPES = {str: "string", bool: "boolean", int: "integer"}


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
