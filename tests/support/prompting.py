"""What the tests of prompts share: a sender that remembers, devices, schedules, and a worker that goes step by step."""

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec

from service import worker
from service.context import Context
from service.prompts.catalogue import QuestionId
from service.prompts.ciphertexts import decrypt_questions, encrypt_schedule
from service.prompts.schedule import AfterEvents, Quiet, Schedule, ScheduledCheckIn
from service.push.notices import (
    AppleDevice,
    Delivered,
    DeviceAddress,
    FirebaseDevice,
    Notice,
    PushClass,
    PushOutcome,
    Sender,
)
from tests.support.phones import Clock, Phone, Running
from tests.support.planned import NO_QUIET

LONG_AGO = timedelta(days=30)
ALWAYS = AfterEvents(enabled=True)


class Sent(msgspec.Struct, frozen=True):
    """A push that was handed over."""

    at: datetime
    to: str
    kind: PushClass


class Remembering:
    """A sender that takes everything, or does as it was told beforehand, once each."""

    def __init__(self, clock: Clock) -> None:
        self.sent: list[Sent] = []
        self.outcomes: deque[PushOutcome | Exception] = deque()
        self._clock = clock

    async def send(self, notice: Notice) -> PushOutcome:
        """Take a push."""
        assert isinstance(notice.device, AppleDevice | FirebaseDevice)
        self.sent.append(Sent(self._clock(), notice.device.token, notice.kind))
        outcome = self.outcomes.popleft() if self.outcomes else Delivered()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def kinds(self) -> list[str]:
        """The classes of all pushes, in order."""
        return [str(one.kind) for one in self.sent]


def context_of(service: Running) -> Context:
    """What the worker works with."""
    context: Context = service.app.state.context
    return context


async def work(service: Running, sender: Sender) -> None:
    """All that is due at this moment."""
    await worker.work(context_of(service), sender)


async def work_until(service: Running, sender: Sender, until: datetime, every: timedelta) -> None:
    """Let time pass step by step, with a worker that looks at each."""
    while service.clock.time < until:
        service.clock.time += every
        await work(service, sender)


async def refreshed(phone: Phone) -> Phone:
    """The phone after a while, with new tokens."""
    answer = await phone.expect(200, "POST", "/v1/sessions/refresh", {"refresh_token": phone.refresh_token})
    phone.access_token, phone.refresh_token = answer["access_token"], answer["refresh_token"]
    return phone


REGISTER = """
INSERT INTO devices (
    member_id, device_id, session_id, platform, provider, address, address_hash, registration, registered_at
)
SELECT member_id, $2, session_id, 'ios', $3, $4, $5, $6, created_at
FROM sessions
WHERE member_id = $1
"""


async def register(service: Running, phone: Phone, address: str = "c0ffee", provider: str = "apns") -> UUID:
    """A device of the member's session."""
    device: DeviceAddress = AppleDevice(address) if provider == "apns" else FirebaseDevice(address)
    told = msgspec.json.encode(device).decode()
    member, device_id = UUID(phone.member_id), uuid4()
    sealed = await context_of(service).keys.encrypt_for(member, "push_address", told)
    await service.ask(REGISTER, member, device_id, provider, sealed, device_id.bytes, uuid4())
    return device_id


WANT = """
INSERT INTO schedules (member_id, schedule, seed, since, plan_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (member_id) DO UPDATE
SET schedule = excluded.schedule, since = excluded.since, plan_at = excluded.plan_at
"""


async def want(service: Running, phone: Phone, schedule: Schedule, seed: bytes | None = None) -> None:
    """The member wants to be asked like that, from a long time ago."""
    member, now = UUID(phone.member_id), service.clock()
    told = await encrypt_schedule(context_of(service).keys, member, schedule)
    seed = seed or member.bytes * 2
    await service.ask(WANT, member, told, seed, now - LONG_AGO, now)


def evenings(phone: Phone, from_: str = "20:00", to: str = "22:00", questions: Iterable[Any] = ("close",)) -> Schedule:
    """Every day in one window."""
    item = ScheduledCheckIn(
        uuid4(), UUID(phone.rid), ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], from_, to, list(questions)
    )
    return Schedule(check_ins=[item], quiet=Quiet("22:00", "08:00"))


def after_events(delay_minutes: int = 240, **said: Any) -> Schedule:
    """After every shared event."""
    return Schedule(after_events=AfterEvents(True, delay_minutes), **({"quiet": NO_QUIET} | said))


NOTE = "INSERT INTO occasions (relationship_id, event_id, recorded_at) VALUES ($1, $2, $3)"


async def happened(service: Running, phone: Phone, event_id: UUID | None = None) -> UUID:
    """A shared event that prompts may follow."""
    event_id = event_id or uuid4()
    await service.ask(NOTE, UUID(phone.rid), event_id, service.clock())
    return event_id


PROMPTS = """
SELECT *
FROM prompts
WHERE member_id = $1
ORDER BY due_at
"""


async def prompts_of(service: Running, phone: Phone) -> list[asyncpg.Record]:
    """All prompts of a member, in the order in which they are due."""
    return await service.ask(PROMPTS, UUID(phone.member_id))


async def questions_of(service: Running, phone: Phone) -> list[list[QuestionId]]:
    """What each of them asks."""
    keys, member = context_of(service).keys, UUID(phone.member_id)
    return [await decrypt_questions(keys, member, row["questions"]) for row in await prompts_of(service, phone)]


async def outbox(service: Running) -> list[asyncpg.Record]:
    """What is on its way."""
    return await service.ask("SELECT * FROM outbox ORDER BY due_at, class")
