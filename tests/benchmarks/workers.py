"""What several workers gain: PUTs through 1, 2 and 4 of them on one database, and what each PUT costs in Python and in
PostgreSQL. From these costs a model says what more cores could carry; it is no measurement.
"""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial

import psutil
from msgspec import Struct

from tests.benchmarks import load, people, servers
from tests.benchmarks.load import Load, Target
from tests.benchmarks.servers import Server
from tests.benchmarks.table import Figure, Setting, in_turn, median, only, ratio
from tests.benchmarks.writes import COUPLES, request

WORKERS = (1, 2, 4)
CORES = (4, 8, 16)


class Cost(Struct, frozen=True):
    """PUTs a second, and the microseconds of a processor that each took."""

    per_second: float
    python: float
    postgres: float
    generator: float
    busiest: float  # share of the Python time that was one worker's: of n that work alike it is 1/n


def measure(setting: Setting) -> list[Figure]:
    """The three of them by turns, under the same load."""
    url = servers.migrated(setting.url, "workers")
    couples = asyncio.run(people.move_in(url, setting.folder / "keys", COUPLES, 0))
    many = Load("put", [Target(f"{c.path}/requests/", c.first.token) for c in couples], request())
    with ExitStack() as stack:
        running = {
            number: stack.enter_context(
                servers.service(setting.folder, f"workers_{number}", DATABASE_URL=url, WORKERS=str(number))
            )
            for number in WORKERS
        }
        for server in running.values():
            load.run(server, many, setting.seconds, setting.folder)
        found = in_turn(
            {str(number): partial(_put, server, many, setting) for number, server in running.items()}, setting.rounds
        )
        memory = [process.memory_full_info().uss / 2**20 for process in _serving(running[4])]
    rates = {name: [cost.per_second for cost in costs] for name, costs in found.items()}
    cores = len(psutil.Process().cpu_affinity())
    return [
        *(
            only(
                f"PUT through {name} workers on {cores} cores, of one",
                f"{ratio(rates[name], rates['1']):.3g} ({median(rates[name]):.0f} a second)",
            )
            for name in rates
        ),
        *(
            only(f"a PUT through {name} workers, µs: Python, PostgreSQL, generator", _told(found[name]))
            for name in found
        ),
        only("memory that a worker shares with nobody, MiB", f"{median(memory):.0f}"),
        *(only(f"model: PUTs a second on {number} cores", _modelled(found["1"], number)) for number in CORES),
    ]


def _told(costs: Sequence[Cost]) -> str:
    python, postgres, generator, busiest = (
        median(getattr(cost, name) for cost in costs) for name in ("python", "postgres", "generator", "busiest")
    )
    return f"{python:.0f}, {postgres:.0f}, {generator:.0f}; the busiest worker has {busiest:.2f} of it"


def _modelled(costs: Sequence[Cost], cores: int) -> str:
    """All cores busy, the generator elsewhere, and nothing but processors in the way."""
    python, postgres = median(cost.python for cost in costs), median(cost.postgres for cost in costs)
    workers = cores * python / (python + postgres)
    return f"{cores * 1e6 / (python + postgres):.0f} at most, by {workers:.1f} workers"


def _put(server: Server, many: Load, setting: Setting) -> Cost:
    serving, before = _serving(server), _postgres_seconds(setting)
    used = [_seconds(process) for process in serving]
    served = load.run(server, many, setting.seconds, setting.folder)
    taken = [_seconds(process) - then for process, then in zip(serving, used, strict=True)]
    answered = served.per_second * max(1, round(setting.seconds))
    return Cost(
        served.per_second,
        sum(taken) / answered * 1e6,
        (_postgres_seconds(setting) - before) / answered * 1e6,
        served.generator_share / served.per_second * 1e6,
        max(taken) / sum(taken),
    )


def _serving(server: Server) -> list[psutil.Process]:
    """The processes that serve: the workers, or the only one."""
    workers = [one for one in server.process.children() if "service.cli.one_worker" in one.cmdline()]
    return workers or [server.process]


def _seconds(process: psutil.Process) -> float:
    used = process.cpu_times()
    return used.user + used.system


def _postgres_seconds(setting: Setting) -> float:
    """The processor time of PostgreSQL, with that of its processes that have ended."""
    pid = (setting.folder / "postgres" / "postgres" / "postmaster.pid").read_text().splitlines()[0]
    server, total = psutil.Process(int(pid)), 0.0
    used = server.cpu_times()
    total += used.user + used.system + getattr(used, "children_user", 0.0) + getattr(used, "children_system", 0.0)
    for child in server.children():
        with suppress(psutil.NoSuchProcess):
            total += _seconds(child)
    return total
