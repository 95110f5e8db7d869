"""Rate limits that several processes of one service share: one allowance, whichever of them is asked.

The tries lie in memory that all of them see, which is in no file and ends with the last of them. Of a key a keyed hash
is kept, as in the memory of one process. Nobody is asked over a socket for it: that would take a round trip for each
request, and one process that all others wait for. Whoever counts holds a lock of the kernel's for some microseconds; if
they die with it, the kernel takes it back. That time does not depend on whose key it is, nor on what others have done
with theirs.
"""

import fcntl
import hashlib
import mmap
import os
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from service.errors import TooManyRequests
from service.web.rate_limits import SKETCH_CELLS, SKETCH_ROWS, Allowance, LimitKey

# A period is counted in parts. A try counts until its part is out of the period, so for up to a sixtieth longer.
PARTS = 60
COUNTS = PARTS + 1  # the part that is going on is one more
SETS, WAYS = 8192, 8  # 65,536 keys; those beyond are counted in a sketch
DIGEST_BYTES = 16
# Two processes may be in two parts at one moment; a key from further ahead is from a clock that is right again.
PARTS_AHEAD = 2

SLOTS = SETS * WAYS
SKETCH = SKETCH_ROWS * SKETCH_CELLS
MOST = 2**16 - 1
# In this order: digests, the part of each key's last try, its counts, the part in which the sketch began, the sketch.
DIGESTS_AT = 0
LAST_AT = SLOTS * DIGEST_BYTES
COUNTS_AT = LAST_AT + SLOTS * 4
BEGUN_AT = COUNTS_AT + SLOTS * COUNTS * 2
SKETCH_AT = BEGUN_AT + 8
LIMIT_BYTES = SKETCH_AT + 2 * SKETCH * 2
SECRET_BYTES = 16


def make_shared_memory(limits: int, more_bytes: int = 0) -> int:
    """A descriptor of memory for so many limits, and for more, which child processes inherit; pages come with use."""
    descriptor = os.memfd_create("mutuality-limits") if hasattr(os, "memfd_create") else _unnamed_file()
    os.ftruncate(descriptor, SECRET_BYTES + limits * LIMIT_BYTES + more_bytes)
    os.pwrite(descriptor, os.urandom(SECRET_BYTES), 0)
    return descriptor


