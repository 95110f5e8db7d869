"""Tokens, codes and invites: only their hashes are stored, and a refresh token's successors derive from it."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from typing import Literal
from uuid import UUID

from service.core.randomness import RandomBytes

INVITE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
INVITE_LENGTH = 12
_LOOKALIKES = str.maketrans("ILO", "110", "- ")


def new_token(random_bytes: RandomBytes, purpose: str) -> str:
    """A token of 256 random bits."""
    return _text(random_bytes(32, purpose))


def successor(token: str, salt: bytes, kind: Literal["access", "refresh"]) -> str:
    """A token derived from a refresh token: the same each time, and unknown without that token."""
    return _text(hmac.digest(token.encode(), f"mutuality/{kind}/v1".encode() + salt, "sha256"))


def token_hash(token: str) -> bytes:
    """The stored hash of a token. Its 256 bits need no salt."""
    return hashlib.sha256(token.encode()).digest()


def new_code(random_bytes: RandomBytes, code_id: UUID) -> str:
    """Six digits, all equally likely but for a bias below 1 in 10^13."""
    return f"{int.from_bytes(random_bytes(8, f'sign-in code {code_id}')) % 1_000_000:06}"


def code_hash(code_id: UUID, code: str) -> bytes:
    """The stored hash of a sign-in code, salted by its id."""
    return hashlib.sha256(code_id.bytes + code.encode()).digest()


def new_invite(random_bytes: RandomBytes, relationship_id: UUID) -> str:
    """Twelve Crockford base-32 characters: 60 random bits."""
    number = int.from_bytes(random_bytes(8, f"invite {relationship_id}"))
    return "".join(INVITE_ALPHABET[number >> (5 * i) & 31] for i in range(INVITE_LENGTH))


def invite_hash(code: str) -> bytes:
    """The stored hash of an invite. I and L are read as 1, O as 0; case, spaces and hyphens do not matter."""
    return hashlib.sha256(code.upper().translate(_LOOKALIKES).encode("utf-8", "replace")).digest()


def new_id(random_bytes: RandomBytes, purpose: str) -> UUID:
    """A random UUID (version 4)."""
    return UUID(bytes=random_bytes(16, purpose), version=4)


def _text(secret: bytes) -> str:
    return urlsafe_b64encode(secret).rstrip(b"=").decode()
