"""Where clients are generated and built: a copy of `openapi/`, in which the commands of its READMEs are run.

It lies in `.clients/` and stays, so that packages are installed once per lock file.
"""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPENAPI = ROOT / "openapi"
WORKSHOP = ROOT / ".clients" / "openapi"
CLIENTS = WORKSHOP / "clients"


def need(program: str, what_for: str) -> None:
    """Leave the test out, and say so, where a program is missing on this machine."""
    if shutil.which(program) is None:
        pytest.skip(f"`{program}` is not on this machine: {what_for}")


def folder_of(language: str) -> Path:
    """The folder of a language, as it stands in the checkout, beside what was installed and generated there."""
    for place in ("", "clients", f"clients/{language}"):
        (WORKSHOP / place).mkdir(parents=True, exist_ok=True)
        for file in (OPENAPI / place).iterdir():
            if file.is_file():
                shutil.copy2(file, WORKSHOP / place / file.name)
    return CLIENTS / language


def commands(document: Path) -> list[str]:
    """The blocks of shell commands in a document."""
    return blocks(document.read_text(), "sh")


def blocks(text: str, language: str) -> list[str]:
    """What stands between fences, of one language or of none."""
    found = re.findall(r"^ *```([\w-]*)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [block for named, block in found if named == language]


def sh(script: str, folder: Path, *, seconds: int = 900) -> str:
    """What a script says that has to succeed, run in a folder."""
    run = subprocess.run(
        ["bash", "-eu", "-c", script], cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert run.returncode == 0, f"{script}\n{run.stdout[-6000:]}\n{run.stderr[-6000:]}"
    return run.stdout


def once(script: str, folder: Path, lock: Path) -> None:
    """Run what installs, unless it was run for this very lock file."""
    stamp = folder / f".{lock.name}.installed"
    wanted = hashlib.sha256(lock.read_bytes() + script.encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        sh(script, folder)
        stamp.write_text(wanted)


def python_tools() -> None:
    """The generators that come from the Python index, as the README of the folder installs them."""
    folder_of(".")
    (install,) = commands(CLIENTS / "README.md")
    once(install, CLIENTS, CLIENTS / "requirements.lock")


def node_packages(folder: Path) -> None:
    """The packages of a folder with a package.json."""
    once("npm ci", folder, folder / "package-lock.json")
