"""The contract document as pages for people: plain HTML, without a script, from the document and nothing else.

A page for each tag, with its operations in the order in which a phone needs them; one with all types; one for each
error code. Every type, code and operation that is named is linked to where it stands.
"""

import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from msgspec import Struct

from service.contract.order import place_of
from service.contract.remedies import REMEDIES
from service.web.problems import MEDIA_TYPE, problem, title_of

Json = dict[str, Any]

# Answers that no operation lists: to what is no request, or is none of an operation's.
UNLISTED: dict[str, tuple[int, str]] = {
    "method_not_allowed": (405, "This address does not know that method."),
    "malformed_request": (400, "This is no HTTP request that can be read."),
    "head_too_large": (431, "The headers of a request may have 64 KiB together."),
}


class Called(Struct, frozen=True):
    """An operation, and where it is called."""

    method: str
    path: str
    operation: Json

    @property
    def id(self) -> str:
        """Its operationId, which is its anchor too."""
        return str(self.operation["operationId"])

    @property
    def address(self) -> str:
        """Where it is shown."""
        return f"/docs/{slug(self.operation['tags'][0])}#{self.id}"


def pages_of(document: Json) -> dict[str, str]:
    """All pages, by their path below /docs: "" is the first one."""
    called = sorted(_called(document), key=lambda one: (place_of(one.id), one.path, one.method))
    by_tag = {
        tag["name"]: [one for one in called if one.operation["tags"] == [tag["name"]]] for tag in document["tags"]
    }
    pages = {"": _page(document, "", "The API", _first(document, by_tag))}
    for tag in document["tags"]:
        name = tag["name"]
        pages[slug(name)] = _page(document, slug(name), name, _tag(document, tag, by_tag[name]))
    pages["types"] = _page(document, "types", "Types", _types(document["components"]["schemas"]))
    errors = _errors(document)
    pages["errors"] = _page(document, "errors", "Errors", _error_list(errors))
    for code, example in errors.items():
        answered_by = [one for one in called if code in _codes(document, one.operation)]
        pages[f"errors/{code}"] = _page(document, "errors", code, _error(example, answered_by))
    return pages


def slug(name: str) -> str:
    """A tag's name as it stands in an address."""
    return name.lower().replace(" ", "-")


def _called(document: Json) -> Iterator[Called]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield Called(method.upper(), path, operation)


# --- The frame of every page


def _page(document: Json, here: str, title: str, main: str) -> str:
    links = [("", "Start"), *((slug(tag["name"]), tag["name"]) for tag in document["tags"])]
    listed = "".join(_nav_link(name, told, here) for name, told in [*links, ("types", "Types"), ("errors", "Errors")])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)} · {escape(document['info']['title'])}</title>\n"
        '<link rel="stylesheet" href="/docs/style.css">\n<link rel="icon" href="/docs/icon.svg">\n</head>\n<body>\n'
        f'<nav aria-label="Pages"><ul>{listed}</ul></nav>\n<main>\n<h1>{escape(title)}</h1>\n{main}</main>\n'
        "</body>\n</html>\n"
    )


def _nav_link(name: str, told: str, here: str) -> str:
    current = ' aria-current="page"' if name == here else ""
    return f'<li><a href="/docs{"/" if name else ""}{name}"{current}>{escape(told)}</a></li>'


def _first(document: Json, by_tag: dict[str, list[Called]]) -> str:
    info = document["info"]
    server = document["servers"][0]["url"]
    told = (
        f"<p>Version {escape(info['version'])}, at <code>{escape(server)}</code>. "
        'The document itself: <a href="/openapi.json">/openapi.json</a>.</p>\n'
    )
    return prose(info["description"]) + told + "".join(_contents(tag, by_tag[tag["name"]]) for tag in document["tags"])


def _contents(tag: Json, called: list[Called]) -> str:
    name = tag["name"]
    return f'<h2><a href="/docs/{slug(name)}">{escape(name)}</a></h2>\n{prose(tag["description"])}{_call_list(called)}'


def _call_list(called: Iterable[Called]) -> str:
    items = "".join(
        f'<li><a href="{one.address}">{inline(one.operation["summary"])}</a> '
        f'<span class="call"><code>{one.method} {escape(one.path)}</code></span></li>\n'
        for one in called
    )
    return f'<ul class="calls">\n{items}</ul>\n'


# --- Operations


def _tag(document: Json, tag: Json, called: list[Called]) -> str:
    operations = "".join(_operation(document, one) for one in called)
    return f"{prose(tag['description'])}{_call_list(called)}{operations}"


