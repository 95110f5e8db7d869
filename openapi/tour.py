"""The README's tour as a program: two people become linked, one asks for something, the other says no.

python3 openapi/tour.py [ADDRESS], against a running service; it asks for the codes that the service mails or prints.
It needs nothing but Python, and where the service refuses something it stops with the service's own words.
"""

import json
import sys
import urllib.error
import urllib.request
from datetime import datetime
from uuid import uuid4

API = (sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000").rstrip("/") + "/v1"


def call(token, method, path, body=None):
    """The decoded answer, None where there is none; ends the tour where it is refused."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(API + path, content, headers, method=method)
    print(f"{method} /v1{path}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
    except urllib.error.HTTPError as refused:
        problem = json.load(refused)
        wrong = "".join(f"\n  {one['pointer']}: {one['message']}" for one in problem.get("errors", []))
        sys.exit(f"Refused, {problem['status']} {problem['code']}: {problem['detail']}{wrong}")
    except urllib.error.URLError as away:
        sys.exit(f"No service answers at {API} ({away.reason}): make serve starts one.")
    return json.loads(text) if text else None


def sign_in(who):
    """An access token for a new address, once somebody has typed the code in."""
    attempt = call(None, "POST", "/sign-in-codes", {"email": f"{who}.{uuid4().hex[:8]}@example.org"})
    code = input(f"The code for {who}, from the mail or the service's console: ")
    return call(None, "POST", "/sessions", {**attempt, "code": code, "device_name": "tour"})["access_token"]


def show(told, value):
    """One line of what was answered."""
    print(f"  {told}: {json.dumps(value)}")


def main():
    """The tour, from nothing to the first balance."""
    one, two = sign_in("one"), sign_in("two")
    for token in (one, two):
        version = call(token, "GET", "/me")["consent"]["version"]
        call(token, "PUT", "/me/consent", {"version": version, "adult": True})
    rid = call(one, "POST", "/relationships", {})["id"]
    code = call(one, "POST", f"/relationships/{rid}/invites")["code"]
    call(two, "POST", "/invites/accept", {"code": code})
    show("the relationship is", call(one, "POST", f"/relationships/{rid}/confirm")["state"])

    now = datetime.now().astimezone().isoformat(timespec="seconds")
    asked = str(uuid4())
    ask = {"occurred_at": now, "domain": "time", "text": "An evening for the two of us?"}
    call(one, "PUT", f"/relationships/{rid}/requests/{asked}", ask)
    call(
        two,
        "PUT",
        f"/relationships/{rid}/decisions/{uuid4()}",
        {"occurred_at": now, "request_id": asked, "outcome": "no"},
    )
    for who, token in (("one, who asked, sees the request", one), ("two, who said no, sees it", two)):
        show(who, call(token, "GET", f"/relationships/{rid}/requests")["requests"][0]["state"])
    asks = call(one, "GET", f"/relationships/{rid}/balances?window=28")["asks"]
    show("the balance of what was asked", {name: asks[name] for name in ("counts", "n", "share", "reading")})


if __name__ == "__main__":
    try:
        main()
    except (EOFError, KeyboardInterrupt):
        sys.exit("\nThe tour ends here.")
