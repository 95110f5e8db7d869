"""For clients that read every answer to its end: on a live stream they hang up once everything up to now is told."""

import asyncio
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from service.reading.live import KEEP_ALIVE


def until_told(app: Any) -> ASGIApp:
    """The application, as such a client calls it."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        told = asyncio.Event()

        async def hear(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body" and message["body"] == KEEP_ALIVE:
                told.set()

        async def receive_or_hang_up() -> Any:
            asked, enough = asyncio.ensure_future(receive()), asyncio.ensure_future(told.wait())
            try:
                await asyncio.wait((asked, enough), return_when=asyncio.FIRST_COMPLETED)
                return await asked if asked.done() else {"type": "http.disconnect"}
            finally:
                asked.cancel()
                enough.cancel()

        await app(scope, receive_or_hang_up, hear)

    return answer
