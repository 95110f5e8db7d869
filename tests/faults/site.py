"""A service as it really runs: `python -m service serve` in a process of its own, its PostgreSQL beside it with
durability on, and phones that reach it over HTTP from threads of this process, which does the killing.
"""

import asyncio
import http.client
import json
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import psutil
from msgspec import Struct, field

ROOT = Path(__file__).parents[2]
VERIFY = runpy.run_path(str(ROOT / "openapi" / "verify.py"))["verify"]
PATIENCE_SECONDS = 120.0  # for what must come, on a machine as slow as it may be
TRY_SECONDS = 20.0
PAUSE_SECONDS = 0.02
IDLE_SECONDS = 2.0  # the service hangs up on who says nothing for five
LIMITS = ("SIGN_INS_PER_HOUR", "REQUESTS_PER_MINUTE", "ENTRIES_PER_MINUTE", "INVITE_TRIES_PER_HOUR")
UNLIMITED = dict.fromkeys(LIMITS, "0")
PATHS = {
    "check_in": "check-ins",
    "request": "requests",
    "opening": "openings",
    "decision": "decisions",
    "retraction": "retractions",
}
RETRIED = (429, 502, 503, 504)
CUT = (OSError, http.client.HTTPException)

Json = dict[str, Any]


def eventually(what: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """What that comes to, once it is true."""
    give_up_at = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < give_up_at, "it did not come about in time"
        time.sleep(PAUSE_SECONDS)
    return found


class Site:
    """One service on one data directory. It can be started, killed, and started again at the same address."""

    def __init__(self, data_dir: Path, main: Sequence[str] = ("-m", "service"), **settings: str) -> None:
        self.data_dir = data_dir
        self.port = _free_port()
        self._command = [sys.executable, *main, "serve"]
        given = UNLIMITED | {"DATA_DIR": str(data_dir), "PORT": str(self.port), "LOG_LEVEL": "error"} | settings
        self.environment = os.environ | {f"MUTUALITY_{name}": value for name, value in given.items()}
        self.console = data_dir.parent / "console"
        self.process: subprocess.Popen[bytes] | None = None
        self.direct_url: str | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.console.open("ab") as console:
            self.process = subprocess.Popen(
                self._command, cwd=ROOT, env=self.environment, stdout=console, stderr=console
            )
        eventually(self._is_up)

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.console.read_text(errors="replace")[-3000:]
        return self.ready()

    def ready(self) -> bool:
        """Whether it can answer requests now."""
        with suppress(*CUT):
            return Phone(self.port).send("GET", "/health/ready")[0] == 200
        return False

    def kill(self) -> None:
        """End the service, not its PostgreSQL, without a chance to tidy up."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def workers(self) -> list[psutil.Process]:
        """The processes that serve, where there are several, and the one that waits for a place, once it could."""
        assert self.process is not None
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if "service.cli.one_worker" in child.cmdline() and _serves(child):
                    found.append(child)
        return found

    def stop(self) -> int:
        """End it as an operator does; returns its status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)

    def servers(self) -> list[psutil.Process]:
        """Every process of its PostgreSQL, the server itself first."""
        found = []
        with suppress(FileNotFoundError, psutil.NoSuchProcess, ValueError, IndexError):
            lines = (self.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
            server = psutil.Process(int(lines[0]))
            found = [server, *server.children(recursive=True)] if server.name() == "postgres" else []
        return found

    def kill_postgres(self) -> None:
        """End the whole tree at once."""
        for process in eventually(self.servers):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    @property
    def url(self) -> str:
        """The DSN of its database for somebody with all rights, past whatever stands in between."""
        inside = f"postgresql://postgres@/mutuality?host={self.data_dir / 'socket'}&port=5432"
        return self.direct_url or inside

    def ask(self, sql: str, *values: Any) -> list[Any]:
        """The rows of a statement that somebody with all rights runs."""
        return asyncio.run(ask(self.url, sql, *values))

    def mailed_code(self, address: str) -> str:
        """The code in the last mail to that address: the console has it."""

        def last() -> str | None:
            told = re.findall(
                rf"mail to {address} ---\n.*?(\d{{4}} \d{{4}})", self.console.read_text(errors="replace"), re.S
            )
            return told[-1] if told else None

        code: str = eventually(last)
        return code

    def rebuilt(self) -> str:
        """What a rebuild of all tallies beside the service says."""
        command = [sys.executable, "-m", "service", "rebuild"]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else done.stderr


def _serves(process: psutil.Process) -> bool:
    """Whether it has opened connections of its own, to its PostgreSQL."""
    return len(process.net_connections("unix")) > 5


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


async def ask(url: str, sql: str, *values: Any) -> list[Any]:
    """The rows of one statement."""
    db = await asyncpg.connect(url)
    try:
        return list(await db.fetch(sql, *values))
    finally:
        await db.close()


@contextmanager
def folder() -> Iterator[Path]:
    """A directory that everybody may pass: a PostgreSQL that root starts is somebody else's."""
    directory = Path(tempfile.mkdtemp(prefix="mutuality-faults-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def site(main: Sequence[str] = ("-m", "service"), **settings: str) -> Iterator[Site]:
    """A service that runs, and whatever is left of it ended afterwards."""
    with folder() as directory:
        made = Site(directory / "data", main, **settings)
        try:
            made.start()
            yield made
        finally:
            end(made)


def end(at: Site) -> None:
    """Leave no process behind, in whatever state it is."""
    if at.process is not None and at.process.poll() is None:
        at.process.terminate()
        try:
            at.process.wait(30)
        except subprocess.TimeoutExpired:
            at.process.send_signal(signal.SIGKILL)
            at.process.wait()
    for process in at.servers():
        with suppress(psutil.NoSuchProcess):
            process.kill()


class Phone:
    """One device, over one connection that it opens anew when it was cut. Not for several threads at once."""

    def __init__(self, port: int, timeout_seconds: float = TRY_SECONDS) -> None:
        self.port, self._timeout_seconds = port, timeout_seconds
        self._http: http.client.HTTPConnection | None = None
        self._used_at = 0.0
        self.email = f"{uuid4().hex}@example.org"
        self.token = self._refresh_token = ""
        self.rid = self.author = ""

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Json]:
        """Status and body of the answer. Raises what CUT names where none came."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        headers |= {"Authorization": f"Bearer {self.token}"} if self.token else {}
        text = json.dumps(body) if body is not None else None
        if time.monotonic() > self._used_at + IDLE_SECONDS:
            self.hang_up()
        if self._http is None:
            self._http = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self._timeout_seconds)
        try:
            self._http.request(method, path.replace("{rid}", self.rid), text, headers)
            answer = self._http.getresponse()
            content = answer.read()
            if answer.length is None and answer.status != 204:
                raise http.client.IncompleteRead(content)  # cut within the headers
        except CUT:
            self.hang_up()
            raise
        self._used_at = time.monotonic()
        self._check(answer, content)
        return answer.status, json.loads(content) if content else {}

    def _check(self, answer: http.client.HTTPResponse, content: bytes) -> None:
        """No answer is a mistake of the service's, and every one that asks to come again says when."""
        assert answer.status != 500, content
        if answer.status in RETRIED:
            assert answer.headers["Content-Type"] == "application/problem+json", content
            assert int(answer.headers["Retry-After"]) > 0

    def hang_up(self) -> None:
        """Close the connection."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def __del__(self) -> None:
        self.hang_up()

    def expect(self, status: int, method: str, path: str, body: Any = None) -> Json:
        """The answer, which must have that status."""
        found, said = self.persist(method, path, body)
        assert found == status, f"{method} {path}: {found} {said}"
        return said

    def persist(self, method: str, path: str, body: Any = None) -> tuple[int, Json]:
        """The first answer that is not about coming again, however often the call has to be sent."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert time.monotonic() < give_up_at, f"{method} {path} is never answered"
            with suppress(*CUT):
                status, said = self.send(method, path, body)
                if status == 401 and self._refresh_token:
                    self._refresh()
                elif status not in RETRIED:
                    return status, said
            time.sleep(PAUSE_SECONDS)

    def sign_in(self, at: Site) -> "Phone":
        """Sign in with a mailed code, and consent."""
        attempt = self.expect(202, "POST", "/v1/sign-in-codes", {"email": self.email})
        body = {**attempt, "code": at.mailed_code(self.email), "device_name": "a phone"}
        self._take(self.expect(201, "POST", "/v1/sessions", body))
        version = self.expect(200, "GET", "/v1/me")["consent"]["version"]
        self.expect(204, "PUT", "/v1/me/consent", {"version": version, "adult": True})
        return self

    def _refresh(self) -> None:
        status, tokens = self.send("POST", "/v1/sessions/refresh", {"refresh_token": self._refresh_token})
        if status == 200:
            self._take(tokens)

    def _take(self, tokens: Json) -> None:
        self.token, self._refresh_token = tokens["access_token"], tokens["refresh_token"]

    def twin(self, port: int | None = None) -> "Phone":
        """Another connection of the same session, perhaps by another way."""
        other = Phone(port or self.port, self._timeout_seconds)
        other.email, other.token, other._refresh_token = self.email, self.token, self._refresh_token
        other.rid, other.author = self.rid, self.author
        return other

    def pages(self, stream: str) -> list[Json]:
        """All pages of a stream, with proofs."""
        read: list[Json] = []
        after = 0
        while not read or read[-1]["more"]:
            path = f"/v1/relationships/{{rid}}/events?stream={stream}&after={after}&limit=500&proof=true"
            read.append(self.expect(200, "GET", path))
            after += len(read[-1]["events"])
        return read


def couple(at: Site) -> tuple[Phone, Phone]:
    """Two members in one active relationship."""
    one, two = Phone(at.port).sign_in(at), Phone(at.port).sign_in(at)
    return another_couple(one, two)


def another_couple(one: Phone, two: Phone) -> tuple[Phone, Phone]:
    """A further relationship of the same two."""
    first, second = one.twin(), two.twin()
    made = first.expect(201, "POST", "/v1/relationships", {})
    first.rid, first.author = made["id"], made["author"]
    code = first.expect(201, "POST", "/v1/relationships/{rid}/invites")["code"]
    second.rid = second.expect(200, "POST", "/v1/invites/accept", {"code": code})["relationship_id"]
    first.expect(200, "POST", "/v1/relationships/{rid}/confirm")
    second.author = second.expect(200, "GET", "/v1/relationships/{rid}")["author"]
    return first, second


# --- What phones write, and what must be there afterwards


def entry(number: int) -> tuple[str, Json]:
    """Some entry, by turns of every kind that stands for itself; its text names it."""
    at = f"{datetime.now(UTC) - timedelta(days=number % 30, hours=1):%Y-%m-%dT%H:%M:%SZ}"
    match number % 3:
        case 0:
            return "request", {"occurred_at": at, "domain": "home", "text": f"request {number}"}
        case 1:
            body = {"occurred_at": at, "felt": {"close": number % 7 + 1}, "note": f"check-in {number}"}
            return "check_in", body | {"audience": "shared" if number % 2 else "private"}
        case _:
            body = {"occurred_at": at, "domain": "money", "decided_by": "both", "raised_by": "me"}
            return "decision", body | {"audience": "shared" if number % 2 else "private", "text": f"decision {number}"}


class Written(Struct):
    """What one writer knows: what was acknowledged, by which answer, and how often that of a stored entry was lost."""

    acknowledged: dict[str, Json] = field(default_factory=dict)
    lost_answers: int = 0
    tries: int = 0
    refused: int = 0  # by an answer that asks to come again

    def write(self, phone: Phone, kind: str, body: Json, event_id: str | None = None) -> Json:
        """Send one entry until it is acknowledged, as a phone does: always under the same id."""
        name = event_id or str(uuid4())
        path, tried, give_up_at = f"/v1/relationships/{{rid}}/{PATHS[kind]}/{name}", 0, time.monotonic() + 120
        while True:
            assert time.monotonic() < give_up_at, "an entry is never taken"
            tried += 1
            with suppress(*CUT):
                status, said = phone.send("PUT", path, body)
                if status in (200, 201):
                    self.acknowledge(name, kind, body, said)
                    self.lost_answers += status == 200 and tried > 1
                    self.tries += tried
                    return said
                if status == 401:
                    phone.persist("GET", "/v1/me")
                assert status in (401, *RETRIED), said
                self.refused += status in RETRIED
            time.sleep(PAUSE_SECONDS)

    def acknowledge(self, name: str, kind: str, body: Json, said: Json) -> None:
        """Take a success down, which must be about that entry."""
        # Nobody sees another's answer.
        assert said["event"]["id"] == name, said
        assert {key: said["event"][kind][key] for key in body} == body, said
        assert said["event"]["by"] == "me", said
        self.acknowledged[name] = said


class Writers:
    """Threads that write without pause until they are told to stop."""

    def __init__(self, phones: Sequence[Phone]) -> None:
        self.phones = phones
        self.written = [Written() for _ in phones]
        self._stopping = threading.Event()
        self._failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._go_on, args=(i, phone, written), daemon=True)
            for i, (phone, written) in enumerate(zip(phones, self.written, strict=True))
        ]

    def _go_on(self, first: int, phone: Phone, written: Written) -> None:
        try:
            while not self._stopping.is_set():
                written.write(phone, *entry(first))
                first += 1
        except BaseException as failure:
            self._failures.append(failure)

    @property
    def acknowledged(self) -> int:
        """How many entries, by all."""
        return sum(len(written.acknowledged) for written in self.written)

    @property
    def lost_answers(self) -> int:
        """How many entries were stored though the answer never came."""
        return sum(written.lost_answers for written in self.written)

    @property
    def refused(self) -> int:
        """How often an answer asked to come again."""
        return sum(written.refused for written in self.written)

    @property
    def retries(self) -> int:
        """How often an entry had to be sent again."""
        return sum(written.tries for written in self.written) - self.acknowledged

    def until(self, acknowledged: int) -> None:
        """Let them work until so many entries are acknowledged."""
        eventually(lambda: self.failed() or self.acknowledged >= acknowledged)
        self.check()

    def failed(self) -> bool:
        """Whether one has met what must not be."""
        return bool(self._failures)

    def check(self) -> None:
        """Raise what one of them has met."""
        if self._failures:
            raise self._failures[0]

    def __enter__(self) -> "Writers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        self.check()
        assert not any(thread.is_alive() for thread in self._threads)


