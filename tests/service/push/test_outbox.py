"""The outbox: leases, back-off, what is parked, what disables a device, and workers that are killed."""

import asyncio
import gc
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from service import worker
from service.push import apns
from service.push import outbox as sending
from service.push.notices import AppleDevice, Delivered, Notice, PushOutcome, Refused, RetryAfter, Unregistered
from tests.support.phones import Clock, Json, Phone, Running
from tests.support.prompting import NOTE, Remembering, after_events, context_of, happened, outbox, register, want, work
from tests.support.pushing import CLIENT_TLS, EC_KEY, PushService, Received, Reply


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


@pytest.fixture
async def one(service: Running) -> Phone:
    """One of a couple, with a device, whose prompt is due."""
    phone, _ = await service.couple()
    await register(service, phone, "aa")
    await want(service, phone, after_events(0))
    await happened(service, phone)
    return phone


@pytest.fixture
def sender(service: Running) -> Remembering:
    return Remembering(service.clock)


# Leases


async def test_what_is_claimed_is_claimed_by_nobody_else_until_the_lease_runs_out(
    service: Running, one: Phone, sender: Remembering
) -> None:
    sender.outcomes.append(RetryAfter(1))
    await work(service, sender)
    service.clock.advance(seconds=4)
    context = context_of(service)
    first, second = await asyncio.gather(*(sending.claim(context, 10) for _ in range(2)))
    assert len(first + second) == 1
    service.clock.advance(seconds=29)
    assert await sending.claim(context, 10) == []
    service.clock.advance(seconds=1)
    assert len(await sending.claim(context, 10)) == 1


async def test_who_lost_the_lease_notes_nothing(service: Running, one: Phone, sender: Remembering) -> None:
    context = context_of(service)
    sender.outcomes.append(RetryAfter(1))
    await work(service, sender)
    service.clock.advance(seconds=4)
    (slow,) = await sending.claim(context, 10)
    service.clock.advance(seconds=31)
    (quick,) = await sending.claim(context, 10)
    for outcome in (Delivered(), RetryAfter(5), Refused()):
        sender.outcomes.append(outcome)
        await sending.deliver(context, sender, slow)
    assert [row["lease"] for row in await outbox(service)] == [quick.lease]


# What becomes of a push


async def test_what_fails_is_tried_again_later_and_later_and_not_once_it_is_too_late(
    service: Running, one: Phone, sender: Remembering
) -> None:
    sender.outcomes.extend([RetryAfter(5)] * 1000)
    await work(service, sender)
    while waiting := await outbox(service):
        service.clock.time = waiting[0]["due_at"]
        await work(service, sender)
    pauses = [(b.at - a.at).total_seconds() for a, b in zip(sender.sent, sender.sent[1:], strict=False)]
    assert 10 < len(pauses) < 40
    assert max(pauses[:4]) <= 5 + 2**4
    assert 60 < max(pauses) <= 5 + sending.MAX_BACK_OFF_SECONDS
    assert sender.sent[-1].at - sender.sent[0].at < timedelta(hours=1)


async def test_what_failed_together_does_not_come_again_together(service: Running, sender: Remembering) -> None:
    one, _ = await service.couple()
    for n in range(12):
        await register(service, one, f"{n:02}")
    await want(service, one, after_events(0))
    await happened(service, one)
    sender.outcomes.extend([RetryAfter(60)] * 12)
    await work(service, sender)
    assert len({row["due_at"] for row in await outbox(service)}) == 12


async def test_what_is_refused_is_parked_and_counted(service: Running, one: Phone, sender: Remembering) -> None:
    sender.outcomes.append(Refused())
    await work(service, sender)
    service.clock.advance(minutes=20)
    await work(service, sender)
    assert sender.kinds().count("prompt") == 1
    counted = {one.kind: (one.waiting, one.parked) for one in await sending.waiting(context_of(service))}
    assert counted == {"prompt": (0, 1), "reminder": (0, 0), "withdraw": (0, 0), "accepted": (0, 0)}


