"""Counts as they are kept: a page for each stream, author and month, encrypted under a key of its author.

Counts are content: one of them may be the most intimate thing that is here. A stolen database shows of a page whose
it is, its month, and a length that is rounded up. An event touches one page, which is written again with it; so a page
has to be short, and cheap to add to:

    page       length of what follows (4 bytes), a MessagePack map {measure: cells}, zeros up to a multiple of 64 bytes
    cells      4 bytes each: value, domain, day of the month, count (1 to 255; more of the same are cells beside it)

Measures, values and domains are numbers, in the order in which they stand below; a new one goes to the end.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from struct import iter_unpack
from typing import NamedTuple, get_args
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from events.encryption import NONCE_BYTES, DecryptionFailed, RelationshipKeys, open_box, padded
from events.entries import FELT_ITEMS, WHO, Domain
from events.heads import DbConnection
from events.records import StreamKey, transposed
from projections.tallies import Key

UNIT_BYTES = 64
LENGTH_BYTES = 4
CELL_BYTES = 4
MAX_IN_A_CELL = 255

SIZES = ("", ":small", ":big")
INPUT = ("not_asked", "asked", "partly", "counted")
ROLES = tuple(f"{raised}/{decided}" for raised in WHO for decided in WHO)
ANSWERS = tuple(str(answer) for answer in range(1, 8))
VALUES: dict[str, tuple[str, ...]] = {
    "asks": WHO,
    "initiates": WHO,
    "agreed": WHO,
    **{f"decides{size}": WHO for size in SIZES},
    **{f"roles{size}": ROLES for size in SIZES},
    **{f"input:{who}{size}": INPUT for who in WHO for size in SIZES},
    **{f"felt:{item}": ANSWERS for item in FELT_ITEMS},
}
MEASURES = tuple(VALUES)
DOMAINS: tuple[str, ...] = get_args(Domain)

MEASURE_NUMBERS = {measure: number for number, measure in enumerate(MEASURES)}
DOMAIN_NUMBERS = {domain: number for number, domain in enumerate(DOMAINS)}
VALUE_NUMBERS = {(measure, value): number for measure, values in VALUES.items() for number, value in enumerate(values)}

# What a page says: cells by the number of their measure.
Page = dict[int, bytes]

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(dict[int, bytes]).decode


class PageKey(NamedTuple):
    """Names a page. A month is its number since the year 0: twelve times the year, and 0 for January."""

    stream: StreamKey
    author: UUID
    month: int


def page_of(counted: Key) -> PageKey:
    """The page on which something is counted."""
    return PageKey(counted.stream, counted.author, month_of(counted.day))


def month_of(day: date) -> int:
    """The number of the month of a day."""
    return day.year * 12 + day.month - 1


def first_of(month: int) -> date:
    """The first day of a month."""
    return date(month // 12, month % 12 + 1, 1)


def add(page: Page, counted: Key, count: int) -> None:
    """Count something so often more on its page; a negative count undoes."""
    measure = MEASURE_NUMBERS[counted.measure]
    value = VALUE_NUMBERS[counted.measure, counted.value]
    cell = bytes((value, DOMAIN_NUMBERS[counted.domain], counted.day.day))
    cells = _added(page.get(measure, b""), cell, count)
    if cells:
        page[measure] = cells
    else:
        page.pop(measure, None)


def _added(cells: bytes, cell: bytes, count: int) -> bytes:
    at = _find(cells, cell)
    while at >= 0:
        count += cells[at + 3]
        cells = cells[:at] + cells[at + CELL_BYTES :]
        at = _find(cells, cell)
    whole, rest = divmod(max(count, 0), MAX_IN_A_CELL)
    return cells + (cell + b"\xff") * whole + (cell + bytes((rest,)) if rest else b"")


def _find(cells: bytes, cell: bytes) -> int:
    at = cells.find(cell)
    while at > 0 and at % CELL_BYTES:  # the end of one cell and the beginning of the next may look like it
        at = cells.find(cell, at + 1)
    return at


def cells(page: Page, measures: Iterable[int]) -> Iterator[tuple[int, int, int, int, int]]:
    """What a page counts of some measures: measure, value, domain and day by their numbers, and how often."""
    for measure in measures:
        for value, domain, day, count in iter_unpack("BBBB", page.get(measure, b"")):
            yield measure, value, domain, day, count


def counted(key: PageKey, page: Page) -> dict[Key, int]:
    """All that a page counts, spelled out."""
    found: dict[Key, int] = {}
    for measure, value, domain, day, count in cells(page, page):
        name = MEASURES[measure]
        spelled = Key(
            key.stream, first_of(key.month).replace(day=day), key.author, DOMAINS[domain], name, VALUES[name][value]
        )
        found[spelled] = found.get(spelled, 0) + count
    return found


def turned_over(counts: Mapping[Key, int]) -> dict[PageKey, dict[Key, int]]:
    """Counts by their pages."""
    found: dict[PageKey, dict[Key, int]] = {}
    for key, count in counts.items():
        found.setdefault(page_of(key), {})[key] = count
    return found


def encrypt(keys: RelationshipKeys, key: PageKey, page: Page, nonce: bytes) -> bytes:
    """The nonce, then the ciphertext. The nonce is 12 bytes that no page has had."""
    packed = _pack(page)
    text = padded(len(packed).to_bytes(LENGTH_BYTES, "big") + packed, UNIT_BYTES)
    place = _place(key)
    return nonce + AESGCM(_page_key(keys, key.author, place)).encrypt(nonce, text, place)


def decrypt(keys: RelationshipKeys, key: PageKey, ciphertext: bytes) -> Page:
    """What the page says. Raises DecryptionFailed, also where its author is erased."""
    place = _place(key)
    return _opened(_page_key(keys, key.author, place), place, ciphertext)


def decrypt_all(
    keys: RelationshipKeys, stream: StreamKey, author: UUID, months: Iterable[int], ciphertexts: Iterable[bytes]
) -> list[tuple[PageKey, Page]]:
    """What the pages of one author in one stream say. Raises DecryptionFailed."""
    found, whose = [], f"{stream.stream_id}|{author}|"
    for month, ciphertext in zip(months, ciphertexts, strict=True):
        place = f"{whose}{month}".encode()
        found.append((PageKey(stream, author, month), _opened(_page_key(keys, author, place), place, ciphertext)))
    return found


def _opened(key: bytes, place: bytes, ciphertext: bytes) -> Page:
    text = open_box(key, ciphertext, place)
    return _unpack(text[LENGTH_BYTES : LENGTH_BYTES + int.from_bytes(text[:LENGTH_BYTES], "big")])


def _page_key(keys: RelationshipKeys, author: UUID, place: bytes) -> bytes:
    return keys.derive(author, b"mutuality/page-key/v1|" + place)


def _place(key: PageKey) -> bytes:
    return f"{key.stream.stream_id}|{key.author}|{key.month}".encode()


# OFFSET has each page looked for by its key, as in service/recording/load.py.
SOME = """
SELECT pages.*
FROM unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::integer[]) AS wanted (
    relationship_id, stream, author, month
)
CROSS JOIN LATERAL (
    SELECT
        relationship_id,
        stream,
        author,
        month,
        ciphertext
    FROM pages
    WHERE relationship_id = wanted.relationship_id
        AND stream = wanted.stream
        AND author = wanted.author
        AND month = wanted.month
    OFFSET 0
) AS pages
"""


async def read_some(
    db: DbConnection, keys: Mapping[UUID, RelationshipKeys], wanted: Iterable[PageKey]
) -> dict[PageKey, Page]:
    """Those of some pages that there are. Raises DecryptionFailed."""
    named = {_named(keys[key.stream.relationship_id], key): key for key in wanted}
    rows = await db.fetch(SOME, *transposed(list(named))) if named else []
    return {(key := named[row[:4]]): decrypt(keys[key.stream.relationship_id], key, row["ciphertext"]) for row in rows}


KEPT = """
SELECT
    pages.relationship_id,
    pages.stream,
    pages.author,
    pages.month,
    pages.ciphertext
