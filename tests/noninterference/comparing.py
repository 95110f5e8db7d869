"""One script in two worlds: the first answer that differs, and the shortest script in which it does."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct, field

from tests.noninterference.observing import observe
from tests.noninterference.scripts import Json, Script, Step, script, simpler
from tests.noninterference.worlds import Answer, Seen, World, play, world
from tests.support.turns import Way

LEAVES = Step(who="reader", method="POST", path="/v1/relationships/{rid}/leave")
TRIES = 300
PEOPLE_LAST = 25  # pairs; weeks pass in each, and a session ends after a year


class Tally(Struct):
    """What came of many pairs: nothing is shown by a comparison in which nothing happened."""

    pairs: int = 0
    told_apart: int = 0  # pairs whose databases differ
    reveals: int = 0  # worlds in which the reader read what was sealed by both
    answers: Counter[int] = field(default_factory=Counter)
    succeeded: set[str] = field(default_factory=set)  # the operations that were answered with what was asked for
    visited: set[str] = field(default_factory=set)

    def count(self, seen: Seen) -> None:
        """Take one world's answers into account."""
        self.reveals += any(_shows_revealed(answer) for label, answer in seen if " listEvents " in label)
        for label, answer in seen:
            self.answers[answer.status] += 1
            who, operation, *_ = label.split()
            if who == "reader":
                self.visited.add(operation)
                if answer.status in (200, 304):
                    self.succeeded.add(operation)

    def share_of_successes(self) -> float:
        """Of all answers, those with a status of 200 to 304."""
        return sum(n for status, n in self.answers.items() if status < 400) / self.answers.total()


def _shows_revealed(page: Answer) -> bool:
    events = json.loads(page.body)["events"] if page.status == 200 else []
    return any(e["stream"] == "shared" and e.get("check_in", {}).get("audience") == "sealed" for e in events)


class Difference(Struct, frozen=True):
    """Where two worlds part: what was asked, and both answers."""

    asked: str
    answers: tuple[Answer | None, Answer | None]


class Pair(Struct, frozen=True):
    """Two worlds."""

    one: World
    two: World

    async def people(self, seed: str) -> None:
        """New members in both, at the same time in both."""
        self.one.clock.time = self.two.clock.time = max(self.one.clock.time, self.two.clock.time)
        await self.one.people(seed)
        await self.two.people(seed)

    async def compare(self, written: Script, seed: str, tally: Tally | None = None) -> Difference | None:
        """The first difference between what the reader and the stranger are answered in both worlds."""
        seen = [await _lived(one, written, seed) for one in (self.one, self.two)]
        if tally is not None:
            tally.pairs += 1
            tally.told_apart += await self.one.log() != await self.two.log()
            tally.count(seen[0])
            tally.count(seen[1])
        return _first_difference(*seen)

    async def find(
        self, seed: str, pairs: int, tally: Tally | None = None, *, begin: int = 1
    ) -> tuple[int, Script, Difference] | None:
        """The first of so many pairs that differs, from one on: its number, its script and the difference."""
        for number in range(begin, begin + pairs):
            if number == begin or number % PEOPLE_LAST == 1:
                await self.people(f"{seed}-{number}")
            written = script(f"{seed} {number}", self.one.clock.time)
            found = await self.compare(written, f"{seed} {number}", tally)
            if found:
                return number, written, found
        return None

    async def shrunk(self, failing: Script, seed: str, seen: Difference) -> tuple[Script, str]:
        """The shortest script found in which the worlds still differ, and how: made to be read."""
        # Each time under another name: what was drawn by one name is taken.
        found, tries = await self.compare(failing, f"{seed} again"), 0
        if found is None:
            return failing, f"It was not seen again: what came before it matters.{told(failing, seen)}"
        shorter = True
        while shorter and tries < TRIES:
            shorter = False
            for candidate in simpler(failing):
                tries += 1
                if differs := await self.compare(candidate, f"{seed} {tries}th"):
                    failing, found, shorter = candidate, differs, True
                    break
        return failing, told(failing, found)


async def _lived(world: World, written: Script, seed: str) -> Seen:
    seen = await play(world, written, seed)
    seen += await observe(world, "reader", seed)
    if sum(seed.encode()) % 8 == 0:
        seen += await observe(world, "stranger", seed)
    # The next script's members know nobody: what the other is called then is told to no one else.
    await world.ask("reader", "POST", LEAVES.path)
    return seen


def _first_difference(one: Seen, two: Seen) -> Difference | None:
    for (asked, first), (_, second) in zip(one, two, strict=False):
        if first != second:
            return Difference(asked, (first, second))
    if len(one) != len(two):
        return Difference("the number of answers", (None, None))
    return None


def told(failing: Script, found: Difference) -> str:
    """A script and a difference, to be read."""
    lines = [_line(step) for step in failing]
    return "\n".join(["", *lines, f"  then differs: {found.asked}", *(f"    {answer}" for answer in found.answers)])


def _line(step: Step) -> str:
    worlds = f"in world {min(step.worlds)} only" if len(step.worlds) == 1 else ""
    said: Json | list[object] | None = step.entries if step.entries is not None else step.body  # type: ignore[assignment]
    return f"  {step.who} {step.method} {step.path} {said or ''} {worlds}"


@asynccontextmanager
async def two_worlds(one: str, two: str, workers: int = 1, way: Way = "by turns") -> AsyncIterator[Pair]:
    """Two worlds on two databases."""
    async with world(0, one, workers, way) as here, world(1, two, workers, way) as there:
        yield Pair(here, there)
