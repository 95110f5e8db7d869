"""What may be recorded, and what may not: given what I can read, when I record an entry, then …"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st
from msgspec.structs import replace

from events.entries import (
    Audience,
    CheckIn,
    Decision,
    Ended,
    Entry,
    Erased,
    Fact,
    Opened,
    Opening,
    Request,
    as_shared,
    complete,
)
from events.errors import (
    AlreadyDecided,
    AlreadyRetracted,
    AlreadyTold,
    ConcernsStayPrivate,
    ConsentRequired,
    EmptyCheckIn,
    ExpiresTooEarly,
    IdTaken,
    IncompleteDecision,
    InTheFuture,
    NotActive,
    NotADecisionForBoth,
    NotAnOpening,
    NotARequest,
    NotARequestToMe,
    NotItsDay,
    NotMine,
    NotRetractable,
    OffsetOfNoPlace,
    OpeningWithdrawn,
    OwnDecision,
    OwnRequest,
    Refusal,
    RequestLapsed,
    RequestRetracted,
    RuleBroken,
    SealedAboutNothing,
    SealedForNothing,
    TwoForms,
    UnknownEvent,
)
from events.rules import Recorded, is_late, is_shared, is_shared_later
from tests.support.given import (
    ME,
    MOMENT,
    NEW,
    NOW,
    NOWHERE,
    RECENTLY,
    answer,
    any_entry,
    ask,
    check_in,
    given,
    mine,
    open_up,
    partners,
    recorded,
    retract,
    settle,
)

ID, OTHER_ID, THIRD_ID = (UUID(f"3f0c5a52-8f0e-4a83-9c58-1de3d9f9a00{i}") for i in (1, 2, 3))
OF_NO_PLACE = NOW.astimezone(timezone(timedelta(hours=14, minutes=1)))
LONG_AGO = NOW - timedelta(days=3000)
CLOSING = settle(opening_id=ID, audience="shared")


# Each refusal at least once


REFUSALS: list[tuple[type[Refusal], list[Recorded], Entry, dict[str, Any]]] = [
    (IdTaken, [mine(NEW, check_in(note="another"), "private")], check_in(), {}),
    (ConsentRequired, [], check_in(), {"consented": False}),
    (NotActive, [], ask(), {"active": False}),
    (UnknownEvent, [], check_in(about=NOWHERE), {}),
    (InTheFuture, [], check_in(occurred_at=NOW + timedelta(minutes=6)), {}),
    (OffsetOfNoPlace, [], check_in(occurred_at=OF_NO_PLACE), {}),
    (NotItsDay, [], check_in(day=NOW.date() - timedelta(days=2)), {}),
    (EmptyCheckIn, [], CheckIn(occurred_at=NOW, domain="home"), {}),
    (ConcernsStayPrivate, [], check_in(concerns=["hurt"], audience="shared"), {}),
    (SealedAboutNothing, [], check_in(audience="sealed", sealed_for="about"), {}),
    (SealedForNothing, [], check_in(sealed_for="day"), {}),
    (ExpiresTooEarly, [], ask(expires_at=LONG_AGO), {}),
    (NotARequestToMe, [mine(ID, ask())], ask(in_reply_to=ID), {}),
    (NotARequest, [partners(ID, check_in())], answer(ID, "yes"), {}),
    (OwnRequest, [mine(ID, ask())], answer(ID, "yes"), {}),
    (RequestLapsed, [partners(ID, ask(expires_at=NOW - timedelta(minutes=1)))], answer(ID, "yes", occurred_at=NOW), {}),
    (RequestRetracted, [partners(ID, ask()), partners(OTHER_ID, retract(ID))], answer(ID, "yes"), {}),
    (TwoForms, [partners(ID, ask())], answer(ID, "yes", domain="home"), {}),
    (IncompleteDecision, [], Decision(occurred_at=NOW), {}),
    (OwnDecision, [mine(ID, settle())], settle(about=ID), {}),
    (NotADecisionForBoth, [partners(ID, check_in())], settle(about=ID), {}),
    (AlreadyTold, [partners(ID, settle()), mine(OTHER_ID, settle(about=ID))], settle(about=ID), {}),
    (NotAnOpening, [partners(ID, check_in())], settle(opening_id=ID), {}),
    (OpeningWithdrawn, [mine(ID, open_up()), mine(OTHER_ID, retract(ID))], settle(opening_id=ID), {}),
    (AlreadyDecided, [mine(ID, open_up()), partners(OTHER_ID, settle(opening_id=ID))], CLOSING, {}),
    (NotMine, [partners(ID, check_in())], retract(ID), {}),
    (NotRetractable, [mine(ID, check_in()), mine(OTHER_ID, retract(ID))], retract(OTHER_ID), {}),
    (AlreadyRetracted, [mine(ID, check_in()), mine(OTHER_ID, retract(ID))], retract(ID), {}),
]


@pytest.mark.parametrize(
    ("refusal", "events", "entry", "circumstances"), REFUSALS, ids=[case[0].__name__ for case in REFUSALS]
)
def test_refuses(refusal: type[Refusal], events: list[Recorded], entry: Entry, circumstances: dict[str, Any]) -> None:
    given(*events).when(entry, **circumstances).then(refusal)


def leaves(of: type[Refusal]) -> Iterator[type[Refusal]]:
    if of not in (Refusal, RuleBroken):
        yield of
    for kind in of.__subclasses__():
        yield from leaves(kind)


def test_every_refusal_is_among_these() -> None:
    assert {case[0] for case in REFUSALS} == set(leaves(Refusal))


def test_every_refusal_has_a_code_and_a_sentence_of_its_own() -> None:
    codes = {refusal.code for refusal in leaves(Refusal)}
    details = {refusal().detail for refusal in leaves(Refusal)}
    assert len(codes) == len(details) == len(REFUSALS)
    assert all(detail.endswith(".") and "\n" not in detail for detail in details)


# Openings


def test_an_opening_is_shared_and_either_closes_it_once() -> None:
    given().when(open_up(size="big")).then("shared")
    for opened in (mine(ID, open_up()), partners(ID, open_up())):
        given(opened).when(CLOSING).then("shared")
        for by in (mine, partners):
            given(opened, by(OTHER_ID, CLOSING)).when(CLOSING).then(AlreadyDecided)


def test_where_its_decision_was_taken_back_it_can_be_decided_anew() -> None:
    decided = [mine(ID, open_up()), mine(OTHER_ID, CLOSING)]
    given(*decided, mine(THIRD_ID, retract(OTHER_ID))).when(CLOSING).then("shared")


def test_what_i_keep_to_myself_closes_nothing_and_may_stand_beside_what_does() -> None:
    kept = settle(opening_id=ID, audience="private")
    given(partners(ID, open_up()), mine(OTHER_ID, kept, "private")).when(CLOSING).then("shared")
    given(partners(ID, open_up()), partners(OTHER_ID, CLOSING)).when(kept).then("private")
    # But it can be shared later only while nothing else has closed it.
    given(partners(ID, open_up()), mine(OTHER_ID, kept, "private")).when(CLOSING, OTHER_ID).then("shared")
    events = [partners(ID, open_up()), mine(OTHER_ID, kept, "private"), partners(THIRD_ID, CLOSING)]
    given(*events).when(CLOSING, OTHER_ID).then(AlreadyDecided)


def test_the_other_tells_the_decision_with_about_and_closes_nothing_by_that() -> None:
    decided = [mine(ID, open_up()), partners(OTHER_ID, CLOSING)]
    given(*decided).when(settle(about=OTHER_ID, audience="shared")).then("shared")
    given(*decided).when(settle(about=OTHER_ID, opening_id=ID)).then(TwoForms)
    given(*decided, partners(THIRD_ID, ask())).when(answer(THIRD_ID, "yes", opening_id=ID)).then(TwoForms)


def test_an_opening_that_nobody_can_read_is_none() -> None:
    given().when(settle(opening_id=NOWHERE)).then(UnknownEvent)
    given(mine(ID, check_in(), "private")).when(CLOSING).then(UnknownEvent)


@pytest.mark.parametrize("audience", ["shared", "sealed"])
def test_a_view_is_said_about_it_before_and_after(audience: Any) -> None:
    said = check_in(about=ID, words={"my_view": "Blue", "their_sense": "It is quiet"}, audience=audience)
    where = "private" if audience == "sealed" else "shared"
    given(partners(ID, open_up())).when(said).then(where)  # type: ignore[arg-type]
    given(partners(ID, open_up()), mine(OTHER_ID, CLOSING)).when(said).then(where)  # type: ignore[arg-type]


# Ids and replays


@pytest.mark.parametrize(
    ("entry", "audience"),
    [
        (check_in(), "private"),
        (check_in(), "shared"),
        (ask(), "shared"),
        (settle(), "private"),
        (settle(), "shared"),
    ],
)
def test_the_same_body_again_is_a_replay(entry: Entry, audience: Audience) -> None:
    event = mine(ID, entry, audience)
    again: Any = event.fact
    given(event).when(again, ID).then(event)


@for_any(any_entry, st.sampled_from(["shared", "private"]))
def test_a_replay_comes_before_consent_state_time_and_every_rule(entry: Entry, audience: Audience) -> None:
    event = recorded(ME, ID, entry, audience)
    again: Any = event.fact
    given(event).when(again, ID, now=datetime(1, 1, 1, tzinfo=UTC), consented=False, active=False).then(event)


def test_a_retraction_is_replayed_too() -> None:
    event = mine(OTHER_ID, retract(ID))
    given(mine(ID, check_in()), event).when(retract(ID), OTHER_ID, consented=False, active=False).then(event)


def test_and_is_the_same_one_after_its_id_names_a_shared_entry_as_well() -> None:
    event = mine(OTHER_ID, retract(ID), "private")
    given(mine(ID, check_in(), "private"), event, mine(ID, check_in())).when(retract(ID), OTHER_ID).then(event)


def test_a_decision_is_replayed_after_the_request_is_gone() -> None:
    event = mine(OTHER_ID, answer(ID, "yes"))
    gone = [partners(ID, ask()), event, partners(THIRD_ID, retract(ID))]
    given(*gone).when(answer(ID, "yes"), OTHER_ID, now=NOW + timedelta(days=400)).then(event)


def test_a_telling_is_replayed_after_it_was_told() -> None:
    event = mine(OTHER_ID, settle(about=ID))
    given(partners(ID, settle()), event).when(settle(about=ID, audience="shared"), OTHER_ID).then(event)


@pytest.mark.parametrize(
    ("sent", "again", "audience"),
    [
        (check_in(), check_in(audience="private"), "private"),
        (check_in(audience="private"), check_in(), "private"),
        (settle(), settle(audience="private"), "private"),
        (answer(OTHER_ID, "yes"), answer(OTHER_ID, "yes", audience="shared"), "shared"),
        (answer(OTHER_ID, "yes", audience="shared"), answer(OTHER_ID, "yes"), "shared"),
        (answer(OTHER_ID, "no"), answer(OTHER_ID, "no", audience="private"), "private"),
        (answer(OTHER_ID, "not_now", audience="private"), answer(OTHER_ID, "not_now"), "private"),
    ],
)
def test_a_default_spelled_out_is_the_same_body(sent: Any, again: Entry, audience: Audience) -> None:
    event = mine(ID, sent, audience)
    given(event).when(again, ID).then(event)


def test_so_is_the_default_expiry_counted_from_the_first_recording() -> None:
    event = mine(ID, ask(), at=RECENTLY)
    given(event).when(ask(), ID, now=NOW + timedelta(days=30)).then(event)
    given(event).when(ask(expires_at=RECENTLY + timedelta(days=7)), ID).then(event)
    given(event).when(ask(expires_at=NOW + timedelta(days=7)), ID).then(IdTaken)


def test_so_is_the_day_on_which_it_happened() -> None:
    event = mine(ID, check_in(), "private")
    given(event).when(check_in(day=RECENTLY.date()), ID).then(event)
    given(event).when(check_in(day=RECENTLY.date() - timedelta(days=1)), ID).then(IdTaken)
    dated = mine(ID, check_in(day=RECENTLY.date()), "private")
    given(dated).when(check_in(), ID).then(dated)


@pytest.mark.parametrize("before", [None, NOWHERE])
@pytest.mark.parametrize("again", [None, OTHER_ID, NOWHERE])
def test_which_prompt_it_answers_is_no_part_of_an_entry(before: Any, again: Any) -> None:
    entry = given().when(check_in(prompt_id=before)).entry
    assert entry.prompt_id is None
    event = mine(ID, entry, "private")
    given(event).when(check_in(prompt_id=again), ID).then(event)


def test_null_is_the_same_as_absence() -> None:
    event = mine(ID, check_in(), "private")
    nulls = check_in(domain=None, about=None, felt=None, words=None, audience=None, sealed_for=None)
    given(event).when(nulls, ID).then(event)


def test_the_order_of_what_was_felt_does_not_matter() -> None:
    event = mine(ID, check_in(felt={"fair": 2, "close": 5}), "private")
    given(event).when(check_in(felt={"close": 5, "fair": 2}), ID).then(event)


def test_the_same_instant_in_another_offset_is_another_body() -> None:
    event = mine(ID, check_in(), "private")
    elsewhere = RECENTLY.astimezone(timezone(timedelta(hours=2)))
    given(event).when(check_in(occurred_at=elsewhere), ID).then(IdTaken)


@pytest.mark.parametrize(
    "other",
    [
        check_in(note="a walk "),
        check_in(domain="home"),
        check_in(occurred_at=RECENTLY + MOMENT),
        settle(),
        check_in(felt={}, note="a walk"),
        check_in(day=RECENTLY.date() - timedelta(days=1)),
    ],
)
def test_another_body_under_an_id_of_the_same_stream_is_refused(other: Entry) -> None:
    given(mine(ID, check_in(), "private")).when(other, ID).then(IdTaken)


def test_an_id_is_taken_in_the_shared_stream_whoever_took_it() -> None:
    given(partners(ID, ask())).when(ask(), ID).then(IdTaken)


def test_a_taken_id_comes_before_consent_state_time_and_every_rule() -> None:
    hopeless = ask(occurred_at=NOW + timedelta(days=1), expires_at=NOW)
    given(mine(ID, ask())).when(hopeless, ID, consented=False, active=False).then(IdTaken)


def test_an_id_of_my_private_stream_is_new_in_the_shared_one() -> None:
    given(mine(ID, check_in(), "private")).when(check_in(note="another", audience="shared"), ID).then("shared")


# Sharing later


KEPT: list[Any] = [
    check_in(),
    check_in(audience="sealed"),
    check_in(about=OTHER_ID, felt={"close": 3}),
    settle(),
    settle(about=OTHER_ID),
    answer(THIRD_ID, "no"),
    answer(THIRD_ID, "yes"),
]
READABLE = [partners(OTHER_ID, settle()), partners(THIRD_ID, ask())]


def kept(entry: Any) -> Recorded:
    """The entry as it lies in my private stream."""
    event = mine(ID, entry, "private")
    sealed = complete(entry, RECENTLY)
    return replace(event, fact=sealed) if entry.audience == "sealed" else event


@pytest.mark.parametrize("entry", KEPT)
def test_what_i_keep_private_i_can_share_later_under_its_id(entry: Any) -> None:
    then = given(*READABLE, kept(entry)).when(replace(entry, audience="shared"), ID)
    then.then("shared")
    assert is_shared_later(kept(entry), mine(ID, then.entry))


@pytest.mark.parametrize("entry", KEPT)
def test_and_both_are_replayed_from_then_on(entry: Any) -> None:
    private = kept(entry)
    said: Any = private.fact
    shared = mine(ID, as_shared(said))
    both = given(*READABLE, private, shared)
    both.when(replace(entry, audience=said.audience), ID, consented=False, active=False).then(private)
    both.when(replace(entry, audience="shared"), ID, consented=False, active=False).then(shared)


def test_to_share_needs_what_sharing_always_needs() -> None:
    shared = check_in(audience="shared")
    given(kept(check_in())).when(shared, ID, active=False).then(NotActive)
    given(kept(check_in())).when(shared, ID, consented=False).then(ConsentRequired)
    about_mine = check_in(about=OTHER_ID)
    private = [mine(OTHER_ID, check_in(), "private"), kept(about_mine)]
    given(*private).when(replace(about_mine, audience="shared"), ID).then(UnknownEvent)
    given(*private, mine(OTHER_ID, check_in())).when(replace(about_mine, audience="shared"), ID).then("shared")


def test_a_quiet_no_can_be_shared_after_the_lapse_and_not_after_the_request_is_gone() -> None:
    asked, no = partners(THIRD_ID, ask(expires_at=NOW)), answer(THIRD_ID, "no")
    shared = answer(THIRD_ID, "no", audience="shared")
    given(asked, kept(no)).when(shared, ID, now=NOW + timedelta(days=30)).then("shared")
    gone = partners(OTHER_ID, retract(THIRD_ID))
    given(asked, kept(no), gone).when(shared, ID).then(RequestRetracted)


def test_another_body_under_the_same_id_shares_nothing() -> None:
    another = mine(ID, check_in(note="another"))
    assert not is_shared_later(kept(check_in()), another)
    assert not is_shared_later(kept(check_in()), mine(OTHER_ID, check_in()))
    assert not is_shared_later(kept(check_in()), partners(ID, check_in()))
    assert not is_shared_later(another, another)


def test_a_day_spelled_out_shares_the_same_entry() -> None:
    assert is_shared_later(kept(check_in()), mine(ID, check_in(day=RECENTLY.date())))


def test_who_shares_a_telling_tells_nothing_a_second_time() -> None:
    told, telling = partners(OTHER_ID, settle()), settle(about=OTHER_ID)
    given(told, kept(telling)).when(settle(about=OTHER_ID, audience="shared"), ID).then("shared")
    given(told, kept(telling)).when(settle(about=OTHER_ID, decided_by="both", audience="shared"), ID).then(AlreadyTold)
    given(told, kept(telling)).when(settle(about=OTHER_ID, audience="shared"), THIRD_ID).then(AlreadyTold)
    given(told, mine(ID, telling)).when(settle(about=OTHER_ID), ID).then("private")


def test_once_shared_only_the_shared_telling_stands() -> None:
    shared = [partners(OTHER_ID, settle()), kept(settle(about=OTHER_ID)), mine(ID, settle(about=OTHER_ID))]
    given(*shared).when(settle(about=OTHER_ID)).then(AlreadyTold)
    given(*shared, mine(THIRD_ID, retract(ID))).when(settle(about=OTHER_ID)).then("private")


def test_to_take_it_back_is_to_take_back_the_shared_one() -> None:
    shared = [kept(check_in()), mine(ID, check_in())]
    given(*shared).when(retract(ID)).then("shared")
    given(*shared, mine(THIRD_ID, retract(ID))).when(retract(ID)).then(AlreadyRetracted)


def test_what_was_taken_back_in_private_can_be_shared_anew() -> None:
    gone = [kept(check_in()), mine(THIRD_ID, retract(ID), "private")]
    given(*gone).when(check_in(audience="shared"), ID).then("shared")


def test_an_id_of_the_shared_stream_is_new_in_my_private_one() -> None:
    given(partners(ID, check_in())).when(check_in(), ID).then("private")
    given(mine(ID, check_in())).when(check_in(), ID).then("private")


def test_under_one_id_in_both_streams_each_body_replays_its_own() -> None:
    private, shared = mine(ID, check_in(), "private"), mine(ID, check_in(), "shared")
    given(private, shared).when(check_in(), ID).then(private)
    given(private, shared).when(check_in(audience="shared"), ID).then(shared)
    given(private, shared).when(check_in(audience="shared", note="else"), ID).then(IdTaken)
    given(private, shared).when(check_in(note="else"), ID).then(IdTaken)


@pytest.mark.parametrize(("lies", "elsewhere"), [("shared", "private"), ("private", "shared")])
def test_a_retraction_needs_an_id_that_is_free_where_its_target_lies(lies: Audience, elsewhere: Audience) -> None:
    target = mine(ID, check_in(), lies)
    given(target, mine(OTHER_ID, check_in(), lies)).when(retract(ID), OTHER_ID).then(IdTaken)
    given(target, mine(OTHER_ID, check_in(), elsewhere)).when(retract(ID), OTHER_ID).then(lies)


@pytest.mark.parametrize("audience", ["shared", "private"])
def test_or_that_is_free_in_both_streams_where_its_target_is_nowhere(audience: Audience) -> None:
    given(mine(ID, check_in(), audience)).when(retract(NOWHERE), ID).then(IdTaken)
    given(mine(ID, check_in(), audience)).when(retract(NOWHERE), OTHER_ID).then(UnknownEvent)


# Consent, state, time


def test_without_consent_nothing_private_is_recorded_either() -> None:
    given().when(check_in(), consented=False).then(ConsentRequired)
    given().when(check_in(), consented=True).then("private")


@pytest.mark.parametrize(
    "shared", [ask(), check_in(audience="shared"), settle(audience="shared"), answer(ID, "no", audience="shared")]
)
def test_outside_active_nothing_shared_is_recorded(shared: Entry) -> None:
    given(partners(ID, ask())).when(shared, active=False).then(NotActive)
    given(partners(ID, ask())).when(shared, active=True).then("shared")


@pytest.mark.parametrize(
    "private", [check_in(), settle(), answer(ID, "no"), settle(about=OTHER_ID), check_in(about=ID)]
)
def test_outside_active_everything_private_is_recorded(private: Entry) -> None:
    given(partners(ID, ask()), partners(OTHER_ID, settle())).when(private, active=False).then("private")


def test_a_yes_is_shared_unless_it_says_otherwise() -> None:
    given(partners(ID, ask())).when(answer(ID, "yes"), active=False).then(NotActive)
    given(partners(ID, ask())).when(answer(ID, "yes", audience="private"), active=False).then("private")


def test_outside_active_only_private_entries_are_taken_back() -> None:
    given(mine(ID, check_in())).when(retract(ID), active=False).then(NotActive)
    given(mine(ID, check_in(), "private")).when(retract(ID), active=False).then("private")
    given().when(retract(ID), active=False).then(UnknownEvent)


@pytest.mark.parametrize("make", [check_in, ask, settle])
def test_may_lie_five_minutes_ahead_and_not_a_moment_more(make: Any) -> None:
    limit = NOW + timedelta(minutes=5)
    assert given().when(make(occurred_at=limit)).entry.occurred_at == limit
    given().when(make(occurred_at=limit + MOMENT)).then(InTheFuture)


def test_so_may_a_retraction() -> None:
    limit = NOW + timedelta(minutes=5)
    given(mine(ID, check_in())).when(retract(ID, occurred_at=limit)).then("shared")
    given(mine(ID, check_in())).when(retract(ID, occurred_at=limit + MOMENT)).then(InTheFuture)


def test_ahead_is_measured_in_time_not_on_the_wall() -> None:
    there = timezone(timedelta(hours=14))
    given().when(check_in(occurred_at=NOW.astimezone(there))).then("private")
    given().when(check_in(occurred_at=NOW.replace(tzinfo=timezone(-timedelta(hours=1))))).then(InTheFuture)


@pytest.mark.parametrize("hours", [-12, 0, 14])
def test_any_past_time_will_do(hours: int) -> None:
    earliest = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=hours)))
    given().when(check_in(occurred_at=earliest)).then("private")
    assert is_late(mine(ID, check_in(occurred_at=earliest)))


def test_late_is_more_than_48_hours() -> None:
    two_days = timedelta(hours=48)
    assert not is_late(mine(ID, check_in(occurred_at=NOW - two_days), at=NOW))
    assert is_late(mine(ID, check_in(occurred_at=NOW - two_days - MOMENT), at=NOW))
    assert not is_late(mine(ID, check_in(occurred_at=NOW + timedelta(minutes=5)), at=NOW))


@pytest.mark.parametrize("fact", [Opened(), Ended()])
def test_what_the_service_says_is_never_late(fact: Fact) -> None:
    assert not is_late(recorded(None, ID, fact))


# Check-ins


@pytest.mark.parametrize(
    "said",
    [
        {"initiated_by": "neither"},
        {"decided_by": "me"},
        {"felt": {"fair": 1}},
        {"words": {"": ""}},
        {"note": "."},
        {"concerns": ["afraid"]},
    ],
)
def test_a_check_in_says_at_least_one_thing(said: dict[str, Any]) -> None:
    given().when(CheckIn(occurred_at=RECENTLY, **said)).then("private")


@pytest.mark.parametrize(
    "said",
    [{}, {"domain": "home", "prompt_id": ID}, {"about": ID}, {"felt": {}, "words": {}, "concerns": [], "note": ""}],
)
def test_what_says_nothing_is_no_check_in(said: dict[str, Any]) -> None:
    given(partners(ID, ask())).when(CheckIn(occurred_at=RECENTLY, **said)).then(EmptyCheckIn)


@pytest.mark.parametrize(("audience", "outcome"), [(None, "private"), ("private", "private")])
def test_concerns_go_into_a_private_check_in(audience: Any, outcome: Any) -> None:
    given().when(check_in(concerns=["hurt", "afraid"], audience=audience)).then(outcome)


@pytest.mark.parametrize("audience", ["shared", "sealed"])
def test_and_into_no_other(audience: Any) -> None:
    given().when(check_in(concerns=["hurt"], audience=audience)).then(ConcernsStayPrivate)


def test_nor_can_they_be_shared_later() -> None:
    kept = mine(ID, check_in(concerns=["hurt"], audience="private"), "private")
    given(kept).when(check_in(concerns=["hurt"], audience="shared"), ID).then(ConcernsStayPrivate)


@pytest.mark.parametrize("audience", [None, "private", "shared"])
def test_sealed_for_goes_with_sealed_only(audience: Any) -> None:
    given().when(check_in(audience=audience, sealed_for="about")).then(SealedForNothing)


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("sealed_for", [None, "about", "day", "week"])
def test_a_sealed_check_in_lies_in_private_whatever_the_state(sealed_for: Any, active: bool) -> None:
    sealed = check_in(audience="sealed", sealed_for=sealed_for, about=ID)
    given(partners(ID, ask())).when(sealed, active=active).then("private")


@pytest.mark.parametrize("sealed_for", [None, "about", "day", "week"])
def test_a_sealed_check_in_refers_to_what_both_can_read(sealed_for: Any) -> None:
    sealed = check_in(audience="sealed", sealed_for=sealed_for, about=ID)
    given(mine(ID, ask(), "private")).when(sealed).then(UnknownEvent)
    given().when(sealed).then(UnknownEvent)


@pytest.mark.parametrize(("about", "meant"), [(None, "day"), (ID, "about")])
def test_it_is_sealed_for_what_it_is_about_or_else_for_its_day(about: Any, meant: str) -> None:
    entry = given(partners(ID, ask())).when(check_in(audience="sealed", about=about)).entry
    assert entry.sealed_for == meant


@pytest.mark.parametrize("fact", [check_in(), ask(), settle(), retract(NOWHERE)])
def test_a_check_in_may_be_about_any_event(fact: Entry) -> None:
    given(partners(ID, fact)).when(check_in(about=ID, audience="shared")).then("shared")
    given(mine(ID, fact)).when(check_in(about=ID)).then("private")


@pytest.mark.parametrize(("days_before", "outcome"), [(-1, NotItsDay), (0, "private"), (1, "private"), (2, NotItsDay)])
@pytest.mark.parametrize("hours", [-12, 0, 14])
def test_a_check_in_is_of_its_own_date_or_the_one_before(days_before: int, outcome: Any, hours: int) -> None:
    at = NOW.astimezone(timezone(timedelta(hours=hours)))
    given().when(check_in(occurred_at=at, day=at.date() - timedelta(days=days_before))).then(outcome)


@pytest.mark.parametrize("at", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
@pytest.mark.parametrize("day", [date.min, date.max])
def test_at_the_ends_of_the_calendar_too(at: datetime, day: date) -> None:
    expected: Any = "private" if at.date() == day else NotItsDay
    given().when(check_in(occurred_at=at, day=day), now=datetime(9999, 12, 31, tzinfo=UTC)).then(expected)


# Requests


def test_a_request_expires_after_it_was_made() -> None:
    given().when(ask(expires_at=RECENTLY)).then(ExpiresTooEarly)
    given().when(ask(expires_at=RECENTLY + MOMENT)).then("shared")


def test_a_request_made_offline_may_have_lapsed_before_it_is_recorded() -> None:
    given().when(ask(occurred_at=LONG_AGO, expires_at=LONG_AGO + timedelta(days=1))).then("shared")


def test_a_counter_offer_replies_to_a_request_of_the_other() -> None:
    assert given(partners(ID, ask())).when(ask(in_reply_to=ID)).entry.in_reply_to == ID


@pytest.mark.parametrize("event", [mine(ID, ask()), partners(ID, check_in()), partners(ID, settle())])
def test_and_to_nothing_else(event: Recorded) -> None:
    given(event).when(ask(in_reply_to=ID)).then(NotARequestToMe)


# Decisions about a request


@pytest.mark.parametrize(("outcome", "audience"), [("yes", "shared"), ("not_now", "private"), ("no", "private")])
def test_a_yes_is_shared_and_a_no_is_quiet(outcome: str, audience: Audience) -> None:
    decision = given(partners(ID, ask())).when(answer(ID, outcome))
    decision.then(audience)
    assert decision.entry.audience == audience


@pytest.mark.parametrize("outcome", ["yes", "not_now", "no"])
@pytest.mark.parametrize("audience", ["shared", "private"])
def test_unless_the_decision_says_otherwise(outcome: str, audience: Audience) -> None:
    given(partners(ID, ask())).when(answer(ID, outcome, audience=audience)).then(audience)


def test_a_request_may_be_decided_several_times() -> None:
    no, yes = mine(OTHER_ID, answer(ID, "no"), "private"), mine(THIRD_ID, answer(ID, "yes"))
    given(partners(ID, ask()), no, yes).when(answer(ID, "yes")).then("shared")
    given(partners(ID, ask()), no, yes).when(answer(ID, "no")).then("private")


@pytest.mark.parametrize("audience", ["shared", "private"])
def test_a_decision_may_occur_up_to_the_instant_of_expiry(audience: Audience) -> None:
    lapse = NOW - timedelta(minutes=10)
    asked = given(partners(ID, ask(expires_at=lapse)))
    asked.when(answer(ID, "no", audience=audience, occurred_at=lapse)).then(audience)
    asked.when(answer(ID, "no", audience=audience, occurred_at=lapse + MOMENT)).then(RequestLapsed)


def test_the_time_of_deciding_counts_not_that_of_recording() -> None:
    asked = given(partners(ID, ask(expires_at=NOW)))
    asked.when(answer(ID, "yes", occurred_at=NOW - MOMENT), now=NOW + timedelta(days=365)).then("shared")


def test_a_request_without_an_expiry_lapses_after_seven_days() -> None:
    lapse = RECENTLY + timedelta(days=7)
    asked = given(partners(ID, ask(), at=RECENTLY))
    asked.when(answer(ID, "yes", occurred_at=lapse), now=lapse).then("shared")
    asked.when(answer(ID, "yes", occurred_at=lapse + MOMENT), now=lapse).then(RequestLapsed)


def test_a_decision_may_have_occurred_before_the_request() -> None:
    given(partners(ID, ask())).when(answer(ID, "yes", occurred_at=LONG_AGO)).then("shared")


@pytest.mark.parametrize("outcome", ["yes", "no"])
def test_what_was_taken_back_cannot_be_decided(outcome: str) -> None:
    gone = given(partners(ID, ask()), partners(OTHER_ID, retract(ID)))
    gone.when(answer(ID, outcome)).then(RequestRetracted)
    gone.when(answer(ID, outcome, occurred_at=LONG_AGO)).then(RequestRetracted)


def test_a_private_entry_of_mine_taken_back_under_the_same_id_is_not_the_request() -> None:
    same_id = [mine(ID, check_in(), "private"), mine(OTHER_ID, retract(ID), "private")]
    given(partners(ID, ask()), *same_id).when(answer(ID, "yes")).then("shared")


def test_a_decided_request_may_still_be_taken_back() -> None:
    given(mine(ID, ask()), partners(OTHER_ID, answer(ID, "yes"))).when(retract(ID)).then("shared")


GONE = partners(ID, Erased())
ABOUT_WHAT_IS_GONE = [
    answer(ID, "yes"),
    answer(ID, "no", note="x"),
    answer(ID, "no", audience="shared", occurred_at=LONG_AGO),
    settle(about=ID),
    settle(about=ID, audience="shared", decided_by="partner"),
    check_in(about=ID, audience="shared"),
    check_in(about=ID),
    check_in(about=ID, audience="sealed"),
]


@pytest.mark.parametrize("entry", ABOUT_WHAT_IS_GONE)
def test_answers_and_tellings_about_what_is_gone_stay_with_who_tells(entry: Any) -> None:
    then = given(GONE).when(entry, NEW, active=False)
    then.then("private")
    assert then.entry.audience in ("private", "sealed")
    kept = given(GONE, Recorded("private", 1, NEW, ME, RECENTLY, then.entry))
    kept.when(entry, NEW, active=False, consented=False).then(kept.known.events["private", NEW])


def test_what_was_shared_about_it_before_is_replayed_as_it_was() -> None:
    for entry in (answer(ID, "yes"), settle(about=ID, audience="shared"), check_in(about=ID, audience="shared")):
        first = mine(NEW, entry)
        given(GONE, first).when(entry, NEW, active=False).then(first)


def test_a_second_telling_of_what_is_gone_is_refused_too() -> None:
    given(GONE, mine(OTHER_ID, settle(about=ID), "private")).when(settle(about=ID, audience="shared")).then(AlreadyTold)


def test_what_is_gone_mends_no_entry_that_breaks_a_rule() -> None:
    for entry, refusal in (
        (check_in(about=ID, audience="shared", sealed_for="day"), SealedForNothing),
        (answer(ID, "yes", size="big"), TwoForms),
        (answer(ID, "yes", occurred_at=NOW + timedelta(hours=1)), InTheFuture),
    ):
        given(GONE).when(entry, active=False).then(refusal)
    given(GONE).when(answer(ID, "yes"), active=False, consented=False).then(ConsentRequired)


def test_after_the_end_what_is_there_still_is_not_told_in_private_instead() -> None:
    for entry in (answer(ID, "yes"), check_in(about=ID, audience="shared")):
        given(partners(ID, ask())).when(entry, active=False).then(NotActive)


def test_my_own_request_is_not_mine_to_decide() -> None:
    given(mine(ID, ask())).when(answer(ID, "no")).then(OwnRequest)


@pytest.mark.parametrize("fact", [check_in(), settle(), retract(NOWHERE), answer(NOWHERE, "yes")])
def test_only_a_request_can_be_decided(fact: Entry) -> None:
    given(partners(ID, fact)).when(answer(ID, "no")).then(NotARequest)


# The two forms of a decision


@pytest.mark.parametrize(
    "more",
    [
        {"domain": "home"},
        {"text": "x"},
        {"text": ""},
        {"size": "big"},
        {"raised_by": "me"},
        {"decided_by": "both"},
        {"my_input": "counted"},
        {"as_agreed": True},
        {"as_agreed": False},
        {"about": OTHER_ID},
    ],
)
def test_a_decision_about_a_request_has_nothing_of_one_for_both(more: dict[str, Any]) -> None:
    asked = given(partners(ID, ask()), partners(OTHER_ID, settle()))
    asked.when(answer(ID, "yes", **more)).then(TwoForms)
    asked.when(answer(ID, "yes", note="gladly")).then("shared")


@pytest.mark.parametrize("more", [{"note": "x"}, {"note": ""}, {"request_id": ID}, {"outcome": "yes"}])
def test_a_decision_for_both_has_nothing_of_one_about_a_request(more: dict[str, Any]) -> None:
    given(partners(ID, ask())).when(settle(**more)).then(TwoForms)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"request_id": ID},
        {"outcome": "yes"},
        {"outcome": "no", "note": "x"},
        {"domain": "home"},
        {"decided_by": "me"},
        {"text": "x", "size": "small", "raised_by": "me", "my_input": "asked"},
    ],
)
def test_a_decision_has_one_form_whole(fields: dict[str, Any]) -> None:
    given(partners(ID, ask())).when(Decision(occurred_at=RECENTLY, **fields)).then(IncompleteDecision)


def test_a_decision_for_both_may_say_all_there_is() -> None:
    whole = settle(text="x", size="small", raised_by="both", my_input="partly", about=ID, audience="shared")
    whole = replace(whole, as_agreed=False)
    given(partners(ID, settle())).when(whole).then("shared")


def test_a_decision_for_both_is_private_unless_it_says_otherwise() -> None:
    given().when(settle()).then("private")
    given().when(settle(audience="shared")).then("shared")


# Tellings


@pytest.mark.parametrize("audience", ["shared", "private"])
def test_i_tell_once_what_the_other_decided_and_shared(audience: Audience) -> None:
    given(partners(ID, settle())).when(settle(about=ID, audience=audience)).then(audience)


@pytest.mark.parametrize("first", ["shared", "private"])
@pytest.mark.parametrize("second", ["shared", "private"])
def test_a_second_telling_is_refused_whoever_reads_it(first: Audience, second: Audience) -> None:
    told = given(partners(ID, settle()), mine(OTHER_ID, settle(about=ID), first))
    told.when(settle(about=ID, audience=second)).then(AlreadyTold)


@pytest.mark.parametrize("audience", ["shared", "private"])
def test_until_the_first_is_taken_back(audience: Audience) -> None:
    told = [partners(ID, settle()), mine(OTHER_ID, settle(about=ID), audience)]
    given(*told, mine(THIRD_ID, retract(OTHER_ID), audience)).when(settle(about=ID)).then("private")


def test_and_a_third_after_taking_back_and_telling_again_is_refused() -> None:
    told = [partners(ID, settle()), mine(OTHER_ID, settle(about=ID)), mine(THIRD_ID, retract(OTHER_ID))]
    given(*told, mine(NOWHERE, settle(about=ID))).when(settle(about=ID)).then(AlreadyTold)


def test_taking_back_another_entry_of_the_same_id_frees_no_telling() -> None:
    told = [partners(ID, settle()), mine(OTHER_ID, settle(about=ID))]
    another = [mine(OTHER_ID, check_in(), "private"), mine(THIRD_ID, retract(OTHER_ID), "private")]
    given(*told, *another).when(settle(about=ID)).then(AlreadyTold)


@pytest.mark.parametrize(
    "others",
    [
        [partners(OTHER_ID, settle()), mine(THIRD_ID, settle(about=OTHER_ID))],
        [partners(OTHER_ID, settle(about=ID))],
        [mine(ID, settle(), "private"), mine(OTHER_ID, retract(ID), "private")],
        [mine(OTHER_ID, check_in(about=ID))],
    ],
)
def test_nothing_else_counts_as_my_telling(others: list[Recorded]) -> None:
    given(partners(ID, settle()), *others).when(settle(about=ID)).then("private")


@pytest.mark.parametrize("audience", ["shared", "private"])
def test_my_own_decision_is_my_telling_already(audience: Audience) -> None:
    given(mine(ID, settle(), audience)).when(settle(about=ID)).then(OwnDecision)


@pytest.mark.parametrize("fact", [check_in(), ask(), answer(NOWHERE, "yes"), retract(NOWHERE), settle(about=NOWHERE)])
def test_only_a_decision_for_both_can_be_told(fact: Entry) -> None:
    given(partners(ID, fact)).when(settle(about=ID)).then(NotADecisionForBoth)


# Retractions


@pytest.mark.parametrize("fact", [check_in(), settle(), answer(NOWHERE, "no")])
@pytest.mark.parametrize("audience", ["shared", "private"])
def test_a_retraction_lies_where_its_target_lies(fact: Entry, audience: Audience) -> None:
    given(mine(ID, fact, audience)).when(retract(ID)).then(audience)


def test_a_retraction_means_my_own_entry_even_where_the_partners_has_the_same_id() -> None:
    given(partners(ID, check_in()), mine(ID, check_in(), "private")).when(retract(ID)).then("private")


def test_a_retraction_may_have_occurred_before_its_target() -> None:
    given(mine(ID, check_in())).when(retract(ID, occurred_at=LONG_AGO)).then("shared")


@pytest.mark.parametrize("fact", [check_in(), ask(), settle(), retract(NOWHERE)])
def test_only_my_own_entries_are_taken_back(fact: Entry) -> None:
    given(partners(ID, fact)).when(retract(ID)).then(NotMine)


@pytest.mark.parametrize("fact", [Opened(), Ended()])
def test_what_the_service_says_is_nobodys_to_take_back(fact: Fact) -> None:
    given(recorded(None, ID, fact)).when(retract(ID)).then(NotMine)


@pytest.mark.parametrize("audience", ["shared", "private"])
def test_an_entry_is_taken_back_once(audience: Audience) -> None:
    gone = given(mine(ID, check_in(), audience), mine(OTHER_ID, retract(ID), audience))
    gone.when(retract(ID, occurred_at=NOW)).then(AlreadyRetracted)


def test_a_decision_that_the_other_has_told_as_well_may_be_taken_back() -> None:
    told = [mine(ID, settle()), partners(OTHER_ID, settle(about=ID))]
    given(*told).when(retract(ID)).then("shared")
    given(*told, mine(THIRD_ID, retract(ID))).when(retract(ID)).then(AlreadyRetracted)


@pytest.mark.parametrize("audience", ["shared", "private"])
def test_a_retraction_is_not_taken_back(audience: Audience) -> None:
    gone = given(mine(ID, check_in(), audience), mine(OTHER_ID, retract(ID), audience))
    gone.when(retract(OTHER_ID)).then(NotRetractable)


def test_of_two_entries_of_one_id_the_shared_one_is_taken_back() -> None:
    both = [mine(ID, check_in(), "private"), mine(ID, check_in(), "shared")]
    given(*both).when(retract(ID)).then("shared")
    given(*both, mine(OTHER_ID, retract(ID), "shared")).when(retract(ID)).then(AlreadyRetracted)


def test_the_shared_one_may_be_taken_back_after_the_private_one_was() -> None:
    gone = [mine(ID, check_in(), "private"), mine(OTHER_ID, retract(ID), "private")]
    given(*gone, mine(ID, check_in(), "shared")).when(retract(ID)).then("shared")


def test_my_own_one_is_meant_where_the_other_has_shared_one_of_the_same_id() -> None:
    two = [partners(ID, check_in(), "shared"), mine(ID, check_in(), "private")]
    given(*two).when(retract(ID)).then("private")
    given(*two, mine(OTHER_ID, retract(ID), "private")).when(retract(ID)).then(AlreadyRetracted)


# References


REFERRING: list[Any] = [
    lambda target: check_in(about=target),
    lambda target: check_in(about=target, audience="shared"),
    lambda target: ask(in_reply_to=target),
    lambda target: answer(target, "yes"),
    lambda target: answer(target, "no"),
    lambda target: settle(about=target),
    lambda target: settle(about=target, audience="shared"),
    retract,
]


@pytest.mark.parametrize("refer", REFERRING)
def test_an_entry_refers_to_what_its_author_can_read(refer: Any) -> None:
    given(partners(ID, ask()), mine(OTHER_ID, settle())).when(refer(NOWHERE)).then(UnknownEvent)


SHARED_REFERRING: list[tuple[Entry, Fact]] = [
    (check_in(about=ID, audience="shared"), check_in()),
    (ask(in_reply_to=ID), check_in()),
    (answer(ID, "yes"), check_in()),
    (answer(ID, "no", audience="shared"), check_in()),
    (settle(about=ID, audience="shared"), settle()),
]


@pytest.mark.parametrize(("entry", "fact"), SHARED_REFERRING)
def test_a_shared_entry_refers_to_nothing_private_of_mine(entry: Entry, fact: Fact) -> None:
    given(mine(ID, fact, "private")).when(entry).then(UnknownEvent)


def test_a_private_entry_refers_to_whatever_i_can_read() -> None:
    given(mine(ID, check_in(), "private")).when(check_in(about=ID)).then("private")
    given(partners(ID, check_in())).when(check_in(about=ID)).then("private")


def test_a_reference_means_the_shared_event_where_its_id_names_two() -> None:
    two = given(partners(ID, ask()), mine(ID, check_in(), "private"))
    two.when(answer(ID, "no")).then("private")
    two.when(answer(ID, "yes")).then("shared")


# What an entry says of itself, before the log is looked at


@pytest.mark.parametrize(
    ("entry", "shared"),
    [
        (ask(), True),
        (open_up(), True),
        (answer(ID, "yes"), True),
        (answer(ID, "no"), False),
        (answer(ID, "no", audience="shared"), True),
        (settle(), False),
        (settle(audience="shared"), True),
        (check_in(), False),
        (check_in(audience="shared"), True),
        (check_in(audience="sealed"), False),
        (retract(ID), False),
    ],
)
def test_whether_an_entry_says_that_it_is_shared(entry: Entry, shared: bool) -> None:
    assert is_shared(entry) == shared


@for_any(any_entry)
def test_which_can_be_said_of_any_entry_at_any_time(entry: Entry) -> None:
    said = getattr(entry, "audience", None)
    assert is_shared(entry) == (said == "shared" or (said is None and is_shared_by_nature(entry)))


def is_shared_by_nature(entry: Entry) -> bool:
    return isinstance(entry, Request | Opening) or (isinstance(entry, Decision) and entry.outcome == "yes")


@pytest.mark.parametrize("hours", [-12, 0, 14])
def test_the_last_day_of_the_calendar_is_ahead_like_any_other(hours: int) -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=hours)))
    given().when(check_in(occurred_at=last)).then(InTheFuture)
    given().when(ask(expires_at=last)).then("shared")
    assert is_shared(ask(occurred_at=last))