FROM unnest($1::uuid[], $2::smallint[]) AS wanted (relationship_id, stream)
JOIN pages USING (relationship_id, stream)
"""


async def read_all(
    db: DbConnection, keys: Mapping[UUID, RelationshipKeys], streams: Iterable[StreamKey]
) -> dict[PageKey, Page | None]:
    """All pages of some streams, but of who was erased; null for one that does not open."""
    named = {(stream.relationship_id, stream.number): stream for stream in streams}
    found: dict[PageKey, Page | None] = {}
    for relationship_id, number, seat, month, ciphertext in await db.fetch(
        KEPT, *(transposed(list(named)) or [[], []])
    ):
        own = keys[relationship_id]
        author = own.author_at(seat)
        if author is not None and own.knows(author):
            key = PageKey(named[relationship_id, number], author, month)
            try:
                found[key] = decrypt(own, key, ciphertext)
            except DecryptionFailed:
                found[key] = None
    return found


WRITE = """
INSERT INTO pages (
    relationship_id,
    stream,
    author,
    month,
    ciphertext
)
SELECT
    relationship_id,
    stream,
    author,
    month,
    ciphertext
FROM unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::integer[], $5::bytea[]) AS written (
    relationship_id, stream, author, month, ciphertext
)
ON CONFLICT (relationship_id, stream, author, month)
DO UPDATE SET ciphertext = excluded.ciphertext
"""


async def write(db: DbConnection, keys: Mapping[UUID, RelationshipKeys], written: Mapping[PageKey, Page]) -> None:
    """Write pages in the place of those that are kept. The heads of their streams must be locked."""
    rows = [
        page_row(keys[key.stream.relationship_id], key, page, os.urandom(NONCE_BYTES)) for key, page in written.items()
    ]
    if rows:
        await db.execute(WRITE, *transposed(rows))


def page_row(keys: RelationshipKeys, key: PageKey, page: Page, nonce: bytes) -> tuple[UUID, int, int, int, bytes]:
    """A page as it stands in the table."""
    return *_named(keys, key), encrypt(keys, key, page, nonce)


def _named(keys: RelationshipKeys, key: PageKey) -> tuple[UUID, int, int, int]:
    return key.stream.relationship_id, key.stream.number, keys.seat_of(key.author), key.month


FORGET = """
DELETE FROM pages
WHERE relationship_id = $1
    AND author = $2
"""


async def forget(db: DbConnection, relationship_id: UUID, seat: int) -> None:
    """Erase all that an author counts in a relationship. The heads must be locked."""
    await db.execute(FORGET, relationship_id, seat)
