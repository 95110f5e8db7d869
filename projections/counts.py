"""What a reader can count, as a plain structure from which every figure is folded, whatever it is kept in.

`mine` are my own counts over what I have shared and what I keep private, `partners` the partner's own over what they
have shared; what each has asked of the other stands beside both, for it is an act in the log and nobody's telling. All
values are seen from the reader: `me` is who reads.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, timedelta
from struct import iter_unpack
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct, field

from events.encryption import RelationshipKeys
from events.heads import DbConnection
from events.records import SHARED
from projections import pages, tallies
from projections.pages import Page, PageKey
from projections.reader import Reader
from projections.tallies import Size

ASKS = "asks"


class Series(NamedTuple):
    """On which days, by their numbers in the calendar, a value was counted in a domain, and how often on each.

    Of several of one domain and value, from other streams or months, each adds to the others.
    """

    domain: str
    value: str
    days: list[int]
    counts: list[int]


class Told(Struct):
    """All counts of one telling, or of what was asked, by measure; and the first day on which it counts anything."""

    series: dict[str, list[Series]] = field(default_factory=dict)
    since: int | None = None

    def add(self, measure: str, series: Series) -> None:
        """Take one more series into account."""
        self.series.setdefault(measure, []).append(series)

    def begins(self, day: int) -> None:
        """Take into account that something was counted on that day."""
        self.since = day if self.since is None else min(self.since, day)

    def of(self, measures: Collection[str]) -> list[Series]:
        """The series of some measures."""
        return [one for measure in measures for one in self.series.get(measure, ())]


class Counts(Struct, frozen=True):
    """What a reader can count; paused are days that they leave out, by their numbers in the calendar."""

    asks: Told = field(default_factory=Told)
    mine: Told = field(default_factory=Told)
    partners: Told = field(default_factory=Told)
    paused: set[int] = field(default_factory=set)


def of_size(measure: str, size: Size | None) -> list[str]:
    """The measures as which one is kept: for decisions of one size, or for all and for what has none."""
    return [measure, f"{measure}:small", f"{measure}:big"] if size is None else [f"{measure}:{size}"]


def first_day(on: date, window: int) -> date:
    """The first day of the window that ends on a date; the calendar's first, where it would begin before that."""
    return on - timedelta(days=min(window - 1, on.toordinal() - 1))


# The pages of the months that are asked for, and the first two before them, which tell when something was counted at
# all: most begin in the middle of a month, and the first page alone often lacks what the second one has.
# One row for each author in each stream, and one scan of the key for each.
# It acts for the reader as every look-up of one statement does (see service/access/reader_lookup.py).
READ = """
WITH acting AS MATERIALIZED (
    SELECT set_config('mutuality.members', ARRAY[$5::uuid]::text, true) AS members
)
SELECT
    told.stream,
    told.author,
    found.months,
    found.ciphertexts
FROM acting
CROSS JOIN (VALUES (0, 1), (0, 2), ($2::integer, $2::integer)) AS told (stream, author)
CROSS JOIN LATERAL (
    SELECT
        array_agg(counted.month) AS months,
        array_agg(counted.ciphertext) AS ciphertexts
    FROM (
        (
            SELECT
                pages.month,
                pages.ciphertext
            FROM pages
            WHERE acting.members IS NOT NULL
                AND pages.relationship_id = $1
                AND pages.stream = told.stream
                AND pages.author = told.author
                AND pages.month < $3
            ORDER BY pages.month
            LIMIT 2
        )
        UNION ALL
        (
            SELECT
                pages.month,
                pages.ciphertext
            FROM pages
            WHERE acting.members IS NOT NULL
                AND pages.relationship_id = $1
                AND pages.stream = told.stream
                AND pages.author = told.author
                AND pages.month BETWEEN $3 AND $4
            ORDER BY pages.month
        )
    ) AS counted
    HAVING count(*) > 0
    OFFSET 0
) AS found
"""
FIRST_PAGES = 2


async def read(
    db: DbConnection,
    keys: RelationshipKeys,
    reader: Reader,
    first: date,
    last: date,
    measures: Collection[str] | None,
    member_id: UUID,
) -> Counts:
    """What this reader can count of some measures, or of all, from a first day to a last; and when these began.

    The database acts for that member. Raises DecryptionFailed.
    """
    since = pages.month_of(first)
    given = await _pages(db, keys, reader, since, last, member_id)
    found = fold(given, reader, first, last, measures)
    if not knows_beginnings(found, given, reader, since, measures):
        found = fold(await _pages(db, keys, reader, 0, last, member_id), reader, first, last, measures)
    return found


