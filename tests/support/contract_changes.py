"""What in a new contract document breaks a client that was generated from an older one.

`make released` keeps the committed document, without its prose, as the one that was released.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

Json = dict[str, Any]
Way = Literal["sent", "answered"]  # by the phone, by the service

OPENAPI = Path(__file__).parents[2] / "openapi"
PROSE = {"description", "summary", "example", "examples", "externalDocs"}
LOWER_IS_TIGHTER = ("maximum", "maxLength", "maxItems", "maxProperties")
HIGHER_IS_TIGHTER = ("minimum", "minLength", "minItems", "minProperties")


class Breaking(NamedTuple):
    """A change that breaks a client: the operation or property, and what became of it."""

    place: str
    what: str


def without_prose(value: Any, *, names: bool = False) -> Any:
    """The document, or a part of it, as far as programs read it. Under `properties` every key is a name."""
    if isinstance(value, list):
        return [without_prose(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = value if names else {key: one for key, one in value.items() if key not in PROSE}
    maps = ("properties", "schemas", "responses", "headers", "paths")
    return {key: without_prose(one, names=key in maps and not names) for key, one in kept.items()}


def breaking_changes(old: Json, new: Json) -> list[Breaking]:
    """All of them, each once, in the order of the old document."""
    return list(dict.fromkeys(_Comparison(old, new).all()))


class _Comparison:
    def __init__(self, old: Json, new: Json) -> None:
        self._old, self._new = old, new
        self._seen: set[tuple[str, str, Way]] = set()

    def all(self) -> Iterator[Breaking]:
        for path, methods in self._old["paths"].items():
            for method, old in methods.items():
                new = self._new["paths"].get(path, {}).get(method)
                if new is None:
                    yield Breaking(old["operationId"], "is gone")
                else:
                    yield from self._operation(old, new)

    def _operation(self, old: Json, new: Json) -> Iterator[Breaking]:
        name = old["operationId"]
        if new["operationId"] != name:
            yield Breaking(name, f"is called {new['operationId']}")
        if new.get("security") and not old.get("security"):
            yield Breaking(name, "needs a session")
        yield from self._parameters(name, old.get("parameters", []), new.get("parameters", []))
        yield from self._content(name, _body(old), _body(new), "sent")
        for status, answer in old["responses"].items():
            if status not in new["responses"] and status[0] in "23":
                yield Breaking(name, f"answers {status} no more")
            elif status in new["responses"]:
                was, now = _resolved(self._old, answer), _resolved(self._new, new["responses"][status])
                yield from self._content(name, was, now, "answered")

    def _parameters(self, name: str, old: list[Json], new: list[Json]) -> Iterator[Breaking]:
        was, now = ({one["name"]: one for one in listed} for listed in (old, new))
        for key, one in was.items():
            if key not in now:
                yield Breaking(f"{name}.{key}", "is gone")
            else:
                yield from self._schema(f"{name}.{key}", one["schema"], now[key]["schema"], "sent")
        for key, one in now.items():
            if one.get("required") and not was.get(key, {}).get("required"):
                yield Breaking(f"{name}.{key}", "is required")

    def _content(self, name: str, old: Json, new: Json, way: Way) -> Iterator[Breaking]:
        if way == "sent" and new.get("content") and not old.get("content"):
            yield Breaking(name, "needs a body")
        for kind, one in old.get("content", {}).items():
            if kind not in new.get("content", {}):
                yield Breaking(name, f"has no {kind}, {way}")
            else:
                yield from self._schema(name, one["schema"], new["content"][kind]["schema"], way)

    def _schema(self, place: str, old: Json, new: Json, way: Way) -> Iterator[Breaking]:
        was, now = _plain(old), _plain(new)
        if _may_be_null(old) != _may_be_null(new) and _may_be_null(old) == (way == "sent"):
            yield Breaking(place, "may be null" if way == "answered" else "may not be null")
        if "$ref" in was or "$ref" in now:
            yield from self._named(place, was, now, way)
        else:
            yield from self._typed(place, was, now, way)

    def _named(self, place: str, was: Json, now: Json, way: Way) -> Iterator[Breaking]:
        """One of them, or both, have a name: clients have a type of that name."""
        old, new = (one.get("$ref", "").rpartition("/")[2] for one in (was, now))
        if old != new:
            yield Breaking(place, f"is a {new or _type(now)}, was a {old or _type(was)}")
        elif (old, new, way) not in self._seen:
            self._seen.add((old, new, way))
            schemas = (document["components"]["schemas"] for document in (self._old, self._new))
            yield from self._typed(old, next(schemas)[old], next(schemas)[new], way)

    def _typed(self, place: str, was: Json, now: Json, way: Way) -> Iterator[Breaking]:
        if _type(was) != _type(now):
            yield Breaking(place, f"is of type {_type(now)}, was {_type(was)}")
            return
        yield from _words(place, was, now, way)
        if way == "sent":
            yield from _bounds(place, was, now)
        yield from self._properties(place, was, now, way)
        for inner in ("items", "additionalProperties", "propertyNames"):
            if isinstance(was.get(inner), dict) and isinstance(now.get(inner), dict):
                yield from self._schema(place, was[inner], now[inner], way)

    def _properties(self, place: str, was: Json, now: Json, way: Way) -> Iterator[Breaking]:
        before, after = was.get("properties", {}), now.get("properties", {})
        for name, one in before.items():
            if name not in after:
                yield Breaking(f"{place}.{name}", "is gone")
            else:
                yield from self._schema(f"{place}.{name}", one, after[name], way)
        had, has = set(was.get("required", [])), set(now.get("required", []))
        if way == "sent":
            yield from (Breaking(f"{place}.{name}", "is required") for name in sorted(has - had))
        else:
            yield from (Breaking(f"{place}.{name}", "may be left out") for name in sorted((had - has) & {*after}))


def _words(place: str, was: Json, now: Json, way: Way) -> Iterator[Breaking]:
    """Which words may be sent no more, and which are answered that a client has no case for."""
    before, after = was.get("enum"), now.get("enum")
    if before is None and after is not None and way == "sent":
        yield Breaking(place, f"is one of {', '.join(after)}")
    if before is None or after is None:
        return
    if way == "sent":
        yield from (Breaking(place, f"may not be {word}") for word in before if word not in after)
    elif not was.get("x-may-grow"):
        yield from (Breaking(place, f"may be {word}") for word in after if word not in before)


def _bounds(place: str, was: Json, now: Json) -> Iterator[Breaking]:
    """What may be sent no more because it is too long, too large, or of another pattern."""
    for key in LOWER_IS_TIGHTER:
        if now.get(key, float("inf")) < was.get(key, float("inf")):
            yield Breaking(place, f"has a lower {key}")
    for key in HIGHER_IS_TIGHTER:
        if now.get(key, float("-inf")) > was.get(key, float("-inf")):
            yield Breaking(place, f"has a higher {key}")
    if "pattern" in now and was.get("pattern") != now["pattern"]:
        yield Breaking(place, "has another pattern")
    if was.get("additionalProperties") is not False and now.get("additionalProperties") is False:
        yield Breaking(place, "takes no other properties")


def _body(operation: Json) -> Json:
    found: Json = operation.get("requestBody", {})
    return found


def _resolved(document: Json, answer: Json) -> Json:
    found: Json = document["components"]["responses"][answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
    return found


def _plain(schema: Json) -> Json:
    """The schema without its null."""
    found: Json = next((one for one in schema.get("anyOf", []) if "$ref" in one), schema)
    return found


def _may_be_null(schema: Json) -> bool:
    return {"type": "null"} in schema.get("anyOf", []) or "null" in schema.get("type", "")


def _type(schema: Json) -> str:
    """The type that a client makes of it: its type and format, null aside."""
    kinds = schema.get("type", "anything")
    listed = [kind for kind in kinds if kind != "null"] if isinstance(kinds, list) else [kinds]
    return " ".join([*listed, *([schema["format"]] if "format" in schema else [])])


if __name__ == "__main__":
    committed = json.loads((OPENAPI / "openapi.json").read_text())
    json.dump(without_prose(committed), sys.stdout, separators=(",", ":"), ensure_ascii=False)
    sys.stdout.write("\n")
