"""Who reads: what a projection has to know of them."""

from collections.abc import Iterator
from datetime import date
from uuid import UUID

from msgspec import Struct

from events.records import SHARED, StreamKey


class Reader(Struct, frozen=True):
    """Who reads: their seat and author id within the relationship, and the streams that they may read.

    paused are spans of days, from first to last, that they leave out of windows: in both columns, of their view alone.
    """

    relationship_id: UUID
    seat: int
    author_id: UUID
    shared_stream: UUID
    private_stream: UUID
    paused: tuple[tuple[date, date], ...] = ()

    @property
    def shared(self) -> StreamKey:
        """The shared stream."""
        return StreamKey(self.relationship_id, SHARED, self.shared_stream)

    @property
    def private(self) -> StreamKey:
        """The reader's private stream."""
        return StreamKey(self.relationship_id, self.seat, self.private_stream)

    @property
    def streams(self) -> list[StreamKey]:
        """The streams that this reader may read."""
        return [self.shared, self.private]

    def left_out(self, first: date, last: date) -> frozenset[int]:
        """The days of these that are paused, by their numbers in the calendar."""
        return frozenset(self._left_out(first, last))

    def _left_out(self, first: date, last: date) -> Iterator[int]:
        for begin, end in self.paused:
            yield from range(max(begin, first).toordinal(), min(end, last).toordinal() + 1)
