"""Record a synthetic couple's twelve months through the HTTP API, for a first look.

Nobody is behind these entries: a seeded random generator makes them, so that every demo is the same. In the course of
the year the first one asks more and more. They record with different habits, and not at all for some weeks; money and
home lean opposite ways. Some requests get a quiet no, others a counter-offer; now and then something is opened, and
each may say a view before it is decided.
"""

import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, get_args
from uuid import UUID, uuid4

import httpx
from tqdm import tqdm

from events.entries import Domain
from service.core.mail import ConsoleMailer, Mail

FIRST, SECOND = "first.synthetic@example.org", "second.synthetic@example.org"
DAYS = 365
BATCH = 40
SEED = 20260101

Json = dict[str, Any]
TellerAndEntry = tuple[str, Json]


class DemoFailed(Exception):
    """The service did not do what the demo relies on."""


class DemoMailer:
    """A mailer that keeps the codes of the synthetic couple, and prints everybody else's mail."""

    def __init__(self) -> None:
        self._codes: dict[str, str] = {}
        self._console = ConsoleMailer()

    async def send(self, mail: Mail) -> None:
        """Keep the code of a mail to one of the two; print any other mail."""
        found = re.search(r"\b\d{4} \d{4}\b", mail.text)
        if mail.to in (FIRST, SECOND) and found:
            self._codes[mail.to] = found.group()
        else:
            await self._console.send(mail)

    def take_code(self, to: str) -> str | None:
        """The code that was mailed last, once."""
        return self._codes.pop(to, None)


class Person:
    """One of the two, signed in."""

    def __init__(self, http: httpx.Client, mailer: DemoMailer, email: str) -> None:
        self._http = http
        attempt = _decoded(http.post("/v1/sign-in-codes", json={"email": email}))
        code = _wait_for_code(mailer, email)
        sign_in = {**attempt, "code": code, "device_name": "demo"}
        self._signed_in = http.post("/v1/sessions", json=sign_in)
        self.token: str = _decoded(self._signed_in)["access_token"]

    def app_address(self, address: str) -> str:
        """The address that opens the phone app as this person.

        The session stands behind the #, which browsers send to nobody, and which the app takes away at once.
        """
        return f"{address}/#demo={urlsafe_b64encode(self._signed_in.content).rstrip(b'=').decode()}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer, which must be a success."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return _decoded(self._http.request(method, path, json=body, headers=headers))

    def agree(self) -> None:
        """Consent."""
        me = self.call("GET", "/v1/me")
        self.call("PUT", "/v1/me/consent", {"version": me["consent"]["version"], "adult": True})


class Couple:
    """Both, and their relationship."""

    def __init__(self, first: Person, second: Person, relationship_id: str) -> None:
        self.first, self.second, self.relationship_id = first, second, relationship_id


def load(http: httpx.Client, mailer: DemoMailer, now: datetime) -> Couple:
    """Sign the couple in; where they are new, link them and record their year, with a progress bar."""
    first, second = Person(http, mailer, FIRST), Person(http, mailer, SECOND)
    if first.call("GET", "/v1/me")["name"] is not None:
        return Couple(first, second, first.call("GET", "/v1/relationships")["relationships"][0]["id"])
    couple = Couple(first, second, _link(first, second))
    entries_of_year = list(year(now))
    with tqdm(total=len(entries_of_year), unit=" entries", desc="Recording a synthetic year") as bar:
        for teller, entries in _batches(entries_of_year):
            person = first if teller == "first" else second
            path = f"/v1/relationships/{couple.relationship_id}/sync"
            results = person.call("POST", path, {"entries": entries})["results"]
            if any(result["status"] != "recorded" for result in results):
                raise DemoFailed
            bar.update(len(entries))
    # Last of all: who has a name has a whole year, however often loading was interrupted before.
    first.call("PATCH", "/v1/me", {"name": "The first one (synthetic)"})
    second.call("PATCH", "/v1/me", {"name": "The second one (synthetic)"})
    return couple


def _link(first: Person, second: Person) -> str:
    first.agree()
    second.agree()
    relationship_id: str = first.call("POST", "/v1/relationships", {})["id"]
    invite = first.call("POST", f"/v1/relationships/{relationship_id}/invites")
    second.call("POST", "/v1/invites/accept", {"code": invite["code"]})
    first.call("POST", f"/v1/relationships/{relationship_id}/confirm")
    return relationship_id


def year(now: datetime) -> Iterator[TellerAndEntry]:
    """The entries in order, each as ("first" or "second", an entry as sync takes it)."""
    random = Random(SEED)  # noqa: S311 (the same every time is what is wanted)
    begin = now - timedelta(days=DAYS)
    for day in range(DAYS):
        evening = (begin + timedelta(days=day)).replace(hour=18, minute=random.randrange(60), second=0, microsecond=0)
        yield from _day(random, evening, day)


