"""python -m service push: it waits for the database, works beside others, and can be stopped or killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from service.core.clock import utc_now
from tests.support.phones import KEYS, Running, running
from tests.support.prompting import after_events, happened, outbox, register, want
from tests.support.pushing import EC_KEY, SERVER_PEM, PushService, private

ROOT = Path(__file__).parents[3]


def environment(database_url: str, folder: Path, apple: PushService) -> dict[str, str]:
    """That of an operator who sends through Apple; its certificate is the tests' own."""
    (folder / "key.p8").write_bytes(private(EC_KEY))
    (folder / "trusted.pem").write_bytes(SERVER_PEM)
    settings = {"DATABASE_URL": database_url, "KEYS_DIR": str(KEYS.folder), "APNS_KEY_FILE": str(folder / "key.p8")}
    settings |= {"APNS_KEY_ID": "k", "APNS_TEAM_ID": "t", "APNS_TOPIC": "a.b", "APNS_URL": apple.url}
    named = {f"MUTUALITY_{name}": value for name, value in settings.items()}
    return {**os.environ, **named, "SSL_CERT_FILE": str(folder / "trusted.pem")}


@asynccontextmanager
async def worker(env: dict[str, str], ready: bytes = b"Prompts are planned and sent.") -> AsyncIterator[Any]:
    """A worker of its own, as soon as it says so; killed in the end, if it still lives."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", "push", cwd=ROOT, env=env, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            while ready not in (line := await process.stdout.readline()):
                assert line
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def apple() -> AsyncIterator[PushService]:
    async with PushService().open("localhost") as opened:
        yield opened


@pytest.fixture
async def now(database_url: str) -> AsyncIterator[Running]:
    """The service at this moment, as a process beside it sees it."""
    async with running(database_url, now=utc_now) as started:
        yield started


async def a_prompt(service: Running) -> None:
    """Due now, for somebody new."""
    one, _ = await service.couple()
    await register(service, one, uuid4().hex)
    await want(service, one, after_events(0))
    await happened(service, one)


async def until_came(apple: PushService, count: int) -> None:
    async with asyncio.timeout(60):  # what was held by who was killed waits for its lease to run out
        while len({request.path for request in apple.received}) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_it_sends_what_is_due_and_stops_when_told(now: Running, apple: PushService, tmp_path: Path) -> None:
    await a_prompt(now)
    async with worker(environment(now.database_url, tmp_path, apple)) as process:
        await until_came(apple, 1)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert await outbox(now) == []


@pytest.mark.parametrize("rounds", [1, pytest.param(50, marks=pytest.mark.soak)])
async def test_what_a_killed_one_leaves_another_sends(
    now: Running, apple: PushService, tmp_path: Path, rounds: int
) -> None:
    env = environment(now.database_url, tmp_path, apple)
    for n in range(1, rounds + 1):
        await a_prompt(now)
        async with worker(env) as process:
            process.kill()
        async with worker(env):
            await until_came(apple, n)


async def test_it_waits_for_a_database_that_is_not_there(apple: PushService, tmp_path: Path) -> None:
    env = environment("postgresql://nobody@127.0.0.1:1/none", tmp_path, apple)
    async with worker(env, b"This waits for it.") as process:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
