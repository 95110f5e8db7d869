"""Handlers of what is asked next: roles, whose view stood before a decision, what has changed, a month in words."""

import re
from typing import Annotated

from litestar import get
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from events.entries import Domain
from events.heads import DbConnection
from projections import changes as changes_of
from projections import month as month_of
from projections import roles as roles_of
from projections import voice as voice_of
from projections.changes import Changes, Quarter
from projections.month import Month, Review
from projections.month_texts import LANGUAGES
from projections.roles import Roles
from projections.voice import Voice
from projections.windows import Window
from service.core.languages import Language
from service.database.pool import checked_out
from service.errors import Invalid, NotFound
from service.reading.asking import (
    CurrentReader,
    cached,
    cached_counts,
    current_reader,
    keys_of,
    reading_long,
    today_of,
)
from service.reading.reads import DayOrToday, WindowDays
from service.web.operation import described
from service.web.requests import ApiRequest, decode_query, language_of, state_of


class WindowQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which window of days, and which domain; all where left out."""

    window: WindowDays = 28
    on: DayOrToday | None = None
    domain: Domain | None = None


def _window(request: ApiRequest, caller: CurrentReader) -> Window:
    query = decode_query(request, WindowQuery)
    return Window(query.on or today_of(request, caller), query.window, query.domain)


class ReviewQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """In which language; Accept-Language where left out."""

    language: Language | None = None


class ChangesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which quarter of the calendar is held beside the one before."""

    quarter: Annotated[
        str,
        Meta(
            pattern=r"^(000[2-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-Q[1-4]$(?!\n)",
            description="A quarter that is over.",
            examples=["2025-Q4"],
        ),
    ]
    domain: Domain | None = None


@get(
    "/v1/relationships/{rid:str}/roles",
    opt=described(
        id="getRoles",
        tag="Read",
        summary="Who initiates and who decides, together, over a window",
        query=WindowQuery,
        answers={200: Roles},
        problems=(NotFound,),
        cached=True,
    ),
)
async def get_roles(request: ApiRequest, rid: FromPath[str]) -> ASGIApp:
    """Two tellings, side by side. Requests stay out: whoever is asked decides, by what a request is."""
    caller = await current_reader(request, rid)
    asked = _window(request, caller)

    async def count(db: DbConnection) -> Roles:
        return await roles_of.roles(db, await keys_of(request, caller), caller.reader, asked, caller.member_id)

    return await cached_counts(request, caller, ("roles", asked), count)


@get(
    "/v1/relationships/{rid:str}/changes",
    opt=described(
        id="getChanges",
        tag="Read",
        summary="A quarter beside the one before: whether something has moved",
        query=ChangesQuery,
        answers={200: Changes},
        problems=(NotFound,),
        cached=True,
    ),
)
async def get_changes(request: ApiRequest, rid: FromPath[str]) -> ASGIApp:
    """Looked at when the quarter is over, so that nobody finds a change by looking every day."""
    caller = await current_reader(request, rid)
    query = decode_query(request, ChangesQuery)
    asked = changes_of.Asked(Quarter(int(query.quarter[:4]), int(query.quarter[-1])), query.domain)
    if asked.quarter.last >= today_of(request, caller):
        raise Invalid("A quarter can be looked at once it is over.", "/quarter")

    async def count(db: DbConnection) -> Changes:
        return await changes_of.changes(db, await keys_of(request, caller), caller.reader, asked, caller.member_id)

    return await cached_counts(request, caller, ("changes", asked), count)


@get(
    "/v1/relationships/{rid:str}/voice",
    opt=described(
        id="getVoice",
        tag="Read",
        summary="Whose view stood before a decision, by who decided, over a window",
        query=WindowQuery,
        answers={200: Voice},
        problems=(NotFound,),
        cached=True,
    ),
)
async def get_voice(request: ApiRequest, rid: FromPath[str]) -> ASGIApp:
    """Of openings that were decided, by what I can read of them. It lists nobody who was silent."""
    caller = await current_reader(request, rid)
    asked = _window(request, caller)

    async def heard() -> Voice:
        keys = await keys_of(request, caller)
        async with reading_long(request, caller) as db:
            return await voice_of.voice(db, keys, caller.reader, asked)

    return await cached(request, caller, ("voice", asked), heard)


MONTH = re.compile(r"(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-(0[1-9]|1[0-2])", re.ASCII)


@get(
    "/v1/relationships/{rid:str}/reviews/{month:str}",
    opt=described(
        id="getReview",
        tag="Read",
        summary="A month in words, from a fixed catalogue of sentences",
        query=ReviewQuery,
        answers={200: Review},
        problems=(NotFound,),
        cached=True,
    ),
)
async def get_review(request: ApiRequest, rid: FromPath[str], month: FromPath[str]) -> ASGIApp:
    """What was counted, what it felt like beside that, and what stands behind and against each reading."""
    caller = await current_reader(request, rid)
    language = language_of(request, decode_query(request, ReviewQuery).language, LANGUAGES)
    found = MONTH.fullmatch(month)
    asked = Month(int(found[1]), int(found[2])) if found else None
    if asked is None or asked.first > today_of(request, caller):
        raise NotFound

    async def written() -> Review:
        keys = await keys_of(request, caller)
        async with checked_out(state_of(request).counting_db) as db:
            counts = await month_of.read_counts(db, keys, caller.reader, asked, caller.member_id)
        async with reading_long(request, caller) as db:
            events = await month_of.read_events(db, keys, caller.reader)
        return month_of.fold(counts, events, caller.reader, asked, language)

    return await cached(request, caller, ("review", asked, language), written)
