"""Which events of a reader's streams still stand: what was retracted has happened, but is no longer told."""

from collections.abc import Iterable

from events.entries import Retraction
from events.rules import Recorded, is_shared_later


def standing(events: Iterable[Recorded]) -> list[Recorded]:
    """The events that were not taken back, in the order given.

    What its author has shared later stands as the shared one alone, or, once that was taken back, not at all.
    """
    given = list(events)
    gone = {(e.audience, e.fact.event_id) for e in given if isinstance(e.fact, Retraction)}
    shared = {e.event_id: e for e in given if e.audience == "shared"}
    untouched = [e for e in given if (e.audience, e.event_id) not in gone]
    return [e for e in untouched if not is_shared_later(e, shared.get(e.event_id))]
