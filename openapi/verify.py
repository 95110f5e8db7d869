"""Verify a stream: python3 verify.py STREAM [POSITION LINK] < PAGES (GET …/events?proof=true, an answer a line)."""

import hashlib
import hmac
import json
import sys


def digest(tag, *parts):
    return hashlib.sha256(b"".join(len(p).to_bytes(8, "big") + p for p in (tag.encode(), *parts))).digest()


def verify(stream, pages, *remembered):  # old heads; all pages from the first on; returns the head they reach
    of, links, authors, altered = stream.encode(), [digest("mutuality/genesis/v1", stream.encode())], {None: None}, []
    for position, event in enumerate((event for page in pages for event in page["events"]), 1):
        header, body, opening = (event["proof"][part] for part in ("header", "body", "opening"))
        links.append(digest("mutuality/link/v1", of, position.to_bytes(8, "big"), links[-1], header.encode()))
        said = json.loads(header) | {"kind": json.loads(body)["kind"] if body else "erased"}
        sealed = digest("mutuality/body/v1", of, event["id"].encode(), (body or "").encode())
        commit = hmac.digest(bytes.fromhex(opening or ""), sealed, "sha256").hex() if body else said["commit"]
        shown = event | {"v": 1, "stream": stream, "by": authors.setdefault(event["by"], said["by"]), "commit": commit}
        altered += [position] * (position != said["position"] or any(said[key] != shown[key] for key in said))
    heads = {*remembered, *((page["head"]["position"], page["head"]["link"]) for page in pages if not page["more"])}
    if altered or len({*authors.values()}) < len(authors) or not heads <= {(i, k.hex()) for i, k in enumerate(links)}:
        raise ValueError(f"altered at {altered}" if altered else "this is not the stream that was, or that it says")
    return len(links) - 1, links[-1].hex()


if __name__ == "__main__":
    print(*verify(sys.argv[1], [*map(json.loads, sys.stdin)], *zip(map(int, sys.argv[2:3]), sys.argv[3:], strict=True)))
