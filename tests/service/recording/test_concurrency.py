"""Who shares a transaction with whom, and who waits for whom: a submission alone decides it."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec import convert

from events.entries import CheckIn, Decision, Entry, Request, Retraction
from service.database.group_commit import Slot
from service.recording.concurrency import QUEUE_AT_ONCE, QUEUE_LANES, SEALED_AT_ONCE, is_optimistic, parts_of, slot_of
from service.recording.write_set import Submission, Submitter
from tests.service.recording.test_recording import AT, BOTH, NOTE, REQUEST, SHARED_NOTE

SEALED = NOTE | {"audience": "sealed"}
BACK = {"occurred_at": AT, "event_id": str(uuid4())}

ME = Submitter(uuid4(), uuid4(), uuid4())
MY_OTHER_PHONE = ME._replace(session_id=uuid4())
MY_PARTNER = ME._replace(session_id=uuid4(), member_id=uuid4())
SOMEBODY_ELSE = Submitter(uuid4(), uuid4(), uuid4())


def entry(body: dict[str, Any]) -> Entry:
    """The entry that such a body is."""
    kinds: dict[str, type[Entry]] = {"event_id": Retraction, "text": Request, "decided_by": Decision}
    return convert(body, next((kind for field, kind in kinds.items() if field in body), CheckIn))


def slot(submitter: Submitter, *bodies: dict[str, Any]) -> Slot:
    return slot_of(submission(submitter, *bodies))


def submission(submitter: Submitter, *bodies: dict[str, Any]) -> Submission:
    return Submission(submitter, [(uuid4(), entry(body)) for body in bodies])


def streams(submitter: Submitter, *bodies: dict[str, Any]) -> set[Any]:
    """The streams that it may touch, without the ids, each of which is new here."""
    given = submission(submitter, *bodies)
    ids = {event_id for event_id, _ in given.entries} | {UUID(BACK["event_id"])}
    return {one for one in slot_of(given).streams if not (isinstance(one, tuple) and one[-1] in ids)}


@pytest.mark.parametrize("shared", [REQUEST, SHARED_NOTE])
@pytest.mark.parametrize("private", [NOTE, SEALED])
def test_who_shares_and_who_keeps_something_private_are_never_in_each_others_way(
    shared: dict[str, Any], private: dict[str, Any]
) -> None:
    for one, other in ((ME, ME), (ME, MY_PARTNER)):
        assert slot(one, shared).streams.isdisjoint(slot(other, private).streams)
        assert slot(one, shared).blocking_key != slot(other, private).blocking_key


@pytest.mark.parametrize("shared", [REQUEST, SHARED_NOTE, BOTH])
def test_who_takes_something_back_is_in_nobody_elses_way(shared: dict[str, Any]) -> None:
    # It may have been private, and the partner, who shares something meanwhile, would wait for it.
    for partners in (BACK, NOTE | {"audience": "sealed"}):
        assert slot(ME, shared).streams.isdisjoint(slot(MY_PARTNER, partners).streams)
        assert slot(ME, shared).blocking_key != slot(MY_PARTNER, partners).blocking_key


@pytest.mark.parametrize("body", [NOTE, SHARED_NOTE, REQUEST, BOTH])
def test_an_entry_and_taking_it_back_take_turns(body: dict[str, Any]) -> None:
    named = Submission(MY_OTHER_PHONE, [(UUID(BACK["event_id"]), entry(body))])
    assert not slot_of(named).streams.isdisjoint(slot(ME, BACK).streams)


def test_who_writes_to_one_stream_takes_turns() -> None:
    assert streams(ME, REQUEST) == streams(MY_PARTNER, SHARED_NOTE)
    assert streams(ME, NOTE) == streams(MY_OTHER_PHONE, SEALED)
    assert slot(ME, NOTE).streams.isdisjoint(slot(MY_PARTNER, NOTE).streams)
    assert slot(ME, NOTE, REQUEST).streams.isdisjoint(slot(SOMEBODY_ELSE, NOTE, REQUEST).streams)


def test_what_may_touch_both_streams_takes_turns_in_both() -> None:
    assert streams(ME, BOTH) == streams(ME, NOTE) | streams(ME, REQUEST)


def test_what_is_taken_back_is_taken_for_private() -> None:
    assert streams(ME, BACK) == streams(ME, NOTE)


def test_what_has_an_id_of_its_authors_other_stream_takes_turns_with_it() -> None:
    one, other = uuid4(), uuid4()

    def named(submitter: Submitter, event_id: UUID, body: dict[str, Any]) -> frozenset[Any]:
        return slot_of(Submission(submitter, [(event_id, entry(body))])).streams

    private = named(ME, one, NOTE)
    assert not private.isdisjoint(named(MY_OTHER_PHONE, one, SHARED_NOTE))
    assert private.isdisjoint(named(MY_OTHER_PHONE, other, SHARED_NOTE))
    assert private.isdisjoint(named(MY_PARTNER, one, SHARED_NOTE))


def test_what_may_be_blocked_by_the_same_locks_is_that_of_one_member() -> None:
    for body in (REQUEST, NOTE, BACK):
        assert slot(ME, body).blocking_key == slot(MY_OTHER_PHONE, body).blocking_key
        assert slot(ME, body).blocking_key != slot(MY_PARTNER, body).blocking_key


def test_only_who_seals_is_alone() -> None:
    assert [slot(ME, body).alone for body in (NOTE, REQUEST, BACK, SEALED)] == [False, False, False, True]
    assert slot(ME, NOTE, SEALED).alone


@pytest.mark.parametrize("body", [REQUEST, BACK])
def test_no_group_has_both_queues_and_single_entries(body: dict[str, Any]) -> None:
    submitters = [Submitter(uuid4(), uuid4(), uuid4()) for _ in range(100)]
    single = {slot(one, body).lane for one in submitters}
    queues = {slot(one, *[body] * 100).lane for one in submitters}
    assert (len(single), len(queues), single & queues) == (1, QUEUE_LANES, set())


def test_a_group_is_recorded_in_one_of_two_ways() -> None:
    prompted = NOTE | {"prompt_id": str(uuid4())}
    about = NOTE | {"about": str(uuid4())}
    ways = [is_optimistic(submission(ME, body)) for body in (NOTE, REQUEST, BOTH, prompted, about, BACK, SEALED)]
    assert ways == [True, True, True, False, False, False, False]
    assert not is_optimistic(submission(ME, NOTE, BACK))
    assert slot(ME, NOTE).lane == slot(SOMEBODY_ELSE, BOTH).lane != slot(ME, BACK).lane


def test_what_is_heavy_is_what_has_many_entries() -> None:
    assert slot(ME, NOTE, REQUEST, BACK).weight == 3


def test_what_is_sealed_is_recorded_apart_in_its_order() -> None:
    whole = submission(ME, SEALED, SEALED, NOTE, BACK, SEALED)
    runs = parts_of(whole)
    assert [len(run.entries) for run in runs] == [2, 2, 1]
    assert [each for run in runs for each in run.entries] == whole.entries
    assert [slot_of(run).alone for run in runs] == [True, False, True]


def test_a_long_queue_is_recorded_in_parts_in_its_order() -> None:
    whole = submission(ME, *[BACK] * (2 * QUEUE_AT_ONCE + 1))
    parts = parts_of(whole)
    assert [len(part.entries) for part in parts] == [QUEUE_AT_ONCE, QUEUE_AT_ONCE, 1]
    assert [each for part in parts for each in part.entries] == whole.entries
    sealed = submission(ME, *[SEALED] * (SEALED_AT_ONCE + 1))
    assert [len(part.entries) for part in parts_of(sealed)] == [SEALED_AT_ONCE, 1]
