"""What `python -m service` can do."""

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import structlog
import uvicorn
from tqdm import tqdm

from events.streams import StreamKey
from projections import rebuild as rebuilding
from projections.rebuild import Stream
from service import embedded, mail, migrations, openapi
from service.app import create_app
from service.errors import StartupError
from service.settings import Settings
from service.world import utc_now


def serve(settings: Settings) -> None:
    """Migrate, then serve until told to stop."""
    configure_logs(settings)
    with database(settings) as url:
        asyncio.run(_migrate(url))
        app = create_app(url, settings, mail.mailer_for(settings.smtp_url, settings.mail_from))
        _greet(settings)
        _run(app, settings)


def migrate(settings: Settings) -> None:
    """Bring the database to the schema of this version."""
    with database(settings) as url:
        for name in asyncio.run(_migrate(url)):
            print(f"applied {name}")
    print("The schema is up to date.")


def rebuild(settings: Settings) -> None:
    """Recompute all tallies from the log, beside a running service, and tell where they had differed."""
    with database(settings) as url:
        differences = asyncio.run(_rebuild(url))
    print(f"{differences} counts had differed and were set right." if differences else "No differences.")


def document(settings: Settings) -> None:
    """Print the OpenAPI document."""
    app = create_app("", settings, mail.ConsoleMailer())
    json.dump(openapi.document(app.litestar), sys.stdout, indent=2, ensure_ascii=False)
    print()


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The address of the database: the one that is set, the embedded one that runs already, or one started here."""
    if settings.database_url:
        yield settings.database_url
        return
    with embedded.running(settings.data_dir) as url:
        yield url


def configure_logs(settings: Settings) -> None:
    """One line an event: for people on a terminal, JSON elsewhere."""
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.log_level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _greet(settings: Settings) -> None:
    address = f"http://{settings.host}:{settings.port}"
    sent = f"Mail goes to {settings.smtp_url.rpartition('@')[2]}." if settings.smtp_url else "Mail is printed here."
    print(
        f"Mutuality serves on {address}\nIts documentation is at {address}/docs\n{sent}\nCtrl-C stops it.",
        flush=True,
    )


def _run(app: object, settings: Settings) -> None:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=settings.host,
        port=settings.port,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http="httptools",
        lifespan="on",
        log_level="warning",
        access_log=False,  # it would log addresses and queries
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=10,
    )
    uvicorn.Server(config).run()


async def _migrate(url: str) -> list[str]:
    try:
        return await migrations.migrate(url, utc_now())
    except (OSError, asyncpg.PostgresError) as error:
        raise StartupError(f"The database cannot be reached: {type(error).__name__}.") from error


STREAMS = """
SELECT
    heads.relationship_id,
    heads.stream_id,
    heads.private,
    array(
        SELECT author_id
        FROM memberships
        WHERE memberships.relationship_id = heads.relationship_id
    ) AS authors
FROM heads
ORDER BY
    heads.relationship_id,
    heads.stream_id
"""


async def _rebuild(url: str) -> int:
    db = await asyncpg.connect(url)
    try:
        differences = 0
        for row in tqdm(await db.fetch(STREAMS), unit=" streams", desc="Rebuilding"):
            key = StreamKey(row["relationship_id"], row["stream_id"])
            stream = Stream(key, "private" if row["private"] else "shared", tuple(row["authors"]))
            differences += (await rebuilding.rebuild(db, stream)).differences
    finally:
        await db.close()
    return differences
