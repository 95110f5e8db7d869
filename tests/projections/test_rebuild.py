"""What a recount adds up is what recording each entry had added, whatever was said."""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from itertools import product
from uuid import UUID

from hypothesis import given as for_any
from hypothesis import strategies as st

from events.entries import Entry, Fact, Retraction, to_text
from events.records import StreamKey
from events.reveals import things_in
from events.rules import Recorded
from projections.rebuild import Said, added_up, difference, hear
from projections.tallies import Key, Tellers, tally
from tests.support.given import ME, NOW, PARTNER, any_entry, any_fact, ask, check_in, settle

STREAM = StreamKey(UUID(int=10), UUID(int=11))
TELLERS = {ME: Tellers(ME, PARTNER), PARTNER: Tellers(PARTNER, ME)}
MINE = (STREAM, ME, "home", "decides", "me")
DAY = date(2026, 6, 15).toordinal()

told = st.lists(st.tuples(st.sampled_from([ME, PARTNER]), any_entry), max_size=20)


def recorded(by: UUID, entry: Entry) -> Counter[Key]:
    """What recording it adds; of a retraction, before that subtracts what it takes back."""
    if isinstance(entry, Retraction):
        return Counter()
    event = Recorded("shared", 1, UUID(int=1), by, NOW, entry)
    return Counter(dict(tally(STREAM, event, TELLERS[by].partner, lambda _: entry)))


def recounted(*parts: list[tuple[UUID | None, bytes]]) -> Counter[Key]:
    """What a stream comes to that is heard in those parts."""
    said = Said()
    for part in parts:
        hear(said, part)
    return difference(added_up(STREAM, TELLERS, said), {})


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
    for domain, one, other in product([None, "home", "money"], [None, "me", "both"], [None, "me", "both"]):
        for felt in (None, {"fair": 1}, {"fair": 2}, {"fair": 1, "close": 2}):
            yield check_in(domain=domain, initiated_by=one, decided_by=other, felt=felt)
        for told in (None, "asked", "counted"):
            yield settle(domain=domain, raised_by=one, decided_by=other, my_input=told)
        yield ask(domain=domain or "other")


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
    said = Said()
    hear(said, [(ME, to_text(entry)) for entry in entries])
    assert said.taken_back == [(ME, e.event_id) for e in entries if isinstance(e, Retraction)]
    assert said.sealed_for == things_in(entries)


def test_only_what_differs_is_amended() -> None:
    told = {MINE: {DAY: 2, DAY + 1: 1}, (*MINE[:4], "both"): {DAY: 1}}
    kept = {MINE: {DAY: 2, DAY + 2: 4}, (*MINE[:4], "both"): {DAY: 1}, (*MINE[:4], "partner"): {DAY: 1}}
    amends = {(key.value, key.day.toordinal() - DAY): count for key, count in difference(told, kept).items()}
    assert amends == {("me", 1): 1, ("me", 2): -4, ("partner", 0): -1}
