"""What every handler of this room begins with: who reads, with which keys, and what is cached for them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from litestar.types import ASGIApp
from msgspec import Struct
from msgspec.structs import replace

from events.encryption import RelationshipKeys
from events.heads import DbConnection
from projections.reader import Reader
from service.access.authentication import admitted_at, bearer_without_recheck, recheck_session
from service.access.pauses import decrypt_pauses, spans_of
from service.access.reader_lookup import ReaderLookup
from service.database.pool import checked_out
from service.errors import NotFound
from service.reading.answer_cache import AnswerCache
from service.reading.turns import Turns
from service.web.requests import ApiRequest, context_of, path_uuid, state_of
from service.web.responses import Cacheable, accepts_gzip, cacheable, cacheable_answer, zipped


class CurrentReader(Struct, frozen=True):
    """The caller as the reader of a relationship, their time zone, and the version of what they can count."""

    member_id: UUID
    reader: Reader
    time_zone: str
    version: str


async def current_reader(request: ApiRequest, rid: str) -> CurrentReader:
    """The caller as a reader of that relationship. Raises NotSignedIn, TooManyRequests and NotFound."""
    bearer = await bearer_without_recheck(request)
    lookup: ReaderLookup = state_of(request).reader_lookup
    try:
        found = await lookup.find(bearer.session_id, bearer.member_id, path_uuid(rid))
    except NotFound:
        await recheck_session(request)
        raise
    reader = found.reader
    if found.pauses is not None:
        pauses = await decrypt_pauses(context_of(request).keys, bearer.member_id, found.pauses)
        reader = replace(reader, paused=spans_of(pauses))
    return CurrentReader(bearer.member_id, reader, found.time_zone, found.version)


async def keys_of(request: ApiRequest, caller: CurrentReader) -> RelationshipKeys:
    """The keys with which the caller reads."""
    reader = caller.reader
    return await context_of(request).keys.relationship_keys(reader.relationship_id, reader.author_id)


async def cached_counts(
    request: ApiRequest,
    caller: CurrentReader,
    question: tuple[object, ...],
    count: Callable[[DbConnection], Awaitable[object]],
) -> ASGIApp:
    """Counts, by the connections that are there to count."""

    async def counted() -> object:
        async with checked_out(state_of(request).counting_db) as db:
            return await count(db)

    plain = await _cached(request, caller, question, counted, varies=True)
    if not accepts_gzip(request):
        return cacheable_answer(request, plain)
    return cacheable_answer(request, _zipped(request, caller, question, plain))


def _zipped(request: ApiRequest, caller: CurrentReader, question: tuple[object, ...], plain: Cacheable) -> Cacheable:
    """Figures alone, compressed once for each version."""
    cache: AnswerCache = state_of(request).answer_cache
    key = (caller.reader.author_id, "gzip", *question)
    answer = cache.get(key, caller.version)
    if answer is None:
        answer = zipped(plain)
        cache.put(key, caller.version, answer)
    return answer


async def cached(
    request: ApiRequest, caller: CurrentReader, question: tuple[object, ...], compute: Callable[[], Awaitable[object]]
) -> ASGIApp:
    """The answer, from the cache where nothing has changed that this reader can read; computed otherwise."""
    return cacheable_answer(request, await _cached(request, caller, question, compute))


async def cached_body(
    request: ApiRequest, caller: CurrentReader, question: tuple[object, ...], compute: Callable[[], Awaitable[object]]
) -> bytes:
    """The JSON of the same, for what is made of it each time."""
    return (await _cached(request, caller, question, compute)).content


async def _cached(
    request: ApiRequest,
    caller: CurrentReader,
    question: tuple[object, ...],
    compute: Callable[[], Awaitable[object]],
    varies: bool = False,
) -> Cacheable:
    """It is computed after the version was looked up: what is cached under a version is as new as that, or newer."""
    cache: AnswerCache = state_of(request).answer_cache
    key = (caller.reader.author_id, *question)
    answer = cache.get(key, caller.version)
    if answer is None:
        answer = cacheable(await compute(), varies)
        cache.put(key, caller.version, answer)
    return answer


def today_of(request: ApiRequest, caller: CurrentReader) -> date:
    """The date on which the caller's clock stands."""
    return admitted_at(request).astimezone(ZoneInfo(caller.time_zone)).date()


@asynccontextmanager
async def reading_long(request: ApiRequest, caller: CurrentReader) -> AsyncIterator[DbConnection]:
    """A connection that acts for the caller, when it is their turn to read all of a stream."""
    turns: Turns = state_of(request).turns
    async with turns.take(caller.member_id), context_of(request).acting_as(caller.member_id) as db:
        yield db
