"""The ASGI application: routes, state, lifespan, and the wrappers around every request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import timedelta
from functools import cache
from typing import Any

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send
from msgspec import Struct
from msgspec.structs import replace

from service import (
    accounts,
    contract,
    data_rights,
    prompts,
    push,
    reading,
    recording,
    relationships,
    web,
    web_app,
    worker,
)
from service.access import reader_lookup
from service.access.authentication import Authenticator
from service.access.reader_lookup import ReaderLookup
from service.accounts.id_tokens import IdentityProvider, ProviderName
from service.accounts.identity_providers import providers_of
from service.context import ACCESS_TTL, ConnectionPool, Context
from service.contract.document import document
from service.contract.pages import Page, pages_from
from service.core.clock import Clock, load_zones, utc_now
from service.core.listeners import Listeners, Places
from service.core.mail import Mailer, Postman
from service.core.randomness import RandomBytes, system_random_bytes
from service.core.tracing import Tracing, tracing_to
from service.data_rights.recounts import keep_recounting
from service.database.batching import STATEMENTS_AT_ONCE
from service.database.pool import create_pool
from service.database.roles import DOOR_ROLE, KEEPER_ROLE, KEYS_ROLE, PROMPTER_ROLE, RECORDER_ROLE, SERVICE_ROLE
from service.edge import Announcements, DefaultHeaders, HeadAsGet, RequestLog, Traced
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring
from service.keys.rotation import keep_rotating
from service.metrics import Metrics
from service.prompts.prompts_api import OpenPrompts
from service.push.senders import vapid_public_key
from service.reading import live, reads
from service.reading.answer_cache import AnswerCache
from service.reading.live import LivePace
from service.reading.turns import Turns
from service.recording.recorder import RECORDING, Recorder
from service.settings import Settings, named
from service.web.associations import AndroidApp, AppLinks
from service.web.operation import announcements
from service.web.problems import HANDLERS
from service.web.rate_limits import RateLimits, rate_limits
from service.web.requests import APP_STATE
from service.web.responses import Cacheable, cacheable, zipped

BODY_BYTES = 256 * 1024
KEYS_CONNECTIONS = 2
AUTH_CONNECTIONS = 4
ADMISSION_CONNECTIONS = 2  # for access tokens alone: whoever signs in, or tries to, keeps no member out
AUTH_SECONDS = 5  # all that is asked there takes milliseconds: more means that the database hangs
LOOKUPS_OF_A_CALL = 3  # its session, its membership, its prompts
MAINTENANCE_CONNECTIONS = 1
SCHEDULER_CONNECTIONS = 2
WRITER_CONNECTIONS = 8  # six for groups, and the others for what is blocked

ROUTES: list[Any] = [
    *accounts.ROUTES,
    *relationships.ROUTES,
    *recording.ROUTES,
    *reading.ROUTES,
    *prompts.ROUTES,
    *push.ROUTES,
    *data_rights.ROUTES,
    *web.ROUTES,
    *contract.ROUTES,
    *web_app.ROUTES,
]


class AppState(Struct, frozen=True, kw_only=True):
    """What handlers share from start to stop. Each room has typed accessors for its part of it."""

    context: Context
    document: Callable[[bool], Cacheable]
    app_links: AppLinks
    pages: Callable[[], dict[str, Page]]
    rate_limits: RateLimits
    authenticator: Authenticator
    reader_lookup: ReaderLookup
    open_prompts: OpenPrompts
    counting_db: ConnectionPool
    answer_cache: AnswerCache
    turns: Turns
    live_pace: LivePace
    recorder: Recorder
    identity_providers: dict[ProviderName, IdentityProvider]
    vapid_public_key: str | None


async def at_once() -> bool:
    """Begin as soon as everything is open, with all that is done by one process alone."""
    return True


class App:
    """The service as an ASGI application: Litestar inside the wrappers of `edge`."""

    def __init__(
        self,
        litestar: Litestar,
        random_bytes: RandomBytes,
        metrics: Metrics | None,
        public_url: str | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.litestar, self.metrics = litestar, metrics
        methods = {route.path_format: route.methods for route in litestar.routes}
        announced = dict(_announced(litestar))
        inside = Announcements(litestar, announced) if announced else litestar
        # The log is the outermost: it tells of the method that was sent, and of all the time that an answer took.
        logged = RequestLog(HeadAsGet(DefaultHeaders(inside, methods, public_url)), random_bytes, metrics)
        self._http = Traced(logged, tracing) if tracing else logged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or run the lifespan."""
        if scope["type"] == ScopeType.HTTP:
            await self._http(scope, receive, send)
        else:
            await self.litestar(scope, receive, send)

    @property
    def state(self) -> AppState:
        """Its state, once it has started."""
        state: AppState = self.litestar.state[APP_STATE]
        return state

    def end_streams(self) -> None:
        """End all live streams: a server waits for open answers before it stops, and these never end by themselves."""
        self.state.context.listeners.close()


