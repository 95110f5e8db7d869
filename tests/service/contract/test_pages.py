"""The pages under /docs: everything of the document is on them, in task order, and they need no script and no host."""

import json
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from events import errors as refusals
from service import errors
from service.cli import http_protocol
from service.contract.order import ORDER
from service.contract.remedies import REMEDIES
from service.contract.rendering import UNLISTED, inline, pages_of, slug
from tests.support.phones import Running

Json = dict[str, Any]
DOCUMENT: Json = json.loads((Path(__file__).parents[3] / "openapi" / "openapi.json").read_text())
PAGES = pages_of(DOCUMENT)


class Read(HTMLParser):
    """What a page holds: tags, anchors, addresses, and which elements are not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for each tag."""
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Called for each end of one."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Called for what stands between them."""
        self.text += data


READ = {f"/docs/{path}".rstrip("/"): Read(page) for path, page in PAGES.items()}
OPERATIONS = [(path, method, one) for path, methods in DOCUMENT["paths"].items() for method, one in methods.items()]


def test_every_page_is_whole_and_runs_nothing() -> None:
    for read in READ.values():
        assert read.open == []
        assert not read.tags & {"script", "style", "iframe", "form", "img"}
        assert len(set(read.ids)) == len(read.ids)


def test_every_link_leads_to_something_here() -> None:
    for here, read in READ.items():
        for address in read.addresses:
            page, _, anchor = address.partition("#")
            if page in ("/docs/style.css", "/docs/icon.svg", "/openapi.json"):
                continue
            assert (page or here) in READ, address
            assert not anchor or anchor in READ[page or here].ids, address


def test_every_operation_is_described_with_all_that_it_takes_and_answers() -> None:
    for path, method, operation in OPERATIONS:
        page = PAGES[slug(operation["tags"][0])]
        section = page.partition(f'<h2 id="{operation["operationId"]}">')[2].partition("</section>")[0]
        text = " ".join(Read(f"<h2>{section}").text.split())
        assert f"{method.upper()} {path}" in text
        assert inline(operation["summary"]) in section
        assert inline(" ".join(operation["description"].split("\n\n")[0].split())) in section
        for parameter in operation.get("parameters", []):
            assert f"<code>{parameter['name']}</code>" in section
            assert inline(parameter["description"]) in section
        for body in operation.get("requestBody", {}).get("content", {}).values():
            assert "<details open>" in section or "example" not in body
        for answer in operation["responses"].values():
            for code in codes_of(answer):
                assert f'href="/docs/errors/{code}"' in section
            for content in answer.get("content", {}).values():
                name = content["schema"].get("$ref", "").rpartition("/")[2]
                assert not name or f'href="/docs/types#{name}"' in section


def codes_of(answer: Json) -> list[str]:
    response = DOCUMENT["components"]["responses"].get(answer.get("$ref", "").rpartition("/")[2], {})
    return [code for one in response.get("content", {}).values() for code in one["examples"]]


def test_every_type_is_shown_with_all_its_fields() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        section = PAGES["types"].partition(f'<h2 id="{name}">')[2].partition("</section>")[0]
        for field in [*schema.get("properties", {}), *schema.get("enum", [])]:
            assert f"<code>{field}</code>" in section, (name, field)


def test_operations_stand_in_the_order_of_their_tasks() -> None:
    assert sorted(ORDER) == sorted(one["operationId"] for _, _, one in OPERATIONS), "a new one is placed in order.py"
    listed = [address.partition("#")[2] for address in READ["/docs"].addresses if "#" in address]
    assert tuple(listed) == ORDER
    for tag in DOCUMENT["tags"]:
        of_tag = [one["operationId"] for _, _, one in OPERATIONS if one["tags"] == [tag["name"]]]
        assert READ[f"/docs/{slug(tag['name'])}"].ids == sorted(of_tag, key=ORDER.index)


# --- Errors


