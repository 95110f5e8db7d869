"""Both streams of each member are chains that a client can verify with what the contract says, and no code of ours."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.couples import Couple
from tests.phones import Json, Phone
from tests.properties.histories import PROFILE, Call, histories, schedules
from tests.properties.playing import PATHS, Place, play

pytestmark = pytest.mark.asyncio(loop_scope="module")


@PROFILE
@given(histories(least=1).flatmap(schedules), st.integers(1, 7))
async def test_every_stream_verifies_to_its_head(home: Place, calls: list[Call], limit: int) -> None:
    couple = await home.couple()
    await play(couple, calls)
    for phone in couple:
        streams = (await phone.get("/v1/relationships/{rid}"))["streams"]
        for audience, stream_id in streams.items():
            page = await whole(phone, audience, limit)
            links = verified(stream_id, page["events"])
            assert page["head"] == {"position": len(links) - 1, "link": links[-1].hex()}
            assert {event["by"] for event in page["events"] if audience == "private"} <= {"me"}


@PROFILE
@given(histories(least=1).flatmap(schedules))
async def test_each_replay_names_the_link_at_its_place(home: Place, calls: list[Call]) -> None:
    couple = await home.couple()
    await play(couple, calls)
    links = {phone.author: await links_of(phone) for phone in couple}
    for step in (step for call in calls for step in call.steps):
        phone = couple[step.who]
        answer = await phone.put(PATHS[step.kind], step.body, step.event_id, 200)
        head = answer["head"]
        assert head["position"] == answer["event"]["position"]
        assert links[phone.author][step.audience][head["position"]].hex() == head["link"]


@PROFILE
@given(histories(least=1).flatmap(schedules))
async def test_both_hold_the_same_shared_chain(home: Place, calls: list[Call]) -> None:
    couple = await home.couple()
    await play(couple, calls)
    one, two = [await whole(phone, "shared", 500) for phone in couple]
    assert [event["proof"] for event in one["events"]] == [event["proof"] for event in two["events"]]
    assert one["head"] == two["head"]
    assert_authors(couple, one["events"])


async def whole(phone: Phone, stream: str, limit: int) -> Json:
    """All events of a stream with their proofs, in pages of so many, and its head."""
    events: list[Json] = []
    while True:
        path = "/v1/relationships/{rid}/events"
        page: Json = await phone.get(path, stream=stream, after=len(events), limit=limit, proof="true")
        assert len(page["events"]) == limit or not page["more"]
        events += page["events"]
        if not page["more"]:
            return {"events": events, "head": page["head"]}


async def links_of(phone: Phone) -> dict[str, list[bytes]]:
    streams = (await phone.get("/v1/relationships/{rid}"))["streams"]
    return {name: verified(sid, (await whole(phone, name, 500))["events"]) for name, sid in streams.items()}


def assert_authors(couple: Couple, events: list[Json]) -> None:
    names = {couple[0].author: "me", couple[1].author: "partner", None: None}
    assert [names[json.loads(event["proof"]["header"])["by"]] for event in events] == [e["by"] for e in events]


def digest(tag: str, *parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(len(p).to_bytes(8, "big") + p for p in (tag.encode(), *parts))).digest()


def verified(stream_id: str, events: list[Json]) -> list[bytes]:
    """The links from the first (position 0) to the last; fails where a proof does not bind what is shown."""
    stream = stream_id.encode()
    links = [digest("mutuality/genesis/v1", stream)]
    for position, event in enumerate(events, 1):
        header, body, opening = (event["proof"][name] for name in ("header", "body", "opening"))
        bound = json.loads(header)
        assert (bound["v"], bound["stream"], bound["position"]) == (1, stream_id, position)
        assert (bound["id"], bound["position"]) == (event["id"], event["position"])
        assert bound["recorded_at"] == event["recorded_at"]
        committed = digest("mutuality/body/v1", stream, event["id"].encode(), body.encode())
        assert bound["commit"] == hmac.new(bytes.fromhex(opening), committed, "sha256").hexdigest()
        assert json.loads(body) == {"kind": event["kind"], **shown(event)}
        links.append(digest("mutuality/link/v1", stream, position.to_bytes(8, "big"), links[-1], header.encode()))
    return links


WHOS = ("initiated_by", "decided_by", "raised_by")
TURNED = {"me": "partner", "partner": "me"}


def shown(event: Json) -> dict[str, Any]:
    """The entry as its author wrote it: who is relative to the author in the log, and to the reader in an answer."""
    entry: Json = event.get(event["kind"], {})
    if event["by"] == "me":
        return entry
    return {name: TURNED.get(value, value) if name in WHOS else value for name, value in entry.items()}
