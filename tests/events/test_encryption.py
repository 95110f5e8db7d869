"""Nothing opens but with its key, in its place."""

from uuid import UUID

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from msgspec.structs import replace

from events.encryption import AssociatedData, BulkDecryptor, DecryptionFailed, RelationshipKeys, decrypt, encrypt

STREAM, EVENT, AUTHOR, OTHER = (UUID(int=i) for i in (1, 2, 3, 4))
PLACE = AssociatedData(str(STREAM), str(EVENT), str(AUTHOR), "ab" * 32)
KEY, OPENING, BODY = bytes(range(32)), bytes(32), b'{"kind":"opened"}'


def test_what_is_sealed_opens_with_its_key_in_its_place() -> None:
    assert decrypt(KEY, PLACE, encrypt(KEY, PLACE, OPENING, BODY)) == (OPENING, BODY)


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(PLACE, stream=str(OTHER)),
        replace(PLACE, id=str(OTHER)),
        replace(PLACE, by=str(OTHER)),
        replace(PLACE, by=None),
        replace(PLACE, commit="cd" * 32),
    ],
)
def test_it_opens_in_no_other_place(elsewhere: AssociatedData) -> None:
    with pytest.raises(DecryptionFailed):
        decrypt(KEY, elsewhere, encrypt(KEY, PLACE, OPENING, BODY))


def test_it_opens_with_no_other_key() -> None:
    with pytest.raises(DecryptionFailed):
        decrypt(bytes(32), PLACE, encrypt(KEY, PLACE, OPENING, BODY))


@pytest.mark.parametrize("at", [0, 11, 12, 44, -1])
def test_a_changed_bit_is_noticed(at: int) -> None:
    sealed = bytearray(encrypt(KEY, PLACE, OPENING, BODY))
    sealed[at] ^= 1
    with pytest.raises(DecryptionFailed):
        decrypt(KEY, PLACE, bytes(sealed))


@pytest.mark.parametrize("length", [0, 5, 12, 20])
def test_a_text_that_was_cut_is_noticed(length: int) -> None:
    with pytest.raises(DecryptionFailed):
        decrypt(KEY, PLACE, encrypt(KEY, PLACE, OPENING, BODY)[:length])


def test_the_same_text_never_looks_the_same() -> None:
    assert encrypt(KEY, PLACE, OPENING, BODY) != encrypt(KEY, PLACE, OPENING, BODY)


def test_the_event_key_is_derived_as_the_design_says() -> None:
    sealed = encrypt(KEY, PLACE, OPENING, BODY)
    key = HKDFExpand(SHA256(), 32, f"mutuality/event-key/v1|{STREAM}|{EVENT}".encode()).derive(KEY)
    bound = f"{STREAM}|{EVENT}|{AUTHOR}|{'ab' * 32}".encode()
    assert AESGCM(key).decrypt(sealed[:12], sealed[12:], bound) == OPENING + BODY


def test_an_erased_author_has_no_key() -> None:
    with pytest.raises(DecryptionFailed):
        RelationshipKeys(KEY, {OTHER: KEY}).of(AUTHOR)


def sealed_by(by: UUID | None, key: bytes) -> tuple[str, bytes]:
    """A header, as far as it is looked at, and a text that belongs to it."""
    place = replace(PLACE, by=str(by) if by else None)
    return msgspec.json.encode(place).decode(), encrypt(key, place, OPENING, BODY)


def test_many_open_at_once_but_for_those_whose_text_or_author_is_gone() -> None:
    sealed = [sealed_by(None, KEY), sealed_by(OTHER, bytes(32)), sealed_by(AUTHOR, KEY), sealed_by(OTHER, bytes(32))]
    headers, texts = [header for header, _ in sealed], [text for _, text in sealed]
    found = BulkDecryptor(RelationshipKeys(KEY, {OTHER: bytes(32)})).bodies(headers, [*texts[:3], None])
    assert found == [(None, BODY), (OTHER, BODY)]


def test_one_that_does_not_open_is_noticed_among_many() -> None:
    header, text = sealed_by(OTHER, KEY)
    with pytest.raises(DecryptionFailed):
        BulkDecryptor(RelationshipKeys(KEY, {OTHER: bytes(32)})).bodies([header], [text])


def test_the_index_of_what_is_altered_tells_neither_the_id_nor_whether_there_is_one() -> None:
    ring, another = RelationshipKeys(KEY, {}), RelationshipKeys(bytes(32), {})
    blinded = [
        ring.alters_index(EVENT),
        ring.alters_nothing_index(EVENT),
        another.alters_index(EVENT),
        ring.alters_index(OTHER),
    ]
    blinded += [
        ring.sealed_for_index(str(EVENT)),
        ring.sealed_for_index("day 2026-06-15"),
        another.sealed_for_index("day 2026-06-15"),
    ]
    assert EVENT not in blinded
    assert len(set(blinded)) == 7
    assert ring.alters_index(EVENT) == RelationshipKeys(KEY, {}).alters_index(EVENT)
