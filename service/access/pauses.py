"""Pauses: days on which a member is asked nothing, and which their own view of counts leaves out. No reason is kept.

Nobody else can tell that there are any: they stand encrypted beside the member's name.
"""

from collections.abc import Iterable
from datetime import date
from uuid import UUID

import msgspec
from msgspec import Struct

from service.keys.field_encryption import padded_json
from service.keys.keyring import Keyring


class Pause(Struct, frozen=True, rename={"from_": "from"}):
    """Days from `from` to `to`, both included, in the member's time zone; without an end where `to` is null."""

    id: UUID
    from_: date
    to: date | None


_read = msgspec.json.Decoder(list[Pause]).decode


async def encrypt_pauses(keys: Keyring, member_id: UUID, pauses: list[Pause]) -> bytes:
    """The pauses, for their member alone. Raises DecryptionFailed for who is erased, KeyStoreError."""
    return await keys.encrypt_for(member_id, "pauses", padded_json(pauses))


async def decrypt_pauses(keys: Keyring, member_id: UUID, ciphertext: bytes | None) -> list[Pause]:
    """The reverse; none where nothing is kept. It raises the same."""
    return [] if ciphertext is None else _read(await keys.decrypt_for(member_id, "pauses", ciphertext))


def spans_of(pauses: Iterable[Pause]) -> tuple[tuple[date, date], ...]:
    """The days, in spans that neither overlap nor touch, in order."""
    spans: list[tuple[date, date]] = []
    for first, last in sorted((one.from_, one.to or date.max) for one in pauses):
        if spans and first.toordinal() <= spans[-1][1].toordinal() + 1:
            spans[-1] = spans[-1][0], max(spans[-1][1], last)
        else:
            spans.append((first, last))
    return tuple(spans)
