"""The examples in the OpenAPI document, bodies and answers: one couple's first days.

They are made by the code that makes real answers, so the chains verify, and shares and intervals fit their counts.
"""

import hashlib
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from msgspec.structs import asdict

from events import chain
from events.encryption import RelationshipKeys
from events.entries import CheckIn, Decision, Entry, Opened, Opening, Request, Retraction, complete
from events.records import Draft, Stored, StreamKey, encrypt_event
from projections import changes, feed, statistics
from projections.balances import Balances, Telling, Tellings
from projections.changes import Changes, ChangesTold, CountedChange, SplitChange
from projections.feed import Head, Page
from projections.home import Cell, HomeFelt, HomeFigure, Now
from projections.month import MonthWindow, Review, Sentence
from projections.month_texts import ENGLISH
from projections.openings import Openings, OpeningStanding, Spoken
from projections.perspectives import Perspectives
from projections.requests import Requests, RequestStanding
from projections.roles import Roles, RolesTold
from projections.statistics import Counted, Looks, Split, WhoCounts
from projections.trends import Point, Trend
from projections.voice import Heard, Voice
from service import errors
from service.access.consent import CONSENT_VERSION
from service.access.pauses import Pause
from service.accounts.address_change import AddressProof, AddressWanted
from service.accounts.consent import TEXTS, ConsentText
from service.accounts.identity_providers import NONCE_TTL, IdentitySignIn, IdentityStepUp, SignInNonce
from service.accounts.mailed_codes import Attempt, CodeWanted, SignIn
from service.accounts.me import Change, Consent, ConsentGiven, Me
from service.accounts.pauses import Pauses, PauseSet
from service.accounts.sessions import Device, Devices, Refresh, SignedIn
from service.accounts.step_up import StepUp
from service.context import ACCESS_TTL
from service.core import tokens
from service.core.version import CONTRACT_VERSION, SERVICE_VERSION
from service.data_rights.export import FORMAT, Export, ExportedRelationship
from service.prompts.catalogue import catalogue
from service.prompts.prompts_api import Prompt, Prompts
from service.prompts.schedule import AfterEvents, Schedule, ScheduledCheckIn
from service.push.addresses import PushKeys, PushSubscription, Registration
from service.push.devices import RegisteredDevice, RegisteredDevices
from service.reading import live
from service.reading.live_tickets import TICKET_TTL, LiveTicket
from service.recording.entries import Recorded
from service.recording.offline_queue import Sync, Synced, SyncEntry, SyncResult
from service.relationships.home import Home, NextStep
from service.relationships.linking import INVITE_TTL, Accept, Accepted, Invite, NewRelationship
from service.relationships.view import Partner, Relationship, Relationships, StreamIds
from service.web.health import Health
from service.web.help import help_for
from service.web.requests import Nothing
from service.web.version import Version


