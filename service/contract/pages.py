"""The contract document over HTTP: as JSON, and as pages for people, which need no script and no other host.

Renderers that are made for browsers were looked at: Swagger UI, Redoc, Scalar, RapiDoc, Stoplight. Each is one to four
megabytes of script, which packages for Python load from another host or bring along with a web framework. The document
is ours and uses little of OpenAPI, so that a page of it is a few lines for each part.
"""

import asyncio
import gzip
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
from litestar import Response, get
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Struct

from service.contract.rendering import pages_of
from service.errors import NotFound
from service.web.requests import ApiRequest, state_of
from service.web.responses import ZIP_LEVEL, Cacheable, accepts_gzip, cacheable_answer

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HERE = Path(__file__).parent
FILES = {"style.css": "text/css", "icon.svg": "image/svg+xml"}


class Page(Struct, frozen=True):
    """A page as it is, and compressed."""

    plain: bytes
    zipped: bytes


def pages_from(document: Callable[[bool], Cacheable]) -> Callable[[], dict[str, Page]]:
    """All pages by their path below /docs, made from that document when one is first asked for."""

    def made() -> dict[str, Page]:
        pages = pages_of(msgspec.json.decode(document(False).content))
        return {path: _made(page.encode()) for path, page in pages.items()}

    return cache(made)


def _made(content: bytes) -> Page:
    return Page(content, gzip.compress(content, ZIP_LEVEL, mtime=0))


@get("/openapi.json")
async def get_document(request: ApiRequest) -> ASGIApp:
    """The contract document; openapi/openapi.json is the same, laid out for reading."""
    document: Cacheable = state_of(request).document(accepts_gzip(request))
    return cacheable_answer(request, document)


@get("/docs")
async def get_docs(request: ApiRequest) -> Response[bytes]:
    """The first page: how the API is meant, and all operations in the order of their tasks."""
    return await _page(request, "")


@get("/docs/{name:str}")
async def get_docs_page(request: ApiRequest, name: FromPath[str]) -> Response[bytes]:
    """The page of a tag, or of all types; or what pages load."""
    return _file(name) if name in FILES else await _page(request, name)


@get("/docs/errors")
async def get_error_list(request: ApiRequest) -> Response[bytes]:
    """All codes. Beside the pages of each, the framework no longer takes this address for that of a tag."""
    return await _page(request, "errors")


@get("/docs/errors/{code:str}")
async def get_error_page(request: ApiRequest, code: FromPath[str]) -> Response[bytes]:
    """What a code means, and what an app does about it: the `type` of every problem leads here."""
    return await _page(request, f"errors/{code}")


async def _page(request: ApiRequest, path: str) -> Response[bytes]:
    # Beside the event loop: all pages are made when one is first asked for, and nobody is to wait for that.
    pages: dict[str, Page] = await asyncio.to_thread(state_of(request).pages)
    if path not in pages:
        raise NotFound
    headers = {"Content-Security-Policy": POLICY, "Vary": "Accept-Encoding"}
    if accepts_gzip(request):
        return Response(pages[path].zipped, media_type="text/html", headers=headers | {"Content-Encoding": "gzip"})
    return Response(pages[path].plain, media_type="text/html", headers=headers)


def _file(name: str) -> Response[bytes]:
    return Response(_content(name), media_type=FILES[name], headers={"Content-Security-Policy": POLICY})


@cache
def _content(name: str) -> bytes:
    return (HERE / name).read_bytes()