async def test_what_is_parked_ends_when_its_time_is_over(service: Running, one: Phone, sender: Remembering) -> None:
    sender.outcomes.append(Refused())
    await work(service, sender)
    service.clock.time = (await outbox(service))[0]["send_before"]
    await work(service, sender)
    assert [row["class"] for row in await outbox(service) if row["parked"]] == []


async def test_what_is_parked_can_be_seen_and_cleared(service: Running, one: Phone, sender: Remembering) -> None:
    sender.outcomes.append(Refused(by_device=True))
    await work(service, sender)
    async with context_of(service).scheduler_db.acquire() as db:
        (parked,) = await sending.parked(db)
        assert (parked.kind, parked.provider, parked.failure) == ("prompt", "apns", "refused")
        assert await sending.clear_parked(db) == 1
    assert await outbox(service) == []


# A device whose pushes do not arrive


async def device_of(service: Running, phone: Phone) -> Json:
    """The one device, as its member sees it, however much time has passed."""
    fresh = await service.phone().sign_in(phone.email)
    (device,) = (await fresh.get("/v1/me/devices"))["devices"]
    return {name: device[name] for name in ("disabled", "failing_since", "failure")}


async def send_again(service: Running, sender: Remembering, outcome: PushOutcome) -> None:
    """Send the prompt once more, with that outcome."""
    await service.ask("DELETE FROM outbox")
    await service.ask(
        "UPDATE prompts SET state = 'scheduled', due_at = $1, send_before = $2, expires_at = $2",
        service.clock(),
        service.clock() + timedelta(hours=1),
    )
    sender.outcomes.append(outcome)
    await work(service, sender)


async def test_a_device_that_is_refused_for_days_is_shown_as_failing_then_disabled(
    service: Running, one: Phone, sender: Remembering
) -> None:
    began = service.clock().isoformat().replace("+00:00", "Z")
    await send_again(service, sender, Refused(by_device=True))
    shown = await device_of(service, one)
    assert shown["failure"].startswith("Its push service refuses our pushes")
    assert shown == {"disabled": False, "failing_since": began, "failure": shown["failure"]}
    service.clock.advance(days=2)
    await send_again(service, sender, Refused(by_device=True))
    assert await device_of(service, one) == shown
    service.clock.advance(days=1)
    await send_again(service, sender, Refused(by_device=True))
    assert await device_of(service, one) == shown | {"disabled": True}


async def test_a_device_whose_pushes_arrive_again_is_not_failing(
    service: Running, one: Phone, sender: Remembering
) -> None:
    await send_again(service, sender, Refused(by_device=True))
    await send_again(service, sender, Delivered())
    assert await device_of(service, one) == {"disabled": False, "failing_since": None, "failure": None}


async def test_what_the_operator_has_set_wrong_is_no_fault_of_the_device(
    service: Running, one: Phone, sender: Remembering
) -> None:
    for _ in range(2):
        await send_again(service, sender, Refused())
        service.clock.advance(days=4)
    assert await device_of(service, one) == {"disabled": False, "failing_since": None, "failure": None}


@pytest.mark.parametrize(
    ("outcome", "why"), [(Unregistered(), "no longer there"), (Unregistered("other_app"), "belongs to another app")]
)
async def test_a_device_that_is_gone_says_why(
    service: Running, one: Phone, sender: Remembering, outcome: PushOutcome, why: str
) -> None:
    await send_again(service, sender, outcome)
    shown = await device_of(service, one)
    assert shown["disabled"]
    assert why in shown["failure"]


