"""Signing in by mailed code, and the devices that are signed in."""

import asyncio
from uuid import uuid4

import asyncpg
import httpx
import pytest

from service.app import create_app
from service.core.mail import SmtpMailer
from service.settings import Settings
from tests.support.phones import KEYS, Phone, Running, lifespan

SOMEBODY = "somebody@example.org"


async def ask(phone: Phone, address: str = SOMEBODY) -> str:
    """The code that is mailed to an address."""
    phone.email = address.lower()
    await phone.expect(202, "POST", "/v1/sign-in-codes", {"email": address})
    return await phone.mailed_code()


async def enter(phone: Phone, code: str, address: str = SOMEBODY) -> httpx.Response:
    return await phone.call("POST", "/v1/sessions", {"email": address, "code": code, "device_name": "a phone"})


async def refresh(phone: Phone, token: str | None = None) -> httpx.Response:
    return await phone.call("POST", "/v1/sessions/refresh", {"refresh_token": token or phone.refresh_token})


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


async def status_of_me(phone: Phone, token: str | None = None) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return (await phone.call("GET", "/v1/me", headers=headers)).status_code


async def count(service: Running, table: str) -> int:
    db = await asyncpg.connect(service.database_url)
    try:
        return int(await db.fetchval(f"SELECT count(*) FROM {table}"))
    finally:
        await db.close()


async def test_asking_for_a_code_tells_nothing_about_the_address(service: Running) -> None:
    known = await service.phone().sign_in()
    told = [
        await service.phone().call("POST", "/v1/sign-in-codes", {"email": address})
        for address in (known.email, "unknown@example.org")
    ]
    assert [answer.status_code for answer in told] == [202, 202]
    assert told[0].content == told[1].content == b"{}"
    assert told[0].headers == told[1].headers


async def test_the_mail_is_plain_text_of_seven_bits_with_the_code_in_it(service: Running) -> None:
    phone = service.phone()
    await phone.expect(202, "POST", "/v1/sign-in-codes", {"email": SOMEBODY})
    mail = await service.post.next_mail(SOMEBODY)
    assert mail.get_content_type() == "text/plain"
    assert mail["Content-Transfer-Encoding"] == "7bit"
    assert mail["To"] == SOMEBODY
    code = str(mail.get_payload()).splitlines()[0].rpartition(" ")[2]
    assert mail.as_bytes().isascii()
    assert (await enter(phone, code)).status_code == 201


@pytest.mark.parametrize(("seconds", "status"), [(599, 201), (600, 401)])
async def test_a_code_works_for_ten_minutes(service: Running, seconds: int, status: int) -> None:
    phone = service.phone()
    code = await ask(phone)
    service.clock.advance(seconds=seconds)
    assert (await enter(phone, code)).status_code == status


@pytest.mark.parametrize(("tries", "status"), [(4, 201), (5, 401)])
async def test_after_five_tries_even_the_right_code_is_dead(service: Running, tries: int, status: int) -> None:
    phone = service.phone()
    code = await ask(phone)
    for _ in range(tries):
        assert (await enter(phone, wrong(code))).json()["code"] == "wrong_code"
    assert (await enter(phone, code)).status_code == status


async def test_each_of_several_live_codes_works_once(service: Running) -> None:
    phone = service.phone()
    codes = [await ask(phone) for _ in range(3)]
    assert [(await enter(phone, code)).status_code for code in codes] == [201, 201, 201]
    assert [(await enter(phone, code)).status_code for code in codes] == [401, 401, 401]


async def test_a_code_is_for_one_address_only(service: Running) -> None:
    phone = service.phone()
    await ask(phone, "other@example.org")
    code = await ask(phone)
    for_another = await enter(phone, code, "other@example.org")
    for_nobody = await enter(phone, code, "unknown@example.org")
    assert for_another.status_code == for_nobody.status_code == 401
    assert for_another.content == for_nobody.content


async def test_the_first_sign_in_makes_the_member_and_case_makes_no_other(service: Running) -> None:
    first = (await enter(service.phone(), await ask(service.phone()))).json()
    again = (
        await enter(service.phone(), await ask(service.phone(), "SomeBody@Example.ORG"), "SOMEBODY@example.org")
    ).json()
    assert again["member_id"] == first["member_id"]
    assert again["access_token"] != first["access_token"]
    assert await count(service, "members") == 1


async def test_concurrent_first_sign_ins_make_one_member(service: Running) -> None:
    phone = service.phone()
    codes = [await ask(phone) for _ in range(6)]
    entered = await asyncio.gather(*(enter(phone, code) for code in codes))
    assert {answer.status_code for answer in entered} == {201}
    assert len({answer.json()["member_id"] for answer in entered}) == 1
    assert await count(service, "members") == 1


