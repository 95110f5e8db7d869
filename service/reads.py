"""What a phone looks at: events, requests, balances, trends, perspectives. Two files: this one and the projection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from litestar import Response, get
from litestar.params import FromPath
from msgspec import Meta, Struct

from events.entries import Audience, Domain, FeltItem
from events.streams import Database
from projections import balances as balances_of
from projections import feed, perspectives, requests, trends
from projections.balances import Balances, Reader
from projections.feed import Page
from projections.perspectives import Period, Perspectives
from projections.requests import Requests
from projections.trends import Measure, Trend
from service.errors import Invalid, NotFound
from service.http import Call, cacheable_answer, id_of, query_of, world_of
from service.operations import described
from service.relationships import membership_in, reader_of
from service.sessions import Member, lately_signed_in

MOST_POINTS = 400
DEFAULT_SPAN = timedelta(days=364)

Window = Annotated[int, Meta(ge=7, le=366, description="Days in a window.")]
Step = Annotated[int, Meta(ge=1, le=31, description="Days from one point to the next.")]
Day = Annotated[date, Meta(description="A calendar date; today in my time zone where left out.")]


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events."""

    stream: Audience = "shared"
    after: Annotated[int, Meta(ge=0, le=2**63 - 1, description="The last position that the phone has.")] = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 200
    proof: Annotated[bool, Meta(description="Whether to add what verifies the chain.")] = False


class RequestsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests."""

    state: Literal["open", "decided", "lapsed", "retracted"] | None = None


class BalancesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which window."""

    window: Window = 28
    on: Day | None = None
    domain: Domain | None = None


class TrendsQuery(Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Which measure, and which windows."""

    measure: Measure
    window: Window = 28
    step: Step = 7
    to: Day | None = None
    from_: Annotated[date, Meta(description="The first date; 364 days before the last where left out.")] | None = None
    domain: Domain | None = None
    item: Annotated[FeltItem, Meta(description="Needed for the measure felt, and only there.")] | None = None


class PerspectivesQuery(Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Which measure, and which days; all where left out."""

    measure: Literal["decides", "initiates", "felt"]
    item: Annotated[FeltItem, Meta(description="Needed for the measure felt, and only there.")] | None = None
    from_: Annotated[date, Meta(description="The first date.")] | None = None
    to: Annotated[date, Meta(description="The last date.")] | None = None


@get(
    "/v1/relationships/{rid:str}/events",
    opt=described(
        id="listEvents",
        summary="The events of one stream, in order",
        query=EventsQuery,
        answers={200: Page},
        problems=(NotFound,),
        cached=True,
    ),
)
async def list_events(request: Call, rid: FromPath[str]) -> Response[bytes]:
    """The shared stream is the same for both, but for who is me."""
    async with _reading(request, rid) as (db, _, reader):
        query = query_of(request, EventsQuery)
        ring = await world_of(request).keys.ring(reader.relationship_id)
        page = await feed.page(db, ring, reader, query.stream, query.after, query.limit, proof=query.proof)
    return cacheable_answer(request, page)


@get(
    "/v1/relationships/{rid:str}/requests",
    opt=described(
        id="listRequests",
        summary="Requests and how they stand, newest first, as I may know it",
        query=RequestsQuery,
        answers={200: Requests},
        problems=(NotFound,),
        cached=True,
    ),
)
async def list_requests(request: Call, rid: FromPath[str]) -> Response[bytes]:
    """To who asked, a private answer is no answer."""
    async with _reading(request, rid) as (db, _, reader):
        query = query_of(request, RequestsQuery)
        world = world_of(request)
        ring = await world.keys.ring(reader.relationship_id)
        listed = await requests.requests(db, ring, reader, query.state, world.now())
    return cacheable_answer(request, listed)


@get(
    "/v1/relationships/{rid:str}/balances",
    opt=described(
        id="getBalances",
        summary="Who initiates, who decides, whose input is counted, and how it felt, over a window",
        query=BalancesQuery,
        answers={200: Balances},
        problems=(NotFound,),
        cached=True,
    ),
)
async def get_balances(request: Call, rid: FromPath[str]) -> Response[bytes]:
    """Two tellings, side by side."""
    async with _reading(request, rid) as (db, member, reader):
        query = query_of(request, BalancesQuery)
        on = query.on or _today(world_of(request).now(), member)
        found = await balances_of.balances(db, reader, on, query.window, query.domain)
    return cacheable_answer(request, found)


@get(
    "/v1/relationships/{rid:str}/trends",
    opt=described(
        id="getTrend",
        summary="How one measure moves: a window looked at every few days",
        query=TrendsQuery,
        answers={200: Trend},
        problems=(NotFound,),
        cached=True,
    ),
)
async def get_trend(request: Call, rid: FromPath[str]) -> Response[bytes]:
    """At most 400 points, ending on the last date."""
    async with _reading(request, rid) as (db, member, reader):
        query = query_of(request, TrendsQuery)
        asked = _asked(query, _today(world_of(request).now(), member))
        found = await trends.trend(db, reader, asked)
    return cacheable_answer(request, found)


@get(
    "/v1/relationships/{rid:str}/perspectives",
    opt=described(
        id="getPerspectives",
        summary="How far the two tellings of what both shared agree",
        query=PerspectivesQuery,
        answers={200: Perspectives},
        problems=(NotFound,),
        cached=True,
    ),
)
async def get_perspectives(request: Call, rid: FromPath[str]) -> Response[bytes]:
    """Nothing is said about who is right."""
    async with _reading(request, rid) as (db, _, reader):
        query = query_of(request, PerspectivesQuery)
        item = _item_of(query.measure, query.item)
        period = Period(query.from_, query.to)
        ring = await world_of(request).keys.ring(reader.relationship_id)
        if query.measure == "felt":
            assert item is not None
            found = await perspectives.felt_on_the_same_day(db, ring, reader, item, period)
        else:
            found = await perspectives.decisions_told_twice(db, ring, reader, query.measure, period)
    return cacheable_answer(request, found)


@asynccontextmanager
async def _reading(request: Call, rid: str) -> AsyncIterator[tuple[Database, Member, Reader]]:
    """Who reads, and a connection that acts for them; one for all of a request, since each has to be told for whom."""
    member, world = await lately_signed_in(request), world_of(request)
    relationship_id = id_of(rid)
    async with world.acting(member.member_id) as db:
        membership = await membership_in(db, member.member_id, world.now(), relationship_id)
        yield db, member, reader_of(membership)


def _today(now: datetime, member: Member) -> date:
    return now.astimezone(ZoneInfo(member.time_zone)).date()


def _asked(query: TrendsQuery, today: date) -> trends.Asked:
    last = query.to or today
    first = query.from_ or date.fromordinal(max(last.toordinal() - DEFAULT_SPAN.days, 1))
    if first > last:
        raise Invalid("from must not lie after to.", "/from")
    if (last - first).days // query.step + 1 > MOST_POINTS:
        raise Invalid("A trend has at most 400 points: choose a later from or a larger step.", "/from")
    item = _item_of(query.measure, query.item)
    return trends.Asked(query.measure, item, query.domain, query.window, query.step, first, last)


def _item_of(measure: str, item: FeltItem | None) -> FeltItem | None:
    if measure == "felt" and item is None:
        raise Invalid("The measure felt needs an item.", "/item")
    if measure != "felt" and item is not None:
        raise Invalid("Only the measure felt has items.", "/item")
    return item
