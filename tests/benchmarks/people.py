"""Couples, written straight into a database as the service would write them: it takes their tokens and opens their log.

Over HTTP each would need two mailed codes and a dozen calls; what is measured comes after that.
"""

import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from msgspec import Struct

from events.chain import Head, genesis
from events.encryption import KEY_BYTES, RelationshipKeys
from events.entries import Audience, CheckIn, Decision, Entry, Fact, Opened, Request
from events.records import Draft, Stored, StreamKey, encrypt_event, event_row
from projections import tallies
from projections.tallies import Key
from service.access.consent import CONSENT_VERSION
from service.core import tokens
from service.keys import field_encryption
from service.keys.key_store import FileKeyStore, epoch_of

TOKEN_TTL = timedelta(days=1)  # longer than any benchmark
BATCH = 20_000

COLUMNS = {
    "members": ("member_id", "time_zone", "consent_version", "created_at"),
    "keys.wrapped": ("purpose", "owner_id", "epoch", "wrapped"),
    "sessions": ("session_id", "member_id", "device_name", "created_at", "refreshed_at"),
    "access_tokens": ("token_hash", "session_id", "expires_at"),
    "relationships": ("relationship_id", "state", "shared_stream_id", "created_at"),
    "memberships": ("relationship_id", "seat", "member_id", "author_id", "private_stream_id", "joined_at"),
    "readers": ("relationship_id", "stream_id", "member_id"),
    "heads": ("relationship_id", "stream_id", "private", "position", "link"),
    "events": ("relationship_id", "stream_id", "position", "event_id", "alters", "header", "link"),
    "texts": ("relationship_id", "stream_id", "position", "author_id", "sealed"),
    "tallies": ("relationship_id", "stream_id", "day", "teller", "domain", "measure", "value", "count"),
}
Rows = dict[str, list[tuple[Any, ...]]]


class Person(Struct, frozen=True):
    """One of two: the ids that are theirs, and a token that lets them in."""

    member_id: UUID
    author_id: UUID
    private: UUID
    key: bytes
    token: str


class Couple(Struct, frozen=True):
    """Both, their shared stream, and the key of their relationship."""

    relationship_id: UUID
    shared: UUID
    key: bytes
    first: Person
    second: Person

    @property
    def ring(self) -> RelationshipKeys:
        """What their events are sealed with."""
        return RelationshipKeys(self.key, {p.author_id: p.key for p in (self.first, self.second)})

    @property
    def path(self) -> str:
        """Their address."""
        return f"/v1/relationships/{self.relationship_id}"


class Said(Struct, frozen=True):
    """An entry to be in the log: whose, in which stream, recorded when."""

    by: Person
    audience: Audience
    at: datetime
    entry: Entry


async def move_in(url: str, keys_dir: Path, couples: int, days: int = 0) -> list[Couple]:
    """Couples who are linked; with days, such a history behind them, two events a day."""
    store, now = FileKeyStore(keys_dir), datetime.now(UTC)
    db = await asyncpg.connect(url)
    try:
        await db.execute("INSERT INTO keys.epochs (epoch) VALUES ($1) ON CONFLICT DO NOTHING", epoch_of(now))
        made = []
        rows: Rows = {table: [] for table in COLUMNS}
        for _ in range(couples):
            couple = _couple()
            made.append(couple)
            _write(rows, couple, store, now)
            _write_log(rows, couple, [*year(couple, now, days)], now - timedelta(days=days + 1))
            if len(rows["events"]) >= BATCH:
                await _copy(db, rows)
        await _copy(db, rows)
        await db.execute("ANALYZE")
    finally:
        await db.close()
    return made


def _couple() -> Couple:
    return Couple(uuid4(), uuid4(), os.urandom(KEY_BYTES), _person(), _person())


def _person() -> Person:
    return Person(uuid4(), uuid4(), uuid4(), os.urandom(KEY_BYTES), os.urandom(KEY_BYTES).hex())


