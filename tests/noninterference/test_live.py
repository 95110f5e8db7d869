"""What one keeps private moves no frame of the other's live stream, wakes nobody, and costs no query of theirs."""

from typing import Any
from uuid import UUID

import pytest

from projections.reader import Reader
from service.reading import live
from service.reading.live import LiveStream
from tests.noninterference.comparing import Pair
from tests.noninterference.worlds import World
from tests.support.listening import Listening
from tests.support.phones import Phone, link

NOTE = {"occurred_at": "2026-06-15T10:00:00+02:00", "note": "a walk"}
SHARED = NOTE | {"audience": "shared"}
FROM_THE_BEGINNING = "shared:0,private:0"
ROUNDS = 3


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Reader]:
    """Whoever reads, each time that they do."""
    pages, seen = LiveStream._pages, list[Reader]()

    async def noted(stream: LiveStream) -> Any:
        seen.append(stream._listener.reader)
        return await pages(stream)

    monkeypatch.setattr(LiveStream, "_pages", noted)
    return seen


async def test_what_the_other_keeps_private_moves_no_frame(pair: Pair, reads: list[Reader]) -> None:
    await pair.people("live")
    quiet, quiet_reads = await heard(pair.one, reads, 0)
    busy, busy_reads = await heard(pair.two, reads, 5)
    assert quiet == busy
    assert abs(quiet_reads - busy_reads) <= 1  # the watcher may look once while something is told
    assert len(quiet) == 3 + 2 * ROUNDS  # where it begins, opened, all told, and what came


async def heard(world: World, reads: list[Reader], private: int, seed: str = "live") -> tuple[list[bytes], int]:
    """What the reader hears, and how often they read, while the other records so much between what both can see."""
    reader, other = world.phones["reader"], world.phones["other"]
    reads.clear()
    world.chance.begin(seed)
    await reader.begin()
    await link(reader, other)
    app = world.service.app
    async with Listening(app, reader, FROM_THE_BEGINNING) as listening, Listening(app, other) as theirs:
        await listening.caught_up()
        await theirs.caught_up()
        for number in range(ROUNDS):
            world.chance.hidden = True
            for one in range(private):
                await put(other, NOTE, 1000 * number + one)
                await poll(world)
                await theirs.events(1)
            world.chance.hidden = False
            await poll(world)
            await put(other, SHARED, 100 * number + 50)
            await poll(world)
            await listening.events(1)
            await theirs.events(1)
            await put(reader, NOTE, 100 * number + 51)
            await poll(world)
            await listening.events(1)
    return listening.seen, len([one for one in reads if str(one.author_id) == reader.author])


async def poll(world: World) -> None:
    """What another worker has recorded is found by looking."""
    for state in world.states():
        await live.poll(state.context)


async def put(phone: Phone, entry: Any, number: int) -> None:
    await phone.put("check-ins", entry, UUID(int=number))
