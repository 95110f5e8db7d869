"""Which language an answer comes in."""

import re
from collections.abc import Container, Sequence
from typing import Annotated

from msgspec import Meta

ENGLISH = "en"
MAX_HEADER_CHARACTERS = 500
TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*", re.ASCII)
WEIGHT = re.compile(r"q=([01](?:\.[0-9]{0,3})?)", re.ASCII)

Language = Annotated[
    str,
    Meta(
        max_length=35,
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$(?!\n)",
        description="A BCP 47 tag, such as de-AT. What is not translated comes in English.",
    ),
]


def accepted_languages(header: str) -> list[str]:
    """The tags of an Accept-Language header, the most wanted first; those that are not wanted are left out."""
    weighed: list[tuple[float, str]] = []
    for part in header[:MAX_HEADER_CHARACTERS].split(","):
        tag, _, weight = part.partition(";")
        if found := TAG.fullmatch(tag.strip()):
            weighed.append((_weight(weight), found.group()))
    return [tag for weight, tag in sorted(weighed, key=lambda one: -one[0]) if weight > 0]


def _weight(text: str) -> float:
    found = WEIGHT.fullmatch(text.strip().replace(" ", ""))
    return float(found[1]) if found else 1.0


def best_of(wanted: Sequence[str], there: Container[str]) -> str:
    """What fits the first of these tags that is there at all, else English."""
    found = (best_language(tag, there) for tag in wanted)
    return next((one for tag, one in zip(wanted, found, strict=True) if one != ENGLISH or _is_english(tag)), ENGLISH)


def _is_english(tag: str) -> bool:
    return tag.lower().split("-")[0] == ENGLISH


def best_language(wanted: str, there: Container[str]) -> str:
    """The longest beginning of the tag that is there, else English: `de-AT` is served by `de-at`, else `de`."""
    parts = wanted.lower().split("-")
    tags = ("-".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((tag for tag in tags if tag in there), ENGLISH)