def _write(rows: Rows, couple: Couple, store: FileKeyStore, now: datetime) -> None:
    """All that links them, but for their log."""
    rid, epoch = couple.relationship_id, epoch_of(now)
    rows["relationships"].append((rid, "active", couple.shared, now))
    rows["keys.wrapped"].append(("relationship", rid, epoch, store.wrap(epoch, couple.key)))
    for seat, person in (("first", couple.first), ("second", couple.second)):
        member_id, session_id = person.member_id, uuid4()
        device = field_encryption.encrypt(person.key, member_id, "device_name", "a phone")
        rows["members"].append((member_id, "UTC", CONSENT_VERSION, now))
        rows["keys.wrapped"].append(("member", member_id, epoch, store.wrap(epoch, person.key)))
        rows["sessions"].append((session_id, member_id, device, now, now))
        rows["access_tokens"].append((tokens.token_hash(person.token), session_id, now + TOKEN_TTL))
        rows["memberships"].append((rid, seat, member_id, person.author_id, person.private, now))
        rows["readers"] += [(rid, couple.shared, member_id), (rid, person.private, member_id)]


def year(couple: Couple, now: datetime, days: int) -> Iterator[Said]:
    """So many days until now, two events each: one asks, and somebody tells how it was, or who decided."""
    chance = random.Random(days)
    for at in (now - timedelta(days=days - 1 - day) for day in range(days)):
        asks, tells = chance.sample((couple.first, couple.second), 2)
        yield Said(asks, "shared", at, Request(occurred_at=at, domain="home", expires_at=at + timedelta(days=7)))
        if chance.random() < 0.5:
            felt = CheckIn(occurred_at=at, felt={"heard": chance.randint(1, 7)}, initiated_by="me", audience="private")
            yield Said(tells, "private", at, felt)
        else:
            decision = Decision(occurred_at=at, domain="plans", decided_by="both", my_input="asked", audience="shared")
            yield Said(tells, "shared", at, decision)


def _write_log(rows: Rows, couple: Couple, said: Iterable[Said], opened_at: datetime) -> None:
    """Their streams: sealed and chained, with the counts that come of them."""
    heads = {stream: genesis(stream) for stream in (couple.shared, couple.first.private, couple.second.private)}
    counts: Counter[Key] = Counter()
    drafts: list[tuple[Person | None, Audience, Draft]] = [
        (None, "shared", Draft(uuid4(), None, opened_at, Opened(), os.urandom(32)))
    ]
    drafts += [(s.by, s.audience, Draft(uuid4(), s.by.author_id, s.at, s.entry, os.urandom(32))) for s in said]
    for by, audience, draft in drafts:
        key = StreamKey(couple.relationship_id, by.private if by and audience == "private" else couple.shared)
        stored = encrypt_event(couple.ring, heads[key.stream_id], key, audience, draft)
        heads[key.stream_id] = Head(stored.event.position, stored.link)
        _write_event(rows, couple.ring, key, stored)
        partner = couple.second if by == couple.first else couple.first
        counts.update(dict(tallies.tally(key, stored.event, partner.author_id, _none)))
    for stream, head in heads.items():
        rows["heads"].append((couple.relationship_id, stream, stream != couple.shared, head.position, head.link))
    for k, count in counts.items():
        place = (k.stream.relationship_id, k.stream.stream_id)
        rows["tallies"].append((*place, k.day, k.teller, k.domain, k.measure, k.value, count))


def _none(event_id: UUID) -> Fact:
    raise AssertionError("nothing is taken back here")


def _write_event(rows: Rows, ring: RelationshipKeys, key: StreamKey, stored: Stored) -> None:
    *event, author, sealed = event_row(ring, key, stored)
    rows["events"].append(tuple(event))
    rows["texts"].append((*event[:3], author, sealed))


async def _copy(db: "asyncpg.Connection[asyncpg.Record]", rows: Rows) -> None:
    async with db.transaction():
        for table, columns in COLUMNS.items():
            schema, _, name = table.rpartition(".")
            await db.copy_records_to_table(name, schema_name=schema or None, columns=columns, records=rows[table])
            rows[table].clear()
