"""An epoch ends: all who live are rewrapped, and what an erased member wrote is closed in every backup before it."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest
from asyncpg import Record

from service.database.embedded import program
from service.database.roles import KEYS_ROLE
from service.errors import KeyStoreError
from service.keys import rotation
from service.keys.key_store import FileKeyStore
from tests.support.phones import NOON, Clock, Phone, Running, running
from tests.support.postgres import fresh_database

Database: TypeAlias = "asyncpg.Connection[Record]"
HERE = "/v1/relationships/{rid}"
NEXT_MONTH = NOON + timedelta(days=31)


@pytest.fixture
def store(tmp_path: Path) -> FileKeyStore:
    """Keys of this test alone."""
    return FileKeyStore(tmp_path / "keys")


@pytest.fixture
async def service(database_url: str, store: FileKeyStore) -> AsyncIterator[Running]:
    """The service on that database and those keys."""
    async with running(database_url, store=store) as service:
        yield service


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """A connection as the rotation has it."""
    connection = await asyncpg.connect(database_url, server_settings={"role": KEYS_ROLE})
    yield connection
    await connection.close()


async def told(phone: Phone, audience: str = "shared") -> Any:
    body = {"occurred_at": "2026-06-15T10:00:00Z", "note": "A walk", "felt": {"close": 6}, "audience": audience}
    return (await phone.put("check-ins", body))["event"]["id"]


async def rotate(db: Database, store: FileKeyStore) -> list[str]:
    return await rotation.rotate(db, store, NEXT_MONTH, lambda done, total: None)


async def test_all_is_read_and_written_as_before(service: Running, db: Database, store: FileKeyStore) -> None:
    one, two = await service.couple()
    await told(one)
    before = await two.events(proof="true")
    assert await rotate(db, store) == ["2026-06"]
    assert {row["epoch"] for row in await db.fetch("TABLE keys.wrapped")} == {"2026-07"}
    async with running(service.database_url, store=FileKeyStore(store.folder), now=service.clock) as anew:
        again = anew.phone()
        again.rid, again.access_token = two.rid, two.access_token
        assert await again.events(proof="true") == before
        await told(again)


async def test_the_chain_verifies_after_it(service: Running, db: Database, store: FileKeyStore) -> None:
    one, _ = await service.couple()
    await told(one)
    heads = [(await one.get(f"{HERE}/events"))["head"]]
    await rotate(db, store)
    heads.append((await one.get(f"{HERE}/events"))["head"])
    assert heads[0] == heads[1]


async def test_a_second_time_finds_nothing_to_do(service: Running, db: Database, store: FileKeyStore) -> None:
    await service.member()
    assert await rotate(db, store) == ["2026-06"]
    assert await rotate(db, store) == []


async def test_a_start_knows_when_it_is_due(service: Running, db: Database, store: FileKeyStore) -> None:
    await service.member()
    assert await rotation.due(db, NOON) == []
    assert await rotation.due(db, NEXT_MONTH) == ["2026-06"]
    await rotate(db, store)
    assert await rotation.due(db, NEXT_MONTH) == []


async def test_it_tells_how_far_it_is(service: Running, db: Database, store: FileKeyStore) -> None:
    await service.couple()
    told: list[tuple[int, int]] = []
    await rotation.rotate(db, store, NEXT_MONTH, lambda done, total: told.append((done, total)), batch=2)
    assert told == [(2, 4), (4, 4)]  # two members, their relationship, and the look-up key


@pytest.mark.parametrize("at", [1, 2, 3])
async def test_cut_off_anywhere_it_goes_on_where_it_was(
    service: Running, db: Database, store: FileKeyStore, at: int
) -> None:
    one, two = await service.couple()
    await told(one)

    def cut(done: int, total: int) -> None:
        if done >= at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rotation.rotate(db, store, NEXT_MONTH, cut, batch=2)
    assert len(await two.events()) == 2
    assert await rotate(db, store) == ["2026-06"]
    assert len(await two.events()) == 2


class FullDisk(FileKeyStore):
    """Destroys nothing."""

    def destroy(self, epoch: str) -> None:
        raise OSError("disk")


async def test_cut_off_while_destroying_it_destroys_again(service: Running, db: Database, store: FileKeyStore) -> None:
    await service.member()
    with pytest.raises(OSError, match="disk"):
        await rotate(db, FullDisk(store.folder))
    assert await rotate(db, store) == ["2026-06"]
    assert not (store.folder / "2026-06.key").exists()


# --- A backup from before


@asynccontextmanager
async def restored(url: str, store: FileKeyStore, dump: Path, keys: Path | None = None) -> AsyncIterator[Running]:
    """A service on an empty database that is filled from a backup; the keys of another one, if that is given."""
    run("pg_restore", "--dbname", url, dump)
    if keys:
        db = await asyncpg.connect(url)
        await db.execute("TRUNCATE keys.wrapped, keys.epochs")
        await db.close()
        run("pg_restore", "--dbname", url, "--data-only", keys)
    async with running(url, store=FileKeyStore(store.folder), now=Clock(NEXT_MONTH)) as service:
        yield service


def run(name: str, *arguments: str | Path) -> None:
    subprocess.run([program(name), *arguments], check=True)


@pytest.fixture
def empty_urls(postgres_url: str) -> Iterator[list[str]]:
    """Two databases without anything in them."""
    with fresh_database(postgres_url, "template0") as one, fresh_database(postgres_url, "template0") as two:
        yield [one, two]


async def test_a_backup_from_before_opens_nothing_of_an_erased_member(
    service: Running, db: Database, store: FileKeyStore, empty_urls: list[str], tmp_path: Path
) -> None:
    one, two = await service.couple()
    await one.expect(200, "PATCH", "/v1/me", {"name": "A name"})
    await told(one)
    await told(two)
    balances = f"{HERE}/balances?window=28&on=2026-06-15"
    assert (await two.get(balances))["partners"]["felt"]["close"]["n"] == 1
    dump, keys = tmp_path / "before.dump", tmp_path / "keys.dump"
    run("pg_dump", "--format=custom", "--dbname", service.database_url, "--file", dump)
    await one.step_up()
    await one.expect(204, "DELETE", "/v1/me")
    await rotate(db, store)
    run("pg_dump", "--format=custom", "--schema=keys", "--dbname", service.database_url, "--file", keys)
    # As it was, with its own keys: nothing opens at all.
    async with restored(empty_urls[0], store, dump) as old:
        with pytest.raises(KeyStoreError, match="2026-06"):
            await old.keys_of(one.rid)
    # With the keys of today: who lives can read theirs, and who was erased stays erased.
    async with restored(empty_urls[1], store, dump, keys) as old:
        again = await old.phone().sign_in(two.email)
        again.rid = two.rid
        assert {(e["by"], e["kind"]) for e in await again.events()} == {
            (None, "opened"),
            ("me", "check_in"),
            ("partner", "erased"),
        }
        assert (await again.get(HERE))["partner"] == {"name": None}
        assert (await again.get(balances))["partners"]["felt"] == {}
