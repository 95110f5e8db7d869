"""What each event adds to the daily counts of its author: the table of the contract, row by row."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st
from msgspec.structs import replace

from events.entries import FELT_ITEMS, WHO, Audience, CheckIn, Domain, Ended, Entry, Erased, Fact, Opened
from events.records import StreamKey
from events.reveals import copy_ids
from events.rules import Recorded
from projections.tallies import Key, told, turned
from projections.tallies import recorded as recording
from tests.support.given import (
    PARTNER,
    answer,
    any_entry,
    ask,
    check_in,
    given,
    mine,
    partners,
    recorded,
    retract,
    settle,
)

ID, OTHER_ID, THIRD_ID = (UUID(f"3f0c5a52-8f0e-4a83-9c58-1de3d9f9a00{i}") for i in (1, 2, 3))
SHARED, PRIVATE = StreamKey(UUID(int=10), 0, UUID(int=11)), StreamKey(UUID(int=10), 1, UUID(int=12))
NAMES = {SHARED: "shared", PRIVATE: "private"}


def counts(event: Recorded, *known: Recorded) -> Counter[Key]:
    """What recording an event of mine adds, where I can read these."""
    stream = SHARED if event.audience == "shared" else PRIVATE
    found = recording(stream, PRIVATE, event, given(*known).known)
    assert len(dict(found)) == len(found), "a key stands there once"
    return Counter(dict(found))


def added(event: Recorded, *known: Recorded) -> Counter[tuple[str, str]]:
    """The same, by measure and value."""
    return Counter({(key.measure, key.value): count for key, count in counts(event, *known).items()})


def by_stream(event: Recorded, *known: Recorded) -> set[tuple[str, str, str, int]]:
    """The same, by stream, measure and value."""
    found = counts(event, *known)
    return {(NAMES[key.stream], key.measure, key.value, count) for key, count in found.items()}


def once(*told: tuple[str, str]) -> Counter[tuple[str, str]]:
    return Counter(told)


# Row by row: requests


def test_a_request_counts_that_its_author_asks_and_nothing_in_any_telling() -> None:
    assert added(mine(ID, ask())) == once(("asks", "me"))


def test_a_counter_offer_counts_nothing() -> None:
    assert added(mine(ID, ask(in_reply_to=OTHER_ID)), partners(OTHER_ID, ask())) == Counter()


@pytest.mark.parametrize("outcome", ["yes", "not_now", "no"])
@pytest.mark.parametrize("audience", ["shared", "private"])
def test_an_answer_to_a_request_counts_nothing_ever(outcome: str, audience: Audience) -> None:
    assert added(mine(ID, answer(OTHER_ID, outcome, note="x"), audience), partners(OTHER_ID, ask())) == Counter()


# Decisions for both


@pytest.mark.parametrize("who", WHO)
def test_a_decision_for_both_counts_who_decided(who: str) -> None:
    assert added(mine(ID, settle(decided_by=who))) == once(("decides", who))


@pytest.mark.parametrize(("raised", "decided"), [*product(WHO, WHO)])
def test_and_who_raised_it_and_both_together_where_given(raised: str, decided: str) -> None:
    assert added(mine(ID, settle(raised_by=raised, decided_by=decided))) == once(
        ("initiates", raised), ("decides", decided), ("roles", f"{raised}/{decided}")
    )


@pytest.mark.parametrize("decided", ["partner", "both", "neither"])
@pytest.mark.parametrize("my_input", ["not_asked", "asked", "partly", "counted"])
def test_and_how_my_input_counted_by_who_decided(decided: str, my_input: str) -> None:
    assert added(mine(ID, settle(decided_by=decided, my_input=my_input))) == once(
        ("decides", decided), (f"input:{decided}", my_input)
    )


def test_but_not_where_i_decided_myself() -> None:
    assert added(mine(ID, settle(decided_by="me", my_input="counted"))) == once(("decides", "me"))


@pytest.mark.parametrize("who", WHO)
def test_and_that_it_was_agreed_who_decides(who: str) -> None:
    assert added(mine(ID, settle(decided_by=who, as_agreed=True))) == once(("decides", who), ("agreed", who))
    assert added(mine(ID, settle(decided_by=who, as_agreed=False))) == once(("decides", who))


@pytest.mark.parametrize("size", ["small", "big"])
def test_the_size_of_a_decision_stands_in_what_it_narrows(size: str) -> None:
    whole = settle(raised_by="me", decided_by="partner", my_input="asked", as_agreed=True, size=size)
    assert added(mine(ID, whole)) == once(
        ("initiates", "me"),
        (f"decides:{size}", "partner"),
        (f"roles:{size}", "me/partner"),
        (f"input:partner:{size}", "asked"),
        ("agreed", "partner"),
    )


def test_a_second_telling_counts_as_a_first_one_does() -> None:
    whole: dict[str, Any] = {"decided_by": "both", "raised_by": "neither", "my_input": "asked", "size": "big"}
    told_too = mine(ID, settle(about=OTHER_ID, **whole))
    assert counts(told_too, partners(OTHER_ID, settle())) == counts(mine(ID, settle(**whole)))


# Check-ins

SAID: dict[str, Any] = {"initiated_by": "both", "decided_by": "partner", "felt": {"fair": 2, "free_to_say_no": 7}}
WHO_SAID = once(("initiates", "both"), ("decides", "partner"), ("roles", "both/partner"))
FELT_SAID = once(("felt:fair", "2"), ("felt:free_to_say_no", "7"))


def test_a_check_in_counts_what_it_says() -> None:
    assert added(mine(ID, check_in(**SAID))) == WHO_SAID + FELT_SAID
    assert added(mine(ID, check_in(initiated_by="me"))) == once(("initiates", "me"))
    assert added(mine(ID, check_in(decided_by="me"))) == once(("decides", "me"))


@pytest.mark.parametrize(
    "target",
    [
        partners(OTHER_ID, ask()),
        partners(OTHER_ID, ask(in_reply_to=THIRD_ID)),
        partners(OTHER_ID, settle()),
        partners(OTHER_ID, settle(about=THIRD_ID)),
        mine(OTHER_ID, check_in()),
        mine(OTHER_ID, check_in(), "private"),
        mine(OTHER_ID, ask()),
        mine(OTHER_ID, answer(THIRD_ID, "no"), "private"),
    ],
)
@pytest.mark.parametrize("audience", ["shared", "private"])
def test_about_a_request_a_decision_or_an_own_entry_it_counts_only_how_that_felt(
    target: Recorded, audience: Audience
) -> None:
    if audience == "private" or target.audience == "shared":
        assert added(mine(ID, check_in(about=OTHER_ID, **SAID), audience), target) == FELT_SAID


@pytest.mark.parametrize(
    "target",
    [
        partners(OTHER_ID, check_in()),
        partners(OTHER_ID, answer(THIRD_ID, "yes")),
        partners(OTHER_ID, retract(THIRD_ID)),
        recorded(None, OTHER_ID, Opened()),
        partners(OTHER_ID, Erased()),
    ],
)
def test_about_anything_else_it_counts_all(target: Recorded) -> None:
    assert added(mine(ID, check_in(about=OTHER_ID, **SAID)), target) == WHO_SAID + FELT_SAID


def test_where_the_id_names_two_it_is_about_the_shared_one() -> None:
    two = partners(OTHER_ID, check_in()), mine(OTHER_ID, check_in(), "private")
    assert added(mine(ID, check_in(about=OTHER_ID, **SAID), "private"), *two) == WHO_SAID + FELT_SAID


@pytest.mark.parametrize("said", [{"note": "x"}, {"words": {"a": "b"}}, {"note": "x", "felt": {}}])
def test_words_count_nothing(said: dict[str, Any]) -> None:
    assert added(mine(ID, check_in(**said))) == Counter()


@pytest.mark.parametrize("fact", [Opened(), Ended()])
def test_what_the_service_says_counts_nothing(fact: Fact) -> None:
    assert counts(recorded(None, ID, fact)) == Counter()


# Where it counts


@pytest.mark.parametrize("make", [check_in, ask, settle])
def test_counts_on_the_calendar_date_where_it_happened(make: Any) -> None:
    at = datetime(2026, 6, 15, 0, 30, tzinfo=timezone(timedelta(hours=13)))
    fact = make(occurred_at=at, decided_by="me") if make is not ask else ask(occurred_at=at)
    assert {key.day for key in counts(mine(ID, fact))} == {date(2026, 6, 15)}


def test_or_on_the_day_that_it_names() -> None:
    named = check_in(occurred_at=datetime(2026, 6, 15, 0, 30, tzinfo=UTC), day=date(2026, 6, 14), **SAID)
    assert {key.day for key in counts(mine(ID, named))} == {date(2026, 6, 14)}


@pytest.mark.parametrize(("given", "kept"), [(None, "other"), ("money", "money"), ("other", "other")])
@pytest.mark.parametrize("audience", ["shared", "private"])
def test_counts_in_its_domain_and_stream(given: Domain | None, kept: str, audience: Audience) -> None:
    found = counts(mine(ID, check_in(domain=given, initiated_by="me"), audience))
    assert [(key.domain, NAMES[key.stream]) for key in found] == [(kept, audience)]


def test_the_partners_events_count_for_them_and_relative_to_them() -> None:
    found = counts(partners(ID, settle(raised_by="partner")))
    assert {(key.author, key.measure, key.value) for key in found} == {
        (PARTNER, "decides", "me"),
        (PARTNER, "initiates", "partner"),
        (PARTNER, "roles", "partner/me"),
    }


@for_any(any_entry)
def test_all_that_counts_is_of_a_small_vocabulary(entry: Entry) -> None:
    assert {*told(entry)} <= VOCABULARY


SIZES = ("", ":small", ":big")
VOCABULARY = {
    ("asks", "me"),
    *product(("initiates", "agreed"), WHO),
    *product((f"decides{size}" for size in SIZES), WHO),
    *product((f"roles{size}" for size in SIZES), (f"{one}/{other}" for one in WHO for other in WHO)),
    *product(
        (f"input:{who}{size}" for who in ("partner", "both", "neither") for size in SIZES),
        ("not_asked", "asked", "partly", "counted"),
    ),
    *product((f"felt:{item}" for item in FELT_ITEMS), "1234567"),
}


def test_whose_pairs_a_byte_can_number() -> None:
    assert len(VOCABULARY) == 168


# Retractions


@for_any(any_entry, st.integers(0, 4000), st.sampled_from(["shared", "private"]))
def test_a_retraction_takes_away_exactly_what_was_added_and_on_its_day(
    entry: Entry, days_later: int, audience: Audience
) -> None:
    about = partners(OTHER_ID, check_in())
    target = mine(ID, replace(entry, about=OTHER_ID) if isinstance(entry, CheckIn) else entry, audience)
    when = datetime(2026, 6, 15, tzinfo=UTC) + timedelta(days=days_later)
    taken_back = mine(THIRD_ID, retract(ID, occurred_at=when), audience)
    total = counts(target, about)
    total.update(counts(taken_back, about, target) if not isinstance(entry, type(taken_back.fact)) else Counter())
    assert all(count == 0 for count in total.values())


def test_of_two_with_one_id_that_of_its_own_stream_is_taken_back() -> None:
    two = mine(ID, check_in(initiated_by="me")), mine(ID, check_in(initiated_by="both"), "private")
    assert by_stream(mine(THIRD_ID, retract(ID)), *two) == {("shared", "initiates", "me", -1)}


def test_a_retraction_of_an_answer_takes_nothing_away() -> None:
    assert counts(mine(THIRD_ID, retract(ID)), mine(ID, answer(OTHER_ID, "no"))) == Counter()


def test_a_check_in_that_counted_only_what_was_felt_loses_only_that() -> None:
    known = partners(OTHER_ID, ask()), mine(ID, check_in(about=OTHER_ID, **SAID))
    assert counts(mine(THIRD_ID, retract(ID)), *known) == Counter(dict.fromkeys(counts(known[1], known[0]), -1))


# Sharing later


@pytest.mark.parametrize(
    ("kept", "counted"),
    [
        (check_in(initiated_by="me"), ("initiates", "me")),
        (check_in(about=OTHER_ID, initiated_by="me", felt={"fair": 3}), ("felt:fair", "3")),
        (settle(decided_by="both"), ("decides", "both")),
    ],
)
def test_what_is_shared_later_counts_in_the_shared_stream_alone(kept: Any, counted: tuple[str, str]) -> None:
    asked, private, shared = partners(OTHER_ID, ask()), mine(ID, kept, "private"), mine(ID, kept)
    moved = {("private", *counted, -1), ("shared", *counted, 1)}
    assert by_stream(shared, asked, private) == moved
    assert by_stream(private, asked, shared) == set()  # also where the private one comes second
    back = mine(THIRD_ID, retract(ID))
    assert by_stream(back, asked, private, shared) == {("shared", *counted, -1)}


def test_a_sealed_one_that_is_shared_later_moves_too() -> None:
    sealed = replace(mine(ID, check_in(**SAID), "private"), fact=check_in(audience="sealed", sealed_for="day", **SAID))
    found = by_stream(mine(ID, check_in(**SAID)), sealed)
    assert {one[0] for one in found if one[3] == -1} == {"private"}
    assert len(found) == 2 * len(WHO_SAID + FELT_SAID)


def test_what_was_taken_back_before_has_nothing_left_to_move() -> None:
    gone = mine(ID, check_in(initiated_by="me"), "private"), mine(THIRD_ID, retract(ID), "private")
    assert by_stream(mine(ID, check_in(initiated_by="me")), *gone) == {("shared", "initiates", "me", 1)}


def test_a_quiet_no_that_is_shared_later_counts_nothing_as_ever() -> None:
    asked, no = partners(OTHER_ID, ask()), answer(OTHER_ID, "no")
    assert by_stream(mine(ID, no), asked, mine(ID, no, "private")) == set()


@pytest.mark.parametrize("another", [check_in(initiated_by="both"), settle(), ask()])
def test_another_entry_under_the_same_id_moves_nothing(another: Entry) -> None:
    private = mine(ID, check_in(initiated_by="me"), "private")
    assert {one[0] for one in by_stream(mine(ID, another), private)} == {"shared"}
    assert by_stream(private, mine(ID, another)) == {("private", "initiates", "me", 1)}
    assert by_stream(private, partners(ID, check_in(initiated_by="me"))) == {("private", "initiates", "me", 1)}


@pytest.mark.parametrize("copy_id", copy_ids(PRIVATE.stream_id, ID))
def test_what_takes_back_an_original_in_private_counts_nothing_once_it_was_revealed(copy_id: UUID) -> None:
    sealed = replace(mine(ID, check_in(**SAID), "private"), fact=check_in(audience="sealed", sealed_for="day", **SAID))
    back = mine(THIRD_ID, retract(ID), "private")
    assert set(counts(back, sealed).values()) == {-1}
    assert counts(back, sealed, replace(sealed, audience="shared", event_id=copy_id)) == Counter()


# Seen from the reader


def test_only_who_did_something_depends_on_who_looks() -> None:
    for measure in ("initiates", "decides", "decides:big", "agreed"):
        assert [turned(measure, who) for who in WHO] == ["partner", "me", "both", "neither"]
    assert turned("asks", "me") == "partner"
    assert [turned("roles:small", value) for value in ("me/me", "me/both", "neither/partner")] == [
        "partner/partner",
        "partner/both",
        "neither/me",
    ]
    for measure, value in (("input:partner", "asked"), ("input:both:big", "counted"), ("felt:fair", "3")):
        assert turned(measure, value) == value


@for_any(any_entry)
def test_turning_twice_leaves_all_as_it_was(entry: Entry) -> None:
    for measure, value in told(entry):
        assert turned(measure, turned(measure, value)) == value
