"""What the tests hold in their hands: a running service, a post box, a clock, and phones that talk to it over HTTP."""

import asyncio
import email
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from aiosmtpd.smtp import SMTP, Envelope, Session

from events.encryption import RelationshipKeys
from service.app import App, create_app
from service.context import Context
from service.core.mail import SmtpMailer
from service.keys.key_store import FileKeyStore
from service.settings import Settings
from tests.support.hanging_up import until_told

NOON = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
Json = dict[str, Any]
_KEYS_DIR = TemporaryDirectory(prefix="mutuality-keys-")
KEYS = FileKeyStore(Path(_KEYS_DIR.name))  # one for the whole run: what one service sealed another can open


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now: datetime = NOON) -> None:
        self.time = now

    def __call__(self) -> datetime:
        return self.time

    def advance(self, **by: float) -> None:
        """Let time pass: advance(minutes=5)."""
        self.time += timedelta(**by)


class PostBox:
    """A mail server on loopback that keeps what it is given, by recipient."""

    def __init__(self) -> None:
        self._mails: dict[str, list[Message]] = {}
        self._notices: dict[str, list[Message]] = {}
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["PostBox"]:
        """Listen on a free port."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(self, loop=loop), "127.0.0.1", 0)
        async with server:
            self.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Called by aiosmtpd for each mail."""
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content)
        box = self._mails if "code" in str(message["Subject"]).lower() else self._notices
        for recipient in envelope.rcpt_tos:
            box.setdefault(recipient, []).append(message)
        return "250 OK"

    async def next_mail(self, to: str) -> Message:
        """The oldest mail with a code to that address that was not taken yet; waits up to 5 seconds for one."""
        return await self._next(self._mails, to)

    async def next_notice(self, to: str) -> Message:
        """The same for a mail that tells of something."""
        return await self._next(self._notices, to)

    async def _next(self, box: dict[str, list[Message]], to: str) -> Message:
        for _ in range(500):
            if box.get(to):
                return box[to].pop(0)
            await asyncio.sleep(0.01)
        raise AssertionError("no mail came")

    def unread(self) -> int:
        """How many mails were taken by nobody."""
        return sum(len(mails) for box in (self._mails, self._notices) for mails in box.values())


def headers_of(answer: httpx.Response) -> list[tuple[str, str]]:
    """The headers of an answer, but for the id that is each answer's own."""
    return [(name, value) for name, value in answer.headers.multi_items() if name != "x-request-id"]


