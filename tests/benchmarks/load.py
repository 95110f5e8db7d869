"""The load: wrk, a generator in C with a script of ours, in a process of its own whose share of time is told."""

import os
import resource
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Literal

import msgspec
from msgspec import Struct

from tests.benchmarks.servers import Server

SCRIPT = Path(__file__).with_name("load.lua")
Mode = Literal["put", "sync", "get"]


class Target(Struct, frozen=True):
    """What is asked: an address (of an entry, without its id), as whom, and the entity tag that is known already."""

    path: str
    token: str
    tag: str = ""


class Load(Struct, frozen=True):
    """So many connections, each asking again as soon as it is answered, one of the targets by chance."""

    mode: Mode
    targets: Sequence[Target]
    body: str = ""
    connections: int = 64


class _Summary(Struct):
    requests: int
    seconds: float
    failed: int
    p50_ms: float
    p99_ms: float


class Served(Struct, frozen=True):
    """What became of a load. The shares are of one core: near 1 for the server, it was busy; for the generator, too."""

    per_second: float
    p50_ms: float
    p99_ms: float
    server_share: float
    generator_share: float


def microseconds(rounds: Sequence[Served]) -> str:
    """Of processor time that one request costs the server; a busy machine changes it less than it does the rates."""
    return f"{median(served.server_share / served.per_second * 1e6 for served in rounds):.0f}"


class Missing(Exception):
    """A program that the benchmarks need is not installed."""


def need_wrk() -> None:
    """Raises Missing."""
    if shutil.which("wrk") is None:
        raise Missing("The benchmarks need wrk as load generator: apt-get install wrk (macOS: brew install wrk).")


def run(server: Server, load: Load, seconds: float, folder: Path) -> Served:
    """Put the load on the server for some seconds. Every answer must be a success."""
    (folder / "targets").write_text("".join(f"{t.path}\t{t.token}\t{t.tag}\n" for t in load.targets))
    (folder / "body").write_text(load.body)
    seed = str(int.from_bytes(os.urandom(4)))
    command = ["wrk", "-t1", f"-c{load.connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
    given = ["-s", str(SCRIPT), server.url, "--", load.mode, str(folder / "targets"), str(folder / "body"), seed]
    own, theirs = _children_seconds(), server.cpu_seconds()
    done = subprocess.run([*command, *given], capture_output=True, text=True, check=True)
    said = msgspec.json.decode(done.stderr, type=_Summary)
    assert said.requests, "Nothing was answered in that time: choose more --seconds."
    assert said.failed == 0, f"{said.failed} of {said.requests} failed: {server.log}"
    return Served(
        said.requests / said.seconds,
        said.p50_ms,
        said.p99_ms,
        (server.cpu_seconds() - theirs) / said.seconds,
        (_children_seconds() - own) / said.seconds,
    )


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
