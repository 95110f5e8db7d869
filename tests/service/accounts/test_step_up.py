"""Step-up: a fresh code, for what a borrowed phone must not do alone: `require_step_up`, which such calls ask."""

import pytest

from service.access.authentication import require_step_up
from service.accounts.allowances import CODES_TO_STEP_UP_BY_SESSION
from service.errors import NotSignedIn, StepUpRequired
from service.web.requests import ApiRequest
from tests.support.phones import Phone, Running


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


async def may(service: Running, phone: Phone) -> bool:
    """Whether this session may now do what needs a step-up."""
    scope = {
        "type": "http",
        "headers": [(b"authorization", f"Bearer {phone.access_token}".encode())],
        "litestar_app": service.app.litestar,
        "state": {},
    }
    try:
        return str((await require_step_up(ApiRequest(scope))).member_id) == phone.member_id  # type: ignore[arg-type]
    except StepUpRequired:
        return False


async def fresh_code(phone: Phone) -> str:
    await phone.expect(202, "POST", "/v1/sessions/step-up-codes", {})
    return await phone.mailed_code()


async def tried(phone: Phone, code: str) -> tuple[int, str]:
    answer = await phone.call("POST", "/v1/sessions/step-up", {"code": code})
    return answer.status_code, answer.json()["code"] if answer.content else ""


async def test_it_lasts_five_minutes_and_not_a_moment_more(service: Running) -> None:
    phone = await service.phone().sign_in()
    assert not await may(service, phone)
    await phone.step_up()
    service.clock.advance(minutes=5)
    assert await may(service, phone)
    service.clock.advance(microseconds=1)
    assert not await may(service, phone)


async def test_it_is_of_this_session_alone(service: Running) -> None:
    phone = await service.phone().sign_in()
    other = await service.phone().sign_in(phone.email)
    await phone.step_up()
    assert (await may(service, phone), await may(service, other)) == (True, False)


async def test_the_right_code_sent_again_within_half_a_minute_changes_nothing(service: Running) -> None:
    phone = await service.phone().sign_in()
    code = await fresh_code(phone)
    assert await tried(phone, code) == (204, "")
    service.clock.advance(seconds=29)
    assert await tried(phone, f" {code[:4]}-{code[5:]}\u200b") == (204, "")
    service.clock.advance(seconds=1)
    assert await tried(phone, code) == (401, "wrong_code")
    # It lasts from the first time on.
    service.clock.advance(seconds=271)
    assert not await may(service, phone)


async def test_the_code_of_another_member_or_session_is_wrong(service: Running) -> None:
    phone, partner = await service.phone().sign_in(), await service.phone().sign_in()
    other = await service.phone().sign_in(phone.email)
    mine = await fresh_code(phone)
    for code in (await fresh_code(partner), await fresh_code(other)):
        assert await tried(phone, code) == (401, "wrong_code")
    assert not await may(service, phone)
    assert await tried(phone, mine) == (204, "")


async def test_a_code_to_sign_in_steps_nobody_up(service: Running) -> None:
    phone = await service.phone().sign_in()
    attempt = await phone.expect(202, "POST", "/v1/sign-in-codes", {"email": phone.email})
    to_sign_in = await phone.mailed_code()
    await fresh_code(phone)
    assert await tried(phone, to_sign_in) == (401, "wrong_code")
    # And the other way round.
    to_step_up = await fresh_code(phone)
    body = {**attempt, "code": to_step_up, "device_name": "a phone"}
    assert (await service.phone().call("POST", "/v1/sessions", body)).status_code == 401


@pytest.mark.parametrize(("seconds", "status"), [(299, 204), (300, 401)])
async def test_a_code_is_for_five_minutes(service: Running, seconds: int, status: int) -> None:
    phone = await service.phone().sign_in()
    code = await fresh_code(phone)
    service.clock.advance(seconds=seconds)
    assert (await tried(phone, code))[0] == status


async def test_five_wrong_codes_use_the_right_one_up_and_another_can_be_asked_for(service: Running) -> None:
    phone = await service.phone().sign_in()
    code = await fresh_code(phone)
    wrong = f"{(int(code.replace(' ', '')) + 1) % 10**8:08}"
    assert [await tried(phone, wrong) for _ in range(5)] == [(401, "wrong_code")] * 5
    assert await tried(phone, code) == (401, "wrong_code")
    assert not await may(service, phone)
    assert await tried(phone, await fresh_code(phone)) == (204, "")


async def test_a_session_that_asks_for_too_many_takes_none_from_another(service: Running) -> None:
    phone = await service.phone().sign_in()
    other = await service.phone().sign_in(phone.email)
    asked = [await phone.call("POST", "/v1/sessions/step-up-codes", {}) for _ in range(12)]
    assert [answer.status_code for answer in asked] == [202] * CODES_TO_STEP_UP_BY_SESSION + [429] * 2
    assert int(asked[-1].headers["Retry-After"]) == 24 * 3600 + 1
    for _ in range(CODES_TO_STEP_UP_BY_SESSION):
        await phone.mailed_code()
    await other.step_up()
    assert await may(service, other)


async def test_the_mail_says_what_its_code_is_for(service: Running) -> None:
    phone = await service.phone().sign_in()
    await phone.expect(202, "POST", "/v1/sessions/step-up-codes", {})
    mail = await service.post.next_mail(phone.email)
    what_for = "Your code to export or erase your data, or to move to another address, is "
    assert str(mail.get_payload()).startswith(what_for)


async def test_without_a_session_there_is_nothing_to_step_up(service: Running) -> None:
    assert await tried(service.phone(), "1234 5678") == (401, "not_signed_in")
    with pytest.raises(NotSignedIn):
        await may(service, service.phone())
