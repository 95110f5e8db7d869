"""Tokens, codes and invites: only their hashes are stored; what may have to be answered again is derived."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from typing import Literal
from uuid import UUID

from service.core.keyboards import without_separators
from service.core.randomness import RandomBytes

INVITE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
INVITE_LENGTH = 12
CODE_DIGITS = 8
_LOOKALIKES = str.maketrans("ILO", "110")


def new_token(random_bytes: RandomBytes, purpose: str) -> str:
    """A token of 256 random bits."""
    return token_of(random_bytes(32, purpose))


def token_of(secret: bytes) -> str:
    """Secret bytes as a text that fits a header."""
    return urlsafe_b64encode(secret).rstrip(b"=").decode()


def successor(token: str, salt: bytes, kind: Literal["access", "refresh"]) -> str:
    """A token derived from a secret that is kept as a hash: the same each time, and unknown without that secret."""
    return token_of(hmac.digest(token.encode(), f"mutuality/{kind}/v1".encode() + salt, "sha256"))


def token_hash(token: str) -> bytes:
    """The stored hash of a token. Its 256 bits need no salt."""
    return hashlib.sha256(token.encode()).digest()


def new_code(random_bytes: RandomBytes, purpose: str) -> str:
    """Eight digits, all equally likely but for a bias below 1 in 10^11."""
    return f"{int.from_bytes(random_bytes(8, purpose)) % 10**CODE_DIGITS:0{CODE_DIGITS}}"


def grouped(code: str) -> str:
    """A code as people read it: 1234 5678."""
    return f"{code[:4]} {code[4:]}"


def code_hash(attempt_id: UUID, code: str) -> bytes:
    """The stored hash of a sign-in code, together with the id of its attempt, which is not stored either."""
    return hashlib.sha256(attempt_id.bytes + code.encode()).digest()


def new_invite(random_bytes: RandomBytes, relationship_id: UUID) -> str:
    """Twelve Crockford base-32 characters: 60 random bits."""
    number = int.from_bytes(random_bytes(8, f"invite {relationship_id}"))
    return "".join(INVITE_ALPHABET[number >> (5 * i) & 31] for i in range(INVITE_LENGTH))


def invite_hash(code: str) -> bytes:
    """The stored hash of an invite. I and L are read as 1, O as 0; case, white space and dashes do not matter."""
    typed = without_separators(code).upper().translate(_LOOKALIKES)
    return hashlib.sha256(typed.encode("utf-8", "replace")).digest()


def new_id(random_bytes: RandomBytes, purpose: str) -> UUID:
    """A random UUID (version 4)."""
    return UUID(bytes=random_bytes(16, purpose), version=4)
