"""Random bytes, handed in so that tests can bring their own."""

import os
from collections.abc import Callable

# The number of bytes, and what for: by its purpose a test gives equal bytes, whatever else happens.
RandomBytes = Callable[[int, str], bytes]


def system_random_bytes(size: int, purpose: str) -> bytes:
    """Unpredictable bytes of the operating system: nothing of a key to come lies in this process's memory."""
    return os.urandom(size)