def test_every_code_has_a_page_that_says_what_an_app_does() -> None:
    codes = {*DOCUMENT["components"]["schemas"]["ErrorCode"]["enum"], *UNLISTED}
    assert set(REMEDIES) == codes, "a new code gets its line in remedies.py"
    for code in codes:
        page = PAGES[f"errors/{code}"]
        assert f"<h1>{code}</h1>" in page
        assert inline(REMEDIES[code]) in page
        assert f"<code>{code}</code>" in PAGES["errors"]


def test_it_says_which_operations_answer_it() -> None:
    page = READ["/docs/errors/already_told"]
    assert [address for address in page.addresses if "#" in address] == ["/docs/record#recordDecision"]
    assert "You have told this decision already; retract that telling to tell it anew." in page.text
    assert "409 Conflict" in page.text


def all_errors(kind: type[Any]) -> list[type[Any]]:
    return [kind, *(deeper for one in kind.__subclasses__() for deeper in all_errors(one))]


def test_what_the_connection_itself_answers_has_a_page_too() -> None:
    for status in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE):
        told = http_protocol._problem(status)
        assert UNLISTED[told["code"]] == (told["status"], told["detail"])


def test_no_error_that_can_be_answered_is_without_a_page() -> None:
    kinds = [*all_errors(refusals.Refusal), *all_errors(errors.ServiceError)]
    abstract = {refusals.Refusal, refusals.RuleBroken, errors.ServiceError}
    assert {kind.code for kind in kinds if kind not in abstract} <= set(REMEDIES)


async def test_the_type_of_a_problem_leads_to_its_page(service: Running) -> None:
    phone = service.phone()
    for method, path in (("GET", "/v1/me"), ("GET", "/v1/nothing"), ("PUT", "/v1/help")):
        refused = (await phone.call(method, path)).json()
        page = await phone.call("GET", refused["type"])
        assert page.status_code == 200
        assert refused["detail"].partition("/")[0] in Read(page.text).text


# --- Over HTTP


async def test_the_pages_are_those_of_the_committed_document(service: Running) -> None:
    served = service.app.state.pages()
    assert {path: page.plain.decode() for path, page in served.items()} == PAGES


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/be-asked", "text/html; charset=utf-8"),
        ("/docs/errors/invalid", "text/html; charset=utf-8"),
        ("/docs/style.css", "text/css; charset=utf-8"),
        ("/docs/icon.svg", "image/svg+xml"),
    ],
)
async def test_pages_may_run_nothing_and_reach_nowhere(service: Running, path: str, kind: str) -> None:
    page = await service.phone().call("GET", path)
    assert (page.status_code, page.headers["content-type"]) == (200, kind)
    rules = dict(rule.strip().split(" ", 1) for rule in page.headers["content-security-policy"].split(";"))
    assert rules.pop("default-src") == "'none'"
    assert {source for rule in rules.values() for source in rule.split()} <= {"'self'", "'none'"}
    assert "script-src" not in rules
    assert "url(" not in page.text
    assert "@import" not in page.text


async def test_who_takes_gzip_gets_the_same_page_compressed(service: Running) -> None:
    phone = service.phone()
    plain = await phone.call("GET", "/docs/types", headers={"Accept-Encoding": "identity"})
    zipped = await phone.call("GET", "/docs/types", headers={"Accept-Encoding": "gzip"})
    assert plain.text == zipped.text
    assert (plain.headers.get("content-encoding"), zipped.headers["content-encoding"]) == (None, "gzip")
    assert int(zipped.headers["content-length"]) < len(plain.content) / 4
    assert {plain.headers["vary"], zipped.headers["vary"]} == {"Accept-Encoding"}


async def test_what_is_no_page_is_not_found(service: Running) -> None:
    for name in ("index.html", "secret", "..%2f__init__.py", "pages.py", "errors/nothing", "errors/style.css", "%00"):
        answer = await service.phone().call("GET", f"/docs/{name}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


# --- The little Markdown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a < b & c", "a &lt; b &amp; c"),
        ('`"1"` is not 1', '<code>"1"</code> is not 1'),
        ("**Send `x`.** Then", "<strong>Send <code>x</code>.</strong> Then"),
        ("<script>", "&lt;script&gt;"),
    ],
)
def test_inline_text(text: str, shown: str) -> None:
    assert inline(text) == shown
