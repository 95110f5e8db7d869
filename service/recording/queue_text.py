"""Takes the text of a queue apart into its entries, each still undecoded: one that does not fit must not block others.

The decoder takes most queues. One entry that nests deeply, or holds half of a surrogate pair or a NaN, would have it
give up the rest too: then only brackets, commas and texts are looked at, each once, and so many of them at most, others
having their turns meanwhile.
"""

import asyncio
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct, defstruct
from msgspec.structs import astuple

from service.errors import Invalid, MalformedJson
from service.web.requests import decode_uncut

MAX_ENTRIES = 500
# A text by itself, a bracket, or a comma. An entry has some thirty, so a queue of 500 has its 15,000.
MAX_MARKS = 25_000
SLICE_MARKS = 5_000  # looked at in some 3 ms, before somebody else has a turn

Position = Annotated[int, Meta(ge=0, le=2**63 - 1, description="The last position that the phone has, 0 for none.")]

# As a list, 900,000 entries would all be taken apart before they were too many, in 112 ms; this ends at the 501st.
_Entries: Any = defstruct(
    "_Entries",
    [(f"entry_{i}", Raw, Raw(b"")) for i in range(MAX_ENTRIES)],
    array_like=True,
    forbid_unknown_fields=True,
    frozen=True,
)


class _Frame(Struct, frozen=True, forbid_unknown_fields=True):
    entries: _Entries | None = None
    shared_after: Position | None = None
    private_after: Position | None = None


TOO_MANY = f"Expected `array` of at most length {MAX_ENTRIES}"


class RawSync(Struct, frozen=True):
    """A queue, its entries not looked into yet."""

    entries: Sequence[Raw]
    shared_after: int
    private_after: int


async def read_queue(text: bytes) -> RawSync:
    """The queue in a text. Raises MalformedJson and Invalid."""
    try:
        return _raw_sync(decode_uncut(text, _Frame))
    except MalformedJson:
        return await _taken_apart(text)
    except Invalid as error:
        if error.detail.startswith(TOO_MANY):
            raise Invalid(f"{TOO_MANY} at /entries.", "/entries") from None
        raise


def _raw_sync(frame: _Frame, entries: Sequence[Raw] = ()) -> RawSync:
    given = entries or ([raw for raw in astuple(frame.entries) if raw] if frame.entries else [])
    return RawSync(given, frame.shared_after or 0, frame.private_after or 0)


async def _taken_apart(text: bytes) -> RawSync:
    """The same, by its brackets, commas and texts alone."""
    begin, commas, end = await _places(text)
    cuts = [begin, *commas, end]
    entries = [text[one + 1 : other].strip() for one, other in pairwise(cuts)]
    frame = decode_uncut(text[: begin + 1] + text[end:], _Frame)
    if not all(entries) or frame.entries is None or astuple(frame.entries) != astuple(_Entries()):
        raise MalformedJson
    if len(entries) > MAX_ENTRIES:
        raise Invalid(f"{TOO_MANY} at /entries.", "/entries")
    return _raw_sync(frame, [Raw(one) for one in entries])


# A quote by itself is one that no text closes.
MARK = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{},]', re.DOTALL)
OPENS_ENTRIES = re.compile(rb'"entries"[ \t\n\r]*:[ \t\n\r]*\Z')


async def _places(text: bytes) -> tuple[int, list[int], int]:
    """Where the array of entries opens, where commas stand between its entries, and where it closes."""
    depth, begin, commas = 0, -1, list[int]()
    for count, mark in enumerate(MARK.finditer(text)):
        at, sort = mark.start(), mark[0]
        if count >= MAX_MARKS or sort == b'"':
            raise MalformedJson
        if count % SLICE_MARKS == 0:
            await asyncio.sleep(0)
        if sort in b"[{":
            depth += 1
            if depth == 2 and begin < 0 and sort == b"[" and OPENS_ENTRIES.search(text, max(0, at - 64), at):
                begin = at
        elif sort in b"]}":
            depth -= 1
            if depth == 1 and begin >= 0:
                return begin, commas, at
        elif sort == b"," and depth == 2 and begin >= 0:
            commas.append(at)
    raise MalformedJson


class _Named(Struct, frozen=True):
    id: msgspec.Raw


ID = re.compile(rb'"id"[ \t\n\r]*:[ \t\n\r]*"([0-9a-fA-F-]{36})"')


def id_in(raw: Raw) -> str | None:
    """What an entry that does not fit calls itself, as far as that can be told, whatever is wrong elsewhere in it."""
    try:
        named = bytes(msgspec.json.decode(raw, type=_Named).id)
    except (msgspec.DecodeError, RecursionError):
        found = ID.search(raw)
        return found[1].decode() if found else None
    return named[1:-1].decode("ascii", "replace")
