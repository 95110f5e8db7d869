"""Two worlds that differ only in what one member does in private, and what the other is answered in each.

Time stands still but where a script lets it pass, and chance is keyed by what it is asked for, so that whatever is
equal in both worlds has equal ids, tokens and links.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
from litestar.exceptions import LitestarException
from msgspec import Struct, field

from service import worker
from service.access.consent import CONSENT_VERSION
from service.app import App, AppState
from service.push import payloads
from service.push.notices import Delivered, FirebaseDevice, Notice, PushOutcome
from service.reading.live import LivePace
from tests.noninterference.scripts import Json, Person, Script, Step
from tests.support.contract import inlined
from tests.support.hanging_up import until_told
from tests.support.phones import Clock, Phone, Running, running
from tests.support.turns import Way, Workers, asking, several

PEOPLE: tuple[Person, ...] = ("reader", "other", "stranger")
NOWHERE = str(UUID(int=0))
UNNAMED = {"version": CONSENT_VERSION, "rid": NOWHERE, "own": NOWHERE, "code": ""}  # before a script has begun
HUNG_UP = 599  # the answer broke off


class Answer(Struct, frozen=True):
    """What came back, to the byte."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def header(self, name: bytes) -> str | None:
        """The value of a header."""
        return next((value.decode() for given, value in self.headers if given.lower() == name), None)


# What was asked, and what was answered.
Seen: TypeAlias = list[tuple[str, Answer]]


class KeyedChance:
    """Random bytes that depend on nothing but the script, the purpose, and how often that was asked for.

    What happens in private draws from a lane of its own: how often it draws must not move what others get. Nor must how
    many attempts an event took, which draw for it anew: it has the same opening in each.
    """

    def __init__(self) -> None:
        self.hidden = False
        self._script = ""
        self._asked: Counter[tuple[bool, str]] = Counter()

    def begin(self, script: str) -> None:
        """Whatever the last script drew, both worlds draw the same from here."""
        self._script = script
        self._asked.clear()

    def __call__(self, size: int, purpose: str, /, *of: object) -> bytes:
        purpose = " ".join(map(str, (purpose, *of)))
        self._asked[self.hidden, purpose] += 1
        times = 1 if purpose.startswith("opening and nonce") else self._asked[self.hidden, purpose]
        key = f"{self._script} {self.hidden} {times} {purpose}"
        return hashlib.shake_256(key.encode()).digest(size)


class World(Struct, kw_only=True):
    """One of the two: a service on a database of its own, and three people who begin anew with each script."""

    number: int
    service: Running
    clock: Clock
    chance: KeyedChance
    superuser: "asyncpg.Connection[asyncpg.Record]"
    document: Json
    phones: dict[Person, Phone] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=lambda: dict(UNNAMED))  # {rid}, {code}, {own}, {version}
    tags: dict[str, str] = field(default_factory=dict)  # the ETag that the reader has of an address
    memory: dict[Any, Any] = field(default_factory=dict)  # what a planted leak remembers

    async def people(self, seed: str) -> None:
        """Three new members, the same in both worlds."""
        playing[:] = [self]
        self.chance.begin(seed)
        for who in PEOPLE:
            phone = self.service.phone()
            self.phones[who] = await phone.sign_in(f"{who}-{seed}@example.org")
            await phone.consent()

    async def ask(self, who: Person, method: str, path: str, body: Json | None = None, **headers: str) -> Answer:
        """One call of one of the three."""
        sent = {"authorization": f"Bearer {self.phones[who].access_token}", **headers}
        text = b""
        if body is not None:
            sent["content-type"] = "application/json"
            text = self.named(json.dumps(body)).replace("{me}", who).encode()
        asking.set(who)
        return await ask(self.service.app, method, self.named(path), sent, text)

    def states(self) -> list[AppState]:
        """What each of its workers keeps."""
        app: Any = self.service.app
        return [one.state for one in app.apps] if isinstance(app, Workers) else [app.state]

    def named(self, text: str) -> str:
        """The text with what this world's ids and codes are."""
        for name, value in self.names.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    async def log(self) -> bytes:
        """All that is kept of the relationship: in both worlds the same is shared."""
        kept = "SELECT string_agg(link, '' ORDER BY link) FROM events WHERE relationship_id = $1::text::uuid"
        return await self.superuser.fetchval(kept, self.names["rid"]) or b""


