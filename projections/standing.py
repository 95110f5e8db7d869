"""Which events of a stream still stand: what was retracted has happened, but is no longer told."""

from collections.abc import Iterable

from events.entries import Retraction
from events.rules import Recorded


def standing(events: Iterable[Recorded]) -> list[Recorded]:
    """The events that were not taken back, in the order given."""
    given = list(events)
    gone = {(e.audience, e.fact.event_id) for e in given if isinstance(e.fact, Retraction)}
    return [e for e in given if (e.audience, e.event_id) not in gone]
