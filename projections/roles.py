"""Who initiates and who decides, together: is it the one who asks that the other decides for?

Requests stay out of it: who is asked holds the yes by the nature of a request.
"""

from datetime import date
from uuid import UUID

from msgspec import Struct

from events.encryption import RelationshipKeys
from events.entries import WHO, Domain
from events.heads import DbConnection
from projections import counts as counting
from projections import statistics, windows
from projections.counts import Counts, Told, first_day, of_size
from projections.occasions import added
from projections.reader import Reader
from projections.statistics import Split
from projections.windows import Window

ROLES = of_size("roles", None)
CROSSED = {"me/partner": 1, "partner/me": -1}
ALONE = {"me/me": 1, "partner/partner": -1}


class RolesTold(Struct, frozen=True):
    """One telling: a table of entries, rows who initiated, columns who decided, each me, partner, both, neither.

    n is the sum of the table. `crossed` holds those where one initiated and the other decided, by who initiated;
    `alone` those where one did both, by who that was. Both are of occasions, as all splits are.
    """

    table: list[list[int]]
    n: int
    crossed: Split
    alone: Split


class Roles(Struct, frozen=True):
    """Two tellings side by side, seen from the reader; paused is how many days of the window I leave out."""

    on: date
    window: int
    domain: Domain | None
    paused: int
    mine: RolesTold
    partners: RolesTold


async def roles(db: DbConnection, keys: RelationshipKeys, reader: Reader, asked: Window, member_id: UUID) -> Roles:
    """The roles of a window. The database acts for that member."""
    first = first_day(asked.on, asked.window)
    return fold(await counting.read(db, keys, reader, first, asked.on, ROLES, member_id), asked)


def fold(counts: Counts, asked: Window) -> Roles:
    """The roles of a window, of all that a reader can count in it; what lies outside is left aside."""
    statistics.forget()
    mine, partners = (_told(told, asked) for told in (counts.mine, counts.partners))
    return Roles(asked.on, asked.window, asked.domain, asked.paused(counts.paused), mine, partners)


def _told(told: Told, asked: Window) -> RolesTold:
    found = added(told.of(ROLES), asked.domain, *asked.days)
    table = [[found.get(f"{raised}/{decided}", 0) for decided in WHO] for raised in WHO]
    crossed, alone = (windows.split(told, ROLES, asked, signs) for signs in (CROSSED, ALONE))
    return RolesTold(table, sum(map(sum, table)), crossed, alone)
