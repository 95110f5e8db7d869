"""What is sealed for the same thing, and what is revealed when both have sealed for it."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from events.entries import complete, thing_of
from events.reveals import (
    MAX_ANSWERS,
    Copy,
    Original,
    answers_of,
    copy_ids,
    has_moved,
    is_revealed,
    may_be_revealed,
    partner_of,
    reveal,
    waiting,
)
from events.rules import Recorded
from tests.support.given import ME, NOW, PARTNER, RECENTLY, check_in, given, recorded, retract

A, B, C, D = (UUID(int=n) for n in (10, 11, 12, 13))
MINE, THEIRS = UUID(int=100), UUID(int=200)  # both private streams
DAY = "day 2026-06-15"
CLOSE = {"close": 5}


def sealed(**fields: Any) -> Any:
    """A complete sealed check-in."""
    return complete(check_in(audience="sealed", **{"felt": CLOSE, **fields}), NOW)


def stream(by: UUID, *facts: tuple[UUID, Any]) -> list[Recorded]:
    """A private stream of somebody."""
    return [Recorded("private", i, event_id, by, RECENTLY, fact) for i, (event_id, fact) in enumerate(facts, 1)]


def copies(mine: Sequence[Recorded], theirs: Sequence[Recorded], *shared: Recorded) -> list[Copy]:
    """What comes of what waits longest in each of two private streams, beside the shared one."""
    find_shared = {event.event_id: event for event in shared}.get
    one = next(iter(waiting(MINE, mine, find_shared)), None)
    other = partner_of(one.event, waiting(THEIRS, theirs, find_shared)) if one else None
    return reveal(one, other, given(*shared).known) if one and other else []


def shown(found: list[Copy]) -> list[tuple[UUID, UUID | None]]:
    """Under which id whose is revealed."""
    return [(copy.event_id, copy.original.event.author) for copy in found]


def copied(copy: Copy) -> Recorded:
    """The copy as the log has it."""
    return replace(copy.original.event, audience="shared", event_id=copy.event_id)


THINGS = [
    ({}, DAY),
    ({"occurred_at": "2026-06-15T23:59:59-12:00"}, DAY),
    ({"occurred_at": "2026-06-15T00:00:00+14:00"}, DAY),
    ({"occurred_at": "2026-06-16T00:00:00Z"}, "day 2026-06-16"),
    ({"about": A}, f"about {A}"),
    ({"about": A, "sealed_for": "day"}, DAY),
    ({"day": "2026-06-14"}, "day 2026-06-14"),
    ({"sealed_for": "week"}, "week 2026-25"),
    ({"sealed_for": "week", "day": "2026-06-14"}, "week 2026-24"),
    ({"sealed_for": "week", "occurred_at": "2026-06-21T23:59:59+14:00"}, "week 2026-25"),
    ({"sealed_for": "week", "occurred_at": "2026-06-22T00:00:00+14:00"}, "week 2026-26"),
    ({"sealed_for": "week", "occurred_at": "2025-12-29T10:00:00Z"}, "week 2026-1"),
    ({"sealed_for": "week", "occurred_at": "2026-01-04T10:00:00Z"}, "week 2026-1"),
    ({"sealed_for": "week", "occurred_at": "2027-01-03T10:00:00Z"}, "week 2026-53"),
    ({"sealed_for": "week", "occurred_at": "0001-01-01T00:00:00+14:00"}, "week 1-1"),
    ({"sealed_for": "week", "occurred_at": "9999-12-31T23:59:59-12:00"}, "week 9999-52"),
]


@pytest.mark.parametrize(("fields", "thing"), THINGS)
def test_a_thing_is_an_event_or_the_day_or_week_on_the_wall(fields: dict[str, Any], thing: str) -> None:
    reads: dict[str, Any] = {"occurred_at": datetime.fromisoformat, "day": date.fromisoformat}
    read = {name: reads[name](value) if name in reads else value for name, value in fields.items()}
    assert thing_of(sealed(**read)) == thing


def test_both_are_revealed_in_the_order_of_their_ids() -> None:
    for mine, theirs in [(A, B), (B, A)]:
        found = copies(stream(ME, (mine, sealed())), stream(PARTNER, (theirs, sealed())))
        assert shown(found) == sorted([(mine, ME), (theirs, PARTNER)])


def test_one_alone_is_not_revealed() -> None:
    assert copies(stream(ME, (A, sealed())), []) == []
    assert copies([], stream(PARTNER, (B, sealed()))) == []


def test_what_is_sealed_for_something_else_is_not_revealed() -> None:
    others = [sealed(about=D), sealed(sealed_for="week"), check_in(audience="private"), check_in()]
    theirs = stream(PARTNER, *((UUID(int=n), fact) for n, fact in enumerate(others)))
    assert copies(stream(ME, (A, sealed())), theirs) == []


def test_the_oldest_of_each_that_was_not_taken_back_is_revealed() -> None:
    mine = stream(ME, (C, sealed()), (B, sealed(note="1")), (A, sealed(note="2")), (D, retract(C)))
    assert shown(copies(mine, stream(PARTNER, (D, sealed()))))[0] == (B, ME)


def test_each_is_revealed_once_even_when_its_copy_is_taken_back() -> None:
    mine, theirs = stream(ME, (A, sealed()), (C, sealed())), stream(PARTNER, (B, sealed()))
    shared = [copied(copy) for copy in copies(mine, theirs)]
    assert len(shared) == 2
    assert copies(mine, theirs, *shared, recorded(ME, D, retract(A))) == []
    more = [*theirs, *stream(PARTNER, (D, sealed()))]
    assert shown(copies(mine, more, *shared)) == [(C, ME), (D, PARTNER)]


COMPARED = [
    ({"felt": {"close": 1}}, {"felt": {"close": 7, "fair": 2}}, True),
    ({"felt": {"close": 1}}, {"felt": {"fair": 1}}, False),
    ({"felt": None, "words": {"my_view": "x"}}, {"felt": None, "words": {"my_view": "y"}}, True),
    ({"felt": None, "words": {"close": "x"}}, {"felt": {"close": 1}}, False),
    ({"felt": None, "words": {"my_view": "x"}}, {"felt": None, "words": {"my_view": " \t"}}, False),
    ({"felt": None, "note": "x"}, {"felt": None, "note": "x"}, False),
    ({"felt": None, "initiated_by": "me"}, {"felt": None, "initiated_by": "me"}, False),
]


@pytest.mark.parametrize(("one", "other", "meet"), COMPARED)
def test_there_must_be_something_to_compare(one: dict[str, Any], other: dict[str, Any], meet: bool) -> None:
    for mine, theirs in ((one, other), (other, one)):
        assert bool(copies(stream(ME, (A, sealed(**mine))), stream(PARTNER, (B, sealed(**theirs))))) == meet


def test_the_oldest_of_the_others_that_can_be_compared_is_revealed() -> None:
    theirs = stream(PARTNER, (C, sealed(felt={"fair": 1})), (D, sealed()), (B, sealed()))
    assert shown(copies(stream(ME, (A, sealed())), theirs)) == [(A, ME), (D, PARTNER)]


def test_so_many_answers_are_compared_the_felt_ones_first() -> None:
    answers = answers_of(sealed(words={f"{n:02}": "x" for n in range(20)}))
    assert answers == ["felt close", *(f"words {n:02}" for n in range(MAX_ANSWERS - 1))]


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({"occurred_at": "2026-06-13T11:00:00Z"}, True),
        ({"occurred_at": "2026-06-13T10:59:59Z"}, False),
        ({"occurred_at": "2026-06-15T11:05:00Z"}, True),
        ({"occurred_at": "2026-06-16T00:01:00+13:00"}, True),
        ({"occurred_at": "2026-06-16T00:01:00+12:58"}, False),
        ({"occurred_at": "2026-06-16T00:01:00+12:58", "day": "2026-06-15"}, True),
    ],
)
def test_neither_what_was_late_nor_a_day_to_come_is_revealed(fields: dict[str, str], may: bool) -> None:
    reads: dict[str, Any] = {"occurred_at": datetime.fromisoformat, "day": date.fromisoformat}
    (original,) = stream(ME, (A, sealed(**{name: reads[name](value) for name, value in fields.items()})))
    assert may_be_revealed(original) == may
    assert bool(waiting(MINE, [original], lambda event_id: None)) == may
    assert (partner_of(original, [Original(THEIRS, original)]) is not None) == may


def test_where_its_id_is_taken_a_copy_has_another() -> None:
    taken = recorded(PARTNER, A, check_in())
    found = copies(stream(ME, (A, sealed())), stream(PARTNER, (B, sealed())), taken)
    assert shown(found) == [(copy_ids(MINE, A)[1], ME), (B, PARTNER)]


def test_of_two_with_one_id_the_one_whose_text_is_smaller_keeps_it_whoever_recorded_it() -> None:
    for one, other in [("a", "b"), ("b", "a")]:
        found = copies(stream(ME, (A, sealed(note=one))), stream(PARTNER, (A, sealed(note=other))))
        assert [copy.original.event.fact.note for copy in found] == ["a", "b"]  # type: ignore[union-attr]
        assert found[0].event_id == A != found[1].event_id


def test_who_takes_both_ids_that_a_copy_could_have_is_not_revealed() -> None:
    taken = [recorded(ME, each, check_in()) for each in copy_ids(MINE, A)]
    assert copies(stream(ME, (A, sealed())), stream(PARTNER, (B, sealed())), *taken) == []


def test_another_id_follows_from_the_stream_and_the_id() -> None:
    derived = {copy_ids(stream_id, event_id)[1] for stream_id in (MINE, THEIRS) for event_id in (A, B)}
    assert len(derived) == 4
    assert {one.version for one in derived} == {4}


@pytest.mark.parametrize("taken", [[], [recorded(PARTNER, A, check_in())]])
def test_which_original_was_revealed_is_known_from_its_copy(taken: list[Recorded]) -> None:
    mine = stream(ME, (A, sealed()), (C, sealed()))
    found = [copied(copy) for copy in copies(mine, stream(PARTNER, (B, sealed())), *taken)]
    shared = {event.event_id: event for event in (*taken, *found)}
    assert [is_revealed(MINE, event, shared.get) for event in mine] == [True, False]


@pytest.mark.parametrize(
    "there",
    [
        recorded(PARTNER, A, sealed(), "shared"),
        recorded(ME, A, check_in(felt=CLOSE)),
        replace(recorded(ME, A, check_in(felt=CLOSE)), fact=sealed(note="another")),
        replace(recorded(PARTNER, A, check_in()), fact=sealed()),
    ],
)
def test_another_author_or_another_text_is_no_copy(there: Recorded) -> None:
    (original,) = stream(ME, (A, sealed()))
    assert not is_revealed(MINE, original, {A: there}.get)


@pytest.mark.parametrize("copy_id", copy_ids(MINE, A))
def test_what_was_revealed_has_moved_under_whichever_id(copy_id: UUID) -> None:
    (original,) = stream(ME, (A, sealed()))
    copy = replace(original, audience="shared", event_id=copy_id)
    assert has_moved(MINE, original, {copy_id: copy}.get)
    assert not has_moved(MINE, original, lambda event_id: None)
    assert not has_moved(MINE, original, {copy_id: replace(copy, author=PARTNER)}.get)


@pytest.mark.parametrize("kept", [sealed(), complete(check_in(felt=CLOSE), NOW)])
def test_so_has_what_its_author_shared_later(kept: Any) -> None:
    (original,) = stream(ME, (A, kept))
    assert has_moved(MINE, original, {A: recorded(ME, A, check_in(felt=CLOSE))}.get)
    assert not has_moved(MINE, original, {A: recorded(ME, A, check_in(note="another", felt=CLOSE))}.get)


def test_what_its_author_shared_later_waits_for_nobody_any_more() -> None:
    mine, theirs = stream(ME, (A, sealed()), (C, sealed(note="2"))), stream(PARTNER, (B, sealed()))
    shared = recorded(ME, A, check_in(felt=CLOSE))
    assert copies(mine[:1], theirs, shared) == copies(theirs, mine[:1], shared) == []
    assert shown(copies(mine, theirs, shared)) == [(B, PARTNER), (C, ME)]


@pytest.mark.parametrize("revealed", [False, True])
def test_a_replay_of_a_sealed_one_is_the_private_one(revealed: bool) -> None:
    (original,) = stream(ME, (A, sealed()))
    shared = [replace(original, audience="shared")] if revealed else []
    given(*shared, original).when(check_in(audience="sealed", felt=CLOSE), A, now=NOW).then(original)


def test_a_copy_sent_again_is_a_replay_of_the_copy() -> None:
    (original,) = stream(ME, (A, sealed()))
    copy = replace(original, audience="shared", event_id=D)
    given(original, copy).when(check_in(audience="sealed", felt=CLOSE), D).then(copy)
