"""What protection costs: python -m tests.benchmarks. Each part is taken away in turn, within one run.

A request goes straight into the application, as a server would hand it over, so that no client's work is counted.
Rounds of all variants follow each other, and the median of a variant's rounds is told, in milliseconds a request, and
what of that the part was. The database runs with durability off, as in tests: with it on, every share is smaller.
"""

import asyncio
import json
import logging
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
import structlog
from msgspec import Struct

from events import chain, encryption
from projections import pages
from projections.pages import Page, PageKey
from service.access import authentication
from service.access.reader_lookup import ReaderLookup
from service.context import Context
from service.reading import reads
from service.recording import entries
from tests.noninterference.worlds import ask
from tests.support.phones import Phone, Running, running
from tests.support.postgres import SharedServer, fresh_database

ROUNDS = 9
REQUESTS = 100
SEEN_EVENTS = 200
OCCURRED = "2026-06-15T10:00:00+02:00"
BODY = json.dumps({"occurred_at": OCCURRED, "domain": "home", "note": "x" * 200, "initiated_by": "me"}).encode()
TABLES = ("readers", "relationships", "memberships", "heads", "events", "pages")

Patch = pytest.MonkeyPatch


class Bench(Struct):
    """The running service, and a couple for each variant: what one has not encrypted another could not decrypt."""

    service: Running
    superuser: "asyncpg.Connection[asyncpg.Record]"
    phone: Phone

    async def ask(self, method: str, path: str, body: bytes = b"") -> int:
        """One request; its status."""
        headers = {"authorization": f"Bearer {self.phone.access_token}", "content-type": "application/json"}
        answer = await ask(self.service.app, method, f"/v1/relationships/{self.phone.rid}/{path}", headers, body)
        return answer.status


# --- The parts


def nothing(bench: Bench, patch: Patch) -> None:
    """As it is."""


def encrypting(bench: Bench, patch: Patch) -> None:
    """Texts and counts are stored as they are."""
    patch.setattr(encryption, "encrypt", lambda key, place, opening, body, nonce=None: opening + body)
    patch.setattr(encryption, "decrypt", lambda key, place, text: (text[:32], text[32:]))
    patch.setattr(pages, "encrypt", lambda keys, key, page, nonce: msgspec.msgpack.encode(page))
    patch.setattr(pages, "decrypt", lambda keys, key, text: decoded(text))
    patch.setattr(
        pages,
        "decrypt_all",
        lambda keys, stream, author, months, texts: [
            (PageKey(stream, author, month), decoded(text)) for month, text in zip(months, texts, strict=True)
        ],
    )


decoded = msgspec.msgpack.Decoder(Page).decode


def chaining(bench: Bench, patch: Patch) -> None:
    """Nothing is hashed."""
    patch.setattr(chain, "digest", lambda tag, *parts: bytes(32))
    patch.setattr(chain, "commit", lambda *given: bytes(32))


def acting(bench: Bench, patch: Patch) -> None:
    """A connection is not told for whom it acts; its role sees everything."""

    @asynccontextmanager
    async def anybody(context: Context, member_id: UUID) -> Any:
        async with context.db.acquire() as db:
            yield db

    patch.setattr(Context, "acting_as", anybody)


def authorization(bench: Bench, patch: Patch) -> None:
    """Who asks, and what they are to the relationship, was found out before."""
    known: dict[str, Any] = {}
    recognised = authentication.bearer_without_recheck

    async def member(request: Any) -> Any:
        if "member" not in known:
            known["member"] = await recognised(request)
        return known["member"]

    async def find(self: ReaderLookup, *asked: UUID) -> Any:
        if "found" not in known:
            known["found"] = await original(self, *asked)
        return known["found"]

    original = ReaderLookup.find
    for module in (entries, reads):
        patch.setattr(module, "bearer_without_recheck", member)
    patch.setattr(ReaderLookup, "find", find)


PARTS: dict[str, Callable[[Bench, Patch], None]] = {
    "nothing": nothing,
    "encryption": encrypting,
    "chaining": chaining,
    "row-level security": acting,
    "authorization": authorization,
}
OPEN = {"row-level security"}

ASKED: dict[str, Callable[[Bench], Awaitable[int]]] = {
    "PUT check-in": lambda bench: bench.ask("PUT", f"check-ins/{uuid4()}", BODY),
    "GET 200 events": lambda bench: bench.ask("GET", f"events?stream=private&limit={SEEN_EVENTS}"),
    "GET balances": lambda bench: bench.ask("GET", "balances"),
}


# --- The run


@asynccontextmanager
async def without(part: str, bench: Bench) -> Any:
    """The service lacks that part until the block ends."""
    with Patch.context() as patch:
        PARTS[part](bench, patch)
        if part in OPEN:
            await wall(bench, "DISABLE")
        yield
        if part in OPEN:
            await wall(bench, "ENABLE")


async def wall(bench: Bench, change: str) -> None:
    for table in TABLES:
        await bench.superuser.execute(f"ALTER TABLE {table} {change} ROW LEVEL SECURITY")


async def timed(bench: Bench, asked: Callable[[Bench], Awaitable[int]]) -> float:
    """Milliseconds a request."""
    began = time.perf_counter()
    statuses = {await asked(bench) for _ in range(REQUESTS)}
    assert statuses <= {200, 201}, statuses
    return (time.perf_counter() - began) * 1000 / REQUESTS


async def measure(url: str) -> dict[tuple[str, str], float]:
    """The medians, by what was asked and what was lacking."""
    took: dict[tuple[str, str], list[float]] = {}
    superuser = await asyncpg.connect(url)
    async with running(url) as service:
        benches = {part: Bench(service, superuser, (await service.couple())[0]) for part in PARTS}
        for part, bench in benches.items():
            async with without(part, bench):
                for _ in range(SEEN_EVENTS):
                    await ASKED["PUT check-in"](bench)
        for _ in range(ROUNDS):
            for name, asked in ASKED.items():
                for part, bench in benches.items():
                    async with without(part, bench):
                        await asked(bench)
                        took.setdefault((name, part), []).append(await timed(bench, asked))
    await superuser.close()
    return {key: statistics.median(rounds) for key, rounds in took.items()}


@contextmanager
def database() -> Iterator[str]:
    """A fresh one, on a server of its own."""
    with ExitStack() as stack:
        server = SharedServer()
        stack.callback(server.stop)
        yield stack.enter_context(fresh_database(server.url))


def main() -> None:
    """Measure, and print a table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with database() as url:
        medians = asyncio.run(measure(url))
    print(f"{'':18}{'ms':>8}" + "".join(f"{part:>22}" for part in PARTS if part != "nothing"))
    for name in ASKED:
        whole = medians[name, "nothing"]
        shares = [1 - medians[name, part] / whole for part in PARTS if part != "nothing"]
        print(f"{name:18}{whole:8.2f}" + "".join(f"{share:22.0%}" for share in shares))


if __name__ == "__main__":
    main()
