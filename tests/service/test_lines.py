"""Log lines come out whole, in order, and none is lost when there is no loop to write them later."""

import asyncio
import io

from service.logs import Lines


class Counting(io.StringIO):
    """Counts how often it is written to."""

    written = 0

    def write(self, text: str) -> int:
        """Write, and count."""
        self.written += 1
        return super().write(text)


async def test_the_lines_of_one_turn_are_written_together_and_in_order() -> None:
    file = Counting()
    lines = Lines(file)
    for line in ("one", "two", "three"):
        lines.info(line)
    await asyncio.sleep(0)
    lines.warning("four")
    await asyncio.sleep(0)
    assert (file.getvalue(), file.written) == ("one\ntwo\nthree\nfour\n", 2)


def test_without_a_loop_a_line_is_written_at_once() -> None:
    file = Counting()
    Lines(file).error("one")
    assert file.getvalue() == "one\n"


def test_what_is_told_as_the_loop_ends_is_written_too() -> None:
    file = Counting()

    async def end() -> None:
        Lines(file).info("the last")

    asyncio.run(end())
    assert file.getvalue() == "the last\n"