# On how many evenings each writes something down, and when they did not for a while.
WRITES = {"first": 0.7, "second": 0.35}
GAPS = {"first": range(200, 209), "second": [*range(70, 88), *range(255, 285)]}
# Who decides, as the first one tells it: money is mostly theirs, home mostly the other's.
DECIDES: dict[str, tuple[int, int, int]] = {"money": (8, 1, 2), "home": (1, 7, 2)}
DECIDES_ELSEWHERE = (2, 2, 5)
OPENS_EVERY = 13
LAST_DAY = DAYS - 1


def _day(random: Random, at: datetime, day: int) -> Iterator[TellerAndEntry]:
    writing = [who for who in WRITES if day not in GAPS[who] and random.random() < WRITES[who]]
    asks = "first" if random.random() < 0.5 + 0.35 * day / DAYS else "second"
    if random.random() < 0.7 and day not in GAPS[asks]:
        yield from _request(random, at, asks)
    if "first" in writing and random.random() < 0.6:
        yield from _decision(random, at, tells_too="second" in writing)
    if day % OPENS_EVERY == OPENS_EVERY - 1:
        yield from _opening(random, at)
    for teller in writing:
        yield _check_in(random, at, teller, day / DAYS)
    if day == LAST_DAY:
        yield from _sealed(random, at)


def _request(random: Random, at: datetime, asks: str) -> Iterator[TellerAndEntry]:
    request_id, domain = _id(random), random.choice(get_args(Domain))
    request = {"occurred_at": at.isoformat(), "domain": domain, "expires_at": (at + timedelta(days=7)).isoformat()}
    yield asks, {"id": request_id, "kind": "request", "request": request}
    answer = random.choices(["yes", "not_now", "no", "counter", "nothing"], weights=[6, 2, 2, 1, 2])[0]
    if answer == "counter":
        offer = request | {"occurred_at": (at + timedelta(hours=1)).isoformat(), "in_reply_to": request_id}
        offer_id = _id(random)
        yield _other(asks), {"id": offer_id, "kind": "request", "request": offer}
        yield asks, _answer(random, at, offer_id, "yes")
    elif answer != "nothing":
        # A no is private unless somebody shares it: who asked does not learn of it.
        yield _other(asks), _answer(random, at, request_id, answer)


def _answer(random: Random, at: datetime, request_id: str, outcome: str) -> Json:
    decision = {
        "occurred_at": (at + timedelta(hours=2)).isoformat(),
        "request_id": request_id,
        "outcome": outcome,
    }
    return {"id": _id(random), "kind": "decision", "decision": decision}


def _decision(random: Random, at: datetime, *, tells_too: bool) -> Iterator[TellerAndEntry]:
    domain = random.choice(["money", "home", *get_args(Domain)])
    decided_by = random.choices(["me", "partner", "both"], weights=DECIDES.get(domain, DECIDES_ELSEWHERE))[0]
    decision_id = _id(random)
    common = {"occurred_at": at.isoformat(), "domain": domain, "audience": "shared"}
    first = {
        **common,
        "decided_by": decided_by,
        "raised_by": random.choice(["me", "me", "partner"]),
        "size": random.choice(["small", "small", "big"]),
        "my_input": random.choice(["asked", "partly", "counted"]),
    }
    yield "first", {"id": decision_id, "kind": "decision", "decision": first}
    if tells_too:
        seen_otherwise = {"me": "partner", "partner": "me", "both": "both"}[decided_by]
        second = {**common, "decided_by": random.choice([seen_otherwise, seen_otherwise, "both"]), "about": decision_id}
        second["my_input"] = random.choice(["not_asked", "asked", "counted"])
        yield "second", {"id": _id(random), "kind": "decision", "decision": second}


def _opening(random: Random, at: datetime) -> Iterator[TellerAndEntry]:
    """Something is to be decided; the first one always says a view before, the second one not always."""
    opens, opening_id = random.choice(["first", "second"]), _id(random)
    domain, begun = random.choice(["money", "plans", "family", "home"]), at - timedelta(hours=6)
    opening = {"occurred_at": begun.isoformat(), "domain": domain, "size": "big", "text": "Something large (synthetic)"}
    yield opens, {"id": opening_id, "kind": "opening", "opening": opening}
    for teller in ("first", "second"):
        if teller == "first" or random.random() < 0.5:
            words = {"my_view": "A view (synthetic)", "their_sense": "What makes sense (synthetic)"}
            view = {"occurred_at": (at - timedelta(hours=3)).isoformat(), "about": opening_id, "words": words}
            yield teller, {"id": _id(random), "kind": "check_in", "check_in": view | {"audience": "shared"}}
    closing = {"occurred_at": at.isoformat(), "domain": domain, "size": "big", "opening_id": opening_id}
    closing |= {"decided_by": random.choice(["me", "both"]), "audience": "shared"}
    yield "first", {"id": _id(random), "kind": "decision", "decision": closing}


