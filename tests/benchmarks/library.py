"""Runs in the library's own environment: seconds come in, and out goes how many events it saved a second."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

THREADS = int(sys.argv[1])
TEXT = "Shall we? " * 10


class Log(Aggregate):  # type: ignore[misc]
    """One that is asked for things."""

    @event("Asked")  # type: ignore[untyped-decorator]
    def ask(self, domain: str, text: str) -> None:
        """One event."""
        self.last = (domain, text)


def saved(application: Application, until: float) -> int:
    """How many updates of one aggregate were saved until then, each with one event."""
    log, count = Log(), 0
    application.save(log)
    while time.monotonic() < until:
        log.ask("home", TEXT)
        application.save(log)
        count += 1
    return count


def main() -> None:
    """One line in, one line out."""
    application: Application = Application()
    with ThreadPoolExecutor(THREADS) as pool:
        for line in sys.stdin:
            seconds = float(line)
            until = time.monotonic() + seconds
            counts = list(pool.map(saved, [application] * THREADS, [until] * THREADS))
            print(sum(counts) / seconds, flush=True)
    application.close()


main()
