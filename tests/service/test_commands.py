"""What an operator types, as far as it is not shown by the README's tour."""

import sys

import asyncpg
import pytest

from service import commands
from service.__main__ import main
from service.app import create_pool
from service.errors import StartupError
from service.keyring import Keyring
from service.migrations import KEYS_ROLE
from service.outside import system_chance, utc_now
from tests.phones import KEYS, Running, link

HERE = "/v1/relationships/{rid}"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "abc", "MUTUALITY_PORT"),
        ("DATABASE_URL", "mysql://somewhere/else", "database cannot be reached"),
        ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none", "database cannot be reached"),
    ],
)
def test_what_goes_wrong_at_the_start_is_said_in_one_sentence(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"MUTUALITY_{name}", value)
    monkeypatch.setattr(sys, "argv", ["service", "rebuild"])
    assert main() == 1
    told = capsys.readouterr().err.strip()
    assert said in told
    assert len(told.splitlines()) == 1


async def test_a_partner_who_comes_in_during_a_rebuild_keeps_their_counts(service: Running) -> None:
    one, two = await service.member(), await service.phone().sign_in()
    await two.consent()
    db = await asyncpg.connect(service.database_url)
    listed = await db.fetch(commands.STREAMS)
    await link(one, two)
    await one.put("requests", {"occurred_at": "2026-06-15T10:00:00Z", "domain": "home"})
    async with create_pool(service.database_url, KEYS_ROLE, 1) as keys_db:
        keys = Keyring(keys_db, KEYS, utc_now, system_chance)
        assert sum([await commands._rebuild_one(db, keys, row) for row in listed]) == 0
    await db.close()
    assert (await two.get(f"{HERE}/balances"))["mine"]["initiates"]["partner"] == 1


async def test_a_rebuild_of_what_is_not_migrated_says_so(empty_database_url: str) -> None:
    with pytest.raises(StartupError, match="service migrate"):
        await commands._rebuild(empty_database_url, KEYS)