def _check_in(random: Random, at: datetime, teller: str, progress: float) -> TellerAndEntry:
    middle = 5 - progress if teller == "first" else 5.0
    felt = {item: min(7, max(1, round(random.gauss(middle, 1)))) for item in ("heard", "close", "fair")}
    check_in = {
        "occurred_at": (at + timedelta(hours=3)).isoformat(),
        "initiated_by": random.choice(["me", "partner", "both"]),
        "felt": felt,
        "audience": random.choice(["shared", "private"]),
    }
    return teller, {"id": _id(random), "kind": "check_in", "check_in": check_in}


def _sealed(random: Random, at: datetime) -> Iterator[TellerAndEntry]:
    """Both seal how close it felt on the last evening, and both are shown: what is older is never revealed."""
    for teller in ("first", "second"):
        sealed = {
            "occurred_at": (at + timedelta(hours=3)).isoformat(),
            "felt": {"close": random.randrange(4, 8)},
            "audience": "sealed",
        }
        yield teller, {"id": _id(random), "kind": "check_in", "check_in": sealed}


def _batches(entries: list[TellerAndEntry]) -> Iterator[tuple[str, list[Json]]]:
    """Consecutive entries of one teller go in one call; so a decision never overtakes its request."""
    batch: list[Json] = []
    for i, (teller, entry) in enumerate(entries):
        batch.append(entry)
        if i + 1 == len(entries) or entries[i + 1][0] != teller or len(batch) == BATCH:
            yield teller, batch
            batch = []


def _other(teller: str) -> str:
    return "second" if teller == "first" else "first"


def _id(random: Random) -> str:
    return str(UUID(int=random.getrandbits(128), version=4))


def _wait_for_code(mailer: DemoMailer, email: str) -> str:
    # The mailer lives in the server's thread and is served at once; a hundred looks are ten seconds.
    for _ in range(100):
        if code := mailer.take_code(email):
            return code
        time.sleep(0.1)
    raise DemoFailed


def _decoded(response: httpx.Response) -> Any:
    response.raise_for_status()
    return response.json() if response.content else None


# --- A prompt, to be seen arriving


def ask_for_a_prompt(couple: Couple, now: datetime) -> None:
    """Register a device of the first one's, who is asked right after anything shared, and share something.

    They are asked at most twice a day, as everybody is.
    """
    device = {"platform": "ios", "provider": "apns", "token": "00" * 32, "environment": "sandbox"}
    couple.first.call("PUT", f"/v1/me/devices/{UUID(int=1, version=4)}", device)
    at_once = {"enabled": True, "delay_minutes": 0, "questions": ["how_was_it"]}
    couple.first.call(
        "PUT",
        "/v1/me/schedule",
        {"check_ins": [], "after_events": at_once, "quiet": {"from": "00:00", "to": "00:00"}},
    )
    walk = {"occurred_at": now.isoformat(), "note": "A walk (synthetic)", "audience": "shared"}
    couple.second.call("PUT", f"/v1/relationships/{couple.relationship_id}/check-ins/{uuid4()}", walk)


def instructions(couple: Couple, address: str, now: datetime) -> str:
    """What to try next, ready to be copied."""
    relationship = f"{address}/v1/relationships/{couple.relationship_id}"
    last_month = f"{now.replace(day=1) - timedelta(days=1):%Y-%m}"
    return f"""
A synthetic couple is in: nobody is behind it. Open the app as the first one, and, in a private window, as the second:

{couple.first.app_address(address)}

{couple.second.app_address(address)}

Each opens one browser. The tokens below last a day; a start of the demo makes fresh ones.

FIRST={couple.first.token}
SECOND={couple.second.token}

curl -s -H "Authorization: Bearer $FIRST" "{relationship}/balances?window=90"
curl -s -H "Authorization: Bearer $SECOND" "{relationship}/balances?window=90"
curl -s -H "Authorization: Bearer $FIRST" "{relationship}/trends?measure=initiates&window=90&step=30"
curl -s -H "Authorization: Bearer $FIRST" "{relationship}/perspectives?measure=decides"
curl -s -H "Authorization: Bearer $FIRST" "{relationship}/roles?window=365"
curl -s -H "Authorization: Bearer $FIRST" "{relationship}/voice?window=365"
curl -s -H "Authorization: Bearer $FIRST" "{relationship}/reviews/{last_month}"
curl -s -H "Authorization: Bearer $FIRST" "{relationship}/home"
"""
