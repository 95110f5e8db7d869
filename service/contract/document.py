"""Generate the OpenAPI document from the routes and structs: no sentence of it is written twice.

Paths and all that has a name are sorted, so that the same code gives the same bytes. What many operations answer, the
problems above all, stands once, under `components`.
"""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from service import errors
from service.contract import examples
from service.contract.schemas import Json, enum, enums_of, reference, schemas_of
from service.contract.words import EXAMPLES, PARAMETER_EXAMPLES, PARAMETERS
from service.core.version import CONTRACT_VERSION
from service.reading.live import POSITIONS
from service.web.operation import Operation, Tag
from service.web.problems import MEDIA_TYPE, Problem, problem, problem_of, title_of

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
named. An address that is not described here answers 404, a method that is not described 405. Every answer
has an `X-Request-Id`: name it when you ask the operator what happened.
"""

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


CONTACT = {"name": "The developers of Mutuality"}
LICENSE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
LOCAL = "http://127.0.0.1:8000"  # where `make serve` answers


class Found(Struct, frozen=True):
    """An operation, and where it is called."""

    path: str
    method: str
    handler: HTTPRouteHandler
    operation: Operation


def document(app: Litestar, public_url: str | None = None) -> Json:
    """The OpenAPI 3.1 document of the application's operations, for phones that reach it under that address."""
    found = sorted(_operations(app), key=lambda one: (one.path, one.method))
    problems = _Problems()
    paths: Json = {}
    for one in found:
        paths.setdefault(one.path, {})[one.method] = _described(one, problems)
    schemas = _schemas([one.operation for one in found], problems)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mutuality",
            "version": CONTRACT_VERSION,
            "summary": "One relationship log, two tellings.",
            "description": INTRODUCTION.strip(),
            "contact": CONTACT,
            "license": LICENSE,
        },
        "servers": [{"url": public_url or LOCAL, "description": "Where this service is reached."}],
        "tags": [{"name": name, "description": told} for name, told in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted({**schemas, **enums_of([paths, schemas])}.items())),
            "responses": dict(sorted(problems.responses.items())),
            "examples": dict(sorted(problems.examples.items())),
            "headers": HEADERS,
            "securitySchemes": {
                "session": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The access token of a session.",
                }
            },
        },
    }


def _operations(app: Litestar) -> Iterator[Found]:
    for route in app.routes:
        for handler in getattr(route, "route_handlers", []):
            operation = handler.opt.get("operation")
            if operation is not None:
                (method,) = handler.http_methods - {"HEAD", "OPTIONS"}
                yield Found(re.sub(r":\w+}", "}", route.path), method.lower(), handler, operation)


def _described(found: Found, problems: "_Problems") -> Json:
    operation = found.operation
    described: Json = {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": inspect.cleandoc(found.handler.fn.__doc__ or ""),
        "tags": [operation.tag],
        "security": [{"session": []}] if operation.signed_in else [],
    }
    if operation.deprecated_on is not None:
        described["deprecated"] = True
    parameters = [*_path_parameters(found.path), *_query_parameters(operation.query)]
    if operation.cached:
        parameters.append(IF_NONE_MATCH)
    if operation.live:
        parameters.append(LAST_EVENT_ID)
    if parameters:
        described["parameters"] = [_with_example(one) for one in parameters]
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": _content(operation.body, examples.BODIES.get(operation.id)),
        }
    described["responses"] = {**_answers(operation), **problems.of(operation)}
    return described


# --- Parameters and headers

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
HEADERS: Json = {
    "ETag": {
        "description": "Changes if and only if the answer does.",
        "required": True,
        "schema": {"type": "string"},
        "example": PARAMETER_EXAMPLES["If-None-Match"],
    },
    "RateLimit": {
        "description": "How many requests are left (r), and in how many seconds there will be more (t).",
        "schema": {"type": "string"},
        "example": '"requests";r=599;t=60',
    },
    "RequestId": {
        "description": "An id that the line in the service's log has too.",
        "required": True,
        "schema": {"type": "string"},
        "example": "3f0a9c1b7e5d2468",
    },
    "RetryAfter": {
        "description": "Seconds to wait.",
        "required": True,
        "schema": {"type": "integer"},
        "example": 60,
    },
}
ETAG: Json = {"ETag": {"$ref": "#/components/headers/ETag"}}
REQUEST_ID: Json = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
RATE_LIMIT: Json = {"RateLimit": {"$ref": "#/components/headers/RateLimit"}}
RETRY_AFTER: Json = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
MONTH: Json = {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"}
ID = "5f0c6f1e-3f0b-4a53-9d5e-9c8f6a2b7d10"


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
    schema = schemas_of([query])[query.__name__]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, **_lifted(name, one)}
        for name, one in schema["properties"].items()
    ]


def _lifted(name: str, schema: Json) -> Json:
    """A description belongs to the parameter, not to its schema."""
    return {
        "description": PARAMETERS.get(name) or schema["description"],
        "schema": {key: value for key, value in schema.items() if key not in ("description", "examples")},
    }


def _with_example(parameter: Json) -> Json:
    return {**parameter, "example": PARAMETER_EXAMPLES.get(parameter["name"], ID)}


# --- What goes in and out


def _content(kind: Any, example: Any = None) -> Json:
    """A body; several examples of it have names."""
    content: Json = {"schema": reference(kind)}
    if isinstance(example, dict):
        content["examples"] = {name: {"value": _shown(one)} for name, one in example.items()}
    elif example is not None:
        content["example"] = _shown(example)
    return {"application/json": content}


