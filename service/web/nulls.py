"""Null means the same as absent, in every body: generated clients send it for what they do not set.

Most bodies hold none, or only where a field may be null anyway: this is asked where one has been refused.
"""

from typing import Any

import msgspec
from msgspec import inspect

_shapes: dict[Any, inspect.Type] = {}


def without_nulls(text: bytes, kind: type[Any]) -> bytes:
    """The JSON without members that are null and known to `kind`. Where it cannot be read, it stays as it is."""
    try:
        return msgspec.json.encode(_stripped(msgspec.json.decode(text), _shape(kind)))
    except (ValueError, RecursionError):  # what msgspec raises is a ValueError
        return text


def _shape(kind: type[Any]) -> inspect.Type:
    if kind not in _shapes:
        _shapes[kind] = inspect.type_info(kind)
    return _shapes[kind]


def _stripped(value: Any, shape: inspect.Type | None) -> Any:
    if isinstance(value, list):
        return [_stripped(one, _part(shape, inspect.ListType, "item_type")) for one in value]
    if not isinstance(value, dict):
        return value
    named = _part(shape, inspect.StructType, "fields")
    if named is not None:
        fields = {field.encode_name: field.type for field in named}
        # What is unknown stays, whatever it holds: it is refused by its name.
        return {n: _stripped(v, fields.get(n)) for n, v in value.items() if v is not None or n not in fields}
    members = _part(shape, inspect.DictType, "value_type")
    return {n: _stripped(v, members) for n, v in value.items() if v is not None or members is None}


def _part(shape: inspect.Type | None, wanted: type[inspect.Type], name: str) -> Any:
    """A part of the shape, or of the one alternative that has it; null where there is none."""
    for one in shape.types if isinstance(shape, inspect.UnionType) else (shape,):
        if isinstance(one, wanted):
            return getattr(one, name)
    return None
