"""Handlers of what a phone looks at: events, requests, balances, trends, perspectives. The rest is the projection's."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from litestar import get
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from events.encryption import RelationshipKeys
from events.entries import Audience, Domain, FeltItem
from events.heads import DbConnection
from projections import balances as balances_of
from projections import feed, perspectives, requests, trends
from projections.balances import Balances
from projections.feed import Page
from projections.perspectives import Period, Perspectives
from projections.reader import Reader
from projections.requests import Listed, Requests
from projections.tallies import Size
from projections.trends import Measure, Trend, When
from service.access.authentication import bearer_without_recheck, recheck_session
from service.access.reader_lookup import ReaderLookup
from service.database.pool import checked_out
from service.errors import Invalid, NotFound
from service.reading.answer_cache import AnswerCache
from service.reading.turns import Turns
from service.web.operation import described
from service.web.requests import ApiRequest, context_of, decode_query, path_uuid, state_of
from service.web.responses import cacheable, cacheable_answer

COUNTING_CONNECTIONS = 4
# Statements that count are planned once, by index, and never sort the days of months only to group them.
COUNTING = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_sort": "off"}

MAX_POINTS = 400
DEFAULT_SPAN = timedelta(days=364)

WindowDays = Annotated[int, Meta(ge=7, le=366, description="Days in a window.")]
StepDays = Annotated[int, Meta(ge=1, le=31, description="Days from one point to the next.")]
DayOrToday = Annotated[date, Meta(description="A calendar date; today in my time zone where left out.")]


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events."""

    stream: Audience = "shared"
    after: Annotated[int, Meta(ge=0, le=2**63 - 1, description="The last position that the phone has.")] = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 200
    proof: Annotated[bool, Meta(description="Whether to add what verifies the chain.")] = False


class RequestsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests: those that are open, or all of the last 14 days."""

    state: Listed = "recent"
    after: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=2**63 - 1,
                description="The position of the last request that the phone has: older ones follow.",
            ),
        ]
        | None
    ) = None
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
    caller, context = await _current_reader(request, rid), context_of(request)
    query, reader = decode_query(request, EventsQuery), caller.reader
    keys = await context.keys.relationship_keys(reader.relationship_id, reader.author_id)
    async with context.acting_as(caller.member_id) as db:
        page = await feed.page(db, keys, reader, query.stream, query.after, query.limit, proof=query.proof)
    return cacheable_answer(request, cacheable(page))


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
    caller, query = await _current_reader(request, rid), decode_query(request, RequestsQuery)
    asked, keys = requests.Asked(query.state, query.after, query.limit), await _keys(request, caller)
    async with _reading_long(request, caller) as db:
        listed = await requests.requests(db, keys, caller.reader, asked, context_of(request).now())
    return cacheable_answer(request, cacheable(listed))


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
    caller = await _current_reader(request, rid)
    query = decode_query(request, BalancesQuery)
    on = query.on or _today(context_of(request).now(), caller.time_zone)
    asked = balances_of.Asked(on, query.window, query.domain, query.size)

    async def count(db: DbConnection) -> Balances:
        return await balances_of.balances(db, await _keys(request, caller), caller.reader, asked, caller.member_id)

    return await _cached_counts(request, caller, (asked,), count)


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
    caller = await _current_reader(request, rid)
    asked = _trend_asked(decode_query(request, TrendsQuery), _today(context_of(request).now(), caller.time_zone))

    async def count(db: DbConnection) -> Trend:
        return await trends.trend(db, await _keys(request, caller), caller.reader, asked, caller.member_id)

    return await _cached_counts(request, caller, (asked,), count)


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
    caller, query = await _current_reader(request, rid), decode_query(request, PerspectivesQuery)
    asked = perspectives.Asked(query.measure, _item_of(query.measure, query.item), _period(query))

    async def compare() -> Perspectives:
        keys = await _keys(request, caller)
        async with _reading_long(request, caller) as db:
            return await perspectives.perspectives(db, keys, caller.reader, asked)

    return await _cached(request, caller, (asked,), compare)


@asynccontextmanager
async def _reading_long(request: ApiRequest, caller: "CurrentReader") -> AsyncIterator[DbConnection]:
    """A connection that acts for the caller, when it is their turn to read all of a stream."""
    turns: Turns = state_of(request).turns
    async with turns.take(caller.member_id), context_of(request).acting_as(caller.member_id) as db:
        yield db


class CurrentReader(Struct, frozen=True):
    """The caller as the reader of a relationship, their time zone, and the version of what they can count."""

    member_id: UUID
    reader: Reader
    time_zone: str
    version: str


async def _current_reader(request: ApiRequest, rid: str) -> CurrentReader:
    bearer = await bearer_without_recheck(request)
    lookup: ReaderLookup = state_of(request).reader_lookup
    try:
        found = await lookup.find(bearer.session_id, bearer.member_id, path_uuid(rid))
    except NotFound:
        await recheck_session(request)
        raise
    return CurrentReader(bearer.member_id, found.reader, found.time_zone, found.version)


async def _keys(request: ApiRequest, caller: CurrentReader) -> RelationshipKeys:
    reader = caller.reader
    return await context_of(request).keys.relationship_keys(reader.relationship_id, reader.author_id)


async def _cached_counts(
    request: ApiRequest,
    caller: CurrentReader,
    question: tuple[object, ...],
    count: Callable[[DbConnection], Awaitable[Balances | Trend]],
) -> ASGIApp:
    """Counts, by the connections that are there to count."""

    async def counted() -> Balances | Trend:
        async with checked_out(state_of(request).counting_db) as db:
            return await count(db)

    return await _cached(request, caller, question, counted)


async def _cached(
    request: ApiRequest, caller: CurrentReader, question: tuple[object, ...], compute: Callable[[], Awaitable[object]]
) -> ASGIApp:
    """The answer, from the cache where nothing has changed that this reader can read; computed otherwise.

    It is computed after the version was looked up: what is cached under a version is as new as that, or newer.
    """
    cache: AnswerCache = state_of(request).answer_cache
    key = (caller.reader.author_id, *question)
    answer = cache.get(key, caller.version)
    if answer is None:
        answer = cacheable(await compute())
        cache.put(key, caller.version, answer)
    return cacheable_answer(request, answer)


def _today(now: datetime, time_zone: str) -> date:
    return now.astimezone(ZoneInfo(time_zone)).date()


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
