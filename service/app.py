"""The application: routes, the lifespan of the connection pool, and the edge around them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any

from litestar import Litestar
from litestar.datastructures import State

from service import accounts, data_rights, prompts, push, reading, recording, relationships, web, worker
from service.access import reader_lookup
from service.access.authentication import Authenticator
from service.accounts import identity_providers
from service.context import Context
from service.contract import document
from service.core.clock import Clock, utc_now
from service.core.mail import Mailer, Postman
from service.core.networks import networks
from service.core.randomness import RandomBytes, system_random_bytes
from service.database.pool import create_pool
from service.database.roles import DOOR_ROLE, KEEPER_ROLE, KEYS_ROLE, PROMPTER_ROLE, RECORDER_ROLE, SERVICE_ROLE
from service.edge import Edge
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring
from service.metrics import Metrics
from service.push.senders import vapid_public_key
from service.reading import live, reads
from service.reading.answer_cache import AnswerCache
from service.recording.recorder import RECORDING, Recorder
from service.settings import Settings
from service.web.problems import HANDLERS
from service.web.rate_limits import Limit

BODY_BYTES = 256 * 1024
KEY_CONNECTIONS = 2
DOOR_CONNECTIONS = 4
KEEPER_CONNECTIONS = 1
PROMPTER_CONNECTIONS = 2
RECORDER_CONNECTIONS = 8  # six for groups, and the others for what is held up

ROUTES: list[Any] = [
    *accounts.ROUTES,
    *relationships.ROUTES,
    *recording.ROUTES,
    *reading.ROUTES,
    *prompts.ROUTES,
    *push.ROUTES,
    *data_rights.ROUTES,
    *web.ROUTES,
]


def create_app(
    database_url: str,
    settings: Settings,
    mailer: Mailer,
    store: KeyStore,
    now: Clock = utc_now,
    random_bytes: RandomBytes = system_random_bytes,
    with_prompts: bool = False,
) -> "Edge":
    """The service on a migrated database, as an ASGI application; `with_prompts`, it plans and sends them too."""
    hour = timedelta(hours=1)
    opened = open_context(database_url, settings, mailer, store, now, random_bytes)
    app = Litestar(
        ROUTES,
        openapi_config=None,
        logging_config=None,  # ours is structlog; the default would log bodies
        exception_handlers=HANDLERS,
        request_max_body_size=BODY_BYTES,
        lifespan=[lambda app: _lifespan(app, database_url, opened, settings if with_prompts else None)],
        state=State(
            {
                "answer_cache": AnswerCache(),
                "codes_asked": Limit(settings.sign_ins_per_hour, hour),
                "codes_tried": Limit(settings.sign_ins_per_hour, hour),
                "invites_tried": Limit(settings.invite_tries_per_hour, hour),
                "requests": Limit(settings.requests_per_minute, timedelta(minutes=1)),
                "providers": identity_providers.providers_of(settings),
                "vapid_public_key": vapid_public_key(settings),
                "trusted_proxies": networks(settings.trusted_proxies),
            }
        ),
    )
    app.state.document = document.document(app)
    return Edge(app, Metrics() if settings.metrics_port is not None else None)


@asynccontextmanager
async def _lifespan(
    app: Litestar, database_url: str, opened: AbstractAsyncContextManager[Context], worker_settings: Settings | None
) -> AsyncIterator[None]:
    async with (
        opened as context,
        create_pool(
            database_url, SERVICE_ROLE, reader_lookup.STATEMENTS_AT_ONCE, reader_lookup.PLANNED, no_reset
        ) as lookup_db,
        create_pool(database_url, SERVICE_ROLE, reads.COUNTING_CONNECTIONS, reads.COUNTING, no_reset) as counting_db,
        worker.working(context, worker_settings) if worker_settings else nullcontext(),
    ):
        app.state.context, app.state.loop = context, asyncio.get_running_loop()
        app.state.lookup = reader_lookup.ReaderLookup(lookup_db)
        app.state.counting = counting_db
        app.state.recorder = Recorder(context)
        app.state.authenticator = Authenticator(context)
        watching = asyncio.create_task(live.poll_forever(context))
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            await app.state.recorder.close()


@asynccontextmanager
async def open_context(
    database_url: str, settings: Settings, mailer: Mailer, store: KeyStore, now: Clock, random_bytes: RandomBytes
) -> AsyncIterator[Context]:
    """All that the service needs, with its connections, which end with it."""
    postman = Postman(mailer)
    async with (
        create_pool(database_url, SERVICE_ROLE, settings.database_connections) as db,
        create_pool(database_url, DOOR_ROLE, DOOR_CONNECTIONS, reset=no_reset) as door,
        create_pool(database_url, KEEPER_ROLE, KEEPER_CONNECTIONS) as keeper,
        create_pool(database_url, PROMPTER_ROLE, PROMPTER_CONNECTIONS) as prompter,
        create_pool(database_url, RECORDER_ROLE, RECORDER_CONNECTIONS, RECORDING, no_reset) as recorder,
        create_pool(database_url, KEYS_ROLE, KEY_CONNECTIONS) as keys_db,
    ):
        try:
            keys = Keyring(keys_db, store, now, random_bytes)
            yield Context(db, door, keeper, prompter, recorder, keys, now, random_bytes, postman)
        finally:
            await postman.close()


async def no_reset(connection: Any) -> None:
    """It keeps nothing that the next one could find."""
