"""The commands that maintain data: migrate, rebuild, rotate-keys, import, parked; and openapi."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from events.heads import DbConnection
from service.accounts.me import Me
from service.app import create_app
from service.cli import rebuild_tallies
from service.cli.database import (
    database,
    database_in_use,
    key_store,
    migrate_database,
    migrate_where_needed,
    missing_migrations,
    serving,
)
from service.contract.document import document as openapi_document
from service.core import mail
from service.core.clock import utc_now
from service.data_rights.export import Export
from service.data_rights.import_export import read_export, signing_in_by, write_export
from service.database.pool import connect
from service.database.roles import KEYS_ROLE, PROMPTER_ROLE
from service.errors import StartupError
from service.keys import rotation
from service.keys.key_store import KeyStore
from service.keys.rotation import Rotation
from service.push import outbox
from service.settings import Settings


def migrate(settings: Settings) -> None:
    """Bring the database to the schema of this version, as the user that DATABASE_URL names."""
    with database(settings) as administrators:
        for name in asyncio.run(migrate_database(administrators, serving(settings, administrators))):
            print(f"applied {name}")
    print("The schema is up to date.")


def rebuild(settings: Settings) -> None:
    """Recompute all tallies from the log, beside a running service, and print how many had differed."""
    with database_in_use(settings) as administrators:
        url = serving(settings, administrators)
        asyncio.run(require_current_schema(url))
        differences = rebuild_tallies.rebuild_all(url, key_store(settings))
    print(f"Counts that had differed and were set right: {differences}." if differences else "No differences.")


async def require_current_schema(url: str) -> None:
    """Raise StartupError where migrations are missing."""
    if missing := await missing_migrations(url):
        raise StartupError(f"The database lacks {', '.join(missing)}: python -m service migrate applies them.")


def rotate_keys(settings: Settings) -> None:
    """Begin a new epoch for all keys, beside a running service, and destroy the epochs before it."""
    with database_in_use(settings) as administrators, tqdm(unit=" keys", desc="Rewrapping") as bar:
        rotated = asyncio.run(_rotate(serving(settings, administrators), key_store(settings), bar))
    print(f"Epoch {rotated.epoch} wraps all keys. Destroyed: {', '.join(map(str, rotated.destroyed)) or 'none'}.")
    print(f"Members erased since the rotation before: {rotated.erasures}; no backup opens what they wrote any more.")
    print("What is erased from now on can still be opened from a backup until the next rotation.")


async def _rotate(url: str, store: KeyStore, bar: "tqdm[Any]") -> Rotation:
    def show(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    db = await connect(url, KEYS_ROLE)
    try:
        return await rotation.rotate(db, store, utc_now(), show)
    finally:
        await db.close()


def parked(settings: Settings, clear: bool) -> None:
    """Print the pushes that providers refused for good, or delete them, beside a running service."""
    with database_in_use(settings) as url:
        asyncio.run(_clear_parked(url) if clear else _print_parked(url))


async def _print_parked(url: str) -> None:
    async with _scheduler(url) as db:
        found = await outbox.parked(db)
    for one in found:
        device = f"{one.provider or 'no provider'} device {one.device_id} ({one.failure or 'not its fault'})"
        print(f"{one.kind} of prompt {one.prompt_id} to {device}, until {one.send_before:%Y-%m-%d %H:%M} UTC")
    print(f"{len(found)} parked." if found else "Nothing is parked.")


async def _clear_parked(url: str) -> None:
    async with _scheduler(url) as db:
        print(f"Cleared: {await outbox.clear_parked(db)}.")


@asynccontextmanager
async def _scheduler(url: str) -> AsyncIterator[DbConnection]:
    db = await connect(url, role=PROMPTER_ROLE)
    try:
        yield db
    finally:
        await db.close()


def import_export(settings: Settings, file: Path, email: str | None) -> None:
    """Import one member's export into a service that has no members yet; the address replaces the one in the export."""
    export = read_export(file)
    if email is not None:
        export = signing_in_by(export, email)
    with database_in_use(settings) as administrators:
        asyncio.run(migrate_where_needed(administrators, serving(settings, administrators)))
        events = asyncio.run(_import(administrators, key_store(settings), export))
    print(f"Taken in, every proof checked: relationships {len(export.relationships)}, events {events}.")
    print(f"{_how_to_sign_in(export.me, email)} Nobody can sign in as a partner who was part of it.")


def _how_to_sign_in(me: Me, given: str | None) -> str:
    if me.email is None:
        return "Nobody can sign in as the member: the export names no mail address, and --email named none either."
    return f"The member signs in by the {'mail address that was given' if given else 'same mail address'}."


def document(settings: Settings) -> None:
    """Print the OpenAPI document."""
    app = create_app("", settings, mail.ConsoleMailer(), key_store(settings))
    json.dump(openapi_document(app.litestar, settings.public_url), sys.stdout, indent=2, ensure_ascii=False)
    print()


async def _import(url: str, store: KeyStore, export: Export) -> int:
    db = await connect(url)
    try:
        return await write_export(db, store, export, utc_now())
    finally:
        await db.close()
