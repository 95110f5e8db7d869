"""Liveness and readiness."""

import asyncio
from typing import Annotated, Literal

from litestar import get
from litestar.types import ASGIApp
from msgspec import UNSET, Meta, Struct, UnsetType

from service.database.migrate import newest
from service.database.pool import checked_out
from service.web.operation import described
from service.web.requests import ApiRequest, context_of
from service.web.responses import json_answer

READY_SECONDS = 1.5


class Health(Struct, frozen=True):
    """How the service is; where it can work, also on which schema."""

    status: Literal["ok"]
    schema: Annotated[str, Meta(description="The last migration of the database.")] | UnsetType = UNSET


@get(
    "/health/live",
    opt=described(
        id="getLiveness", tag="Health", summary="Whether the process lives", answers={200: Health}, signed_in=False
    ),
)
async def get_liveness(request: ApiRequest) -> ASGIApp:
    """Asks nothing of the database."""
    return json_answer(Health("ok"))


@get(
    "/health/ready",
    opt=described(
        id="getReadiness",
        tag="Health",
        summary="Whether requests can be answered now",
        answers={200: Health},
        signed_in=False,
    ),
)
async def get_readiness(request: ApiRequest) -> ASGIApp:
    """503 while the database is away, or hangs, within 2 seconds."""
    async with asyncio.timeout(READY_SECONDS), checked_out(context_of(request).db) as db:
        schema = await newest(db)
    return json_answer(Health("ok", schema))
