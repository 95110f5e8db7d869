"""Secrets: their shape, that only chance makes them, and that what is kept of them gives nothing away."""

import hashlib
import re
from uuid import UUID

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from service.core.randomness import RandomBytes, system_random_bytes
from service.core.tokens import (
    INVITE_ALPHABET,
    code_hash,
    invite_hash,
    new_code,
    new_id,
    new_invite,
    new_token,
    successor,
    token_hash,
)

ID, OTHER_ID = UUID(int=1), UUID(int=2)
SALT = bytes(range(16))


def drawn(number: int) -> RandomBytes:
    """Chance that comes up with that number."""
    return lambda size, purpose, /, *of: number.to_bytes(size)


CHANCE = system_random_bytes


# Tokens


def test_a_token_is_256_bits_in_characters_that_fit_a_header() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", new_token(CHANCE, "access"))
    assert new_token(drawn(2**256 - 1), "access") == "_" * 42 + "8"


def test_every_bit_of_chance_shows_in_a_token() -> None:
    tokens = {new_token(drawn(1 << bit), "access") for bit in range(256)}
    assert len(tokens) == 256


def test_chance_is_told_how_much_and_what_for() -> None:
    asked: list[tuple[int, str]] = []

    def zeros(size: int, purpose: str, /, *of: object) -> bytes:
        asked.append((size, purpose))
        return bytes(size)

    made = [new_token(zeros, "access 7"), new_code(zeros, "code 7"), new_invite(zeros, ID), new_id(zeros, "event id")]
    sizes, purposes = zip(*asked, strict=True)
    assert sizes == (32, 8, 8, 16)
    assert len(set(purposes)) == len(made)


def test_a_successor_is_the_same_whenever_it_is_asked_for() -> None:
    assert successor("a token", SALT, "access") == successor("a token", SALT, "access")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", successor("a token", SALT, "access"))


def test_a_successor_depends_on_token_salt_and_kind() -> None:
    others = [
        successor("a token", SALT, "refresh"),
        successor("b token", SALT, "access"),
        successor("a token", bytes(16), "access"),
    ]
    assert len({successor("a token", SALT, "access"), *others}) == 4


def test_a_successor_does_not_follow_from_what_is_kept() -> None:
    kept = token_hash("a token")
    guesses = [successor(kept.hex(), SALT, "access"), successor(kept.decode("latin-1"), SALT, "access")]
    assert successor("a token", SALT, "access") not in guesses


def test_only_the_hash_of_a_token_is_kept() -> None:
    assert token_hash("a token") == hashlib.sha256(b"a token").digest()


@for_any(st.text(st.characters(exclude_categories=["Cs"])))
def test_whatever_is_sent_as_a_token_can_be_looked_up(sent: str) -> None:
    assert len(token_hash(sent)) == 32


# Codes


@pytest.mark.parametrize(
    ("number", "code"),
    [(0, "00000000"), (42, "00000042"), (10**8 - 1, "99999999"), (10**8, "00000000"), (2**64 - 1, "09551615")],
)
def test_a_code_has_eight_digits(number: int, code: str) -> None:
    assert new_code(drawn(number), "a code") == code


def test_codes_are_drawn_evenly_enough() -> None:
    codes = [int(new_code(CHANCE, "a code")) for _ in range(5000)]
    assert len(set(codes)) > 4900
    by_tenth = [sum(code // 10**7 == tenth for code in codes) for tenth in range(10)]
    assert min(by_tenth) > 380  # 500 each, less more than five standard deviations
    assert max(by_tenth) < 620


def test_two_codes_of_the_same_digits_are_kept_differently() -> None:
    assert code_hash(ID, "123456") == code_hash(ID, "123456")
    assert len({code_hash(ID, "123456"), code_hash(OTHER_ID, "123456"), code_hash(ID, "123457")}) == 3


# Invites


def test_an_invite_is_twelve_crockford_characters() -> None:
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{12}", new_invite(CHANCE, ID))
    assert len(set(INVITE_ALPHABET)) == 32
    assert not set("ILOU") & set(INVITE_ALPHABET)


def test_an_invite_holds_60_bits() -> None:
    assert len({new_invite(drawn(1 << bit), ID) for bit in range(60)}) == 60
    assert new_invite(drawn(2**64 - 1), ID) == "ZZZZZZZZZZZZ"
    assert new_invite(drawn(0), ID) == "000000000000"


@pytest.mark.parametrize(
    "typed", ["01AB-CDEF-GH10", "01ab cdef gh10", "oiabcdefghlo", "OIABCDEFGHLO", " 0-1-A-B-C-D-E-F-G-H-1-0 "]
)
def test_an_invite_may_be_typed_as_people_type(typed: str) -> None:
    assert invite_hash(typed) == invite_hash("01ABCDEFGH10")


@pytest.mark.parametrize(
    "typed", ["", "01ABCDEFGH1", "01ABCDEFGH100", "01ABCDEFGH1U", "01ABCDEFGH1\ud800", "10ABCDEFGH10"]
)
def test_anything_else_is_another_code(typed: str) -> None:
    assert invite_hash(typed) != invite_hash("01ABCDEFGH10")


@for_any(st.text(INVITE_ALPHABET, min_size=12, max_size=12), st.text(INVITE_ALPHABET, min_size=12, max_size=12))
def test_two_codes_are_kept_alike_only_if_they_are_one(one: str, two: str) -> None:
    assert (invite_hash(one) == invite_hash(two)) == (one == two)


# Ids


def test_an_id_is_a_random_uuid() -> None:
    made = {new_id(CHANCE, "event id") for _ in range(100)}
    assert len(made) == 100
    assert {(one.version, one.variant) for one in made} == {(4, "specified in RFC 4122")}
