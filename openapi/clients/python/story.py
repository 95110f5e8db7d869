"""The whole story of two people, told to a running service through the generated client.

python story.py http://127.0.0.1:8000 console.txt

The second argument is the file that the console of `make serve` goes to: the mailed codes are read there.
"""

import base64
import os
import re
import sys
import time
from datetime import date, datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

from mutuality_client.api.be_asked import (
    get_schedule,
    list_devices,
    list_prompts,
    list_questions,
    put_schedule,
    register_device,
)
from mutuality_client.api.leave import export_me, leave
from mutuality_client.api.me import change_me, get_me, give_consent, list_pauses, put_pause
from mutuality_client.api.read import (
    get_balances,
    get_changes,
    get_home,
    get_perspectives,
    get_review,
    get_roles,
    get_trend,
    get_voice,
    list_events,
    list_openings,
    list_requests,
)
from mutuality_client.api.record import (
    record_check_in,
    record_decision,
    record_opening,
    record_request,
    record_retraction,
    sync,
)
from mutuality_client.api.relationships import accept_invite, confirm, get_relationship, invite, make_relationship
from mutuality_client.api.sign_in import refresh_session, send_sign_in_code, send_step_up_code, sign_in, step_up
from mutuality_client.client import AuthenticatedClient, Client
from mutuality_client.models import (
    Audience,
    CheckInAudience,
    CheckInEntry,
    CheckInEntryFelt,
    ConsentGiven,
    CountedWhen,
    DecisionEntry,
    DecisionSize,
    DeviceRegistration,
    Domain,
    EmptyObject,
    EntryKind,
    ErrorCode,
    Event,
    EventKind,
    FeltItem,
    InviteAcceptance,
    Measure,
    MyInput,
    NewRelationship,
    OfflineQueue,
    OpeningEntry,
    OpeningState,
    PauseSet,
    PerspectiveMeasure,
    Platform,
    Problem,
    ProfileChange,
    PushEnvironment,
    PushKeys,
    PushProvider,
    PushSubscription,
    QueuedEntry,
    QueuedStatus,
    RelationshipState,
    RequestEntry,
    RequestOutcome,
    RequestsShown,
    RetractionEntry,
    ScheduledCheckIn,
    ScheduledQuestion,
    SessionRefresh,
    SignIn,
    SignInCodeRequest,
    SplitReading,
    StepUpCode,
    TrendPoint,
    Weekday,
    Who,
)
from mutuality_client.types import UNSET, Response

T = TypeVar("T")

BASE_URL, MAILS = sys.argv[1:]


