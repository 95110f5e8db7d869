"""Live streams of a member over several processes: so many have a place, and the oldest gives way."""

import os
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from service.core.listeners import MAX_STREAMS
from service.web import shared_streams
from service.web.shared_limits import SharedMemory, make_shared_memory
from service.web.shared_streams import STREAMS_BYTES, WAYS, SharedStreams

MEMBER = UUID(int=1)


@pytest.fixture
def descriptor() -> Iterator[int]:
    """Memory for streams, behind that of a limit."""
    made = make_shared_memory(1, STREAMS_BYTES)
    yield made
    os.close(made)


@pytest.fixture
def processes(descriptor: int) -> list[SharedStreams]:
    """What two processes have of it."""
    return [SharedStreams(SharedMemory(descriptor)) for _ in range(2)]


def test_the_oldest_gives_way_whichever_process_has_it(processes: list[SharedStreams]) -> None:
    one, other = processes
    first = one.take(MEMBER)
    others = [other.take(MEMBER) for _ in range(MAX_STREAMS - 1)]
    assert all(one.holds(MEMBER, place) for place in (first, *others))
    newest = other.take(MEMBER)
    assert [one.holds(MEMBER, place) for place in (first, *others, newest)] == [False] + [True] * MAX_STREAMS


def test_what_has_ended_takes_no_place(processes: list[SharedStreams]) -> None:
    one, other = processes
    first = one.take(MEMBER)
    for _ in range(3 * MAX_STREAMS):
        other.give_back(MEMBER, other.take(MEMBER))
    assert one.holds(MEMBER, first)
    one.give_back(MEMBER, first)
    one.give_back(MEMBER, first)  # twice does no harm
    assert one._find(one._digest_of(MEMBER)) is None


def test_members_do_not_share_their_places(processes: list[SharedStreams]) -> None:
    one, other = processes
    places = {member: one.take(member) for member in (uuid4() for _ in range(200))}
    for _ in range(MAX_STREAMS):
        other.take(MEMBER)
    assert all(other.holds(member, place) for member, place in places.items())


def test_where_there_is_no_room_each_process_counts_by_itself(
    processes: list[SharedStreams], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_streams, "_first_slot", lambda digest: 0)
    one, other = processes
    places = {UUID(int=number): one.take(UUID(int=number)) for number in range(WAYS)}
    beyond = UUID(int=WAYS)
    found = [other.take(beyond) for _ in range(2 * MAX_STREAMS)]
    assert all(one.holds(beyond, place) for place in found)
    assert all(other.holds(member, place) for member, place in places.items())
    other.give_back(beyond, found[0])


def test_streams_of_a_process_that_was_killed_keep_their_room_only_so_long(
    processes: list[SharedStreams], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_streams, "_first_slot", lambda digest: 0)
    one, _ = processes
    for number in range(WAYS):
        one.take(UUID(int=number))
    beyond = UUID(int=WAYS)
    one.take(beyond)
    assert one._find(one._digest_of(beyond)) is None
    monkeypatch.setattr(shared_streams, "LAST_SECONDS", -1)
    one.take(beyond)
    assert one._find(one._digest_of(beyond)) is not None
