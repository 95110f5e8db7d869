"""What lets a phone open links to this service in its app: said at fixed addresses of the domain."""

from typing import Any

from litestar import get
from litestar.types import ASGIApp
from msgspec import Struct

from service.errors import NotFound
from service.web.requests import ApiRequest, state_of
from service.web.responses import json_answer

INVITE_PATH = "/invite"


class AndroidApp(Struct, frozen=True):
    """An app for Android: its package, and the SHA-256 of the certificate that it is signed with."""

    package: str
    fingerprint: str


class AppLinks(Struct, frozen=True):
    """The apps that open links, and the address that links begin with."""

    public_url: str
    ios_app_ids: list[str]
    android_apps: list[AndroidApp]


def invite_link(links: AppLinks, code: str) -> str:
    """Where a code can be used. It stands behind the #, which no browser sends: so it reaches no log on its way."""
    return f"{links.public_url}{INVITE_PATH}#/accept?code={code}"


def app_links_of(request: ApiRequest) -> AppLinks:
    """The links of this service."""
    links: AppLinks = state_of(request).app_links
    return links


@get("/.well-known/apple-app-site-association")
async def get_apple_association(request: ApiRequest) -> ASGIApp:
    """Which apps of iOS open invites; 404 where none is set."""
    ids = app_links_of(request).ios_app_ids
    if not ids:
        raise NotFound
    return json_answer({"applinks": {"details": [{"appIDs": ids, "components": [{"/": INVITE_PATH}]}]}})


@get("/.well-known/assetlinks.json")
async def get_android_association(request: ApiRequest) -> ASGIApp:
    """Which apps of Android do; 404 where none is set."""
    apps = app_links_of(request).android_apps
    if not apps:
        raise NotFound
    return json_answer([_statement(app) for app in apps])


def _statement(app: AndroidApp) -> dict[str, Any]:
    return {
        "relation": ["delegate_permission/common.handle_all_urls"],
        "target": {
            "namespace": "android_app",
            "package_name": app.package,
            "sha256_cert_fingerprints": [app.fingerprint],
        },
    }
