"""AES-GCM for what members say of themselves: a key for each member and field, and associated data that bind both."""

import os
from typing import Literal
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from events.encryption import KEY_BYTES, NONCE_BYTES, DecryptionFailed

Field = Literal["email", "name", "device_name", "push_address", "attempt_address", "schedule", "questions", "pauses"]


UNIT_BYTES = 128


def encrypt(key: bytes, member_id: UUID, field: Field, text: str) -> bytes:
    """A nonce, then the ciphertext. `key` is the member's."""
    nonce = os.urandom(NONCE_BYTES)
    bound = _associated_data(member_id, field)
    return nonce + AESGCM(_field_key(key, bound)).encrypt(nonce, text.encode(), bound)


def decrypt(key: bytes, member_id: UUID, field: Field, ciphertext: bytes) -> str:
    """The text. Raises DecryptionFailed where it is of another member or field, or was changed."""
    bound = _associated_data(member_id, field)
    nonce, encrypted = ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:]
    try:
        return AESGCM(_field_key(key, bound)).decrypt(nonce, encrypted, bound).decode()
    except (InvalidTag, ValueError):  # ValueError where it is too short
        raise DecryptionFailed from None


def padded_json(value: object) -> str:
    """JSON, in which spaces follow up to a multiple of the unit, as JSON may end in them: its length tells little."""
    text = msgspec.json.encode(value)
    return text.ljust(-(-len(text) // UNIT_BYTES) * UNIT_BYTES).decode()


def _associated_data(member_id: UUID, field: Field) -> bytes:
    return f"{field}|{member_id}".encode()


def _field_key(key: bytes, bound: bytes) -> bytes:
    return HKDFExpand(SHA256(), KEY_BYTES, b"mutuality/profile-key/v1|" + bound).derive(key)
