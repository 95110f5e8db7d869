"""The maps are true: every room, module, table, role, log event and 503 is named in them, and what they name exists."""

import ast
import asyncio
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from service.database.roles import ROLES
from service.web.problems import STATUSES
from tests.support.walking import LISTED, told, walks

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
MAPS = [ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *DOCS]
ARCHITECTURE, DEBUGGING = ((ROOT / name).read_text() for name in ("ARCHITECTURE.md", "docs/debugging.md"))
SERVICE = ROOT / "service"


def name_of(file: Path) -> str:
    """As the tests are told apart by."""
    return str(file.relative_to(ROOT))


def section(document: str, title: str) -> str:
    """What stands under a heading, up to the next one that is no smaller."""
    found = document.partition(f"\n{title}\n")[2]
    assert found, title
    return re.split(rf"\n#{{1,{title.count('#')}}} ", found)[0]


def listed(text: str) -> list[str]:
    """The names in the first column of its tables."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


# --- ARCHITECTURE


def test_every_room_is_on_the_map_and_every_module_beside_them() -> None:
    rooms = {f"{door.parent.name}/" for door in SERVICE.glob("*/__init__.py")}
    beside = {file.name for file in SERVICE.glob("*.py")} - {"__init__.py"}
    named = listed(section(ARCHITECTURE, "## Rooms of the service"))
    assert sorted(named) == sorted(rooms | beside)


@pytest.mark.parametrize("package", ["events", "projections"])
def test_every_module_of_the_log_and_of_its_meaning_is_on_the_map(package: str) -> None:
    modules = {file.name for file in (ROOT / package).glob("*.py")} - {"__init__.py"}
    assert sorted(listed(section(ARCHITECTURE, f"### {package}"))) == sorted(modules)


def test_the_layers_are_drawn_as_they_are_kept() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (kept,) = [one["layers"] for one in contracts if one.get("containers") == ["service"]]
    assert re.findall(r'\["([^"]+)"\]', section(ARCHITECTURE, "### Layers")) == kept


def tables() -> set[str]:
    """All that the migrations leave behind, and the one in which they are noted."""
    made: set[str] = {"schema_migrations"}
    for file in sorted((SERVICE / "database" / "migrations").glob("*.sql")):
        text = file.read_text()
        made |= set(re.findall(r"^CREATE TABLE ([\w.]+)", text, re.MULTILINE))
        made -= set(re.findall(r"^DROP TABLE ([\w.]+)", text, re.MULTILINE))
    return made


def test_every_table_is_on_the_map_with_the_room_that_writes_it() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| `(\w+)` \|", section(ARCHITECTURE, "## Tables"), re.MULTILINE)
    assert sorted(table for table, _ in rows) == sorted(tables())
    doors = {room: (SERVICE / room / "__init__.py").read_text() for _, room in rows}
    assert [(table, room) for table, room in rows if f"`{table}`" not in doors[room]] == []


@pytest.mark.database
async def test_the_walks_are_true_and_short(database_url: str) -> None:
    walked = await walks(database_url)
    found = LISTED.search(ARCHITECTURE)
    assert found is not None
    assert found[0].strip() == told(walked).strip(), "make walk writes them anew"
    write, counting, unchanged = walked
    assert len(write.rooms) <= 6
    # Counts are encrypted: who reads them needs keys besides.
    assert len({*counting.rooms} - {"keys"}) <= 5
    assert len(unchanged.rooms) <= 5


# --- What the log says


def log_events() -> Iterator[str]:
    """What is logged by name, and the sentences of the standard library's log up to their first value."""
    for file in SERVICE.rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and _is_logging(call.func):
                said = call.args[0]
                assert isinstance(said, ast.Constant), f"{file}:{call.lineno} logs what no map can name"
                yield str(said.value).partition("%")[0].rstrip(" (")


def _is_logging(called: ast.expr) -> bool:
    match called:
        case (
            ast.Attribute(value=ast.Name(id="log"), attr=level)
            | ast.Attribute(value=ast.Attribute(attr="_log"), attr=level)
        ):
            return level in {"debug", "info", "warning", "error", "critical", "exception"}
        case _:
            return False


def test_every_log_event_is_explained_and_no_other() -> None:
    said = set(log_events())
    names = {event for event in said if " " not in event}
    assert len(names) > 15
    assert sorted(listed(section(DEBUGGING, "## The log"))) == sorted(names)
    assert [sentence for sentence in said - names if sentence not in DEBUGGING] == []


def test_every_503_has_its_causes() -> None:
    explained = section(DEBUGGING, "## What to check on a 503")
    raised = {kind.__name__: kind.code for kind, status in STATUSES.items() if status == 503}  # type: ignore[attr-defined]
    made = re.findall(r'problem\(503, "(\w+)"', (SERVICE / "web" / "problems.py").read_text())
    assert len(made) == 2
    headings = re.findall(r"^### `(\w+)`", explained, re.MULTILINE)
    assert set(headings) == {*raised.values(), *made}


# --- Looking as a role

LOOKED = re.compile(r'^\$ look_as (\w+) "([^"]+)"\n(.*?)(?=^\$ |^```)', re.MULTILINE | re.DOTALL)
LOOKS = LOOKED.findall(DEBUGGING)


def test_every_role_is_looked_as() -> None:
    assert {f"mutuality_{role}" for role, _, _ in LOOKS} == set(ROLES)


@pytest.mark.database
@pytest.mark.parametrize(("role", "statement", "shown"), LOOKS)
def test_what_a_role_is_shown_to_see_it_sees(role: str, statement: str, shown: str, lasting_database_url: str) -> None:
    refused = asyncio.run(is_refused(lasting_database_url, f"mutuality_{role}", statement))
    assert refused == ("permission denied" in shown)


async def is_refused(url: str, role: str, statement: str) -> bool:
    """Whether that role may not ask this; anything else that is wrong with it is raised."""
    db = await asyncpg.connect(url, server_settings={"role": role, "mutuality.members": "{}"})
    try:
        await db.fetch(statement)
    except asyncpg.InsufficientPrivilegeError:
        return True
    finally:
        await db.close()
    return False


# --- What all of them name

NAMED = re.compile(r"`((?:events|projections|service|tests|openapi|docs)/[\w./-]*)`")
LINKED = re.compile(r"\]\(([^)#:]+)(?:#([\w-]+))?\)")


@pytest.mark.parametrize("map_", MAPS, ids=name_of)
def test_what_a_map_names_exists(map_: Path) -> None:
    text = map_.read_text()
    assert [name for name in NAMED.findall(text) if not (ROOT / name).exists()] == []
    for link, anchor in LINKED.findall(text):
        target = map_.parent / link
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), f"{link}#{anchor}"


def anchors(file: Path) -> set[str]:
    """By which names headings are linked to."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


BYTES = re.compile("{.*}$")  # what is shown byte for byte stands in one line


@pytest.mark.parametrize("map_", [ROOT / "ARCHITECTURE.md", *DOCS], ids=name_of)
def test_its_lines_are_short(map_: Path) -> None:
    assert [line for line in map_.read_text().splitlines() if len(line) > 120 and not BYTES.match(line)] == []
