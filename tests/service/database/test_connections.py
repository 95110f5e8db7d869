"""Nobody waits long for a connection, nor for a row."""

import asyncio

import pytest

from service.database.pool import create_pool
from service.database.roles import SERVICE_ROLE
from tests.support.holding import holding
from tests.support.phones import Running

MY_HEAD = "SELECT position FROM heads WHERE relationship_id = $1::text::uuid AND stream = 1 FOR UPDATE"


async def test_who_waits_too_long_is_refused(database_url: str) -> None:
    async with create_pool(database_url, SERVICE_ROLE, 1) as pool:
        pool.wait_seconds = 0.05
        async with pool.acquire():
            with pytest.raises(TimeoutError):
                await pool.fetchval("SELECT 1")
        assert await pool.fetchval("SELECT 1") == 1


async def test_who_comes_to_a_full_queue_is_refused_at_once(database_url: str) -> None:
    async with create_pool(database_url, SERVICE_ROLE, 1) as pool:
        pool.max_waiting = 2
        async with pool.acquire():
            *waiting, too_many = [asyncio.create_task(pool.fetchval("SELECT 1")) for _ in range(3)]
            with pytest.raises(TimeoutError):
                await too_many
            assert pool.waiting == 2
        assert await asyncio.gather(*waiting) == [1, 1]
        assert pool.waiting == 0


async def test_a_row_that_somebody_holds_is_not_waited_for_long(service: Running) -> None:
    one = await service.member()
    async with holding(service, MY_HEAD, one.rid):
        answer = await one.call(
            "PUT",
            "/v1/relationships/{rid}/check-ins/00000000-0000-4000-8000-000000000001",
            {"occurred_at": "2026-06-15T10:00:00Z", "note": "a walk"},
        )
        assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "try_again", "1")
    await one.put("check-ins", {"occurred_at": "2026-06-15T10:00:00Z", "note": "a walk"})


async def test_a_lost_connection_does_not_block_the_end(database_url: str) -> None:
    async with create_pool(database_url, SERVICE_ROLE, 1) as pool:
        pool.close_seconds = 0.05
        await pool.acquire()
    assert pool.get_size() == 0
