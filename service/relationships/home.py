"""A phone's first screen in one call, and what is to be done next where there is no relationship to look at yet."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import get
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct
from msgspec.structs import replace

from projections import counts as counting
from projections import home, openings, requests
from projections.home import HomeFelt, HomeFigure
from projections.openings import OpeningStanding
from projections.requests import RequestStanding
from service.access.authentication import Member, current_member
from service.access.consent import has_consented
from service.access.memberships import Membership, memberships_of
from service.database.pool import checked_out
from service.errors import NotFound
from service.prompts.prompts_api import OpenPrompts, Prompt
from service.reading.asking import CurrentReader, cached_body, current_reader, keys_of, reading_long, today_of
from service.web.operation import described
from service.web.requests import ApiRequest, context_of, decode_query, state_of
from service.web.responses import cacheable_answer, tagged, tagged_answer

MAX_BYTES = 16 * 1024
MAX_PROMPTS, MAX_LISTED, MAX_READ = 5, 20, 200


class HomeQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which window."""

    window: Annotated[int, Meta(ge=7, le=366, description="Days in a window.")] = 90


class Home(Struct, frozen=True):
    """A first screen. Each part is what its own call shows; what is open is at most 5 prompts and 20 of each other.

    Figures over all domains come first, then those of each domain; only such that hold something, always in the same
    order. It has at most 16 KiB: where that is too little, `more` is true and the last ones are left out.
    """

    on: date
    window: int
    paused: int
    prompts: list[Prompt]
    asked_of_me: list[RequestStanding]
    asked_by_me: list[RequestStanding]
    openings: list[OpeningStanding]
    figures: list[HomeFigure]
    felt: list[HomeFelt]
    more: bool


class NextStep(Struct, frozen=True):
    """What is to be done next: to consent, to begin a relationship, to invite, to wait, to confirm, or to look.

    wait_for_accept: the invite is out; wait_for_confirm: whoever invited has to confirm me. `relationship_id` is the
    newest one of mine that has not ended.
    """

    next: Literal["consent", "begin", "invite", "wait_for_accept", "confirm", "wait_for_confirm", "look"]
    relationship_id: UUID | None


class _Asked(Struct, frozen=True):
    """An open request: who made it, when it lapses, and what is shown of it."""

    by: Literal["me", "partner"] | None
    expires_at: datetime
    shown: msgspec.Raw


class _Lasting(Struct, frozen=True):
    """What changes only with what I can read; what is open may lapse meanwhile. What is shown of it is JSON already:
    it is put together at each call, and neither read nor written anew.
    """

    paused: int
    requests: list[_Asked]
    openings: list[msgspec.Raw]
    figures: list[msgspec.Raw]
    of_all: int  # of the figures, those over all domains
    felt: msgspec.Raw


class _Screen(Struct, frozen=True):
    """The same fields as Home."""

    on: date
    window: int
    paused: int
    prompts: list[Prompt]
    asked_of_me: list[msgspec.Raw]
    asked_by_me: list[msgspec.Raw]
    openings: list[msgspec.Raw]
    figures: list[msgspec.Raw]
    felt: msgspec.Raw
    more: bool


_lasting = msgspec.json.Decoder(_Lasting).decode


