"""Each picture of the app, held against the one that is stored; `make app-pictures` stores them anew.

Look at each of them before you commit it: `tests/web_app/references/` has what is drawn, and `SCREENS=folder` beside
the same command writes whole screens.
"""

import os
from pathlib import Path

from service.cli.demo_couple import year
from tests.support.phones import NOON, Json, Phone
from tests.support.wire import Wire
from tests.web_app.conftest import Tell, session_of

STORED = Path(__file__).parent / "references"
AT = NOON.isoformat()
SHARED = {"audience": "shared"}
TELLERS = ("first", "second")
STORED_BYTES = 400_000


async def _record(both: tuple[Phone, Phone], kind: str, entries: list[tuple[str, Json]]) -> None:
    phones = dict(zip(TELLERS, both, strict=True))
    batch: list[Json] = []
    for (teller, entry), following in zip(entries, [*entries[1:], None], strict=True):
        batch.append(entry)
        if following is None or following[0] != teller or len(batch) == 200:
            answer = await phones[teller].expect(200, "POST", "/v1/relationships/{rid}/sync", {"entries": batch})
            assert {result["status"] for result in answer["results"]} == {"recorded"}, kind
            batch = []


async def _couples(wire: Wire) -> dict[str, Json]:
    """The demo's couple of a year, one that has recorded three things, and one that has recorded nothing."""
    wire.clock.time = NOON
    both = {kind: await wire.couple() for kind in ("empty", "three", "year")}
    entries = list(year(NOON))
    await _record(both["year"], "year", entries)
    for teller, initiated_by in zip(both["three"], ("me", "partner"), strict=True):
        await teller.put("check-ins", {"occurred_at": AT, "initiated_by": initiated_by, "felt": {"close": 5}, **SHARED})
    await both["three"][0].put(
        "requests", {"occurred_at": AT, "domain": "time", "text": "An evening for the two of us?"}
    )
    pause = {"from": "2026-02-02", "to": "2026-02-22"}
    await both["year"][0].expect(200, "PUT", "/v1/me/pauses/5c5b8a0e-7b7c-4b5e-9a53-6f0c2f4d0001", pause)
    sessions = {kind: session_of(one) for kind, (one, _) in both.items()}
    return sessions | {"points": sessions["year"]}


def test_each_picture_is_as_it_was_looked_at(tell: Tell, wire: Wire, tmp_path: Path) -> None:
    given = {"stored": str(STORED), "results": str(tmp_path / "pictures"), "now": NOON.isoformat()}
    writing = {"write": "WRITE_PICTURES" in os.environ, "screens": os.environ.get("SCREENS")}
    told = tell("pictures", sessions=wire.run(_couples(wire)), **given, **writing)
    assert told == {"faults": [], "differs": []}, f"what is drawn now lies in {given['results']}"


def test_the_stored_pictures_take_little_room() -> None:
    files = list(STORED.iterdir())
    assert len(files) > 40
    assert sum(file.stat().st_size for file in files) <= STORED_BYTES
