"""Storms against an address: its owner signs in all the same, no mail that was promised is lost, no code is guessed.

The service runs with its own limits and on a clock that passes as it is told to; `make soak` alone runs it.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from msgspec import Struct

from service.accounts.session_codes import CODE_TRIES
from service.core.tokens import CODE_DIGITS
from service.settings import Settings
from tests.support.phones import Json, Phone, Running, running

pytestmark = pytest.mark.soak

STORMS = int(os.environ.get("MUTUALITY_SOAK_STORMS", "1000"))
FLOODS = max(STORMS // 50, 1)  # of all these, for each takes as long as fifty of the others
WRONG_CODES, MAILS, FLOOD = 60, 5, 1300
ROUTER = "198.51.100.7"  # of the couple: both reach the service from there
OWNER = "owner@example.org"
CHANCE_A_DAY = 1e-5
DELIVERY_SECONDS = 60


class Storms(Struct):
    """The service under storms, and what came of them."""

    service: Running
    anybody: Phone
    mails: Counter[str]
    promised: int = 0

    async def post(self, path: str, body: Json, client: str, phone: Phone | None = None) -> tuple[int, Json]:
        """What is answered to a client at that address."""
        headers = {"X-Forwarded-For": client}
        answer = await (phone or self.anybody).call("POST", path, body, headers=headers)
        if path.endswith("-codes"):
            self.promised += answer.status_code == 202
        return answer.status_code, answer.json() if answer.content else {}

    async def delivered(self) -> int:
        """How many mails that were promised have not come, though time was left for them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DELIVERY_SECONDS):
                while self.mails["codes"] < self.promised:  # noqa: ASYNC110 the mail server is another task's
                    await asyncio.sleep(0.01)
        return self.promised - self.mails["codes"]

    async def guess(self, attempt: str, client: str) -> int:
        """A code that is wrong, but once in 10^8 times."""
        body = {"attempt_id": attempt, "code": "00000000", "device_name": "x"}
        return (await self.post("/v1/sessions", body, client))[0]

    async def guess_often(self, attempts: list[str], clients: list[str]) -> None:
        """A guess at each, by turns from these clients."""
        await asyncio.gather(*(self.guess(one, clients[n % len(clients)]) for n, one in enumerate(attempts)))


async def wrong_codes_from_the_router(storms: Storms) -> None:
    """The other has the owner's address, and their router."""
    await storms.guess_often([str(uuid4()) for _ in range(WRONG_CODES)], [ROUTER])


async def wrong_codes_after_each_mail(storms: Storms) -> None:
    """Somebody has codes mailed from anywhere, and guesses at each and at what was mailed to the owner."""
    for number in range(MAILS):
        client = f"203.0.113.{number}"
        status, attempt = await storms.post("/v1/sign-in-codes", {"email": OWNER}, client)
        named = attempt["attempt_id"] if status == 202 else str(uuid4())
        await storms.guess_often([named] * CODE_TRIES, [client])


async def a_flood_of_codes(storms: Storms) -> None:
    """1,300 at once, from a hundred clients, for the owner's address and for others."""
    asked = [
        storms.post("/v1/sign-in-codes", {"email": OWNER if n % 2 else f"{n}@example.org"}, f"198.18.{n % 100}.1")
        for n in range(FLOOD)
    ]
    found = Counter(status for status, _ in await asyncio.gather(*asked))
    assert set(found) <= {202, 429, 503}, found


Storm = Callable[[Storms], Coroutine[Any, Any, None]]


async def comes_in(storms: Storms, owner: Phone, storm: Storm) -> bool:
    """Whether the owner signs in by a code asked for before the storm, by one asked for in it, and steps up then."""
    known = {"email": OWNER, "device_secret": owner.device_secret}
    before = await storms.post("/v1/sign-in-codes", known, ROUTER)
    code_before = await owner.mailed_code(OWNER) if before[0] == 202 else ""
    await storm(storms)
    await storms.delivered()
    storms.service.post._mails.pop(OWNER, None)  # what others had mailed there
    behind = await storms.post("/v1/sign-in-codes", known, ROUTER)
    for (status, attempt), code in ((before, code_before), (behind, "")):
        if status != 202:
            return False
        mailed = code or await owner.mailed_code(OWNER)
        signed_in = await storms.post("/v1/sessions", {**attempt, "code": mailed, "device_name": "mine"}, ROUTER)
        if signed_in[0] != 201:
            return False
        owner.take(signed_in[1])
    if (await storms.post("/v1/sessions/step-up-codes", {}, ROUTER, owner))[0] != 202:
        return False
    code = await owner.mailed_code(OWNER)
    return (await storms.post("/v1/sessions/step-up", {"code": code}, ROUTER, owner))[0] == 204


KINDS: list[tuple[Storm, int]] = [
    (wrong_codes_from_the_router, (STORMS - FLOODS) // 2),
    (wrong_codes_after_each_mail, STORMS - FLOODS - (STORMS - FLOODS) // 2),
    (a_flood_of_codes, FLOODS),
]


@pytest.mark.parametrize(("storm", "times"), KINDS, ids=[storm.__name__ for storm, _ in KINDS])
async def test_no_storm_locks_the_owner_out_or_loses_a_mail(
    database_url: str, storm: Storm, times: int, record_property: Callable[[str, Any], None]
) -> None:
    async with running(database_url, settings=Settings(trusted_proxies="127.0.0.1")) as service:
        storms, locked_out = Storms(service, service.phone(), counting(service), promised=1), 0
        owner = await service.phone().sign_in(OWNER)
        for _ in range(times):
            locked_out += not await comes_in(storms, owner, storm)
            service.clock.advance(hours=3)  # eight a day, each with two codes of the owner's
        lost = await storms.delivered()
        name = storm.__name__.replace("_", " ")
        told = f"{name:32} owner locked out in {locked_out} of {times} storms; lost {lost} of {storms.promised} mails"
        record_property("measured", told)
        assert (locked_out, lost) == (0, 0)


def counting(service: Running) -> Counter[str]:
    """How many mails with a code have reached the mail server."""
    found, handle = Counter[str](), service.post.handle_DATA

    async def counted(server: Any, session: Any, envelope: Any) -> str:
        found["codes"] += b"code" in envelope.content.split(b"\n\n")[0]
        return await handle(server, session, envelope)

    vars(service.post)["handle_DATA"] = counted
    return found


@pytest.mark.parametrize("clients", [1, 10, 100])
async def test_a_day_of_guessing(database_url: str, clients: int, record_property: Callable[[str, Any], None]) -> None:
    """All ask for codes for one address all day, and try each as often as it takes."""
    async with running(database_url, settings=Settings(trusted_proxies="127.0.0.1")) as service:
        await service.phone().sign_in(OWNER)
        storms, codes = Storms(service, service.phone(), Counter()), 0
        for _ in range(24 * 4):
            for number in range(clients):
                client = f"198.18.{number}.1"
                status, attempt = await storms.post("/v1/sign-in-codes", {"email": OWNER}, client)
                if status == 202:
                    codes += 1
                    await storms.guess_often([attempt["attempt_id"]] * CODE_TRIES, [client])
            service.clock.advance(minutes=15)
        chance = codes * CODE_TRIES / 10**CODE_DIGITS
        told = f"{clients:3} clients, one address: {codes} codes x {CODE_TRIES} tries, chance a day {chance:.2e}"
        record_property("measured", told)
        assert chance <= CHANCE_A_DAY
