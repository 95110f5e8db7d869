"""Somebody with all rights, and with the keys, rewrites the database; a client that remembers one old head notices.

Without the keys nothing that was changed opens any more, and the service says so. The client is
`openapi/verify.py`, which shares no line with the service.
"""

import json
import runpy
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest
from asyncpg import Record
from msgspec import Struct
from msgspec.structs import replace

from events import chain, encryption
from events.encryption import RelationshipKeys
from tests.support.phones import Phone, Running

VERIFIER = Path(__file__).parents[3] / "openapi" / "verify.py"
verify = runpy.run_path(str(VERIFIER))["verify"]

Database: TypeAlias = "asyncpg.Connection[Record]"
Json: TypeAlias = dict[str, Any]
OCCURRED = "2026-06-15T10:00:00+02:00"


class Stream(Struct, frozen=True):
    """A stream, as its client and as its attacker know it: ids, the remembered head, the database."""

    phone: Phone
    stream_id: str
    remembered: tuple[int, str]
    db: Database
    keys: RelationshipKeys


@pytest.fixture
async def stream(service: Running) -> Any:
    """The shared stream of two who have recorded eight events, of which the client has seen the first six."""
    one, two = await service.couple()
    for day in (1, 2):
        asked = await one.put(
            "requests", {"occurred_at": f"2026-06-0{day}T10:00:00Z", "domain": "home", "text": "Tea?"}
        )
        await two.put("decisions", {"occurred_at": OCCURRED, "request_id": asked["event"]["id"], "outcome": "yes"})
    seen = await one.put("check-ins", {"occurred_at": OCCURRED, "note": "A walk", "audience": "shared"})
    for note in ("Rain", "Sun"):
        await two.put("check-ins", {"occurred_at": OCCURRED, "note": note, "audience": "shared"})
    stream_id = (await one.get("/v1/relationships/{rid}"))["streams"]["shared"]
    db = await asyncpg.connect(service.database_url, server_settings={"session_replication_role": "replica"})
    yield Stream(one, stream_id, (seen["head"]["position"], seen["head"]["link"]), db, await service.keys_of(one.rid))
    await db.close()


async def pages(phone: Phone, stream: str = "shared", limit: int = 3) -> list[Json]:
    """All pages of a stream, with proofs; no more of them where a stream that was rewritten leads nowhere."""
    read: list[Json] = []
    after, reached = -1, 0
    while reached > after and (not read or read[-1]["more"]):
        after = reached
        path = "/v1/relationships/{rid}/events"
        read.append(await phone.get(path, stream=stream, after=after, limit=limit, proof="true"))
        reached = read[-1]["events"][-1]["position"] if read[-1]["events"] else after
    return read


async def test_an_honest_stream_verifies_for_both(service: Running, stream: Stream) -> None:
    read = await pages(stream.phone)
    head = (8, read[-1]["head"]["link"])
    assert stream.remembered[0] == 6
    assert verify(stream.stream_id, read, stream.remembered) == head
    assert verify(stream.stream_id, read[:2], stream.remembered) == stream.remembered


async def test_a_private_stream_verifies(service: Running) -> None:
    one = await service.member()
    stream_id = (await one.get("/v1/relationships/{rid}"))["streams"]["private"]
    empty = await pages(one, "private")
    assert verify(stream_id, empty) == (0, empty[0]["head"]["link"])
    await one.put("check-ins", {"occurred_at": OCCURRED, "note": "Ä quiet day"})
    assert verify(stream_id, await pages(one, "private"), (0, empty[0]["head"]["link"]))[0] == 1


async def test_the_program_tells_the_head_that_it_reaches(stream: Stream) -> None:
    read = await pages(stream.phone)
    told = run_program(read, stream.stream_id, *map(str, stream.remembered))
    assert told.stdout.split() == ["8", read[-1]["head"]["link"]]
    assert run_program(read, stream.stream_id, "6", "00" * 32).returncode != 0


async def test_the_program_says_what_a_chain_without_a_remembered_head_proves(stream: Stream) -> None:
    read = await pages(stream.phone)
    assert "No remembered head" in run_program(read, stream.stream_id).stderr
    assert run_program(read, stream.stream_id, *map(str, stream.remembered)).stderr == ""


