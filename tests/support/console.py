"""The service as a user starts it, in a process of its own, with mails on its console."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONSOLE_SECONDS = 20
START_SECONDS = 120  # with a PostgreSQL that is made, on a machine that does much else


@contextmanager
def console(folder: Path) -> Iterator[tuple[str, Path]]:
    """The address of a service started as the README starts it, and the file that its console goes to."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    output = folder / "console"
    settings = {"MUTUALITY_PORT": str(port), "MUTUALITY_DATA_DIR": str(folder / "data")}
    with output.open("w") as file:
        command = [sys.executable, "-m", "service", "serve"]
        service = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=file, stderr=file)
    try:
        wait_for(output, "Ctrl-C stops it", seconds=START_SECONDS)
        yield f"http://127.0.0.1:{port}", output
    finally:
        service.terminate()
        service.wait(CONSOLE_SECONDS)


def wait_for(output: Path, pattern: str, *, seconds: float = CONSOLE_SECONDS) -> re.Match[str]:
    """The first place in a growing file that fits the pattern."""
    give_up_at = time.monotonic() + seconds
    while not (found := re.search(pattern, output.read_text(), re.DOTALL)):
        assert time.monotonic() < give_up_at, output.read_text()
        time.sleep(0.05)
    return found
