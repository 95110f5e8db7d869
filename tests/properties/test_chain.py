"""Both streams of each member are chains that a client can verify with what the contract says, and no code of ours."""

import hashlib
import hmac
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.properties.histories import PROFILE, Call, histories, schedules
from tests.properties.playing import PATHS, Place, play
from tests.support.phones import Json, Phone

told = histories(least=1).flatmap(schedules)

WHOS = ("initiated_by", "decided_by", "raised_by")
TURNED = {"me": "partner", "partner": "me"}


@PROFILE
@given(told, st.integers(1, 7))
async def test_every_stream_verifies_to_its_head(home: Place, calls: list[Call], limit: int) -> None:
    couple = await home.couple()
    await play(couple, calls)
    for phone in couple:
        for stream, stream_id in (await streams_of(phone)).items():
            events, head = await whole(phone, stream, limit)
            links = verified(stream_id, events)
            assert head == {"position": len(events), "link": links[-1].hex()}
            assert authors(events) <= {(None, None), (phone.author, "me"), (partner_of(phone, couple), "partner")}


@PROFILE
@given(told)
async def test_both_hold_the_same_shared_chain_and_each_replay_names_its_link(home: Place, calls: list[Call]) -> None:
    couple = await home.couple()
    await play(couple, calls)
    links = [
        {name: verified(sid, (await whole(phone, name, 500))[0]) for name, sid in (await streams_of(phone)).items()}
        for phone in couple
    ]
    assert links[0]["shared"] == links[1]["shared"]
    for step in (step for call in calls for step in call.steps):
        answer = await couple[step.who].put(PATHS[step.kind], step.body, step.event_id, 200)
        position = answer["event"]["position"]
        # A sealed one was recorded in private first, whether it has been revealed since or not.
        first = "private" if step.body.get("audience") == "sealed" else step.audience
        link = links[step.who][first][position].hex()
        assert answer["head"] == {"position": position, "link": link}


async def streams_of(phone: Phone) -> dict[str, str]:
    """The ids of the two streams that this member can read."""
    streams: dict[str, str] = (await phone.get("/v1/relationships/{rid}"))["streams"]
    return streams


async def whole(phone: Phone, stream: str, limit: int) -> tuple[list[Json], Json]:
    """All events of a stream with their proofs, read in pages of so many, and its head."""
    events: list[Json] = []
    while True:
        path = "/v1/relationships/{rid}/events"
        page = await phone.get(path, stream=stream, after=len(events), limit=limit, proof="true")
        assert len(page["events"]) == limit or not page["more"]
        events += page["events"]
        if not page["more"]:
            return events, page["head"]


def partner_of(phone: Phone, couple: tuple[Phone, Phone]) -> str:
    return couple[0].author if phone is couple[1] else couple[1].author


def authors(events: list[Json]) -> set[tuple[str | None, str | None]]:
    """Whom the headers name, and how the reader is told."""
    return {(json.loads(event["proof"]["header"])["by"], event["by"]) for event in events}


def digest(tag: str, *parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(len(p).to_bytes(8, "big") + p for p in (tag.encode(), *parts))).digest()


def verified(stream_id: str, events: list[Json]) -> list[bytes]:
    """The links from the first (position 0) to the last; fails where a proof does not bind what is shown."""
    stream = stream_id.encode()
    links = [digest("mutuality/genesis/v1", stream)]
    for position, event in enumerate(events, 1):
        header, body, opening = (event["proof"][name] for name in ("header", "body", "opening"))
        message = digest("mutuality/body/v1", stream, event["id"].encode(), body.encode())
        assert json.loads(header) == {
            "v": 1,
            "stream": stream_id,
            "position": position,
            "id": event["id"],
            "by": json.loads(header)["by"],
            "recorded_at": event["recorded_at"],
            "commit": hmac.digest(bytes.fromhex(opening), message, "sha256").hex(),
        }
        assert event["position"] == position
        assert json.loads(body) == {"kind": event["kind"], **as_written(event)}
        links.append(digest("mutuality/link/v1", stream, position.to_bytes(8, "big"), links[-1], header.encode()))
    return links


def as_written(event: Json) -> dict[str, Any]:
    """The entry as its author wrote it: Who is relative to the author in the log, to the reader in what is read."""
    entry: Json = event.get(event["kind"], {})
    if event["by"] == "me":
        return entry
    return {name: TURNED.get(value, value) if name in WHOS else value for name, value in entry.items()}
