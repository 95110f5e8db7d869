"""Verify an export, each stream of it: python3 verify_export.py < EXPORT (the answer of GET /v1/me/export)."""

import json
import sys

from verify import verify

for one in json.load(sys.stdin)["relationships"]:
    for name, stream in one["relationship"]["streams"].items():
        print(name, stream, *verify(stream, [one[name]]))
