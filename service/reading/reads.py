"""Handlers of what a phone looks at: events, requests, balances, trends, perspectives. The rest is the projection's."""

from datetime import date, timedelta
from typing import Annotated, Literal

from litestar import get
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from events.entries import Audience, Domain, FeltItem
from events.heads import DbConnection
from projections import balances as balances_of
from projections import feed, openings, perspectives, requests, trends
from projections.balances import Balances
from projections.feed import Page
from projections.openings import Openings
from projections.perspectives import Period, Perspectives
from projections.requests import Listed, Requests
from projections.tallies import Size
from projections.trends import Measure, Trend, When
from service.errors import Invalid, NotFound
from service.reading.asking import cached, cached_counts, current_reader, keys_of, reading_long, today_of
from service.web.operation import described
from service.web.requests import ApiRequest, context_of, decode_query
from service.web.responses import tagged_answer

COUNTING_CONNECTIONS = 4
# Statements that count are planned once, by index, and never sort the days of months only to group them.
COUNTING = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_sort": "off"}

MAX_POINTS = 400
DEFAULT_SPAN = timedelta(days=364)

WindowDays = Annotated[int, Meta(ge=7, le=366, description="Days in a window.")]
StepDays = Annotated[int, Meta(ge=1, le=31, description="Days from one point to the next.")]
DayOrToday = Annotated[date, Meta(description="A calendar date; today in my time zone where left out.")]


LastOne = Annotated[
    int, Meta(ge=1, le=2**63 - 1, description="The position of the last one that the phone has: older ones follow.")
]


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events."""

    stream: Audience = "shared"
    after: Annotated[int, Meta(ge=0, le=2**63 - 1, description="The last position that the phone has.")] = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 200
    proof: Annotated[bool, Meta(description="Whether to add what verifies the chain.")] = False


class RequestsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests: those that are open, or all of the last 14 days."""

    state: Listed = "recent"
    after: LastOne | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class OpeningsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which openings: those of one state, or all."""

    state: Literal["open", "decided", "withdrawn"] | None = None
    after: LastOne | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class BalancesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which window."""

    window: WindowDays = 28
    on: DayOrToday | None = None
    domain: Domain | None = None
    size: Annotated[Size, Meta(description="Only decisions of that size, where decisions are counted.")] | None = None