def _announced(litestar: Litestar) -> Iterator[tuple[tuple[str, str], list[tuple[bytes, bytes]]]]:
    """What is told of operations that will go, by path template and method."""
    for route in litestar.routes:
        for handler in getattr(route, "route_handlers", []):
            operation = handler.opt.get("operation")
            if operation is not None and (headers := announcements(operation)):
                for method in handler.http_methods:
                    yield (route.path_format, str(method)), headers


def create_app(
    database_url: str,
    settings: Settings,
    mailer: Mailer,
    store: KeyStore,
    now: Clock = utc_now,
    random_bytes: RandomBytes = system_random_bytes,
    with_prompts: bool = False,
    live_pace: LivePace = live.PACE,
    with_upkeep: bool = False,
    access_ttl: timedelta = ACCESS_TTL,
    limits: RateLimits | None = None,
    begin: Callable[[], Awaitable[bool]] = at_once,
    places: Places | None = None,
) -> App:
    """The service on a migrated database; `with_prompts`, it plans and sends them too. Raises StartupError.

    `with_upkeep`, it rotates keys whose epoch is as old as the settings say, and counts again what an erasure has left
    due. `limits`, and `places` of live streams, are those that several processes share; without, it has its own.
    `begin` is awaited once everything is open, before anything is done; where it says False, another process plans
    prompts and does the upkeep.
    """
    opened = open_context(database_url, settings, mailer, store, now, random_bytes, access_ttl, places)
    vapid = vapid_public_key(settings)
    tracing = tracing_to(settings.otlp_url) if settings.otlp_url else None
    metrics = Metrics() if settings.metrics_port is not None else None
    rotate_after = timedelta(days=settings.rotate_keys_after_days)

    @asynccontextmanager
    async def beside_requests(context: Context) -> AsyncIterator[None]:
        is_first = await begin()
        async with _prompting(context, settings if is_first and with_prompts else None):
            forever = [live.poll_forever(context, live_pace.poll_seconds)]
            if is_first and with_upkeep:
                forever.append(keep_recounting(context))
            if is_first and with_upkeep and rotate_after:
                forever.append(keep_rotating(database_url, store, now, rotate_after))
            async with _running(forever):
                yield

    def lifespan(app: Litestar) -> AbstractAsyncContextManager[None]:
        state = _open_state(app, database_url, settings, opened, vapid, live_pace, limits or rate_limits(settings))
        return _lifespan(app, state, metrics, beside_requests)

    litestar = Litestar(
        ROUTES,
        openapi_config=None,
        logging_config=None,  # ours is structlog; the default would log bodies
        exception_handlers=HANDLERS,
        request_max_body_size=BODY_BYTES,
        lifespan=[lifespan],
        on_shutdown=[tracing.close] if tracing else [],
        cors_config=_cors(settings.cors_origins),
    )
    return App(litestar, random_bytes, metrics, settings.public_url, tracing)


@asynccontextmanager
async def _lifespan(
    litestar: Litestar,
    opened: AbstractAsyncContextManager[AppState],
    metrics: Metrics | None,
    beside_requests: Callable[[Context], AbstractAsyncContextManager[None]],
) -> AsyncIterator[None]:
    async with opened as state:
        litestar.state[APP_STATE] = state
        load_zones()
        if metrics:
            _watch(metrics, state)
        async with beside_requests(state.context):
            try:
                yield
            finally:
                await state.recorder.close()


@asynccontextmanager
async def _running(forever: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each) for each in forever]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@asynccontextmanager
async def _open_state(
    litestar: Litestar,
    database_url: str,
    settings: Settings,
    opened: AbstractAsyncContextManager[Context],
    vapid: str | None,
    live_pace: LivePace,
    limits: RateLimits,
) -> AsyncIterator[AppState]:
    async with (
        opened as context,
        create_pool(
            database_url, SERVICE_ROLE, LOOKUPS_OF_A_CALL * STATEMENTS_AT_ONCE, reader_lookup.PLANNED, no_reset
        ) as lookup_db,
        create_pool(database_url, SERVICE_ROLE, reads.COUNTING_CONNECTIONS, reads.COUNTING, no_reset) as counting_db,
    ):
        made = _document(litestar, settings)
        yield AppState(
            context=context,
            document=made,
            app_links=_app_links(settings),
            pages=pages_from(made),
            rate_limits=limits,
            authenticator=Authenticator(context),
            reader_lookup=ReaderLookup(lookup_db),
            open_prompts=OpenPrompts(context, lookup_db),
            counting_db=counting_db,
            answer_cache=AnswerCache(),
            turns=Turns(),
            live_pace=live_pace,
            recorder=Recorder(context),
            identity_providers=providers_of(settings),
            vapid_public_key=vapid,
        )


