"""What I can count, given what has happened: every event adds to the counts as recording it would."""

from collections import Counter
from datetime import date, timedelta
from uuid import UUID

from events.records import StreamKey
from events.rules import Known, Recorded, evolve
from projections import pages, tallies
from projections.counts import Counts, fold
from projections.pages import Page, PageKey
from projections.reader import Reader
from tests.support.given import ME

SHARED, PRIVATE = StreamKey(UUID(int=10), 0, UUID(int=11)), StreamKey(UUID(int=10), 1, UUID(int=12))
I_READ = Reader(SHARED.relationship_id, 1, ME, SHARED.stream_id, PRIVATE.stream_id)
DAY = timedelta(days=1)


def kept(*events: Recorded) -> Counter[tallies.Key]:
    """All counts that these events come to, in the order in which they are recorded."""
    known, counts = Known(), Counter[tallies.Key]()
    for event in events:
        stream = SHARED if event.audience == "shared" else PRIVATE
        for key, count in tallies.recorded(stream, PRIVATE, event, known):
            counts[key] += count
        evolve(known, event)
    return counts


def seen(*events: Recorded) -> Counts:
    """What I can count of these events, as it is read from the pages that are kept."""
    written: dict[PageKey, Page] = {}
    for key, count in kept(*events).items():
        pages.add(written.setdefault(pages.page_of(key), {}), key, count)
    in_order = sorted(written.items(), key=lambda named: named[0].month)
    return fold(in_order, I_READ, date.min, date.max, None)
