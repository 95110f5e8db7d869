"""Events as they were once written decode for ever: what stands in `tests/data/golden_events/` never changes.

A kind or a version that is new adds files; a test that fails here means that stored logs would not be read any more.
"""

import json
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import msgspec
import pytest

from events.chain import Head, commit, follow, genesis, read_header, render_header
from events.encryption import AssociatedData, RelationshipKeys, decrypt
from events.entries import TYPES, Kind, from_text, to_text

FILES = sorted((Path(__file__).parents[1] / "data" / "golden_events").glob("*.json"))
GOLDEN: dict[str, dict[str, Any]] = {file.stem: json.loads(file.read_text()) for file in FILES}
SAYING = [name for name, one in GOLDEN.items() if one["body"] is not None]
STREAM = UUID("c814a6e8-c8f1-40c7-887c-1a8af0f66d38")
# A check-in names the prompt that it answers in what is sent; what is stored never does.
UNSTORED = {("check_in", "prompt_id")}


def body_of(name: str) -> dict[str, Any]:
    """What an event says, as it was written."""
    body: dict[str, Any] = json.loads(GOLDEN[name]["body"])
    return body


def test_there_is_one_of_each_kind_with_each_field() -> None:
    bodies = [body_of(name) for name in SAYING]
    assert {body["kind"] for body in bodies} == {*get_args(Kind)} - {"erased"}
    stored = {(body["kind"], field) for body in bodies for field in body.keys() - {"kind"}}
    fields = {(kind, field) for kind, fact in TYPES.items() for field in fact.__struct_fields__}
    assert fields - stored == UNSTORED


@pytest.mark.parametrize("name", SAYING)
def test_a_body_decodes_to_what_it_says(name: str) -> None:
    fact = from_text(GOLDEN[name]["body"].encode())
    said = body_of(name)
    assert type(fact) is TYPES[said.pop("kind")]
    assert msgspec.to_builtins(fact) == said
    assert to_text(fact) == GOLDEN[name]["body"].encode()


@pytest.mark.parametrize("name", GOLDEN)
def test_a_header_is_rendered_as_it_was(name: str) -> None:
    written = GOLDEN[name]["header"].encode()
    header = read_header(written)
    fields = header.stream, header.position, header.id, header.by, header.recorded_at
    assert header.v == 1
    assert render_header(*fields, bytes.fromhex(header.commit)) == written


@pytest.mark.parametrize("name", SAYING)
def test_a_ciphertext_opens_to_what_its_header_binds(name: str) -> None:
    golden = {key: bytes.fromhex(GOLDEN[name][key]) for key in ("key", "opening", "ciphertext")}
    body, header = GOLDEN[name]["body"].encode(), read_header(GOLDEN[name]["header"].encode())
    place = AssociatedData(header.stream, header.id, header.by, bytes.fromhex(header.commit))
    keys = RelationshipKeys(golden["key"], {header.by: golden["key"]} if header.by else {})
    assert decrypt(keys, place, golden["ciphertext"]) == (golden["opening"], body)
    assert commit(golden["opening"], header.stream, header.id, body).hex() == header.commit


def test_those_of_a_version_are_one_chain() -> None:
    chained = [one for name, one in GOLDEN.items() if name.startswith("v1-")]
    head = genesis(STREAM)
    for one in chained:
        assert one["link_before"] == head.link.hex()
        head = follow(head, STREAM, one["header"].encode())
        assert one["link"] == head.link.hex()
    assert head == Head(12, bytes.fromhex(chained[-1]["link"]))
