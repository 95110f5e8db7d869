"""R8 over thousands of lives: whatever two members plan, share, keep, answer or let pass, a push says the same.

A history is lived through the pure rules that decide who is asked and when; its pushes then go through the sending of
the outbox and the real senders. Only below these, where a connection would be, everything is written down instead. A
body for a browser is looked at before it is sealed, for sealed it never is the same twice.
"""

import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import msgspec
import pytest
from msgspec import Struct

from events.entries import Audience, CheckIn, Decision, Fact, Request
from events.rules import Recorded, is_occasion
from service.core.networks import networks
from service.prompts import lifecycle
from service.prompts.lifecycle import PromptLife
from service.prompts.planning import AskedBefore, SharedEvent, Whereabouts, after_event, plan_day
from service.prompts.schedule import AfterEvents, Quiet, Schedule
from service.push import exchange, outbox, payloads, webpush
from service.push.apns import ApnsKey, ApnsSender
from service.push.fcm import FcmAccount, FcmSender
from service.push.notices import AppleDevice, Delivered, DeviceAddress, FirebaseDevice, PushClass
from service.push.senders import Senders
from service.push.webpush import VapidKey, WebPushSender
from tests.service.push.test_webpush import BROWSER
from tests.support.phones import Running
from tests.support.planned import item
from tests.support.prompting import context_of
from tests.support.pushing import EC_KEY
from tests.support.vouching import RSA_KEY

HISTORIES = 10_000
ZONES = [ZoneInfo(name) for name in ("Europe/Berlin", "America/St_Johns", "Pacific/Kiritimati", "UTC")]
HOURS = [f"{hour:02}:30" for hour in range(24)]
QUIET = [Quiet(), Quiet("00:00", "00:00"), Quiet("23:00", "06:30")]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ME, PARTNER, SECONDS_A_YEAR = UUID(int=1), UUID(int=2), 365 * 24 * 3600

# --- Histories


class Moment(Struct, frozen=True):
    """A push of some class is due; about which prompt, no provider may learn."""

    at: datetime
    kind: PushClass
    prompt_id: UUID


def lived(chance: random.Random) -> Iterator[Moment]:
    """The pushes of one member, from a day of two lives."""
    zone, day = chance.choice(ZONES), date(2026, 1, 1) + timedelta(days=chance.randrange(365))
    schedule, place = some_schedule(chance), Whereabouts(zone, BEGIN - timedelta(days=30))
    seed, asked = chance.randbytes(32), list[AskedBefore]()
    for found in plan_day(schedule, place, day, seed, asked):
        asked += [AskedBefore(found.item_id, found.day, found.at, found.on)] if found.at and found.on else []
    for event in (some_event(chance, day) for _ in range(chance.randrange(4))):
        if is_occasion(event) and schedule.after_events.enabled:
            shared = SharedEvent(event.event_id, event.recorded_at, ME, PARTNER)
            found = after_event(shared, schedule, place, seed, asked)
            asked += [AskedBefore(found.item_id, found.day, found.at, found.on)] if found.at and found.on else []
    for one in asked:
        yield from asked_for(chance, one.at, schedule, zone)


def some_schedule(chance: random.Random) -> Schedule:
    windows = [chance.sample(HOURS, 2) for _ in range(chance.randrange(3))]
    items = [item(from_, to, number) for number, (from_, to) in enumerate(windows)]
    after = AfterEvents(chance.random() < 0.7, chance.choice([0, 60, 240]))
    return Schedule(check_ins=items, after_events=after, quiet=chance.choice(QUIET), max_per_day=chance.randrange(3))


def some_event(chance: random.Random, day: date) -> Recorded:
    """Something that either of the two tells, shared or not."""
    at = datetime(day.year, day.month, day.day, chance.randrange(24), tzinfo=UTC)
    occurred = at - timedelta(days=chance.choice([0, 0, 0, 5]))
    facts: list[Fact] = [
        CheckIn(occurred_at=occurred, note="x", prompt_id=chance.choice([None, UUID(int=9)])),
        Request(occurred_at=occurred, domain="home", text="x"),
        Decision(occurred_at=occurred, domain="home", decided_by="me"),
    ]
    audience: Audience = "shared" if chance.random() < 0.5 else "private"
    author = chance.choice([ME, PARTNER])
    return Recorded(audience, 1, UUID(int=chance.getrandbits(128)), author, at, chance.choice(facts))


