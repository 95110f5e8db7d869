"""Couples, written straight into a database as the service would write them: it takes their tokens and opens their log.

Over HTTP each would need two mailed codes and a dozen calls; what is measured comes after that.
"""

import os
import random
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias, get_args
from uuid import UUID, uuid4

import asyncpg
from msgspec import Struct

from events.chain import Head, genesis
from events.encryption import KEY_BYTES, NONCE_BYTES, RelationshipKeys
from events.entries import FELT_ITEMS, WHO, Audience, CheckIn, Decision, Domain, Entry, MyInput, Opened, Request
from events.records import SHARED, Draft, StreamKey, encrypt_event, event_row
from events.rules import Recorded
from projections import pages, tallies
from projections.pages import Page, PageKey, page_row
from projections.reader import Reader
from service.access.consent import CONSENT_VERSION
from service.core import tokens
from service.keys import field_encryption
from service.keys.epochs import BEGIN_EPOCH, FIRST_EPOCH
from service.keys.key_store import FileKeyStore

TOKEN_TTL = timedelta(days=1)  # longer than any benchmark
BATCH = 20_000

COLUMNS = {
    "members": ("member_id", "time_zone", "consent_version", "created_at"),
    "keys.wrapped": ("purpose", "owner_id", "epoch", "wrapped"),
    "sessions": ("session_id", "member_id", "known_device_id", "device_name", "created_at", "refreshed_at"),
    "access_tokens": ("token_hash", "session_id", "expires_at"),
    "relationships": ("relationship_id", "state", "shared_stream_id", "created_at"),
    "memberships": ("relationship_id", "seat", "member_id", "author_id", "private_stream_id", "joined_at"),
    "readers": ("relationship_id", "stream", "member_id"),
    "heads": ("relationship_id", "stream", "version", "position", "link"),
    "events": (
        "relationship_id",
        "stream",
        "position",
        "author",
        "recorded_at",
        "alters",
        "event_id",
        "commitment",
        "link",
        "ciphertext",
    ),
    "pages": ("relationship_id", "stream", "author", "month", "ciphertext"),
}
Rows = dict[str, list[tuple[Any, ...]]]


class Person(Struct, frozen=True):
    """One of two: the ids that are theirs, and a token that lets them in."""

    seat: int
    member_id: UUID
    session_id: UUID
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
    def both(self) -> tuple[Person, Person]:
        """In the order of their seats."""
        return self.first, self.second

    @property
    def keys(self) -> RelationshipKeys:
        """What their events are encrypted with."""
        seats = tuple(person.author_id for person in self.both)
        return RelationshipKeys(self.key, {person.author_id: person.key for person in self.both}, seats)

    def reader(self, person: Person) -> Reader:
        """One of them, as who reads."""
        return Reader(self.relationship_id, person.seat, person.author_id, self.shared, person.private)

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


# What a couple has recorded in so many days until now.
History: TypeAlias = Callable[["Couple", datetime, int], Iterable[Said]]


async def move_in(
    url: str, keys_dir: Path, couples: int, days: int = 0, history: History | None = None
) -> list[Couple]:
    """Couples who are linked; with days, such a history behind them: two events a day, if none is given."""
    store, now = FileKeyStore(keys_dir), datetime.now(UTC)
    db = await asyncpg.connect(url)
    try:
        await db.execute(BEGIN_EPOCH, FIRST_EPOCH, now)
        made = []
        rows: Rows = {table: [] for table in COLUMNS}
        for _ in range(couples):
            couple = _couple()
            made.append(couple)
            _write(rows, couple, store, now)
            _write_log(rows, couple, [*(history or year)(couple, now, days)], now - timedelta(days=days + 1))
            if len(rows["events"]) >= BATCH:
                await _copy(db, rows)
        await _copy(db, rows)
        await db.execute("ANALYZE")
    finally:
        await db.close()
    return made


def _couple() -> Couple:
    return Couple(uuid4(), uuid4(), os.urandom(KEY_BYTES), _person(1), _person(2))


def _person(seat: int) -> Person:
    return Person(seat, uuid4(), uuid4(), uuid4(), uuid4(), os.urandom(KEY_BYTES), os.urandom(KEY_BYTES).hex())


def _write(rows: Rows, couple: Couple, store: FileKeyStore, now: datetime) -> None:
    """All that links them, but for their log."""
    rid, epoch = couple.relationship_id, FIRST_EPOCH
    rows["relationships"].append((rid, "active", couple.shared, now))
    rows["keys.wrapped"].append(("relationship", rid, epoch, store.wrap(epoch, couple.key)))
    for person in couple.both:
        member_id, session_id = person.member_id, person.session_id
        device = field_encryption.encrypt(person.key, member_id, "device_name", "a phone")
        rows["members"].append((member_id, "UTC", CONSENT_VERSION, now))
        rows["keys.wrapped"].append(("member", member_id, epoch, store.wrap(epoch, person.key)))
        rows["sessions"].append((session_id, member_id, uuid4(), device, now, now))
        rows["access_tokens"].append((tokens.token_hash(person.token), session_id, now + TOKEN_TTL))
        rows["memberships"].append((rid, person.seat, member_id, person.author_id, person.private, now))
        rows["readers"] += [(rid, SHARED, member_id), (rid, person.seat, member_id)]


