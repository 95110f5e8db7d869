"""Who initiates, who decides, whose input is counted, and how it felt, over one window of days."""

from datetime import date
from itertools import chain
from typing import Literal
from uuid import UUID

from msgspec import Struct

from events.encryption import RelationshipKeys
from events.entries import FELT_ITEMS, WHO, Domain, FeltItem
from events.heads import DbConnection
from projections import counts as counting
from projections import statistics, windows
from projections.counts import ASKS, Counts, Told, first_day, of_size
from projections.occasions import added
from projections.reader import Reader
from projections.statistics import Counted, Felt, Split, WhoCounts
from projections.tallies import Size
from projections.windows import Window


class Telling(Struct, frozen=True):
    """What one member's own reports add up to, seen from the reader. felt lists only items that were answered.

    agreed tells of decisions that it was agreed whose they are: who decided these.
    """

    initiates: Split
    decides: Split
    agreed: WhoCounts
    counted: Counted
    felt: dict[FeltItem, Felt]


class Tellings(Struct, frozen=True):
    """Whether both tellings lean, and then the same way or opposite ways; null otherwise."""

    initiates: Literal["same", "differ"] | None
    decides: Literal["same", "differ"] | None


class Balances(Struct, frozen=True):
    """Two tellings side by side: mine over what I shared and kept private, the partner's over what they shared.

    paused is how many days of the window I leave out: they count in neither column.

    asks are the requests of both, which are nobody's telling.
    """

    on: date
    window: int
    domain: Domain | None
    size: Size | None
    paused: int
    asks: Split
    mine: Telling
    partners: Telling
    tellings: Tellings


class Asked(Window, frozen=True):
    """Which window. A size narrows what is told of decisions."""

    size: Size | None = None


async def balances(db: DbConnection, keys: RelationshipKeys, reader: Reader, asked: Asked, member_id: UUID) -> Balances:
    """The balances of a window. The database acts for that member."""
    first = first_day(asked.on, asked.window)
    return fold(await counting.read(db, keys, reader, first, asked.on, _measures(asked.size), member_id), asked)


def _measures(size: Size | None) -> list[str]:
    """What balances tell of. Roles, for one, they do not."""
    decisions = [of_size(measure, size) for measure in ("decides", *ANSWERED)]
    return [ASKS, "initiates", "agreed", *chain.from_iterable(decisions), *FELT]


ANSWERED = ("input:partner", "input:both")
FELT = [f"felt:{item}" for item in FELT_ITEMS]


def fold(counts: Counts, asked: Asked) -> Balances:
    """The balances of a window, of all that a reader can count in it; what lies outside is left aside."""
    statistics.forget()
    mine, partners = _telling(counts.mine, asked), _telling(counts.partners, asked)
    return Balances(
        asked.on,
        asked.window,
        asked.domain,
        asked.size,
        asked.paused(counts.paused),
        asks=windows.split(counts.asks, [ASKS], asked),
        mine=mine,
        partners=partners,
        tellings=Tellings(
            statistics.tellings(mine.initiates.reading, partners.initiates.reading),
            statistics.tellings(mine.decides.reading, partners.decides.reading),
        ),
    )


def _telling(told: Told, asked: Asked) -> Telling:
    agreed = _sums(told, ["agreed"], asked)
    partner, both = [_sums(told, of_size(measure, asked.size), asked) for measure in ANSWERED]
    counts = [_sums(told, [measure], asked) for measure in FELT]
    felt = statistics.all_felt([[one.get(answer, 0) for answer in ANSWERS] for one in counts])
    return Telling(
        initiates=windows.split(told, ["initiates"], asked),
        decides=windows.split(told, of_size("decides", asked.size), asked),
        agreed=WhoCounts(*(agreed.get(who, 0) for who in WHO)),
        counted=Counted(*statistics.all_answers([partner, both])),
        felt={item: found for item, found in zip(FELT_ITEMS, felt, strict=True) if found.n > 0},
    )


ANSWERS = [str(answer) for answer in range(1, 8)]


def _sums(told: Told, measures: list[str], asked: Asked) -> dict[str, int]:
    return added(told.of(measures), asked.domain, *asked.days)
