"""Phones that lose answers, ask twice and ask at once are never locked out; thieves are. Refusals are all alike."""

import asyncio
import random
from collections import Counter

import httpx
import pytest

from service.accounts.mailed_codes import KEEP_ATTEMPT
from tests.support.phones import Phone, Running, headers_of
from tests.support.statements import overheard
from tests.support.wire import served

GRACE_SECONDS = 30
PHONES = 20


async def refresh(phone: Phone, token: str) -> httpx.Response:
    return await phone.call("POST", "/v1/sessions/refresh", {"refresh_token": token})


async def status_of_me(phone: Phone) -> int:
    return (await phone.call("GET", "/v1/me")).status_code


# --- No false lock-out


class Unlucky:
    """A phone whose network loses answers and sends requests twice. It gives up on none: it asks again in time."""

    def __init__(self, phone: Phone, chance: random.Random) -> None:
        self.phone, self._chance = phone, chance
        self.before = phone.refresh_token
        self.answered: httpx.Response | None = None
        self.seen = Counter[str]()

    def begin(self) -> None:
        """The access token is old; a new one is needed."""
        self.answered = None

    async def ask(self, *, last: bool) -> None:
        """One to three requests at once with the token at hand; an answer may be lost, but for the last time."""
        late = self.answered is not None and self._chance.random() < 0.5
        if self.answered is not None and not late:
            return
        token = self.before if late else self.phone.refresh_token
        copies = self._chance.choice([1, 1, 2, 3])
        answers = await asyncio.gather(*(refresh(self.phone, token) for _ in range(copies)))
        assert {answer.status_code for answer in answers} == {200}, answers[0].text
        assert len({answer.content for answer in answers}) == 1
        self.seen += Counter({"calls": copies, "at once": copies > 1, "late copies": late})
        if late:
            assert self.answered is not None
            assert answers[0].content == self.answered.content
        elif last or self._chance.random() < 0.4:
            self._take(answers[0])
        else:
            self.seen["lost answers"] += copies

    def _take(self, answer: httpx.Response) -> None:
        self.answered, self.before = answer, self.phone.refresh_token
        self.phone.access_token, self.phone.refresh_token = (
            answer.json()[name] for name in ("access_token", "refresh_token")
        )


async def storm(service: Running, rounds: int) -> Counter[str]:
    """So many refreshes of each phone, each with its mishaps; whoever is locked out fails the test."""
    chance = random.Random(20260615)
    phones = [Unlucky(await service.phone().sign_in(), chance) for _ in range(PHONES)]
    for _ in range(rounds):
        for one in phones:
            one.begin()
        pauses = sorted(chance.uniform(0, GRACE_SECONDS) for _ in range(3))
        for passed, until in zip([0.0, *pauses], [*pauses, GRACE_SECONDS], strict=True):
            await asyncio.gather(*(one.ask(last=until == GRACE_SECONDS) for one in phones))
            if until < GRACE_SECONDS:
                service.clock.advance(seconds=until - passed)
        assert {await status_of_me(one.phone) for one in phones} == {200}
        service.clock.advance(minutes=chance.uniform(1, 60))
    return sum((one.seen for one in phones), Counter({"refreshes": rounds * PHONES}))


async def test_a_short_storm_locks_nobody_out(service: Running) -> None:
    seen = await storm(service, rounds=10)
    print(dict(seen))
    assert min(seen["lost answers"], seen["at once"], seen["late copies"]) > 50


@pytest.mark.fuzz
async def test_ten_thousand_refreshes_in_a_storm_lock_nobody_out(service: Running) -> None:
    seen = await storm(service, rounds=500)
    print(dict(seen))
    assert seen["lost answers"] > 10_000


# --- Whoever stole a token is out, and so is who is signed out


async def test_whoever_uses_a_stolen_token_first_ends_the_family_for_both(service: Running) -> None:
    phone = await service.phone().sign_in()
    stolen = (await refresh(service.phone(), phone.refresh_token)).json()
    service.clock.advance(seconds=GRACE_SECONDS + 0.001)
    assert (await refresh(phone, phone.refresh_token)).status_code == 401
    assert (await refresh(service.phone(), stolen["refresh_token"])).status_code == 401
    phone.access_token = stolen["access_token"]
    assert await status_of_me(phone) == 401


def test_a_revoked_session_is_out_at_its_next_call_on_a_connection_that_never_stops_asking(database_url: str) -> None:
    with served(database_url) as wire:
        wire.run(revoked(wire))


async def revoked(wire: Running) -> None:
    """Ask on and on beside a revocation: what is asked after its answer is refused."""
    lost = await wire.phone().sign_in()
    mine = await wire.phone().sign_in(lost.email)
    (session,) = [s for s in (await lost.get("/v1/sessions"))["sessions"] if s["current"]]
    asking, told = asyncio.Event(), asyncio.Event()

    async def ask_on() -> None:
        too_late = False
        while (await status_of_me(lost)) == 200:
            assert not too_late
            asking.set()
            too_late = told.is_set()

    asked = asyncio.create_task(ask_on())
    await asking.wait()
    await mine.expect(204, "DELETE", f"/v1/sessions/{session['id']}")
    told.set()
    await asked


# --- What refusals and answers tell


async def test_refused_refreshes_are_told_apart_by_nobody(service: Running) -> None:
    ended, reused, expired = [await service.phone().sign_in() for _ in range(3)]
    (session,) = (await ended.get("/v1/sessions"))["sessions"]
    await ended.expect(204, "DELETE", f"/v1/sessions/{session['id']}")
    await refresh(reused, reused.refresh_token)
    service.clock.advance(days=90)
    given = [phone.refresh_token for phone in (ended, reused, expired)]
    given += ["no-such-token", "", expired.access_token]
    answers = [await refresh(service.phone(), token) for token in given]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert len({str(headers_of(answer)) for answer in answers}) == 1


async def test_asking_for_a_code_does_the_same_for_known_and_unknown_addresses(service: Running) -> None:
    known, context = (await service.phone().sign_in()).email, service.app.state.context

    async def asked(address: str) -> tuple[list[str], list[str], str]:
        async with overheard(context.db, context.auth_db, context.admission_db) as statements:
            answer = await service.phone().call("POST", "/v1/sign-in-codes", {"email": address})
        await service.post.next_mail(address)
        return statements, list(answer.json()), str(headers_of(answer))

    of_known = await asked(known)
    assert KEEP_ATTEMPT in of_known[0]
    assert await asked("unknown@example.org") == of_known
