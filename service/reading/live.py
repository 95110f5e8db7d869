"""Live events: server-sent events, one for each new event that its reader may read.

Correctness never depends on timing: a stream that is woken reads from the log what follows the positions that it
reached. The process that records wakes its own listeners, a moment after it has answered; for what other processes
record, one task polls the heads of all streams that are listened to.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
import structlog
from litestar import get
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from events.entries import Audience
from events.heads import DbConnection, read_head
from events.records import transposed
from projections import feed
from projections.feed import Event, Page
from service.access.authentication import current_member
from service.access.memberships import Membership, membership_in, reader_of
from service.context import Context
from service.core.listeners import Listener
from service.errors import Invalid, NotFound
from service.reading.live_tickets import LiveQuery, bearer_of_ticket
from service.web.operation import described
from service.web.requests import ApiRequest, context_of, decode_query, path_uuid, state_of

log = structlog.get_logger()

RECONNECT_MILLISECONDS = 2000
KEEP_ALIVE = b": nothing new\n\n"
HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # or nginx keeps back what it should pass on
]
POSITIONS = re.compile(r"shared:(0|[1-9][0-9]{0,18}),private:(0|[1-9][0-9]{0,18})", re.ASCII)


class LivePace(Struct, frozen=True):
    """How fast streams go, and how much they hold."""

    poll_seconds: float = 0.5  # until what another process recorded is sent, and until a revoked session gets no more
    keep_alive_seconds: float = 15  # proxies hang up on what is silent for longer, often after a minute
    last_seconds: float = 1  # for the end of a stream that its reader does not read
    page_events: int = 100  # all that is held in memory for a reader, however slow


PACE = LivePace()


@get(
    "/v1/relationships/{rid:str}/live",
    opt=described(
        id="listenLive",
        tag="Read",
        summary="Each new event that I may read, as it happens",
        query=LiveQuery,
        answers={200: Event},
        problems=(NotFound, Invalid),
        live=True,
    ),
)
async def listen_live(request: ApiRequest, rid: FromPath[str]) -> ASGIApp:
    """Server-sent events: `data` is an Event as in pages, `id` names the positions of both streams that are reached.

    Without Last-Event-ID it begins with what is new from now on. The first frame has no data: its id tells where the
    stream begins. A position that a stream has not reached counts as its head. Comments keep the connection alive; the
    first one says that everything up to now is told. Each stream is in order; between the two there is none.

    The stream ends with the access token, and within a second when the session is revoked or the reader may not read
    any more: connect again with a fresh token and the last id. Of more than 5 streams of a member the oldest ends.
    A browser sends `?ticket=` instead of the token. An event named `state` tells how the relationship stands, once
    somebody has accepted or confirmed.
    """
    ticket, context, wanted = decode_query(request, LiveQuery).ticket, context_of(request), path_uuid(rid)
    member = await bearer_of_ticket(request, ticket) if ticket is not None else await current_member(request)
    async with context.acting_as(member.member_id) as db:
        membership = await membership_in(db, member.member_id, context.now(), wanted)
        reached = await _beginning(db, membership, request.headers.get("last-event-id"))
    state, until = membership.state, member.access_expires_at
    listener = Listener(member.member_id, member.session_id, reader_of(membership), until, reached, state, state)
    return LiveStream(context, listener, state_of(request).live_pace)


async def _beginning(db: DbConnection, membership: Membership, last_event_id: str | None) -> dict[Audience, int]:
    heads: dict[Audience, int] = {
        "shared": (await read_head(db, membership.shared)).position,
        "private": (await read_head(db, membership.private)).position,
    }
    if not last_event_id:  # browsers may send an empty one for none
        return heads
    given = POSITIONS.fullmatch(last_event_id)
    if given is None:
        raise Invalid("Last-Event-ID is the id of a frame, such as shared:12,private:7.", "/Last-Event-ID")
    # A database that was restored may have lost what this phone has seen; what comes next must not be skipped.
    return {"shared": min(int(given[1]), heads["shared"]), "private": min(int(given[2]), heads["private"])}


class LiveStream:
    """One open stream, as an ASGI application: what the framework streams cannot be ended while nobody reads it."""

    def __init__(self, context: Context, listener: Listener, pace: LivePace) -> None:
        self._context, self._listener, self._pace = context, listener, pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send frames until the reader hangs up or the stream is ended."""
        self._context.listeners.join(self._listener)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await _until_one_ends(self._send_frames(send), _hung_up(receive), self._listener.ended.wait())
        finally:
            self._context.listeners.leave(self._listener)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace.last_seconds):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_frames(self, send: Send) -> None:
        try:
            async for sent in self._frames():
                await send({"type": "http.response.body", "body": sent, "more_body": True})
        except Exception as error:
            # The phone connects again and misses nothing. What an exception says may be what people wrote.
            log.warning("live_broken_off", failure=type(error).__name__)

    async def _frames(self) -> AsyncIterator[bytes]:
        yield beginning(self._listener.reached)
        async for event_frame in self._new_events():
            yield event_frame
        yield KEEP_ALIVE
        while True:
            if await self._woken():
                # Before reading: what is recorded meanwhile wakes it again.
                self._listener.woken.clear()
                if self._listener.told != self._listener.state:
                    self._listener.told = self._listener.state
                    yield state_frame(self._listener.state)
                async for event_frame in self._new_events():
                    yield event_frame
            else:
                yield KEEP_ALIVE

    async def _woken(self) -> bool:
        """Whether something may be new, after waiting for that as long as silence may last."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace.keep_alive_seconds):
                await self._listener.woken.wait()
        return self._listener.woken.is_set()

    async def _new_events(self) -> AsyncIterator[bytes]:
        """All that follows the positions reached; no connection is held while a slow phone reads."""
        reached, more = self._listener.reached, True
        while more:
            pages = await self._pages()
            for event in (event for page in pages for event in page.events):
                reached[event.stream] = event.position
                yield frame(reached, event)
            more = any(page.more and page.events for page in pages)

    async def _pages(self) -> list[Page]:
        context, reader = self._context, self._listener.reader
        async with context.acting_as(self._listener.member_id) as db:
            keys = await context.keys.relationship_keys(reader.relationship_id, reader.author_id)
            return [
                await feed.page(db, keys, reader, audience, position, self._pace.page_events)
                for audience, position in self._listener.reached.items()
            ]


async def _until_one_ends(*waits: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.create_task(one) for one in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def beginning(reached: dict[Audience, int]) -> bytes:
    """The first frame. Without data it is no event to a client, which remembers its id all the same."""
    return f"retry: {RECONNECT_MILLISECONDS}\nid: {_id(reached)}\n\n".encode()


def frame(reached: dict[Audience, int], event: Event) -> bytes:
    """An event as its reader gets it, with the positions that are reached by it."""
    return b"id: %b\ndata: %b\n\n" % (_id(reached).encode(), msgspec.json.encode(event))


def state_frame(state: str) -> bytes:
    """That the relationship stands otherwise now. It has a name of its own: a client that asks for events skips it."""
    return b"event: state\ndata: %b\n\n" % msgspec.json.encode({"state": state})


def _id(reached: dict[Audience, int]) -> str:
    return f"shared:{reached['shared']},private:{reached['private']}"


# --- What other processes do


async def poll_forever(context: Context, every_seconds: float) -> None:
    """Poll again and again: one task of the process, for all who listen.

    While nobody does, too: that somebody does must make nobody's answers slower.
    """
    while True:
        await asyncio.sleep(every_seconds)
        try:
            await poll(context)
        except Exception as error:
            # While the database is away nothing can be sent; the next look may find it again.
            if list(context.listeners):
                log.warning("live_poll_failed", failure=type(error).__name__)


# The private stream of a member who is not confirmed yet has no head.
HEADS = """
SELECT
    readers.member_id,
    readers.relationship_id,
    readers.stream,
    coalesce(heads.position, 0) AS position
