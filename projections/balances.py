"""Who initiates, who decides, whose input is counted, and how it felt, over one window of days."""

from collections import Counter, defaultdict
from datetime import date, timedelta
from uuid import UUID

from msgspec import Struct

from events.entries import FELT_ITEMS, Domain, FeltItem
from events.heads import DbConnection
from projections import statistics, tallies
from projections.statistics import Counted, Felt, Split

# For whom it acts is set for this one statement, which saves those before and after it. The rest depends on that
# setting and stays behind it (OFFSET keeps it together); were it evaluated earlier, nothing would be seen.
# The first day of the calendar comes from the driver as infinitely long ago.
BETWEEN = """
WITH acting AS MATERIALIZED (
    SELECT set_config('mutuality.members', ARRAY[$6::uuid]::text, true) AS members
)
SELECT found.*
FROM acting
CROSS JOIN LATERAL (
    SELECT
        teller,
        measure,
        value,
        sum(count)::bigint AS count
    FROM tallies
    WHERE acting.members IS NOT NULL
        AND relationship_id = $1
        AND stream_id = ANY ($2::uuid[])
        AND day BETWEEN $3 AND greatest($4, DATE '0001-01-01')
        AND ($5::text IS NULL OR domain = $5)
    GROUP BY
        teller,
        measure,
        value
    OFFSET 0
) AS found
"""


class Reader(Struct, frozen=True):
    """Who reads: their author id within the relationship, and the streams that they may read."""

    relationship_id: UUID
    author_id: UUID
    shared_stream: UUID
    private_stream: UUID

    @property
    def streams(self) -> list[UUID]:
        """The streams that this reader may read."""
        return [self.shared_stream, self.private_stream]


class Telling(Struct, frozen=True):
    """What one member's own reports add up to, seen from the reader. felt lists only items that were answered."""

    initiates: Split
    decides: Split
    counted: Counted
    felt: dict[FeltItem, Felt]


class Balances(Struct, frozen=True):
    """Two tellings side by side: mine over what I shared and kept private, the partner's over what they shared."""

    on: date
    window: int
    domain: Domain | None
    mine: Telling
    partners: Telling


async def balances(
    db: DbConnection, reader: Reader, on: date, window: int, domain: Domain | None, member_id: UUID
) -> Balances:
    """The balances of the window of so many days that ends on a date. The database acts for that member."""
    first = first_day(on, window)
    rows = await db.fetch(BETWEEN, reader.relationship_id, reader.streams, first, on, domain, member_id)
    mine: dict[str, Counter[str]] = defaultdict(Counter)
    partners: dict[str, Counter[str]] = defaultdict(Counter)
    for teller, kept_as, kept, count in rows:
        for in_mine, measure, value in tallies.read(teller == reader.author_id, kept_as, kept):
            (mine if in_mine else partners)[measure][value] += count
    return Balances(on, window, domain, _telling(mine), _telling(partners))


def first_day(on: date, window: int) -> date:
    """The first day of the window that ends on a date; the calendar's first, where it would begin before that."""
    return on - timedelta(days=min(window - 1, on.toordinal() - 1))


def _telling(counts: dict[str, Counter[str]]) -> Telling:
    return Telling(
        initiates=statistics.split(counts["initiates"]),
        decides=statistics.split(counts["decides"]),
        counted=statistics.counted(counts["counted"]),
        felt={item: felt for item in FELT_ITEMS if (felt := statistics.felt(counts[f"felt:{item}"])).n > 0},
    )