async def test_a_mistake_in_one_row_holds_up_no_other_and_ends_parked(
    service: Running, one: Phone, sender: Remembering
) -> None:
    broken = await register(service, one, "bb")
    await service.ask("UPDATE devices SET address = '\\x00' WHERE device_id = $1", broken)
    for _ in range(20):
        await work(service, sender)
        service.clock.advance(minutes=1)
    assert len([push for push in sender.sent if push.kind == "prompt"]) == 1
    assert [row["parked"] for row in await outbox(service)] == [True]


async def test_an_exception_of_a_sender_is_told_without_its_words(
    service: Running, one: Phone, sender: Remembering, capsys: pytest.CaptureFixture[str]
) -> None:
    sender.outcomes.append(ValueError("c0ffee"))
    await work(service, sender)
    assert len(await outbox(service)) == 1
    said = "".join(capsys.readouterr())
    assert "push_failed" in said
    assert "c0ffee" not in said


async def test_only_an_unregistered_device_is_disabled(service: Running, one: Phone, sender: Remembering) -> None:
    gone = "SELECT count(*) FROM devices WHERE disabled_at IS NOT NULL"
    for outcome, disabled in ((RetryAfter(1), 0), (Refused(), 0), (Unregistered(), 1)):
        sender.outcomes.append(outcome)
        await service.ask("DELETE FROM outbox")
        await service.ask("UPDATE prompts SET state = 'scheduled'")
        await work(service, sender)
        assert (await service.ask(gone))[0][0] == disabled
    assert await outbox(service) == []


async def test_who_registers_anew_meanwhile_is_not_disabled(service: Running, one: Phone) -> None:
    class Late(Remembering):
        async def send(self, notice: Notice) -> Any:
            await service.ask("UPDATE devices SET registration = $1", uuid4())
            return await super().send(notice)

    sender = Late(service.clock)
    sender.outcomes.append(Unregistered())
    await work(service, sender)
    service.clock.advance(minutes=1)
    await work(service, sender)
    assert sender.kinds() == ["prompt"] * 2
    assert await outbox(service) == []


# Killed at any await


