"""Nothing opens but with its key, in its place."""

from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from msgspec.structs import replace

from events.encryption import (
    NONCE_BYTES,
    AssociatedData,
    BulkDecryptor,
    DecryptionFailed,
    RelationshipKeys,
    decrypt,
    encrypt,
)

TAG_BYTES = 16
STREAM, EVENT, AUTHOR, OTHER = (UUID(int=i) for i in (1, 2, 3, 4))
PLACE = AssociatedData(STREAM, EVENT, AUTHOR, b"\xab" * 32)
KEY, OPENING, BODY = bytes(range(32)), bytes(32), b'{"kind":"opened"}'
KEYS = RelationshipKeys(KEY, {AUTHOR: KEY, OTHER: KEY})


def test_what_is_sealed_opens_with_its_key_in_its_place() -> None:
    assert decrypt(KEYS, PLACE, encrypt(KEYS, PLACE, OPENING, BODY)) == (OPENING, BODY)


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(PLACE, stream_id=OTHER),
        replace(PLACE, event_id=OTHER),
        replace(PLACE, by=OTHER),
        replace(PLACE, by=None),
        replace(PLACE, commitment=b"\xcd" * 32),
    ],
)
def test_it_opens_in_no_other_place(elsewhere: AssociatedData) -> None:
    with pytest.raises(DecryptionFailed):
        decrypt(KEYS, elsewhere, encrypt(KEYS, PLACE, OPENING, BODY))


def test_it_opens_with_no_other_key() -> None:
    with pytest.raises(DecryptionFailed):
        decrypt(RelationshipKeys(bytes(32), {AUTHOR: bytes(32)}), PLACE, encrypt(KEYS, PLACE, OPENING, BODY))


@pytest.mark.parametrize("at", [0, 11, 12, 44, -1])
def test_a_changed_bit_is_noticed(at: int) -> None:
    sealed = bytearray(encrypt(KEYS, PLACE, OPENING, BODY))
    sealed[at] ^= 1
    with pytest.raises(DecryptionFailed):
        decrypt(KEYS, PLACE, bytes(sealed))


@pytest.mark.parametrize("length", [0, 5, 12, 20])
def test_a_text_that_was_cut_is_noticed(length: int) -> None:
    with pytest.raises(DecryptionFailed):
        decrypt(KEYS, PLACE, encrypt(KEYS, PLACE, OPENING, BODY)[:length])


def test_the_same_text_never_looks_the_same() -> None:
    assert encrypt(KEYS, PLACE, OPENING, BODY) != encrypt(KEYS, PLACE, OPENING, BODY)


def test_the_event_key_is_derived_as_the_design_says() -> None:
    sealed = encrypt(KEYS, PLACE, OPENING, BODY)
    key = HKDFExpand(SHA256(), 32, f"mutuality/event-key/v1|{STREAM}|{EVENT}".encode()).derive(KEY)
    bound = f"{STREAM}|{EVENT}|{AUTHOR}|{'ab' * 32}".encode()
    assert AESGCM(key).decrypt(sealed[:12], sealed[12:], bound) == (OPENING + BODY).ljust(128, b"\0")


@pytest.mark.parametrize(("length", "units"), [(1, 1), (96, 1), (97, 2), (224, 2), (225, 3)])
def test_a_length_is_rounded_up(length: int, units: int) -> None:
    body = b"x" * length
    ciphertext = encrypt(KEYS, PLACE, OPENING, body)
    assert len(ciphertext) == NONCE_BYTES + 128 * units + TAG_BYTES
    assert decrypt(KEYS, PLACE, ciphertext) == (OPENING, body)


def test_an_erased_author_has_no_key() -> None:
    with pytest.raises(DecryptionFailed):
        RelationshipKeys(KEY, {OTHER: KEY}).of(AUTHOR)


def text_by(by: UUID | None, key: bytes) -> bytes:
    """The ciphertext of an event of that author."""
    return encrypt(RelationshipKeys(key, {by: key} if by else {}), replace(PLACE, by=by), OPENING, BODY)


def bulk(authors: list[int], ciphertexts: list[bytes | None]) -> list[tuple[UUID | None, bytes]]:
    """What is found where the second seat has a key, and the first was erased."""
    keys = RelationshipKeys(KEY, {OTHER: bytes(32)}, (AUTHOR, OTHER))
    commitments = [PLACE.commitment] * len(authors)
    return BulkDecryptor(keys, STREAM).bodies(authors, [EVENT] * len(authors), commitments, ciphertexts)


def test_many_open_at_once_but_for_those_whose_text_or_author_is_gone() -> None:
    texts = [text_by(None, KEY), text_by(OTHER, bytes(32)), text_by(AUTHOR, KEY), None]
    assert bulk([0, 2, 1, 2], texts) == [(None, BODY), (OTHER, BODY)]


def test_one_that_does_not_open_is_noticed_among_many() -> None:
    with pytest.raises(DecryptionFailed):
        bulk([2], [text_by(OTHER, KEY)])


def test_an_author_is_named_by_seat() -> None:
    keys = RelationshipKeys(KEY, {}, (AUTHOR, OTHER))
    assert [keys.author_at(seat) for seat in range(3)] == [None, AUTHOR, OTHER]
    assert [keys.seat_of(author) for author in (None, AUTHOR, OTHER)] == [0, 1, 2]


def test_the_index_of_what_is_altered_tells_neither_the_id_nor_whether_there_is_one() -> None:
    keys, another = RelationshipKeys(KEY, {}), RelationshipKeys(bytes(32), {})
    blinded = [keys.alters_index(STREAM, EVENT), keys.alters_nothing_index(STREAM, EVENT)]
    blinded += [another.alters_index(STREAM, EVENT), keys.alters_index(STREAM, OTHER)]
    blinded += [keys.sealed_for_index(STREAM, thing) for thing in (str(EVENT), "day 2026-06-15")]
    blinded += [another.sealed_for_index(STREAM, "day 2026-06-15")]
    assert EVENT not in blinded
    assert len(set(blinded)) == 7
    assert keys.alters_index(STREAM, EVENT) == RelationshipKeys(KEY, {}).alters_index(STREAM, EVENT)


def test_two_streams_do_not_show_that_they_name_the_same() -> None:
    keys = RelationshipKeys(KEY, {})
    assert keys.alters_index(STREAM, EVENT) != keys.alters_index(OTHER, EVENT)
    assert keys.sealed_for_index(STREAM, "day 2026-06-15") != keys.sealed_for_index(OTHER, "day 2026-06-15")
