"""Random bytes, handed in so that tests can bring their own."""

import os
import threading
from typing import Protocol


class RandomBytes(Protocol):
    """Draws so many bytes for a purpose, of some things: by these a test gives equal bytes, whatever else happens.

    The things come as they are. To spell what only tests read took 2 µs of a PUT.
    """

    def __call__(self, size: int, purpose: str, /, *of: object) -> bytes:
        """So many bytes."""
        ...


SECRET_BYTES = 32  # of keys, tokens and seeds, and of nothing else that is drawn


class RandomPool:
    """Random bytes of the operating system, drawn in larger pieces.

    Three calls into the kernel for each PUT took a tenth of its processor time: called now and then, each is ten times
    as slow as in a loop of nothing else.
    """

    def __init__(self, piece: int = 4096) -> None:
        self._piece, self._drawn, self._at = piece, bytearray(), 0
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)  # no two processes may take the same

    def take(self, size: int) -> bytes:
        """Bytes that are never returned again, and of which nothing stays here."""
        with self._lock:
            begin, end = self._at, self._at + size
            if end > len(self._drawn):
                self._drawn, begin, end = bytearray(os.urandom(max(size, self._piece))), 0, size
            self._at = end
            taken = bytes(self._drawn[begin:end])
            self._drawn[begin:end] = bytes(size)
            return taken

    def _forget(self) -> None:
        self._drawn, self._at, self._lock = bytearray(), 0, threading.Lock()


_pool = RandomPool()


def system_random_bytes(size: int, purpose: str, /, *of: object) -> bytes:
    """Unpredictable bytes of the operating system. No key or token lies in memory before it is needed."""
    return os.urandom(size) if size == SECRET_BYTES else _pool.take(size)