def _operation(document: Json, one: Called) -> str:
    operation = one.operation
    signed_in = "with an access token" if operation["security"] else "without signing in"
    parts = [
        f'<section aria-labelledby="{one.id}">\n<h2 id="{one.id}">{inline(operation["summary"])}</h2>\n',
        f'<p class="call"><code>{one.method} {escape(one.path)}</code> <span>{signed_in}; '
        f"<code>{one.id}</code></span></p>\n",
        prose(operation["description"]),
    ]
    if "parameters" in operation:
        parts.append("<h3>Parameters</h3>\n" + _parameters(operation["parameters"]))
    if "requestBody" in operation:
        parts += ["<h3>Body</h3>\n", _contents_of(document, operation["requestBody"]["content"], shown=True)]
    shown: list[Json] = []
    for status, answer in sorted(operation["responses"].items(), reverse=True):
        if "$ref" not in answer:
            content = answer.get("content", {})
            told = "<p>The same.</p>\n" if content in shown else _answer(document, answer)
            parts.append(f"<h3>{status} {_title(status, answer)}</h3>\n{told}")
            shown += [content] if content else []
    return "".join(parts) + _problems(document, operation) + "</section>\n"


def _title(status: str, answer: Json) -> str:
    told = escape(answer["description"])
    return told if told == title_of(int(status)) else f"{title_of(int(status))}: {told[0].lower()}{told[1:]}"


def _parameters(parameters: list[Json]) -> str:
    rows = [
        _row(
            f"<code>{escape(one['name'])}</code>",
            f"{_type(one['schema'])}, in the {one['in']}{'' if one['required'] else ', optional'}",
            inline(one["description"]),
            _for_instance(one["example"]),
        )
        for one in parameters
    ]
    return _table("Parameter", rows)


def _contents_of(document: Json, content: Json, *, shown: bool = False) -> str:
    return "".join(_content(document, media_type, one, shown) for media_type, one in content.items())


def _content(document: Json, media_type: str, content: Json, shown: bool) -> str:
    schema = content["schema"]
    name = _name(schema)
    told = "" if media_type == "application/json" else f"As <code>{media_type}</code>. "
    if not name:
        return f"<p>{told}{inline(schema.get('description', ''))}</p>\n{_examples(content, shown)}"
    full = _fields(document["components"]["schemas"][name])
    return f"<p>{told}{_type(schema)}</p>\n{_examples(content, shown)}{full}"


def _examples(content: Json, shown: bool) -> str:
    """Those of a body are open, for they are what is written first; those of an answer open when they are asked to."""
    if "example" in content:
        return _example("Example", content["example"], shown)
    return "".join(
        _example(f"Example: {name.replace('_', ' ')}", one["value"], shown)
        for name, one in content.get("examples", {}).items()
    )


def _example(title: str, example: Any, shown: bool) -> str:
    text = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
    opened = " open" if shown else ""
    return f"<details{opened}><summary>{escape(title)}</summary>\n<pre><code>{escape(text)}</code></pre>\n</details>\n"


def _answer(document: Json, answer: Json) -> str:
    headers = "".join(
        f"<p>Header <code>{name}</code>: {inline(_resolved(document, one)['description'])}</p>\n"
        for name, one in answer.get("headers", {}).items()
    )
    return _contents_of(document, answer.get("content", {})) + headers


def _problems(document: Json, operation: Json) -> str:
    rows = []
    for status, answer in sorted(operation["responses"].items()):
        codes = sorted(_codes_of(_resolved(document, answer)))
        if codes:
            links = ", ".join(f'<a href="/docs/errors/{code}"><code>{code}</code></a>' for code in codes)
            rows.append(f"<tr><th scope=row>{status} {title_of(int(status))}</th><td>{links}</td></tr>\n")
    heads = "<tr><th scope=col>Status</th><th scope=col>Codes</th></tr>\n"
    return f"<h3>Problems</h3>\n<table>\n{heads}{''.join(rows)}</table>\n"


# --- Types


def _types(schemas: Json) -> str:
    links = "".join(f'<li><a href="#{name}">{name}</a></li>' for name in schemas)
    return f'<ul class="names">{links}</ul>\n' + "".join(_schema(name, one) for name, one in schemas.items())


def _schema(name: str, schema: Json) -> str:
    heading = f'<section aria-labelledby="{name}">\n<h2 id="{name}">{name}</h2>\n{prose(schema.get("description", ""))}'
    if "enum" in schema:
        values = "".join(f"<li><code>{escape(value)}</code></li>" for value in schema["enum"])
        return f'{heading}<ul class="names">{values}</ul>\n</section>\n'
    return f"{heading}{_fields(schema)}</section>\n"


def _fields(schema: Json) -> str:
    """The properties of an object, a row each."""
    required = schema.get("required", [])
    rows = [
        _row(
            f"<code>{escape(name)}</code>",
            _type(one) + ("" if name in required else ", optional"),
            inline(one["description"] or ""),
            _for_instance(one["examples"][0]) if "examples" in one else "",
        )
        for name, one in schema.get("properties", {}).items()
    ]
    return _table("Field", rows) if rows else "<p>An empty object.</p>\n"


