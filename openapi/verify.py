"""Verify a stream: python3 verify.py STREAM [POSITION LINK] < PAGES (GET …/events?proof=true, an answer a line)."""

import hashlib
import hmac
import json
import sys
from datetime import datetime, timedelta

NO_HEAD = "No remembered head was given: this proves that the chain is whole, not that it is the one that was."
TURNED = {"me": "partner", "partner": "me"}  # who is who in a body is relative to its author
PROVEN = {"id", "stream", "position", "kind", "by", "recorded_at", "late", "day", "proof"}  # all else is what it says


def digest(tag, *parts):
    return hashlib.sha256(b"".join(len(p).to_bytes(8, "big") + p for p in (tag.encode(), *parts))).digest()


def misquoted(event, entry):  # whether an event says anything else than the body that its proof binds
    kind, at, is_mine = entry.pop("kind"), entry.get("occurred_at"), event["by"] == "me"
    for role in {"initiated_by", "decided_by", "raised_by"} & entry.keys() if not is_mine else ():
        entry[role] = TURNED.get(entry[role], entry[role])
    times = [datetime.fromisoformat(time) for time in (at, event["recorded_at"]) if at]
    late, day = bool(times) and times[1] - times[0] > timedelta(hours=48), entry.get("day", at and at[:10])
    says = {name: value for name, value in event.items() if name not in PROVEN and value is not None}
    return says != ({kind: entry} if entry else {}) or event["late"] != late or event.get("day", day) != day


def verify(stream, pages, *remembered):  # old heads; all pages from the first on; returns the head they reach
    of, links, authors, altered = stream.encode(), [digest("mutuality/genesis/v1", stream.encode())], {None: None}, []
    for position, event in enumerate((event for page in pages for event in page["events"]), 1):
        header, body, opening = (event["proof"][part] for part in ("header", "body", "opening"))
        links.append(digest("mutuality/link/v1", of, position.to_bytes(8, "big"), links[-1], header.encode()))
        entry = json.loads(body) if body else {"kind": "erased"}
        said = json.loads(header) | {"kind": entry["kind"]}
        sealed = digest("mutuality/body/v1", of, event["id"].encode(), (body or "").encode())
        commit = hmac.digest(bytes.fromhex(opening or ""), sealed, "sha256").hex() if body else said["commit"]
        shown = event | {"v": 1, "stream": stream, "by": authors.setdefault(event["by"], said["by"]), "commit": commit}
        differs = position != said["position"] or any(said[key] != shown[key] for key in said)
        altered += [position] * (differs or misquoted(event, entry))
    heads = {*remembered, *((page["head"]["position"], page["head"]["link"]) for page in pages if not page["more"])}
    if altered or len({*authors.values()}) < len(authors) or not heads <= {(i, k.hex()) for i, k in enumerate(links)}:
        raise ValueError(f"altered at {altered}" if altered else "this is not the stream that was, or that it says")
    return len(links) - 1, links[-1].hex()


if __name__ == "__main__":
    print(*verify(sys.argv[1], [*map(json.loads, sys.stdin)], *zip(map(int, sys.argv[2:3]), sys.argv[3:], strict=True)))
    if not sys.argv[2:]:
        print(NO_HEAD, file=sys.stderr)
