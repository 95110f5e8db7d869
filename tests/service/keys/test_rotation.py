"""An epoch ends: all who live are rewrapped, and what an erased member wrote is closed in every backup before it."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import asyncpg
import pytest
from asyncpg import Record
from structlog.testing import capture_logs

from service.cli.database import remind_of_rotation
from service.core.randomness import system_random_bytes
from service.database.embedded import program
from service.database.roles import KEYS_ROLE
from service.errors import KeyStoreError
from service.keys import rotation
from service.keys.key_store import FileKeyStore
from service.keys.keyring import Keyring
from service.metrics import Metrics
from tests.service.test_metrics import served
from tests.support.phones import NOON, Clock, Phone, Running, running, unlimited
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


async def rotate(db: Database, store: FileKeyStore) -> list[int]:
    return (await rotation.rotate(db, store, NOON)).destroyed


async def test_all_is_read_and_written_as_before(service: Running, db: Database, store: FileKeyStore) -> None:
    one, two = await service.couple()
    await told(one)
    before = await two.events(proof="true")
    assert await rotate(db, store) == [1]
    assert {row["epoch"] for row in await db.fetch("TABLE keys.wrapped")} == {2}
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


async def test_it_always_begins_a_new_epoch_however_young_the_last_one_is(
    service: Running, db: Database, store: FileKeyStore
) -> None:
    await service.member()
    assert [await rotate(db, store) for _ in range(3)] == [[1], [2], [3]]
    assert [path.name for path in sorted(store.folder.iterdir())] == ["4.key", "root.key"]


async def test_what_is_made_after_it_is_wrapped_in_the_new_epoch(
    service: Running, db: Database, store: FileKeyStore
) -> None:
    await service.member()
    await rotate(db, store)
    await service.couple()
    assert {row["epoch"] for row in await db.fetch("TABLE keys.wrapped")} == {2}


async def test_a_key_that_is_made_while_its_epoch_is_destroyed_goes_into_the_next_one(
    service: Running, db: Database, store: FileKeyStore
) -> None:
    await service.member()

    class Slow(FileKeyStore):
        """Wraps while others rotate."""

        def wrap(self, epoch: int, key: bytes) -> bytes:
            wrapped.append(epoch)
            return super().wrap(epoch, key)

    class Rotating:
        """A connection, before each insertion of which the keys are rotated; the first time only."""

        async def fetchval(self, *arguments: Any) -> Any:
            return await db.fetchval(*arguments)

        async def execute(self, *arguments: Any) -> Any:
            if len(wrapped) == 1:
                await rotate(db, store)
            return await db.execute(*arguments)

    wrapped: list[int] = []
    connection: Any = Rotating()
    keys = Keyring(connection, Slow(store.folder), service.clock, system_random_bytes)
    member = uuid4()
    await keys.make_for_member(member)
    assert wrapped == [1, 2]
    assert await db.fetchval("SELECT epoch FROM keys.wrapped WHERE owner_id = $1", member) == 2


async def test_a_service_rotates_by_itself_when_its_epoch_is_old(
    service: Running, db: Database, store: FileKeyStore
) -> None:
    await service.member()
    month = timedelta(days=30)
    assert await rotation.rotate_when_due(db, store, NOON + month - timedelta(seconds=1), month) is None
    rotated = await rotation.rotate_when_due(db, store, NOON + month, month)
    assert rotated == rotation.Rotation(2, [1], 0)
    assert await rotation.rotate_when_due(db, store, NOON + month, month) is None


async def test_a_rotation_that_was_cut_off_is_finished_by_the_next_service(
    service: Running, db: Database, store: FileKeyStore
) -> None:
    await service.couple()

    def cut(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rotation.rotate(db, store, NOON, cut, batch=1)
    assert await rotation.rotate_when_due(db, store, NOON, timedelta(days=30)) == rotation.Rotation(2, [1], 0)


@asynccontextmanager
async def serving(service: Running, store: FileKeyStore, days: int) -> AsyncIterator[Running]:
    """A service that rotates by itself every so many days, 28 days later."""
    settings, later = unlimited(rotate_keys_after_days=days), Clock(NOON + timedelta(days=28))
    async with running(service.database_url, settings=settings, store=store, now=later, with_upkeep=True) as started:
        yield started


async def test_it_happens_while_serving(service: Running, store: FileKeyStore) -> None:
    await service.member()
    destroyed: asyncio.Queue[int] = asyncio.Queue()

    class Telling(FileKeyStore):
        """Tells what it has destroyed."""

        def destroy(self, epoch: int) -> None:
            super().destroy(epoch)
            destroyed.put_nowait(epoch)

    async with serving(service, Telling(store.folder), 28):
        assert await destroyed.get() == 1


@pytest.mark.parametrize(("days", "tasks"), [(28, 1), (0, 0)])
async def test_it_is_left_to_the_operator_if_they_say_so(
    service: Running, store: FileKeyStore, days: int, tasks: int
) -> None:
    async with serving(service, store, days):
        names = [getattr(task.get_coro(), "__name__", "") for task in asyncio.all_tasks()]
        assert names.count("keep_rotating") == tasks


async def test_until_the_next_rotation_an_erasure_is_said_to_be_open_in_backups(
    service: Running, db: Database, store: FileKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    one, _ = await service.couple()
    figures = Metrics()
    figures.watch_erasures(service.app.state.context, asyncio.get_running_loop())
    with capture_logs() as log:
        await one.step_up()
        await one.expect(204, "DELETE", "/v1/me")
    assert {name: line[name] for line in log for name in ("epochs", "erasures") if name in line} == {
        "epochs": [1],
        "erasures": 1,
    }
    assert "mutuality_erasures_before_rotation 1.0" in await served(figures)
    await remind_of_rotation(service.database_url)
    assert "1 erased members wrote" in capsys.readouterr().out
    assert await rotation.rotate(db, store, NOON) == rotation.Rotation(2, [1], 1)
    assert "mutuality_erasures_before_rotation 0.0" in await served(figures)
    await remind_of_rotation(service.database_url)
    assert "erased members" not in capsys.readouterr().out


async def test_it_tells_how_far_it_is(service: Running, db: Database, store: FileKeyStore) -> None:
    await service.couple()
    told: list[tuple[int, int]] = []
    await rotation.rotate(db, store, NOON, lambda done, total: told.append((done, total)), batch=2)
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
        await rotation.rotate(db, store, NOON, cut, batch=2)
    assert len(await two.events()) == 2
    assert await rotate(db, store) == [1, 2]
    assert len(await two.events()) == 2


class FullDisk(FileKeyStore):
    """Destroys nothing."""

    def destroy(self, epoch: int) -> None:
        raise OSError("disk")


async def test_cut_off_while_destroying_it_destroys_again(service: Running, db: Database, store: FileKeyStore) -> None:
    await service.member()
    with pytest.raises(OSError, match="disk"):
        await rotate(db, FullDisk(store.folder))
    assert await rotate(db, store) == [1, 2]
    assert not (store.folder / "1.key").exists()


# --- A backup from before


@asynccontextmanager
async def restored(url: str, store: FileKeyStore, dump: Path, keys: Path | None = None) -> AsyncIterator[Running]:
    """A service on an empty database that is filled from a backup; the keys of another one, if that is given."""
    restore(url, dump)
    if keys:
        db = await asyncpg.connect(url)
        await db.execute("TRUNCATE keys.wrapped, keys.epochs")
        await db.close()
        restore(url, keys, "--data-only")
    async with running(url, store=FileKeyStore(store.folder), now=Clock(NEXT_MONTH)) as service:
        yield service


def restore(url: str, dump: Path, *options: str) -> None:
    """Fill a database from a backup, which our pg_dump has made and a server before 17 does not understand whole."""
    script = dump.with_suffix(".sql")
    run("pg_restore", *options, "--file", script, dump)
    script.write_bytes(script.read_bytes().replace(b"SET transaction_timeout = 0;\n", b""))
    strictly = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null")
    run("psql", *strictly, "--file", script, "--dbname", url)


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
        with pytest.raises(KeyStoreError, match="epoch 1"):
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
