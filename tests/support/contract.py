"""The contract document with what stands once put where it is referred to, so that tests can look at one operation."""

from typing import Any

Json = dict[str, Any]


def inlined(document: Json) -> Json:
    """The document with its answers, headers, examples and named lists of words in their places."""
    components = document["components"]
    return {**document, "paths": _inlined(document["paths"], components)}


def example_of(content: Json) -> Any:
    """What a media type object shows, the first where it shows several."""
    shown = [content.get("example"), *(one["value"] for one in content.get("examples", {}).values())]
    return next((one for one in shown if one is not None), None)


def _inlined(value: Any, components: Json) -> Any:
    if isinstance(value, list):
        return [_inlined(one, components) for one in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        _, _, kind, name = value["$ref"].split("/")
        found = components[kind][name]
        if kind == "schemas" and "enum" not in found:
            return value
        return {**_inlined(found, components), **{key: one for key, one in value.items() if key != "$ref"}}
    return {key: _inlined(one, components) for key, one in value.items()}
