"""The application: routes, the lifespan of the connection pool, and the edge around them."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any

import structlog
from litestar import Litestar
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from service import (
    codes,
    devices,
    entries,
    erasure,
    export,
    health,
    identities,
    live,
    lookup,
    members,
    openapi,
    outbox,
    prompts,
    questions,
    reads,
    relationships,
    schedules,
    sessions,
    worker,
)
from service.connections import create_pool
from service.kept import Kept
from service.keyring import Keyring
from service.keys import KeyStore
from service.limits import Limit, networks
from service.mail import Mailer, Postman
from service.metrics import Metrics
from service.migrations import DOOR_ROLE, KEEPER_ROLE, KEYS_ROLE, PROMPTER_ROLE, RECORDER_ROLE, SERVICE_ROLE
from service.outside import Chance, Clock, system_chance, utc_now
from service.problems import DATABASE_AWAY, HANDLERS
from service.push.senders import vapid_key
from service.push.webpush import public_key
from service.recorder import RECORDING, Recorder
from service.sessions import Doorkeeper
from service.settings import Settings
from service.world import World

BODY_BYTES = 256 * 1024
KEY_CONNECTIONS = 2
DOOR_CONNECTIONS = 4
KEEPER_CONNECTIONS = 1
PROMPTER_CONNECTIONS = 2
RECORDER_CONNECTIONS = 8  # six for groups, and the others for what is held up
LOOK_SECONDS = 2.0  # who collects figures waits for 10 by default

ROUTES: list[Any] = [
    codes.send_sign_in_code,
    codes.sign_in,
    codes.step_up,
    identities.sign_in_with_apple,
    identities.sign_in_with_google,
    identities.step_up_with_apple,
    identities.step_up_with_google,
    sessions.refresh_session,
    sessions.list_sessions,
    sessions.end_session,
    members.get_me,
    members.change_me,
    members.give_consent,
    members.withdraw_consent,
    devices.register_device,
    devices.list_devices,
    devices.remove_device,
    schedules.get_schedule,
    schedules.put_schedule,
    prompts.list_prompts,
    prompts.dismiss_prompt,
    export.export_me,
    erasure.erase_me,
    relationships.make_relationship,
    relationships.list_relationships,
    relationships.get_relationship,
    relationships.invite,
    relationships.accept_invite,
    relationships.confirm,
    relationships.leave,
    entries.record_check_in,
    entries.record_request,
    entries.record_decision,
    entries.record_retraction,
    entries.sync,
    reads.list_events,
    reads.list_requests,
    reads.get_balances,
    reads.get_trend,
    reads.get_perspectives,
    live.listen_live,
    questions.list_questions,
    health.get_liveness,
    health.get_readiness,
    health.get_document,
    health.get_docs,
    health.get_docs_file,
]


def create_app(
    database_url: str,
    settings: Settings,
    mailer: Mailer,
    store: KeyStore,
    now: Clock = utc_now,
    chance: Chance = system_chance,
    prompts: bool = False,
) -> "Edge":
    """The service on a migrated database, as an ASGI application; with `prompts`, it plans and sends them too."""
    hour, vapid = timedelta(hours=1), vapid_key(settings)
    opened = opened_world(database_url, settings, mailer, store, now, chance)
    app = Litestar(
        ROUTES,
        openapi_config=None,
        logging_config=None,  # ours is structlog; the default would log bodies
        exception_handlers=HANDLERS,
        request_max_body_size=BODY_BYTES,
        lifespan=[lambda app: _lifespan(app, database_url, opened, settings if prompts else None)],
        state=State(
            {
                "kept": Kept(),
                "codes_asked": Limit(settings.sign_ins_per_hour, hour),
                "codes_tried": Limit(settings.sign_ins_per_hour, hour),
                "invites_tried": Limit(settings.invite_tries_per_hour, hour),
                "requests": Limit(settings.requests_per_minute, timedelta(minutes=1)),
                "providers": identities.providers_of(settings),
                "vapid_public_key": public_key(vapid) if vapid else None,
                "trusted_proxies": networks(settings.trusted_proxies),
            }
        ),
    )
    app.state.document = openapi.document(app)
    return Edge(app, Metrics() if settings.metrics_port is not None else None)


@asynccontextmanager
async def _lifespan(
    app: Litestar, database_url: str, opened: AbstractAsyncContextManager[World], prompts: Settings | None
) -> AsyncIterator[None]:
    async with (
        opened as world,
        create_pool(database_url, SERVICE_ROLE, lookup.STATEMENTS_AT_ONCE, lookup.PLANNED, _nothing) as lookup_db,
        create_pool(database_url, SERVICE_ROLE, reads.COUNTING_CONNECTIONS, reads.COUNTING, _nothing) as counting_db,
        worker.working(world, prompts) if prompts else nullcontext(),
    ):
        app.state.world, app.state.loop = world, asyncio.get_running_loop()
        app.state.lookup = lookup.Lookup(lookup_db)
        app.state.counting = counting_db
        app.state.recorder = Recorder(world)
        app.state.doorkeeper = Doorkeeper(world)
        watching = asyncio.create_task(live.watch(world))
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            await app.state.recorder.close()


@asynccontextmanager
async def opened_world(
    database_url: str, settings: Settings, mailer: Mailer, store: KeyStore, now: Clock, chance: Chance
) -> AsyncIterator[World]:
    """All that the service needs, with its connections, which end with it."""
    postman = Postman(mailer)
    async with (
        create_pool(database_url, SERVICE_ROLE, settings.database_connections) as db,
        create_pool(database_url, DOOR_ROLE, DOOR_CONNECTIONS, reset=_nothing) as door,
        create_pool(database_url, KEEPER_ROLE, KEEPER_CONNECTIONS) as keeper,
        create_pool(database_url, PROMPTER_ROLE, PROMPTER_CONNECTIONS) as prompter,
        create_pool(database_url, RECORDER_ROLE, RECORDER_CONNECTIONS, RECORDING, _nothing) as recorder,
        create_pool(database_url, KEYS_ROLE, KEY_CONNECTIONS) as keys_db,
    ):
        try:
            keys = Keyring(keys_db, store, now, chance)
            yield World(db, door, keeper, prompter, recorder, keys, now, chance, postman)
        finally:
            await postman.close()


async def _nothing(connection: Any) -> None:
    """It keeps nothing that the next one could find."""


class Edge:
    """What is true of every request: HEAD answers as GET does, nobody keeps an answer unasked, one line is logged."""

    def __init__(self, app: Litestar, metrics: Metrics | None = None) -> None:
        self.litestar = app
        self.metrics = metrics
        if metrics:
            metrics.watch("lookups_waiting", "Requests that wait for their membership", self._lookups_waiting)
            metrics.watch("submissions_waiting", "Submissions that wait for their group", self._submissions_waiting)
            metrics.watch_pushes(self._pushes)
        self._app: ASGIApp = app
        self._log = structlog.get_logger().bind()  # once: to bind takes as long as to make a line
        self._allowed = {route.path_format: _named(route.methods) for route in app.routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the lifespan."""
        if scope["type"] == ScopeType.HTTP:
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def end_streams(self) -> None:
        """End all live streams: a server waits for open answers before it stops, and these never end by themselves."""
        self.litestar.state.world.listeners.close()

    async def _answer(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        began, status, method, over = time.perf_counter(), 0, scope["method"], False
        if method == "HEAD":
            # A copy: the server still has to know that this answer has no body.
            scope = {**scope, "method": "GET"}

        async def finish(message: Message) -> None:
            nonlocal status, over
            if over:
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_defaults(list(message["headers"]))
                allowed = self._allowed.get(scope.get("path_template", ""))
                if method == "OPTIONS" and allowed:
                    # Litestar names the methods of one handler only, where an address has several.
                    message["headers"] = [(b"allow", allowed), *(h for h in message["headers"] if h[0] != b"allow")]
            elif method == "HEAD" and message["type"] == "http.response.body":
                # All there is, of an endless answer too: the server then says that nobody listens.
                message["body"], message["more_body"], over = b"", False, True
            await send(message)

        await self._app(scope, receive, finish)
        seconds, route = time.perf_counter() - began, scope.get("path_template") or "unknown"
        self._log.info(
            "request",
            method=method,
            route=route,
            member=scope.get("mutuality_member"),
            status=status,
            milliseconds=round(seconds * 1000, 1),
        )
        if self.metrics:
            self.metrics.answered(route, method, status, seconds)

    def _lookups_waiting(self) -> int:
        return int(self.litestar.state.lookup.waiting)

    def _submissions_waiting(self) -> int:
        return int(self.litestar.state.recorder.waiting)

    def _pushes(self) -> list[outbox.Waiting]:
        """Asked of the database, in the loop that has its connections; nothing where it does not answer soon."""
        state = self.litestar.state
        looking = asyncio.run_coroutine_threadsafe(outbox.waiting(state.world), state.loop)
        try:
            return looking.result(LOOK_SECONDS)
        except DATABASE_AWAY:
            looking.cancel()
            return []


def _named(methods: Iterable[str]) -> bytes:
    known = set(methods)
    return ", ".join(sorted(known | {"HEAD"} if "GET" in known else known)).encode()


DEFAULT_HEADERS = {b"cache-control": b"no-store", b"x-content-type-options": b"nosniff"}


def _with_defaults(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    given = {name.lower() for name, _ in headers}
    return headers + [(name, value) for name, value in DEFAULT_HEADERS.items() if name not in given]
