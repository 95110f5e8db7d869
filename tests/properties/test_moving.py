"""Whatever two have recorded: each of them can take it elsewhere, and reads there what they read here."""

import json
from collections.abc import Iterator

import asyncpg
import msgspec
import pytest
from hypothesis import given, settings

from service.data_rights import import_export
from service.data_rights.export import Export
from tests.properties.histories import PROFILE, Call, histories, schedules
from tests.properties.playing import Place, looks, play, standings
from tests.support.phones import KEYS, NOON, Json, Phone, running
from tests.support.postgres import fresh_database

told = histories(least=3).flatmap(schedules)
# Each example starts a service of its own, twice.
FEWER = settings(PROFILE, max_examples=PROFILE.max_examples // 8)

EMPTY = """
TRUNCATE
    members, relationships, readers, events, pages, invites, sign_in_attempts, code_allowances,
    keys.wrapped, keys.epochs
CASCADE
"""


@pytest.fixture(scope="module")
def empty_database(postgres_url: str) -> Iterator[str]:
    """Where the members of each example move to."""
    with fresh_database(postgres_url) as url:
        yield url


@FEWER
@given(told)
async def test_each_reads_elsewhere_what_they_read_here(home: Place, empty_database: str, calls: list[Call]) -> None:
    couple = await home.service.couple()
    await play(couple, calls)
    for phone in couple:
        document = await exported(phone)
        await move(document, empty_database)
        async with running(empty_database) as elsewhere:
            back = await elsewhere.phone().sign_in(phone.email)
            back.rid, back.author = phone.rid, phone.author
            assert await looks(back) == await looks(phone)
            assert await standings(back) == await standings(phone)
            assert pages(await exported(back)) == pages(document)
            assert await elsewhere.ask("SELECT FROM occasions") == []  # nobody is asked about what came along


async def exported(phone: Phone) -> Json:
    await phone.step_up()
    document: Json = await phone.get("/v1/me/export")
    return document


def pages(document: Json) -> list[Json]:
    """Both streams, whole, with their proofs and heads."""
    return [relationship[stream] for relationship in document["relationships"] for stream in ("shared", "private")]


async def move(document: Json, database_url: str) -> None:
    """The export into the database, and nothing else."""
    db = await asyncpg.connect(database_url)
    await db.execute(EMPTY)
    export = msgspec.json.decode(json.dumps(document), type=Export)
    await import_export.write_export(db, KEYS, export, NOON)
    await db.close()