@asynccontextmanager
async def world(number: int, database_url: str, workers: int = 1, way: Way = "by turns") -> AsyncIterator[World]:
    """A world, with nobody in it yet; `way` says which of its workers answers."""
    chance, clock = KeyedChance(), Clock()
    superuser = await asyncpg.connect(database_url)
    try:
        # Who listens is polled for only when a test says so.
        pace = LivePace(poll_seconds=1000)
        options: Any = {"random_bytes": chance, "now": clock, "live_pace": pace}
        serving = several(database_url, workers, way, **options) if workers > 1 else running(database_url, **options)
        async with serving as service:
            document = inlined(json.loads((await ask(service.app, "GET", "/openapi.json", {})).body))
            yield World(
                number=number, service=service, clock=clock, chance=chance, superuser=superuser, document=document
            )
    finally:
        await superuser.close()


async def ask(app: App, method: str, address: str, headers: dict[str, str], body: bytes = b"") -> Answer:
    """One request, given to the application as a server would give it: a client of ours would only cost time."""
    path, _, query = address.partition("?")
    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "server": ("mutuality.test", 80),
        "client": ("127.0.0.1", 1),
    }
    waiting = [{"type": "http.request", "body": body, "more_body": False}]
    answered = asyncio.Event()
    told: list[Any] = []

    async def receive() -> Any:
        if not waiting:
            await answered.wait()
            return {"type": "http.disconnect"}
        return waiting.pop()

    async def send(message: Any) -> None:
        told.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            answered.set()

    with suppress(LitestarException):  # which follows what cannot be answered any more: the server hangs up
        await until_told(app)(scope, receive, send)
    status = told[0]["status"] if answered.is_set() else HUNG_UP
    content = b"".join(message.get("body", b"") for message in told[1:])
    return Answer(status, tuple((name, value) for name, value in told[0]["headers"]), content)


# The world in which a script is being played: what a planted leak looks around in.
playing: list[World] = []


async def play(world: World, script: Script, seed: str) -> Seen:
    """What the reader and the stranger are answered while the script is played in that world."""
    playing[:] = [world]
    world.chance.begin(seed)
    world.names = dict(UNNAMED)
    world.tags.clear()
    world.memory.clear()
    seen: Seen = []
    for step in script:
        if world.number in step.worlds:
            await _take(world, step, seen)
    return seen


async def _take(world: World, step: Step, seen: Seen) -> None:
    world.chance.hidden = step.hidden
    try:
        if step.method == "pass time":
            await _pass_time(world, step.minutes, seen)
        elif step.method == "sign in":
            await world.service.phone().sign_in(world.phones[step.who].email, "another phone")
        else:
            await _call(world, step, seen)
    finally:
        world.chance.hidden = False


class Pushes:
    """A sender that notes what reaches whom, and when: devices are named after their owners.

    What goes out at the same moment goes out side by side, in an order that the network decides again.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._sent: list[tuple[str, bytes]] = []

    async def send(self, notice: Notice) -> PushOutcome:
        """Take a push."""
        assert isinstance(notice.device, FirebaseDevice)
        who = notice.device.token.split()[0]
        if who != "other":
            what = f"{self._world.clock.time} {notice.device.token}".encode() + payloads.FCM[notice.kind]
            self._sent.append((who, what))
        return Delivered()

    def taken(self) -> Seen:
        """What was sent since the last time, sorted."""
        sent, self._sent = sorted(self._sent), []
        return [(f"{who} pushes", Answer(200, (), what)) for who, what in sent]


# The worker looks every hour while prompts can be due, and then once more.
LOOKS = [timedelta(hours=1)] * 4


async def _pass_time(world: World, minutes: int, seen: Seen) -> None:
    end, pushes = world.clock.time + timedelta(minutes=minutes), Pushes(world)
    for look in [*LOOKS, timedelta(minutes=minutes)]:
        if world.clock.time < end:
            world.clock.time = min(world.clock.time + look, end)
            await worker.work(world.service.app.state.context, pushes)
            seen += pushes.taken()
    for who in PEOPLE:
        phone = world.phones[who]
        answer = await world.ask(who, "POST", "/v1/sessions/refresh", {"refresh_token": phone.refresh_token})
        phone.access_token, phone.refresh_token = (
            json.loads(answer.body)[name] for name in ("access_token", "refresh_token")
        )
        if who != "other":
            seen.append((f"{who} refreshes", answer))


async def _call(world: World, step: Step, seen: Seen) -> None:
    answer = await world.ask(step.who, step.method, step.path, step.said(world.number))
    _learn(world, step, answer)
    if step.who != "other":
        seen.append((f"{step.who} {step.method} {step.path}", answer))


def _learn(world: World, step: Step, answer: Answer) -> None:
    """What a phone would remember of an answer."""
    if answer.status == 201 and step.path == "/v1/relationships":
        world.names["own" if step.hidden else "rid"] = json.loads(answer.body)["id"]
    elif answer.status == 201 and step.path.endswith("/invites"):
        world.names["code"] = json.loads(answer.body)["code"]
    elif step.who == "reader" and step.method == "GET" and (tag := answer.header(b"etag")):
        world.tags[step.path] = tag