def check_log(phones: Sequence[Phone], written: Sequence[Written]) -> int:
    """What was acknowledged is there, once, as it was acknowledged; nothing else is; and every chain verifies.

    All writers of these relationships must be given. Returns how many events there are.
    """
    return sum(_check_relationship(rid, phones, written) for rid in {phone.rid for phone in phones})


def _check_relationship(rid: str, phones: Sequence[Phone], written: Sequence[Written]) -> int:
    theirs = [(phone, done) for phone, done in zip(phones, written, strict=True) if phone.rid == rid]
    readers = {phone.author: phone for phone, _ in theirs}
    acknowledged = {name: said for _, done in theirs for name, said in done.acknowledged.items()}
    found: list[Json] = []
    for stream, reader in [("shared", next(iter(readers.values()))), *(("private", one) for one in readers.values())]:
        found += _verified(reader, stream)
    events = [event for event in found if event["kind"] not in ("opened", "ended")]
    assert len(events) == len({event["id"] for event in events}), "an event is there twice"
    assert {event["id"] for event in events} == acknowledged.keys(), "acknowledged and stored differ"
    for event in events:
        assert acknowledged[event["id"]]["event"]["position"] == event["position"]
        assert acknowledged[event["id"]]["event"]["recorded_at"] == event["recorded_at"]
    return len(events)


def _verified(reader: Phone, stream: str) -> list[Json]:
    """The events of a stream whose chain holds, without gaps."""
    pages = reader.pages(stream)
    named = reader.expect(200, "GET", "/v1/relationships/{rid}")["streams"][stream]
    events: list[Json] = [event for page in pages for event in page["events"]]
    assert VERIFY(named, pages)[0] == len(events)
    assert [event["position"] for event in events] == list(range(1, len(events) + 1))
    return events
