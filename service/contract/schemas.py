"""The schemas of the contract document, made from the structs so that the generators of clients understand them.

What msgspec gives is made plain: lists of words become named enums in the order of their aliases, a property that may
be left out is never null beside it, a boolean is a boolean. What is always there and may be null says so: within its
type, or beside a reference.
"""

import inspect
from collections.abc import Iterable
from typing import Any, get_args

import msgspec
from msgspec import UnsetType
from msgspec.inspect import (
    DateTimeType,
    DictType,
    Field,
    FloatType,
    IntType,
    ListType,
    Metadata,
    NoneType,
    StructType,
    Type,
    UnionType,
)

from service.contract.names import BY_VALUES, ENUMS, MAY_GROW, schema_name
from service.contract.words import OF_SCHEMAS, PROPERTIES

REFERENCE = "#/components/schemas/{name}"
Json = dict[str, Any]

# Integers beyond these bounds do not fit the 32 bits that generated clients give them by default.
INT32 = range(-(2**31), 2**31)
JSON_TYPES = {str: "string", bool: "boolean", int: "integer"}
NULL = {"type": "null"}
ANSWERED_AS_NULL = {("Schedule", "paused_until")}  # it is sent and answered, and may be left out of what is sent


def reference(kind: Any) -> Json:
    """Where the schema of a struct stands."""
    return {"$ref": REFERENCE.format(name=schema_name(kind.__name__))}


def schemas_of(kinds: Iterable[Any]) -> Json:
    """The schemas of structs and of all that they hold, by name."""
    listed = list(kinds)
    _, components = msgspec.json.schema_components(listed, ref_template=REFERENCE)
    structs = _structs(msgspec.inspect.multi_type_info(listed))
    return {schema_name(name): _schema(schema_name(name), one, structs[name]) for name, one in components.items()}


def enums_of(value: Any) -> Json:
    """The enums that are referred to anywhere in it, by name."""
    return {name: enum(name, get_args(ENUMS[name])) for name in _named(value) if name in ENUMS}


def enum(name: str, values: Iterable[Any]) -> Json:
    """A named list of words."""
    listed = list(values)
    schema: Json = {"type": "string", "enum": listed, "examples": listed[:1]}
    if name in MAY_GROW:
        told = f"More may be added: an app that does not know one {_lower(MAY_GROW[name])}"
        schema |= {"description": told, "x-may-grow": True}
    return schema


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _named(value: Any) -> set[str]:
    """The names of all schemas that are referred to."""
    if isinstance(value, list):
        return set().union(*map(_named, value))
    if not isinstance(value, dict):
        return set()
    named = {value["$ref"].rpartition("/")[2]} if "$ref" in value else set()
    return named.union(*map(_named, value.values()))


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


def _schema(name: str, given: Json, struct: StructType) -> Json:
    """The schema of a struct, with what its types know and msgspec leaves out."""
    schema = {key: value for key, value in given.items() if key not in ("title", "properties")}
    if "description" in schema:
        schema["description"] = inspect.cleandoc(schema["description"])
    if schema.get("required") == []:
        del schema["required"]
    properties = given.get("properties", {})
    schema["properties"] = {
        field.encode_name: _property(name, properties[field.encode_name], field) for field in struct.fields
    }
    return schema


def _property(schema: str, given: Json, field: Field) -> Json:
    name = field.encode_name
    nullable = field.required or _may_be_unset(field) or (schema, name) in ANSWERED_AS_NULL
    made = plain(given, field.type, nullable=nullable)
    told = OF_SCHEMAS.get((schema, name)) or made.get("description") or PROPERTIES.get(name)
    return {"description": told, **{key: one for key, one in made.items() if key != "description"}}


def _may_be_unset(field: Field) -> bool:
    """Whether it is left out where it does not belong, and null where it is not known. Msgspec hides its default."""
    return not field.required and field.default is field.default_factory is msgspec.NODEFAULT


def plain(given: Json, kind: Type, *, nullable: bool) -> Json:
    """A schema of msgspec's as generators understand it; null stays only in what is `nullable`."""
    rest = {key: value for key, value in given.items() if key not in ("anyOf", "title")}
    if "default" in rest and rest["default"] is None:
        del rest["default"]
    choices = [one for one in given.get("anyOf", [given]) if one != NULL]
    if len(choices) > 1:
        return {"description": rest["description"]} if "description" in rest else {}
    may_be_null = nullable and (len(choices) < len(given.get("anyOf", [given])) or None in given.get("enum", []))
    made = {**_one(choices[0], _only(kind)), **{key: one for key, one in rest.items() if key in ("description",)}}
    if "default" in rest:
        made["default"] = rest["default"]
    return _or_null(made) if may_be_null else made


def _only(kind: Type) -> Type:
    """The type without what may be missing, and without what is told about it."""
    match kind:
        case Metadata():
            return _only(kind.type)
        case UnionType():
            only = [one for one in kind.types if not _is_missing(one)]
            return _only(only[0]) if len(only) == 1 else kind
        case _:
            return kind


def _is_missing(kind: Type) -> bool:
    return isinstance(kind, NoneType) or getattr(kind, "cls", None) is UnsetType


def _one(given: Json, kind: Type) -> Json:
    """One alternative that is not null."""
    made = {key: value for key, value in given.items() if key != "title"}
    if "description" in made:
        made["description"] = inspect.cleandoc(made["description"])
    if "$ref" in made:
        return {**made, "$ref": REFERENCE.format(name=schema_name(made["$ref"].rpartition("/")[2]))}
    if "enum" in made:
        return _enumerated(made)
    match kind:
        case DateTimeType():
            made["format"] = "date-time"
        case FloatType():
            made["format"] = "double"  # or Kotlin's generator takes it for a decimal of any length
        case IntType() if not all(bound is None or bound in INT32 for bound in (kind.ge, kind.le)):
            made["format"] = "int64"
        case DictType():
            made = _mapping(made, kind)
        case ListType():
            made["items"] = plain(made.get("items", {}), kind.item_type, nullable=True)
    return made


def _mapping(made: Json, kind: DictType) -> Json:
    if "propertyNames" in made or isinstance(kind.key_type, msgspec.inspect.LiteralType):
        values = getattr(kind.key_type, "values", ())
        name = BY_VALUES.get(frozenset(values))
        made["propertyNames"] = {"$ref": REFERENCE.format(name=name)} if name else made["propertyNames"]
    if isinstance(made.get("additionalProperties"), dict):
        made["additionalProperties"] = plain(made["additionalProperties"], kind.value_type, nullable=True)
    return made


def _enumerated(given: Json) -> Json:
    """A reference to the enum of that name; what can only be one value is a plain one."""
    values = [one for one in given["enum"] if one is not None]
    rest = {key: value for key, value in given.items() if key not in ("enum", "type")}
    if len(values) == 1:
        return {"type": JSON_TYPES[type(values[0])], "examples": values, **rest}
    return {"$ref": REFERENCE.format(name=BY_VALUES[frozenset(values)]), **rest}


def _or_null(made: Json) -> Json:
    if "$ref" in made:
        rest = {key: value for key, value in made.items() if key != "$ref"}
        return {"anyOf": [{"$ref": made["$ref"]}, NULL], **rest}
    return {**made, "type": [made["type"], "null"]}
