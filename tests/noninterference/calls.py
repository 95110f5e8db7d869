"""The calls of one member, one of each kind, made in two worlds: to count the work of each, or to time it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import pytest
from msgspec import Struct

from service.access.consent import CONSENT_VERSION
from service.keys import keyring
from service.keys.keyring import KEY_CACHE_TTL_SECONDS
from tests.noninterference.observing import looks
from tests.noninterference.worlds import Answer, ask
from tests.support.contract import inlined
from tests.support.phones import Json, Phone, Running, running
from tests.support.turns import several

AT = "2026-06-15T10:00:00+02:00"
FELT: Json = {"occurred_at": AT, "felt": {"close": 5}}
SHARED = FELT | {"audience": "shared"}
SEALED = FELT | {"audience": "sealed"}
REQUEST: Json = {"occurred_at": AT, "text": "a walk", "domain": "home"}
BOTH: Json = {"occurred_at": AT, "domain": "home", "decided_by": "both", "audience": "shared"}

Prepare: TypeAlias = Callable[[Phone], Awaitable[Any]]


class Call(Struct, frozen=True):
    """A call: `{rid}` and `{new}` in its address are filled in, `body` is given what `prepare` has found."""

    name: str
    method: str
    address: str
    body: Callable[[Any], Json] | None = None
    prepare: Prepare | None = None


async def own_entry(phone: Phone) -> str:
    """Record something in private, to be taken back: its id."""
    return str((await phone.put("check-ins", FELT))["event"]["id"])


async def own_shared_entry(phone: Phone) -> str:
    """The same, shared."""
    return str((await phone.put("check-ins", SHARED))["event"]["id"])


def _put(name: str, kind: str, body: Json) -> Call:
    return Call(name, "PUT", f"/v1/relationships/{{rid}}/{kind}/{{new}}", lambda _: body)


def _back(name: str, prepare: Prepare) -> Call:
    address = "/v1/relationships/{rid}/retractions/{new}"
    return Call(name, "PUT", address, lambda found: {"occurred_at": AT, "event_id": found}, prepare)


SHARE = _put("share a check-in", "check-ins", SHARED)
KEEP = _put("keep a check-in", "check-ins", FELT)
ASK = _put("ask for something", "requests", REQUEST)
DECIDE = _put("tell of a decision", "decisions", BOTH)
SEAL = _put("seal a check-in", "check-ins", SEALED)
TAKE_BACK = _back("take back in private", own_entry)
TAKE_BACK_SHARED = _back("take back what was shared", own_shared_entry)
SYNC = Call("sync, nothing recorded", "POST", "/v1/relationships/{rid}/sync", lambda _: {})
SYNC_ONE = Call(
    "sync, one entry",
    "POST",
    "/v1/relationships/{rid}/sync",
    lambda _: {"entries": [{"id": str(uuid4()), "kind": "check_in", "check_in": SHARED}]},
)
NAME = Call("change my name", "PATCH", "/v1/me", lambda _: {"name": "Ada"})
SCHEDULE = Call("set my schedule", "PUT", "/v1/me/schedule", lambda _: {"after_events": {"enabled": True}})
WRITES = [SHARE, KEEP, ASK, DECIDE, SEAL, TAKE_BACK, TAKE_BACK_SHARED, SYNC, SYNC_ONE, NAME, SCHEDULE]


# --- About oneself, or of no effect: each can be made over and over


async def own_rid(phone: Phone) -> str:
    """The relationship that the phone is in."""
    return phone.rid


async def own_refresh_token(phone: Phone) -> str:
    """Spent already: the same successor is answered for a while, and the clock stands still."""
    return phone.refresh_token


async def own_device(phone: Phone) -> Json:
    """A device with an address that is nobody else's."""
    return {"platform": "ios", "provider": "apns", "token": phone.member_id.replace("-", "") * 2}


async def own_registered_device(phone: Phone) -> None:
    """Register it."""
    await phone.expect(200, "PUT", DEVICE, await own_device(phone))


async def own_pause(phone: Phone) -> None:
    """Pause for some days that have gone by."""
    await phone.expect(200, "PUT", PAUSE, GONE_BY)