def _frames(kind: Any, example: str) -> Json:
    """Server-sent events: a schema can only call them a text."""
    told = f"Frames of server-sent events; the data of each is the JSON of one {kind.__name__}."
    return {"text/event-stream": {"schema": {"type": "string", "description": told}, "example": example}}


def _binary(told: str) -> Json:
    return {"type": "string", "contentMediaType": "application/zip", "description": told}


def _shown(example: Any) -> Any:
    return _rounded(msgspec.to_builtins(example))


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
        answers[str(status)]["headers"] = _headers(operation)
    if operation.cached:
        answers["304"] = {"description": "The phone has this answer already.", "headers": _headers(operation)}
    return answers


def _headers(operation: Operation) -> Json:
    return {**(ETAG if operation.cached else {}), **(RATE_LIMIT if operation.signed_in else {})}


# --- Problems

ALWAYS = (
    (400, "bad_request", "The request cannot be read."),
    (500, "internal", "Something went wrong on our side; the same request may be sent again."),
    (503, "try_again", "The service cannot reach its data just now; send the same request again soon."),
    (503, "unreadable", "Something that was recorded cannot be opened just now; it is not lost."),
)
NAMED_CODES = 3  # more make no name of an answer


class _Problems:
    """The answers that are problems, each once: by its status and the codes that it can have."""

    def __init__(self) -> None:
        self.responses: Json = {}
        self.examples: Json = {}

    def of(self, operation: Operation) -> Json:
        """The problems of an operation, by status."""
        by_status: dict[int, dict[str, Problem]] = {}
        for kind in _possible(operation):
            found = problem_of(examples.PROBLEMS[kind] if kind in examples.PROBLEMS else kind())
            by_status.setdefault(found.status, {})[found.code] = found
        for status, code, detail in ALWAYS:
            by_status.setdefault(status, {})[code] = problem(status, code, detail)
        return {
            str(status): {"$ref": f"#/components/responses/{self._noted(status, found, operation)}"}
            for status, found in sorted(by_status.items())
        }

    def _noted(self, status: int, found: dict[str, Problem], operation: Operation) -> str:
        for code, one in found.items():
            self.examples[code] = {"value": msgspec.to_builtins(one)}
        answer = _problem_answer(status, found)
        known = next((name for name, one in self.responses.items() if one == answer), None)
        name = known or _problem_name(status, sorted(found), operation)
        self.responses[name] = answer
        return name


def _problem_name(status: int, codes: list[str], operation: Operation) -> str:
    if len(codes) <= NAMED_CODES:
        return "Or".join(map(_camel, codes))
    return f"{_camel(title_of(status))}In{operation.id[0].upper()}{operation.id[1:]}"


def _camel(words: str) -> str:
    return "".join(word.capitalize() for word in re.split(r"[_ ]", words))


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
                "schema": reference(Problem),
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in sorted(found)},
            }
        },
    }
    answer["headers"] = {**(RETRY_AFTER if status in (429, 503) else {}), **REQUEST_ID}
    return answer


# --- Schemas


def _schemas(operations: list[Operation], problems: _Problems) -> Json:
    kinds: list[Any] = [Problem]
    for operation in operations:
        kinds += [kind for kind in (operation.body, *operation.answers.values()) if kind is not None]
    schemas = schemas_of(dict.fromkeys(kinds))
    codes = sorted({*problems.examples, "method_not_allowed"})
    schemas["ErrorCode"] = enum("ErrorCode", codes)
    schemas["Problem"]["properties"]["code"]["$ref"] = "#/components/schemas/ErrorCode"
    del schemas["Problem"]["properties"]["code"]["type"]
    for kind, example in _examples(operations):
        _add_examples(schemas, reference(kind), example)
    for (name, field), example in EXAMPLES.items():
        if name in schemas:
            schemas[name]["properties"][field].setdefault("examples", [example])
    return schemas


def _examples(operations: Iterable[Operation]) -> Iterator[tuple[Any, Any]]:
    """What stands as an example somewhere, and its struct."""
    for operation in operations:
        bodies = examples.BODIES.get(operation.id)
        for one in bodies.values() if isinstance(bodies, dict) else [bodies]:
            if one is not None:
                yield operation.body, _shown(one)
        answer = examples.ANSWERS.get(operation.id)
        if answer is not None and not operation.live:
            yield next(kind for kind in operation.answers.values() if kind is not None), _shown(answer)


def _add_examples(schemas: Json, schema: Json, value: Any) -> None:
    """Give each property that has none yet the value that it has in this example."""
    for choice in schema.get("anyOf", [schema]):
        name = choice.get("$ref", "").rpartition("/")[2]
        target = schemas.get(name, choice)
        if isinstance(value, list) and "items" in target:
            for one in value:
                _add_examples(schemas, target["items"], one)
        elif isinstance(value, dict):
            for key, one in value.items():
                if key in target.get("properties", {}):
                    _add_example(schemas, target["properties"][key], one)


def _add_example(schemas: Json, schema: Json, value: Any) -> None:
    if value is not None and _is_plain(schema):
        schema.setdefault("examples", [value])
    _add_examples(schemas, schema, value)


def _is_plain(schema: Json) -> bool:
    """Whether it holds no schema that has a name and so examples of its own."""
    named = ("$ref", "anyOf")
    return not any(one.keys() & set(named) for one in (schema, schema.get("items", {})))
