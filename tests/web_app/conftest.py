"""A browser, the app as it is built from this tree, and the service that serves it."""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.phones import Json, Phone
from tests.support.wire import Wire, served

ROOT = Path(__file__).parents[2]
WEB_APP = ROOT / "service" / "web_app"
STORY_SECONDS = 60
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

Answer = Callable[..., Any]


def node() -> str:
    """Node, with the packages that tests need; or the test is skipped, and says what is missing."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("the phone app is not tested: there is no node here")
    if not (WEB_APP / "node_modules" / "playwright-core").is_dir():
        pytest.skip("the phone app is not tested: make .venv/.web_app_dev has not got its packages")
    return found


@pytest.fixture(scope="session")
def built() -> Path:
    """The folder of the app, built from the sources as they are, once a run."""
    program = node()
    with (Path(tempfile.gettempdir()) / f"mutuality-web-app-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([program, "build.mjs"], cwd=WEB_APP, check=True, capture_output=True)
    return WEB_APP / "built"


@pytest.fixture
def browser() -> str:
    """A Chromium, or the test is skipped."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("the phone app is not tested in a browser: there is no chromium here")
    return found


@pytest.fixture
def wire(built: Path, database_url: str, tmp_path: Path) -> Iterator[Wire]:
    """The service on loopback at the time that it is for browsers, whose clocks nobody can set; with a VAPID key."""
    key = tmp_path / "vapid.pem"
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key.write_bytes(pem)
    vapid = {"vapid_key_file": key, "vapid_subject": "mailto:operator@example.org"}
    with served(database_url, lambda app: app, **vapid) as wire:
        wire.clock.time = datetime.now(UTC)
        yield wire


Tell = Callable[..., Json]


@pytest.fixture
def tell(wire: Wire, browser: str) -> Tell:
    """Run a story in browsers. It may ask for what only this process knows: a mailed code, or what `answers` has."""

    def told(name: str, answers: dict[str, Answer] | None = None, **given: Any) -> Json:
        codes = {"code": lambda email: wire.run(wire.phone().mailed_code(email))}
        story = {"url": wire.url, "chromium": browser, **given}
        command = [node(), str(Path(__file__).parent / f"{name}.mjs")]
        environment = os.environ | {"STORY": json.dumps(story)}
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as run:
            assert run.stdin is not None
            assert run.stdout is not None
            assert run.stderr is not None
            last: Json = {}
            for line in run.stdout:
                last = json.loads(line)
                if "ask" in last:
                    answer = {**codes, **(answers or {})}[last["ask"]](*last["with"])
                    run.stdin.write(json.dumps(answer) + "\n")
                    run.stdin.flush()
            errors = run.stderr.read()
        assert run.returncode == 0, errors
        return last

    return told


def session_of(phone: Phone) -> Json:
    """What a browser needs to be signed in as that phone is: it is then the same session."""
    return {
        "member_id": phone.member_id,
        "access_token": phone.access_token,
        "access_expires_at": "2100-01-01T00:00:00Z",
        "refresh_token": phone.refresh_token,
        "device_secret": phone.device_secret,
    }
