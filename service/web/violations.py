"""All that does not fit in a body, each with its place and a sentence for a person.

The decoder stops at the first value that does not fit. Where it has refused a body, the body is walked beside its type:
each value is decoded by itself, and what is refused is looked into, as far as anything in it has a place of its own.
"""

import re
import types
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from service.errors import Violation

MAX_VIOLATIONS = 20
MAX_ITEMS = 600  # of a list or an object that are looked at: more than any may have
MAX_QUOTED_CHARACTERS = 300

Kind: TypeAlias = Any  # an annotation


def violations(value: Any, kind: Kind, pointer: str = "") -> Iterator[Violation]:
    """What does not fit, in the order of the type's fields."""
    message = refusal(value, kind)
    if message is None:
        return
    inside = list(_inside(value, kind, pointer))
    yield from inside or [Violation(pointer, in_words(message))]


def refusal(value: Any, kind: Kind) -> str | None:
    """Why the decoder refuses the value, in its own words; nothing where it takes it."""
    try:
        msgspec.json.decode(msgspec.json.encode(value), type=kind, strict=True)
    except msgspec.ValidationError as error:
        return str(error)
    except OverflowError:
        return "Integer value out of range"
    return None


def _inside(value: Any, kind: Kind, pointer: str) -> Iterator[Violation]:
    plain = _plain(kind, value)
    if isinstance(value, dict) and isinstance(plain, type) and issubclass(plain, Struct):
        yield from _fields(value, plain, pointer)
    elif isinstance(value, dict) and _origin(plain) is dict:
        key, member = get_args(plain)
        yield from _members(value, pointer, key, member)
    elif isinstance(value, list) and _origin(plain) is list:
        (item,) = get_args(plain)
        for i, one in enumerate(value[:MAX_ITEMS]):
            yield from violations(one, item, f"{pointer}/{i}")


def _plain(kind: Kind, value: Any) -> Kind:
    """The annotation without what is told about it, and of several the one that the value could be."""
    if _origin(kind) is Annotated:
        return _plain(get_args(kind)[0], value)
    if _origin(kind) in (Union, types.UnionType):
        choices = [_plain(one, value) for one in get_args(kind)]
        wanted = dict if isinstance(value, dict) else list
        return next((one for one in choices if _holds(one, wanted)), None)
    return kind


def _origin(kind: Kind) -> Any:
    return get_origin(kind)


def _holds(kind: Kind, wanted: type) -> bool:
    return _origin(kind) is wanted or (wanted is dict and isinstance(kind, type) and issubclass(kind, Struct))


def _fields(value: dict[str, Any], struct: type[Struct], pointer: str) -> Iterator[Violation]:
    known = {field.encode_name: field for field in fields(struct)}
    for name, field in known.items():
        place = f"{pointer}/{name}"
        if value.get(name) is not None:
            yield from violations(value[name], field.type, place)
        elif _is_needed(value, name, field):
            yield Violation(place, "This is needed.")
    if struct.__struct_config__.forbid_unknown_fields:
        for name in islice(value, MAX_ITEMS):
            if name not in known:
                yield Violation(f"{pointer}/{escaped(name)}", "There is no such field here.")


def _is_needed(value: dict[str, Any], name: str, field: FieldInfo) -> bool:
    """Null is as absent, where it is not a value of its own."""
    return field.required and (name not in value or refusal(None, field.type) is not None)


def _members(value: dict[str, Any], pointer: str, key: Kind, member: Kind) -> Iterator[Violation]:
    for name, one in islice(value.items(), MAX_ITEMS):
        place = f"{pointer}/{escaped(name)}"
        if message := refusal(name, key):
            yield Violation(place, _of_key(message, key))
        elif one is not None:
            yield from violations(one, member, place)


def _of_key(message: str, key: Kind) -> str:
    names = get_args(key) if _origin(key) is Literal else ()
    return f"There is no such name here; there are {', '.join(names)}." if names else in_words(message)


def escaped(name: str) -> str:
    """A name as part of a JSON pointer."""
    return name[:MAX_QUOTED_CHARACTERS].replace("~", "~0").replace("/", "~1")


KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
    "uuid": "a UUID",
    "datetime": "a time with its offset, such as 2026-03-30T20:15:00+02:00",
    "date": "a date such as 2026-03-30",
}
# What msgspec says, as an engineer reads it, and what a person is told.
WORDS: list[tuple[str, str]] = [
    (r"Expected `(?:int|float)` <= (\S+)", r"At most \1."),
    (r"Expected `(?:int|float)` >= (\S+)", r"At least \1."),
    (r"Expected `str` of length <= (\d+)", r"At most \1 characters."),
    (r"Expected `str` of length >= (\d+)", r"At least \1 characters."),
    (r"Expected `array` of length <= (\d+)", r"At most \1 of these."),
    (r"Expected `array` of length >= (\d+)", r"At least \1 of these."),
    (r"Expected `object` of length >= (\d+)", r"At least \1 of these."),
    (r"Invalid RFC3339 encoded datetime", f"This is to be {KINDS['datetime']}."),
    (r"Invalid RFC3339 encoded date", f"This is to be {KINDS['date']}."),
    (r"Expected `datetime` with a timezone component", "This time lacks its offset, as in 2026-03-30T20:15:00+02:00."),
    (r"Invalid UUID", "This is no UUID."),
    (r"Invalid enum value .*", "This is not one of the words that /openapi.json lists here."),
    (r"Expected `str` matching regex '\^\[\^\\\\x00\]\*\$'", "A text cannot hold the character NUL."),
    (r"Expected `str` matching regex .*", "This does not have the form that /openapi.json gives."),
    (r"Object missing required field .*", "This is needed."),
    (r"Object contains unknown field .*", "There is no such field here."),
    (r"Integer value out of range", "This number is too large."),
]
PLACE = re.compile(r" - at (?:`key` in )?`\$[^`]*`$")
EXPECTED = re.compile(r"Expected `([^`]*)`, got `([^`]*)`")


def in_words(message: str) -> str:
    """What the decoder says, as a sentence for a person."""
    bare = PLACE.sub("", message)
    if found := EXPECTED.fullmatch(bare):
        wanted = [KINDS.get(kind, kind) for kind in found[1].split(" | ") if kind != "null"]
        return f"This is to be {' or '.join(wanted)}, not {KINDS.get(found[2], found[2])}."
    for pattern, words in WORDS:
        if told := re.fullmatch(pattern, bare, re.DOTALL):
            return told.expand(words)[:MAX_QUOTED_CHARACTERS]
    return f"{bare[:MAX_QUOTED_CHARACTERS]}."
