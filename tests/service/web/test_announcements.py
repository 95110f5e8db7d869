"""An operation that will go says so in the document, and in each of its answers."""

from datetime import date
from typing import Any

from litestar import Litestar, get
from litestar.types import ASGIApp

from service.app import App
from service.contract.document import document
from service.core.randomness import system_random_bytes
from service.web.health import Health
from service.web.operation import described
from service.web.requests import ApiRequest
from service.web.responses import json_answer
from tests.noninterference.worlds import ask


def operation(name: str, **announced: date) -> dict[str, Any]:
    """An operation that everybody may call."""
    return described(id=name, tag="Health", summary="An example", answers={200: Health}, signed_in=False, **announced)


@get("/old", opt=operation("getOld", deprecated_on=date(2026, 12, 1), sunset_on=date(2027, 6, 1)))
async def get_old(request: ApiRequest) -> ASGIApp:
    """Use the new one."""
    return json_answer(Health("ok"))


@get("/new", opt=operation("getNew"))
async def get_new(request: ApiRequest) -> ASGIApp:
    """It stays."""
    return json_answer(Health("ok"))


APP = Litestar([get_old, get_new], openapi_config=None)


async def test_each_answer_says_since_when_and_until_when() -> None:
    app = App(APP, system_random_bytes, None)
    for method in ("GET", "HEAD"):
        old, new = [await ask(app, method, path, {}) for path in ("/old", "/new")]
        assert old.header(b"deprecation") == "@1796083200"
        assert old.header(b"sunset") == "Tue, 01 Jun 2027 00:00:00 GMT"
        assert (new.status, new.header(b"deprecation"), new.header(b"sunset")) == (200, None, None)


def test_the_document_says_so() -> None:
    paths = document(APP)["paths"]
    assert paths["/old"]["get"]["deprecated"] is True
    assert "deprecated" not in paths["/new"]["get"]
