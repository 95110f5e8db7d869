"""One database for each module, with two members who begin a new relationship for each example."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.properties.playing import Place, place
from tests.support.postgres import fresh_database


@pytest.fixture(scope="module")
def module_database(postgres_url: str) -> Iterator[str]:
    """The DSN of a migrated database that lasts for a module."""
    with fresh_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
async def home(module_database: str) -> AsyncIterator[Place]:
    """Where the examples of a module take place."""
    async with place(module_database) as started:
        yield started
