"""Who reads: what a projection has to know of them."""

from uuid import UUID

from msgspec import Struct

from events.records import SHARED, StreamKey


class Reader(Struct, frozen=True):
    """Who reads: their seat and author id within the relationship, and the streams that they may read."""

    relationship_id: UUID
    seat: int
    author_id: UUID
    shared_stream: UUID
    private_stream: UUID

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
