"""An export goes into an empty service and is all there again, for its member alone: the same chains and counts."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest
from asyncpg import Record
from msgspec.structs import replace

from events import chain, entries
from events.entries import Ended
from events.records import Stored, StreamKey
from events.rules import Recorded
from projections import feed
from service.__main__ import main
from service.data_rights import import_export
from service.data_rights.export import Export
from service.errors import ImportRefused
from service.keys.key_store import FileKeyStore
from tests.service.accounts.test_identities import signed_in, step_up, vouched
from tests.service.data_rights.test_export import OCCURRED, exported, lived, verify
from tests.support.asking import opened, rows
from tests.support.phones import NOON, Clock, Json, Phone, Running, running, unlimited
from tests.support.postgres import fresh_database
from tests.support.vouching import KeyServer, registered

LOOKS = (
    "events?proof=true",
    "events?stream=private&proof=true",
    "requests",
    "balances?window=366",
    *(f"trends?measure={measure}" for measure in ("asks", "initiates", "decides", "counted&when=other_decided")),
    "trends?measure=felt&item=close",
    "roles?window=366",
    "openings",
    "voice?window=366",
    "changes?quarter=2026-Q1",
    "perspectives?measure=decides",
    "perspectives?measure=felt&item=close",
)
OF_PEOPLE = ("members", "addresses", "relationships", "memberships", "keys.wrapped")
TABLES = (*OF_PEOPLE, "heads", "events", "pages")


class Elsewhere:
    """An empty service with keys of its own, to which somebody moves."""

    def __init__(self, url: str, keys: Path) -> None:
        self.url, self.store = url, FileKeyStore(keys)

    async def take_in(self, content: bytes) -> int:
        """Import an export."""
        db = await asyncpg.connect(self.url)
        try:
            return await import_export.write_export(db, self.store, msgspec.json.decode(content, type=Export), NOON)
        finally:
            await db.close()

    @asynccontextmanager
    async def signed_in(self, who: Phone) -> AsyncIterator[Phone]:
        """The member with a new phone, at the service that now has their data."""
        async with running(self.url, store=self.store, now=Clock(NOON + timedelta(minutes=1))) as service:
            phone = await service.phone().sign_in(who.email)
            phone.rid, phone.author = who.rid, who.author
            yield phone

    async def rows(self) -> dict[str, int]:
        """How many rows each table has."""
        db = await asyncpg.connect(self.url)
        counts = {table: await db.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}
        await db.close()
        return counts


@pytest.fixture
def elsewhere(postgres_url: str, tmp_path: Path) -> Iterator[Elsewhere]:
    with fresh_database(postgres_url) as url:
        yield Elsewhere(url, tmp_path / "keys")


@pytest.fixture
async def couple(service: Running) -> tuple[Phone, Phone]:
    """Two who have recorded something of every kind, one of them under a name."""
    one, two = await service.couple()
    await two.expect(200, "PATCH", "/v1/me", {"name": "Two", "time_zone": "Europe/Berlin"})
    await lived(one, two)
    for phone in (one, two):
        felt = {"occurred_at": OCCURRED, "felt": {"close": 5}, "domain": "home", "initiated_by": "me"}
        await phone.put("check-ins", felt | {"audience": "shared"})
        await phone.put("check-ins", felt)
    return one, two


async def looks(phone: Phone) -> list[bytes]:
    return [(await phone.call("GET", f"/v1/relationships/{{rid}}/{look}")).content for look in LOOKS]


# --- It is all there again


@pytest.mark.parametrize("who", [0, 1], ids=["who invited", "who accepted"])
async def test_each_gets_back_all_that_they_could_read(
    couple: tuple[Phone, Phone], elsewhere: Elsewhere, who: int
) -> None:
    phone = couple[who]
    before, me = await looks(phone), await phone.get("/v1/me")
    assert await elsewhere.take_in((await exported(phone)).content) == 10
    async with elsewhere.signed_in(phone) as back:
        assert await looks(back) == before
        assert await back.get("/v1/me") == me


async def test_pauses_come_along(couple: tuple[Phone, Phone], elsewhere: Elsewhere) -> None:
    one, _ = couple
    await one.expect(200, "PUT", f"/v1/me/pauses/{uuid4()}", {"from": "2026-06-01", "to": "2026-06-02"})
    await elsewhere.take_in((await exported(one)).content)
    async with elsewhere.signed_in(one) as back:
        assert await back.get("/v1/me/pauses") == await one.get("/v1/me/pauses")


async def test_an_export_without_private_streams_comes_in_without_them(
    couple: tuple[Phone, Phone], elsewhere: Elsewhere
) -> None:
    one, _ = couple
    await one.step_up()
    await elsewhere.take_in((await one.call("GET", "/v1/me/export?private=false")).content)
    async with elsewhere.signed_in(one) as back:
        assert await back.events("shared", proof="true") == await one.events("shared", proof="true")
        assert await back.events("private") == []
        await back.put("check-ins", {"occurred_at": OCCURRED, "note": "a new beginning"})


async def test_a_second_export_differs_only_in_state_and_devices(
    couple: tuple[Phone, Phone], elsewhere: Elsewhere
) -> None:
    before = (await exported(couple[0])).json()
    await elsewhere.take_in(json.dumps(before).encode())
    async with elsewhere.signed_in(couple[0]) as back:
        content = (await exported(back)).content
    assert verify(content).returncode == 0
    before["relationships"][0]["relationship"]["state"] = "ended"
    assert json.loads(content) | {"sessions": None} == before | {"sessions": None}


async def test_the_schedule_comes_along_with_a_seed_of_its_own(
    service: Running, couple: tuple[Phone, Phone], elsewhere: Elsewhere
) -> None:
    one, _ = couple
    item = {"id": str(uuid4()), "relationship_id": one.rid, "weekdays": ["mon"], "from": "20:00", "to": "21:00"}
    await one.expect(200, "PUT", "/v1/me/schedule", {"check_ins": [item | {"questions": ["close"]}]})
    await elsewhere.take_in((await exported(one)).content)
    async with elsewhere.signed_in(one) as back:
        assert await back.get("/v1/me/schedule") == await one.get("/v1/me/schedule")
    async with opened(elsewhere.url) as there:
        (row,) = await there.fetch("SELECT * FROM schedules")
    assert (row["since"], row["plan_at"]) == (NOON, NOON)
    assert row["seed"] != (await rows(service, "schedules"))[0]["seed"]


async def test_a_schedule_of_a_foreign_relationship_is_refused(
    couple: tuple[Phone, Phone], elsewhere: Elsewhere
) -> None:
    document = (await exported(couple[0])).json()
    item = {"id": str(uuid4()), "relationship_id": str(uuid4()), "weekdays": ["mon"], "from": "20:00", "to": "21:00"}
    document["schedule"]["check_ins"] = [item | {"questions": []}]
    with pytest.raises(ImportRefused, match="not a relationship of yours"):
        await elsewhere.take_in(json.dumps(document).encode())


async def test_relationships_keep_their_order_and_one_alone_stays_open(service: Running, elsewhere: Elsewhere) -> None:
    one, _ = await service.couple()
    for _ in range(3):
        service.clock.advance(seconds=1)
        await one.expect(201, "POST", "/v1/relationships", {})
    listed = (await one.get("/v1/relationships"))["relationships"]
    await elsewhere.take_in((await exported(one)).content)
    async with elsewhere.signed_in(one) as back:
        again = (await back.get("/v1/relationships"))["relationships"]
        assert [known["state"] for known in again] == ["solo", "solo", "solo", "ended"]
        assert [known | {"state": ""} for known in again] == [known | {"state": ""} for known in listed]
        back.rid = again[0]["id"]
        await back.put("check-ins", {"occurred_at": OCCURRED, "note": "Here now"})
        await back.expect(201, "POST", "/v1/relationships/{rid}/invites")


async def test_what_is_recorded_next_follows_the_old_head(couple: tuple[Phone, Phone], elsewhere: Elsewhere) -> None:
    one, _ = couple
    await elsewhere.take_in((await exported(one)).content)
    async with elsewhere.signed_in(one) as back:
        position = (await one.events("private"))[-1]["position"]
        later = await back.put("check-ins", {"occurred_at": OCCURRED, "note": "Here now"})
        assert later["head"]["position"] == position + 1
        assert verify((await exported(back)).content).returncode == 0
        assert await back.refused("requests", {"occurred_at": OCCURRED, "domain": "home"}) == (
            403,
            "relationship_not_active",
        )


async def test_an_erased_event_stays_erased(couple: tuple[Phone, Phone], elsewhere: Elsewhere) -> None:
    document = erased((await exported(couple[0])).json())
    assert verify(json.dumps(document).encode()).returncode == 0
    await elsewhere.take_in(json.dumps(document).encode())
    async with elsewhere.signed_in(couple[0]) as back:
        told = (await exported(back)).json()["relationships"][0]
        assert told["shared"] == document["relationships"][0]["shared"]
        balances = await back.get("/v1/relationships/{rid}/balances", window=366)
        assert balances["mine"]["initiates"]["counts"]["me"] == 2
        assert balances["partners"] == {**balances["partners"], "felt": {}}
        assert balances["partners"]["initiates"]["n"] == 0


def erased(document: Json) -> Json:
    """The export as it would be if the partner had been erased before."""
    for event in document["relationships"][0]["shared"]["events"]:
        if event["by"] == "partner":
            event.pop(event["kind"])
            event.pop("day", None)
            event |= {"kind": "erased", "late": False}
            event["proof"] |= {"body": None, "opening": None}
    return document


# --- Nobody else comes along


async def test_the_partner_is_a_name_and_nobody_to_sign_in_as(
    couple: tuple[Phone, Phone], elsewhere: Elsewhere
) -> None:
    one, two = couple
    await elsewhere.take_in((await exported(one)).content)
    assert (await elsewhere.rows())["members"] == (await elsewhere.rows())["addresses"] == 1
    async with elsewhere.signed_in(one) as back:
        view = await back.get("/v1/relationships/{rid}")
        assert (view["partner"], view["state"]) == ({"name": "Two"}, "ended")
    async with elsewhere.signed_in(two) as stranger:
        assert stranger.member_id != two.member_id
        assert (await stranger.get("/v1/relationships"))["relationships"] == []
        assert (await stranger.call("GET", "/v1/relationships/{rid}/balances")).status_code == 404


async def test_what_it_says_is_sealed_with_keys_of_the_new_place(
    service: Running, couple: tuple[Phone, Phone], elsewhere: Elsewhere
) -> None:
    await elsewhere.take_in((await exported(couple[0])).content)
    kept = "SELECT ciphertext, encode(ciphertext, 'escape') AS shown FROM events"
    here, there = [await fetched(url, kept) for url in (service.database_url, elsewhere.url)]
    assert len(there) == 10
    assert {row["ciphertext"] for row in here}.isdisjoint(row["ciphertext"] for row in there)
    assert not any("Tea?" in row["shown"] for row in there)


async def fetched(url: str, statement: str) -> Any:
    db = await asyncpg.connect(url)
    rows = await db.fetch(statement)
    await db.close()
    return rows


# --- What is refused, wholly


def shared(document: Json) -> list[Json]:
    """The shared events of an export."""
    events: list[Json] = document["relationships"][0]["shared"]["events"]
    return events


def change_a_word(document: Json) -> None:
    shared(document)[1]["request"]["text"] = "Two?"


def change_an_offset(document: Json) -> None:
    shared(document)[1]["request"]["occurred_at"] = "2026-06-15T09:00:00+01:00"


def change_a_body(document: Json) -> None:
    shared(document)[1]["request"]["text"] = "Two?"
    shared(document)[1]["proof"]["body"] = shared(document)[1]["proof"]["body"].replace("Tea?", "Two?")


def change_an_author(document: Json) -> None:
    shared(document)[1]["by"] = "partner"


def turn_the_others_words_round(document: Json) -> None:
    next(e for e in shared(document) if e["by"] == "partner" and "check_in" in e)["check_in"]["decided_by"] = "partner"


def change_an_opening(document: Json) -> None:
    shared(document)[1]["proof"]["opening"] = "00" * 32


def leave_out_an_opening(document: Json) -> None:
    shared(document)[1]["proof"]["opening"] = None


def leave_out_a_proof(document: Json) -> None:
    del shared(document)[1]["proof"]


def respell_a_header(document: Json) -> None:
    shared(document)[1]["proof"]["header"] += " "


def break_a_header(document: Json) -> None:
    shared(document)[1]["proof"]["header"] = "{}"


def swap_two(document: Json) -> None:
    shared(document)[1:3] = shared(document)[2:0:-1]


def leave_one_out(document: Json) -> None:
    del shared(document)[1]


def leave_the_last_out(document: Json) -> None:
    del shared(document)[-1]


def name_another_stream(document: Json) -> None:
    streams = document["relationships"][0]["relationship"]["streams"]
    streams["shared"], streams["private"] = streams["private"], streams["shared"]


def be_the_other(document: Json) -> None:
    document["relationships"][0]["relationship"]["author"] = "00000000-0000-4000-8000-000000000000"


def tell_it_twice(document: Json) -> None:
    document["relationships"] *= 2


def have_an_address_that_is_none(document: Json) -> None:
    document["me"]["email"] = "nobody"


def live_nowhere(document: Json) -> None:
    document["me"]["time_zone"] = "Nowhere/AtAll"


LIES: list[Callable[[Json], None]] = [
    change_a_word,
    change_an_offset,
    change_a_body,
    change_an_author,
    turn_the_others_words_round,
    change_an_opening,
    leave_out_an_opening,
    leave_out_a_proof,
    respell_a_header,
    break_a_header,
    swap_two,
    leave_one_out,
    leave_the_last_out,
    name_another_stream,
    be_the_other,
    tell_it_twice,
    have_an_address_that_is_none,
    live_nowhere,
]


async def test_what_does_not_verify_is_refused_in_one_sentence_and_leaves_nothing(
    couple: tuple[Phone, Phone], elsewhere: Elsewhere
) -> None:
    content = (await exported(couple[0])).content
    for lie in LIES:
        document = json.loads(content)
        lie(document)
        with pytest.raises(ImportRefused, match=r"^[A-Z][^\n]*\.$"):
            await elsewhere.take_in(json.dumps(document).encode())
        assert sum((await elsewhere.rows()).values()) == 0, lie.__name__
    assert await elsewhere.take_in(content) == 10


IMPOSSIBLE = [
    f'{{"kind":"retraction","occurred_at":"{OCCURRED}","event_id":"5b0f7f0e-0f0e-4d7c-9d3e-1a1f6f6f0001"}}',
    f'{{"kind":"request","occurred_at":"{OCCURRED}","domain":"home"}}',
    '{"kind":"opened"}',
    '{"kind":"erased"}',
    '{"kind":"promise"}',
    "{}",
]


@pytest.mark.parametrize("body", IMPOSSIBLE)
async def test_a_chain_that_is_whole_but_was_never_recorded_is_refused(service: Running, body: str) -> None:
    one = await service.member()
    await one.put("check-ins", {"occurred_at": OCCURRED, "note": "Here"})
    export = msgspec.json.decode((await exported(one)).content, type=Export)
    other_words = f'{{"kind":"check_in","occurred_at":"{OCCURRED}","note":"There","audience":"private"}}'
    assert import_export.verify_export(saying(export, other_words))
    with pytest.raises(ImportRefused, match="at position 1"):
        import_export.verify_export(saying(export, body))


def saying(export: Export, body: str) -> Export:
    """The export of one private entry, which says something else, with proofs that hold."""
    (told,) = export.relationships
    assert told.private is not None
    (event,) = told.private.events
    stream, me, opening = told.relationship.streams.private, told.relationship.author, bytes(32)
    place = chain.genesis(stream), stream, event.id, me, event.recorded_at
    link = chain.extend(*place, body.encode(), opening)
    fact = entries.from_text(body.encode()) if body in IMPOSSIBLE[:3] or "There" in body else Ended()
    recorded = Recorded("private", 1, event.id, me, event.recorded_at, fact)
    stored = Stored(recorded, link.commitment, link.link, None, body, opening)
    shown = feed.with_proof(stored, StreamKey(told.relationship.id, 1, stream), me)
    page = feed.Page([shown], feed.Head(1, link.link.hex()), more=False)
    return replace(export, relationships=[replace(told, private=page)])


DEEP = '{"kind":"check_in","occurred_at":"' + OCCURRED + '","x":' + "[" * 100_000 + "]" * 100_000 + "}"


async def test_a_body_that_nests_too_deeply_is_refused(service: Running) -> None:
    one = await service.member()
    await one.put("check-ins", {"occurred_at": OCCURRED, "note": "Here"})
    export = msgspec.json.decode((await exported(one)).content, type=Export)
    with pytest.raises(ImportRefused, match="at position 1"):
        import_export.verify_export(saying(export, DEEP))


# Of each sort something that no export has there, and that could lead to a traceback.
ODD: list[Any] = [
    None,
    "",
    "\0",
    "a\0b",
    "ä" * 300,
    "[" * 5000,
    '{"v":' * 5000,
    "9999-12-31T23:59:59.999999Z",
    "0001-01-01T00:00:00+14:00",
    "00000000-0000-0000-0000-000000000000",
    "Factory",
    -1,
    2**63,
    10**400,
    [],
    {},
    [[]],
]


def leaves(document: Any) -> Iterator[tuple[Any, Any]]:
    """Each place in a document, as what holds it, and its name or number there."""
    named = document.items() if isinstance(document, dict) else enumerate(document)
    for place, value in list(named):
        yield document, place
        if isinstance(value, dict | list):
            yield from leaves(value)


async def test_whatever_stands_anywhere_an_import_ends_in_a_sentence(
    couple: tuple[Phone, Phone], elsewhere: Elsewhere
) -> None:
    document, db = json.loads((await exported(couple[1])).content), await asyncpg.connect(elsewhere.url)
    for holder, place in leaves(document):
        right = holder[place]
        for odd in ODD:
            holder[place] = odd
            await take_in_and_back(db, elsewhere.store, json.dumps(document).encode())
        holder[place] = right
    await db.close()


async def take_in_and_back(db: "asyncpg.Connection[Record]", store: FileKeyStore, content: bytes) -> None:
    """Import what can be imported, and take it back."""
    attempt = db.transaction()
    await attempt.start()
    try:
        await import_export.write_export(db, store, msgspec.json.decode(content, type=Export), NOON)
    except (ImportRefused, msgspec.MsgspecError):
        pass
    finally:
        await attempt.rollback()


async def test_a_service_that_has_members_is_left_alone(
    service: Running, couple: tuple[Phone, Phone], tmp_path: Path
) -> None:
    before = await couple[1].events("shared", proof="true")
    with pytest.raises(ImportRefused, match="members already"):
        await Elsewhere(service.database_url, tmp_path).take_in((await exported(couple[0])).content)
    assert await couple[1].events("shared", proof="true") == before


# --- Of a member without a mail address


@pytest.fixture
async def of_apple(database_url: str) -> AsyncIterator[bytes]:
    """The export of a member whom Apple knows, and who has no mail address here."""
    with KeyServer().open() as keys:
        async with running(database_url, settings=unlimited(**registered(keys))) as service:
            phone = await (await signed_in(service, vouched())).begin()
            await phone.put("check-ins", {"occurred_at": OCCURRED, "note": "a walk"})
            assert await step_up(phone, vouched()) == 204
            yield (await phone.call("GET", "/v1/me/export")).content


async def imported(monkeypatch: pytest.MonkeyPatch, elsewhere: Elsewhere, file: Path, *arguments: str) -> int:
    """What `python -m service import` returns for the file."""
    monkeypatch.setenv("MUTUALITY_DATABASE_URL", elsewhere.url)
    monkeypatch.setenv("MUTUALITY_DATA_DIR", str(file.parent))
    monkeypatch.setattr("sys.argv", ["service", "import", str(file), *arguments])
    return await asyncio.to_thread(main)


async def test_it_comes_in_under_an_address_that_is_given(
    of_apple: bytes,
    elsewhere: Elsewhere,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "export.json"
    file.write_bytes(of_apple)
    exported_me = json.loads(of_apple)["me"]
    assert (exported_me["email"], exported_me["identities"]) == (None, ["apple"])
    assert await imported(monkeypatch, elsewhere, file, "--email", " Someone@Example.org ") == 0
    assert "The member signs in by the mail address that was given." in capsys.readouterr().out
    async with running(elsewhere.url, store=FileKeyStore(tmp_path / "keys"), now=Clock()) as there:
        phone = await there.phone().sign_in("someone@example.org")
        assert await phone.get("/v1/me") == exported_me | {"email": "someone@example.org", "identities": []}
        phone.rid = (await phone.get("/v1/relationships"))["relationships"][0]["id"]
        assert [event["kind"] for event in await phone.events("private")] == ["check_in"]


async def test_without_one_it_comes_in_and_that_nobody_can_sign_in_is_said(
    of_apple: bytes,
    elsewhere: Elsewhere,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "export.json"
    file.write_bytes(of_apple)
    assert await imported(monkeypatch, elsewhere, file) == 0
    assert "Nobody can sign in as the member" in capsys.readouterr().out
    assert (await elsewhere.rows()) | {"events": 1, "members": 1, "addresses": 0} == await elsewhere.rows()


async def test_what_is_given_has_to_be_a_mail_address(
    of_apple: bytes,
    elsewhere: Elsewhere,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "export.json"
    file.write_bytes(of_apple)
    assert await imported(monkeypatch, elsewhere, file, "--email", "nobody") == 1
    assert "This is no mail address" in capsys.readouterr().err


NO_EXPORTS = [
    b"",
    b"{}",
    b"[]",
    b'{"format":"mutuality/export/v2"}',
    b'{"format":"mutua',
    b"[" * 100_000,
    b'{"format":' * 100_000,
    b"\xff\xfe\x00",
    b'{"format":"\xff"}',
    b'{"format":"mutuality/export/v1","member_id":' + b"9" * 10_000 + b"}",
    b"\x00" * 100,
]


@pytest.mark.parametrize("content", NO_EXPORTS, ids=range(len(NO_EXPORTS)))
def test_a_file_that_is_no_export_is_refused_before_a_database_is_touched(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "export.json"
    file.write_bytes(content)
    monkeypatch.setenv("MUTUALITY_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setattr("sys.argv", ["service", "import", str(file)])
    assert main() == 1
    assert "is not a whole export" in capsys.readouterr().err
