"""Somebody with all rights rewrites the database; a client that remembers one old head notices.

The client is `openapi/verify.py`, which shares no line with the service.
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

from events import chain
from tests.phones import Phone, Running

VERIFIER = Path(__file__).parents[2] / "openapi" / "verify.py"
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
    yield Stream(one, stream_id, (seen["head"]["position"], seen["head"]["link"]), db)
    await db.close()


async def pages(phone: Phone, stream: str = "shared", limit: int = 3) -> list[Json]:
    """All pages of a stream, with proofs."""
    read: list[Json] = []
    after = 0
    while not read or (read[-1]["more"] and read[-1]["events"]):
        path = "/v1/relationships/{rid}/events"
        read.append(await phone.get(path, stream=stream, after=after, limit=limit, proof="true"))
        after = read[-1]["events"][-1]["position"] if read[-1]["events"] else after
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


def run_program(read: list[Json], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The verifier as a client runs it: by itself, in an empty environment."""
    lines = "\n".join(json.dumps(page) for page in read)
    command = [sys.executable, "-I", "-S", str(VERIFIER), *arguments]
    return subprocess.run(command, input=lines, text=True, capture_output=True, check=False, timeout=30)


def test_the_verifier_is_short_and_stands_alone() -> None:
    lines = VERIFIER.read_text().splitlines()
    imported = {line.split()[1] for line in lines if line.startswith(("import ", "from "))}
    assert len(lines) <= 30
    assert imported <= sys.stdlib_module_names


async def test_an_erased_event_keeps_its_place(stream: Stream) -> None:
    read = await pages(stream.phone)
    erased = read[0]["events"][1]
    erased["proof"] |= {"body": None, "opening": None}
    erased["kind"] = "erased"
    assert verify(stream.stream_id, read, stream.remembered)[0] == 8


async def test_what_is_shown_must_be_what_was_sealed(stream: Stream) -> None:
    for name, lie in {"by": "partner", "kind": "erased", "recorded_at": "2026-06-15T12:00:01Z", "position": 9}.items():
        read = await pages(stream.phone)
        read[0]["events"][1][name] = lie
        with pytest.raises(ValueError, match="altered at"):
            verify(stream.stream_id, read)


# --- What somebody with all rights can do


async def change_body(at: Stream) -> None:
    """Another outcome."""
    await at.db.execute("""UPDATE events SET body = replace(body, '"yes"', '"no"') WHERE position = 3""")


async def change_opening(at: Stream) -> None:
    """Another key of the commitment."""
    await at.db.execute("UPDATE events SET opening = sha256(opening) WHERE position = 3")


async def change_body_and_opening_and_commit(at: Stream) -> None:
    """Another body, sealed well, in a header that says so; the links are left alone."""
    row = await event_at(at, 3)
    body = row["body"].replace('"yes"', '"no"')
    commit = chain.commit(row["opening"], row["stream_id"], row["event_id"], body.encode())
    header = json.dumps(json.loads(row["header"]) | {"commit": commit.hex()}, separators=(",", ":"))
    await at.db.execute("UPDATE events SET body = $1, header = $2 WHERE position = 3", body, header)


async def change_header(at: Stream) -> None:
    """A header of the same values, written otherwise."""
    await at.db.execute("""UPDATE events SET header = replace(header, ',"', ', "') WHERE position = 3""")


async def relabel_author(at: Stream) -> None:
    """One member's words in the other's mouth."""
    ours, theirs = [json.loads((await event_at(at, position))["header"])["by"] for position in (2, 3)]
    await at.db.execute("UPDATE events SET header = replace(header, $1, $2) WHERE position = 3", theirs, ours)


async def backdate(at: Stream) -> None:
    """An earlier time of recording."""
    await at.db.execute(
        "UPDATE events SET header = replace(header, '2026-06-15T12', '2026-06-14T12') WHERE position = 3"
    )


async def rename(at: Stream) -> None:
    """Another id."""
    await at.db.execute("UPDATE events SET event_id = $1 WHERE position = 6", uuid4())


async def swap_two(at: Stream) -> None:
    """Two events in each other's place."""
    for old, new in ((3, 100), (4, 3), (100, 4)):
        await move(at, old, new)


async def remove_one(at: Stream) -> None:
    """A gap."""
    await at.db.execute("DELETE FROM events WHERE position = 3")


