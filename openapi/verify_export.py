"""Verify each stream of an export: python3 verify_export.py [STREAM POSITION LINK]... < EXPORT (GET /v1/me/export)."""

import json
import sys

from verify import NO_HEAD, verify

given = [*zip(sys.argv[1::3], map(int, sys.argv[2::3]), sys.argv[3::3], strict=True)]  # heads that a phone remembers
unknown = {stream for stream, _, _ in given}
for one in json.load(sys.stdin)["relationships"]:
    for name, stream in one["relationship"]["streams"].items():
        if one[name] is None:
            print(name, stream, "left out")
            continue
        print(name, stream, *verify(stream, [one[name]], *(head[1:] for head in given if head[0] == stream)))
        unknown.discard(stream)
if not given:
    print(NO_HEAD, file=sys.stderr)
if unknown:
    sys.exit(f"Not in this export: {', '.join(unknown)}.")
