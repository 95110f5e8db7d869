"""The README is true: its table is the settings, and its tour runs to the letter against `python -m service serve`."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONSOLE_SECONDS = 20


def test_the_table_lists_each_setting_with_its_default() -> None:
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", README, re.MULTILINE))
    assert told == {
        name.upper(): "unset" if field.default is None else f"`{field.default}`"
        for name, field in Settings.model_fields.items()
    }


@pytest.fixture
def console(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a service started as the README starts it, and the file that its console goes to."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    output = tmp_path / "console"
    settings = {"MUTUALITY_PORT": str(port), "MUTUALITY_DATA_DIR": str(tmp_path / "data")}
    with output.open("w") as file:
        command = [sys.executable, "-m", "service", "serve"]
        service = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=file, stderr=file)
    try:
        wait_for(output, "Ctrl-C stops it")
        yield f"http://127.0.0.1:{port}", output
    finally:
        service.terminate()
        service.wait(CONSOLE_SECONDS)


def wait_for(output: Path, text: str, times: int = 1) -> str:
    give_up_at = time.monotonic() + CONSOLE_SECONDS
    while output.read_text().count(text) < times:
        assert time.monotonic() < give_up_at, output.read_text()
        time.sleep(0.05)
    return output.read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the tour needs curl")
def test_the_tour_runs_to_the_letter(console: tuple[str, Path]) -> None:
    address, output = console
    tour = README.partition("## A five-minute tour")[2].partition("\n## ")[0]
    asking, *rest = re.findall(r"```sh\n(.*?)```", tour, re.DOTALL)
    asked = asking.replace("http://127.0.0.1:8000", address)
    assert bash(asked) == "{}{}"
    mails = wait_for(output, "--- end of mail ---", times=2)
    codes = dict(re.findall(r"--- mail to (\w+)@example.org ---.*?code to sign in is (\d{6})", mails, re.DOTALL))
    said = bash(asked + "".join(rest), typed=f"{codes['one']}\n{codes['two']}\n")
    assert '"state":"active"' in said
    assert "['open']\n['decided']" in said
    assert '"initiates"' in said
    assert "2" in said.splitlines()[-1]  # the position that the verifier reached


def bash(script: str, typed: str = "") -> str:
    # The two mails of the first block are asked for once more by the second run, which changes nothing.
    done = subprocess.run(["bash", "-eu", "-c", script], input=typed, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()