class Phone:
    """One device: a client that may be signed in."""

    def __init__(self, client: httpx.AsyncClient, post: PostBox) -> None:
        self.http = client
        self._post = post
        self.email = ""
        self.member_id = ""
        self.access_token = ""
        self.refresh_token = ""
        self.device_secret = ""
        self.rid = ""
        self.author = ""

    async def sign_in(self, address: str | None = None, device_name: str = "a phone") -> "Phone":
        """Sign in with a mailed code; without an address, with one that nobody else has."""
        self.email = address or f"{uuid4().hex}@example.org"
        attempt = await self.expect(202, "POST", "/v1/sign-in-codes", {"email": self.email})
        body = {**attempt, "code": await self.mailed_code(), "device_name": device_name}
        return self.take(await self.expect(201, "POST", "/v1/sessions", body))

    def take(self, signed_in: Json) -> "Phone":
        """Remember what a sign-in has brought."""
        self.member_id, self.device_secret = signed_in["member_id"], signed_in["device_secret"]
        self.access_token, self.refresh_token = signed_in["access_token"], signed_in["refresh_token"]
        return self

    async def mailed_code(self, address: str | None = None) -> str:
        """The code in the next mail to that address, or to this phone's."""
        mail = await self._post.next_mail(address or self.email)
        found = re.search(r"\b\d{4} \d{4}\b", str(mail.get_payload()))
        assert found
        return found.group()

    async def session(self) -> UUID:
        """The id of the session that it is signed in by."""
        (current,) = [one for one in (await self.get("/v1/sessions"))["sessions"] if one["current"]]
        return UUID(current["id"])

    async def step_up(self) -> None:
        """Show with a fresh code that it is the member who asks."""
        await self.expect(202, "POST", "/v1/sessions/step-up-codes", {})
        await self.expect(204, "POST", "/v1/sessions/step-up", {"code": await self.mailed_code()})

    async def consent(self) -> None:
        """Agree to the version in force."""
        version = (await self.get("/v1/me"))["consent"]["version"]
        await self.expect(204, "PUT", "/v1/me/consent", {"version": version, "adult": True})

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Any request, signed in if this phone is. `{rid}` in the path stands for the phone's relationship."""
        headers = {"Authorization": f"Bearer {self.access_token}"} if self.access_token else {}
        headers |= options.pop("headers", {})
        if body is not None:
            options["json"] = body
        return await self.http.request(method, path.replace("{rid}", self.rid), headers=headers, **options)

    async def expect(self, status: int, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """The decoded answer, which must have that status."""
        answer = await self.call(method, path, body, **options)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def get(self, path: str, **params: Any) -> Any:
        """The decoded answer of a GET that must succeed; `from_` stands for `from`."""
        named = {name.rstrip("_"): str(value) for name, value in params.items()}
        return await self.expect(200, "GET", path, params=named)

    async def put(self, kind: str, body: Json, event_id: UUID | str | None = None, status: int = 201) -> Any:
        """Record an entry; kind as in the path: check-ins, requests, decisions, retractions."""
        return await self.expect(status, "PUT", f"/v1/relationships/{{rid}}/{kind}/{event_id or uuid4()}", body)

    async def refused(self, kind: str, body: Json, event_id: UUID | str | None = None) -> tuple[int, str]:
        """Status and code of an entry that must not be recorded."""
        answer = await self.call("PUT", f"/v1/relationships/{{rid}}/{kind}/{event_id or uuid4()}", body)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json()["code"]

    async def events(self, stream: str = "shared", **params: Any) -> list[Json]:
        """All events of a stream, page by page."""
        found: list[Json] = []
        while True:
            page = await self.get(
                "/v1/relationships/{rid}/events", stream=stream, after=len(found), limit=500, **params
            )
            found += page["events"]
            if not page["more"]:
                return found

    async def begin(self) -> "Phone":
        """Consent and begin a relationship, alone."""
        await self.consent()
        made = await self.expect(201, "POST", "/v1/relationships", {})
        self.rid, self.author = made["id"], made["author"]
        return self


class Running:
    """The service in this process, reached over ASGI."""

    def __init__(self, app: App, clock: Clock, post: PostBox, database_url: str) -> None:
        self.app, self.clock, self.post, self.database_url = app, clock, post, database_url
        self._transport = httpx.ASGITransport(app=until_told(app), raise_app_exceptions=False)  # type: ignore[arg-type]
        self._superuser: asyncpg.Connection[asyncpg.Record] | None = None
        self._asking = asyncio.Lock()

    async def ask(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """What the database says to its superuser, over one connection."""
        async with self._asking:
            if self._superuser is None:
                self._superuser = await asyncpg.connect(self.database_url)
            return await self._superuser.fetch(statement, *values)

    async def close(self) -> None:
        """End that connection."""
        if self._superuser:
            await self._superuser.close()

    async def keys_of(self, rid: str) -> RelationshipKeys:
        """The keys of a relationship, which no phone ever sees."""
        context: Context = self.app.state.context
        return (await context.keys.fetch_relationship_keys([UUID(rid)]))[UUID(rid)]

    def phone(self) -> Phone:
        """A device that is not signed in yet."""
        headers = {"Accept-Encoding": "identity"}  # or what tests compare would be compressed
        http = httpx.AsyncClient(transport=self._transport, base_url="http://mutuality.test", headers=headers)
        return Phone(http, self.post)

    async def member(self) -> Phone:
        """A member who is signed in and alone in a relationship."""
        return await (await self.phone().sign_in()).begin()

    async def couple(self) -> tuple[Phone, Phone]:
        """Two members in one active relationship; the first one invited."""
        one, two = await self.member(), await self.phone().sign_in()
        await two.consent()
        await link(one, two)
        return one, two


async def link(one: Phone, two: Phone) -> None:
    """Invite, accept, confirm."""
    code = (await one.expect(201, "POST", "/v1/relationships/{rid}/invites"))["code"]
    two.rid = (await two.expect(200, "POST", "/v1/invites/accept", {"code": code}))["relationship_id"]
    await one.expect(200, "POST", "/v1/relationships/{rid}/confirm")
    two.author = (await two.get("/v1/relationships/{rid}"))["author"]


def unlimited(**others: Any) -> Settings:
    """Settings for tests, whose clocks stand still: no limit ever frees a try again."""
    limits = ("sign_ins_per_hour", "requests_per_minute", "entries_per_minute", "invite_tries_per_hour")
    none = dict.fromkeys(limits, 0)
    return Settings(**(none | {"database_connections": 4} | others))


@asynccontextmanager
async def running(database_url: str, **options: Any) -> AsyncIterator[Running]:
    """The service on that database, with a clock that stands still and a post box of its own."""
    clock = options.pop("now", None) or Clock()
    settings = options.pop("settings", None) or unlimited()
    async with PostBox().open() as post:
        store = options.pop("store", KEYS)
        mailer = SmtpMailer(post.url, "mutuality@example.org")
        app = create_app(database_url, settings, mailer, store, now=clock, **options)
        started = Running(app, clock, post, database_url)
        async with lifespan(app):
            try:
                yield started
            finally:
                await started.close()


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[None]:
    """Start and stop an application as a server does, in a task of its own: pytest ends fixtures in another one."""
    told: asyncio.Queue[Any] = asyncio.Queue()
    said: asyncio.Queue[Any] = asyncio.Queue()
    scope: Any = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.create_task(app(scope, told.get, said.put))
    await told.put({"type": "lifespan.startup"})
    started = await said.get()
    assert started["type"] == "lifespan.startup.complete", started
    try:
        yield
    finally:
        await told.put({"type": "lifespan.shutdown"})
        await task