def asked_for(chance: random.Random, due_at: datetime, schedule: Schedule, zone: ZoneInfo) -> Iterator[Moment]:
    """The life of one prompt, until the member does something about it, or nothing."""
    prompt_id = UUID(int=chance.getrandbits(128))
    life = lifecycle.sent(lifecycle.scheduled(due_at), due_at)
    yield Moment(due_at, PushClass.PROMPT, prompt_id)
    remind_at = lifecycle.reminder_due_at(life, schedule.quiet, zone)
    if remind_at and chance.random() < 0.5:
        life = lifecycle.reminded(life, remind_at)
        yield Moment(remind_at, PushClass.REMINDER, prompt_id)
    at = due_at + timedelta(hours=chance.randrange(2, 15))
    does: list[Callable[[PromptLife, datetime], PromptLife]] = [
        lifecycle.answered,
        lambda prompt, _: lifecycle.dismissed(prompt),
        lifecycle.lapsed,
    ]
    after = chance.choice(does)(lifecycle.lapsed(life, at), at)
    if lifecycle.withdraws(life, after) and after.state != "lapsed":
        yield Moment(at, PushClass.WITHDRAW, prompt_id)


# --- What is pushed


class Taken:
    """The answer to everything."""

    status_code = status = 200
    headers = httpx.Headers()

    async def aiter_bytes(self, size: int = 0) -> AsyncIterator[bytes]:
        """Nothing."""
        for nothing in list[bytes]():
            yield nothing

    aiter_stream = aiter_bytes


class Wire:
    """Where the connections to all three providers would be."""

    def __init__(self) -> None:
        self.carried: list[tuple[dict[str, str], bytes]] = []

    @asynccontextmanager
    async def stream(self, method: str, url: Any, *, headers: Any, content: bytes, **_: Any) -> AsyncIterator[Taken]:
        """Write a request down."""
        self.carried.append((dict(headers), content))
        yield Taken()

    async def aclose(self) -> None:
        """There is nothing to hang up."""


class Devices(Struct, frozen=True):
    """Some of each provider, as rows of the database have them."""

    member_id: UUID
    rows: list[tuple[str, bytes]]


async def registered(service: Running) -> Devices:
    one = await service.member()
    known: list[tuple[str, DeviceAddress]] = []
    for n in range(5):
        known.append(("apns", AppleDevice(f"{n:064x}", "sandbox" if n % 2 else "production")))
        known.append(("fcm", FirebaseDevice(f"{n:064x}")))
        known.append(("webpush", BROWSER.subscribed(f"https://push.example.org/{n:064x}")))
    encrypt = context_of(service).keys.encrypt_for
    member = UUID(one.member_id)
    told = [(name, await encrypt(member, "push_address", msgspec.json.encode(one).decode())) for name, one in known]
    return Devices(member, told)


def senders_on(wire: Wire, service: Running) -> Senders:
    pool = exchange.ReplaceablePool(lambda: wire, 5.0, ())
    apple = ApnsSender(ApnsKey(EC_KEY, "k", "t", "a.b"), "https://a", "https://b", service.clock)
    firebase = FcmSender(FcmAccount("p", "a@example.org", "https://c", "k", RSA_KEY), "https://d", service.clock)
    browsers = WebPushSender(VapidKey(EC_KEY, "mailto:a@example.org"), service.clock, None, networks("127.0.0.0/8"))
    for sender in (apple, firebase, browsers):
        sender._pool = pool  # type: ignore[assignment]
    firebase._token, firebase._renew_at = "a token", service.clock() + timedelta(days=10_000)
    return Senders(apple, firebase, browsers)


def unsealed(text: bytes, browser: object, secret: object, ours: object, salt: object, padded_to: int) -> bytes:
    """In place of a body for one browser: what is in it, and how long it is."""
    return b"%d:%s" % (padded_to, text)


def payload(provider: str, headers: dict[str, str], content: bytes, at: datetime) -> tuple[Any, ...]:
    """All that could tell of a history: not who sends, not the device, and a life instead of an end."""
    ours = {name: text for name, text in headers.items() if name != "authorization"}
    if provider == "apns":
        ours["apns-expiration"] = str(int(ours["apns-expiration"]) - int(at.timestamp()))
    if provider == "fcm":
        message = msgspec.json.decode(content)["message"]
        assert len(message.pop("token")) == 64
        content = msgspec.json.encode(message) + b"%d" % len(content)
    return tuple(sorted(ours.items())), content


