"""What an entry says is readable only with a key of its author: erase the key, and the words are gone everywhere.

    member key (or relationship key, for what the service itself says)
     └ event key = HKDF-Expand(member key, "mutuality/event-key/v1" | stream | id)

The sealed text is AES-256-GCM over the opening (32 bytes) and the body. The stream, the id, the author and the
commitment are bound to it: no text can be moved to another place, another author or another header.
"""

import hmac
import os
from collections.abc import Sequence
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from msgspec import Struct

KEY_BYTES = 32
NONCE_BYTES = 12
OPENING_BYTES = 32
# Unpadded, a private no was told from a yes by one byte. No JSON text ends in a zero.
TEXT_UNIT_BYTES = 128
PADDING = b"\0"


class AssociatedData(Struct, frozen=True):
    """Where a text belongs: it is decrypted nowhere else. `by` is its author, null for the service."""

    stream_id: UUID
    event_id: UUID
    by: UUID | None
    commitment: bytes


class DecryptionFailed(Exception):
    """A sealed text does not open: its key is another one, or it was changed or moved."""


def encrypt(
    keys: "RelationshipKeys", place: AssociatedData, opening: bytes, body: bytes, nonce: bytes | None = None
) -> bytes:
    """The nonce, then the ciphertext of the opening and the body, padded. Raises DecryptionFailed for who is erased."""
    # The key is the event's own, but an attempt that is rolled back may encrypt again under it: hence a random nonce.
    nonce = nonce or os.urandom(NONCE_BYTES)
    return nonce + AESGCM(_event_key(keys, place)).encrypt(
        nonce, padded(opening + body, TEXT_UNIT_BYTES), _bound(place)
    )


def decrypt(keys: "RelationshipKeys", place: AssociatedData, ciphertext: bytes) -> tuple[bytes, bytes]:
    """The opening and the body. Raises DecryptionFailed."""
    text = open_box(_event_key(keys, place), ciphertext, _bound(place))
    return text[:OPENING_BYTES], text[OPENING_BYTES:].rstrip(PADDING)


