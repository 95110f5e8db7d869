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
    """A way to the database of that URL, which names a folder with a socket, or a host."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    port = int(query.get("port") or parts.port or 5432)
    name = f".s.PGSQL.{port}"
    who = parts.netloc.rpartition("@")[0]
    with TemporaryDirectory(prefix="mutuality-way-") as folder:
        here = urlencode(query | {"host": folder, "port": str(port)})
        way = Way(urlunsplit(parts._replace(netloc=f"{who}@" if who else "", query=here)))
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if "host" in query:
                back, forth = await asyncio.open_unix_connection(str(Path(query["host"]) / name))
            else:
                back, forth = await asyncio.open_connection(parts.hostname, port)
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