Found = dict[tuple[str, PushClass], Counter[tuple[Any, ...]]]


async def pushed(service: Running, histories: int, patch: pytest.MonkeyPatch) -> Found:
    """How often each payload was sent, by provider and class."""
    patch.setattr(webpush, "encrypt", unsealed)
    chance, context, wire, devices = random.Random(8), context_of(service), Wire(), await registered(service)
    sender, found = senders_on(wire, service), defaultdict[tuple[str, PushClass], Counter[tuple[Any, ...]]](Counter)
    for moment in (one for _ in range(histories) for one in lived(chance)):
        service.clock.time = moment.at
        for provider, address in chance.sample(devices.rows, chance.choice([0, 1, 1, 2])):
            row = push_of(devices.member_id, moment, provider, address, chance)
            assert await outbox.send(context, sender, row) == Delivered()
            found[provider, moment.kind][payload(provider, *wire.carried.pop(), moment.at)] += 1
    return found


def push_of(member_id: UUID, moment: Moment, provider: str, address: bytes, chance: random.Random) -> outbox.Push:
    ids = [UUID(int=chance.getrandbits(128)) for _ in range(3)]
    ends, attempts = moment.at + timedelta(minutes=chance.randrange(60)), chance.randrange(1, 9)
    return outbox.Push(
        member_id, moment.prompt_id, ids[0], moment.kind, ends, attempts, ids[1], provider, address, ids[2], False, True
    )


async def test_ten_thousand_histories_have_one_payload_per_class_and_provider(
    service: Running, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    found = await pushed(service, HISTORIES, monkeypatch)
    assert {key: len(payloads) for key, payloads in found.items()} == dict.fromkeys(found, 1)
    assert len(found) == 9
    sent = {key: counted.total() for key, counted in found.items()}
    assert min(sent.values()) > 300
    total = sum(sent.values())
    record_property("measured", f"{HISTORIES:,} histories: {total:,} pushes, one payload per class and provider")


# --- Leaks, planted


def badge_that_counts(patch: pytest.MonkeyPatch) -> None:
    class Counting(dict[PushClass, bytes]):
        sent = 0

        def __getitem__(self, kind: PushClass) -> bytes:
            self.sent += 1
            return super().__getitem__(kind).replace(b'"badge":1', b'"badge":%d' % self.sent)

    patch.setattr(payloads, "APNS", Counting(payloads.APNS))


def prompt_in_the_body(patch: pytest.MonkeyPatch) -> None:
    class Naming(dict[PushClass, bytes]):
        prompt_id: UUID

        def __getitem__(self, kind: PushClass) -> bytes:
            return super().__getitem__(kind).replace(b'"}', b'","prompt":"%s"}' % str(self.prompt_id).encode())

    async def remembered(context: Any, sender: Any, push: outbox.Push) -> Any:
        for table in tables:
            table.prompt_id = push.prompt_id
        return await sent(context, sender, push)

    sent, tables = outbox.send, [Naming(payloads.FCM), Naming(payloads.WEB_PUSH)]
    patch.setattr(outbox, "send", remembered)
    patch.setattr(payloads, "FCM", tables[0])
    patch.setattr(payloads, "WEB_PUSH", tables[1])


def expiry_of_the_prompt(patch: pytest.MonkeyPatch) -> None:
    class Left(dict[PushClass, int]):
        def __getitem__(self, kind: PushClass) -> int:
            return super().__getitem__(kind) + next(odd)

    odd = iter(range(10**6))
    patch.setattr(payloads, "TTL_SECONDS", Left(payloads.TTL_SECONDS))


@pytest.mark.parametrize("leak", [badge_that_counts, prompt_in_the_body, expiry_of_the_prompt])
async def test_a_payload_that_tells_is_found(
    service: Running, monkeypatch: pytest.MonkeyPatch, leak: Callable[[pytest.MonkeyPatch], None]
) -> None:
    leak(monkeypatch)
    found = await pushed(service, 100, monkeypatch)
    assert max(len(payloads) for payloads in found.values()) > 1
