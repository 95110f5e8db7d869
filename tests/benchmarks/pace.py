"""How long a durable PUT takes at half of the rate that is the most."""

import subprocess
import sys
from pathlib import Path

import msgspec

from tests.benchmarks.load import Load
from tests.benchmarks.paced import Paced
from tests.benchmarks.servers import Server
from tests.benchmarks.table import Figure, Setting, at_most, median
from tests.benchmarks.writes import COUPLES, stage


def measure(setting: Setting) -> list[Figure]:
    """The most, and then half of it, in turns."""
    paced: list[Paced] = []
    with stage(setting, "pace", COUPLES) as on:
        many = on.requests(on.couples)
        on.rate(many)
        for _ in range(setting.rounds):
            half = on.rate(many) / 2
            paced.append(at_rate(on.service, many, half, setting.seconds, setting.folder))
    late = median(one.late_p99_ms for one in paced)
    note = f"p50 {median(one.p50_ms for one in paced):.1f}; the generator's own p99 lag {late:.1f}"
    return [at_most("PUT at half of the most: p99 in ms", median(one.p99_ms for one in paced), 25, note)]


def at_rate(server: Server, load: Load, rate: float, seconds: float, folder: Path) -> Paced:
    """Requests at a steady rate, from a process of its own. Every answer must be a success."""
    (folder / "paced").write_text("".join(f"{t.path}\t{t.token}\t\n" for t in load.targets))
    (folder / "paced-body").write_text(load.body)
    files = [str(folder / "paced"), str(folder / "paced-body")]
    command = [sys.executable, "-m", "tests.benchmarks.paced", str(server.port), *files, str(rate), str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = msgspec.json.decode(done.stdout, type=Paced)
    assert found.failed == 0, f"{found.failed} of {found.sent} failed: {server.log}"
    return found
