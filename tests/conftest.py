"""One PostgreSQL for the whole run, held by the controlling process, so that it ends with the run however
that ends; the workers of pytest-xdist are told its address.
"""

import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import settings

from service.reading.live import LivePace
from tests.support.phones import NOON, Running, running
from tests.support.postgres import SharedServer, fresh_database

settings.register_profile("no deadline", deadline=None)  # how long one example takes is the machine's business
settings.load_profile("no deadline")

SERVER = pytest.StashKey[SharedServer]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SERVER] = SharedServer()
    if not hasattr(config, "workerinput"):
        # Whoever ends a run that takes too long does it by this signal; the server has to be stopped then too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Called in the controller for each worker of pytest-xdist before it starts."""
    if "not database" not in node.config.option.markexpr:  # or every `make check` would start it for nothing
        node.workerinput["postgres_url"] = node.config.stash[SERVER].url


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for the run's PostgreSQL; a test that starts one of its own says so itself."""
    for item in items:
        if isinstance(item, pytest.Function) and "postgres_url" in item.fixturenames:
            item.add_marker("database")


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[SERVER].stop()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what tests have measured: `record_property("measured", …)`."""
    ended = [report for reports in terminalreporter.stats.values() for report in reports]
    said = {text for one in ended for name, text in getattr(one, "user_properties", []) if name == "measured"}
    if said:
        terminalreporter.section("measured")
        terminalreporter.write("".join(f"{text}\n" for text in sorted(said)))


@pytest.fixture(scope="session")
def postgres_url(pytestconfig: pytest.Config) -> str:
    """The DSN of the run's server as its superuser; the database is empty and shared."""
    given: dict[str, str] = getattr(pytestconfig, "workerinput", {})
    return given.get("postgres_url") or pytestconfig.stash[SERVER].url


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """The DSN of a database of this test's own, migrated, as the server's superuser."""
    with fresh_database(postgres_url) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """The DSN of a database of this test's own without any tables."""
    with fresh_database(postgres_url, template="template1") as url:
        yield url


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Running]:
    """The service on a database of this test's own, with a clock that stands still; it does only what is asked."""
    async with running(database_url, live_pace=LivePace(poll_seconds=1000)) as started:
        yield started


@pytest.fixture(scope="module")
def lasting_database_url(postgres_url: str) -> Iterator[str]:
    """The DSN of a database that the tests of a module share."""
    with fresh_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
async def lasting_service(lasting_database_url: str) -> AsyncIterator[Running]:
    """The service on that database."""
    async with running(lasting_database_url, live_pace=LivePace(poll_seconds=1000)) as started:
        yield started


SWEEP = """
WITH
    a AS (DELETE FROM outbox),
    b AS (DELETE FROM prompts),
    c AS (DELETE FROM occasions),
    d AS (DELETE FROM schedules),
    e AS (DELETE FROM devices)
SELECT
"""


@pytest.fixture
async def swept_service(lasting_service: Running) -> Running:
    """A service that lasts for a module, at noon again, and with nobody left to be asked.

    Its members and what they recorded stay: a test that makes members of its own meets none of them.
    """
    await lasting_service.ask(SWEEP)
    lasting_service.clock.time = NOON
    return lasting_service
