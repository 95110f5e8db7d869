"""A stream is a hash chain: whoever remembers an old head notices any rewriting of what came before it.

The bytes are fixed by the contract; `openapi/verify.py` checks them without this code.
"""

import hashlib
import hmac
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct


class Head(Struct, frozen=True):
    """The last position of a stream and its link (32 bytes)."""

    position: int
    link: bytes


class Header(Struct, frozen=True, kw_only=True):
    """What the chain binds of an event, in the clear. `by` is the author's id within the relationship."""

    v: int
    stream: UUID
    position: int
    id: UUID
    by: UUID | None
    recorded_at: datetime
    commit: str


class Link(Struct, frozen=True):
    """Where an event stands in its chain: its position, what binds its body, its header, and the link."""

    position: int
    commitment: bytes
    header: bytes
    link: bytes


_header_decoder = msgspec.json.Decoder(Header)
_header_encoder = msgspec.json.Encoder()


def digest(tag: str, *parts: bytes) -> bytes:
    """SHA-256 over the tag and the parts, each preceded by its length as 8 bytes big-endian."""
    framed = [len(part).to_bytes(8, "big") + part for part in (tag.encode(), *parts)]
    return hashlib.sha256(b"".join(framed)).digest()


def genesis(stream_id: UUID) -> Head:
    """The head of a stream that holds nothing yet."""
    return Head(0, digest("mutuality/genesis/v1", str(stream_id).encode()))


def commit(opening: bytes, stream_id: UUID, event_id: UUID, body: bytes) -> bytes:
    """Binds a body without telling it: HMAC-SHA256 under a random opening, so that an erased body stays secret."""
    message = digest("mutuality/body/v1", str(stream_id).encode(), str(event_id).encode(), body)
    return hmac.digest(opening, message, "sha256")


def extend(
    head: Head,
    stream_id: UUID,
    event_id: UUID,
    by: UUID | None,
    recorded_at: datetime,
    body: bytes,
    opening: bytes,
) -> Link:
    """The event that follows `head`. `opening` is 32 random bytes, `recorded_at` in UTC."""
    position, commitment = head.position + 1, commit(opening, stream_id, event_id, body)
    header = render_header(stream_id, position, event_id, by, recorded_at, commitment)
    return Link(position, commitment, header, follow(head, stream_id, header).link)


def render_header(
    stream_id: UUID, position: int, event_id: UUID, by: UUID | None, recorded_at: datetime, commitment: bytes
) -> bytes:
    """The header of an event: the same bytes for the same fields, so that nobody has to keep it."""
    return _header_encoder.encode(
        Header(
            v=1,
            stream=stream_id,
            position=position,
            id=event_id,
            by=by,
            recorded_at=recorded_at,
            commit=commitment.hex(),
        )
    )


def follow(head: Head, stream_id: UUID, header: bytes) -> Head:
    """The head after an event with that header, taken as the bytes that it is."""
    position = head.position + 1
    place = str(stream_id).encode()
    return Head(position, digest("mutuality/link/v1", place, position.to_bytes(8, "big"), head.link, header))


def read_header(header: bytes) -> Header:
    """The header as values."""
    return _header_decoder.decode(header)