def year(couple: Couple, now: datetime, days: int) -> Iterator[Said]:
    """So many days until now, two events each: one asks, and somebody tells how it was, or who decided."""
    chance = random.Random(days)
    for at in (now - timedelta(days=days - 1 - day) for day in range(days)):
        asks, tells = chance.sample(couple.both, 2)
        yield Said(asks, "shared", at, Request(occurred_at=at, domain="home", expires_at=at + timedelta(days=7)))
        if chance.random() < 0.5:
            felt = CheckIn(occurred_at=at, felt={"heard": chance.randint(1, 7)}, initiated_by="me", audience="private")
            yield Said(tells, "private", at, felt)
        else:
            decision = Decision(occurred_at=at, domain="plans", decided_by="both", my_input="asked", audience="shared")
            yield Said(tells, "shared", at, decision)


ENTRIES_A_DAY = 1.5
NOTE_WORDS = 15
WORDS = ["we", "talked", "late", "about", "the", "garden", "and", "whose", "mother", "calls"]


def diary(couple: Couple, now: datetime, days: int) -> Iterator[Said]:
    """So many days until now, one and a half entries a day, of every kind that stands alone: mostly how it felt.

    Every other entry has 15 words of text.
    """
    chance = random.Random(couple.relationship_id.int)
    now = now.replace(microsecond=0)  # as phones send it
    for i in range(round(days * ENTRIES_A_DAY)):
        at = now - timedelta(days=days - (i + 1) / ENTRIES_A_DAY)
        note = " ".join(chance.choices(WORDS, k=NOTE_WORDS)) if i % 2 else None
        yield _of_some_kind(chance, chance.choice(couple.both), at, note)


def _of_some_kind(chance: random.Random, by: Person, at: datetime, note: str | None) -> Said:
    domain, who = chance.choice(get_args(Domain)), chance.choice(WHO)
    kind = chance.randrange(6)
    if kind == 0:
        request = Request(occurred_at=at, domain=domain, text=note, expires_at=at + timedelta(days=7))
        return Said(by, "shared", at, request)
    audience: Audience = chance.choice(("shared", "private"))
    if kind == 1:
        decision = Decision(
            occurred_at=at,
            domain=domain,
            text=note,
            size=chance.choice(("small", "big")),
            raised_by=chance.choice(WHO),
            decided_by=who,
            my_input=None if who == "me" else chance.choice(get_args(MyInput)),
            audience=audience,
        )
        return Said(by, audience, at, decision)
    felt = {item: chance.randint(1, 7) for item in chance.sample(FELT_ITEMS, 2)}
    initiated = who if chance.random() < 0.5 else None
    told = CheckIn(occurred_at=at, domain=domain, felt=felt, initiated_by=initiated, note=note, audience=audience)
    return Said(by, audience, at, told)


def _write_log(rows: Rows, couple: Couple, said: Iterable[Said], opened_at: datetime) -> None:
    """Their streams: encrypted and chained, with the pages that count them."""
    keys, shared = couple.keys, StreamKey(couple.relationship_id, SHARED, couple.shared)
    private = {one.seat: StreamKey(couple.relationship_id, one.seat, one.private) for one in couple.both}
    heads = {stream: genesis(stream.stream_id) for stream in (shared, *private.values())}
    counted: dict[PageKey, Page] = {}
    drafts = [(shared, Draft(uuid4(), None, opened_at, Opened(), os.urandom(32)))]
    drafts += [(shared if s.audience == "shared" else private[s.by.seat], _draft(s)) for s in said]
    for stream, draft in drafts:
        stored = encrypt_event(keys, heads[stream], stream, draft)
        heads[stream] = Head(stored.event.position, stored.link)
        rows["events"].append(event_row(keys, stream, stored))
        for key, count in tallies.tally(stream, stored.event, _none):
            pages.add(counted.setdefault(pages.page_of(key), {}), key, count)
    for stream, head in heads.items():
        rows["heads"].append((stream.relationship_id, stream.number, head.position + 1, head.position, head.link))
    rows["pages"] += [page_row(keys, key, page, os.urandom(NONCE_BYTES)) for key, page in counted.items()]


def _draft(said: Said) -> Draft:
    return Draft(uuid4(), said.by.author_id, said.at, said.entry, os.urandom(32))


def _none(audience: Audience, event_id: UUID) -> Recorded | None:
    raise AssertionError("nothing is taken back here, or about something")


async def _copy(db: "asyncpg.Connection[asyncpg.Record]", rows: Rows) -> None:
    async with db.transaction():
        for table, columns in COLUMNS.items():
            schema, _, name = table.rpartition(".")
            await db.copy_records_to_table(name, schema_name=schema or None, columns=columns, records=rows[table])
            rows[table].clear()
