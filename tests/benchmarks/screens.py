"""How long the figures of a phone's first screen take that nobody has asked for yet, in the service's own time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from asyncpg import Pool, Record

from projections import balances, trends
from projections.trends import Measure
from service.app import no_reset
from service.database.pool import create_pool
from service.database.roles import SERVICE_ROLE
from service.reading import reads
from tests.benchmarks import people
from tests.benchmarks.people import Couple, diary
from tests.benchmarks.servers import as_served, migrated
from tests.benchmarks.table import Figure, Setting, at_most, median

COUPLES = 40
DAYS = 730
YEAR = timedelta(days=364)
WINDOWS = (28, 90, 365)
MEASURES: tuple[Measure, ...] = ("asks", "initiates", "decides", "counted", "felt")

Look = Callable[[Any], Awaitable[object]]


def measure(setting: Setting) -> list[Figure]:
    """By the functions that answer, on a connection that has answered before; couples have two years behind them."""
    url = migrated(setting.url, "screens")
    couples = asyncio.run(people.move_in(url, setting.folder / "keys", COUPLES, DAYS, diary))
    return as_served(_measured(url, couples, setting.rounds))


async def _measured(url: str, couples: list[Couple], rounds: int) -> list[Figure]:
    trend, screen = list[float](), list[float]()
    async with create_pool(url, SERVICE_ROLE, 1, reads.COUNTING, no_reset) as db:
        for round_ in range(rounds + 1):
            # A day of its own for each round; in the first one PostgreSQL plans its statements.
            today = datetime.now(UTC).date() - timedelta(days=round_)
            for couple in couples:
                trend.append(await _milliseconds(db, [_trend(couple, "initiates", today, DAYS)]))
                screen.append(await _milliseconds(db, _screen(couple, today)))
    warm = len(couples)
    return [
        _milliseconds_at_most("trend over 24 months, cold", trend[warm:], 1.5),
        _milliseconds_at_most("all figures of a first screen, cold", screen[warm:], 8),
    ]


def _milliseconds_at_most(what: str, took: list[float], most: float) -> Figure:
    """On a busy machine the least says more than the median: it is what one took that nobody interrupted."""
    return at_most(f"{what}, p50 in ms of server time", median(took), most, f"least {min(took):.2f}")


async def _milliseconds(db: "Pool[Record]", looks: list[Look]) -> float:
    """What all these take, one after the other."""
    async with db.acquire() as connection:
        began = time.perf_counter()
        for look in looks:
            await look(connection)
        return (time.perf_counter() - began) * 1000


def _screen(couple: Couple, today: date) -> list[Look]:
    return [_balances(couple, today, window) for window in WINDOWS] + [
        _trend(couple, one, today, YEAR.days) for one in MEASURES
    ]


def _balances(couple: Couple, on: date, window: int) -> Look:
    asked, reader = balances.Asked(on, window), couple.reader(couple.first)
    return lambda db: balances.balances(db, couple.keys, reader, asked, couple.first.member_id)


def _trend(couple: Couple, one: Measure, last: date, days: int) -> Look:
    asked = trends.Asked(
        one,
        item="heard" if one == "felt" else None,
        when="other_decided" if one == "counted" else None,
        domain=None,
        window=28,
        step=7,
        first=last - timedelta(days=days),
        last=last,
    )
    reader = couple.reader(couple.first)
    return lambda db: trends.trend(db, couple.keys, reader, asked, couple.first.member_id)
