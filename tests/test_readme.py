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


def section(title: str) -> list[str]:
    """The commands of a section, block by block."""
    text = README.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


@pytest.mark.database
@pytest.mark.skipif(shutil.which("curl") is None, reason="the tour needs curl")
def test_the_tour_runs_to_the_letter_and_its_end_too(console: tuple[str, Path], tmp_path: Path) -> None:
    address, output = console
    asking, *rest = section("A five-minute tour")
    asked = asking.replace("http://127.0.0.1:8000", address)
    assert bash(asked) == bash(asked) == "{}{}"
    mails = wait_for(output, "--- end of mail ---", times=4)
    codes = re.findall(r"--- mail to (\w+)@example.org ---.*?code to sign in is (\d{6})", mails, re.DOTALL)
    (first, again), (other, _) = ([code for name, code in codes if name == who] for who in ("one", "two"))
    leaving = "".join(section("Leaving with one's data")).replace("../", f"{tmp_path}/")
    leaving = leaving.replace(".venv/bin/python", sys.executable)
    said = bash(asked + "".join(rest) + leaving, typed=f"{first}\n{other}\n{again}\n")
    assert '"state":"active"' in said
    assert "['open']\n['decided']" in said
    assert '"asks"' in said
    assert '"mine"' in said
    verified, shared, private, taken_in, _ = [line for line in said.splitlines() if line][-5:]
    assert verified.startswith("2 ")  # the position that the verifier reached
    assert shared.startswith("shared ")
    assert shared.endswith(verified)
    assert private.split()[::2] == ["private", "0"]
    assert taken_in == "Taken in, every proof checked: relationships 1, events 2."


def bash(script: str, typed: str = "") -> str:
    # The mails of the first block are asked for once more by the last run, which changes nothing.
    done = subprocess.run(["bash", "-eu", "-c", script], input=typed, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()
