"""What members say of themselves is sealed like what they record: with their key, each text bound to its place."""

import os
from typing import Literal
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from events.encryption import KEY_BYTES, NONCE_BYTES, DecryptionFailed

Field = Literal["email", "name", "device_name", "push_address"]


def encrypt(key: bytes, member_id: UUID, field: Field, text: str) -> bytes:
    """The sealed text: a nonce, then the ciphertext. `key` is the member's."""
    nonce = os.urandom(NONCE_BYTES)
    bound = _place(member_id, field)
    return nonce + AESGCM(_field_key(key, bound)).encrypt(nonce, text.encode(), bound)


def decrypt(key: bytes, member_id: UUID, field: Field, sealed: bytes) -> str:
    """The text. Raises DecryptionFailed where it is of another member or field, or was changed."""
    bound = _place(member_id, field)
    try:
        return AESGCM(_field_key(key, bound)).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound).decode()
    except (InvalidTag, ValueError):  # the second where too little is left
        raise DecryptionFailed from None


def _place(member_id: UUID, field: Field) -> bytes:
    return f"{field}|{member_id}".encode()


def _field_key(key: bytes, bound: bytes) -> bytes:
    return HKDFExpand(SHA256(), KEY_BYTES, b"mutuality/profile-key/v1|" + bound).derive(key)
