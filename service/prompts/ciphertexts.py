"""Encrypt and decrypt what a member wants to be asked: their schedule, and the questions of each prompt.

A stolen database shows of both a length that is rounded up: most questions fit into one unit, whichever they are, and
what a schedule spells otherwise by a few letters has the same length.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from service.keys.field_encryption import Field, padded_json
from service.keys.keyring import Keyring
from service.prompts.catalogue import QuestionId
from service.prompts.schedule import Schedule

_read_schedule = msgspec.json.Decoder(Schedule).decode
_read_questions = msgspec.json.Decoder(list[QuestionId]).decode


async def encrypt_schedule(keys: Keyring, member_id: UUID, schedule: Schedule) -> bytes:
    """The schedule, for its member alone. Raises DecryptionFailed for who is erased, KeyStoreError."""
    return await _encrypt(keys, member_id, "schedule", schedule)


async def decrypt_schedule(keys: Keyring, member_id: UUID, ciphertext: bytes) -> Schedule:
    """The reverse. It raises the same, and MsgspecError where this version does not understand the schedule."""
    return _read_schedule(await keys.decrypt_for(member_id, "schedule", ciphertext))


async def encrypt_questions(keys: Keyring, member_id: UUID, questions: Sequence[QuestionId]) -> bytes:
    """Questions, for their member alone. Raises DecryptionFailed for who is erased, KeyStoreError."""
    return await _encrypt(keys, member_id, "questions", questions)


async def decrypt_questions(keys: Keyring, member_id: UUID, ciphertext: bytes) -> list[QuestionId]:
    """The reverse. It raises the same, and MsgspecError where this version does not know a question."""
    return _read_questions(await keys.decrypt_for(member_id, "questions", ciphertext))


async def _encrypt(keys: Keyring, member_id: UUID, field: Field, value: object) -> bytes:
    return await keys.encrypt_for(member_id, field, padded_json(value))