DEVICE, PAUSE, NOTHING = (f"/v1/me/{kind}/{UUID(int=7)}" for kind in ("devices", "pauses", "prompts"))
GONE_BY: Json = {"from": "2026-01-01", "to": "2026-01-02"}
OPEN = _put("open something up", "openings", {"occurred_at": AT, "domain": "home"})
OWN = [
    OPEN,
    Call("register a device", "PUT", DEVICE, lambda found: found, own_device),
    Call("remove a device", "DELETE", DEVICE, prepare=own_registered_device),
    Call("pause", "PUT", PAUSE, lambda _: GONE_BY),
    Call("pause no longer", "DELETE", PAUSE, prepare=own_pause),
    Call("dismiss a prompt that is none", "POST", f"{NOTHING}/dismiss"),
    Call("begin the relationship again", "POST", "/v1/relationships", lambda found: {"id": found}, own_rid),
    Call("invite where both are in", "POST", "/v1/relationships/{rid}/invites"),
    Call("confirm again", "POST", "/v1/relationships/{rid}/confirm"),
    Call("accept a code that is none", "POST", "/v1/invites/accept", lambda _: {"code": "0" * 12}),
    Call("refresh", "POST", "/v1/sessions/refresh", lambda found: {"refresh_token": found}, own_refresh_token),
    Call("sign out a session that is none", "DELETE", f"/v1/sessions/{UUID(int=7)}"),
    Call("step up with a wrong code", "POST", "/v1/sessions/step-up", lambda _: {"code": "0000 0000"}),
    Call("change my address with a wrong code", "PUT", "/v1/me/email", lambda _: {"code": "0000 0000"}),
    Call("have a nonce made", "POST", "/v1/sign-in-nonces", lambda _: {}),
    Call("have a ticket to listen", "POST", "/v1/relationships/{rid}/live-tickets", lambda _: {}),
    Call("withdraw my consent", "DELETE", "/v1/me/consent"),
    Call("consent", "PUT", "/v1/me/consent", lambda _: {"version": CONSENT_VERSION, "adult": True}),
]
# Mailed, each under an allowance that whoever compares gives back.
STEP_UP_CODE = Call("have a code to step up mailed", "POST", "/v1/sessions/step-up-codes", lambda _: {})


def codes_for(address: Callable[[], str]) -> list[Call]:
    """Having a code mailed to an address: to move there, after a step-up, and to sign in."""
    return [
        Call("have a code to another address mailed", "POST", "/v1/me/email-codes", lambda _: {"email": address()}),
        Call("have a code mailed", "POST", "/v1/sign-in-codes", lambda _: {"email": address()}),
    ]


async def give_back_codes(service: Running) -> None:
    """Nobody has asked for a code."""
    await service.ask("DELETE FROM code_allowances")


# And what can be done once.
LEAVE = Call("leave", "POST", "/v1/relationships/{rid}/leave")
ERASE = Call("erase me", "DELETE", "/v1/me", prepare=Phone.step_up)


def tries(email: str, by_attempt: bool) -> list[Call]:
    """What somebody can try with an address alone: a wrong code, and to have one mailed. A code belongs to the address,
    or to an attempt that is known by its id."""
    named = {"attempt_id": str(uuid4()), "code": "00000000"} if by_attempt else {"email": email, "code": "000000"}
    return [
        Call("try a wrong code", "POST", "/v1/sessions", lambda _: {**named, "device_name": "a phone"}),
        Call("have a code mailed", "POST", "/v1/sign-in-codes", lambda _: {"email": email}),
    ]


async def reads(service: Running) -> list[Call]:
    """Every GET of the document, at one address."""
    document = inlined(json.loads((await ask(service.app, "GET", "/openapi.json", {})).body))
    found = {look.operation: look.address for look in looks(document, "timing", service.clock.time)}
    return [Call(operation, "GET", address) for operation, address in found.items()]


async def made(service: Running, phone: Phone, call: Call, prepared: Any = None) -> Answer:
    """The answer to a call of that phone's member."""
    headers, text = {"authorization": f"Bearer {phone.access_token}"}, b""
    if call.body is not None:
        headers["content-type"] = "application/json"
        text = json.dumps(call.body(prepared)).encode()
    address = call.address.replace("{rid}", phone.rid).replace("{new}", str(uuid4()))
    return await ask(service.app, call.method, address, headers, text)


async def prepared(phone: Phone, call: Call) -> Any:
    """What the call needs to be there."""
    return await call.prepare(phone) if call.prepare else None


async def keep_private(phone: Phone, count: int) -> None:
    """Record so many private check-ins."""
    entries = [{"id": str(uuid4()), "kind": "check_in", "check_in": FELT} for _ in range(count)]
    await phone.expect(200, "POST", "/v1/relationships/{rid}/sync", {"entries": entries})


async def seal_and_take_back(phone: Phone, **fields: Any) -> None:
    """Seal something, and take it back."""
    sealed = (await phone.put("check-ins", SEALED | fields))["event"]["id"]
    await phone.put("retractions", {"occurred_at": AT, "event_id": sealed})


async def quiet_no(phone: Phone, request: UUID | str) -> None:
    """Say no, and keep it."""
    await phone.put("decisions", {"occurred_at": AT, "request_id": str(request), "outcome": "no"})


class Seconds:
    """A clock of the keyring that goes on when it is told to: what is cached for a while has gone by then."""

    def __init__(self) -> None:
        self._now = 0.0

    def later(self) -> None:
        """Let everything that is cached expire."""
        self._now += KEY_CACHE_TTL_SECONDS + 1

    def monotonic(self) -> float:
        """The time."""
        return self._now


@asynccontextmanager
async def forgetting(database_url: str, workers: int = 1, **options: Any) -> AsyncIterator[tuple[Running, Seconds]]:
    """A service whose keyrings forget on demand."""
    seconds = Seconds()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyring, "time", SimpleNamespace(monotonic=seconds.monotonic))
        serving = several(database_url, workers, **options) if workers > 1 else running(database_url, **options)
        async with serving as service:
            yield service, seconds
