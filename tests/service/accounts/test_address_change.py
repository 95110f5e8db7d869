"""My mail address: another one is proven with a code that goes there, and then it alone signs me in."""

import asyncio
from uuid import uuid4

import pytest

from service.core.randomness import system_random_bytes
from service.core.tokens import new_code
from tests.support.phones import Json, Phone, Running


def fresh_address() -> str:
    return f"{uuid4().hex}@example.org"


async def ask(phone: Phone, address: str) -> str:
    """The code that comes to the address."""
    await phone.expect(202, "POST", "/v1/me/email-codes", {"email": address})
    return await phone.mailed_code(address)


async def tried(phone: Phone, code: str) -> tuple[int, str]:
    answer = await phone.call("PUT", "/v1/me/email", {"code": code})
    body: Json = answer.json()
    return answer.status_code, body.get("code") or body["email"]


async def stepped_up(service: Running) -> Phone:
    phone = await service.phone().sign_in()
    await phone.step_up()
    return phone


async def test_who_has_proven_another_signs_in_by_it_and_no_longer_by_the_one_before(service: Running) -> None:
    phone, address = await stepped_up(service), fresh_address()
    before = phone.email
    assert await tried(phone, await ask(phone, address)) == (200, address)
    assert (await phone.get("/v1/me"))["email"] == address
    assert (await service.phone().sign_in(address)).member_id == phone.member_id
    assert (await service.phone().sign_in(before)).member_id != phone.member_id


async def test_the_device_that_was_there_before_keeps_its_own_allowance(service: Running) -> None:
    phone, address = await stepped_up(service), fresh_address()
    await tried(phone, await ask(phone, address))
    body = {"email": address, "device_secret": phone.device_secret}
    await service.phone().expect(202, "POST", "/v1/sign-in-codes", body)
    (asked,) = await service.ask("SELECT known_device_id FROM sign_in_attempts WHERE used_at IS NULL")
    assert asked["known_device_id"] is not None


async def test_it_is_written_as_people_write_and_kept_as_one(service: Running) -> None:
    phone, name = await stepped_up(service), uuid4().hex
    await phone.expect(202, "POST", "/v1/me/email-codes", {"email": f" {name.upper()}@m\u00fcnchen.example\u200b"})
    address = f"{name}@xn--mnchen-3ya.example"
    assert await tried(phone, await phone.mailed_code(address)) == (200, address)


async def test_to_ask_needs_a_step_up(service: Running) -> None:
    phone = await service.phone().sign_in()
    answer = await phone.call("POST", "/v1/me/email-codes", {"email": fresh_address()})
    assert (answer.status_code, answer.json()["code"]) == (403, "step_up_required")
    assert service.post.unread() == 0


async def test_what_others_have_is_said_only_to_who_reads_the_mail_there(service: Running) -> None:
    phone, other = await stepped_up(service), await service.phone().sign_in()
    asked = [
        await phone.call("POST", "/v1/me/email-codes", {"email": address}) for address in (fresh_address(), other.email)
    ]
    assert [(a.status_code, a.content, sorted(a.headers)) for a in asked] == [
        (202, b"{}", sorted(asked[0].headers)),
    ] * 2
    code = await other.mailed_code()
    assert await tried(phone, "0000 0000") == (401, "wrong_code")
    assert [await tried(phone, code) for _ in range(2)] == [(409, "address_taken")] * 2
    # Nothing has moved, for either.
    for one in (phone, other):
        assert (await service.phone().sign_in(one.email)).member_id == one.member_id


async def test_the_right_code_again_within_half_a_minute_answers_the_same(service: Running) -> None:
    phone, address = await stepped_up(service), fresh_address()
    code = await ask(phone, address)
    assert [await tried(phone, code) for _ in range(2)] == [(200, address)] * 2
    service.clock.advance(seconds=30)
    assert await tried(phone, code) == (401, "wrong_code")


