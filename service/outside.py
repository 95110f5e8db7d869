"""Time and chance, handed in so that tests can bring their own."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
# How many bytes, and what for. The purpose lets a test give equal bytes for equal purposes, whatever else happens.
Chance = Callable[[int, str], bytes]


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def system_chance(size: int, purpose: str) -> bytes:
    """Unpredictable bytes from the operating system."""
    return secrets.token_bytes(size)