async def _pages(
    db: DbConnection, keys: RelationshipKeys, reader: Reader, since: int, last: date, member_id: UUID
) -> list[tuple[PageKey, Page]]:
    """In the order of their months; none of who was erased a moment ago."""
    found: list[tuple[PageKey, Page]] = []
    named = (reader.relationship_id, reader.seat, since, pages.month_of(last), member_id)
    for number, seat, months, ciphertexts in await db.fetch(READ, *named):
        author = keys.author_at(seat)
        if author is not None and keys.knows(author):
            found += pages.decrypt_all(
                keys, reader.shared if number == SHARED else reader.private, author, months, ciphertexts
            )
    return sorted(found, key=lambda one: one[0].month)


def fold(
    given: Iterable[tuple[PageKey, Page]], reader: Reader, first: date, last: date, measures: Collection[str] | None
) -> Counts:
    """The same, from pages in the order of their months."""
    found = Counts()
    wanted = None if measures is None else [pages.MEASURE_NUMBERS[measure] for measure in measures]
    collected: dict[tuple[bool, int], dict[int, Series]] = {}
    span, paused = (first.toordinal(), last.toordinal()), reader.left_out(first, last)
    found.paused.update(paused)
    for key, page in given:
        mine, before = key.author == reader.author_id, pages.first_of(key.month).toordinal() - 1
        _note_beginning(found, key, page, mine, before)
        for measure in page if wanted is None else wanted:
            if cells := page.get(measure):
                values = pages.VALUES[pages.MEASURES[measure]] if mine else _TURNED[measure]
                _collect(collected.setdefault((mine, measure), {}), values, cells, before, span, paused)
    for (mine, measure), places in collected.items():
        told = found.asks if measure == _ASKS else found.mine if mine else found.partners
        for series in places.values():
            told.add(pages.MEASURES[measure], series)
    return found


# Each measure's values as the other sees them.
_TURNED = [tuple(tallies.turned(measure, value) for value in values) for measure, values in pages.VALUES.items()]


def _collect(
    places: dict[int, Series],
    values: Sequence[str],
    cells: bytes,
    before: int,
    span: tuple[int, int],
    paused: frozenset[int],
) -> None:
    """Take in what a page counts of one measure. A value and a domain are looked up as one number."""
    begin, end = span
    for place, day, count in iter_unpack("<HBB", cells):
        if begin <= before + day <= end and before + day not in paused:
            series = places.get(place)
            if series is None:
                series = places[place] = Series(pages.DOMAINS[place >> 8], values[place & 0xFF], [], [])
            series.days.append(before + day)
            series.counts.append(count)


def _note_beginning(found: Counts, key: PageKey, page: Page, mine: bool, before: int) -> None:
    """Take into account when a page begins to count: what was asked stands apart, and in the shared stream alone."""
    told = found.mine if mine else found.partners
    if told.since is None or before < told.since:
        _begin(told, before, page, page.keys() - {_ASKS})
    if key.stream.number == SHARED and (found.asks.since is None or before < found.asks.since):
        _begin(found.asks, before, page, page.keys() & {_ASKS})


def _begin(told: Told, before: int, page: Page, measures: Collection[int]) -> None:
    if measures:
        told.begins(before + min(min(page[measure][2 :: pages.CELL_BYTES]) for measure in measures))


def knows_beginnings(
    found: Counts,
    given: Iterable[tuple[PageKey, Page]],
    reader: Reader,
    since: int,
    measures: Collection[str] | None = None,
) -> bool:
    """Whether no page that was not read can begin anything that is wanted: one behind the first ones could."""
    early: dict[tuple[int, UUID], list[int]] = {}
    for key, _ in given:
        if key.month < since:
            early.setdefault((key.stream.number, key.author), []).append(key.month)
    for (number, author), months in early.items():
        # Between the last of the first ones and the months that were asked for others may lie.
        if len(months) == FIRST_PAGES and months[-1] < since - 1:
            unread = pages.first_of(months[-1] + 1).toordinal()
            if any(one.since is None or one.since >= unread for one in _kinds(found, number, author, reader, measures)):
                return False
    return True


def _kinds(found: Counts, number: int, author: UUID, reader: Reader, measures: Collection[str] | None) -> list[Told]:
    """What pages of an author in a stream may begin, of what is wanted."""
    told = found.mine if author == reader.author_id else found.partners
    asks = [found.asks] if number == SHARED and (measures is None or ASKS in measures) else []
    return asks if measures is not None and set(measures) <= {ASKS} else [told, *asks]


_ASKS = pages.MEASURE_NUMBERS[ASKS]