@get(
    "/v1/relationships/{rid:str}/home",
    opt=described(
        id="getHome",
        tag="Read",
        summary="A phone's first screen in one call: what is open, and the figures that hold something",
        query=HomeQuery,
        answers={200: Home},
        problems=(NotFound,),
        cached=True,
    ),
)
async def get_home(request: ApiRequest, rid: FromPath[str]) -> ASGIApp:
    """304 while nothing of mine has changed."""
    caller, window = await current_reader(request, rid), decode_query(request, HomeQuery).window
    on, now = today_of(request, caller), context_of(request).now()

    async def compute() -> _Lasting:
        return await _computed(request, caller, on, window, now)

    lasting = _lasting(await cached_body(request, caller, ("home", on, window), compute))
    open_prompts: OpenPrompts = state_of(request).open_prompts
    mine = await open_prompts.find(caller.member_id)
    prompts = [one for one in mine if one.relationship_id == caller.reader.relationship_id]
    asked = [one for one in lasting.requests if one.expires_at > now]
    screen = _Screen(
        on,
        window,
        lasting.paused,
        prompts[:MAX_PROMPTS],
        [one.shown for one in asked if one.by == "partner"][:MAX_LISTED],
        [one.shown for one in asked if one.by == "me"][:MAX_LISTED],
        lasting.openings[:MAX_LISTED],
        lasting.figures,
        lasting.felt,
        more=False,
    )
    return cacheable_answer(request, tagged(fitted(screen, lasting.of_all)))


async def _computed(request: ApiRequest, caller: CurrentReader, on: date, window: int, now: datetime) -> _Lasting:
    keys, reader = await keys_of(request, caller), caller.reader
    first = counting.first_day(on, home.days_needed(window))
    async with checked_out(state_of(request).counting_db) as db:
        counts = await counting.read(db, keys, reader, first, on, None, caller.member_id)
    async with reading_long(request, caller) as db:
        asked = await requests.requests(db, keys, reader, requests.Asked("open", None, MAX_READ), now)
        opened = await openings.openings(db, keys, reader, openings.Asked("open", None, MAX_LISTED))
    found = home.fold(counts, on, window)
    return _Lasting(
        found.paused,
        [_Asked(one.event.by, one.expires_at, _shown(one)) for one in asked.requests],
        [_shown(one) for one in opened.openings],
        [_shown(one) for one in found.figures],
        sum(one.domain is None for one in found.figures),
        _shown(found.felt),
    )


def _shown(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def fitted(screen: _Screen, of_all: int) -> bytes:
    """The JSON; without its last figures, and then its oldest lists, where it is too long."""
    text = msgspec.json.encode(screen)
    while len(text) > MAX_BYTES:
        screen = replace(screen, more=True, **_shortened(screen, of_all))
        text = msgspec.json.encode(screen)
    return text


def _shortened(screen: _Screen, of_all: int) -> dict[str, list[msgspec.Raw]]:
    if len(screen.figures) > of_all:
        return {"figures": screen.figures[:-1]}
    lists: dict[str, list[msgspec.Raw]] = {
        name: getattr(screen, name) for name in ("openings", "asked_by_me", "asked_of_me")
    }
    longest = max(lists, key=lambda name: sum(map(len, map(bytes, lists[name]))))
    return {longest: lists[longest][:-1]}


@get(
    "/v1/home",
    opt=described(
        id="getNextStep",
        tag="Relationships",
        summary="What is to be done next, so that a first screen is never empty",
        answers={200: NextStep},
        cached=True,
    ),
)
async def get_next_step(request: ApiRequest) -> ASGIApp:
    """From consent to a relationship of two, step by step."""
    member, context = await current_member(request), context_of(request)
    async with context.acting_as(member.member_id) as db:
        mine = await memberships_of(db, member.member_id, context.now())
    return tagged_answer(request, next_step(member, mine))


def next_step(member: Member, memberships: list[Membership]) -> NextStep:
    """What stands between a member and a relationship to look at."""
    newest = next((one for one in memberships if one.state != "ended"), None)
    relationship_id = newest.relationship_id if newest else None
    if not has_consented(member.consent_version):
        return NextStep("consent", relationship_id)
    match newest.state if newest else "ended":
        case "solo":
            return NextStep("invite", relationship_id)
        case "inviting":
            return NextStep("wait_for_accept", relationship_id)
        case "confirming":
            # Who has the first seat has invited.
            return NextStep("confirm" if newest and newest.seat == 1 else "wait_for_confirm", relationship_id)
        case "active":
            return NextStep("look", relationship_id)
        case _:
            return NextStep("begin", None)