def _app_links(settings: Settings) -> AppLinks:
    public_url = settings.public_url or f"http://{settings.host}:{settings.port}"
    apps = [AndroidApp(*one.split("=", 1)) for one in named(settings.android_apps)]
    return AppLinks(public_url.rstrip("/"), named(settings.ios_app_ids), apps)


def _cors(origins: str | None) -> CORSConfig | None:
    """What pages of other origins may do: all that an app may, with its token; no cookie exists to be taken along."""
    if origins is None:
        return None
    return CORSConfig(
        allow_origins=[one.strip() for one in origins.split(",")],
        allow_methods=["GET", "PUT", "POST", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "If-None-Match", "Last-Event-ID", "Accept-Language"],
        expose_headers=[
            "ETag",
            "Retry-After",
            "RateLimit",
            "RateLimit-Policy",
            "X-Request-Id",
            "Deprecation",
            "Sunset",
        ],
    )


def _document(litestar: Litestar, settings: Settings) -> Callable[[bool], Cacheable]:
    """The contract document, compressed or not, made when it is first asked for: that takes as long as all else at the
    start together.
    """

    @cache
    def made(compressed: bool) -> Cacheable:
        if compressed:
            return zipped(made(False))
        return replace(cacheable(document(litestar, settings.public_url)), varies=True)

    return made


def _prompting(context: Context, worker_settings: Settings | None) -> AbstractAsyncContextManager[None]:
    return worker.working(context, worker_settings) if worker_settings else nullcontext()


def _watch(metrics: Metrics, state: AppState) -> None:
    lookup, recorder = state.reader_lookup, state.recorder
    metrics.watch("lookups_waiting", "Requests that wait for their membership", lambda: lookup.waiting)
    metrics.watch("submissions_waiting", "Submissions that wait for their group", lambda: recorder.waiting)
    metrics.watch_pushes(state.context, asyncio.get_running_loop())
    metrics.watch_erasures(state.context, asyncio.get_running_loop())


@asynccontextmanager
async def open_context(
    database_url: str,
    settings: Settings,
    mailer: Mailer,
    store: KeyStore,
    now: Clock,
    random_bytes: RandomBytes,
    access_ttl: timedelta = ACCESS_TTL,
    places: Places | None = None,
) -> AsyncIterator[Context]:
    """A context, whose connections close and whose mails go out at the end of the block."""
    postman = Postman(mailer)
    async with (
        create_pool(database_url, SERVICE_ROLE, settings.database_connections) as db,
        create_pool(database_url, DOOR_ROLE, AUTH_CONNECTIONS, reset=no_reset, seconds=AUTH_SECONDS) as auth_db,
        create_pool(
            database_url, DOOR_ROLE, ADMISSION_CONNECTIONS, reset=no_reset, seconds=AUTH_SECONDS
        ) as admission_db,
        create_pool(database_url, KEEPER_ROLE, MAINTENANCE_CONNECTIONS) as maintenance_db,
        create_pool(database_url, PROMPTER_ROLE, SCHEDULER_CONNECTIONS) as scheduler_db,
        create_pool(database_url, RECORDER_ROLE, WRITER_CONNECTIONS, RECORDING, no_reset) as writer_db,
        create_pool(database_url, SERVICE_ROLE, WRITER_CONNECTIONS, RECORDING) as references_db,
        create_pool(database_url, KEYS_ROLE, KEYS_CONNECTIONS, reset=no_reset) as keys_db,
    ):
        try:
            keys = Keyring(keys_db, store, now, random_bytes)
            pools = (db, auth_db, admission_db, maintenance_db, scheduler_db, writer_db, references_db)
            listeners = Listeners(places=places)
            yield Context(*pools, keys, now, random_bytes, postman, listeners, access_ttl)
        finally:
            await postman.close()


async def no_reset(connection: Any) -> None:
    """For connections that keep nothing that the next caller could find."""
