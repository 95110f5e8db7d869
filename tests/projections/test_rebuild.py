"""What a recount adds up is what recording each entry had added, whatever was said."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import product
from uuid import UUID

from hypothesis import given as for_any
from hypothesis import strategies as st

from events.entries import CheckIn, Entry, Fact, Retraction, to_text
from events.records import StreamKey
from events.reveals import things_in
from events.rules import Recorded
from projections.rebuild import StreamSummary, accumulate, added_up, difference
from projections.tallies import Key, tally
from tests.support.given import ME, NOW, PARTNER, any_entry, any_fact, ask, check_in, settle

STREAM = StreamKey(UUID(int=10), 0, UUID(int=11))
MINE = (STREAM, ME, "home", "decides", "me")
DAY = date(2026, 6, 15).toordinal()

told = st.lists(st.tuples(st.sampled_from([ME, PARTNER]), any_entry), max_size=20)


def recorded(by: UUID, entry: Entry) -> Counter[Key]:
    """What recording it adds, but for what is about something: that waits until it is known what that is."""
    if is_about_something(entry):
        return Counter()
    event = Recorded("shared", 1, UUID(int=1), by, NOW, entry)
    return Counter(dict(tally(STREAM, event, lambda audience, event_id: None)))


def is_about_something(entry: Entry) -> bool:
    return isinstance(entry, CheckIn) and bool(entry.about and (entry.initiated_by or entry.decided_by))


def recounted(*parts: list[tuple[UUID | None, bytes]]) -> Counter[Key]:
    """What a stream comes to that is heard in those parts."""
    said = StreamSummary()
    for part in parts:
        accumulate(said, part)
    return difference(added_up(STREAM, said), {})


@for_any(told)
def test_all_entries_together_come_to_what_each_has_added(told: list[tuple[UUID, Entry]]) -> None:
    added: Counter[Key] = Counter()
    for by, entry in told:
        added.update(recorded(by, entry))
    bodies: list[tuple[UUID | None, bytes]] = [(by, to_text(entry)) for by, entry in told]
    assert recounted(bodies) == added
    assert recounted(bodies[::2], bodies[1::2]) == added


def alike() -> Iterator[Entry]:
    """Entries of one day that differ in as little as entries can, each more than once."""
    before = NOW.date() - timedelta(days=1)
    for domain, one, other in product([None, "home", "money"], [None, "me", "both"], [None, "me", "both"]):
        for felt, day in product((None, {"fair": 1}, {"fair": 2}, {"fair": 1, "close": 2}), (None, before)):
            yield check_in(domain=domain, initiated_by=one, decided_by=other, felt=felt, day=day)
        yield check_in(domain=domain, felt={"fair": 1}, about=UUID(int=7))
        for told, size, agreed in product((None, "asked", "counted"), (None, "small", "big"), (None, True, False)):
            yield settle(
                domain=domain, raised_by=one, decided_by=other or "me", my_input=told, size=size, as_agreed=agreed
            )
        yield ask(domain=domain or "other")
        yield ask(domain=domain or "other", in_reply_to=UUID(int=7))


def test_what_differs_in_one_field_is_not_taken_for_the_same() -> None:
    bodies = [(by, to_text(entry)) for by in (ME, PARTNER) for entry in alike()]
    added: Counter[Key] = Counter()
    for by, entry in product((ME, PARTNER), alike()):
        added.update(recorded(by, entry))
    assert recounted([*bodies]) == added


@for_any(any_entry)
def test_each_entry_by_itself_comes_to_what_it_has_added(entry: Entry) -> None:
    assert recounted([(ME, to_text(entry))]) == recorded(ME, entry)
    assert recounted([(ME, to_text(entry))] * 2) == recorded(ME, entry) + recorded(ME, entry)


@for_any(any_fact)
def test_what_the_service_says_comes_to_nothing(fact: Fact) -> None:
    assert recounted([(None, to_text(fact))]) == Counter()


@for_any(st.lists(any_entry, max_size=5))
def test_what_waits_for_more_than_addition_is_noticed(entries: list[Entry]) -> None:
    said = StreamSummary()
    accumulate(said, [(ME, to_text(entry)) for entry in entries])
    assert said.taken_back == [(ME, e.event_id) for e in entries if isinstance(e, Retraction)]
    assert said.about == [(ME, to_text(e)) for e in entries if is_about_something(e)]
    assert said.sealed_for == things_in(entries)


def test_only_what_differs_is_amended() -> None:
    told = {MINE: {DAY: 2, DAY + 1: 1}, (*MINE[:4], "both"): {DAY: 1}}
    kept = {MINE: {DAY: 2, DAY + 2: 4}, (*MINE[:4], "both"): {DAY: 1}, (*MINE[:4], "partner"): {DAY: 1}}
    amends = {(key.value, key.day.toordinal() - DAY): count for key, count in difference(told, kept).items()}
    assert amends == {("me", 1): 1, ("me", 2): -4, ("partner", 0): -1}
