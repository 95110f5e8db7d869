"""Random bytes, handed in so that tests can bring their own."""

import os
import threading
from collections.abc import Callable

# The number of bytes, and what for: by its purpose a test gives equal bytes, whatever else happens.
RandomBytes = Callable[[int, str], bytes]


class RandomPool:
    """Random bytes of the operating system, drawn in larger pieces: each draw is a system call."""

    def __init__(self, piece: int = 4096) -> None:
        self._piece, self._drawn, self._at = piece, bytearray(), 0
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)  # no two processes may take the same

    def take(self, size: int) -> bytes:
        """Bytes that are never returned again."""
        with self._lock:
            begin, end = self._at, self._at + size
            if end > len(self._drawn):
                self._drawn, begin, end = bytearray(os.urandom(max(size, self._piece))), 0, size
            self._at = end
            taken = bytes(self._drawn[begin:end])
            self._drawn[begin:end] = bytes(size)  # a key must not stay here when it is destroyed elsewhere
            return taken

    def _forget(self) -> None:
        self._drawn, self._at, self._lock = bytearray(), 0, threading.Lock()


_pool = RandomPool()


def system_random_bytes(size: int, purpose: str) -> bytes:
    """Unpredictable bytes of the operating system."""
    return _pool.take(size)
