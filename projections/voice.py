"""Whose view stood before a decision: of openings that were decided, by who decided them."""

from collections.abc import Collection, Iterable
from datetime import date
from typing import Literal, TypeAlias
from uuid import UUID

from msgspec import Struct

from events.encryption import RelationshipKeys
from events.entries import Decision, Domain, Opening, Who, day_of, other
from events.heads import DbConnection
from projections import statistics
from projections.aside import aside
from projections.counts import first_day
from projections.openings import Opened, Spoken, opened, read
from projections.reader import Reader
from projections.windows import Window

Decider: TypeAlias = Literal["me", "partner", "both"]


class Heard(Struct, frozen=True):
    """How many openings one decided, and whose view stood before; share is that of those before which both had one.

    Where both decided, only_decider is mine alone and only_other the partner's. Below 8 share, low and high are null,
    below 20 share is; low to high is a 95 % interval.
    """

    n: int
    both_spoke: int
    only_decider: int
    only_other: int
    neither: int
    share: float | None
    low: float | None
    high: float | None


class Voice(Struct, frozen=True):
    """By who decided, seen from the reader: me, the partner, or both together.

    paused is how many days of the window I leave out.
    """

    on: date
    window: int
    domain: Domain | None
    paused: int
    me: Heard
    partner: Heard
    both: Heard


async def voice(db: DbConnection, keys: RelationshipKeys, reader: Reader, asked: Window) -> Voice:
    """The voices of a window of days on which something was decided."""
    events = await read(db, keys, reader)
    return fold(await aside(len(events), lambda: opened(events)), reader, asked)


def fold(openings: Iterable[Opened], reader: Reader, asked: Window) -> Voice:
    """The same, of all openings with what this reader may read about them."""
    statistics.forget()
    spoken: dict[Decider, list[tuple[bool, bool]]] = {"me": [], "partner": [], "both": []}
    paused = reader.left_out(first_day(asked.on, asked.window), asked.on)
    for one in openings:
        if (decider := _decider(one, reader.author_id, asked, paused)) is not None:
            before = _spoken_before(one, reader.author_id)
            pair = before.me, before.partner
            spoken[decider].append(pair[::-1] if decider == "partner" else pair)
    heard = {decider: _heard(found) for decider, found in spoken.items()}
    return Voice(asked.on, asked.window, asked.domain, len(paused), heard["me"], heard["partner"], heard["both"])


def _decider(one: Opened, me: UUID, asked: Window, paused: Collection[int]) -> Decider | None:
    """Who decided it, where that is to be counted; null where it is not."""
    if one.decision is None or one.withdrawn or not isinstance(one.decision.fact, Decision):
        return None
    assert isinstance(one.event.fact, Opening)
    day = day_of(one.decision.fact)
    if asked.domain not in (None, one.event.fact.domain) or not asked.covers(day) or day.toordinal() in paused:
        return None
    decided_by: Who = one.decision.fact.decided_by or "neither"
    seen = decided_by if one.decision.author == me else other(decided_by)
    return None if seen == "neither" else seen


def _spoken_before(one: Opened, me: UUID) -> Spoken:
    """Whose view stood when it was decided: a later one decided nothing."""
    assert one.decision is not None
    assert isinstance(one.decision.fact, Decision)
    return one.spoken(me, one.decision.fact.occurred_at)


def _heard(spoken: list[tuple[bool, bool]]) -> Heard:
    pairs = [(True, True), (True, False), (False, True), (False, False)]
    both, decider, others, neither = (spoken.count(pair) for pair in pairs)
    share, low, high = statistics.proportion(both, len(spoken) - both)
    return Heard(len(spoken), both, decider, others, neither, share, low, high)
