"""My own tellings as tables, for a notebook or a therapist: one CSV file for each kind of entry, in one ZIP archive.

What was taken back is left out, and so is what the other recorded. Nothing is written to a disk on the way.
"""

import asyncio
import csv
import io
from collections.abc import Iterable, Sequence
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from msgspec import Struct

from events.encryption import RelationshipKeys
from events.entries import FELT_ITEMS, CheckIn, Decision, Entry, Opening, Request, day_of
from events.heads import DbConnection
from events.reading import read_back
from events.records import StreamKey
from events.rules import Recorded
from projections.reader import Reader
from projections.standing import standing

ROWS_AT_ONCE = 200  # written before somebody else has a turn
BYTE_ORDER_MARK = "\ufeff"  # by which spreadsheets know UTF-8
# A spreadsheet takes a cell that begins like this for a formula.
FORMULAS = ("=", "+", "-", "@", "\t", "\r")

COMMON = ("relationship", "id", "day", "occurred_at", "recorded_at", "read_by")


class Table(Struct, frozen=True):
    """A file of the archive: which entries go into it, and their columns beside those of all."""

    name: str
    kind: type[Entry]
    columns: tuple[str, ...]


TABLES = (
    Table(
        "check_ins.csv",
        CheckIn,
        ("domain", "initiated_by", "decided_by", *FELT_ITEMS, "words", "concerns", "note", "about"),
    ),
    Table("requests.csv", Request, ("domain", "text", "expires_at", "in_reply_to")),
    Table("openings.csv", Opening, ("domain", "text", "size")),
    Table(
        "decisions.csv",
        Decision,
        (
            *("request_id", "outcome", "note", "domain", "text", "size", "raised_by", "decided_by", "my_input"),
            *("as_agreed", "opening_id", "about"),
        ),
    ),
)


class OwnEntry(Struct, frozen=True):
    """An entry of mine that stands, and in which relationship."""

    relationship: str
    event: Recorded
    entry: CheckIn | Request | Opening | Decision


async def own_entries(
    db: DbConnection, keys: RelationshipKeys, reader: Reader, streams: Iterable[StreamKey], relationship: str
) -> list[OwnEntry]:
    """What a member recorded in those streams and has not taken back, in the order in which it happened."""
    own: list[Recorded] = []
    for stream in streams:
        async for part in read_back(db, keys, stream):
            own += [event for event in part if event.author == reader.author_id]
    found = [
        OwnEntry(relationship, event, event.fact)
        for event in standing(own)
        if isinstance(event.fact, CheckIn | Request | Opening | Decision)
    ]
    return sorted(found, key=lambda one: (one.entry.occurred_at, one.event.event_id))


async def archive(entries: Sequence[OwnEntry]) -> bytes:
    """The ZIP archive. A table of which there is nothing has its first line all the same."""
    made = io.BytesIO()
    with ZipFile(made, "w", ZIP_DEFLATED) as zipped:
        for table in TABLES:
            rows = [one for one in entries if isinstance(one.entry, table.kind)]
            with zipped.open(ZipInfo(table.name), "w") as file:
                file.write((BYTE_ORDER_MARK + _lines([[*COMMON, *table.columns]])).encode())
                for first in range(0, len(rows), ROWS_AT_ONCE):
                    cells = [_cells(table, one) for one in rows[first : first + ROWS_AT_ONCE]]
                    file.write(_lines(cells).encode())
                    await asyncio.sleep(0)
    return made.getvalue()


def _lines(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cells(table: Table, one: OwnEntry) -> list[str]:
    event, entry = one.event, one.entry
    read_by = "both" if event.audience == "shared" else "me"
    common = (one.relationship, event.event_id, day_of(entry), entry.occurred_at.isoformat())
    values = [*common, event.recorded_at.isoformat(), read_by, *(_value(entry, column) for column in table.columns)]
    return [_as_text("" if value is None else str(value)) for value in values]


def _value(entry: Entry, column: str) -> object:
    if isinstance(entry, CheckIn):
        if column in FELT_ITEMS:
            return next((answer for item, answer in (entry.felt or {}).items() if item == column), None)
        if column == "words":
            return "\n".join(f"{question}: {text}" for question, text in (entry.words or {}).items())
        if column == "concerns":
            return ", ".join(entry.concerns or ())
    return getattr(entry, column)


def _as_text(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULAS) else cell
