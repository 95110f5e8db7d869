"""A service that clients in other languages talk to, as a user starts it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.console import console


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Its address, and the file that its console goes to."""
    with console(tmp_path_factory.mktemp("service")) as running:
        yield running
