"""Where to turn in danger: static, the same bytes for everybody, signed in or not.

The places stand in `help_places.json`. None of them was called by us: each says so, and names its own page, which is
where its number was said to be.
"""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from litestar import get
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from service.web.operation import described
from service.web.requests import ApiRequest, decode_query
from service.web.responses import Cacheable, cacheable, cacheable_answer


class HelpQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Where somebody is."""

    region: (
        Annotated[
            str,
            Meta(
                pattern=r"^[A-Za-z]{2}$(?!\n)",
                description="An ISO 3166 code of a country, such as DE. Left out, or one that is not listed here: "
                "what can be turned to from anywhere.",
                examples=["DE"],
            ),
        ]
        | None
    ) = None


class Place(Struct, frozen=True):
    """A place to turn to. `verified` is whether we have made sure ourselves that it answers there."""

    name: str
    kind: Literal["partner_violence", "sexual_violence", "crisis"]
    meant_for: Literal["everyone", "women", "men"]
    phone: str | None
    url: str
    verified: bool


class Help(Struct, frozen=True):
    """Where to turn: numbers for an emergency first, then places. `region` is null for what holds anywhere."""

    region: str | None
    emergency: list[str]
    places: list[Place]
    regions: list[str]


class _Region(Struct, frozen=True):
    emergency: list[str]
    places: list[Place]


class _Directory(Struct, frozen=True):
    anywhere: _Region
    regions: dict[str, _Region]


@cache
def _directory() -> _Directory:
    file = Path(__file__).with_name("help_places.json")
    return msgspec.json.decode(file.read_bytes(), type=_Directory)


def help_for(region: str | None) -> Help:
    """What is listed for a country, and behind it what holds anywhere."""
    directory = _directory()
    code = region.upper() if region else None
    found = directory.regions.get(code or "")
    anywhere = directory.anywhere
    if found is None:
        return Help(None, anywhere.emergency, anywhere.places, sorted(directory.regions))
    return Help(code, found.emergency, found.places + anywhere.places, sorted(directory.regions))


@cache
def _answer(region: str | None) -> Cacheable:
    return cacheable(help_for(region))


@get(
    "/v1/help",
    opt=described(
        id="getHelp",
        tag="Help",
        summary="Where to turn in danger, by country",
        query=HelpQuery,
        answers={200: Help},
        signed_in=False,
        cached=True,
    ),
)
async def get_help(request: ApiRequest) -> ASGIApp:
    """Nobody has to be signed in, and nothing is noted of who asks: a phone may show it at any time."""
    region = decode_query(request, HelpQuery).region
    known = region.upper() if region else None
    return cacheable_answer(request, _answer(known if known in _directory().regions else None))
