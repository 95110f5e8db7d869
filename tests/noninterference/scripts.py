"""What happens in both worlds, and what happens in one only: scripts made from a seed.

The reader and the other are linked, a stranger knows their ids. What the other does in private is `hidden`, and each
hidden step belongs to the first world, to the second, or to both. Everything else is the same in both.

Entries need not be possible: a refusal is an answer too. But nothing hidden may decide what becomes of a shared entry
of the other's own, for that would change what was shared. Where the contract lets it, a script keeps to these lines:

- the other tells of a decision either in private or for both to read, by whether its number is odd;
- a hidden retraction names an id that the other never shares under, and nothing that was retracted is retried;
- what the other seals for both worlds is for even things, and has a fresh id; what they seal in one, for odd ones. The
  reader seals for even things only: an odd one is never revealed, and nobody can tell that it waits. Nor is one for an
  even thing that answers nothing, or is late.
"""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any, Literal, TypeAlias
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

Json: TypeAlias = dict[str, Any]
Person = Literal["reader", "other", "stranger"]
Worlds: TypeAlias = frozenset[int]

BOTH = frozenset({0, 1})
OF_AN_OPENING = (901, 902, 903)  # numbers that nothing else has
EITHER = (frozenset({0}), frozenset({1}), frozenset({0}), frozenset({1}), BOTH)
HERE = "/v1/relationships/{rid}"
PATHS = {
    "check_in": "check-ins",
    "request": "requests",
    "opening": "openings",
    "decision": "decisions",
    "retraction": "retractions",
}
WHO = ("me", "partner", "both", "neither")
DOMAINS = ("home", "money", "other")
ITEMS = ("close", "fair", "conflict")
OFFSETS = [timezone(timedelta(hours=hours)) for hours in (0, 2, -5, 14)]
DAYS_AGO = (0, 0, 0, 0, 1, 2, 6, 27, 60)
POOL = range(1, 7)  # ids that everybody uses, so that they meet
SHARED_BY_OTHER = range(1, 5)  # those of them under which the other shares
SEALED_FOR = ("day", "day", "day", "week", "about")
EVEN, ODD = 0, 1


class Step(Struct, frozen=True, kw_only=True):
    """One call; `sign in` and `pass time` are more. A queue has entries, each with the worlds it is sent in."""

    who: Person
    method: Literal["GET", "PUT", "POST", "PATCH", "DELETE", "sign in", "pass time"]
    path: str = ""
    body: Json | None = None
    entries: list[tuple[Json, Worlds]] | None = None
    hidden: bool = False
    worlds: Worlds = BOTH
    minutes: int = 0
    beside: Json = {}  # what is no part of an entry, and sent with it in the worlds of `besides`
    besides: Worlds = frozenset()

    def said(self, world: int) -> Json | None:
        """The body that is sent in that world."""
        if self.entries is None:
            return self.body and {**self.body, **(self.beside if world in self.besides else {})}
        return {**(self.body or {}), "entries": [entry for entry, worlds in self.entries if world in worlds]}


Script: TypeAlias = list[Step]


def script(seed: str, now: datetime) -> Script:
    """The script of that seed, for two who begin at that time."""
    return _Writing(Random(seed), now).written()


