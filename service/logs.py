"""Logging by structlog, a line for each event: for people on a terminal, JSON elsewhere."""

import asyncio
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

import msgspec
import structlog
from structlog.typing import EventDict, WrappedLogger

from service.settings import Settings


class Lines:
    """A structlog logger that writes all lines of one turn of the event loop at once.

    Under load many requests are answered in one turn, and a system call for each line takes longer than making it.
    """

    def __init__(self, file: TextIO) -> None:
        self._file, self._pending = file, list[str]()

    def msg(self, line: str) -> None:
        """Write a line soon, or at once where no loop runs."""
        self._pending.append(line)
        if len(self._pending) > 1:
            return
        try:
            asyncio.get_running_loop().call_soon(self._write)
        except RuntimeError:
            self._write()

    debug = info = warning = error = critical = msg

    def _write(self) -> None:
        lines, self._pending = self._pending, []
        self._file.write("".join(f"{line}\n" for line in lines))
        self._file.flush()


def configure(settings: Settings) -> None:
    """Log to standard error from the level that is set."""
    lines = Lines(sys.stderr)
    for_people = (structlog.processors.TimeStamper(fmt="iso", utc=True), structlog.dev.ConsoleRenderer())
    structlog.configure(
        processors=[structlog.processors.add_log_level, *(for_people if sys.stderr.isatty() else (_for_programs,))],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.log_level.upper())),
        logger_factory=lambda *_: lines,
    )


def _for_programs(logger: WrappedLogger, name: str, line: EventDict) -> str:
    line["timestamp"] = datetime.now(UTC)
    return msgspec.json.encode(line).decode()
