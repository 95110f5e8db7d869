"""The app as the service serves it, what it weighs, what its sources promise each other."""

import gzip
import json
import re
import subprocess
from pathlib import Path

import pytest

from service.contract.remedies import REMEDIES
from service.prompts.catalogue import TEXTS
from service.web_app import pages
from tests.support.phones import Running
from tests.web_app.conftest import WEB_APP, node

FIRST_LOAD_BYTES = 60_000


async def test_without_the_app_the_page_says_so(
    service: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pages, "BUILT", tmp_path)
    pages._read.cache_clear()  # what was read before is remembered
    page = await service.phone().call("GET", "/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "was not built" in page.text
    assert 'href="/docs"' in page.text
    for missing in ("/service-worker.js", "/manifest.webmanifest", "/app/app-AAAAAAAA.js", "/icons/icon.svg"):
        assert (await service.phone().call("GET", missing)).status_code == 404


async def test_files_are_kept_for_ever_and_the_page_is_asked_for_again(service: Running, built: Path) -> None:
    phone = service.phone()
    page = await phone.call("GET", "/")
    assert page.headers["cache-control"] == "no-cache"
    found = re.findall(r'(?:src|href)="(/app/[^"]+)"', page.text)
    assert len(found) == 3, "one style sheet, one script, the texts of one language"
    for path in found:
        assert re.search(r"-[A-Z0-9]{8}\.(js|css)$", path)
        file = await phone.call("GET", path, headers={"Accept-Encoding": "gzip"})
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert file.headers["content-encoding"] == "gzip"
        plain = await phone.call("GET", path, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == file.content
    for path in ("/manifest.webmanifest", "/service-worker.js", "/icons/icon-192.png"):
        assert (await phone.call("GET", path)).headers["cache-control"] == "no-cache"


async def test_nothing_comes_from_elsewhere_and_nothing_stands_inline(service: Running, built: Path) -> None:
    phone = service.phone()
    for path in ("/", "/service-worker.js", "/manifest.webmanifest"):
        policy = dict(part.split(" ", 1) for part in (await phone.call("GET", path)).headers[POLICY].split("; "))
        assert policy.pop("img-src") == "'self' data:"
        closed = {"default-src", "frame-ancestors", "base-uri", "form-action"}
        assert {name for name, value in policy.items() if value == "'none'"} == closed
        assert {value for name, value in policy.items() if name not in closed} == {"'self'"}
    page = (await phone.call("GET", "/")).text
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)|https?:", page)


POLICY = "content-security-policy"


@pytest.mark.parametrize("path", ["/app/..%2Findex.html", "/app/index.html.gz", "/app/.hidden.js", "/app/x"])
async def test_no_address_leads_out_of_the_folder(service: Running, built: Path, path: str) -> None:
    assert (await service.phone().call("GET", path)).status_code == 404


@pytest.mark.parametrize(("asked", "spoken"), [("de-AT,en;q=0.5", "de"), ("en", "en"), ("fr", "en")])
async def test_the_page_names_the_texts_of_the_language_that_is_asked_for(
    service: Running, built: Path, asked: str, spoken: str
) -> None:
    page = await service.phone().call("GET", "/", headers={"Accept-Language": asked})
    assert re.findall(r'<html lang="(\w+)">|href="/app/(en|de)-', page.text) == [(spoken, ""), ("", spoken)]
    assert "Accept-Language" in page.headers["vary"]


@pytest.mark.parametrize("name", ["index.html", "index.de.html"])
def test_the_first_visit_is_light(built: Path, name: str) -> None:
    page = (built / name).read_text()
    needed, wanted = {name}, re.findall(r'(?:src|href)="/(app/[^"]+)"', page)
    while wanted:
        file = wanted.pop()
        if file not in needed:
            needed.add(file)
            imported = re.findall(r'(?:from|import)\s*"\./([\w-]+\.js)"', (built / file).read_text())
            wanted += [f"app/{one}" for one in imported]
    assert len(needed) > 3
    weight = sum(len(gzip.compress((built / file).read_bytes())) for file in needed)
    assert weight <= FIRST_LOAD_BYTES


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_app_asks_in_the_words_of_the_catalogue(language: str) -> None:
    texts = (WEB_APP / "src" / "texts" / f"{language}.ts").read_text()
    asked = dict(re.findall(r'^ +(\w+): "(.+\?)",$', texts, re.MULTILINE))
    catalogue: dict[str, str] = dict(TEXTS[language])  # type: ignore[arg-type]
    assert catalogue.items() <= asked.items()


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_app_has_words_of_its_own_for_each_refusal(language: str) -> None:
    texts = (WEB_APP / "src" / "texts" / f"refusals_{language}.ts").read_text()
    assert dict(re.findall(r'^  (\w+): "(.+)",$', texts, re.MULTILINE)).keys() == REMEDIES.keys()


def test_the_lock_file_is_whole_and_names_no_host() -> None:
    lock = json.loads((WEB_APP / "package-lock.json").read_text())
    named = [package for name, package in lock["packages"].items() if name]
    assert all("integrity" in package for package in named)
    assert not any("resolved" in package or "funding" in package for package in named)
    assert "://" not in json.dumps(lock)
    asked = json.loads((WEB_APP / "package.json").read_text())
    versions = [*asked["dependencies"].values(), *asked["devDependencies"].values()]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)


def test_types_agree_with_the_contract_document() -> None:
    program = node()
    bin_ = WEB_APP / "node_modules"
    generate = [bin_ / "openapi-typescript/bin/cli.js", "../../openapi/openapi.json", "-o", "src/api_schema.d.ts"]
    check = bin_ / "typescript/bin/tsc"
    for command in (generate, [check], [check, "-p", "tsconfig.worker.json"]):
        run = subprocess.run([program, *map(str, command)], cwd=WEB_APP, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr


def test_units_of_the_app() -> None:
    run = subprocess.run([node(), str(Path(__file__).parent / "units.mjs")], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert int(re.findall(r"^# pass (\d+)", run.stdout, re.MULTILINE)[0]) >= 20
