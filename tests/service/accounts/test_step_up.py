"""Step-up: a fresh code, for what a borrowed phone must not do alone: `require_step_up`, which such calls ask."""

import pytest

from service.access.authentication import require_step_up
from service.errors import NotSignedIn, StepUpRequired
from service.web.requests import ApiRequest
from tests.support.phones import Phone, Running


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
    await phone.expect(202, "POST", "/v1/sign-in-codes", {"email": phone.email})
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


async def test_a_code_works_once(service: Running) -> None:
    phone = await service.phone().sign_in()
    code = await fresh_code(phone)
    assert await tried(phone, code) == (204, "")
    assert await tried(phone, code) == (401, "wrong_code")


async def test_the_code_of_another_address_is_wrong(service: Running) -> None:
    phone, partner = await service.phone().sign_in(), await service.phone().sign_in()
    assert await tried(phone, await fresh_code(partner)) == (401, "wrong_code")
    assert not await may(service, phone)


async def test_an_old_code_is_wrong(service: Running) -> None:
    phone = await service.phone().sign_in()
    code = await fresh_code(phone)
    service.clock.advance(minutes=10)
    assert await tried(phone, code) == (401, "wrong_code")


async def test_five_wrong_codes_use_the_right_one_up(service: Running) -> None:
    phone = await service.phone().sign_in()
    code = await fresh_code(phone)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    assert [await tried(phone, wrong) for _ in range(5)] == [(401, "wrong_code")] * 5
    assert await tried(phone, code) == (401, "wrong_code")
    assert not await may(service, phone)


async def test_without_a_session_there_is_nothing_to_step_up(service: Running) -> None:
    assert await tried(service.phone(), "123456") == (401, "not_signed_in")
    with pytest.raises(NotSignedIn):
        await may(service, service.phone())
