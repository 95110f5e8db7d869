"""Pages: what is added to one can be read from it again, by its author's key alone, and its length tells little."""

from collections import Counter
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from events.encryption import DecryptionFailed, RelationshipKeys
from events.entries import WHO
from events.records import StreamKey
from projections import pages
from projections.pages import Page, PageKey
from projections.tallies import Key, told
from tests.support.given import any_entry

ME, PARTNER = UUID(int=1), UUID(int=2)
STREAM, OTHER = StreamKey(UUID(int=10), 0, UUID(int=11)), StreamKey(UUID(int=10), 1, UUID(int=12))
KEYS = RelationshipKeys(bytes(32), {ME: bytes(range(32)), PARTNER: bytes(range(1, 33))}, (ME, PARTNER))
JUNE = PageKey(STREAM, ME, 2026 * 12 + 5)
NONCE = bytes(12)

measures = st.sampled_from(pages.MEASURES)
spelled = measures.flatmap(
    lambda measure: st.builds(
        Key,
        stream=st.just(STREAM),
        day=st.dates(date(2026, 6, 1), date(2026, 6, 30)),
        author=st.just(ME),
        domain=st.sampled_from(pages.DOMAINS),
        measure=st.just(measure),
        value=st.sampled_from(pages.VALUES[measure]),
    )
)


def page(counts: dict[Key, int]) -> Page:
    """The page that counts these."""
    found: Page = {}
    for key, count in counts.items():
        pages.add(found, key, count)
    return found


@for_any(st.lists(st.tuples(spelled, st.integers(1, 600)), max_size=60))
def test_what_is_added_can_be_read_again_in_whatever_order_it_came(added: list[tuple[Key, int]]) -> None:
    counts: Counter[Key] = Counter()
    found: Page = {}
    for key, count in added:
        counts[key] += count
        pages.add(found, key, count)
    assert pages.counted(JUNE, found) == counts
    assert pages.counted(JUNE, pages.decrypt(KEYS, JUNE, pages.encrypt(KEYS, JUNE, found, NONCE))) == counts


@for_any(st.dictionaries(spelled, st.integers(1, 600), max_size=30))
def test_what_is_undone_leaves_nothing(counts: dict[Key, int]) -> None:
    found = page(counts)
    for key, count in counts.items():
        pages.add(found, key, -count)
    assert found == {}


def test_the_same_again_takes_no_more_room() -> None:
    key = Key(STREAM, date(2026, 6, 15), ME, "money", "decides", "me")
    assert len(page({key: 1})[pages.MEASURE_NUMBERS["decides"]]) == pages.CELL_BYTES
    assert len(page({key: 255})[pages.MEASURE_NUMBERS["decides"]]) == pages.CELL_BYTES
    assert len(page({key: 256})[pages.MEASURE_NUMBERS["decides"]]) == 2 * pages.CELL_BYTES


@for_any(any_entry)
def test_every_measure_that_an_entry_counts_has_its_number(entry: Any) -> None:
    for measure, value in told(entry):
        assert value in pages.VALUES[measure]


@for_any(st.dates(date(1, 1, 1), date(9999, 12, 31)))
def test_a_month_is_numbered_and_found_again(day: date) -> None:
    assert pages.first_of(pages.month_of(day)) == day.replace(day=1)


@pytest.mark.parametrize(
    "elsewhere", [JUNE._replace(stream=OTHER), JUNE._replace(author=PARTNER), JUNE._replace(month=JUNE.month + 1)]
)
def test_a_page_opens_in_no_other_place(elsewhere: PageKey) -> None:
    ciphertext = pages.encrypt(KEYS, JUNE, {}, NONCE)
    with pytest.raises(DecryptionFailed):
        pages.decrypt(KEYS, elsewhere, ciphertext)


def test_a_page_of_who_is_erased_does_not_open() -> None:
    ciphertext = pages.encrypt(KEYS, JUNE, {}, NONCE)
    with pytest.raises(DecryptionFailed):
        pages.decrypt(RelationshipKeys(KEYS.relationship, {PARTNER: bytes(32)}, KEYS.seats), JUNE, ciphertext)


def test_what_an_intimate_answer_was_changes_no_length() -> None:
    day = date(2026, 6, 15)
    answers = [Key(STREAM, day, ME, "intimacy", "felt:free_to_say_no", answer) for answer in pages.ANSWERS]
    who = [Key(STREAM, day, ME, "intimacy", "decides", value) for value in WHO]
    assert len({len(pages.encrypt(KEYS, JUNE, page({key: 1}), NONCE)) for key in [*answers, *who]}) == 1


def test_numbers_of_measures_and_domains_never_change() -> None:
    assert pages.MEASURES[:8] == (
        "asks",
        "initiates",
        "agreed",
        "decides",
        "decides:small",
        "decides:big",
        "roles",
        "roles:small",
    )
    assert (pages.MEASURES.index("input:me"), pages.MEASURES.index("felt:valued")) == (9, 21)
    assert len(pages.MEASURES) == 30
    assert pages.DOMAINS[:3] == ("home", "money", "time")