class Killed:
    """Cancels everything that it runs after so many steps, counted over all of its tasks."""

    def __init__(self) -> None:
        self.steps_left = 0
        self.victim: asyncio.Task[None] | None = None

    def start(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **named: Any) -> asyncio.Task[Any]:
        """A task factory."""
        task = asyncio.Task(self._counted(coroutine), loop=loop, **named)
        # One that is cancelled before its first step has not begun what it was to run.
        task.add_done_callback(lambda _: coroutine.close())
        return task

    async def _counted(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return await _Counted(coroutine, self.step)

    def step(self) -> None:
        self.steps_left -= 1
        if self.steps_left == 0 and self.victim:
            self.victim.cancel()

    async def kill(self, work: Callable[[], Coroutine[Any, Any, None]], steps: int) -> bool:
        """Run it until so many steps were taken; whether it ended before."""
        loop, self.victim = asyncio.get_running_loop(), None
        loop.set_task_factory(self.start)
        try:
            self.steps_left, self.victim = steps, asyncio.create_task(work())
            await asyncio.wait([self.victim])
            return not self.victim.cancelled()
        finally:
            loop.set_task_factory(None)


class _Counted:
    """An awaitable that tells of each of its steps."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], step: Callable[[], None]) -> None:
        self._coroutine, self._step = coroutine, step

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._coroutine.__await__()
        go_on: Callable[[Any], Any] = inner.send
        given: Any = None
        while True:
            try:
                waited = go_on(given)
            except StopIteration as done:
                return done.value
            self._step()
            try:
                go_on, given = inner.send, (yield waited)
            except BaseException as error:
                go_on, given = inner.throw, error


@pytest.fixture
async def apple() -> AsyncIterator[PushService]:
    async with PushService().open("localhost") as opened:
        yield opened


class Line:
    """A provider without a network: what it takes has come, though who sent it may never hear of that."""

    def __init__(self, apple: PushService) -> None:
        self._apple = apple

    async def send(self, notice: Notice) -> PushOutcome:
        """Take a push after some steps, and answer after some more."""
        assert isinstance(notice.device, AppleDevice)
        for _ in range(3):
            await asyncio.sleep(0)
        reply = self._apple.reply_to(
            Received(f"/3/device/{notice.device.token}", {"apns-collapse-id": "check-in"}, b"")
        )
        for _ in range(3):
            await asyncio.sleep(0)
        return Delivered() if reply.status == 200 else RetryAfter(5)

    async def close(self) -> None:
        """There is nothing to hang up."""


def through(apple: PushService, clock: Clock) -> apns.ApnsSender:
    return apns.ApnsSender(apns.ApnsKey(EC_KEY, "k", "t", "a.b"), apple.url, apple.url, clock, CLIENT_TLS)


def shown(apple: PushService) -> Counter[tuple[str, str]]:
    """What came since this was asked last, by what stands on a screen: one of each device and collapse id."""
    came = Counter((request.path, request.headers["apns-collapse-id"]) for request in apple.received)
    apple.received.clear()
    return came


KILLS = [
    pytest.param(200, 120, lambda apple, clock: Line(apple), id="200"),
    pytest.param(1000, 120, lambda apple, clock: Line(apple), id="1,000", marks=pytest.mark.soak),
    pytest.param(1000, 400, through, id="1,000 over HTTP/2", marks=pytest.mark.soak),
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a killed handshake closes nothing
@pytest.mark.parametrize(("kills", "steps", "line"), KILLS)
async def test_a_worker_that_is_killed_anywhere_loses_nothing_and_shows_nothing_twice(
    service: Running,
    apple: PushService,
    kills: int,
    steps: int,
    line: Callable[[PushService, Clock], Any],
    record_property: Callable[[str, object], None],
) -> None:
    chance, killed = random.Random(kills), Killed()
    context, db = context_of(service), await asyncpg.connect(service.database_url)
    one, _ = await service.couple()
    for token in ("aa", "bb", "cc"):
        await register(service, one, token)
    await want(service, one, after_events(0))
    done = prompts = again = 0
    while done < kills:
        prompts += 1
        await db.execute("DELETE FROM prompts")
        await db.execute(NOTE, UUID(one.rid), uuid4(), service.clock())
        apple.replies.extend([Reply(503)] if chance.random() < 0.2 else [])
        # Killed again and again, until nothing is left to do.
        while await db.fetchval(LEFT):
            # Connections die with who has them.
            sender = line(apple, service.clock)
            done += not await killed.kill(lambda: worker.work(context, sender), chance.randint(1, steps))  # noqa: B023
            await sender.close()
            service.clock.advance(seconds=31)
        came = shown(apple)
        assert len(came) == 3
        again += came.total() - 3
        assert await db.fetchval("SELECT string_agg(state, ' ') FROM prompts") == "sent"
    await db.close()
    gc.collect()
    record_property(
        "measured", f"{done:,} kills of a worker: {prompts * 3:,} pushes, none lost, {again} handed over twice"
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_what_is_broken_off_again_and_again_is_delivered_by_the_same_sender_and_never_parked(
    service: Running, one: Phone, apple: PushService
) -> None:
    chance, killed, sender = random.Random(1), Killed(), through(apple, service.clock)
    for _ in range(12):
        await service.ask("DELETE FROM prompts")
        await happened(service, one)
        while (await service.ask(LEFT))[0][0]:
            await killed.kill(lambda: worker.work(context_of(service), sender), chance.randint(1, 400))
            service.clock.advance(seconds=31)
        assert len(shown(apple)) == 1
        assert await outbox(service) == []
    await sender.close()
    gc.collect()


LEFT = """
SELECT EXISTS (SELECT FROM outbox WHERE NOT parked)
    OR EXISTS (SELECT FROM occasions)
    OR EXISTS (SELECT FROM prompts WHERE state = 'scheduled')
"""
