"""What somebody does who wants to slow everybody down, each in a process of its own until it is ended.

They share no lock with who measures: in one process each would wait for the other.
"""

import http.client
import json
import multiprocessing
import random
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias
from uuid import uuid4

from msgspec import Struct

AT = "2026-06-15T10:00:00+02:00"
BOTH = {"occurred_at": AT, "domain": "money", "decided_by": "me", "audience": "shared"}
QUEUE_BYTES = 2 * 1024 * 1024
CONNECTIONS = 1_000
TIMEOUT_SECONDS = 60.0
Entry: TypeAlias = dict[str, Any]


class Target(Struct, frozen=True):
    """Where the service listens, and what the attacker has there: a session, a relationship, the other's decision."""

    port: int
    token: str = ""
    rid: str = ""
    decision: str = ""


class Caller:
    """One connection of the attacker's."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._http = http.client.HTTPConnection("127.0.0.1", target.port, timeout=TIMEOUT_SECONDS)

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def send(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of an answer, whatever it is."""
        headers = {"Authorization": f"Bearer {self._target.token}", "Content-Type": "application/json"}
        path = path.replace("{rid}", self._target.rid)
        try:
            self._http.request(method, path, body, headers)
            answer = self._http.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._http.close()
            time.sleep(0.05)
            return 0, b""

    def sync(self, entries: list[Entry]) -> int:
        """The status of a queue."""
        return self.send("POST", "/v1/relationships/{rid}/sync", json.dumps({"entries": entries}).encode())[0]


def entry(kind: str, body: Entry) -> Entry:
    """An entry of a queue, under a new id."""
    return {"id": str(uuid4()), "kind": kind, kind: body}


def telling_and_taking_back(decision: str, times: int = 250) -> list[Entry]:
    """A queue that tells of the other's decision, and takes that back, over and over."""
    entries: list[Entry] = []
    for _ in range(times):
        told = entry("decision", BOTH | {"about": decision})
        entries += [told, entry("retraction", {"occurred_at": AT, "event_id": told["id"]})]
    return entries


def malformed_queues() -> list[bytes]:
    """Queues of 2 MiB, each with something that no decoder takes: a NaN in the end, and NaNs all over."""
    note = b'{"id": "%s", "kind": "check_in", "check_in": {"occurred_at": "%s", "note": "%s"}}'
    whole = [note % (str(uuid4()).encode(), AT.encode(), b"x" * 2000) for _ in range(499)]
    room = QUEUE_BYTES - sum(len(one) + 1 for one in whole) - 40
    return [
        b'{"entries": [%s,%sNaN]}' % (b",".join(whole), b" " * room),
        b'{"entries": [' + b"[NaN]," * ((QUEUE_BYTES - 20) // 6) + b"1]}",
    ]


# --- The attacks


def a_queue_with_a_nan(target: Target) -> None:
    """2 MiB that no decoder takes, again and again."""
    caller, queues = Caller(target), malformed_queues()
    while True:
        for queue in queues:
            caller.send("POST", "/v1/relationships/{rid}/sync", queue)


def a_loop_of_telling(target: Target) -> None:
    """Queues of 500 that tell and take back."""
    caller = Caller(target)
    while True:
        caller.sync(telling_and_taking_back(target.decision))


LONG_READS = (
    "perspectives?measure=decides",
    "perspectives?measure=felt&item=close",
    "requests?state=open",
    "requests?state=recent",
    "openings",
)


def long_reads(target: Target) -> None:
    """What reads a whole stream, again and again."""
    caller = Caller(target)
    while True:
        for path in LONG_READS:
            caller.send("GET", f"/v1/relationships/{{rid}}/{path}")


def idle_connections(target: Target) -> None:
    """A thousand connections on which nothing, or half a head, is sent; another for each that is closed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = [_half_asked(target, number) for number in range(CONNECTIONS)]
    while True:
        for number in random.sample(range(CONNECTIONS), 50):
            held[number].close()
            held[number] = _half_asked(target, number)
        time.sleep(0.1)


def _half_asked(target: Target, number: int) -> socket.socket:
    while True:
        with suppress(OSError):
            made = socket.create_connection(("127.0.0.1", target.port), timeout=5)
            if number % 2:
                made.sendall(b"GET /v1/me HTTP/1.1\r\nHost: here\r\nX-Long: ")
            return made


def nothing(target: Target) -> None:
    """What everything else is held against."""
    time.sleep(3600)


@contextmanager
def under(attack: Callable[[Target], None], target: Target) -> Iterator[None]:
    """Let somebody do that until the end of the block."""
    process = multiprocessing.get_context("spawn").Process(target=attack, args=(target,), daemon=True)
    process.start()
    try:
        yield
        assert process.is_alive(), "the attack has ended by itself"
    finally:
        process.terminate()
        process.join()