async def test_five_wrong_codes_use_the_right_one_up(service: Running) -> None:
    phone = await stepped_up(service)
    code = await ask(phone, fresh_address())
    wrong = new_code(system_random_bytes, "a wrong code")
    assert [await tried(phone, wrong) for _ in range(5)] == [(401, "wrong_code")] * 5
    assert await tried(phone, code) == (401, "wrong_code")


@pytest.mark.parametrize(("seconds", "status"), [(599, 200), (600, 401)])
async def test_a_code_is_for_ten_minutes(service: Running, seconds: int, status: int) -> None:
    phone = await stepped_up(service)
    code = await ask(phone, fresh_address())
    service.clock.advance(seconds=seconds)
    assert (await tried(phone, code))[0] == status


async def test_it_is_for_the_session_and_for_nothing_else(service: Running) -> None:
    phone, address = await stepped_up(service), fresh_address()
    other = await service.phone().sign_in(phone.email)
    code = await ask(phone, address)
    assert await tried(other, code) == (401, "wrong_code")
    stepping = await phone.call("POST", "/v1/sessions/step-up", {"code": code})
    assert stepping.status_code == 401
    # And the other way round: one to step up, sent to the address before, proves no address.
    await phone.expect(202, "POST", "/v1/sessions/step-up-codes", {})
    assert await tried(phone, await phone.mailed_code()) == (401, "wrong_code")
    assert await tried(phone, code) == (200, address)


async def test_a_second_question_ends_the_first(service: Running) -> None:
    phone, second = await stepped_up(service), fresh_address()
    first_code, code = await ask(phone, fresh_address()), await ask(phone, second)
    assert await tried(phone, first_code) == (401, "wrong_code")
    assert await tried(phone, code) == (200, second)


async def test_of_two_devices_at_once_one_has_the_last_word(service: Running) -> None:
    phone = await stepped_up(service)
    other = await service.phone().sign_in(phone.email)
    await other.step_up()
    wanted = [fresh_address(), fresh_address()]
    codes = [await ask(phone, wanted[0]), await ask(other, wanted[1])]
    answers = await asyncio.gather(tried(phone, codes[0]), tried(other, codes[1]))
    assert [status for status, _ in answers] == [200, 200]
    kept = (await phone.get("/v1/me"))["email"]
    assert kept in wanted
    assert (await service.phone().sign_in(kept)).member_id == phone.member_id
    assert len(await service.ask("SELECT FROM addresses WHERE member_id = $1::text::uuid", phone.member_id)) == 1


async def test_of_two_members_who_prove_one_address_at_once_one_gets_it(service: Running) -> None:
    phones, address = [await stepped_up(service) for _ in range(2)], fresh_address()
    codes = [await ask(phone, address) for phone in phones]
    answers = await asyncio.gather(*(tried(phone, code) for phone, code in zip(phones, codes, strict=True)))
    assert sorted(answers) == [(200, address), (409, "address_taken")]


async def test_the_address_before_is_told_with_time_and_device_alone(service: Running) -> None:
    phone, address = await stepped_up(service), fresh_address()
    before = phone.email
    code = await ask(phone, address)
    await tried(phone, code)
    await tried(phone, code)
    notice = await service.post.next_notice(before)
    text = str(notice.get_payload())
    assert notice["Subject"] == "Your account has another mail address now"
    assert "2026-06-15 12:00 UTC" in text
    assert "a phone" in text
    assert address not in text
    assert service.post.unread() == 0


async def test_no_address_stands_in_the_database(service: Running) -> None:
    phone, address = await stepped_up(service), fresh_address()
    await ask(phone, address)
    kept = await service.ask("SELECT session_codes::text AS row FROM session_codes")
    name = address.partition("@")[0]
    assert len(kept) == 2  # the one to step up, too
    assert not any(name in one["row"] or name.encode().hex() in one["row"] for one in kept)
