"""How fast entries get on disk through the service, beside what the machine does without it."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import httpx
from msgspec import Struct

from tests.benchmarks import baselines, load, people, servers
from tests.benchmarks.load import Load, Served, Target, microseconds
from tests.benchmarks.people import Couple
from tests.benchmarks.servers import Server
from tests.benchmarks.table import Figure, Setting, at_least, in_turn, median, only, ratio

COUPLES = 2_000
SYNC_ENTRIES = 100
ALL = 64  # connections
QUEUES = 8  # of 100 entries each: as many wait as behind 64 connections that send one


class Stage(Struct, frozen=True):
    """The service with many couples in it, and the baseline beside it."""

    setting: Setting
    service: Server
    bare: Server
    couples: list[Couple]
    url: str

    def requests(self, couples: list[Couple]) -> Load:
        """Requests of the first of each couple."""
        return Load("put", [Target(f"{c.path}/requests/", c.first.token) for c in couples], request())

    @property
    def queues(self) -> Load:
        """Queues of 100 requests each; the phones have the news already."""
        return Load("sync", [Target(f"{c.path}/sync", c.first.token) for c in self.couples], queue(), QUEUES)

    def rate(self, asked: Load) -> float:
        """Requests a second that the service answers."""
        return self.run(self.service, asked).per_second

    def run(self, server: Server, asked: Load) -> Served:
        """Put a load on one of the two."""
        return load.run(server, asked, self.setting.seconds, self.setting.folder)


def request() -> str:
    """A request as a phone sends it."""
    return json.dumps({"occurred_at": datetime.now(UTC).isoformat(), "domain": "home", "text": "Shall we? " * 10})


def queue() -> str:
    """A phone's queue, with a place for each id. It has read everything that there can be."""
    entry = '{"id": "@ID@", "kind": "request", "request": ' + request() + "}"
    entries = ", ".join([entry] * SYNC_ENTRIES)
    return f'{{"entries": [{entries}], "shared_after": {2**62}, "private_after": {2**62}}}'


@contextmanager
def stage(setting: Setting, name: str, couples: int, days: int = 0, others: int = 0) -> Iterator[Stage]:
    """Both servers; in a new database of that name couples, with so many days of history, and others without."""
    url = servers.migrated(setting.url, name)
    made = asyncio.run(people.move_in(url, setting.folder / "keys", couples, days))
    asyncio.run(people.move_in(url, setting.folder / "keys", others))
    with servers.service(setting.folder, name, DATABASE_URL=url) as service:
        recorded, read = _answers(service, made[0])
        with servers.bare(setting.folder, recorded, read) as bare:
            yield Stage(setting, service, bare, made, url)


def _answers(service: Server, couple: Couple) -> tuple[bytes, bytes]:
    """What the service says to a PUT and to a GET."""
    with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {couple.first.token}"}) as http:
        put = http.put(f"{couple.path}/requests/{uuid4()}", json=json.loads(request())).raise_for_status()
        return put.content, http.get(f"{couple.path}/balances").raise_for_status().content


def measure(setting: Setting) -> list[Figure]:
    """A PUT against the bare server; one relationship against many; a queue against single entries."""
    with stage(setting, "puts", COUPLES) as on:
        many, one = on.requests(on.couples), on.requests(on.couples[:1])
        on.run(on.service, many)
        found = in_turn(
            {
                "bare": partial(on.run, on.bare, many),
                "put": partial(on.run, on.service, many),
                "one": partial(on.run, on.service, one),
                "sync": partial(on.run, on.service, on.queues),
            },
            setting.rounds,
        )
    rates = {name: [served.per_second for served in rounds] for name, rounds in found.items()}
    synced = [rate * SYNC_ENTRIES for rate in rates["sync"]]
    note = f"{median(rates['put']):.0f} a second; bare {median(rates['bare']):.0f}"
    return [
        at_least("PUT, 64 connections, 2,000 relationships, of bare", ratio(rates["put"], rates["bare"]), 0.6, note),
        at_least("PUT, 64 connections on one relationship, of that", ratio(rates["one"], rates["put"]), 0.5),
        at_least(
            "events a second by sync of 100, of a bare server's calls a second", ratio(synced, rates["bare"]), 1.8
        ),
        only("the same, of single PUTs", f"{ratio(synced, rates['put']):.3g}"),
        only(
            "processor time of a PUT in the server, µs",
            f"{microseconds(found['put'])}; bare {microseconds(found['bare'])}",
        ),
        *_shares("bare", found["bare"]),
        *_shares("PUT", found["put"]),
    ]


def _shares(name: str, rounds: list[Served]) -> list[Figure]:
    server, generator = (median(s.server_share for s in rounds), median(s.generator_share for s in rounds))
    return [only(f"{name}: share of a core, server and generator", f"{server:.2f}, {generator:.2f}")]


def measure_others(setting: Setting) -> list[Figure]:
    """A PUT against pgbench with the same rows, and against a library without HTTP in front."""
    with stage(setting, "others", COUPLES) as on:
        url = servers.migrated(setting.url, "by_pgbench")
        asyncio.run(people.move_in(url, setting.folder / "keys", COUPLES))
        asyncio.run(baselines.make_places(url))
        with baselines.library(setting) as library:
            many = on.requests(on.couples)
            on.run(on.service, many)
            found = in_turn(
                {
                    "put": partial(on.rate, many),
                    "pgbench": partial(baselines.pgbench, url, ALL, setting),
                    "eventsourcing": partial(library.rate, setting.seconds),
                },
                setting.rounds,
            )
    note = f"{median(found['eventsourcing']):.0f} a second"
    return [
        at_least("PUT, of eventsourcing", ratio(found["put"], found["eventsourcing"]), 5, note),
        only("PUT, of pgbench with the same rows", f"{ratio(found['put'], found['pgbench']):.3g}"),
    ]