def padded(text: bytes, unit: int) -> bytes:
    """The text, filled up with zeros to a multiple of so many bytes: its length tells no more than that."""
    return text.ljust(-(-len(text) // unit) * unit, PADDING)


def open_box(key: bytes, ciphertext: bytes, bound: bytes) -> bytes:
    """What was encrypted under a key, behind its nonce, with what was bound to it. Raises DecryptionFailed."""
    try:
        return AESGCM(key).decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):  # the second where too little is left
        raise DecryptionFailed from None


class RelationshipKeys(Struct, frozen=True):
    """The keys of one relationship: its own, and those of its members who are not erased, by author id.

    `seats` are the author ids by seat, of who is erased too: rows of the log have the seat.
    """

    relationship: bytes
    authors: dict[UUID, bytes]
    seats: tuple[UUID, ...] = ()

    def author_at(self, seat: int) -> UUID | None:
        """The author id of a seat, from 1 on; null for 0, the service."""
        return self.seats[seat - 1] if seat else None

    def seat_of(self, author: UUID | None) -> int:
        """The seat of an author, from 1 on; 0 for the service."""
        return 0 if author is None else self.seats.index(author) + 1

    def derive(self, author: UUID | None, info: bytes) -> bytes:
        """A key for one purpose, from that of an author. Raises DecryptionFailed for who is erased."""
        # HKDF-Expand (RFC 5869, section 2.3) to the length of one hash is this HMAC, in a third of the library's time.
        return hmac.digest(self.of(author), info + b"\x01", "sha256")

    def of(self, author: UUID | None) -> bytes:
        """The key of an author; null is the service. Raises DecryptionFailed for who is erased."""
        if author is None:
            return self.relationship
        if author not in self.authors:
            raise DecryptionFailed
        return self.authors[author]

    def knows(self, author: UUID | None) -> bool:
        """Whether that author has a key: who is erased has none."""
        return author is None or author in self.authors

    def alters_index(self, stream_id: UUID, event_id: UUID) -> int:
        """An id as an index of a stream may hold it: equal ids stay equal there, and without the key nobody knows which
        id it was, nor that two streams name the same."""
        return self._blind(b"mutuality/alters/v1", stream_id, event_id.bytes)

    def tells_index(self, stream_id: UUID, decision_id: UUID) -> int:
        """What stands there for a telling of a decision that the other recorded."""
        return self._blind(b"mutuality/tells/v1", stream_id, decision_id.bytes)

    def closes_index(self, stream_id: UUID, opening_id: UUID) -> int:
        """What stands there for a decision that closes an opening."""
        return self._blind(b"mutuality/closes/v1", stream_id, opening_id.bytes)

    def alters_nothing_index(self, stream_id: UUID, event_id: UUID) -> int:
        """What stands in that index for an event that alters none: it looks the same, and nothing is found by it."""
        return self._blind(b"mutuality/alters-nothing/v1", stream_id, event_id.bytes)

    def sealed_for_index(self, stream_id: UUID, thing: str) -> int:
        """What stands there for a sealed check-in: by it is found what its stream has for the same thing."""
        return self._blind(b"mutuality/sealed-for/v1", stream_id, thing.encode())

    def waiting_tag(self, stream_id: UUID, thing: str, answer: str) -> int:
        """By which is found that somebody's answer for a thing waits in that stream. No text has a NUL in it."""
        return self._blind(b"mutuality/waits/v1", stream_id, f"{thing}\0{answer}".encode())

    def waiting_entry_index(self, stream_id: UUID, event_id: UUID, tag: int) -> int:
        """What stands beside a tag for the entry that waits with it: another one beside each of its tags."""
        return self._blind(b"mutuality/waits-for-entry/v1", stream_id, event_id.bytes + tag.to_bytes(8, signed=True))

    def waiting_filler(self, stream_id: UUID, event_id: UUID, number: int) -> int:
        """A tag by which nothing is found, so that all entries have equally many."""
        return self._blind(b"mutuality/waits-for-nothing/v1", stream_id, event_id.bytes + number.to_bytes(1))

    def _blind(self, tag: bytes, stream_id: UUID, what: bytes) -> int:
        # Eight bytes in place of sixteen: what is found by chance is told apart once it is decrypted.
        return int.from_bytes(hmac.digest(self.relationship, tag + stream_id.bytes + what, "sha256")[:8], signed=True)


class BulkDecryptor:
    """Decrypts many texts of one stream: what depends on a key alone is done once."""

    def __init__(self, keys: RelationshipKeys, stream_id: UUID) -> None:
        self._stream = str(stream_id)
        # This library's HMAC: to copy the standard one and to finish the copy took twice as long.
        authors = {seat: author for seat, author in enumerate((None, *keys.seats)) if keys.knows(author)}
        self._keyed = {seat: (by, str(by), HMAC(keys.of(by), SHA256())) for seat, by in authors.items()}

    def bodies(
        self,
        authors: Sequence[int],
        event_ids: Sequence[UUID],
        commitments: Sequence[bytes],
        ciphertexts: Sequence[bytes | None],
    ) -> list[tuple[UUID | None, bytes]]:
        """Authors (given as seats) and bodies, but of those whose text or key is gone. Raises DecryptionFailed."""
        found = []
        for seat, event_id, commitment, ciphertext in zip(authors, event_ids, commitments, ciphertexts, strict=True):
            if ciphertext is not None and seat in self._keyed:
                by, spelled, keyed = self._keyed[seat]
                mac, name = keyed.copy(), str(event_id)
                mac.update(f"mutuality/event-key/v1|{self._stream}|{name}\x01".encode())
                bound = f"{self._stream}|{name}|{spelled}|{commitment.hex()}".encode()
                text = open_box(mac.finalize(), ciphertext, bound)
                found.append((by, text[OPENING_BYTES:].rstrip(PADDING)))
        return found


def _event_key(keys: RelationshipKeys, place: AssociatedData) -> bytes:
    return keys.derive(place.by, f"mutuality/event-key/v1|{place.stream_id}|{place.event_id}".encode())


def _bound(place: AssociatedData) -> bytes:
    """What is authenticated beside the text."""
    return f"{place.stream_id}|{place.event_id}|{place.by}|{place.commitment.hex()}".encode()
