"""docs/ is true: its calls are answered as shown, its payloads are those that are sent, its commands do what they say.

A block `http` is a call of one of a couple, at noon on 15 June 2026; the block `json STATUS` behind it is what the
answer holds, beside more; "…" stands for anything. A block `sh` is run by a shell.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from docs.pictures.draw import pictures
from projections.statistics import Looks, split
from service.database import embedded
from service.keys.key_store import FileKeyStore
from service.push import payloads
from service.push.notices import PushClass
from service.recording.offline_queue import SYNC_BYTES
from service.settings import Settings
from tests.support.phones import Phone, Running, running
from tests.support.postgres import execute, in_database

ROOT = Path(__file__).parents[1]
GUIDES = ("offline-sync", "errors", "push", "privacy", "balances", "self-hosting")
CALLED = ("offline-sync", "errors", "push", "privacy")
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(guide: str) -> str:
    return (ROOT / "docs" / f"{guide}.md").read_text()


def blocks(guide: str) -> list[tuple[str, str]]:
    """Each block: what stands behind its fence, and what is in it."""
    found: list[tuple[str, str]] = BLOCK.findall(text_of(guide))
    return found


def test_every_block_is_run_or_compared() -> None:
    kinds = {(guide, kind.split(" ")[0]) for guide in GUIDES for kind, _ in blocks(guide)}
    run = {(guide, kind) for guide in CALLED for kind in ("http", "json", "step-up")}
    assert kinds - run == {("self-hosting", "sh"), ("self-hosting", "nginx")}


# --- Calls


@pytest.mark.parametrize("guide", CALLED)
async def test_its_calls_are_answered_as_shown(service: Running, guide: str) -> None:
    one, _ = await service.couple()
    shown = [(kind, text) for kind, text in blocks(guide) if not re.match(r"json \D", kind)]
    answered: tuple[int, Any] | None = None
    for kind, text in shown:
        if kind == "step-up":
            await one.step_up()
        elif kind == "http":
            assert answered is None, "an answer is missing"
            answered = await call(one, text)
        else:
            assert answered is not None, kind
            assert (f"json {answered[0]}", {}) == (kind, differences(json.loads(text or "null"), answered[1])), answered
            answered = None
    assert answered is None


async def call(phone: Phone, text: str) -> tuple[int, Any]:
    """Status and decoded answer of the call that a block describes."""
    line, _, body = text.replace("{rid}", phone.rid).partition("\n")
    method, path = line.split(" ")
    answer = await phone.call(method, path, json.loads(body) if body.strip() else None)
    return answer.status_code, answer.json() if answer.content else None


def differences(shown: Any, answered: Any, place: str = "") -> dict[str, Any]:
    """Where the answer is not as shown, by place."""
    if shown in ("…", answered):
        return {}
    if isinstance(shown, dict) and isinstance(answered, dict):
        inside = [differences(one, answered.get(key), f"{place}/{key}") for key, one in shown.items()]
    elif isinstance(shown, list) and isinstance(answered, list) and len(shown) == len(answered):
        inside = [differences(one, answered[index], f"{place}/{index}") for index, one in enumerate(shown)]
    else:
        return {place: answered}
    return {key: one for found in inside for key, one in found.items()}


# --- Payloads

SENT = {"apns": payloads.APNS, "fcm": payloads.FCM, "webpush": payloads.WEB_PUSH}


def test_payloads_are_shown_byte_for_byte() -> None:
    shown = {tuple(kind.split(" ")[1:]): text for kind, text in blocks("push") if re.match(r"json \D", kind)}
    sent = {(provider, each.value): by[each].decode() + "\n" for provider, by in SENT.items() for each in PushClass}
    assert shown == sent


def test_what_is_said_beside_them_is_so() -> None:
    told = text_of("push")
    assert f"collapse id, `{payloads.COLLAPSE_ID}`" in " ".join(told.split())
    assert set(payloads.TTL_SECONDS.values()) == {3600, 86_400}
    assert f"padded to {payloads.WEB_PUSH_BYTES} bytes" in told


# --- Numbers and pictures


def test_the_pictures_are_those_that_the_numbers_make() -> None:
    for path, text in pictures():
        assert path.read_text() == text, "make pictures draws them anew"
        assert f"pictures/{path.name}" in text_of("balances")


def reading(me: int, partner: int, window: int) -> str | None:
    looks = Looks(window, one_domain=False, from_first_day=False)
    return split({"me": me, "partner": partner}, me, partner, looks).reading


def test_the_smallest_number_that_leans_is_as_shown() -> None:
    head, *rows = re.findall(r"^\| (window|365|90|28) \| (.+) \|$", text_of("balances"), re.MULTILINE)
    assert len(rows) == 3
    for window, cells in rows:
        for n, smallest in zip(head[1].split(" | "), cells.split(" | "), strict=True):
            least = next(me for me in range(int(n) + 1) if me > int(n) / 2 and leans(me, int(n), int(window)))
            assert least == int(smallest)


def leans(me: int, n: int, window: int) -> bool:
    return reading(me, n - me, window) == "leans_to_me"


def test_the_examples_read_as_they_are_said_to() -> None:
    assert [reading(me, partner, 28) for me, partner in ((18, 2), (19, 1), (25, 25), (68, 68))] == [
        "unclear",
        "leans_to_me",
        "unclear",
        "about_even",
    ]


EVENING = "2026-06-14T20:00:00+00:00"
RECORDED = {
    "money on one evening: me, me, partner": [("money", "me"), ("money", "me"), ("money", "partner")],
    "chores on one day: me, partner": [("chores", "me"), ("chores", "partner")],
    "money and time on one day: me in both": [("money", "me"), ("time", "me")],
}


async def test_occasions_are_counted_as_shown(service: Running) -> None:
    told = text_of("balances")
    for what, entries in RECORDED.items():
        one = await service.member()
        for domain, who in entries:
            await one.put("check-ins", {"occurred_at": EVENING, "domain": domain, "initiated_by": who})
        found = (await one.get("/v1/relationships/{rid}/balances"))["mine"]["initiates"]
        counts, occasions = ([found[name][who] for who in ("me", "partner")] for name in ("counts", "occasions"))
        assert f"| {what} | {counts[0]} : {counts[1]} | {occasions[0]} : {occasions[1]} |" in told


# --- Commands


@pytest.mark.database
async def test_a_backup_is_restored_as_shown(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("backup")
    folder.chmod(0o755)
    with embedded.running(folder / "postgres") as server:
        for name in ("before", "after"):
            await execute(server, f"CREATE DATABASE {name}")
        settings = {
            "DATABASE": in_database(server, "before"),
            "NEW_DATABASE": in_database(server, "after"),
            "MUTUALITY_KEYS_DIR": str(folder / "keys"),
            "NEW_KEYS": str(folder / "new-keys"),
            "PATH": f"{embedded.program('pg_dump').parent}:{os.environ['PATH']}",
        }
        backup, restore, check, upgrade = (text for kind, text in blocks("self-hosting") if kind == "sh")
        assert "The schema is up to date." in shell(upgrade, folder, settings)
        head = await recorded(settings["DATABASE"], folder / "keys")
        shell(backup, folder, settings)
        shell(restore, folder, settings)
        assert shell(check, folder, settings).splitlines()[-2:] == ["The schema is up to date.", "No differences."]
        async with running(settings["NEW_DATABASE"], store=FileKeyStore(folder / "new-keys")) as service:
            phone = await service.phone().sign_in("one@example.org")
            (relationship,) = (await phone.get("/v1/relationships"))["relationships"]
            phone.rid = relationship["id"]
            page = await phone.get("/v1/relationships/{rid}/events", stream="private")
            assert page["head"] == head
            assert page["events"][0]["check_in"]["note"] == "Kept."
            balances = await phone.get("/v1/relationships/{rid}/balances")
            assert balances["mine"]["initiates"]["counts"]["me"] == 1


def test_the_proxy_lets_a_queue_through_and_says_who_asks() -> None:
    (proxy,) = [text for kind, text in blocks("self-hosting") if kind == "nginx"]
    assert "listen 443 ssl;" in proxy
    (mebibytes,) = re.findall(r"client_max_body_size (\d+)m;", proxy)
    assert int(mebibytes) * 1024 * 1024 >= SYNC_BYTES
    assert "X-Forwarded-For" in proxy
    for setting in ("public_url", "trusted_proxies"):
        assert setting in Settings.model_fields
        assert f"`MUTUALITY_{setting.upper()}`" in text_of("self-hosting")


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not on this machine")
def test_nginx_reads_what_is_shown_for_it(tmp_path: Path) -> None:
    (block,) = [text for kind, text in blocks("self-hosting") if kind == "nginx"]
    files = {"/etc/ssl/mutuality.pem": tmp_path / "pem", "/etc/ssl/mutuality.key": tmp_path / "key"}
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=mutuality.example.org"]
    make += ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "pem")]
    subprocess.run(make, check=True, capture_output=True)
    for shown, made in files.items():
        block = block.replace(shown, str(made))
    config = tmp_path / "nginx.conf"
    config.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {block} }}")
    read = subprocess.run(["nginx", "-t", "-c", str(config)], capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr


async def recorded(url: str, keys: Path) -> Any:
    """The head of a stream in which somebody has kept something."""
    async with running(url, store=FileKeyStore(keys)) as service:
        one = await (await service.phone().sign_in("one@example.org")).begin()
        entry = {"occurred_at": EVENING, "initiated_by": "me", "note": "Kept."}
        return (await one.put("check-ins", entry))["head"]


def shell(script: str, folder: Path, settings: dict[str, str]) -> str:
    """What the commands say; all of them must succeed."""
    script = script.replace(".venv/bin/python", f"PYTHONPATH={ROOT} {sys.executable}")
    command = ["sh", "-eu", "-c", script]
    done = subprocess.run(command, cwd=folder, env=os.environ | settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