async def test_an_address_with_a_line_break_is_refused(service: Running) -> None:
    answer = await service.phone().call("POST", "/v1/sign-in-codes", {"email": f"{SOMEBODY}\n"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


async def test_too_many_codes_for_one_address_leave_the_others_alone(database_url: str) -> None:
    app = create_app(
        database_url, Settings(sign_ins_per_hour=2), SmtpMailer("smtp://127.0.0.1:1", "m@example.org"), KEYS
    )
    async with lifespan(app):
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://mutuality.test")  # type: ignore[arg-type]
        asked = [await client.post("/v1/sign-in-codes", json={"email": e}) for e in ["a@b", "a@b", "a@b", "b@b"]]
    assert [answer.status_code for answer in asked] == [202, 202, 429, 202]
    assert 3590 <= int(asked[2].headers["Retry-After"]) <= 3600


async def test_a_refresh_gives_new_tokens_of_the_same_member(service: Running) -> None:
    phone = await service.phone().sign_in()
    service.clock.advance(minutes=10)
    fresh = (await refresh(phone)).json()
    assert fresh.keys() == {"member_id", "access_token", "access_expires_at", "refresh_token"}
    assert fresh["member_id"] == phone.member_id
    assert fresh["access_expires_at"] == "2026-06-15T12:25:00Z"
    assert len({phone.access_token, phone.refresh_token, fresh["access_token"], fresh["refresh_token"]}) == 4
    assert await status_of_me(phone, fresh["access_token"]) == 200


async def test_a_lost_refresh_is_answered_again_byte_for_byte(service: Running) -> None:
    phone = await service.phone().sign_in()
    first = await refresh(phone)
    service.clock.advance(seconds=30)
    again = await refresh(phone)
    assert (again.status_code, again.content) == (200, first.content)
    assert (await refresh(phone, first.json()["refresh_token"])).status_code == 200


async def test_reuse_after_the_grace_ends_the_whole_family_at_once(service: Running) -> None:
    phone = await service.phone().sign_in()
    elsewhere = await service.phone().sign_in(phone.email)
    successor = (await refresh(phone)).json()
    service.clock.advance(seconds=30.001)
    reused = await refresh(phone)
    assert (reused.status_code, reused.json()["code"]) == (401, "refresh_refused")
    assert await status_of_me(phone, successor["access_token"]) == 401
    assert await status_of_me(phone) == 401
    assert (await refresh(phone, successor["refresh_token"])).status_code == 401
    assert await status_of_me(elsewhere) == 200


async def test_twenty_refreshes_at_once_have_one_successor(service: Running) -> None:
    phone = await service.phone().sign_in()
    answers = await asyncio.gather(*(refresh(phone) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert await count(service, "refresh_tokens") == 2


async def test_signing_out_and_refreshing_at_once_never_wait_in_a_circle(service: Running) -> None:
    phone = await service.phone().sign_in()
    for _ in range(10):
        other = await service.phone().sign_in(phone.email)
        (session,) = [s for s in (await other.get("/v1/sessions"))["sessions"] if s["current"]]
        ended, refreshed = await asyncio.gather(phone.call("DELETE", f"/v1/sessions/{session['id']}"), refresh(other))
        assert ended.status_code == 204
        assert refreshed.status_code in (200, 401)
        assert await status_of_me(other) == 401


async def test_an_unknown_refresh_token_is_refused(service: Running) -> None:
    answer = await refresh(service.phone(), "no-such-token")
    assert (answer.status_code, answer.json()["code"]) == (401, "refresh_refused")


@pytest.mark.parametrize(("seconds", "status"), [(899, 200), (900, 401)])
async def test_an_access_token_lasts_fifteen_minutes(service: Running, seconds: int, status: int) -> None:
    phone = await service.phone().sign_in()
    service.clock.advance(seconds=seconds)
    assert await status_of_me(phone) == status


async def test_without_a_valid_token_the_answer_asks_for_one(service: Running) -> None:
    for given in ("", "Bearer", "Bearer ", "Bearer no-such-token", "Basic c29tZTpib2R5", "é"):
        answer = await service.phone().http.get("/v1/me", headers=[(b"Authorization", given.encode())])
        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in"), given
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_the_list_of_devices_holds_mine_and_marks_the_one_that_asks(service: Running) -> None:
    await service.phone().sign_in()
    old = await service.phone().sign_in(device_name="the old phone")
    service.clock.advance(minutes=1)
    new = await service.phone().sign_in(old.email, "the new phone")
    listed = (await old.get("/v1/sessions"))["sessions"]
    assert [(s["device_name"], s["current"]) for s in listed] == [("the new phone", False), ("the old phone", True)]
    assert [s["current"] for s in (await new.get("/v1/sessions"))["sessions"]] == [True, False]


async def test_a_revoked_device_is_out_at_its_next_call(service: Running) -> None:
    lost = await service.phone().sign_in()
    mine = await service.phone().sign_in(lost.email)
    await mine.expect(204, "DELETE", f"/v1/sessions/{await lost.session()}")
    assert await status_of_me(lost) == 401
    assert (await refresh(lost)).status_code == 401
    assert await status_of_me(mine) == 200


async def test_foreign_unknown_and_malformed_sessions_are_told_apart_by_nobody(service: Running) -> None:
    mine, foreign = await service.phone().sign_in(), await service.phone().sign_in()
    (session,) = (await foreign.get("/v1/sessions"))["sessions"]
    answers = [
        await mine.call("DELETE", f"/v1/sessions/{name}") for name in (session["id"], uuid4(), "no-session", "%00")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert await status_of_me(foreign) == 200


async def test_a_session_ends_however_often_it_is_refreshed(service: Running) -> None:
    phone = await service.phone().sign_in()
    for _ in range(4):
        service.clock.advance(days=80)
        tokens = await phone.expect(200, "POST", "/v1/sessions/refresh", {"refresh_token": phone.refresh_token})
        phone.refresh_token = tokens["refresh_token"]
    service.clock.advance(days=45)
    await phone.expect(401, "POST", "/v1/sessions/refresh", {"refresh_token": phone.refresh_token})