async def remove_one_and_close_the_gap(at: Stream) -> None:
    """No gap, but one event fewer."""
    await remove_one(at)
    for position in range(4, 9):
        await move(at, position, position - 1)
    await at.db.execute("UPDATE heads SET position = 7 WHERE stream_id = $1", UUID(at.stream_id))


async def remove_the_last(at: Stream) -> None:
    """The stream ends earlier, and its head says so."""
    await at.db.execute("DELETE FROM events WHERE position > 5")
    link = (await event_at(at, 5))["link"]
    await at.db.execute("UPDATE heads SET position = 5, link = $2 WHERE stream_id = $1", UUID(at.stream_id), link)


async def remove_all(at: Stream) -> None:
    """Nothing was ever recorded."""
    await at.db.execute("DELETE FROM events")
    genesis = chain.genesis(UUID(at.stream_id))
    await at.db.execute(
        "UPDATE heads SET position = 0, link = $2 WHERE stream_id = $1", UUID(at.stream_id), genesis.link
    )


async def insert_one(at: Stream) -> None:
    """An event twice, the second time under another id."""
    for position in range(8, 3, -1):
        await move(at, position, position + 1)
    await at.db.execute(
        "INSERT INTO events SELECT relationship_id, stream_id, 4, $1, alters, header, body, opening, link"
        " FROM events WHERE position = 3",
        uuid4(),
    )
    await at.db.execute("UPDATE heads SET position = 9 WHERE stream_id = $1", UUID(at.stream_id))


async def rewrite_from_some_point(at: Stream) -> None:
    """Another outcome, and everything after it sealed anew: by itself this chain is whole."""
    await reseal(at, lambda row: row["body"].replace('"yes"', '"no"'), timedelta())


async def backdate_everything(at: Stream) -> None:
    """Everything recorded a day earlier, and sealed anew."""
    await reseal(at, lambda row: row["body"], -timedelta(days=1))


async def show_another_stream(at: Stream) -> None:
    """The stream of two others, or of these two in another database, in the place of this one."""
    other = uuid4()
    for table in ("events", "heads"):
        await at.db.execute(f"UPDATE {table} SET stream_id = $1 WHERE stream_id = $2", other, UUID(at.stream_id))
    await at.db.execute("UPDATE relationships SET shared_stream_id = $1", other)
    await reseal(at, lambda row: row["body"], timedelta(), other)


TAMPERINGS: list[Callable[[Stream], Awaitable[None]]] = [
    change_body,
    change_opening,
    change_body_and_opening_and_commit,
    change_header,
    relabel_author,
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
    await stream.db.execute("UPDATE events SET header = replace(header, ',', ', ') WHERE position = 8")
    assert noticed(stream, await pages(stream.phone))


async def test_without_a_remembered_head_a_whole_new_chain_would_pass(stream: Stream) -> None:
    await rewrite_from_some_point(stream)
    assert verify(stream.stream_id, await pages(stream.phone))[0] == 8


async def event_at(at: Stream, position: int) -> Record:
    """The row of the stream's event."""
    row = await at.db.fetchrow("SELECT * FROM events WHERE position = $1", position)
    assert row is not None
    return row


async def move(at: Stream, old: int, new: int) -> None:
    """The event at another position, in the row only: the header keeps what it says."""
    await at.db.execute("UPDATE events SET position = $2 WHERE position = $1", old, new)


async def reseal(
    at: Stream, rewritten: Callable[[Record], str], shift: timedelta, stream_id: UUID | None = None
) -> None:
    """The whole chain, computed anew over other bodies and times."""
    of = stream_id or UUID(at.stream_id)
    head = chain.genesis(of)
    for row in await at.db.fetch("SELECT * FROM events ORDER BY position"):
        said = chain.read_header(row["header"].encode())
        recorded_at: datetime = said.recorded_at + shift
        body = rewritten(row)
        link = chain.extend(head, of, said.id, said.by, recorded_at, body.encode(), row["opening"])
        head = chain.Head(link.position, link.link)
        await at.db.execute(
            "UPDATE events SET header = $2, body = $3, link = $4 WHERE position = $1",
            link.position,
            link.header.decode(),
            body,
            link.link,
        )
    await at.db.execute("UPDATE heads SET link = $2 WHERE stream_id = $1", of, head.link)
