"""python -m tests.benchmarks [SUBJECT …] [--quick]: what is measured beside what is to be reached, in one table.

The service runs as an operator starts it, on a PostgreSQL that loses nothing, and is asked over HTTP. Every figure is a
ratio within one run: what is compared takes turns, and the median of the rounds is told.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import (
    asking,
    lasting,
    load,
    pace,
    protection,
    readings,
    screens,
    servers,
    sizes,
    storing,
    workers,
    writes,
)
from tests.benchmarks.table import Figure, Setting, show

SUBJECTS: dict[str, Callable[[Setting], list[Figure]]] = {
    "put": writes.measure,
    "others": writes.measure_others,
    "pace": pace.measure,
    "reads": readings.measure,
    "screen": screens.measure,
    "stored": storing.measure,
    "sizes": sizes.measure,
    "rebuild": lasting.rebuild,
    "memory": lasting.memory,
    "start": lasting.start,
    "prompts": asking.measure,
    "workers": workers.measure,
}


def main() -> int:
    """Measure what is named, or everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("subjects", nargs="*", choices=[*SUBJECTS, "protection", []])
    parser.add_argument("--quick", action="store_true", help="short rounds and small sizes: to see that it works")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, help="how long each measurement takes; 5, or 1 if quick")
    parser.add_argument("--size", type=float, help="1 is 10 million events and 1 million requests; 0.01 if quick")
    given = parser.parse_args()
    chosen = given.subjects or [*SUBJECTS, "protection"]
    try:
        load.need_wrk()
    except load.Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    figures: list[Figure] = []
    # Not a folder of one's own: PostgreSQL, started by root, is somebody else.
    with tempfile.TemporaryDirectory(prefix="mutuality-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        with servers.postgres(folder) as url:
            seconds, size = given.seconds or (1 if given.quick else 5), given.size or (0.01 if given.quick else 1)
            setting = Setting(folder, url, given.rounds, seconds, size)
            for subject in chosen:
                if subject in SUBJECTS:
                    figures += SUBJECTS[subject](setting)
                    print(show(figures), flush=True)
    if "protection" in chosen:
        protection.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
