"""An invite is a link too, which a phone opens in its app; who accepted is seen by name before it is confirmed."""

import pytest

from service.settings import Settings
from tests.support.phones import Running, running, unlimited

FINGERPRINT = ":".join(["AB"] * 32)
HERE = "/v1/relationships/{rid}"


async def test_an_invite_has_a_link_that_tells_the_code_to_no_server(database_url: str) -> None:
    async with running(database_url, settings=unlimited(public_url="https://mutuality.example/")) as service:
        one = await service.member()
        made = await one.expect(201, "POST", f"{HERE}/invites")
        assert made["link"] == f"https://mutuality.example/invite#/accept?code={made['code']}"


async def test_what_the_link_leads_to_is_there(service: Running) -> None:
    one = await service.member()
    made = await one.expect(201, "POST", f"{HERE}/invites")
    address, _, told = made["link"].partition("#")
    assert made["code"] in told
    page = await service.phone().call("GET", address.removeprefix("http://127.0.0.1:8000"))
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")


async def test_apps_are_named_to_both_platforms(database_url: str) -> None:
    apps = {"ios_app_ids": "ABCDE12345.app.example, ABCDE12345.app.other", "android_apps": f"app.example={FINGERPRINT}"}
    async with running(database_url, settings=unlimited(**apps)) as service:
        phone = service.phone()
        apple = await phone.get("/.well-known/apple-app-site-association")
        (details,) = apple["applinks"]["details"]
        assert details["appIDs"] == ["ABCDE12345.app.example", "ABCDE12345.app.other"]
        assert details["components"] == [{"/": "/invite"}]
        (android,) = await phone.get("/.well-known/assetlinks.json")
        assert android["target"]["package_name"] == "app.example"
        assert android["target"]["sha256_cert_fingerprints"] == [FINGERPRINT]


async def test_where_none_is_set_there_is_nothing(service: Running) -> None:
    for name in ("apple-app-site-association", "assetlinks.json"):
        assert (await service.phone().call("GET", f"/.well-known/{name}")).status_code == 404


@pytest.mark.parametrize("setting", [{"ios_app_ids": "app.example"}, {"android_apps": "app.example=AB:CD"}])
def test_what_names_no_app_is_refused(setting: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"such as|its package"):
        Settings(**setting)  # type: ignore[arg-type]


async def test_who_accepted_is_seen_by_name_and_by_another_tag_before_it_is_confirmed(service: Running) -> None:
    one, two = await service.member(), await service.phone().sign_in()
    await two.consent()
    await two.expect(200, "PATCH", "/v1/me", {"name": "Kim"})
    code = (await one.expect(201, "POST", f"{HERE}/invites"))["code"]
    waiting = await one.call("GET", HERE)
    assert (waiting.json()["state"], waiting.json()["partner"]) == ("inviting", None)
    await two.expect(200, "POST", "/v1/invites/accept", {"code": code})
    accepted = await one.call("GET", HERE, headers={"If-None-Match": waiting.headers["etag"]})
    assert (accepted.status_code, accepted.json()["state"]) == (200, "confirming")
    assert accepted.json()["partner"] == {"name": "Kim"}
