"""What `python -m service` can do."""

import asyncio
import gc
import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from litestar.types import ASGIApp
from tqdm import tqdm

from service import demo, logs, metrics, rebuilding, worker
from service.app import create_app, opened_world
from service.contract.document import document as openapi_document
from service.core import mail
from service.core.clock import SteadyClock, utc_now
from service.core.randomness import system_chance
from service.data_rights.export import Export
from service.data_rights.import_export import read as read_export
from service.data_rights.import_export import take_in
from service.database import embedded
from service.database.migrate import migrate as migrate_schema
from service.database.migrate import pending
from service.database.pool import connect
from service.database.roles import KEYS_ROLE
from service.edge import Edge
from service.errors import DataDirInUse, MigrationError, StartupError
from service.keys import rotation
from service.keys.key_store import FileKeyStore, KeyStore
from service.push import senders
from service.settings import Settings

DEMO_DATA_DIR = Path(".demo-data")
DATABASE_LOOK_SECONDS = 1.0


def serve(settings: Settings) -> None:
    """Migrate, then serve until told to stop."""
    logs.configure(settings)
    sent = f"Mail goes to {settings.smtp_url.rpartition('@')[2]}." if settings.smtp_url else "Mail is printed here."
    sent = f"{sent} {_where_pushes_go(settings)}"
    with lasting_database(settings) as url, _listening(settings) as listener:
        settings = _at_port_of(listener, settings)
        asyncio.run(_migrate(url))
        asyncio.run(_remind_of_rotation(url))
        mailer, inside = mail.mailer_for(settings.smtp_url, settings.mail_from), settings.push == "inside"
        app = create_app(url, settings, mailer, _key_store(settings), SteadyClock(), prompts=inside)
        with _counting(app, settings) as counted:
            told = f"{_greeting(settings)}\n{counted}{sent}\nCtrl-C stops it."
            run(app, listener, lambda: print(told, flush=True), app.end_streams)


@contextmanager
def _counting(app: Edge, settings: Settings) -> Iterator[str]:
    """Serve the metrics, if they are wanted; yields what to say of that."""
    if app.metrics is None or settings.metrics_port is None:
        yield ""
        return
    with metrics.serving(app.metrics, settings.host, settings.metrics_port) as address:
        yield f"Metrics are at {address}\n"


def run_demo(settings: Settings) -> None:
    """The same on data of its own, with a synthetic couple."""
    logs.configure(settings.model_copy(update={"log_level": "warning"}))
    if "data_dir" not in settings.model_fields_set:
        settings = settings.model_copy(update={"data_dir": DEMO_DATA_DIR})
    mailer = demo.DemoMailer()
    with lasting_database(settings) as url, _listening(settings) as listener:
        settings = _at_port_of(listener, settings)
        asyncio.run(_migrate(url))
        unlimited = settings.model_copy(update={"sign_ins_per_hour": 0, "requests_per_minute": 0})
        app = create_app(url, unlimited, mailer, _key_store(settings), prompts=True)
        run(app, listener, lambda: _load_beside(settings, mailer), app.end_streams)


def _load_beside(settings: Settings, mailer: demo.DemoMailer) -> None:
    """Record the couple from a thread of its own, through the address that phones use."""
    print(_greeting(settings), flush=True)
    threading.Thread(target=_load, args=(_address(settings), mailer), daemon=True).start()


def _load(address: str, mailer: demo.DemoMailer) -> None:
    with httpx.Client(base_url=address, timeout=30) as http:
        try:
            couple = demo.load(http, mailer, utc_now())
            print(demo.told(couple, address) + "\nCtrl-C stops it.", flush=True)
            demo.ask_for_a_prompt(couple, utc_now())
        except (httpx.HTTPError, demo.NotAsExpected) as error:
            # Most likely it was stopped while it was loading.
            print(f"The synthetic year is not complete ({type(error).__name__}); the next start records one anew.")
            return
    print("The second one (synthetic) has shared a walk: a prompt for the first one arrives in a moment.", flush=True)


def push(settings: Settings) -> None:
    """Plan and send prompts, beside services and other workers, until told to stop."""
    logs.configure(settings)
    asyncio.run(_push(settings))


async def _push(settings: Settings) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # on Windows, where Ctrl-C interrupts
            loop.add_signal_handler(number, stop.set)
    told = _where_pushes_go(settings)
    if url := await _ready_database(settings, stop):
        mailer = mail.mailer_for(settings.smtp_url, settings.mail_from)
        opened = opened_world(url, settings, mailer, _key_store(settings), SteadyClock(), system_chance)
        async with opened as world, worker.working(world, settings):
            print(f"Prompts are planned and sent. {told}\nCtrl-C stops it.", flush=True)
            await stop.wait()


