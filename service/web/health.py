"""Liveness, readiness, and the OpenAPI document with its pages."""

import asyncio
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from litestar import Response, get
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Struct

from service.database.pool import checked_out
from service.errors import NotFound
from service.web.operation import described
from service.web.requests import ApiRequest, context_of, state_of
from service.web.responses import Cacheable, accepts_gzip, cacheable_answer, json_answer

READY_SECONDS = 1.5
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_FILES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "start.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Mutuality: the API</title>
  <link rel="stylesheet" href="/docs/swagger-ui.css">
  <link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body>
  <div id="page"></div>
  <script src="/docs/swagger-ui-bundle.js"></script>
  <script src="/docs/start.js"></script>
</body>
</html>
"""
START = """\
window.onload = () => SwaggerUIBundle({ url: "/openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null });
"""


class Health(Struct, frozen=True):
    """How the service is."""

    status: Literal["ok"]


@get(
    "/health/live",
    opt=described(
        id="getLiveness", tag="Health", summary="Whether the process lives", answers={200: Health}, signed_in=False
    ),
)
async def get_liveness(request: ApiRequest) -> ASGIApp:
    """Asks nothing of the database."""
    return json_answer(Health("ok"))


@get(
    "/health/ready",
    opt=described(
        id="getReadiness",
        tag="Health",
        summary="Whether requests can be answered now",
        answers={200: Health},
        signed_in=False,
    ),
)
async def get_readiness(request: ApiRequest) -> ASGIApp:
    """503 while the database is away, or hangs, within 2 seconds."""
    async with asyncio.timeout(READY_SECONDS), checked_out(context_of(request).db) as db:
        await db.fetchval("SELECT 1")
    return json_answer(Health("ok"))


@get("/openapi.json")
async def get_document(request: ApiRequest) -> ASGIApp:
    """The contract document; openapi/openapi.json is the same, laid out for reading."""
    document: Cacheable = state_of(request).document(accepts_gzip(request))
    return cacheable_answer(request, document)


@get("/docs")
async def get_docs(request: ApiRequest) -> Response[bytes]:
    """The contract document as a page; all of it comes from here, so it works without a network."""
    return Response(PAGE.encode(), media_type="text/html", headers={"Content-Security-Policy": PAGE_POLICY})


@get("/docs/{name:str}")
async def get_docs_file(request: ApiRequest, name: FromPath[str]) -> Response[bytes]:
    """A file of that page."""
    if name not in PAGE_FILES:
        raise NotFound
    return Response(_page_file(name), media_type=PAGE_FILES[name])


@cache
def _page_file(name: str) -> bytes:
    if name == "start.js":
        return START.encode()
    # Only the files of the package are used: importing it would load a second web framework.
    found = find_spec("flask_swagger_ui")
    assert found is not None
    assert found.origin is not None
    return (Path(found.origin).parent / "dist" / name).read_bytes()
