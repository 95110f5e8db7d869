"""Two worlds that last for a module."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.noninterference.comparing import Pair, two_worlds
from tests.support.postgres import fresh_database


@pytest.fixture(scope="module")
def two_databases(postgres_url: str) -> Iterator[tuple[str, str]]:
    """The DSNs of two migrated databases that last for a module."""
    with fresh_database(postgres_url) as one, fresh_database(postgres_url) as two:
        yield one, two


@pytest.fixture(scope="module")
async def pair(two_databases: tuple[str, str]) -> AsyncIterator[Pair]:
    """Both worlds."""
    async with two_worlds(*two_databases) as started:
        yield started
