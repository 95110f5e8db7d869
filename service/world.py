"""What comes from outside: the database, the time, chance and mail. Tests bring their own."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

from asyncpg import Pool, Record
from msgspec import Struct

from service.mail import Mailer

Clock = Callable[[], datetime]
# How many bytes, and what for. The purpose lets a test give equal bytes for equal purposes, whatever else happens.
Chance = Callable[[int, str], bytes]
Database: TypeAlias = "Pool[Record]"


class World(Struct, frozen=True):
    """All that a request may need besides what it carries itself."""

    db: Database
    now: Clock
    chance: Chance
    mailer: Mailer


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def system_chance(size: int, purpose: str) -> bytes:
    """Unpredictable bytes from the operating system."""
    return secrets.token_bytes(size)
