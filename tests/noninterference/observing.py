"""An observer who walks the contract document: every GET there is, in several ways."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from msgspec import Struct

from tests.noninterference.scripts import Json, Person
from tests.noninterference.worlds import Seen, World

MAX_CALLS = 3
STEP_UP = "/v1/sessions/step-up"

# What stands for a parameter, by its name, where the document lists no values; `None` leaves it out.
VALUES: dict[str, list[str | None]] = {
    "rid": ["{rid}"],
    "session_id": [str(UUID(int=1))],
    "device_id": [str(UUID(int=1))],
    "prompt_id": [str(UUID(int=1))],
    "pause_id": [str(UUID(int=1))],
    "id": [str(UUID(int=number)) for number in (1, 2, 9)],
    "after": [None, "0", "1", "3", "7"],
    "limit": ["1", "2", "5", "500", None],
    "proof": ["true", "false", None],
    "window": ["7", "28", "366", None],
    "step": ["1", "7", "31", None],
    "on": [None, "{today}", "{yesterday}"],
    "to": [None, "{today}", "{yesterday}"],
    "from": [None, "{last_month}"],
    "language": [None, "de"],
    "region": [None, "DE", "XX"],
    "private": [None, "true", "false"],
    "month": ["{month}", "{last_months}", "2026-05"],
    "quarter": ["{last_quarter}", "2026-Q1", "{quarter}"],
    "ticket": [None, "a" * 43],
    "Last-Event-ID": [None, "shared:0,private:0", "shared:3,private:1", "shared:1,private:99"],
}


class Look(Struct, frozen=True):
    """A GET with its parameters; `operation` is its id."""

    operation: str
    address: str
    cached: bool
    headers: dict[str, str] = {}


def looks(document: Json, seed: str, now: datetime) -> list[Look]:
    """Every GET of the document, each value of each parameter in turn. Fails where a parameter has no values here."""
    chance = Random(seed)
    days = {"{today}": now, "{yesterday}": now - timedelta(days=1), "{last_month}": now - timedelta(days=30)}
    found = []
    for path, methods in document["paths"].items():
        if "get" in methods:
            for address in _addresses(path, methods["get"], chance):
                for name, day in days.items():
                    address = address.replace(name, f"{day:%Y-%m-%d}")
                for name, part in _parts_of_the_year(now).items():
                    address = address.replace(name, part)
                cached, headers = _is_cached(methods["get"]), _headers(methods["get"], chance)
                found.append(Look(methods["get"]["operationId"], address, cached, headers))
    return found


def _parts_of_the_year(now: datetime) -> dict[str, str]:
    """The month and the quarter that run, and those before."""
    before = now.replace(day=1) - timedelta(days=1)
    quarters = [(now.year, (now.month + 2) // 3), (now.year, (now.month - 1) // 3)]
    running, last = [(year - (number == 0), number or 4) for year, number in quarters]
    return {
        "{month}": f"{now:%Y-%m}",
        "{last_months}": f"{before:%Y-%m}",
        "{quarter}": f"{running[0]}-Q{running[1]}",
        "{last_quarter}": f"{last[0]}-Q{last[1]}",
    }


def _headers(operation: Json, chance: Random) -> dict[str, str]:
    """Those that the document names, without tags: these are learned from answers."""
    named = [one["name"] for one in operation.get("parameters", []) if one["in"] == "header"]
    chosen = {name: chance.choice(VALUES[name]) for name in named if name != "If-None-Match"}
    return {name.lower().replace("-", "_"): value for name, value in chosen.items() if value}


def gets(document: Json) -> set[str]:
    """The ids of all GET operations."""
    return {methods["get"]["operationId"] for methods in document["paths"].values() if "get" in methods}


def _is_cached(operation: Json) -> bool:
    return any(one["name"] == "If-None-Match" for one in operation.get("parameters", []))


def _addresses(path: str, operation: Json, chance: Random) -> Iterator[str]:
    wanted = [one for one in operation.get("parameters", []) if one["in"] in ("path", "query")]
    values = {one["name"]: _values(one) for one in wanted}
    for listed in values.values():
        chance.shuffle(listed)
    calls = min(MAX_CALLS, max(map(len, values.values()), default=1))
    for i in range(calls):
        chosen = {name: listed[i % len(listed)] for name, listed in values.items()}
        yield _address(path, wanted, _meant(chosen))


def _values(parameter: Json) -> list[str | None]:
    schema = parameter["schema"]
    if schema.get("enum"):
        return [*schema["enum"], *([] if parameter["required"] else [None])]
    assert parameter["name"] in VALUES, f"the parameter {parameter['name']} needs values here"
    return list(VALUES[parameter["name"]])


def _meant(chosen: dict[str, str | None]) -> dict[str, str | None]:
    """Only the measure felt has items, and only counted is told by who decided; each needs what is its own."""
    for name, measure, otherwise in (("item", "felt", "close"), ("when", "counted", "other_decided")):
        if name in chosen:
            chosen = chosen | {name: (chosen[name] or otherwise) if chosen["measure"] == measure else None}
    return chosen


def _address(path: str, wanted: list[Any], chosen: dict[str, str | None]) -> str:
    query = []
    for one in wanted:
        value = chosen[one["name"]]
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", str(value))
        elif value is not None:
            query.append(f"{one['name']}={value}")
    return f"{path}?{'&'.join(query)}" if query else path


async def observe(world: World, who: Person, seed: str) -> Seen:
    """The answers to every GET; some carry a tag, and what can be cached is asked for again with the tag it got."""
    chance = Random(seed)
    await _perhaps_step_up(world, who, chance)
    seen: Seen = []
    # What was looked at in passing, with the tag of that time.
    for address, known in list(world.tags.items()) if who == "reader" else []:
        seen.append(await _looked(world, who, Look("again", address, True), known))
    for look in looks(world.document, seed, world.clock.time):
        tag = world.tags.get(look.address, '"unknown"') if look.cached and chance.random() < 0.5 else None
        seen.append(await _looked(world, who, look, tag))
        if look.cached and chance.random() < 0.2:
            seen.append(await _looked(world, who, look, seen[-1][1].header(b"etag")))
    return seen


async def _looked(world: World, who: Person, look: Look, tag: str | None) -> tuple[str, Any]:
    # What comes compressed has a length that anybody in the same network sees.
    encoding = {"accept_encoding": "gzip"} if sum(look.address.encode()) % 4 == 0 else {}
    headers = look.headers | ({"if_none_match": tag} if tag else {}) | encoding
    answer = await world.ask(who, "GET", look.address, None, **headers)
    return f"{who} {look.operation} {look.address}{' with a tag' if tag else ''}", answer


async def _perhaps_step_up(world: World, who: Person, chance: Random) -> None:
    """Some exports need a fresh code; without one, being refused is the answer."""
    if STEP_UP not in world.document["paths"] or chance.random() > 0.1:
        return
    phone = world.phones[who]
    await world.ask(who, "POST", f"{STEP_UP}-codes", {})
    answer = await world.ask(who, "POST", STEP_UP, {"code": await phone.mailed_code()})
    assert answer.status == 204, json.loads(answer.body)
