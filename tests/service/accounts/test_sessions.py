"""Signing in by mailed code, and the devices that are signed in."""

import asyncio
import re
from uuid import uuid4

import asyncpg
import httpx
import pytest

from service.accounts import allowances
from service.accounts.session_codes import CODE_TRIES
from service.core.tokens import CODE_DIGITS
from service.settings import Settings
from tests.support.phones import Json, Phone, Running, headers_of, running

SOMEBODY = "somebody@example.org"


async def ask(phone: Phone, address: str = SOMEBODY, **more: str) -> Json:
    """An attempt for an address, and the code that is mailed for it."""
    phone.email = address.strip("\t \u00a0\u200b\ufeff\u202f\u2060").lower()
    attempt = await phone.expect(202, "POST", "/v1/sign-in-codes", {"email": address, **more})
    return {**attempt, "code": await phone.mailed_code()}


async def enter(phone: Phone, attempt: Json, **more: str) -> httpx.Response:
    return await phone.call("POST", "/v1/sessions", {"device_name": "a phone", **attempt, **more})


async def refresh(phone: Phone, token: str | None = None) -> httpx.Response:
    return await phone.call("POST", "/v1/sessions/refresh", {"refresh_token": token or phone.refresh_token})


def wrong(attempt: Json) -> Json:
    """The attempt with another code."""
    return attempt | {"code": f"{(int(attempt['code'].replace(' ', '')) + 1) % 10**8:08}"}


async def status_of_me(phone: Phone, token: str | None = None) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return (await phone.call("GET", "/v1/me", headers=headers)).status_code


async def count(service: Running, table: str) -> int:
    db = await asyncpg.connect(service.database_url)
    try:
        return int(await db.fetchval(f"SELECT count(*) FROM {table}"))
    finally:
        await db.close()


# --- Codes and attempts


async def test_asking_for_a_code_tells_nothing_about_the_address(service: Running) -> None:
    known = await service.phone().sign_in()
    told = [
        await service.phone().call("POST", "/v1/sign-in-codes", {"email": address})
        for address in (known.email, "unknown@example.org")
    ]
    assert [answer.status_code for answer in told] == [202, 202]
    assert [answer.json().keys() for answer in told] == [{"attempt_id"}] * 2
    assert len(told[0].content) == len(told[1].content)
    assert headers_of(told[0]) == headers_of(told[1])


async def test_the_mail_is_plain_text_of_seven_bits_with_the_code_in_it(service: Running) -> None:
    phone = service.phone()
    attempt = await phone.expect(202, "POST", "/v1/sign-in-codes", {"email": SOMEBODY})
    mail = await service.post.next_mail(SOMEBODY)
    assert mail.get_content_type() == "text/plain"
    assert mail["Content-Transfer-Encoding"] == "7bit"
    assert mail["To"] == SOMEBODY
    first = str(mail.get_payload()).splitlines()[0]
    assert re.fullmatch(r"Your code to sign in is [0-9]{4} [0-9]{4}", first)
    assert mail.as_bytes().isascii()
    assert (await enter(phone, attempt, code=first[-9:])).status_code == 201


@pytest.mark.parametrize(("seconds", "status"), [(599, 201), (600, 401)])
async def test_a_code_works_for_ten_minutes(service: Running, seconds: int, status: int) -> None:
    phone = service.phone()
    attempt = await ask(phone)
    service.clock.advance(seconds=seconds)
    assert (await enter(phone, attempt)).status_code == status


@pytest.mark.parametrize(("tries", "status"), [(4, 201), (5, 401)])
async def test_after_five_tries_even_the_right_code_is_dead(service: Running, tries: int, status: int) -> None:
    phone = service.phone()
    attempt = await ask(phone)
    for _ in range(tries):
        assert (await enter(phone, wrong(attempt))).json()["code"] == "wrong_code"
    assert (await enter(phone, attempt)).status_code == status


async def test_wrong_guesses_spend_the_tries_of_their_attempt_alone(service: Running) -> None:
    owner, thief = service.phone(), service.phone()
    mine, theirs = await ask(owner), await ask(thief)
    for _ in range(10):
        await enter(thief, wrong(theirs))
        await enter(thief, theirs | {"attempt_id": str(uuid4())})
    assert (await enter(thief, theirs)).status_code == 401
    assert (await enter(owner, mine)).status_code == 201


async def test_a_code_works_with_the_attempt_that_asked_for_it_and_no_other(service: Running) -> None:
    phone = service.phone()
    one, two, of_another = await ask(phone), await ask(phone), await ask(phone, "other@example.org")
    unknown = {"attempt_id": str(uuid4()), "code": one["code"]}
    answers = [await enter(phone, one | {"attempt_id": two["attempt_id"]})]
    answers += [await enter(phone, one | {"attempt_id": of_another["attempt_id"]}), await enter(phone, unknown)]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert [(await enter(phone, one)).status_code, (await enter(phone, two)).status_code] == [201, 201]


