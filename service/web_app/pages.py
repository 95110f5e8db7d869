"""The files of the phone app: compressed once, when it was built, and cached for ever where their names have a hash."""

import re
from functools import cache
from pathlib import Path

from litestar import get
from litestar.params import FromPath
from litestar.types import ASGIApp

from service.errors import NotFound
from service.web.associations import INVITE_PATH
from service.web.requests import ApiRequest, header_of, language_of
from service.web.responses import RawResponse

BUILT = Path(__file__).parent / "built"
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"manifest-src 'self'; worker-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
KINDS = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".png": b"image/png",
    ".svg": b"image/svg+xml",
    ".webmanifest": b"application/manifest+json",
}
PAGES = {"en": "index.html", "de": "index.de.html"}
NAME = re.compile(r"[\w-]+(\.[\w-]+)+")
FOR_EVER = b"public, max-age=31536000, immutable"
ASK_AGAIN = b"no-cache"
NOT_BUILT = b"""\
<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Mutuality</title>
</head>
<body>
  <h1>Mutuality</h1>
  <p>With this service two people keep one relationship log. It runs, but its phone app was not built:
     that takes the npm registry. <code>make .venv/.web_app</code> says what is missing.</p>
  <p>The API is described at <a href="/docs">/docs</a>.</p>
</body>
</html>
"""


@get(["/", INVITE_PATH])
async def get_app(request: ApiRequest) -> ASGIApp:
    """The page of the app, or one that says that it was not built.

    The page names the texts of the language that is asked for, so that they are not looked for only once it runs.
    """
    page = PAGES[language_of(request, None, PAGES)]
    if not (BUILT / page).is_file():
        return RawResponse(200, _headers(KINDS[".html"], ASK_AGAIN, NOT_BUILT), NOT_BUILT)
    return _file_answer(request, page, ASK_AGAIN)


@get("/app/{name:str}")
async def get_app_file(request: ApiRequest, name: FromPath[str]) -> ASGIApp:
    """A script, a style sheet: what is in it never changes under its name."""
    return _file_answer(request, f"app/{name}", FOR_EVER)


@get("/icons/{name:str}")
async def get_icon(request: ApiRequest, name: FromPath[str]) -> ASGIApp:
    """A picture for the home screen of a phone."""
    return _file_answer(request, f"icons/{name}", ASK_AGAIN)


@get("/manifest.webmanifest")
async def get_manifest(request: ApiRequest) -> ASGIApp:
    """What a phone needs to know to install the app."""
    return _file_answer(request, "manifest.webmanifest", ASK_AGAIN)


@get("/service-worker.js")
async def get_service_worker(request: ApiRequest) -> ASGIApp:
    """What opens the app without a network, and shows what is pushed."""
    return _file_answer(request, "service-worker.js", ASK_AGAIN)


def _file_answer(request: ApiRequest, path: str, caching: bytes) -> ASGIApp:
    """Raises NotFound for what was not built."""
    plain = _read(path)
    kind = KINDS[Path(path).suffix]
    packed = _read_packed(path)
    if packed and "gzip" in header_of(request, b"accept-encoding"):
        encoded = [(b"content-encoding", b"gzip"), *_headers(kind, caching, packed)]
        return RawResponse(200, encoded, packed)
    return RawResponse(200, _headers(kind, caching, plain), plain)


def _headers(kind: bytes, caching: bytes, content: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(content)),
        (b"cache-control", caching),
        (b"vary", b"Accept-Encoding, Accept-Language" if kind == KINDS[".html"] else b"Accept-Encoding"),
        (b"content-security-policy", POLICY),
        (b"cross-origin-opener-policy", b"same-origin"),
    ]


@cache
def _read(path: str) -> bytes:
    # Only what has the form of a name is looked for: no address leads out of the folder.
    folder, _, name = path.rpartition("/")
    file = BUILT / folder / name
    if not NAME.fullmatch(name) or file.suffix not in KINDS or not file.is_file():
        raise NotFound
    return file.read_bytes()


@cache
def _read_packed(path: str) -> bytes | None:
    file = BUILT / f"{path}.gz"
    return file.read_bytes() if file.is_file() else None
