"""The command push: a worker that plans and sends prompts, beside services and other workers."""

import asyncio
import signal
from contextlib import suppress

from service import logs, worker
from service.app import open_context
from service.cli.database import key_store, missing_migrations, serving
from service.cli.serve import where_pushes_go
from service.core import mail
from service.core.clock import JumpGuardedClock
from service.core.randomness import system_random_bytes
from service.database import embedded
from service.errors import MigrationError, StartupError
from service.settings import Settings

DATABASE_LOOK_SECONDS = 1.0


def push(settings: Settings) -> None:
    """Plan and send prompts, beside services and other workers, until told to stop."""
    logs.configure(settings)
    asyncio.run(_push(settings))


async def _push(settings: Settings) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # on Windows, where Ctrl-C interrupts
            loop.add_signal_handler(number, stop.set)
    destinations = where_pushes_go(settings)
    if url := await _ready_database(settings, stop):
        mailer = mail.mailer_for(settings.smtp_url, settings.mail_from)
        opened = open_context(url, settings, mailer, key_store(settings), JumpGuardedClock(), system_random_bytes)
        async with opened as context, worker.working(context, settings):
            print(f"Prompts are planned and sent. {destinations}\nCtrl-C stops it.", flush=True)
            await stop.wait()


async def _ready_database(settings: Settings, stop: asyncio.Event) -> str | None:
    """The address of the database, as soon as it is there and migrated; null where this is stopped before."""
    printed = ""
    while not stop.is_set():
        try:
            url = serving(settings, settings.database_url or embedded.url_of_running(settings.data_dir))
            missing = await missing_migrations(url)
            why = "The database is not migrated yet."
        except MigrationError:
            raise
        except StartupError as error:
            missing, why = ["all"], str(error)
        if not missing:
            return url
        if printed != why:
            printed = why
            print(f"{why} This waits for it.", flush=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(DATABASE_LOOK_SECONDS):
                await stop.wait()
    return None
