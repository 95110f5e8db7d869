"""Live streams that a member has open, over several processes of one service: of more than so many, the oldest ends.

A place is a number that grows with time. It lies beside the limits, in memory that all processes see, under a keyed
hash of its member. Who opens a stream where all places are taken takes that of the oldest; the process that has that
one open finds so when it looks next. What a process had that was killed is the oldest in the end.
"""

import fcntl
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from service.core.listeners import MAX_STREAMS
from service.web.shared_limits import DIGEST_BYTES, SharedMemory, find_slot

SETS, WAYS = 4096, 8  # 32,768 members; for those beyond, each process counts by itself
LAST_SECONDS = 2 * 86_400  # longer than any access token lasts, with which a stream ends
SLOTS = SETS * WAYS
PLACES_AT = SLOTS * DIGEST_BYTES
STREAMS_BYTES = PLACES_AT + SLOTS * MAX_STREAMS * 8
LOCK = 255  # the byte that stands for them; those of the limits are counted from 0


class SharedStreams:
    """The places of all members."""

    def __init__(self, memory: SharedMemory) -> None:
        room = memory.last(STREAMS_BYTES)
        self._descriptor, self._secret = memory.descriptor, memory.secret
        self._digests, self._places = room[:PLACES_AT], room[PLACES_AT:].cast("Q")

    def take(self, member_id: UUID) -> int:
        """A place for one more stream, that of the oldest where all are taken."""
        digest = self._digest_of(member_id)
        with self._locked():
            place = time.monotonic_ns()  # the same clock in all processes of a machine
            slot = self._find(digest)
            if slot is None:
                slot = self._free_slot(digest, place)
            if slot is not None:
                places = self._places_of(slot)
                place = max(place, max(places) + 1)
                self._places[slot * MAX_STREAMS + places.index(min(places))] = place
        return place

    def holds(self, member_id: UUID, place: int) -> bool:
        """Whether nobody has taken that place. Without a lock: a place is never given twice."""
        slot = self._find(self._digest_of(member_id))
        return slot is None or place in self._places_of(slot)

    def give_back(self, member_id: UUID, place: int) -> None:
        """The stream has ended."""
        with self._locked():
            slot = self._find(self._digest_of(member_id))
            places = [] if slot is None else self._places_of(slot)
            if slot is not None and place in places:
                self._places[slot * MAX_STREAMS + places.index(place)] = 0
                if sum(places) == place:
                    self._digests[slot * DIGEST_BYTES : (slot + 1) * DIGEST_BYTES] = bytes(DIGEST_BYTES)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1, LOCK)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, LOCK)

    def _digest_of(self, member_id: UUID) -> bytes:
        return hashlib.blake2b(member_id.bytes, digest_size=DIGEST_BYTES, key=self._secret, person=b"streams").digest()

    def _places_of(self, slot: int) -> list[int]:
        return self._places[slot * MAX_STREAMS : (slot + 1) * MAX_STREAMS].tolist()

    def _find(self, digest: bytes) -> int | None:
        return find_slot(self._digests, digest, _first_slot(digest), WAYS)

    def _free_slot(self, digest: bytes, now: int) -> int | None:
        """One that nobody has, or whose streams must have ended: their process was killed."""
        first = _first_slot(digest)
        for slot in range(first, first + WAYS):
            newest = max(self._places_of(slot))
            if newest == 0 or newest < now - LAST_SECONDS * 10**9:
                break
        else:
            return None
        self._digests[slot * DIGEST_BYTES : (slot + 1) * DIGEST_BYTES] = digest
        for each in range(slot * MAX_STREAMS, (slot + 1) * MAX_STREAMS):
            self._places[each] = 0
        return slot


def _first_slot(digest: bytes) -> int:
    return int.from_bytes(digest[:4]) % SETS * WAYS
