"""Listeners of live streams in this process, and how they are woken. The database is polled by `reading.live`."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from secrets import SystemRandom
from typing import Protocol
from uuid import UUID

from msgspec import Struct, field

from events.entries import Audience
from events.records import StreamKey
from projections.reader import Reader

# A phone that lost its network leaves a stream behind that nobody reads: the oldest makes room, so that no member is
# kept out by dead connections.
MAX_STREAMS = 5

# Between these a listener is woken, at a moment drawn anew each time. The earliest leaves whoever has recorded the time
# to be answered; and that reading for a listener falls into the recorder's next call is too rare to tell by the time of
# an answer whether the other listens.
WAKE_SECONDS = (0.02, 0.25)


def some_wake_seconds() -> float:
    """How long to wait this time, as nobody can foresee."""
    return SystemRandom().uniform(*WAKE_SECONDS)


class Places(Protocol):
    """The places of a member's streams, where several processes share them (`shared_streams`)."""

    def take(self, member_id: UUID) -> int:
        """A place for one more stream, that of the oldest where all are taken."""

    def holds(self, member_id: UUID, place: int) -> bool:
        """Whether nobody has taken that place."""

    def give_back(self, member_id: UUID, place: int) -> None:
        """The stream has ended."""


class Listener(Struct, eq=False):
    """One open stream: its member, what they can read, when the token expires, and the positions that it reached.

    And the state of the relationship: the last one that was seen, which is `told` once the reader has it.
    """

    member_id: UUID
    session_id: UUID
    reader: Reader
    until: datetime
    reached: dict[Audience, int]
    state: str
    told: str
    place: int | None = None  # among its member's streams of all processes
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    waking: asyncio.TimerHandle | None = None  # until it is woken
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def streams(self) -> dict[Audience, StreamKey]:
        """The streams that this listener can read; the other member's private one is none of them."""
        return {"shared": self.reader.shared, "private": self.reader.private}


class Listeners:
    """All open streams of this process."""

    def __init__(self, wake_seconds: Callable[[], float] = some_wake_seconds, places: Places | None = None) -> None:
        self._wake_seconds, self._places = wake_seconds, places
        self._of_member: dict[UUID, list[Listener]] = {}
        self._of_stream: dict[UUID, list[Listener]] = {}
        self._closed = False

    def __iter__(self) -> Iterator[Listener]:
        return iter([one for several in self._of_member.values() for one in several])

    def join(self, listener: Listener) -> None:
        """Begin to listen; a member's oldest stream ends where there are too many."""
        theirs = self._of_member.get(listener.member_id, [])
        if len(theirs) == MAX_STREAMS:
            theirs[0].ended.set()
            self.leave(theirs[0])  # which makes another list of the others
        self._of_member.setdefault(listener.member_id, []).append(listener)
        if self._places:
            listener.place = self._places.take(listener.member_id)
        for stream in listener.streams.values():
            self._of_stream.setdefault(stream.stream_id, []).append(listener)
        if self._closed:
            listener.ended.set()

    def leave(self, listener: Listener) -> None:
        """Listen no more; leaving twice does no harm."""
        _take_out(self._of_member, listener.member_id, listener)
        if self._places and listener.place is not None:
            self._places.give_back(listener.member_id, listener.place)
        for stream in listener.streams.values():
            _take_out(self._of_stream, stream.stream_id, listener)
        if listener.waking:
            listener.waking.cancel()

    def end_displaced(self) -> None:
        """End those whose member has opened too many since, in whichever process."""
        for one in self:
            if self._places and one.place is not None and not self._places.holds(one.member_id, one.place):
                one.ended.set()

    def notify(self, stream_ids: Iterable[UUID]) -> None:
        """Wake whoever listens to these streams, but not yet: something was appended, and is committed."""
        for stream_id in stream_ids:
            for listener in self._of_stream.get(stream_id, []):
                self.wake(listener)

    def wake(self, listener: Listener) -> None:
        """Wake it within a quarter of a second."""
        if listener.waking is None:
            loop = asyncio.get_running_loop()
            listener.waking = loop.call_later(self._wake_seconds(), self._wake_now, listener)

    @staticmethod
    def _wake_now(listener: Listener) -> None:
        listener.waking = None
        listener.woken.set()

    def close(self) -> None:
        """End all streams, those too that are only about to begin: the process stops."""
        self._closed = True
        for several in self._of_member.values():
            for listener in several:
                listener.ended.set()


def _take_out(listed: dict[UUID, list[Listener]], name: UUID, listener: Listener) -> None:
    kept = [one for one in listed.get(name, []) if one is not listener]
    if kept:
        listed[name] = kept
    else:
        listed.pop(name, None)
