"""The README is true: its table is the settings, and its tour runs to the letter against `python -m service serve`."""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

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


@pytest.fixture(name="console")
def started(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A service started as the README starts it."""
    with console(tmp_path) as running:
        yield running


def section(title: str) -> list[str]:
    """The commands of a section, block by block."""
    text = README.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


SHELLS = [shell for shell in ("bash", "zsh") if shutil.which(shell)]


@pytest.mark.database
@pytest.mark.skipif(shutil.which("curl") is None, reason="the tour needs curl")
@pytest.mark.parametrize("shell", SHELLS)
def test_the_tour_runs_to_the_letter_and_its_end_too(console: tuple[str, Path], tmp_path: Path, shell: str) -> None:
    address, output = console
    tour = "".join(section("A five-minute tour")).replace("http://127.0.0.1:8000", address)
    leaving = "".join(section("Leaving with one's data")).replace("../", f"{tmp_path}/")
    leaving = leaving.replace(".venv/bin/python", sys.executable)
    codes = (("one", "sign in"), ("two", "sign in"), ("one", STEPPING_UP))
    said = run([shell, "-eu", "-c", tour + leaving], output, codes)
    assert '"state":"active"' in said
    assert "['open']\n['decided']" in said
    assert '"asks"' in said
    assert '"mine"' in said
    lines = [line for line in said.splitlines() if line and not line.endswith(": ")]
    verified, shared, private, taken_in, _ = lines[-5:]
    assert verified.startswith("2 ")  # the position that the verifier reached
    assert shared.startswith("shared ")
    assert shared.endswith(verified)
    assert private.split()[::2] == ["private", "0"]
    assert taken_in == "Taken in, every proof checked: relationships 1, events 2."


CODE = r"--- mail to {}(?:\.\w+)?@example.org ---.*?Your code to {} is (\d{{4}} \d{{4}})"


STEPPING_UP = "export or erase your data, or to move to another address,"


def run(command: list[str], mails: Path, codes: Iterable[tuple[str, str]]) -> str:
    """What the command says, where somebody types the codes in as they come."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as run:
        assert run.stdin is not None
        for who, what in codes:
            run.stdin.write(f"{wait_for(mails, CODE.format(who, what))[1]}\n")
            run.stdin.flush()
        said, errors = run.communicate()
    assert run.returncode == 0, said + errors
    return said.strip()


def test_what_is_pasted_works_in_other_shells_too() -> None:
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL):
        assert "#" not in block  # an interactive zsh takes it for a word
        assert "read -p" not in block  # is something else there
        assert not re.search(r"^export ", block, re.MULTILINE)  # or the next step is under it
        # What is typed in ends its block: pasted, the lines behind it would be taken for it.
        assert "read " not in block.rpartition("read ")[0].rpartition("\n")[0]
        assert "read " not in block or block.rpartition("read ")[2].count("\n") == 1


# --- The same as a program

TOUR = [sys.executable, "openapi/tour.py"]


@pytest.mark.database
def test_the_program_walks_through_the_tour(console: tuple[str, Path]) -> None:
    address, output = console
    said = run([*TOUR, address], output, (("one", "sign in"), ("two", "sign in")))
    assert 'the relationship is: "active"' in said
    assert 'who asked, sees the request: "open"' in said
    assert 'who said no, sees it: "decided"' in said
    assert '"counts": {"me": 1, "partner": 0, "both": 0, "neither": 0}, "n": 1, "share": null' in said


@pytest.mark.database
def test_it_stops_with_the_services_own_words(console: tuple[str, Path]) -> None:
    tour = subprocess.run([*TOUR, console[0]], input="00000000\n", capture_output=True, text=True, cwd=ROOT)
    assert tour.returncode == 1
    assert tour.stderr.startswith("Refused, 401 wrong_code: This code is not valid (any more).")


@pytest.mark.database
def test_it_ends_quietly_where_nobody_types_a_code(console: tuple[str, Path]) -> None:
    tour = subprocess.run([*TOUR, console[0]], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=ROOT)
    assert (tour.returncode, tour.stderr) == (1, "\nThe tour ends here.\n")


def test_it_says_that_no_service_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    tour = subprocess.run([*TOUR, f"http://127.0.0.1:{port}"], capture_output=True, text=True, cwd=ROOT)
    assert tour.returncode == 1
    assert "make serve starts one" in tour.stderr