class TrendsQuery(Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Which measure, and which windows."""

    measure: Measure
    window: WindowDays = 28
    step: StepDays = 7
    to: DayOrToday | None = None
    from_: Annotated[date, Meta(description="The first date; 364 days before the last where left out.")] | None = None
    domain: Domain | None = None
    item: Annotated[FeltItem, Meta(description="Needed for the measure felt, and only there.")] | None = None
    when: (
        Annotated[When, Meta(description="By who decided. Needed for the measure counted, and only there.")] | None
    ) = None


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
        tag="Read",
        summary="The events of one stream, in order",
        query=EventsQuery,
        answers={200: Page},
        problems=(NotFound,),
        cached=True,
    ),
)
async def list_events(request: ApiRequest, rid: FromPath[str]) -> ASGIApp:
    """The shared stream is the same for both, but for who is me."""
    caller, context = await current_reader(request, rid), context_of(request)
    query, reader = decode_query(request, EventsQuery), caller.reader
    keys = await context.keys.relationship_keys(reader.relationship_id, reader.author_id)
    async with context.acting_as(caller.member_id) as db:
        page = await feed.page(db, keys, reader, query.stream, query.after, query.limit, proof=query.proof)
    return tagged_answer(request, page)


@get(
    "/v1/relationships/{rid:str}/requests",
    opt=described(
        id="listRequests",
        tag="Read",
        summary="Requests and how they stand, newest first, as I may know it",
        query=RequestsQuery,
        answers={200: Requests},
        problems=(NotFound,),
        cached=True,
    ),
)
async def list_requests(request: ApiRequest, rid: FromPath[str]) -> ASGIApp:
    """To who asked, a private answer is no answer."""
    caller, query = await current_reader(request, rid), decode_query(request, RequestsQuery)
    asked, keys = requests.Asked(query.state, query.after, query.limit), await keys_of(request, caller)
    async with reading_long(request, caller) as db:
        listed = await requests.requests(db, keys, caller.reader, asked, context_of(request).now())
    return tagged_answer(request, listed)


@get(
    "/v1/relationships/{rid:str}/openings",
    opt=described(
        id="listOpenings",
        tag="Read",
        summary="What is or was to be decided for both, newest first, and whether views of it are there",
        query=OpeningsQuery,
        answers={200: Openings},
        problems=(NotFound,),
        cached=True,
    ),
)
async def list_openings(request: ApiRequest, rid: FromPath[str]) -> ASGIApp:
    """What the other has sealed about one is not there until it is revealed."""
    caller, query = await current_reader(request, rid), decode_query(request, OpeningsQuery)
    asked = openings.Asked(query.state, query.after, query.limit)

    async def listed() -> Openings:
        keys = await keys_of(request, caller)
        async with reading_long(request, caller) as db:
            return await openings.openings(db, keys, caller.reader, asked)

    return await cached(request, caller, ("openings", asked), listed)


@get(
    "/v1/relationships/{rid:str}/balances",
    opt=described(
        id="getBalances",
        tag="Read",
        summary="Who initiates, who decides, whose input is counted, and how it felt, over a window",
        query=BalancesQuery,
        answers={200: Balances},
        problems=(NotFound,),
        cached=True,
    ),
)
async def get_balances(request: ApiRequest, rid: FromPath[str]) -> ASGIApp:
    """Two tellings, side by side; what was asked stands beside both."""
    caller = await current_reader(request, rid)
    query = decode_query(request, BalancesQuery)
    on = query.on or today_of(request, caller)
    asked = balances_of.Asked(on, query.window, query.domain, query.size)

    async def count(db: DbConnection) -> Balances:
        return await balances_of.balances(db, await keys_of(request, caller), caller.reader, asked, caller.member_id)

    return await cached_counts(request, caller, ("balances", asked), count)


@get(
    "/v1/relationships/{rid:str}/trends",
    opt=described(
        id="getTrend",
        tag="Read",
        summary="How one measure moves: a window looked at every few days",
        query=TrendsQuery,
        answers={200: Trend},
        problems=(NotFound,),
        cached=True,
    ),
)
async def get_trend(request: ApiRequest, rid: FromPath[str]) -> ASGIApp:
    """At most 400 points, ending on the last date."""
    caller = await current_reader(request, rid)
    asked = _trend_asked(decode_query(request, TrendsQuery), today_of(request, caller))

    async def count(db: DbConnection) -> Trend:
        return await trends.trend(db, await keys_of(request, caller), caller.reader, asked, caller.member_id)

    return await cached_counts(request, caller, ("trend", asked), count)


@get(
    "/v1/relationships/{rid:str}/perspectives",
    opt=described(
        id="getPerspectives",
        tag="Read",
        summary="How far the two tellings of what both shared agree",
        query=PerspectivesQuery,
        answers={200: Perspectives},
        problems=(NotFound,),
        cached=True,
    ),
)
async def get_perspectives(request: ApiRequest, rid: FromPath[str]) -> ASGIApp:
    """Nothing is said about who is right."""
    caller, query = await current_reader(request, rid), decode_query(request, PerspectivesQuery)
    asked = perspectives.Asked(query.measure, _item_of(query.measure, query.item), _period(query))

    async def compare() -> Perspectives:
        keys = await keys_of(request, caller)
        async with reading_long(request, caller) as db:
            return await perspectives.perspectives(db, keys, caller.reader, asked)

    return await cached(request, caller, ("perspectives", asked), compare)


def _trend_asked(query: TrendsQuery, today: date) -> trends.Asked:
    last = query.to or today
    first = query.from_ or date.fromordinal(max(last.toordinal() - DEFAULT_SPAN.days, 1))
    if first > last:
        raise Invalid("from must not lie after to.", "/from")
    if (last - first).days // query.step + 1 > MAX_POINTS:
        raise Invalid("A trend has at most 400 points: choose a later from or a larger step.", "/from")
    item, when = _item_of(query.measure, query.item), _when_of(query)
    return trends.Asked(query.measure, item, when, query.domain, query.window, query.step, first, last)


def _period(query: PerspectivesQuery) -> Period:
    if query.from_ and query.to and query.from_ > query.to:
        raise Invalid("from must not lie after to.", "/from")
    return Period(query.from_, query.to)


def _when_of(query: TrendsQuery) -> When | None:
    if query.measure == "counted" and query.when is None:
        raise Invalid("The measure counted needs when: other_decided or both_decided.", "/when")
    if query.measure != "counted" and query.when is not None:
        raise Invalid("Only the measure counted is told by who decided.", "/when")
    return query.when


def _item_of(measure: str, item: FeltItem | None) -> FeltItem | None:
    if measure == "felt" and item is None:
        raise Invalid("The measure felt needs an item.", "/item")
    if measure != "felt" and item is not None:
        raise Invalid("Only the measure felt has items.", "/item")
    return item
