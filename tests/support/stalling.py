"""A way to PostgreSQL that can be held up: what was sent on it neither arrives nor fails, as when a database hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit


class Way:
    """Passes on what comes, while it is open."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.open = asyncio.Event()
        self.open.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one direction of a connection until it ends."""
        try:
            while part := await reader.read(1 << 16):
                await self.open.wait()
                writer.write(part)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def stalling(url: str) -> AsyncIterator[Way]:
    """A way to the database of that URL, which names a folder with a socket."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    name = f".s.PGSQL.{query['port']}"
    there = str(Path(query["host"]) / name)
    with TemporaryDirectory(prefix="mutuality-way-") as folder:
        way = Way(urlunsplit(parts._replace(query=urlencode(query | {"host": folder}))))
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            back, forth = await asyncio.open_unix_connection(there)
            tasks.update(asyncio.create_task(one) for one in (way.carry(reader, forth), way.carry(back, writer)))

        server = await asyncio.start_unix_server(connected, str(Path(folder) / name))
        try:
            yield way
        finally:
            way.open.set()
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