async def _ready_database(settings: Settings, stop: asyncio.Event) -> str | None:
    """The address of the database, as soon as it is there and migrated; null where this is stopped before."""
    told = ""
    while not stop.is_set():
        try:
            url = settings.database_url or embedded.address(settings.data_dir)
            missing = await _pending(url)
            why = "The database is not migrated yet."
        except MigrationError:
            raise
        except StartupError as error:
            missing, why = ["all"], str(error)
        if not missing:
            return url
        if told != (told := why):
            print(f"{why} This waits for it.", flush=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(DATABASE_LOOK_SECONDS):
                await stop.wait()
    return None


async def _pending(url: str) -> list[str]:
    db = await connect(url)
    try:
        return await pending(db)
    finally:
        await db.close()


def _where_pushes_go(settings: Settings) -> str:
    """Raises StartupError where a provider is only half set up."""
    if places := senders.places(settings):
        return f"Pushes go to {', '.join(places)}; all others are printed here."
    return "Pushes are printed here."


def migrate(settings: Settings) -> None:
    """Bring the database to the schema of this version."""
    with database(settings) as url:
        for name in asyncio.run(_migrate(url)):
            print(f"applied {name}")
    print("The schema is up to date.")


def rebuild(settings: Settings) -> None:
    """Recompute all tallies from the log, beside a running service, and tell where they had differed."""
    with database_in_use(settings) as url:
        asyncio.run(_refuse_older(url))
        differences = rebuilding.rebuild_all(url, _key_store(settings))
    print(f"Counts that had differed and were set right: {differences}." if differences else "No differences.")


async def _refuse_older(url: str) -> None:
    if missing := await _pending(url):
        raise StartupError(f"The database lacks {', '.join(missing)}: python -m service migrate applies them.")


def rotate_keys(settings: Settings) -> None:
    """Begin the epoch of this month for all keys, beside a running service, and destroy the epochs before it."""
    with database_in_use(settings) as url, tqdm(unit=" keys", desc="Rewrapping") as bar:
        destroyed = asyncio.run(_rotate(url, _key_store(settings), bar))
    print(f"Destroyed: {', '.join(destroyed)}." if destroyed else "No epoch was over.")


async def _remind_of_rotation(url: str) -> None:
    db = await connect(url, role=KEYS_ROLE)
    try:
        if before := await rotation.due(db, utc_now()):
            print(f"Keys are still wrapped as in {', '.join(before)}: python -m service rotate-keys ends that.")
    finally:
        await db.close()


async def _rotate(url: str, store: KeyStore, bar: "tqdm[Any]") -> list[str]:
    def tell(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    db = await connect(url, role=KEYS_ROLE)
    try:
        return await rotation.rotate(db, store, utc_now(), tell)
    finally:
        await db.close()


def import_export(settings: Settings, file: Path) -> None:
    """Take one member's export into a service that has no members yet."""
    export = read_export(file)
    with database_in_use(settings) as url:
        asyncio.run(_migrate(url))
        events = asyncio.run(_import(url, _key_store(settings), export))
    print(f"Taken in, every proof checked: relationships {len(export.relationships)}, events {events}.")
    print("The member signs in by the same mail address. Nobody can sign in as a partner who was part of it.")


def document(settings: Settings) -> None:
    """Print the OpenAPI document."""
    app = create_app("", settings, mail.ConsoleMailer(), _key_store(settings))
    json.dump(openapi_document(app.litestar), sys.stdout, indent=2, ensure_ascii=False)
    print()


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The address of the database: the one that is set, or an embedded one started here."""
    if settings.database_url:
        yield settings.database_url
    else:
        with embedded.running(settings.data_dir) as url:
            yield url


@contextmanager
def lasting_database(settings: Settings) -> Iterator[str]:
    """The same, for serving from. Raises StartupError where an answer would not mean that the event is on disk."""
    with database(settings) as url:
        asyncio.run(_be_durable(url))
        yield url


@contextmanager
def database_in_use(settings: Settings) -> Iterator[str]:
    """The same, or the embedded one of a service that runs already: work beside a running service needs no stop."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(database(settings))
        except DataDirInUse:
            url = embedded.address(settings.data_dir)
        yield url


def _address(settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def _greeting(settings: Settings) -> str:
    reached_at = (settings.public_url or _address(settings)).rstrip("/")
    return f"Mutuality serves on {_address(settings)}\nIts documentation is at {reached_at}/docs"


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """The address, taken before the application starts."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise StartupError(
            f"{_address(settings)} is in use, or not an address of this machine; MUTUALITY_PORT chooses another port."
        ) from error
    with listener:
        yield listener


def _at_port_of(listener: socket.socket, settings: Settings) -> Settings:
    """The settings with the port that was really taken: 0 asks for any."""
    return settings.model_copy(update={"port": listener.getsockname()[1]})


class _Server(uvicorn.Server):
    """Says so when it is ready, and waits for no live stream when it stops."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], leave: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._leave = leave

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        if self.started:
            _collect_less()
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what would not end by itself, then wait for the rest."""
        self._leave()
        await super().shutdown(sockets)


def _collect_less() -> None:
    """Look for garbage that goes in circles less often, and not in what is there from the start: it stays anyway.

    Requests leave little of that kind; looking for it took a fifth of the time in which entries are recorded.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


def run(
    app: ASGIApp, listener: socket.socket, ready: Callable[[], None], leave: Callable[[], None] = lambda: None
) -> None:
    """Serve an application until told to stop; `leave` ends what would not end by itself."""
    config = uvicorn.Config(
        app,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http="httptools",
        lifespan="on",
        log_level="warning",
        access_log=False,  # it would log addresses and queries
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=10,
    )
    _Server(config, ready, leave).run(sockets=[listener])


def _key_store(settings: Settings) -> KeyStore:
    return FileKeyStore(settings.keys_dir or settings.data_dir / "keys")


# As they are for this connection: a database or a role may have settings of its own.
UNSAFE = """
SELECT name
FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')
    AND setting = 'off'
ORDER BY name
"""


async def _be_durable(url: str) -> None:
    db = await connect(url)
    try:
        unsafe = [row["name"] for row in await db.fetch(UNSAFE)]
    finally:
        await db.close()
    if unsafe:
        raise StartupError(f"PostgreSQL could lose what was acknowledged: {', '.join(unsafe)} must be on, and is off.")


async def _migrate(url: str) -> list[str]:
    db = await connect(url)
    try:
        return await migrate_schema(db, utc_now())
    finally:
        await db.close()


async def _import(url: str, store: KeyStore, export: Export) -> int:
    db = await connect(url)
    try:
        return await take_in(db, store, export, utc_now())
    finally:
        await db.close()
