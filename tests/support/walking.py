"""Which files of ours a call runs through: python -m tests.support.walking [FILE] writes the lists into a document.

The service runs in this process, with the clock and the log of an operator's, and everything is warm: the session is
known, the keys are in memory, each statement has its plan. A room is a folder of `service/`.
"""

import asyncio
import io
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import structlog
from msgspec import Struct

from service import logs
from service.core.clock import JumpGuardedClock
from service.settings import Settings
from tests.support.phones import Phone, running
from tests.support.postgres import SharedServer, fresh_database

ROOT = Path(__file__).parents[2]
OURS = ("events", "projections", "service")
LISTED = re.compile(r"(?<=<!-- the walks: make walk -->\n).*?(?=<!-- the end of the walks -->)", re.DOTALL)


class Walk(Struct):
    """The files that a call has run through, in the order in which it came to them."""

    call: str
    files: list[str]

    @property
    def rooms(self) -> list[str]:
        """The rooms of the service among them."""
        inside = [file.split("/") for file in self.files if file.startswith("service/")]
        return list(dict.fromkeys(parts[1] for parts in inside if len(parts) > 2))


async def walks(database_url: str) -> list[Walk]:
    """A write, a read that counts, and the same read once more, which finds its answer in memory."""
    with _logging():
        async with running(database_url, now=JumpGuardedClock()) as service:
            one, _ = await service.couple()
            for _ in range(2):
                await _write(one)
                await _read(one)
            return [
                await _walked("PUT …/requests/{id}", lambda: _write(one)),
                await _walked("GET …/balances", lambda: _read(one)),
                await _walked("GET …/balances, unchanged", lambda: _read(one)),
            ]


@contextmanager
def _logging() -> Iterator[None]:
    """Log as an operator's service does, to where nobody reads it."""
    with redirect_stderr(io.StringIO()):
        logs.configure(Settings())
    try:
        yield
    finally:
        structlog.reset_defaults()


async def _write(one: Phone) -> None:
    await one.put("requests", {"occurred_at": datetime.now(UTC).isoformat(), "domain": "time"})


async def _read(one: Phone) -> None:
    await one.get("/v1/relationships/{rid}/balances")


async def _walked(call: str, make: Callable[[], Awaitable[None]]) -> Walk:
    walk = Walk(call, [])
    with _watched(walk.files):
        await make()
    return walk


@contextmanager
def _watched(files: list[str]) -> Iterator[None]:
    """Note each file of ours from which something is called."""
    before = sys.getprofile()

    def note(frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename.removeprefix(f"{ROOT}/")
        if event == "call" and file.split("/")[0] in OURS and file not in files:
            files.append(file)

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)


def told(found: list[Walk]) -> str:
    """The walks, as a document shows them: a line for each room, in the order in which they are entered."""
    return "\n".join(f"{_heading(walk)}\n\n```\n{_by_room(walk)}\n```\n" for walk in found)


def _heading(walk: Walk) -> str:
    return f"`{walk.call}`: {len(walk.files)} files, {len(walk.rooms)} rooms."


def _by_room(walk: Walk) -> str:
    rooms: dict[str, list[str]] = {}
    for file in walk.files:
        room, _, name = file.rpartition("/")
        rooms.setdefault(room, []).append(name.removesuffix(".py"))
    return "\n".join(f"{f'{room}/':<22} {', '.join(names)}" for room, names in rooms.items())


def main() -> None:
    """Print the walks, or write them where a document has room for them."""
    server = SharedServer()
    try:
        with fresh_database(server.url) as url:
            found = asyncio.run(walks(url))
    finally:
        server.stop()
    for name in sys.argv[1:]:
        document = Path(name)
        document.write_text(LISTED.sub(lambda _: f"\n{told(found)}\n", document.read_text()))
    print(told(found))


if __name__ == "__main__":
    main()