def _bytes(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _id(name: str) -> UUID:
    return UUID(bytes=_bytes(name)[:16], version=4)


# --- What two people recorded

EVENING = datetime(2026, 3, 30, 20, 15, tzinfo=timezone(timedelta(hours=2)))
MORNING = datetime(2026, 3, 31, 6, 30, tzinfo=UTC)
LAST_DAY = date(2026, 4, 26)

RELATIONSHIP, ME, PARTNER = _id("relationship"), _id("me"), _id("partner")
SHARED, PRIVATE = StreamKey(RELATIONSHIP, 0, _id("shared stream")), StreamKey(RELATIONSHIP, 1, _id("private stream"))

CHECK_IN = CheckIn(
    occurred_at=EVENING,
    domain="home",
    initiated_by="me",
    decided_by="both",
    felt={"heard": 6, "room_for_me": 5},
    note="We planned the week together.",
    audience="shared",
)
REQUEST = Request(occurred_at=EVENING, domain="time", text="Shall we keep Sunday free for the two of us?")
OPENING = Opening(occurred_at=EVENING, domain="money", text="Which washing machine?", size="big")
YES = Decision(occurred_at=EVENING + timedelta(hours=1), request_id=_id("request"), outcome="yes")
RETRACTION = Retraction(occurred_at=EVENING + timedelta(days=1), event_id=_id("check-in"))
DECISION = Decision(
    occurred_at=EVENING,
    domain="money",
    text="A new washing machine",
    size="big",
    raised_by="partner",
    decided_by="both",
    my_input="counted",
)


KEYS = RelationshipKeys(
    _bytes("relationship key"), {ME: _bytes("my key"), PARTNER: _bytes("partner's key")}, (ME, PARTNER)
)


def _log(key: StreamKey, *facts: tuple[str, UUID | None, Entry | Opened]) -> list[Stored]:
    """A stream with one event an hour."""
    log: list[Stored] = []
    head = chain.genesis(key.stream_id)
    for position, (name, by, fact) in enumerate(facts, 1):
        at = MORNING + timedelta(hours=position)
        recorded = fact if isinstance(fact, Opened) else complete(fact, at)
        draft = Draft(_id(name), by, at, recorded, _bytes(f"opening of {name}"))
        log.append(encrypt_event(KEYS, head, key, draft))
        head = chain.Head(position, log[-1].link)
    return log


SHARED_LOG = _log(
    SHARED,
    ("opened", None, Opened()),
    ("check-in", ME, CHECK_IN),
    ("request", ME, REQUEST),
    ("answer", PARTNER, YES),
    ("retraction", ME, RETRACTION),
    ("opening", ME, OPENING),
)
PRIVATE_LOG = _log(PRIVATE, ("decision", ME, DECISION))


def _head(stored: Stored) -> Head:
    return Head(stored.event.position, stored.link.hex())


def _recorded(stored: Stored) -> Recorded:
    return Recorded(feed.as_read(stored.event, ME), _head(stored))


def _page(key: StreamKey, log: list[Stored], *, proof: bool = False) -> Page:
    events = [feed.with_proof(one, key, ME) if proof else feed.as_read(one.event, ME) for one in log]
    return Page(events, _head(log[-1]), more=False)


# --- What it came to after four weeks

LOOKS = Looks(window=28, one_domain=False, from_first_day=True)


def _split(occasions: tuple[int, int], **counts: int) -> Split:
    return statistics.split(counts, *occasions, LOOKS)


MINE = Telling(
    initiates=_split((14, 11), me=17, partner=14, both=6),
    decides=_split((8, 6), me=9, partner=8, both=12, neither=1),
    agreed=WhoCounts(me=4, partner=3, both=0, neither=0),
    counted=Counted(
        when_other_decided=statistics.answers({"asked": 3, "partly": 5, "counted": 13}),
        when_both_decided=statistics.answers({"partly": 2, "counted": 8}),
    ),
    felt={"heard": statistics.felt([0, 0, 0, 1, 3, 4, 0]), "close": statistics.felt([0, 0, 0, 0, 0, 2, 0])},
)
PARTNERS = Telling(
    initiates=_split((12, 10), me=15, partner=12, both=2),
    decides=_split((3, 2), me=3, partner=3, both=4),
    agreed=WhoCounts(me=0, partner=1, both=0, neither=0),
    counted=Counted(when_other_decided=statistics.answers({}), when_both_decided=statistics.answers({})),
    felt={},
)
INITIATES = [[6, 1, 0, 0], [1, 4, 1, 0], [0, 0, 7, 0], [0, 0, 0, 1]]


ROLES = RolesTold(
    table=[[4, 21, 3, 0], [2, 5, 0, 0], [1, 0, 4, 0], [0, 0, 0, 1]],
    n=41,
    crossed=_split((19, 2), me=21, partner=2),
    alone=_split((4, 5), me=4, partner=5),
)
NO_ROLES = RolesTold([[0] * 4 for _ in range(4)], 0, _split((0, 0)), _split((0, 0)))


def _change(before: tuple[int, int], now: tuple[int, int]) -> SplitChange:
    first, second = (_split(pair, me=pair[0], partner=pair[1]) for pair in (before, now))
    found = changes.compared(before, now, changes.SPLITS, one_domain=False)
    return SplitChange(first, second, found.difference, found.low, found.high, changes.OF_SPLIT[found.direction])


def _counted_change(before: tuple[int, int], now: tuple[int, int]) -> CountedChange:
    first, second = (
        Counted(statistics.answers({"counted": part, "asked": rest}), statistics.answers({}))
        for part, rest in (before, now)
    )
    found = changes.compared(before, now, changes.COUNTED, one_domain=False)
    return CountedChange(first, second, found.difference, found.low, found.high, changes.OF_COUNTED[found.direction])


def _heard(both_spoke: int, only_decider: int) -> Heard:
    share, low, high = statistics.proportion(both_spoke, only_decider)
    return Heard(both_spoke + only_decider, both_spoke, only_decider, 0, 0, share, low, high)


COUNTED_CHANGE, NO_COUNTED_CHANGE = _counted_change((12, 4), (9, 5)), _counted_change((0, 0), (0, 0))


def _cell(found: Split) -> Cell:
    fields = {name: getattr(found, name) for name in ("counts", "occasions", "n", "share", "low", "high", "reading")}
    places: list[list[int] | None] = [None] * 11
    return Cell(Now(**fields), [*places, [2, 1], [found.occasions.me, found.occasions.partner]])


def _point(on: date, found: Split) -> Point:
    wide_low, wide_high = statistics.wide_band(found.occasions.me, found.occasions.partner) or (None, None)
    fields = {name: getattr(found, name) for name in ("counts", "occasions", "n", "share", "low", "high", "reading")}
    return Point(on=on, wide_low=wide_low, wide_high=wide_high, **fields)


# --- Who they are

STREAMS = StreamIds(SHARED.stream_id, PRIVATE.stream_id)
ALONE = Relationship(RELATIONSHIP, "solo", None, STREAMS, ME)
TOGETHER = Relationship(RELATIONSHIP, "active", Partner("Kim"), STREAMS, ME)
ADDRESS = "someone@example.org"
MEMBER = Me(_id("member"), ADDRESS, "Robin", "Europe/Berlin", Consent(CONSENT_VERSION, CONSENT_VERSION), [])
ACCESS, REFRESH = (tokens.successor("example", b"", kind) for kind in ("access", "refresh"))
SECRET = tokens.token_of(_bytes("device secret"))
SIGNED_IN = SignedIn(MEMBER.member_id, ACCESS, MORNING + ACCESS_TTL, REFRESH, SECRET)
DEVICE = Device(_id("session"), "Robin's phone", MORNING, MORNING, current=True)
PHONE = RegisteredDevice(_id("device"), "ios", "apns", "production", MORNING, False, None, None)
SCHEDULE = Schedule(
    [ScheduledCheckIn(_id("item"), RELATIONSHIP, ["sun", "wed"], "20:00", "22:00", ["close", "my_week"])],
    AfterEvents(enabled=True),
)
PROMPT = Prompt(
    _id("prompt"),
    RELATIONSHIP,
    "schedule",
    None,
    ["close", "my_week"],
    MORNING + timedelta(hours=12),
    MORNING + timedelta(hours=24),
    "open",
)
PAUSE = Pause(_id("pause"), date(2026, 8, 1), date(2026, 8, 14))
CODE = "7K3M9QXTW2CF"

# Signed by nobody: what goes in here comes from the provider's own library.
IDENTITY = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImV4YW1wbGUifQ.eyJzdWIiOiJleGFtcGxlIn0.ZXhhbXBsZQ"
TICKET = tokens.successor("live ticket", b"", "access")
NONCE = tokens.successor("nonce", b"", "access")

# A point on the curve, which the service looks for; nobody has the key that belongs to it.
BROWSER_KEY = "BGA5LiHa5G1IKuIrx5I9DDnnwHMBGFM-icIgKhdRwWRk-sypvBdtiVh2v0PNrXUZ2W7arPx0QN5EniZ9W6zfYuU"
SUBSCRIPTION = PushSubscription(
    "https://push.example.net/send/5c8d9f3a", PushKeys(BROWSER_KEY, tokens.token_of(_bytes("auth")[:16]))
)

# --- By operation; where there are several, by name

BODIES: dict[str, Any] = {
    "sendSignInCode": CodeWanted(ADDRESS, SECRET),
    "signIn": SignIn(_id("attempt"), "2718 2818", "Robin's phone"),
    "refreshSession": Refresh(REFRESH),
    "makeSignInNonce": Nothing(),
    "sendStepUpCode": Nothing(),
    "stepUp": StepUp("2718 2818"),
    "signInWithApple": IdentitySignIn(IDENTITY, NONCE, "Robin's phone"),
    "signInWithGoogle": IdentitySignIn(IDENTITY, NONCE, "Robin's phone"),
    "stepUpWithApple": IdentityStepUp(IDENTITY, NONCE),
    "stepUpWithGoogle": IdentityStepUp(IDENTITY, NONCE),
    "changeMe": Change("Robin", "Europe/Berlin"),
    "putPause": PauseSet(date(2026, 8, 1), date(2026, 8, 14)),
    "sendAddressCode": AddressWanted("robin@example.net"),
    "changeAddress": AddressProof("2718 2818"),
    "giveConsent": ConsentGiven(CONSENT_VERSION, True),
    "registerDevice": {
        "a_phone": Registration("ios", "apns", _bytes("token").hex(), environment="production"),
        "a_browser": Registration("web", "webpush", subscription=SUBSCRIPTION),
    },
    "putSchedule": SCHEDULE,
    "makeRelationship": NewRelationship(RELATIONSHIP),
    "acceptInvite": Accept(CODE),
    "makeLiveTicket": Nothing(),
    "recordCheckIn": CHECK_IN,
    "recordRequest": REQUEST,
    "recordOpening": OPENING,
    "recordDecision": {"for_both": DECISION, "about_a_request": YES},
    "recordRetraction": RETRACTION,
    "sync": Sync(
        [
            SyncEntry(_id("check-in"), "check_in", check_in=CHECK_IN),
            SyncEntry(_id("request"), "request", request=REQUEST),
        ],
        shared_after=1,
    ),
}

ANSWERS: dict[str, Any] = {
    "sendSignInCode": Attempt(_id("attempt")),
    "sendStepUpCode": Nothing(),
    "makeSignInNonce": SignInNonce(NONCE, MORNING + NONCE_TTL),
    "signIn": SIGNED_IN,
    "refreshSession": SIGNED_IN,
    "signInWithApple": SIGNED_IN,
    "signInWithGoogle": SIGNED_IN,
    "listSessions": Devices([DEVICE]),
    "registerDevice": PHONE,
    "listDevices": RegisteredDevices([PHONE], None),
    "getSchedule": SCHEDULE,
    "putSchedule": SCHEDULE,
    "listPrompts": Prompts([PROMPT]),
    "getMe": MEMBER,
    "changeMe": MEMBER,
    "listPauses": Pauses([PAUSE]),
    "getPause": PAUSE,
    "putPause": PAUSE,
    "sendAddressCode": Nothing(),
    "changeAddress": MEMBER,
    "exportMe": Export(
        format=FORMAT,
        me=MEMBER,
        sessions=[DEVICE],
        devices=[PHONE],
        schedule=SCHEDULE,
        pauses=[PAUSE],
        prompts=[PROMPT],
        relationships=[
            ExportedRelationship(
                TOGETHER, _page(SHARED, SHARED_LOG[:2], proof=True), _page(PRIVATE, PRIVATE_LOG, proof=True)
            )
        ],
    ),
    "makeRelationship": ALONE,
    "listRelationships": Relationships([TOGETHER]),
    "getRelationship": TOGETHER,
    "invite": Invite(CODE, f"https://mutuality.example/invite#/accept?code={CODE}", MORNING + INVITE_TTL),
    "acceptInvite": Accepted(RELATIONSHIP, "confirming"),
    "confirm": TOGETHER,
    "recordCheckIn": _recorded(SHARED_LOG[1]),
    "recordRequest": _recorded(SHARED_LOG[2]),
    "recordOpening": _recorded(SHARED_LOG[5]),
    "recordDecision": _recorded(PRIVATE_LOG[0]),
    "recordRetraction": _recorded(SHARED_LOG[4]),
    "sync": Synced(
        [SyncResult(_id("check-in"), "recorded"), SyncResult(_id("request"), "recorded")],
        _page(SHARED, SHARED_LOG[:3]),
        _page(PRIVATE, PRIVATE_LOG),
    ),
    "listEvents": _page(SHARED, SHARED_LOG[:4], proof=True),
    "listRequests": Requests(
        [
            RequestStanding(
                event=feed.as_read(SHARED_LOG[2].event, ME),
                state="decided",
                expires_at=SHARED_LOG[2].event.recorded_at + timedelta(days=7),
                decision=feed.as_read(SHARED_LOG[3].event, ME),
            )
        ],
        more=False,
    ),
    "listOpenings": Openings(
        [OpeningStanding(feed.as_read(SHARED_LOG[5].event, ME), "open", Spoken(me=True, partner=False), None)],
        more=False,
    ),
    "getBalances": Balances(
        on=LAST_DAY,
        window=28,
        domain=None,
        size=None,
        paused=0,
        asks=_split((6, 4), me=9, partner=5),
        mine=MINE,
        partners=PARTNERS,
        tellings=Tellings(initiates=None, decides=None),
    ),
    "getTrend": Trend(
        measure="initiates",
        window=28,
        step=7,
        domain=None,
        item=None,
        mine=[
            _point(LAST_DAY - timedelta(days=7), _split((10, 7), me=13, partner=9, both=4)),
            _point(LAST_DAY, MINE.initiates),
        ],
        partners=[_point(LAST_DAY - timedelta(days=7), _split((0, 0))), _point(LAST_DAY, PARTNERS.initiates)],
    ),
    "getPerspectives": Perspectives(
        measure="initiates",
        item=None,
        values=["me", "partner", "both", "neither"],
        table=INITIATES,
        **asdict(statistics.agreement(INITIATES, near=False)),
    ),
    "getHome": Home(
        on=LAST_DAY,
        window=90,
        paused=0,
        prompts=[PROMPT],
        asked_of_me=[],
        asked_by_me=[],
        openings=[OpeningStanding(feed.as_read(SHARED_LOG[5].event, ME), "open", Spoken(me=True, partner=False), None)],
        figures=[
            HomeFigure("asks", None, _cell(_split((6, 4), me=9, partner=5)), None),
            HomeFigure("initiates", None, _cell(MINE.initiates), _cell(PARTNERS.initiates)),
        ],
        felt=[HomeFelt("heard", MINE.felt["heard"], statistics.felt([0] * 7))],
        more=False,
    ),
    "getReview": Review(
        "2026-03",
        "en",
        [
            Sentence(
                "asks",
                ENGLISH.sentences["asks"]({"me": 30, "partner": 1}),
                "asks",
                {"me": 30, "partner": 1},
                MonthWindow(date(2026, 3, 1), date(2026, 3, 31)),
            )
        ],
    ),
    "getNextStep": NextStep("invite", RELATIONSHIP),
    "getRoles": Roles(on=LAST_DAY, window=28, domain=None, paused=0, mine=ROLES, partners=NO_ROLES),
    "getVoice": Voice(LAST_DAY, 90, None, 3, me=_heard(5, 7), partner=_heard(2, 1), both=_heard(0, 0)),
    "getChanges": Changes(
        quarter="2026-Q1",
        domain=None,
        paused=0,
        asks=_change((14, 16), (22, 9)),
        mine=ChangesTold(_change((12, 13), (14, 11)), _change((8, 6), (9, 7)), COUNTED_CHANGE),
        partners=ChangesTold(_change((0, 0), (3, 2)), _change((0, 0), (1, 2)), NO_COUNTED_CHANGE),
    ),
    "listenLive": live.beginning({"shared": 2, "private": 0}).decode()
    + live.KEEP_ALIVE.decode()
    + live.frame({"shared": 3, "private": 0}, feed.as_read(SHARED_LOG[2].event, ME)).decode(),
    "makeLiveTicket": LiveTicket(TICKET, MORNING + TICKET_TTL),
    "listQuestions": catalogue("en"),
    "getHelp": help_for("DE"),
    "getVersion": Version(SERVICE_VERSION, CONTRACT_VERSION),
    "getConsentText": ConsentText(CONSENT_VERSION, "en", TEXTS["en"].partition("\n\n")[0]),
    "getLiveness": Health("ok"),
    "getReadiness": Health("ok", "0017_accepted"),
}

# Those problems that cannot be made of nothing.
PROBLEMS: dict[type[Exception], errors.ServiceError] = {errors.TooManyRequests: errors.TooManyRequests(60)}
