"""Entries: how strictly they are read, what is filled in, and their text in the log."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import msgspec
import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from events.entries import (
    KINDS,
    WHO,
    Audience,
    CheckIn,
    Decision,
    Domain,
    Ended,
    Entry,
    EntryKind,
    Fact,
    FeltItem,
    MyInput,
    Opened,
    Request,
    Retraction,
    Who,
    complete,
    day_of,
    from_text,
    other,
    refers_to,
    seen_by_partner,
    to_text,
)
from events.errors import UnknownKind
from tests.support.given import NOW, answer, any_entry, any_fact, ask, check_in, retract, settle, who

ID = UUID("3f0c5a52-8f0e-4a83-9c58-1de3d9f9a001")
AT = "2026-06-15T10:00:00+02:00"


def read(kind: type[Any], /, **fields: Any) -> Any:
    """An entry as a phone sends it, read as the service reads it."""
    return msgspec.json.decode(json.dumps({"occurred_at": AT} | fields), type=kind, strict=True)


def refused(kind: type[Any], /, **fields: Any) -> str:
    with pytest.raises(msgspec.ValidationError) as refusal:
        read(kind, **fields)
    return str(refusal.value)


# What can be read at all


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Domain, "home money time intimacy family friends parenting plans chores other"),
        (Who, "me partner both neither"),
        (FeltItem, "valued heard room_for_me free_to_say_no fair close enjoyed satisfied conflict"),
        (MyInput, "not_asked asked partly counted"),
        (EntryKind, "check_in request opening decision retraction"),
        (Audience, "shared private"),
    ],
)
def test_the_words_are_those_of_the_contract(kind: Any, words: str) -> None:
    assert " ".join(get_args(kind)) == words


def test_reads_every_field_of_a_check_in() -> None:
    fields = {
        "day": "2026-06-14",
        "domain": "plans",
        "about": str(ID),
        "prompt_id": str(ID),
        "initiated_by": "both",
        "decided_by": "neither",
        "felt": {"fair": 1, "close": 7},
        "words": {"What helped?": "A walk"},
        "note": "äß 漢字 👩‍❤️‍👨",
        "audience": "sealed",
        "sealed_for": "week",
    }
    assert msgspec.to_builtins(read(CheckIn, **fields)) == {"occurred_at": AT} | fields


@pytest.mark.parametrize("answer", [0, 8, -1, 1.0, 1.5, "1", True, None, [], 2**64])
def test_what_was_felt_is_a_whole_number_from_1_to_7(answer: Any) -> None:
    assert "felt" in refused(CheckIn, felt={"fair": answer})


def test_what_was_felt_is_a_known_item() -> None:
    assert read(CheckIn, felt={"fair": 4, "free_to_say_no": 1}).felt == {"fair": 4, "free_to_say_no": 1}
    refused(CheckIn, felt={"grateful": 4})


TEXTS = [
    (CheckIn, "note", {}),
    (Request, "text", {"domain": "home"}),
    (Decision, "text", {}),
    (Decision, "note", {}),
]


@pytest.mark.parametrize(("kind", "field", "needed"), TEXTS)
def test_a_text_has_at_most_2000_characters_whatever_their_bytes(kind: type[Any], field: str, needed: Any) -> None:
    assert getattr(read(kind, **needed, **{field: "😀" * 2000}), field) == "😀" * 2000
    refused(kind, **needed, **{field: "a" * 2001})


@pytest.mark.parametrize(("kind", "field", "needed"), TEXTS)
@pytest.mark.parametrize("text", ["\x00", "a\x00b", "a\n\x00", "\x00\n", 7, ["a"]])
def test_a_text_is_text_without_nul(kind: type[Any], field: str, needed: Any, text: Any) -> None:
    refused(kind, **needed, **{field: text})


@pytest.mark.parametrize("words", [{"a" * 2001: "b"}, {"a": "b" * 2001}, {"\x00": "b"}, {"a": "\x00"}, {"a": None}, []])
def test_questions_and_answers_are_texts(words: Any) -> None:
    assert read(CheckIn, words={"a" * 2000: "b" * 2000}).words == {"a" * 2000: "b" * 2000}
    refused(CheckIn, words=words)


@pytest.mark.parametrize(
    "at",
    [
        "2026-06-15T10:00:00",  # naive
        "2026-02-30T10:00:00Z",
        "2026-06-15T24:00:00Z",
        "2026-06-15T10:00:00+24:00",
        "2026-06-15",
        "yesterday",
        "",
        1781517600,
        None,
    ],
)
@pytest.mark.parametrize("kind", [CheckIn, Decision])
def test_a_time_is_a_date_that_exists_with_an_offset(kind: type[Any], at: Any) -> None:
    assert "occurred_at" in refused(kind, occurred_at=at)


@pytest.mark.parametrize("expires_at", ["2026-06-15T10:00:00", "2026-02-30T10:00:00Z", 7])
def test_so_is_the_time_when_a_request_expires(expires_at: Any) -> None:
    assert "expires_at" in refused(Request, domain="home", expires_at=expires_at)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (CheckIn, {"note": "x", "mood": "x"}),
        (CheckIn, {"note": "x", "day": "2026-02-30"}),
        (CheckIn, {"note": "x", "day": "2026-06-15T00:00:00Z"}),
        (CheckIn, {"note": "x", "kind": "check_in"}),
        (CheckIn, {"domain": "garden"}),
        (CheckIn, {"initiated_by": "us"}),
        (CheckIn, {"audience": "public"}),
        (CheckIn, {"sealed_for": "month"}),
        (CheckIn, {"about": "7"}),
        (Request, {}),
        (Request, {"domain": None}),
        (Request, {"domain": "home", "audience": "private"}),
        (Decision, {"outcome": "maybe"}),
        (Decision, {"audience": "sealed"}),
        (Decision, {"size": "huge"}),
        (Decision, {"my_input": "ignored"}),
        (Decision, {"as_agreed": "true"}),
        (Retraction, {}),
        (Retraction, {"event_id": str(ID), "audience": "shared"}),
    ],
)
def test_nothing_unknown_missing_or_of_another_type_is_read(kind: type[Any], fields: dict[str, Any]) -> None:
    refused(kind, **fields)


# What is filled in


@pytest.mark.parametrize(
    ("entry", "audience"),
    [
        (check_in(), "private"),
        (check_in(audience="shared"), "shared"),
        (check_in(audience="sealed"), "sealed"),
        (answer(ID, "yes"), "shared"),
        (answer(ID, "not_now"), "private"),
        (answer(ID, "no"), "private"),
        (answer(ID, "yes", audience="private"), "private"),
        (answer(ID, "not_now", audience="shared"), "shared"),
        (answer(ID, "no", audience="shared"), "shared"),
        (settle(), "private"),
        (settle(audience="shared"), "shared"),
    ],
)
def test_the_audience_is_private_except_for_a_yes(entry: Entry, audience: str) -> None:
    completed = complete(entry, NOW)
    assert isinstance(completed, CheckIn | Decision)
    assert completed.audience == audience


def test_a_request_is_open_for_seven_days_from_its_recording() -> None:
    completed = complete(ask(), NOW)
    assert isinstance(completed, Request)
    assert completed.expires_at == datetime(2026, 6, 22, 12, 0, tzinfo=UTC)


def test_or_for_as_long_as_it_says() -> None:
    wanted = ask(expires_at=NOW + timedelta(days=30))
    assert complete(wanted, NOW) == wanted


@for_any(any_entry)
def test_nothing_is_filled_in_twice(entry: Entry) -> None:
    completed = complete(entry, NOW)
    assert complete(completed, NOW + timedelta(days=1)) == completed


@for_any(any_entry)
def test_nothing_that_was_said_is_changed(entry: Entry) -> None:
    said, completed = fields_of(entry), fields_of(complete(entry, NOW))
    said.pop("prompt_id", None)
    assert said.items() <= completed.items()
    assert completed.keys() - said.keys() <= {"audience", "sealed_for", "expires_at"}


@for_any(any_entry)
def test_which_prompt_is_answered_is_no_part_of_an_entry(entry: Entry) -> None:
    assert b"prompt_id" not in to_text(complete(entry, NOW))


def fields_of(fact: Fact) -> dict[str, Any]:
    return {name: value for name, value in msgspec.to_builtins(fact).items() if value is not None}


# The text in the log


def test_the_text_is_flat_and_begins_with_the_kind() -> None:
    entry = read(Request, domain="home", text='Shall we go "out"? ☕', in_reply_to=str(ID))
    assert to_text(entry).decode() == (
        '{"kind":"request","occurred_at":"2026-06-15T10:00:00+02:00","domain":"home",'
        '"text":"Shall we go \\"out\\"? ☕","in_reply_to":"3f0c5a52-8f0e-4a83-9c58-1de3d9f9a001"}'
    )


def test_what_the_service_says_is_only_a_kind() -> None:
    assert [to_text(Opened()), to_text(Ended())] == [b'{"kind":"opened"}', b'{"kind":"ended"}']


@for_any(any_fact)
def test_the_text_can_be_read_back(fact: Fact) -> None:
    assert from_text(to_text(fact)) == fact


@for_any(any_fact)
def test_and_gives_the_same_bytes_again_offsets_included(fact: Fact) -> None:
    assert to_text(from_text(to_text(fact))) == to_text(fact)


@for_any(any_fact)
def test_any_json_reader_finds_the_kind_and_the_fields_given(fact: Fact) -> None:
    found = json.loads(to_text(fact))
    assert next(iter(found)) == "kind"
    assert found.pop("kind") == KINDS[type(fact)]
    assert found == fields_of(fact)


@for_any(any_entry)
def test_a_text_is_what_a_phone_may_send_with_its_kind(entry: Entry) -> None:
    fields = json.loads(to_text(entry))
    del fields["kind"]
    assert msgspec.json.decode(json.dumps(fields), type=type(entry), strict=True) == entry


def test_the_order_of_a_mapping_leaves_the_text_the_same() -> None:
    one = check_in(felt={"fair": 2, "close": 5}, words={"b": "1", "a": "2"})
    two = check_in(felt={"close": 5, "fair": 2}, words={"a": "2", "b": "1"})
    assert to_text(one) == to_text(two)


def test_null_leaves_the_text_as_absence_does() -> None:
    assert to_text(read(CheckIn, note="x", felt=None, about=None)) == to_text(read(CheckIn, note="x"))


@pytest.mark.parametrize("text", [b'{"kind":"erased"}', b'{"kind":"wish","occurred_at":"x"}', b'{"a":1}', b"{}", b""])
def test_a_kind_of_another_version_is_named(text: bytes) -> None:
    with pytest.raises(UnknownKind):
        from_text(text)


# What an entry says


@pytest.mark.parametrize(
    ("at", "day"),
    [
        ("2026-06-15T23:59:59.999999-10:00", date(2026, 6, 15)),
        ("2026-06-15T00:00:00+14:00", date(2026, 6, 15)),
        ("2026-06-16T00:00:00Z", date(2026, 6, 16)),
        ("0001-01-01T00:00:00+14:00", date(1, 1, 1)),
        ("2024-02-29T12:00:00Z", date(2024, 2, 29)),
    ],
)
def test_the_day_is_the_date_on_the_wall_where_it_happened(at: str, day: date) -> None:
    assert day_of(read(CheckIn, occurred_at=at)) == day


def test_or_the_day_that_is_given() -> None:
    assert day_of(read(CheckIn, day="2026-06-14")) == date(2026, 6, 14)
    assert day_of(read(CheckIn, day=None)) == date(2026, 6, 15)


@pytest.mark.parametrize(
    ("entry", "target"),
    [
        (check_in(), None),
        (check_in(about=ID), ID),
        (ask(), None),
        (ask(in_reply_to=ID), ID),
        (answer(ID, "yes"), ID),
        (settle(), None),
        (settle(about=ID), ID),
        (retract(ID), ID),
    ],
)
def test_what_an_entry_refers_to(entry: Entry, target: UUID | None) -> None:
    assert refers_to(entry) == target


# Who, from the other side


def test_me_is_the_partner_seen_by_the_partner() -> None:
    assert [other(one) for one in WHO] == ["partner", "me", "both", "neither"]


@for_any(any_entry)
def test_seen_twice_from_the_other_side_all_is_as_it_was(entry: Entry) -> None:
    assert to_text(seen_by_partner(seen_by_partner(entry))) == to_text(entry)


@for_any(who, who)
def test_each_who_is_turned_round_and_nothing_else(one: Any, two: Any) -> None:
    seen = seen_by_partner(check_in(initiated_by=one, decided_by=two, note="x", felt={"fair": 2}))
    assert seen == check_in(initiated_by=other(one), decided_by=other(two), note="x", felt={"fair": 2})
    told = seen_by_partner(settle(raised_by=one, decided_by=two, my_input="asked", audience="shared"))
    assert told == settle(raised_by=other(one), decided_by=other(two), my_input="asked", audience="shared")


@for_any(st.sampled_from([check_in(), ask(), answer(ID, "yes"), retract(ID)]))
def test_an_entry_that_names_nobody_looks_the_same_from_both_sides(entry: Entry) -> None:
    assert seen_by_partner(entry) == entry