class _Writing:
    """A script while it is written."""

    def __init__(self, chance: Random, now: datetime) -> None:
        self.chance, self.now = chance, now
        self.steps: Script = []
        self._fresh = 100
        self._used: list[int] = []
        self._asked: dict[Person, list[int]] = {"reader": [], "other": []}
        self._decided: dict[Person, list[int]] = {"reader": [], "other": []}
        self._shared_by_other: list[int] = []
        self._hidden_by_other: list[int] = []
        self._ended = False

    def written(self) -> Script:
        """Two become linked, live, and perhaps part."""
        self._link()
        for _ in range(self.chance.randint(9, 13)):
            self._go_on()
        if self.chance.random() < 0.5:
            self._be_asked_afterwards()
        if self.chance.random() < 0.3:
            self._do(who=self.chance.choice(["reader", "other"]), method="POST", path=f"{HERE}/leave")
            self._ended = True
        for _ in range(self.chance.randint(3, 6)):
            self._go_on()
        if self.chance.random() < 0.6:
            self._look()
            self._wait()
            for _ in range(self.chance.randint(1, 3)):
                self._hide()
        self._decide_an_opening()
        return self.steps

    def _decide_an_opening(self) -> None:
        """The reader opens something and decides it; what the other thinks of it, they keep, or not at all."""
        at: Json = {"occurred_at": self.now.isoformat()}
        opened, view, decided = (_id(number) for number in OF_AN_OPENING)
        self._do(who="reader", method="PUT", path=f"{HERE}/openings/{opened}", body=at | {"domain": "home"})
        audience = self.chance.choice(["private", "sealed"])
        body = at | {"about": opened, "words": {"my_view": "x"}, "audience": audience}
        self._secretly(self.chance.choice(EITHER), method="PUT", path=f"{HERE}/check-ins/{view}", body=body)
        body = at | {"domain": "home", "decided_by": "me", "opening_id": opened, "audience": "shared"}
        self._do(who="reader", method="PUT", path=f"{HERE}/decisions/{decided}", body=body)

    def _link(self) -> None:
        one, two = self.chance.sample(["reader", "other"], 2)
        pause = {"from": "2026-05-30", "to": "2026-06-02"}
        self._do(who="reader", method="PUT", path=f"/v1/me/pauses/{_id(1)}", body=pause)
        self._do(who="other", method="PATCH", path="/v1/me", body={"name": "the other"})
        self._do(who=one, method="POST", path="/v1/relationships", body={})
        self._perhaps_hidden()
        self._do(who=one, method="POST", path=f"{HERE}/invites")
        self._perhaps_hidden()
        self._do(who=two, method="POST", path="/v1/invites/accept", body={"code": "{code}"})
        self._perhaps_hidden()
        self._do(who=one, method="POST", path=f"{HERE}/confirm")

    def _perhaps_hidden(self) -> None:
        if self.chance.random() < 0.3:
            self._hide()

    def _go_on(self) -> None:
        does = [self._read_on, self._share, self._hide, self._wait, self._seal_in_turn]
        self.chance.choices(does, [45, 18, 42, 6, 8])[0]()

    def _do(self, **said: Any) -> None:
        self.steps.append(Step(**said))

    def _wait(self) -> None:
        self._pass(self.chance.choice([1, 10, 100, 60 * 24 * 8]))

    def _pass(self, minutes: int) -> None:
        self._do(who="reader", method="pass time", minutes=minutes)
        self.now += timedelta(minutes=minutes)

    # --- What the reader does

    def _read_on(self) -> None:
        does: list[Callable[[], None]] = [
            *(self._record, self._queue, self._retry),
            *(self._look, self._errand, self._set_up_mine),
        ]
        self.chance.choices(does, [60, 15, 10, 12, 8, 10])[0]()

    def _record(self) -> None:
        kind, number, body = self._entry("reader")
        # What refers to something is to break another rule as well, now and then: which is told first may depend on it.
        if self.chance.random() < (0.25 if body.keys() & {"about", "in_reply_to", "request_id"} else 0.1):
            body = body | {"occurred_at": (self.now + timedelta(hours=1)).isoformat()}
        self._do(who="reader", method="PUT", path=f"{HERE}/{PATHS[kind]}/{_id(number)}", body=body)

    def _queue(self) -> None:
        entries = [(_queued(*self._entry("reader")), BOTH) for _ in range(self.chance.randint(0, 4))]
        after = {name: self.chance.choice([0, 0, 1, 3]) for name in ("shared_after", "private_after")}
        self._do(who="reader", method="POST", path=f"{HERE}/sync", body=after, entries=entries)

    def _retry(self) -> None:
        sent = [step for step in self.steps if step.who == "reader" and step.method in ("PUT", "POST")]
        again = [step for step in sent if "invite" not in step.path and not step.path.endswith(("ships", "leave"))]
        if again:
            self.steps.append(self.chance.choice(again))

    def _look(self) -> None:
        self._do(who="reader", method="GET", path=HERE + self._looked_at())

    def _looked_at(self) -> str:
        return self.chance.choice(["", "/events?limit=3", "/requests", "/balances?window=28"])

    def _errand(self) -> None:
        errands: list[tuple[str, str, Json | None]] = [
            ("PATCH", "/v1/me", {}),
            ("PATCH", "/v1/me", {"time_zone": self.chance.choice(["UTC", "Pacific/Kiritimati"])}),
            ("POST", f"{HERE}/confirm", None),
            ("POST", f"{HERE}/invites", None),
            ("DELETE", f"/v1/sessions/{_id(1)}", None),
            ("PUT", f"{HERE}/check-ins/{_id(1)}", {"note": 1}),
        ]
        method, path, body = self.chance.choice(errands)
        self._do(who=self.chance.choice(["reader", "reader", "stranger"]), method=method, path=path, body=body)

    def _set_up_mine(self) -> None:
        method, path, body = self.chance.choice(self._set_up())
        self._do(who=self.chance.choice(["reader", "reader", "stranger"]), method=method, path=path, body=body)

    def _set_up(self) -> list[tuple[str, str, Json | None]]:
        """What anybody sets up for themselves, so that they are asked: under the same ids, and differently."""
        device = {"platform": "android", "provider": "fcm", "token": "{me} " + self.chance.choice("abc")}
        window = {
            "weekdays": [self.chance.choice(["mon", "wed"])],
            "from": "09:00",
            "to": "21:00",
            "questions": [],
        }
        item = {"id": _id(1), "relationship_id": "{rid}", **window}
        after = {"enabled": self.chance.random() < 0.5, "delay_minutes": self.chance.choice([60, 240])}
        return [
            ("PUT", f"/v1/me/devices/{_id(self.chance.choice(POOL))}", device),
            ("DELETE", f"/v1/me/devices/{_id(self.chance.choice(POOL))}", None),
            ("PUT", "/v1/me/schedule", {"check_ins": [item], "after_events": after}),
            ("PUT", "/v1/me/schedule", {}),
            ("PUT", f"/v1/me/pauses/{_id(1)}", {"from": "2026-06-01", "to": "2026-06-03"}),
            ("DELETE", f"/v1/me/pauses/{_id(1)}", None),
            ("POST", f"/v1/me/prompts/{_id(self.chance.choice(POOL))}/dismiss", None),
        ]

    # --- What the other does for both to see

    def _share(self) -> None:
        kind, number, body = self._shared_entry()
        if self.chance.random() < 0.3:
            entries = [(_queued(kind, number, body), BOTH)] + [
                (_queued(*self._hidden_entry()), self.chance.choice(EITHER)) for _ in range(self.chance.randint(0, 2))
            ]
            self.chance.shuffle(entries)
            self._do(who="other", method="POST", path=f"{HERE}/sync", entries=entries)
        else:
            self._share_alone(kind, number, body)

    def _share_alone(self, kind: str, number: int, body: Json) -> None:
        """What the other shares they may have kept in private before, or keep there too; and it may answer a prompt."""
        path = f"{HERE}/{PATHS[kind]}/{_id(number)}"
        may_be_kept = body.get("audience") == "shared" and not body.keys() & {"request_id", "about"}
        kept = self.chance.choice(["before", "after", None, None]) if may_be_kept else None
        private = {"method": "PUT", "path": path, "body": body | {"audience": "private"}}
        worlds = self.chance.choice(EITHER)
        if kept == "before":
            self._secretly(worlds, **private)
        asked = (
            {"prompt_id": _id(self.chance.choice(POOL))} if kind == "check_in" and self.chance.random() < 0.3 else {}
        )
        besides = self.chance.choice(EITHER)
        self._do(who="other", method="PUT", path=path, body=body, beside=asked, besides=besides)
        if kept == "after":
            self._secretly(worlds, **private)

    def _shared_entry(self) -> tuple[str, int, Json]:
        if self._shared_by_other and self.chance.random() < 0.15:
            return self._retraction(self.chance.choice(self._shared_by_other))
        if self.chance.random() < 0.3:
            self._shared_by_other.append(self._new())
            return "check_in", self._shared_by_other[-1], self._sealed(EVEN)
        kind, number, body = self._entry("other", tells=0, pool=SHARED_BY_OTHER)
        if kind not in ("request", "opening"):
            body = body | {"audience": "shared"}
        self._shared_by_other.append(number)
        return kind, number, body

    def _seal_in_turn(self) -> None:
        """Both seal for the same thing; something may happen in between, and one of the two may not come to it."""
        same = self._sealed(EVEN)
        for who in self.chance.sample(["reader", "other"], self.chance.choice([1, 2, 2, 2])):
            number = self._number(POOL) if who == "reader" else self._new()
            body = same | self._sealed_words()
            self._do(who=who, method="PUT", path=f"{HERE}/check-ins/{_id(number)}", body=body)
            self._perhaps_hidden()

    # --- Prompts

    def _be_asked_afterwards(self) -> None:
        """The reader is asked after what is shared, of which there may be something, and after nothing else."""
        self._do(who="reader", method="PUT", path="/v1/me/schedule", body=_after_events(60))
        device = {"platform": "android", "provider": "fcm", "token": "{me} a"}
        self._do(who="reader", method="PUT", path=f"/v1/me/devices/{_id(1)}", body=device)
        if self.chance.random() < 0.5:
            theirs = _after_events(self.chance.choice([0, 240]))
            self._secretly(self.chance.choice(EITHER), method="PUT", path="/v1/me/schedule", body=theirs)
        if self.chance.random() < 0.5:
            body = {"occurred_at": self.now.isoformat(), "domain": "home"}
            self._do(who="reader", method="PUT", path=f"{HERE}/requests/{_id(self._new())}", body=body)
        for _ in range(self.chance.randrange(3)):
            body = {"occurred_at": self.now.isoformat(), "note": "x"}
            path = f"{HERE}/check-ins/{_id(self._new())}"
            self._secretly(self.chance.choice(EITHER), method="PUT", path=path, body=body)
        self._pass(60 * 5)

    # --- What the other does in private

    def _hide(self) -> None:
        does: list[Callable[[Worlds], None]] = [
            self._keep,
            self._queue_privately,
            self._look_privately,
            self._refuse_quietly,
            self._errand_in_private,
            self._withdraw_and_consent,
            self._live_elsewhere,
            self._use_another_device,
            self._travel,
            self._take_another_name,
            self._set_up_in_private,
        ]
        self.chance.choices(does, [45, 15, 12, 18, 8, 3, 3, 3, 8, 20 if self._ended else 0, 12])[0](
            self.chance.choice(EITHER)
        )

    def _secretly(self, worlds: Worlds, **said: Any) -> None:
        self._do(who="other", hidden=True, worlds=worlds, **said)

    def _keep(self, worlds: Worlds) -> None:
        kind, number, body = self._hidden_entry()
        self._secretly(worlds, method="PUT", path=f"{HERE}/{PATHS[kind]}/{_id(number)}", body=body)

    def _queue_privately(self, worlds: Worlds) -> None:
        entries = [(_queued(*self._hidden_entry()), worlds) for _ in range(self.chance.randint(0, 5))]
        self._secretly(worlds, method="POST", path=f"{HERE}/sync", entries=entries)

    def _hidden_entry(self) -> tuple[str, int, Json]:
        mine = [n for n in self._hidden_by_other if n not in SHARED_BY_OTHER]
        if mine and self.chance.random() < 0.2:
            return self._retraction(self.chance.choice(mine))
        if self._asked["reader"] and self.chance.random() < 0.3:
            return self._quiet_answer()
        if self.chance.random() < 0.3:
            self._hidden_by_other.append(self.chance.choice(POOL))
            return "check_in", self._hidden_by_other[-1], self._sealed(ODD)
        if self.chance.random() < 0.3:
            self._hidden_by_other.append(self._new())
            return "check_in", self._hidden_by_other[-1], self._never_revealed()
        kind, number, body = self._entry("other", tells=1, kinds=("check_in", "check_in", "decision"))
        self._hidden_by_other.append(number)
        return kind, number, body | {"audience": "private"}

    def _refuse_quietly(self, worlds: Worlds) -> None:
        if self._asked["reader"]:
            _, number, body = self._quiet_answer()
            self._secretly(worlds, method="PUT", path=f"{HERE}/decisions/{_id(number)}", body=body)

    def _quiet_answer(self) -> tuple[str, int, Json]:
        asked = self.chance.choice(self._asked["reader"])
        number = self._number(POOL)
        self._hidden_by_other.append(number)
        said = {"request_id": _id(asked), "outcome": self.chance.choice(["no", "not_now", "yes"])}
        return "decision", number, {"occurred_at": self._time(), "audience": "private"} | said

    def _look_privately(self, worlds: Worlds) -> None:
        for _ in range(3):
            self._secretly(worlds, method="GET", path=HERE + self._looked_at())

    def _errand_in_private(self, worlds: Worlds) -> None:
        errands: list[tuple[str, str, Json | None]] = [
            ("PATCH", "/v1/me", {}),
            ("GET", "/v1/sessions", None),
            ("POST", f"{HERE}/sync", {"shared_after": 2}),
            ("PUT", f"{HERE}/check-ins/{_id(3)}", {"note": 1}),
            ("PUT", f"{HERE}/requests/{_id(3)}", {"occurred_at": "2999-01-01T00:00:00Z", "domain": "home"}),
        ]
        if self._ended:
            errands.append(("POST", f"{HERE}/leave", None))
        method, path, body = self.chance.choice(errands)
        self._secretly(worlds, method=method, path=path, body=body)

    def _withdraw_and_consent(self, worlds: Worlds) -> None:
        self._secretly(worlds, method="DELETE", path="/v1/me/consent")
        # In both worlds: without consent nothing more could be shared.
        self._do(who="other", method="PUT", path="/v1/me/consent", body={"version": "{version}", "adult": True})

    def _live_elsewhere(self, worlds: Worlds) -> None:
        self._secretly(worlds, method="POST", path="/v1/relationships", body={})
        kind, number, body = self._hidden_entry()
        self._secretly(worlds, method="PUT", path=f"/v1/relationships/{{own}}/{PATHS[kind]}/{_id(number)}", body=body)

    def _use_another_device(self, worlds: Worlds) -> None:
        self._secretly(worlds, method="sign in")

    def _set_up_in_private(self, worlds: Worlds) -> None:
        method, path, body = self.chance.choice(self._set_up())
        self._secretly(worlds, method=method, path=path, body=body)

    def _travel(self, worlds: Worlds) -> None:
        zone = self.chance.choice(["UTC", "Pacific/Kiritimati"])
        self._secretly(worlds, method="PATCH", path="/v1/me", body={"time_zone": zone})

    def _take_another_name(self, worlds: Worlds) -> None:
        # After the end that is nobody's business any more.
        self._secretly(worlds, method="PATCH", path="/v1/me", body={"name": "someone else"})

    # --- Entries

    def _entry(
        self,
        who: Person,
        tells: int | None = None,
        pool: range = POOL,
        kinds: tuple[str, ...] = (
            *("check_in", "check_in", "check_in", "check_in", "request", "request", "request", "request"),
            *("decision", "decision", "decision", "decision", "retraction", "retraction", "opening"),
        ),
    ) -> tuple[str, int, Json]:
        kind = self.chance.choice(kinds if who == "reader" else [k for k in kinds if k != "retraction"])
        if kind == "retraction":
            return self._retraction(self._any_number())
        number = self._number(pool)
        body = {"occurred_at": self._time()}
        match kind:
            case "check_in" if who == "reader" and self.chance.random() < 0.3:
                body = self._sealed(EVEN)
            case "check_in":
                body |= self._check_in() | self._day(body["occurred_at"])
            case "request":
                body |= self._request(who)
                self._asked[who].append(number)
            case "opening":
                body |= {"domain": self.chance.choice(DOMAINS)}
            case "decision":
                body |= self._decision(who, tells)
                self._decided[who].append(number)
        return kind, number, body

    def _check_in(self) -> Json:
        body: Json = {"domain": self.chance.choice(DOMAINS), "initiated_by": self.chance.choice(WHO)}
        body |= {
            "felt": {self.chance.choice(ITEMS): self.chance.randint(1, 7)},
            "note": self.chance.choice("abc"),
        }
        body |= {"audience": self.chance.choice(["shared", "shared", "private"])}
        return body | ({"about": _id(self._any_number())} if self.chance.random() < 0.25 else {})

    def _day(self, occurred_at: str) -> Json:
        """Sometimes the day that it is told of: its own, or the one before."""
        if self.chance.random() < 0.8:
            return {}
        own = datetime.fromisoformat(occurred_at).date()
        return {"day": (own - timedelta(days=self.chance.choice([0, 1, 1, 2]))).isoformat()}

    def _sealed(self, parity: int) -> Json:
        """A sealed check-in: the number of the event, of the day or of the week that it is for is even, or is odd."""
        sealed_for = self.chance.choice(SEALED_FOR)
        body = self._sealed_words() | {"occurred_at": self._lately(), "sealed_for": sealed_for}
        if sealed_for == "about":
            return body | {"about": _id(self.chance.choice(POOL[parity ^ 1 :: 2]))}
        # What is late is never revealed. Of today and yesterday one is even; of their weeks perhaps neither.
        at = datetime.fromisoformat(body["occurred_at"])
        days = [at - timedelta(days=ago) for ago in (0, 1)]
        weeks, dates = [day.isocalendar().week for day in days], [day.toordinal() for day in days]
        for what, numbers in (("week", weeks), ("day", dates)):
            fitting = [day for day, number in zip(days, numbers, strict=True) if number % 2 == parity]
            if fitting and sealed_for in (what, "week"):
                return body | {"occurred_at": fitting[0].isoformat(), "sealed_for": what}
        raise AssertionError(body)

    def _never_revealed(self) -> Json:
        """What is sealed for an even thing, and answers nothing, or is late."""
        body = self._sealed(EVEN)
        if self.chance.random() < 0.5 or body["sealed_for"] != "about":
            return {name: value for name, value in body.items() if name != "felt"}
        at = datetime.fromisoformat(body["occurred_at"]) - timedelta(days=3)
        return body | {"occurred_at": at.isoformat()}

    def _lately(self) -> str:
        if self.chance.random() < 0.1:
            return self._time()
        ago = timedelta(minutes=self.chance.randint(0, 600))
        return (self.now - ago).astimezone(self.chance.choice(OFFSETS)).isoformat()

    def _sealed_words(self) -> Json:
        items = {self.chance.choice([*ITEMS, "close"]) for _ in range(2)}
        felt = {item: self.chance.randint(1, 7) for item in sorted(items)}
        return {"initiated_by": self.chance.choice(WHO), "felt": felt, "audience": "sealed"}

    def _request(self, who: Person) -> Json:
        body: Json = {"domain": self.chance.choice(DOMAINS)}
        if self.chance.random() < 0.4:
            body["expires_at"] = (self.now + timedelta(hours=1)).isoformat()
        others = self._asked["other" if who == "reader" else "reader"]
        if self.chance.random() < 0.25:
            body["in_reply_to"] = _id(self.chance.choice(others) if others else self._any_number())
        return body

    def _decision(self, who: Person, tells: int | None) -> Json:
        other: Person = "other" if who == "reader" else "reader"
        if self._asked[other] and self.chance.random() < 0.5:
            outcome = self.chance.choice(["yes", "not_now", "no"])
            return {"request_id": _id(self.chance.choice(self._asked[other])), "outcome": outcome}
        body: Json = {"domain": self.chance.choice(DOMAINS), "decided_by": self.chance.choice(WHO)}
        body |= {"raised_by": self.chance.choice(WHO), "my_input": self.chance.choice(["asked", "counted"])}
        body |= {"size": self.chance.choice(["small", "big"]), "as_agreed": self.chance.random() < 0.5}
        body |= {"audience": self.chance.choice(["shared", "shared", "private"])}
        told = [n for n in self._decided[other] if tells is None or n % 2 == tells]
        if told and self.chance.random() < 0.6:
            body["about"] = _id(self.chance.choice(told))
        return body

    def _retraction(self, target: int) -> tuple[str, int, Json]:
        return "retraction", self._new(), {"occurred_at": self._time(), "event_id": _id(target)}

    def _number(self, pool: range) -> int:
        number = self.chance.choice(pool) if self.chance.random() < 0.5 else self._new()
        self._used.append(number)
        return number

    def _any_number(self) -> int:
        known: list[int] = [*self._used, *POOL[:2]]
        return self.chance.choice(known)

    def _new(self) -> int:
        self._fresh += 1
        return self._fresh

    def _time(self) -> str:
        ago = timedelta(days=self.chance.choice(DAYS_AGO), minutes=self.chance.randint(0, 600))
        return (self.now - ago).astimezone(self.chance.choice(OFFSETS)).isoformat()


def _id(number: int) -> str:
    return str(UUID(int=number))


def _after_events(delay_minutes: int) -> Json:
    """A schedule of who is asked after what is shared, at any hour."""
    quiet = {"from": "00:00", "to": "00:00"}
    return {"after_events": {"enabled": True, "delay_minutes": delay_minutes}, "quiet": quiet}


def _queued(kind: str, number: int, body: Json) -> Json:
    return {"id": _id(number), "kind": kind, kind: body}


def simpler(failing: Script) -> list[Script]:
    """The same script with less in it: long pieces first, then single steps, then single entries of queues."""
    found: list[Script] = []
    size = len(failing) // 2
    while size:
        found += [failing[:i] + failing[i + size :] for i in range(0, len(failing), size)]
        size //= 2
    for i, step in enumerate(failing):
        for j in range(len(step.entries or [])):
            fewer = [entry for k, entry in enumerate(step.entries or []) if k != j]
            found.append([*failing[:i], replace(step, entries=fewer), *failing[i + 1 :]])
    return found