def run_program(read: list[Json], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The verifier as a client runs it: by itself, in an empty environment."""
    lines = "\n".join(json.dumps(page) for page in read)
    command = [sys.executable, "-I", "-S", str(VERIFIER), *arguments]
    return subprocess.run(command, input=lines, text=True, capture_output=True, check=False, timeout=30)


def test_the_verifier_is_short_and_stands_alone() -> None:
    lines = VERIFIER.read_text().splitlines()
    imported = {line.split()[1] for line in lines if line.startswith(("import ", "from "))}
    assert len(lines) <= 50
    assert imported <= sys.stdlib_module_names


async def test_an_erased_event_keeps_its_place(stream: Stream) -> None:
    read = await pages(stream.phone)
    erased = read[0]["events"][1]
    erased["proof"] |= {"body": None, "opening": None}
    erased["kind"] = "erased"
    with pytest.raises(ValueError, match=r"altered at \[2\]"):
        verify(stream.stream_id, read)
    del erased["request"], erased["day"]
    erased["late"] = False
    assert verify(stream.stream_id, read, stream.remembered)[0] == 8


LIES: Json = {
    "by": "partner",
    "kind": "erased",
    "recorded_at": "2026-06-15T12:00:01Z",
    "position": 9,
    "late": False,
    "request": {"occurred_at": "2026-06-01T10:00:00Z", "domain": "home", "text": "Two?"},
    "decision": {"occurred_at": "2026-06-01T10:00:00Z", "domain": "home", "decided_by": "me"},
}


async def test_what_is_shown_must_be_what_was_sealed(stream: Stream) -> None:
    for name, lie in LIES.items():
        read = await pages(stream.phone)
        read[0]["events"][1][name] = lie
        with pytest.raises(ValueError, match="altered at"):
            verify(stream.stream_id, read)


# --- What somebody with all rights can do


async def change_body(at: Stream) -> None:
    """Another outcome."""
    said = await said_at(at, 3)
    await reword(at, 3, replace(said, body=no(said.body)))


async def change_opening(at: Stream) -> None:
    """Another key of the commitment."""
    await reword(at, 3, replace(await said_at(at, 3), opening=bytes(32)))


async def change_body_and_commit(at: Stream) -> None:
    """Another body, encrypted well, under a commitment that binds it; the links are left alone."""
    said = await said_at(at, 3)
    commitment = chain.commit(said.opening, UUID(at.stream_id), said.event_id, no(said.body).encode())
    await reword(at, 3, replace(said, body=no(said.body), commitment=commitment))


async def change_commit(at: Stream) -> None:
    """Another commitment to the same words."""
    await reword(at, 3, replace(await said_at(at, 3), commitment=bytes(32)))


async def relabel_author(at: Stream) -> None:
    """One member's words in the other's mouth."""
    ours, theirs = [await said_at(at, position) for position in (2, 3)]
    await reword(at, 3, replace(theirs, author=ours.author))


async def let_the_service_say_it(at: Stream) -> None:
    """A member's words as if nobody had said them."""
    await reword(at, 3, replace(await said_at(at, 3), author=0))


async def backdate(at: Stream) -> None:
    """An earlier time of recording."""
    said = await said_at(at, 3)
    await reword(at, 3, replace(said, recorded_at=said.recorded_at - timedelta(days=1)))


async def rename(at: Stream) -> None:
    """Another id."""
    await reword(at, 6, replace(await said_at(at, 6), event_id=uuid4()))


async def swap_two(at: Stream) -> None:
    """Two events in each other's place."""
    for old, new in ((3, 100), (4, 3), (100, 4)):
        await move(at, old, new)


async def remove_one(at: Stream) -> None:
    """A gap."""
    await remove(at, 3)


async def remove_one_and_close_the_gap(at: Stream) -> None:
    """No gap, but one event fewer."""
    await remove_one(at)
    for position in range(4, 9):
        await move(at, position, position - 1)
    await at.db.execute("UPDATE heads SET position = 7 WHERE stream = 0")


async def remove_the_last(at: Stream) -> None:
    """The stream ends earlier, and its head says so."""
    for position in (6, 7, 8):
        await remove(at, position)
    link = (await event_at(at, 5))["link"]
    await at.db.execute("UPDATE heads SET position = 5, link = $1 WHERE stream = 0", link)


async def remove_all(at: Stream) -> None:
    """Nothing was ever recorded."""
    for position in range(1, 9):
        await remove(at, position)
    genesis = chain.genesis(UUID(at.stream_id))
    await at.db.execute("UPDATE heads SET position = 0, link = $1 WHERE stream = 0", genesis.link)


async def insert_one(at: Stream) -> None:
    """An event twice, the second time under another id."""
    for position in range(8, 3, -1):
        await move(at, position, position + 1)
    again = replace(await said_at(at, 3), event_id=uuid4())
    await at.db.execute(TWICE, again.event_id)
    await reword(at, 4, again)
    await at.db.execute("UPDATE heads SET position = 9 WHERE stream = 0")


TWICE = """
INSERT INTO events
SELECT relationship_id, stream, author, 4, recorded_at, alters, $1, commitment, link, ciphertext
FROM events
WHERE stream = 0
    AND position = 3
"""


async def rewrite_from_some_point(at: Stream) -> None:
    """Another outcome, and everything after it sealed anew: by itself this chain is whole."""
    await reseal(at, no, timedelta())


async def backdate_everything(at: Stream) -> None:
    """Everything recorded a day earlier, and sealed anew."""
    await reseal(at, str, -timedelta(days=1))


async def show_another_stream(at: Stream) -> None:
    """The stream of two others, or of these two in another database, in the place of this one."""
    other = uuid4()
    await at.db.execute("UPDATE relationships SET shared_stream_id = $1", other)
    await reseal(at, str, timedelta(), other)


TAMPERINGS: list[Callable[[Stream], Awaitable[None]]] = [
    change_body,
    change_opening,
    change_body_and_commit,
    change_commit,
    relabel_author,
    let_the_service_say_it,
    backdate,
    rename,
    swap_two,
    remove_one,
    remove_one_and_close_the_gap,
    remove_the_last,
    remove_all,
    insert_one,
    rewrite_from_some_point,
    backdate_everything,
    show_another_stream,
]


async def test_a_client_that_remembers_one_head_notices(stream: Stream) -> None:
    honest = await pages(stream.phone)
    await keep(stream)
    for tamper in TAMPERINGS:
        await tamper(stream)
        read = await pages(stream.phone)
        assert read != honest, f"{tamper.__name__} has changed nothing"
        assert noticed(stream, read), f"{tamper.__name__} was not noticed"
        await restore(stream)
    assert await pages(stream.phone) == honest


def noticed(at: Stream, read: list[Json]) -> bool:
    """Whether the client, who remembers its old head, sees that something is wrong."""
    try:
        verify(at.stream_id, read, at.remembered)
    except ValueError:
        return True
    return False


TABLES = ("relationships", "heads", "events")


async def keep(at: Stream) -> None:
    """Put a copy of the tables aside."""
    for table in TABLES:
        await at.db.execute(f"CREATE TABLE kept_{table} AS TABLE {table}")


async def restore(at: Stream) -> None:
    """Make the tables what they were."""
    for table in TABLES:
        await at.db.execute(f"DELETE FROM {table}")
        await at.db.execute(f"INSERT INTO {table} TABLE kept_{table}")


async def test_what_came_later_must_fit_the_head_that_is_served(stream: Stream) -> None:
    said = await said_at(stream, 8)
    await reword(stream, 8, replace(said, recorded_at=said.recorded_at + timedelta(microseconds=1)))
    assert noticed(stream, await pages(stream.phone))


async def test_without_a_remembered_head_a_whole_new_chain_would_pass(stream: Stream) -> None:
    await rewrite_from_some_point(stream)
    assert verify(stream.stream_id, await pages(stream.phone))[0] == 8


async def event_at(at: Stream, position: int) -> Record:
    """The row of the stream's event."""
    row = await at.db.fetchrow("SELECT * FROM events WHERE stream = 0 AND position = $1", position)
    assert row is not None
    return row


async def move(at: Stream, old: int, new: int) -> None:
    """The event at another position, with all else that it has."""
    await at.db.execute("UPDATE events SET position = $2 WHERE stream = 0 AND position = $1", old, new)


async def remove(at: Stream, position: int) -> None:
    """The event, and what it says."""
    await at.db.execute("DELETE FROM events WHERE stream = 0 AND position = $1", position)


class Said(Struct, frozen=True):
    """What an event is to who has the keys; its author is a seat."""

    event_id: UUID
    author: int
    recorded_at: datetime
    commitment: bytes
    opening: bytes
    body: str


def no(body: str) -> str:
    """Another outcome."""
    return body.replace('"yes"', '"no"')


async def said_at(at: Stream, position: int) -> Said:
    """What the stream's event says."""
    row, of = await event_at(at, position), UUID(at.stream_id)
    by = at.keys.author_at(row["author"])
    place = encryption.AssociatedData(of, row["event_id"], by, row["commitment"])
    opening, body = encryption.decrypt(at.keys, place, row["ciphertext"])
    return Said(row["event_id"], row["author"], row["recorded_at"], row["commitment"], opening, body.decode())


REWORD = """
UPDATE events
SET
    event_id = $2,
    author = $3,
    recorded_at = $4,
    commitment = $5,
    ciphertext = $6
WHERE stream = 0
    AND position = $1
"""


async def reword(at: Stream, position: int, said: Said, stream_id: UUID | None = None) -> None:
    """Let the event say that, encrypted as the service would."""
    by = at.keys.author_at(said.author)
    place = encryption.AssociatedData(stream_id or UUID(at.stream_id), said.event_id, by, said.commitment)
    ciphertext = encryption.encrypt(at.keys, place, said.opening, said.body.encode())
    row = (said.event_id, said.author, said.recorded_at, said.commitment, ciphertext)
    await at.db.execute(REWORD, position, *row)


async def reseal(at: Stream, rewritten: Callable[[str], str], shift: timedelta, stream_id: UUID | None = None) -> None:
    """The whole chain, computed anew over other bodies and times."""
    of = stream_id or UUID(at.stream_id)
    head = chain.genesis(of)
    for position in range(1, 9):
        said = await said_at(at, position)
        body, at_time, by = rewritten(said.body), said.recorded_at + shift, at.keys.author_at(said.author)
        link = chain.extend(head, of, said.event_id, by, at_time, body.encode(), said.opening)
        head = chain.Head(link.position, link.link)
        new = replace(said, recorded_at=at_time, commitment=link.commitment, body=body)
        await reword(at, position, new, of)
        await at.db.execute("UPDATE events SET link = $2 WHERE stream = 0 AND position = $1", position, link.link)
    await at.db.execute("UPDATE heads SET link = $1 WHERE stream = 0", head.link)


# --- Without the keys


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET ciphertext = set_byte(ciphertext, 40, get_byte(ciphertext, 40) # 1) WHERE position = 3",
        "UPDATE events SET ciphertext = substr(ciphertext, 1, 20) WHERE position = 3",
        "UPDATE events SET ciphertext = (SELECT ciphertext FROM events WHERE position = 5) WHERE position = 3",
        "UPDATE events SET recorded_at = recorded_at - interval '1 day' WHERE position = 3",
        "UPDATE events SET event_id = gen_random_uuid() WHERE position = 3",
        "UPDATE events SET commitment = (SELECT commitment FROM events WHERE position = 5) WHERE position = 3",
        "UPDATE events SET author = 1 WHERE position = 3",
        "UPDATE events SET author = 0 WHERE position = 3",
        "UPDATE events SET position = position + 10 WHERE position = 3",
        "UPDATE relationships SET shared_stream_id = gen_random_uuid()",
    ],
)
async def test_what_was_changed_without_the_keys_is_not_shown_as_if_it_were_right(stream: Stream, change: str) -> None:
    await stream.db.execute(change)
    answer = await stream.phone.call("GET", "/v1/relationships/{rid}/events", params={"proof": "true", "limit": "500"})
    if answer.status_code == 200:
        assert noticed(stream, [answer.json()])
    else:
        assert (answer.status_code, answer.json()["code"]) == (503, "unreadable")


