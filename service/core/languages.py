"""Which language an answer comes in."""

from collections.abc import Container
from typing import Annotated

from msgspec import Meta

ENGLISH = "en"

Language = Annotated[
    str,
    Meta(
        max_length=35,
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$(?!\n)",
        description="A BCP 47 tag, such as de-AT. What is not translated comes in English.",
    ),
]


def best_language(wanted: str, there: Container[str]) -> str:
    """The longest beginning of the tag that is there, else English: `de-AT` is served by `de-at`, else `de`."""
    parts = wanted.lower().split("-")
    tags = ("-".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((tag for tag in tags if tag in there), ENGLISH)