def _unnamed_file() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class SharedMemory:
    """That memory, as one process sees it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, 0)
        self.secret = self._map[:SECRET_BYTES]
        self._handed_out = 0

    def next_limit(self) -> "tuple[memoryview, int, int]":
        """The memory of the next limit, the descriptor by which it is locked, and the byte that stands for it."""
        number, self._handed_out = self._handed_out, self._handed_out + 1
        begin = SECRET_BYTES + number * LIMIT_BYTES
        return memoryview(self._map)[begin : begin + LIMIT_BYTES], self.descriptor, number

    def last(self, size: int) -> memoryview:
        """What lies behind all limits."""
        return memoryview(self._map)[-size:]


class SharedLimit:
    """At most so many tries for one key within a period, over all processes; 0 is no limit. As `Limit` otherwise."""

    def __init__(self, tries: int, period: timedelta, memory: SharedMemory) -> None:
        place, self._descriptor, self._number = memory.next_limit()
        # More than a part can count are as good as none.
        self._tries, self._seconds = min(tries, MOST), period.total_seconds() / PARTS
        self._secret = memory.secret
        self._digests = place[DIGESTS_AT:LAST_AT]
        self._last = place[LAST_AT:COUNTS_AT].cast("I")
        self._counts = place[COUNTS_AT:BEGUN_AT].cast("H")
        self._begun = place[BEGUN_AT:SKETCH_AT].cast("Q")
        self._sketch = place[SKETCH_AT:].cast("H")

    def take(self, key: LimitKey, now: datetime, weight: int = 1) -> None:
        """Count one try, or as many as it weighs. Raises TooManyRequests, with the seconds until so many are free.

        What weighs more than the limit is taken where nothing else counts.
        """
        if self._tries == 0 or weight == 0:
            return
        weight = min(weight, self._tries)
        part, digest = int(now.timestamp() // self._seconds), self._digest_of(key)
        with self._locked():
            slot = self._find(digest)
            if slot is None:
                slot = self._free_slot(digest, part)
            if slot is None:
                self._take_of_sketch(digest, part, weight)
            else:
                self._take_of_slot(slot, part, now, weight)

    def left(self, key: LimitKey, now: datetime) -> Allowance | None:
        """What is left of the tries of a key that has just made one; nothing where there is no limit."""
        if self._tries == 0:
            return None
        part, digest, seconds = int(now.timestamp() // self._seconds), self._digest_of(key), COUNTS * self._seconds
        with self._locked():
            slot = self._find(digest)
            if slot is None:
                used = self._count_in_sketch(digest, part)
            else:
                part, begin = self._go_on(slot, part), slot * COUNTS
                used = sum(self._counts[begin : begin + COUNTS])
                seconds = self._seconds_until_free(begin, part, now, 1) if used else seconds
        return Allowance(self._tries, round(PARTS * self._seconds), max(self._tries - used, 0), int(seconds) + 1)

    def give_back(self, key: LimitKey) -> None:
        """Uncount the last try."""
        with self._locked():
            slot = self._find(self._digest_of(key))
            if slot is not None:
                at = slot * COUNTS + self._last[slot] % COUNTS
                self._counts[at] = max(self._counts[at] - 1, 0)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1, self._number)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, self._number)

    def _digest_of(self, key: LimitKey) -> bytes:
        parts = (part if isinstance(part, bytes) else part.encode() for part in key)
        return hashlib.blake2b(b"|".join(parts), digest_size=DIGEST_BYTES, key=self._secret).digest()

    # --- Keys with counts of their own

    def _find(self, digest: bytes) -> int | None:
        return find_slot(self._digests, digest, _first_slot(digest), WAYS)

    def _free_slot(self, digest: bytes, part: int) -> int | None:
        """A slot for a new key, where one is empty or its tries are over; none where all are in use."""
        first = _first_slot(digest)
        for slot in range(first, first + WAYS):
            if part - self._last[slot] >= COUNTS:
                self._clear(slot)
                self._digests[slot * DIGEST_BYTES : (slot + 1) * DIGEST_BYTES] = digest
                self._last[slot] = part
                # What was counted of it in the sketch, while there was no room here, goes on counting.
                self._counts[slot * COUNTS + part % COUNTS] = min(self._count_in_sketch(digest, part), MOST)
                return slot
        return None

    def _take_of_slot(self, slot: int, part: int, now: datetime, weight: int) -> None:
        part = self._go_on(slot, part)
        begin = slot * COUNTS
        too_many = sum(self._counts[begin : begin + COUNTS]) + weight - self._tries
        if too_many > 0:
            raise TooManyRequests(int(self._seconds_until_free(begin, part, now, too_many)) + 1)
        self._counts[begin + part % COUNTS] += weight

    def _seconds_until_free(self, begin: int, part: int, now: datetime, wanted: int) -> float:
        """Until so many of the oldest tries are out of the period."""
        for each in range(part - PARTS, part + 1):
            wanted -= self._counts[begin + each % COUNTS]
            if wanted <= 0:
                break
        return max((each + COUNTS) * self._seconds - now.timestamp(), 0.0)

    def _go_on(self, slot: int, part: int) -> int:
        """Forget what is out of the period; returns the part that tries are counted in now."""
        last = self._last[slot]
        if part - last >= COUNTS or last - part > PARTS_AHEAD:
            self._clear(slot)
        else:
            for passed in range(last + 1, part + 1):
                self._counts[slot * COUNTS + passed % COUNTS] = 0
            part = max(part, last)
        self._last[slot] = part
        return part

    def _clear(self, slot: int) -> None:
        self._counts[slot * COUNTS : (slot + 1) * COUNTS] = NOTHING

    # --- Keys beyond those: never counted too few, rarely too many

    def _take_of_sketch(self, digest: bytes, part: int, weight: int) -> None:
        if self._count_in_sketch(digest, part) + weight > self._tries:
            raise TooManyRequests(int(COUNTS * self._seconds) + 1)
        cells = self._cells_of(digest)
        fewest = min(self._sketch[cell] for cell in cells)
        for cell in cells:
            self._sketch[cell] = max(self._sketch[cell], min(fewest + weight, MOST))

    def _count_in_sketch(self, digest: bytes, part: int) -> int:
        self._turn(part)
        return min(self._sketch[cell] + self._sketch[cell + SKETCH] for cell in self._cells_of(digest))

    def _turn(self, part: int) -> None:
        """Tries count in the period in which they are made, and in the next one."""
        begun = self._begun[0]
        if 0 <= part - begun < PARTS or (begun and -PARTS_AHEAD <= part - begun < 0):
            return
        if begun:
            self._sketch[SKETCH:] = self._sketch[:SKETCH] if part - begun < 2 * PARTS else NOTHING_SKETCHED
            self._sketch[:SKETCH] = NOTHING_SKETCHED
        self._begun[0] = part

    def _cells_of(self, digest: bytes) -> Sequence[int]:
        wide = hashlib.blake2b(digest, digest_size=4 * SKETCH_ROWS, key=self._secret).digest()
        found = (int.from_bytes(wide[4 * row : 4 * row + 4]) % SKETCH_CELLS for row in range(SKETCH_ROWS))
        return [row * SKETCH_CELLS + cell for row, cell in enumerate(found)]


def _first_slot(digest: bytes) -> int:
    return int.from_bytes(digest[:4]) % SETS * WAYS


NOTHING = memoryview(array("H", bytes(2 * COUNTS)))
NOTHING_SKETCHED = memoryview(array("H", bytes(2 * SKETCH)))


def find_slot(digests: memoryview, digest: bytes, first: int, ways: int) -> int | None:
    """Which of so many slots, from the first one on, has that digest."""
    for slot in range(first, first + ways):
        if digests[slot * DIGEST_BYTES : (slot + 1) * DIGEST_BYTES] == digest:
            return slot
    return None