async def test_what_cannot_be_read_disturbs_no_other_relationship(service: Running, stream: Stream) -> None:
    await stream.db.execute("UPDATE events SET ciphertext = sha256(ciphertext) WHERE position = 3")
    await stream.phone.expect(503, "GET", "/v1/relationships/{rid}/events")
    await stream.phone.get("/v1/relationships/{rid}/events", stream="private")
    assert len(await (await service.couple())[0].events()) == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE pages SET ciphertext = set_byte(ciphertext, 40, get_byte(ciphertext, 40) # 1)",
        "UPDATE pages SET ciphertext = substr(ciphertext, 1, 20)",
        "UPDATE pages SET month = month - 1",
        "UPDATE pages SET author = 3 - author",
        "UPDATE pages SET stream = 1",
        "UPDATE relationships SET shared_stream_id = gen_random_uuid()",
    ],
)
async def test_counts_that_were_changed_or_moved_are_not_told(service: Running, stream: Stream, change: str) -> None:
    # Counted, so that the page would be told of if it could be opened where it lies now.
    assert (await stream.phone.get("/v1/relationships/{rid}/balances"))["asks"]["counts"]["me"] == 2
    await stream.db.execute(f"{change} WHERE relationship_id = $1", UUID(stream.phone.rid))
    # Another window, for that one's answer is in memory under a version that did not move.
    answer = await stream.phone.call("GET", "/v1/relationships/{rid}/balances", params={"window": "27"})
    assert (answer.status_code, answer.json()["code"]) == (503, "unreadable")