async def test_the_right_code_sent_again_within_half_a_minute_gets_the_same_answer(service: Running) -> None:
    phone = service.phone()
    attempt = await ask(phone)
    first = await enter(phone, attempt)
    service.clock.advance(seconds=29)
    again = await enter(phone, attempt | {"code": attempt["code"].replace(" ", "-")})
    assert (again.status_code, again.content) == (201, first.content)
    assert (await enter(phone, attempt, device_name="another")).status_code == 401
    service.clock.advance(seconds=1)
    assert (await enter(phone, attempt)).status_code == 401
    assert await count(service, "sessions") == 1


async def test_of_many_who_send_one_right_code_at_once_all_get_one_session(service: Running) -> None:
    phone = service.phone()
    attempt = await ask(phone)
    answers = await asyncio.gather(*(enter(phone, attempt) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert await count(service, "sessions") == 1


@pytest.mark.parametrize("around", [" ", "\t", "\u00a0", "\u200b", "\ufeff", "\u202f", "\u2060"])
async def test_what_a_keyboard_adds_does_not_matter(service: Running, around: str) -> None:
    phone = service.phone()
    attempt = await ask(phone, f"{around}{SOMEBODY}{around}")
    digits = attempt["code"].replace(" ", "")
    sent = f"{around}{digits[:4]}{around}-{digits[4:]}{around}"
    assert (await enter(phone, attempt, code=sent)).status_code == 201


async def test_an_international_domain_is_one_however_it_is_written(service: Running) -> None:
    phone = service.phone()
    phone.email = "somebody@xn--mller-kva.example"
    for address in ("somebody@müller.example", phone.email):
        await phone.expect(202, "POST", "/v1/sign-in-codes", {"email": address})
        await phone.mailed_code()
    assert await count(service, "sign_in_attempts") == 2


async def test_the_first_sign_in_makes_the_member_and_case_makes_no_other(service: Running) -> None:
    first = (await enter(service.phone(), await ask(service.phone()))).json()
    again = (await enter(service.phone(), await ask(service.phone(), "SomeBody@Example.ORG"))).json()
    assert again["member_id"] == first["member_id"]
    assert again["access_token"] != first["access_token"]
    assert await count(service, "members") == 1


async def test_concurrent_first_sign_ins_make_one_member(service: Running) -> None:
    phone = service.phone()
    attempts = [await ask(phone) for _ in range(6)]
    entered = await asyncio.gather(*(enter(phone, attempt) for attempt in attempts))
    assert {answer.status_code for answer in entered} == {201}
    assert len({answer.json()["member_id"] for answer in entered}) == 1
    assert await count(service, "members") == 1


async def test_an_address_with_a_line_break_within_is_refused(service: Running) -> None:
    answer = await service.phone().call("POST", "/v1/sign-in-codes", {"email": "some\nbody@example.org"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


async def test_no_row_of_an_attempt_tells_whose_it_is(service: Running) -> None:
    attempt = await ask(service.phone())
    db = await asyncpg.connect(service.database_url)
    try:
        kept = str([dict(row) for row in await db.fetch("SELECT * FROM sign_in_attempts")])
    finally:
        await db.close()
    told = [SOMEBODY, SOMEBODY.encode().hex(), attempt["attempt_id"], attempt["attempt_id"].replace("-", "")]
    assert not [one for one in (*told, attempt["code"].replace(" ", "")) if one in kept]


# --- Who is told


async def test_a_new_sign_in_is_told_by_mail_the_first_is_not(service: Running) -> None:
    phone = await service.phone().sign_in(SOMEBODY)
    await service.phone().sign_in(SOMEBODY, "another phone")
    mail = await service.post.next_notice(SOMEBODY)
    assert mail["Subject"] == "Somebody signed in with your account"
    text = str(mail.get_payload())
    assert "2026-06-15 12:00 UTC" in text
    assert "another phone" in text
    assert not [one for one in (phone.member_id, phone.access_token, phone.refresh_token) if one in text]
    assert service.post.unread() == 0


async def test_a_new_push_device_is_told_by_mail(service: Running) -> None:
    phone = await service.phone().sign_in(SOMEBODY)
    name, token = uuid4(), uuid4().hex
    body = {"platform": "ios", "provider": "apns", "token": token}
    for _ in range(2):  # a device that is known is nothing new
        await phone.expect(200, "PUT", f"/v1/me/devices/{name}", body)
    await assert_told(service, "A device was set up for your notifications", token, str(name))


async def test_an_export_is_told_by_mail(service: Running) -> None:
    phone = await service.phone().sign_in(SOMEBODY)
    await phone.step_up()
    await phone.expect(200, "GET", "/v1/me/export")
    await assert_told(service, "Everything of yours was exported", phone.member_id)


async def assert_told(service: Running, what: str, *never: str) -> None:
    """One mail, with time and device and nothing else."""
    mail = await service.post.next_notice(SOMEBODY)
    text = str(mail.get_payload())
    assert mail["Subject"] == what
    assert "2026-06-15 12:00 UTC" in text
    assert "a phone" in text
    assert not [one for one in never if one in text]
    assert service.post.unread() == 0


async def test_of_more_than_twenty_sessions_the_one_unused_for_longest_goes(service: Running) -> None:
    phones = []
    for _ in range(20):
        phones.append(await service.phone().sign_in(SOMEBODY))
        service.clock.advance(seconds=1)
    assert (await refresh(phones[0])).status_code == 200  # used: the second is now the oldest
    service.clock.advance(seconds=1)
    await service.phone().sign_in(SOMEBODY)
    assert [await status_of_me(phone) for phone in phones[:3]] == [200, 401, 200]
    assert await count(service, "sessions") == 20


# --- Allowances


async def storm(service: Running, address: str, codes: int) -> set[int]:
    """So many codes are asked for by somebody who knows the address alone, each from a network of their own."""
    statuses = set()
    for number in range(codes):
        client = {"X-Forwarded-For": f"198.{18 + number // 200}.{number % 200}.7"}
        answer = await service.phone().call("POST", "/v1/sign-in-codes", {"email": address}, headers=client)
        statuses.add(answer.status_code)
    return statuses


async def test_a_storm_locks_no_device_out_that_was_there_before(database_url: str) -> None:
    settings = Settings(trusted_proxies="127.0.0.1")
    async with running(database_url, settings=settings) as service:
        mine = await service.phone().sign_in(SOMEBODY)
        assert await storm(service, SOMEBODY, allowances.CODES_BY_ANYBODY + 20) == {202, 429}
        # The session goes on, exports and erases; and signed out, its device comes in again.
        await mine.expect(202, "POST", "/v1/sessions/step-up-codes", {})
        found = await service.phone().call(
            "POST", "/v1/sign-in-codes", {"email": SOMEBODY, "device_secret": mine.device_secret}
        )
        assert found.status_code == 202
        stranger = {"email": SOMEBODY, "device_secret": "of-nobody"}
        assert (await service.phone().call("POST", "/v1/sign-in-codes", stranger)).status_code == 429
        other = await service.phone().call("POST", "/v1/sign-in-codes", {"email": "other@example.org"})
        assert other.status_code == 202
        # A day later anybody may ask again.
        service.clock.advance(hours=24)
        assert await storm(service, SOMEBODY, 1) == {202}


def test_all_codes_of_a_day_are_guessed_less_often_than_once_in_a_hundred_thousand() -> None:
    codes = allowances.CODES_BY_ANYBODY + allowances.CODES_BY_DEVICES + allowances.CODES_TO_STEP_UP
    assert codes * CODE_TRIES / 10**CODE_DIGITS < 1e-5


@pytest.mark.parametrize("clients", [1, 10, 100])
async def test_no_more_codes_can_be_guessed_at_however_many_ask(database_url: str, clients: int) -> None:
    settings = Settings(trusted_proxies="127.0.0.1", sign_ins_per_hour=60)
    async with running(database_url, settings=settings) as service:
        given = 0
        for number in range(250):
            client = {"X-Forwarded-For": f"198.18.{number % clients}.7"}
            answer = await service.phone().call("POST", "/v1/sign-in-codes", {"email": SOMEBODY}, headers=client)
            given += answer.status_code == 202
        assert given == min(33 * clients, allowances.CODES_BY_ANYBODY)


async def test_one_client_asks_for_so_many_codes_over_all_addresses(database_url: str) -> None:
    async with running(database_url, settings=Settings(sign_ins_per_hour=2)) as service:
        asked = [
            await service.phone().call("POST", "/v1/sign-in-codes", {"email": f"{name}@example.org"}) for name in "abc"
        ]
        assert [answer.status_code for answer in asked] == [202, 202, 429]
        assert 3590 <= int(asked[2].headers["Retry-After"]) <= 3601


async def test_wrong_codes_from_one_network_keep_no_right_one_out(database_url: str) -> None:
    async with running(database_url, settings=Settings(sign_ins_per_hour=5)) as service:
        owner = service.phone()
        attempt = await ask(owner)
        guesses = [await enter(owner, {"attempt_id": str(uuid4()), "code": "1234 5678"}) for _ in range(30)]
        assert {answer.status_code for answer in guesses[5:]} == {429}
        assert (await enter(owner, attempt)).status_code == 201


# --- Refreshing


async def test_a_refresh_gives_new_tokens_of_the_same_member(service: Running) -> None:
    phone = await service.phone().sign_in()
    service.clock.advance(minutes=10)
    fresh = (await refresh(phone)).json()
    assert fresh.keys() == {"member_id", "access_token", "access_expires_at", "refresh_token", "device_secret"}
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
