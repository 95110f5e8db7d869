"""The chain: its bytes are fixed by the contract, so the vectors here come from hashlib and hmac alone."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from events.chain import Head, Header, Link, commit, digest, extend, genesis, read_header, render_header
from tests.support.given import any_fact, times

STREAM = UUID("6d1f0b1e-0b57-4f0c-9d38-0e8b2f1c7a10")
OPENED = UUID("0c7e3a54-51b5-4c2f-8b0a-6f6a4b1f2d01")
ASKED = UUID("1d8f4b65-62c6-4d30-9c1b-7a7b5c2a3e02")
AUTHOR = UUID("2e9a5c76-73d7-4e41-8d2c-8b8c6d3b4f03")
NOON = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
BODY = (
    '{"kind":"request","occurred_at":"2026-06-15T13:55:00+02:00","domain":"plans","text":"Kommst du mit? ☕",'
    '"expires_at":"2026-06-22T12:00:00.250000Z"}'
).encode()


def sha256(*parts: bytes) -> bytes:
    """H of the contract, written from its sentence: each part preceded by its length as 8 bytes big-endian."""
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


def two_events() -> tuple[Link, Link]:
    """What the service says first, and a request."""
    opened = extend(genesis(STREAM), STREAM, OPENED, None, NOON, b'{"kind":"opened"}', bytes(range(32)))
    head = Head(opened.position, opened.link)
    later = NOON + timedelta(milliseconds=250)
    return opened, extend(head, STREAM, ASKED, AUTHOR, later, BODY, bytes(range(32, 64)))


# Vectors: made once with hashlib and hmac from the formulas of the contract, and kept as texts


def test_a_stream_begins_with_a_link_of_its_own() -> None:
    link = "344f49c73f1696f9da431a3beec8ace220d4f29e660f0482af1ec3e4735594ef"
    assert genesis(STREAM) == Head(0, bytes.fromhex(link))


def test_the_first_event() -> None:
    opened, _ = two_events()
    assert opened.header.decode() == (
        '{"v":1,"stream":"6d1f0b1e-0b57-4f0c-9d38-0e8b2f1c7a10","position":1,'
        '"id":"0c7e3a54-51b5-4c2f-8b0a-6f6a4b1f2d01","by":null,"recorded_at":"2026-06-15T12:00:00Z",'
        '"commit":"a2bce0f9e997f0bb9bb43e42d792181cbae53828771e95db278c4abe5afe4da7"}'
    )
    assert opened.link.hex() == "9aa97c47db3714fc6855d724bc829581f3ce9d1e6038cfb4f434e10aff147751"


def test_the_second_event() -> None:
    _, asked = two_events()
    assert asked.header.decode() == (
        '{"v":1,"stream":"6d1f0b1e-0b57-4f0c-9d38-0e8b2f1c7a10","position":2,'
        '"id":"1d8f4b65-62c6-4d30-9c1b-7a7b5c2a3e02","by":"2e9a5c76-73d7-4e41-8d2c-8b8c6d3b4f03",'
        '"recorded_at":"2026-06-15T12:00:00.250000Z",'
        '"commit":"5d0bbbd129f7ed80b902842c3b4b33bdbfaee528ffa4e538b62400e3c0a0a0f9"}'
    )
    assert asked.link.hex() == "394642613a1eaff2008bd956b3db57c3e300b9e6c322abc09fea4b88dc3d2c9b"
    assert (asked.position, asked.commitment) == (2, commit(bytes(range(32, 64)), STREAM, ASKED, BODY))


# The same formulas, worked out beside the code for whatever comes


@for_any(st.text(max_size=20), st.lists(st.binary(max_size=20), max_size=4))
def test_a_digest_is_over_tag_and_parts_with_their_lengths(tag: str, parts: list[bytes]) -> None:
    assert digest(tag, *parts) == sha256(tag.encode(), *parts)


def test_no_part_can_be_moved_across_a_border() -> None:
    likes = [digest("t", b"ab", b"c"), digest("t", b"a", b"bc"), digest("ta", b"b", b"c"), digest("t", b"abc")]
    assert len({*likes, digest("t", b"ab", b"c", b"")}) == 5


@for_any(st.binary(min_size=32, max_size=32), st.uuids(), st.uuids(), st.binary(max_size=100))
def test_a_commit_binds_stream_id_and_body_under_its_opening(
    opening: bytes, stream: UUID, event_id: UUID, body: bytes
) -> None:
    message = sha256(b"mutuality/body/v1", str(stream).encode(), str(event_id).encode(), body)
    assert commit(opening, stream, event_id, body) == hmac.new(opening, message, hashlib.sha256).digest()


@for_any(st.integers(0, 2**63 - 2), st.binary(min_size=32, max_size=32), st.uuids(), st.uuids(), any_fact)
def test_a_link_binds_what_came_before_and_the_header(
    position: int, before: bytes, stream: UUID, event_id: UUID, fact: Any
) -> None:
    made = extend(Head(position, before), stream, event_id, AUTHOR, NOON, repr(fact).encode(), bytes(32))
    u64 = made.position.to_bytes(8, "big")
    assert made.position == position + 1
    assert made.link == sha256(b"mutuality/link/v1", str(stream).encode(), u64, before, made.header)


@pytest.mark.parametrize(
    "changed",
    [
        {"head": Head(1, genesis(STREAM).link)},
        {"head": genesis(OPENED)},
        {"stream_id": AUTHOR},
        {"event_id": AUTHOR},
        {"by": None},
        {"recorded_at": NOON + timedelta(microseconds=1)},
        {"body": BODY + b" "},
        {"opening": bytes(31) + b"\x01"},
    ],
)
def test_every_part_of_an_event_shows_in_its_link(changed: dict[str, Any]) -> None:
    parts: dict[str, Any] = {
        "head": genesis(STREAM),
        "stream_id": STREAM,
        "event_id": ASKED,
        "by": AUTHOR,
        "recorded_at": NOON,
        "body": BODY,
        "opening": bytes(32),
    }
    assert extend(**parts).link != extend(**parts | changed).link


# Headers


def test_a_header_is_rendered_the_same_from_its_fields() -> None:
    for made in two_events():
        read = read_header(made.header)
        commitment = bytes.fromhex(read.commit)
        again = render_header(read.stream, read.position, read.id, read.by, read.recorded_at, commitment)
        assert (again, commitment) == (made.header, made.commitment)


@for_any(st.uuids(), st.integers(1, 2**63 - 1), st.uuids(), st.none() | st.uuids(), times)
def test_a_header_can_be_read_back(
    stream: UUID, position: int, event_id: UUID, by: UUID | None, recorded_at: datetime
) -> None:
    made = extend(Head(position - 1, bytes(32)), stream, event_id, by, recorded_at, b"{}", bytes(32))
    commitment = commit(bytes(32), stream, event_id, b"{}").hex()
    assert read_header(made.header) == Header(
        v=1, stream=stream, position=position, id=event_id, by=by, recorded_at=recorded_at, commit=commitment
    )


def test_a_header_names_its_fields_in_one_order_without_spaces() -> None:
    header = two_events()[1].header.decode()
    found = json.loads(header)
    assert list(found) == ["v", "stream", "position", "id", "by", "recorded_at", "commit"]
    assert json.dumps(found, separators=(",", ":")) == header


def test_a_header_tells_nothing_of_the_body() -> None:
    opened, asked = two_events()
    assert b"request" not in asked.header
    assert len(asked.header) - len(opened.header) == len(f'"{AUTHOR}"') - len("null") + len(".250000")
