"""What each event adds to the daily counts, in whose telling: the table of the contract, row by row."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from events.entries import WHO, Decision, Domain, Ended, Entry, Fact, Opened
from events.records import StreamKey
from events.rules import Recorded
from projections.tallies import Key, read, tally, turned
from tests.support.given import ME, PARTNER, answer, any_entry, ask, check_in, recorded, retract, settle

ID = UUID("3f0c5a52-8f0e-4a83-9c58-1de3d9f9a001")
STREAM = StreamKey(UUID(int=10), UUID(int=11))


def no_target(event_id: UUID) -> Fact:
    raise AssertionError("only a retraction looks for what it takes back")


def counts(event: Recorded, partner: UUID | None = PARTNER, find: Callable[[UUID], Fact] = no_target) -> Counter[Key]:
    found = tally(STREAM, event, partner, find)
    assert len(dict(found)) == len(found), "a key stands there once"
    return Counter(dict(found))


def told(entry: Entry, partner: UUID | None = PARTNER) -> set[tuple[str, str, str]]:
    """What an entry of mine adds, each once, as I read it: telling, measure and value."""
    added = counts(recorded(ME, ID, entry), partner)
    assert set(added.values()) <= {1}
    seen = [one for key in added for one in read(key.teller == ME, key.measure, key.value)]
    assert len(set(seen)) == len(seen)
    return {("mine" if mine else "partners", measure, value) for mine, measure, value in seen}


# Row by row


def test_a_request_counts_in_both_tellings_whatever_is_answered() -> None:
    assert told(ask()) == {
        ("mine", "initiates", "me"),
        ("mine", "decides", "partner"),
        ("partners", "initiates", "me"),
        ("partners", "decides", "partner"),
    }


def test_who_is_asked_reads_in_both_tellings_that_the_other_initiates_and_they_decide() -> None:
    (key,) = counts(recorded(ME, ID, ask()))
    assert set(read(key.teller == PARTNER, key.measure, key.value)) == {
        (telling, measure, value)
        for telling in (True, False)
        for measure, value in (("initiates", "partner"), ("decides", "me"))
    }


@pytest.mark.parametrize("outcome", ["yes", "not_now", "no"])
@pytest.mark.parametrize("audience", ["shared", "private"])
def test_an_answer_to_a_request_counts_nothing_ever(outcome: str, audience: Any) -> None:
    assert counts(recorded(ME, ID, answer(ID, outcome, note="x"), audience)) == Counter()


@pytest.mark.parametrize("who", WHO)
def test_a_decision_for_both_counts_who_decided_in_its_authors_telling(who: str) -> None:
    assert told(settle(decided_by=who)) == {("mine", "decides", who)}


@pytest.mark.parametrize("who", WHO)
def test_and_who_raised_it_where_given(who: str) -> None:
    assert told(settle(raised_by=who)) == {("mine", "decides", "me"), ("mine", "initiates", who)}


@pytest.mark.parametrize("my_input", ["not_asked", "asked", "partly", "counted"])
def test_and_how_my_input_counted_where_given(my_input: str) -> None:
    assert told(settle(my_input=my_input)) == {("mine", "decides", "me"), ("mine", "counted", my_input)}


def test_a_second_telling_counts_as_a_first_one_does() -> None:
    whole: dict[str, Any] = {"decided_by": "both", "raised_by": "neither", "my_input": "asked"}
    assert told(settle(about=ID, **whole)) == told(settle(**whole))


def test_a_check_in_counts_what_it_says() -> None:
    said = check_in(initiated_by="both", decided_by="partner", felt={"fair": 2, "free_to_say_no": 7})
    assert told(said) == {
        ("mine", "initiates", "both"),
        ("mine", "decides", "partner"),
        ("mine", "felt:fair", "2"),
        ("mine", "felt:free_to_say_no", "7"),
    }


@pytest.mark.parametrize("said", [{"note": "x"}, {"words": {"a": "b"}}, {"note": "x", "felt": {}}])
def test_words_count_nothing(said: dict[str, Any]) -> None:
    assert told(check_in(**said)) == set()


@pytest.mark.parametrize("fact", [Opened(), Ended()])
def test_what_the_service_says_counts_nothing(fact: Fact) -> None:
    assert counts(recorded(None, ID, fact)) == Counter()


# Where it counts


@pytest.mark.parametrize("make", [check_in, ask, settle])
def test_counts_on_the_calendar_date_where_it_happened(make: Any) -> None:
    at = datetime(2026, 6, 15, 0, 30, tzinfo=timezone(timedelta(hours=13)))
    fact = make(occurred_at=at, decided_by="me") if make is not ask else ask(occurred_at=at)
    assert {key.day for key in counts(recorded(ME, ID, fact))} == {date(2026, 6, 15)}


@pytest.mark.parametrize(("given", "kept"), [(None, "other"), ("money", "money"), ("other", "other")])
def test_counts_in_its_domain_which_is_other_where_none_is_given(given: Domain | None, kept: str) -> None:
    added = counts(recorded(ME, ID, check_in(domain=given, initiated_by="me")))
    assert [(key.domain, key.stream) for key in added] == [(kept, STREAM)]


def test_the_partners_events_count_relative_to_them() -> None:
    added = counts(recorded(PARTNER, ID, settle(raised_by="partner")), partner=ME)
    assert {(key.teller, key.measure, key.value) for key in added} == {
        (PARTNER, "decides", "me"),
        (PARTNER, "initiates", "partner"),
    }


def test_while_nobody_else_is_there_only_the_authors_telling_counts() -> None:
    assert told(check_in(initiated_by="partner"), partner=None) == {("mine", "initiates", "partner")}
    assert told(ask(), partner=None) == {("mine", "initiates", "me"), ("mine", "decides", "partner")}


# Retractions


@for_any(any_entry.filter(lambda entry: not isinstance(entry, type(retract(ID)))), st.integers(0, 4000))
def test_a_retraction_takes_away_exactly_what_was_added_and_on_its_day(entry: Entry, days_later: int) -> None:
    target = recorded(ME, ID, entry)
    taken_back = retract(ID, occurred_at=datetime(2026, 6, 15, tzinfo=UTC) + timedelta(days=days_later))
    total = counts(target)
    total.update(counts(recorded(ME, UUID(int=99), taken_back), find={ID: target.fact}.__getitem__))
    assert all(count == 0 for count in total.values())


def test_a_retraction_of_an_answer_takes_nothing_away() -> None:
    found: dict[UUID, Fact] = {ID: answer(UUID(int=5), "no")}
    assert counts(recorded(ME, UUID(int=99), retract(ID)), find=found.__getitem__) == Counter()


# Seen from the reader


@for_any(any_entry)
def test_a_request_reads_the_same_from_both_sides_and_nothing_else_is_told_twice(entry: Entry) -> None:
    added = counts(recorded(ME, ID, entry), find=lambda event_id: ask())
    for reader in (ME, PARTNER):
        tellings: dict[bool, Counter[tuple[str, str]]] = {True: Counter(), False: Counter()}
        for key, n in added.items():
            for mine, measure, value in read(key.teller == reader, key.measure, key.value):
                tellings[mine][measure, value] += n
        assert tellings[reader != ME] in ({}, tellings[reader == ME])


def test_only_who_did_something_depends_on_who_looks() -> None:
    for measure in ("initiates", "decides"):
        assert [turned(measure, who) for who in WHO] == ["partner", "me", "both", "neither"]
    for measure, value in (("counted", "asked"), ("felt:fair", "3"), ("felt:close", "7")):
        assert turned(measure, value) == value


@for_any(any_entry)
def test_turning_twice_leaves_all_as_it_was(entry: Entry) -> None:
    for key in counts(recorded(ME, ID, entry), find=lambda event_id: Decision(occurred_at=entry.occurred_at)):
        assert turned(key.measure, turned(key.measure, key.value)) == key.value