class Refused(Exception):
    """What the service refused: programs look at `problem.code`, people read the message."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def answered(response: Response[Problem | T]) -> T:
    """The body of an answer. Raises Refused."""
    if isinstance(response.parsed, Problem):
        raise Refused(response.parsed)
    return response.parsed  # type: ignore[return-value]  # None where there is no body


def mailed_code(address: str, purpose: str) -> str:
    """The code in the last mail to that address that is for this."""
    for _ in range(200):
        mails = Path(MAILS).read_text().split("--- mail to ")
        fitting = [one for one in mails if one.startswith(f"{address} ") and f"Your code to {purpose}" in one]
        if fitting and (found := re.search(r"\d{4} \d{4}", fitting[-1])):
            return found.group()
        time.sleep(0.05)
    raise AssertionError(f"no mail came to {address}")


def now() -> datetime:
    """Local time with the offset of the place, whose date is the day on which an entry counts."""
    return datetime.now().astimezone()


def sign_in_as(address: str) -> AuthenticatedClient:
    """A phone that is signed in."""
    nobody = Client(base_url=BASE_URL)
    attempt = answered(send_sign_in_code.sync_detailed(client=nobody, body=SignInCodeRequest(email=address)))
    code = mailed_code(address, "sign in")
    body = SignIn(attempt_id=attempt.attempt_id, code=code, device_name="a phone in Python")
    first = answered(sign_in.sync_detailed(client=nobody, body=body))
    again = SessionRefresh(refresh_token=first.refresh_token)
    following = answered(refresh_session.sync_detailed(client=nobody, body=again))
    assert following.member_id == first.member_id
    return AuthenticatedClient(base_url=BASE_URL, token=following.access_token)


def consent(phone: AuthenticatedClient) -> None:
    """Agree to the version in force, and choose a name."""
    me = answered(get_me.sync_detailed(client=phone))
    assert me.consent.accepted is None
    given = ConsentGiven(version=me.consent.version, adult=True)
    answered(give_consent.sync_detailed(client=phone, body=given))
    answered(change_me.sync_detailed(client=phone, body=ProfileChange(name="Robin", time_zone="Europe/Berlin")))


def link(one: AuthenticatedClient, two: AuthenticatedClient) -> UUID:
    """Two become linked: begin, invite, accept, confirm."""
    made = answered(make_relationship.sync_detailed(client=one, body=NewRelationship(id=uuid4())))
    code = answered(invite.sync_detailed(made.id, client=one)).code
    accepted = answered(accept_invite.sync_detailed(client=two, body=InviteAcceptance(code=code)))
    assert accepted.relationship_id == made.id
    confirmed = answered(confirm.sync_detailed(made.id, client=one))
    assert confirmed.state is RelationshipState.ACTIVE
    assert confirmed.partner
    assert confirmed.partner.name == "Robin"
    return made.id


# A point of P-256 that belongs to nobody, as a browser would give it out.
BROWSER_KEY = "BGA5LiHa5G1IKuIrx5I9DDnnwHMBGFM-icIgKhdRwWRk-sypvBdtiVh2v0PNrXUZ2W7arPx0QN5EniZ9W6zfYuU"


def register_devices(phone: AuthenticatedClient) -> None:
    """A browser's subscription, and a phone's token."""
    secret = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
    endpoint = f"https://updates.push.services.mozilla.com/wpush/v2/{uuid4()}"
    subscription = PushSubscription(endpoint=endpoint, keys=PushKeys(p256dh=BROWSER_KEY, auth=secret))
    browser = DeviceRegistration(Platform.WEB, PushProvider.WEBPUSH, subscription=subscription)
    apple = DeviceRegistration(
        Platform.IOS, PushProvider.APNS, token=os.urandom(32).hex(), environment=PushEnvironment.SANDBOX
    )
    for body in (browser, apple):
        assert None not in body.to_dict().values()
        assert answered(register_device.sync_detailed(uuid4(), client=phone, body=body)).platform is body.platform
    assert len(answered(list_devices.sync_detailed(client=phone)).devices) == 2


def record(one: AuthenticatedClient, two: AuthenticatedClient, rid: UUID) -> None:
    """One records something of each kind; the other answers."""
    felt = CheckInEntryFelt()
    felt.additional_properties = {"heard": 6, "room_for_me": 5}
    entry = CheckInEntry(
        now(), domain=Domain.HOME, initiated_by=Who.ME, felt=felt, audience=CheckInAudience.SHARED, note="A walk."
    )
    entry_id = uuid4()
    told = answered(record_check_in.sync_detailed(rid, entry_id, client=one, body=entry))
    assert answered(record_check_in.sync_detailed(rid, entry_id, client=one, body=entry)) == told
    assert told.event.day == entry.occurred_at.date()
    assert told.event.check_in
    assert told.event.check_in.occurred_at.utcoffset() == entry.occurred_at.utcoffset()

    wanted = RequestEntry(now(), Domain.TIME, text="An evening for the two of us?")
    request = answered(record_request.sync_detailed(rid, uuid4(), client=one, body=wanted))
    decide(two, rid, DecisionEntry(now(), request_id=request.event.id, outcome=RequestOutcome.YES))
    mine = decide(
        one,
        rid,
        DecisionEntry(
            now(),
            domain=Domain.MONEY,
            size=DecisionSize.BIG,
            decided_by=Who.BOTH,
            my_input=MyInput.COUNTED,
            audience=Audience.SHARED,
        ),
    )
    theirs = DecisionEntry(now(), domain=Domain.MONEY, decided_by=Who.PARTNER, about=mine, audience=Audience.SHARED)
    decide(two, rid, theirs)
    wondering = OpeningEntry(now(), Domain.PLANS, text="Where to in summer?")
    opening = answered(record_opening.sync_detailed(rid, uuid4(), client=two, body=wondering))
    back = RetractionEntry(now(), opening.event.id)
    answered(record_retraction.sync_detailed(rid, uuid4(), client=two, body=back))


def decide(phone: AuthenticatedClient, rid: UUID, decision: DecisionEntry) -> UUID:
    """Record a decision of either form; the id under which it is known."""
    return answered(record_decision.sync_detailed(rid, uuid4(), client=phone, body=decision)).event.id


def synchronise(phone: AuthenticatedClient, rid: UUID) -> None:
    """The offline queue up, the news down; a bad entry blocks no other, and an unknown kind no event."""
    felt = CheckInEntryFelt()
    felt.additional_properties = {"close": 7}
    entries = [
        QueuedEntry(uuid4(), EntryKind.CHECK_IN, check_in=CheckInEntry(now(), felt=felt)),
        QueuedEntry(uuid4(), EntryKind.RETRACTION, retraction=RetractionEntry(now(), uuid4())),
    ]
    queue = OfflineQueue(entries, shared_after=0, private_after=0)
    answer = answered(sync.sync_detailed(rid, client=phone, body=queue))
    assert [one.status for one in answer.results] == [QueuedStatus.RECORDED, QueuedStatus.REFUSED]
    refused = answer.results[1].problem
    assert refused
    assert refused.code is ErrorCode.UNKNOWN_EVENT
    tomorrows = Event.from_dict({**answer.shared.events[0].to_dict(), "kind": "of_tomorrow"})
    known = [one for one in [*answer.shared.events, tomorrows] if one.kind is not EventKind.UNKNOWN_DEFAULT_OPEN_API]
    assert known == answer.shared.events


def read(phone: AuthenticatedClient, rid: UUID) -> None:
    """Every figure that a screen can show."""
    first = get_balances.sync_detailed(rid, client=phone, window=28)
    balances = answered(first)
    assert balances.asks.counts.me == 1
    assert balances.asks.reading is SplitReading.TOO_FEW
    unchanged = get_balances.sync_detailed(rid, client=phone, window=28, if_none_match=first.headers["ETag"])
    assert unchanged.status_code == 304
    for measure in Measure:
        if measure is Measure.UNKNOWN_DEFAULT_OPEN_API:
            continue
        item = FeltItem.HEARD if measure is Measure.FELT else UNSET
        when = CountedWhen.BOTH_DECIDED if measure is Measure.COUNTED else UNSET
        answer = get_trend.sync_detailed(rid, client=phone, measure=measure, window=28, step=7, item=item, when=when)
        trend = answered(answer)
        assert trend.measure is measure
        assert all(isinstance(one, int) for point in trend.mine for one in counts_of(point))
    decides = answered(get_perspectives.sync_detailed(rid, client=phone, measure=PerspectiveMeasure.DECIDES))
    assert decides.values == ["me", "partner", "both", "neither"]
    felt = get_perspectives.sync_detailed(rid, client=phone, measure=PerspectiveMeasure.FELT, item=FeltItem.HEARD)
    assert answered(felt).values == [1, 2, 3, 4, 5, 6, 7]
    assert len(answered(get_roles.sync_detailed(rid, client=phone)).mine.table) == 4
    figures = answered(get_home.sync_detailed(rid, client=phone)).figures
    assert all(one.mine is None or len(one.mine.line) == 13 for one in figures)
    assert answered(get_voice.sync_detailed(rid, client=phone)).both.n == 0
    assert answered(get_changes.sync_detailed(rid, client=phone, quarter="2024-Q1")).quarter == "2024-Q1"
    month = f"{now():%Y-%m}"
    assert all(one.text for one in answered(get_review.sync_detailed(rid, month, client=phone)).sentences)
    requests = answered(list_requests.sync_detailed(rid, client=phone, state=RequestsShown.RECENT)).requests
    assert [str(one.state) for one in requests] == ["decided"]
    withdrawn = list_openings.sync_detailed(rid, client=phone, state=OpeningState.WITHDRAWN)
    assert len(answered(withdrawn).openings) == 1
    page = answered(list_events.sync_detailed(rid, client=phone, stream=Audience.SHARED, proof=True))
    assert page.head.position == len(page.events)
    assert all(one.proof for one in page.events)


def counts_of(point: TrendPoint) -> list[object]:
    """The numbers in a point: of a split by who, of what was felt by step, else none."""
    if isinstance(point.counts, dict):
        return list(point.counts.values())
    return point.counts if isinstance(point.counts, list) else []


def be_asked(phone: AuthenticatedClient, rid: UUID) -> None:
    """When to be asked, and what was."""
    schedule = answered(get_schedule.sync_detailed(client=phone))
    schedule.check_ins = [
        ScheduledCheckIn(
            id=uuid4(),
            relationship_id=rid,
            weekdays=[Weekday.SUN, Weekday.WED],
            from_="20:00",
            to="22:00",
            questions=[ScheduledQuestion.CLOSE, ScheduledQuestion.MY_WEEK],
        )
    ]
    assert answered(put_schedule.sync_detailed(client=phone, body=schedule)).check_ins == schedule.check_ins
    assert answered(list_prompts.sync_detailed(client=phone)).prompts == []
    assert len(answered(list_questions.sync_detailed(client=phone, language="de")).questions) > 10
    answered(put_pause.sync_detailed(uuid4(), client=phone, body=PauseSet(from_=date(2026, 8, 1))))
    assert [one.to for one in answered(list_pauses.sync_detailed(client=phone)).pauses] == [None]


def take_along(phone: AuthenticatedClient, address: str) -> None:
    """Nobody exports by a borrowed phone alone: a fresh code first."""
    refused = export_me.sync_detailed(client=phone).parsed
    assert isinstance(refused, Problem)
    assert refused.code is ErrorCode.STEP_UP_REQUIRED
    answered(send_step_up_code.sync_detailed(client=phone, body=EmptyObject()))
    code = StepUpCode(code=mailed_code(address, "export or erase"))
    answered(step_up.sync_detailed(client=phone, body=code))
    mine = answered(export_me.sync_detailed(client=phone, private=True))
    assert mine.relationships[0].private
    assert len(mine.relationships[0].private.events) == 1


def part(one: AuthenticatedClient, two: AuthenticatedClient, rid: UUID) -> None:
    """Leaving is one call by one person."""
    answered(leave.sync_detailed(rid, client=one))
    assert answered(get_relationship.sync_detailed(rid, client=two)).state is RelationshipState.ENDED
    last = answered(list_events.sync_detailed(rid, client=two, stream=Audience.SHARED)).events[-1]
    assert (last.kind, last.by) == (EventKind.ENDED, None)


def main() -> None:
    """From the first sign-in to the end."""
    run = uuid4().hex[:8]
    addresses = f"one-{run}@example.org", f"two-{run}@example.org"
    one, two = map(sign_in_as, addresses)
    consent(one)
    consent(two)
    rid = link(one, two)
    register_devices(one)
    record(one, two, rid)
    synchronise(one, rid)
    read(one, rid)
    be_asked(one, rid)
    take_along(one, addresses[0])
    part(one, two, rid)
    print("The whole story was told.")


main()
