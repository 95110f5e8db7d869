"""The README is true: its table is the settings, and its tour runs to the letter against `python -m service serve`."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.recording.offline_queue import SYNC_BYTES
from service.settings import Settings
from tests.support.console import console, wait_for

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_table_lists_each_setting_with_its_default() -> None:
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", README, re.MULTILINE))
    assert told == {
        name.upper(): "unset" if field.default is None else f"`{field.default}`"
        for name, field in Settings.model_fields.items()
    }


def test_it_shows_a_proxy_with_tls_that_lets_a_queue_through() -> None:
    (proxy,) = re.findall(r"```nginx\n(.*?)```", README, re.DOTALL)
    assert "listen 443 ssl;" in proxy
    (mebibytes,) = re.findall(r"client_max_body_size (\d+)m;", proxy)
    assert int(mebibytes) * 1024 * 1024 >= SYNC_BYTES
    assert "X-Forwarded-For" in proxy
    for setting in ("MUTUALITY_PUBLIC_URL=https://", "MUTUALITY_TRUSTED_PROXIES="):
        assert setting in README


@pytest.fixture(name="console")
def started(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A service started as the README starts it."""
    with console(tmp_path) as running:
        yield running


def section(title: str) -> list[str]:
    """The commands of a section, block by block."""
    text = README.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


@pytest.mark.database
@pytest.mark.skipif(shutil.which("curl") is None, reason="the tour needs curl")
def test_the_tour_runs_to_the_letter_and_its_end_too(console: tuple[str, Path], tmp_path: Path) -> None:
    address, output = console
    tour = "".join(section("A five-minute tour")).replace("http://127.0.0.1:8000", address)
    leaving = "".join(section("Leaving with one's data")).replace("../", f"{tmp_path}/")
    leaving = leaving.replace(".venv/bin/python", sys.executable)
    said = bash(tour + leaving, output)
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


CODE = r"--- mail to {}@example.org ---.*?Your code to {} is (\d{{4}} \d{{4}})"


STEPPING_UP = "export or erase your data, or to move to another address,"


def bash(script: str, mails: Path) -> str:
    """What the script says, where somebody types the codes in as they come."""
    command = ["bash", "-eu", "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as run:
        assert run.stdin is not None
        for who, what in (("one", "sign in"), ("two", "sign in"), ("one", STEPPING_UP)):
            run.stdin.write(f"{wait_for(mails, CODE.format(who, what))[1]}\n")
            run.stdin.flush()
        said, errors = run.communicate()
    assert run.returncode == 0, said + errors
    return said.strip()
