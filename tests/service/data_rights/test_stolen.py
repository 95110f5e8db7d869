"""Whoever steals the database without its keys learns who wrote where and when, and nothing of what it says."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from events import encryption, entries
from events.encryption import DecryptionFailed, RelationshipKeys
from events.entries import Audience, Decision
from events.records import StreamKey
from projections import pages
from projections.pages import PageKey
from tests.service.data_rights.test_erasure import INTIMATE, OCCURRED, both, check_in, erase, told
from tests.support.disk import keep_wal, places_of
from tests.support.phones import KEYS, Json, Phone, Running

HERE = "/v1/relationships/{rid}"
OVERHEAD_BYTES = 12 + 16  # a nonce, and what authenticates


@pytest.fixture
async def db(service: Running) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """The database, as who has stolen it."""
    connection = await asyncpg.connect(service.database_url)
    yield connection
    await connection.close()


# --- What stands in the clear


async def rows(db: Any, table: str) -> list[Json]:
    """All rows of a table."""
    return [dict(row) for row in await db.fetch(f"TABLE {table}")]


async def test_of_an_entry_stands_there_where_by_whom_and_when_and_a_rounded_length(service: Running, db: Any) -> None:
    one, two = await service.couple()
    await told(one, other=two)
    events = await rows(db, "events")
    assert len(events) == 9
    in_the_clear = {"relationship_id", "stream", "author", "position", "recorded_at", "event_id"}
    opaque = {"alters": int, "commitment": bytes, "link": bytes, "ciphertext": bytes}
    for event in events:
        assert event.keys() == in_the_clear | opaque.keys()
        assert {name: type(event[name]) for name in opaque} == opaque
        assert (len(event["ciphertext"]) - OVERHEAD_BYTES) % 128 == 0
    for name in opaque:
        assert len({event[name] for event in events}) == len(events), f"{name} is the same of two"


async def test_two_streams_do_not_tell_that_both_sealed_for_one_day(service: Running, db: Any) -> None:
    couple = await service.couple()
    for phone in couple:
        await phone.put("check-ins", check_in(audience="sealed"))
    found = {(event["stream"], event["alters"]) for event in await rows(db, "events")}
    assert {stream for stream, _ in found} == {0, 1, 2}
    assert len({alters for _, alters in found}) == len(found)


async def test_of_counts_stands_there_whose_where_and_in_which_month_and_a_rounded_length(
    service: Running, db: Any
) -> None:
    one, _ = await service.couple()
    await told(one)
    kept = await rows(db, "pages")
    assert {(page["stream"], page["author"], page["month"]) for page in kept} == {(0, 1, 24317), (1, 1, 24317)}
    for page in kept:
        assert page.keys() == {"relationship_id", "stream", "author", "month", "ciphertext"}
        assert (len(page["ciphertext"]) - OVERHEAD_BYTES) % 64 == 0


async def test_an_intimate_answer_looks_like_any_other(service: Running, db: Any) -> None:
    async def looks_like(**fields: Any) -> tuple[Any, ...]:
        phone = await service.member()
        await phone.put("check-ins", check_in(**fields))
        (event,) = await db.fetch("SELECT * FROM events WHERE relationship_id = $1", UUID(phone.rid))
        (page,) = await db.fetch("SELECT * FROM pages WHERE relationship_id = $1", UUID(phone.rid))
        return event["stream"], event["author"], len(event["ciphertext"]), page["month"], len(page["ciphertext"])

    assert await looks_like(**INTIMATE) == await looks_like(domain="home", felt={"fair": 4, "close": 6})


OUTCOMES: tuple[Literal["yes", "not_now", "no"], ...] = ("yes", "not_now", "no")


@pytest.mark.parametrize("audience", ["shared", "private"])
async def test_no_and_yes_are_of_one_length(service: Running, db: Any, audience: str) -> None:
    one, two = await service.couple()
    names = []
    for outcome in OUTCOMES:
        asked = (await one.put("requests", {"occurred_at": OCCURRED, "domain": "home"}))["event"]["id"]
        body = {"occurred_at": OCCURRED, "request_id": asked, "outcome": outcome, "audience": audience}
        names.append(UUID((await two.put("decisions", body))["event"]["id"]))
    found = await db.fetch("SELECT length(ciphertext) AS bytes FROM events WHERE event_id = ANY ($1)", names)
    assert [row["bytes"] for row in found] == [OVERHEAD_BYTES + 2 * 128] * 3


TIMES = ["2026-06-15T10:00:00Z", "2026-06-15T10:00:00+02:00", "2026-06-15T10:00:00.123456-11:30"]


@pytest.mark.parametrize("spelled", TIMES)
@pytest.mark.parametrize("audience", ["shared", "private"])
def test_they_are_so_however_a_phone_spells_the_time(spelled: str, audience: Audience) -> None:
    at, request_id = datetime.fromisoformat(spelled), uuid4()
    said = [Decision(occurred_at=at, request_id=request_id, outcome=one, audience=audience) for one in OUTCOMES]
    bodies = [entries.to_text(entries.complete(one, at)) for one in said]
    assert len({len(body) for body in bodies}) == 3
    whole = [encryption.padded(bytes(encryption.OPENING_BYTES) + body, encryption.TEXT_UNIT_BYTES) for body in bodies]
    assert len({len(text) for text in whole}) == 1


# --- On the disk


async def pages_of(service: Running, phone: Phone) -> list[bytes]:
    """What the pages of an author say, as it is packed before it is encrypted."""
    keys, streams = await service.keys_of(phone.rid), (await phone.get(HERE))["streams"]
    both_streams = [StreamKey(UUID(phone.rid), number, UUID(streams[name])) for number, name in NUMBERED]
    async with service.app.state.context.maintenance_db.acquire() as db:
        found = await pages.read_all(db, {UUID(phone.rid): keys}, both_streams)
    return [msgspec.msgpack.encode(page) for key, page in found.items() if page and key.author == UUID(phone.author)]


NUMBERED = ((0, "shared"), (1, "private"))


async def test_no_count_stands_anywhere_on_the_disk(service: Running, db: Any, tmp_path: Path) -> None:
    await keep_wal(db)
    one, _ = await service.couple()
    await told(one)
    spelled = ("free_to_say_no", "intimacy", "initiates")
    packed = await pages_of(service, one)
    assert len(packed) == 2
    assert min(map(len, packed)) > 16, "too short to be told from chance"
    for planted in (*packed, *(word.encode() for word in spelled)):
        # Three times: where a page of the WAL ends within a word, its header stands in the middle of it.
        await db.execute("CREATE TABLE planted AS SELECT $1::bytea AS page FROM generate_series(1, 3)", planted)
        assert await places_of(service, db, planted, tmp_path) >= {"heap", "wal", "dump"}
        await db.execute("DROP TABLE planted")
    # What was planted stays in the WAL, so this is looked for in another year of other people.
    two = await service.member()
    for year in (2024, 2025):
        await two.put("check-ins", check_in(**INTIMATE) | {"occurred_at": f"{year}-02-03T10:00:00Z"})
        await two.put("check-ins", check_in(**INTIMATE) | {"occurred_at": f"{year}-02-28T10:00:00Z", "domain": "money"})
    for page in await pages_of(service, two):
        assert await places_of(service, db, page, tmp_path) == set()
    for word in spelled:
        assert await places_of(service, db, word.encode(), tmp_path) <= {"wal"}


# --- With the keys that are left


async def all_keys(db: Any) -> list[bytes]:
    """Every key of today: of members, relationships, and for looking up."""
    return [KEYS.unwrap(row["epoch"], row["wrapped"]) for row in await db.fetch("TABLE keys.wrapped")]


async def test_no_key_of_today_opens_what_an_old_backup_has_of_who_was_erased(service: Running, db: Any) -> None:
    one, two = await service.couple()
    await told(one, other=two)
    await two.put("decisions", both(decided_by="me", audience="shared"))
    streams = (await one.get(HERE))["streams"]
    backup = {table: await rows(db, table) for table in ("events", "pages")}
    assert await opened(db, backup, one, streams) == (7, 2)
    await erase(one)
    assert await opened(db, backup, one, streams) == (0, 0)
    assert await opened(db, backup, two, {**streams, "private": (await two.get(HERE))["streams"]["private"]}) == (2, 1)
    assert {row["author"] for row in await rows(db, "pages")} == {2}
    assert {(row["author"], row["ciphertext"] is None) for row in await rows(db, "events")} == {
        (0, False),
        (1, True),
        (2, False),
    }


async def opened(db: Any, backup: dict[str, list[Json]], who: Phone, streams: Json) -> tuple[int, int]:
    """How many events and pages of an author in a backup some key of today opens."""
    keys, seat = await all_keys(db), (await db.fetchval(SEAT, who.author))
    named = {0: streams["shared"], seat: streams["private"]}
    return (
        sum(_event_opens(row, named, who.author, keys) for row in backup["events"] if row["author"] == seat),
        sum(_page_opens(row, named, who.author, keys) for row in backup["pages"] if row["author"] == seat),
    )


SEAT = "SELECT seat FROM memberships WHERE author_id = $1::text::uuid"


def _event_opens(row: Json, streams: Json, author: str, keys: list[bytes]) -> bool:
    stream, whose = UUID(streams[row["stream"]]), UUID(author)
    place = encryption.AssociatedData(stream, row["event_id"], whose, row["commitment"])
    return any(
        _opens(encryption.decrypt, RelationshipKeys(key, {whose: key}), place, row["ciphertext"]) for key in keys
    )


def _page_opens(row: Json, streams: Json, author: str, keys: list[bytes]) -> bool:
    stream = StreamKey(row["relationship_id"], row["stream"], UUID(streams[row["stream"]]))
    page, whose = PageKey(stream, UUID(author), row["month"]), UUID(author)
    return any(_opens(pages.decrypt, RelationshipKeys(key, {whose: key}), page, row["ciphertext"]) for key in keys)


def _opens(decrypt: Callable[..., Any], *args: Any) -> bool:
    try:
        decrypt(*args)
    except DecryptionFailed:
        return False
    return True