def _table(first: str, rows: list[str]) -> str:
    heads = f"<tr><th scope=col>{first}</th><th scope=col>What it is</th></tr>\n"
    return f"<table>\n{heads}{''.join(rows)}</table>\n"


def _row(name: str, kind: str, told: str, example: str) -> str:
    return f'<tr><th scope=row>{name}</th><td><span class="type">{kind}</span> {told}{example}</td></tr>\n'


def _for_instance(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f' <span class="example">e.g. <code>{escape(text)}</code></span>' if text else ""


def _name(schema: Json) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _type(schema: Json) -> str:
    """A schema in a few words, with its bounds."""
    if "$ref" in schema:
        name = _name(schema)
        return f'<a href="/docs/types#{name}">{name}</a>' + _default(schema)
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    kinds = schema.get("type", "any value")
    listed = kinds if isinstance(kinds, list) else [kinds]
    return " or ".join(_plain_type(kind, schema) for kind in listed) + _bounds(schema) + _default(schema)


def _plain_type(kind: str, schema: Json) -> str:
    match kind:
        case "array":
            return f"list of {_type(schema['items'])}"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            keys = schema.get("propertyNames", {})
            return f"object, {_type(keys) if '$ref' in keys else 'text'} to {_type(schema['additionalProperties'])}"
        case "string":
            return str(schema.get("format", "text"))
        case _:
            return kind


def _bounds(schema: Json) -> str:
    told = []
    if "minimum" in schema or "maximum" in schema:
        told.append(f"{schema.get('minimum', '…')} to {schema.get('maximum', '…')}")
    for low, high, unit in (("minLength", "maxLength", "characters"), ("minItems", "maxItems", "of them")):
        if high in schema:
            told.append(f"{schema.get(low, 0)} to {schema[high]} {unit}")
    return "".join(f", {one}" for one in told)


def _default(schema: Json) -> str:
    return f", default <code>{escape(json.dumps(schema['default']))}</code>" if "default" in schema else ""


# --- Problems


def _errors(document: Json) -> dict[str, Json]:
    """An example of each code, in alphabetical order."""
    found: dict[str, Json] = {code: one["value"] for code, one in document["components"]["examples"].items()}
    for code, (status, detail) in UNLISTED.items():
        told = problem(status, code, detail)
        found[code] = {name: getattr(told, name) for name in ("type", "title", "status", "detail", "code")}
    return dict(sorted(found.items()))


def _resolved(document: Json, one: Json) -> Json:
    if "$ref" not in one:
        return one
    _, _, part, name = one["$ref"].split("/")
    found: Json = document["components"][part][name]
    return found


def _codes(document: Json, operation: Json) -> set[str]:
    return {code for answer in operation["responses"].values() for code in _codes_of(_resolved(document, answer))}


def _codes_of(answer: Json) -> Iterable[str]:
    found: Iterable[str] = answer.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})
    return found


def _error_list(errors: dict[str, Json]) -> str:
    rows = "".join(
        f'<tr><th scope=row><a href="/docs/errors/{code}"><code>{code}</code></a></th>'
        f"<td>{one['status']}: {inline(one['detail'])}</td></tr>\n"
        for code, one in errors.items()
    )
    told = (
        "Every answer that is no success is a problem (RFC 9457): programs look at `code`, people read `detail`, and "
        "`errors` points to the place in the body, where one can be named. More codes may be added: an app that does "
        "not know one shows `detail`."
    )
    return f"{prose(told)}<table>\n<tr><th scope=col>Code</th><th scope=col>What it says</th></tr>\n{rows}</table>\n"


def _error(example: Json, answered_by: list[Called]) -> str:
    status = example["status"]
    where = _call_list(answered_by) if answered_by else "<p>Any address, before an operation is found.</p>\n"
    return (
        f'<p class="call">{status} {title_of(status)}</p>\n'
        f"{prose(example['detail'])}<h2>What an app does</h2>\n{prose(REMEDIES[example['code']])}"
        f"<h2>An example</h2>\n<pre><code>{escape(json.dumps(example, indent=2, ensure_ascii=False))}</code></pre>\n"
        f"<h2>Which operations answer it</h2>\n{where}"
    )


# --- The little Markdown that descriptions are written in


def prose(text: str) -> str:
    """Paragraphs, parted by empty lines."""
    return "".join(f"<p>{inline(' '.join(part.split()))}</p>\n" for part in re.split(r"\n\s*\n", text) if part.strip())


def inline(text: str) -> str:
    """`code` and **what matters**; everything else is as it is."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", marked)
