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

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from msgspec import Struct

KEY_BYTES = 32
NONCE_BYTES = 12
OPENING_BYTES = 32


class AssociatedData(Struct, frozen=True):
    """Where a text belongs, as its header spells it: it opens nowhere else. `commit` is in hex."""

    stream: str
    id: str
    by: str | None
    commit: str


_place_decoder = msgspec.json.Decoder(AssociatedData)
_places_decoder = msgspec.json.Decoder(list[AssociatedData])


def associated_data_of(header: str | bytes) -> AssociatedData:
    """The place that a header names."""
    return _place_decoder.decode(header)


class DecryptionFailed(Exception):
    """A sealed text does not open: its key is another one, or it was changed or moved."""


def encrypt(key: bytes, place: AssociatedData, opening: bytes, body: bytes, nonce: bytes | None = None) -> bytes:
    """The sealed text: a nonce, then the ciphertext. `key` is the author's."""
    # The key is the event's own, but an attempt that is rolled back may seal again under it: hence a random nonce.
    nonce = nonce or os.urandom(NONCE_BYTES)
    return nonce + AESGCM(_event_key(key, place)).encrypt(nonce, opening + body, _bound(place))


def decrypt(key: bytes, place: AssociatedData, sealed: bytes) -> tuple[bytes, bytes]:
    """The opening and the body. Raises DecryptionFailed."""
    text = _decrypted(_event_key(key, place), place, sealed)
    return text[:OPENING_BYTES], text[OPENING_BYTES:]


def _decrypted(event_key: bytes, place: AssociatedData, sealed: bytes) -> bytes:
    try:
        return AESGCM(event_key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(place))
    except (InvalidTag, ValueError):  # the second where too little is left
        raise DecryptionFailed from None


class RelationshipKeys(Struct, frozen=True):
    """The keys of one relationship: its own, and those of its members who are not erased, by author id."""

    relationship: bytes
    authors: dict[UUID, bytes]

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

    def alters_index(self, event_id: UUID) -> UUID:
        """An id as an index may hold it: equal ids stay equal, and without the key nobody knows which id it was."""
        return self._blind(b"mutuality/alters/v1", event_id.bytes)

    def alters_nothing_index(self, event_id: UUID) -> UUID:
        """What stands in that index for an event that alters none: it looks the same, and nothing is found by it."""
        return self._blind(b"mutuality/alters-nothing/v1", event_id.bytes)

    def sealed_for_index(self, thing: str) -> UUID:
        """What stands there for a sealed check-in: all that is sealed for the same thing is found by it."""
        return self._blind(b"mutuality/sealed-for/v1", thing.encode())

    def _blind(self, tag: bytes, what: bytes) -> UUID:
        return UUID(bytes=hmac.digest(self.relationship, tag + what, "sha256")[:16])


class BulkDecryptor:
    """Opens many texts of one relationship: what depends on a key alone is done once."""

    def __init__(self, keys: RelationshipKeys) -> None:
        # This library's HMAC: to copy the standard one and to finish the copy took twice as long.
        self._keyed: dict[str | None, tuple[UUID | None, HMAC]] = {None: (None, HMAC(keys.relationship, SHA256()))}
        self._keyed |= {str(author): (author, HMAC(key, SHA256())) for author, key in keys.authors.items()}

    def bodies(self, headers: Sequence[str], texts: Sequence[bytes | None]) -> list[tuple[UUID | None, bytes]]:
        """Authors and bodies for headers and their sealed texts, but for those whose text or key is gone.

        Raises DecryptionFailed.
        """
        found = []
        places = _places_decoder.decode(f"[{','.join(headers)}]")  # in two thirds of the time of one by one
        for place, text in zip(places, texts, strict=True):
            if text is not None and place.by in self._keyed:
                by, keyed = self._keyed[place.by]
                mac = keyed.copy()
                mac.update(_info(place))
                found.append((by, _decrypted(mac.finalize(), place, text)[OPENING_BYTES:]))
        return found


def _event_key(key: bytes, place: AssociatedData) -> bytes:
    # HKDF-Expand (RFC 5869, section 2.3) to the length of one hash is this HMAC, in a third of the library's time.
    return hmac.digest(key, _info(place), "sha256")


def _info(place: AssociatedData) -> bytes:
    return f"mutuality/event-key/v1|{place.stream}|{place.id}\x01".encode()


def _bound(place: AssociatedData) -> bytes:
    """What is authenticated beside the text."""
    return f"{place.stream}|{place.id}|{place.by}|{place.commit}".encode()