FROM unnest($1::uuid[], $2::smallint[]) AS listened_to (relationship_id, stream)
JOIN readers USING (relationship_id, stream)
LEFT JOIN heads USING (relationship_id, stream)
"""

# As it is kept: that an invite has expired is nobody's act.
STATES = """
SELECT
    relationship_id,
    state
FROM relationships
WHERE relationship_id = ANY ($1::uuid[])
"""

SIGNED_IN = """
SELECT session_id
FROM sessions
WHERE session_id = ANY ($1::uuid[])
"""


async def poll(context: Context) -> None:
    """Wake listeners that are behind a head, and end those that may not listen any more."""
    context.listeners.end_displaced()
    listeners, now = list(context.listeners), context.now()
    listened_to = {(s.relationship_id, s.number) for one in listeners for s in one.streams.values()}
    async with context.acting_as(*{one.member_id for one in listeners}) as db:
        rows = await db.fetch(HEADS, *(transposed(list(listened_to)) or [[], []]))
        states = await db.fetch(STATES, list({relationship_id for relationship_id, _ in listened_to}))
        sessions = await db.fetch(SIGNED_IN, list({one.session_id for one in listeners}))
    heads = {row[:3]: row["position"] for row in rows}
    state_of = {row["relationship_id"]: row["state"] for row in states}
    alive = {row["session_id"] for row in sessions}
    for one in listeners:
        behind = _behind(one, heads)
        if behind is None or one.session_id not in alive or one.until <= now:
            one.ended.set()
        elif behind or _stands_otherwise(one, state_of):
            context.listeners.wake(one)


def _stands_otherwise(listener: Listener, state_of: dict[UUID, str]) -> bool:
    """Whether the relationship stands otherwise than its reader was told, which is then noted."""
    found = state_of.get(listener.reader.relationship_id, listener.state)
    if found != listener.state and not (found == "inviting" and listener.state == "solo"):
        listener.state = found
    return listener.state != listener.told


def _behind(listener: Listener, heads: dict[tuple[UUID, UUID, int], int]) -> bool | None:
    """Whether more is there than was sent; None where a stream cannot be read any more."""
    positions = {
        audience: heads.get((listener.member_id, stream.relationship_id, stream.number))
        for audience, stream in listener.streams.items()
    }
    if None in positions.values():
        return None
    return any((positions[audience] or 0) > reached for audience, reached in listener.reached.items())
