"""How fast questions are answered, beside a server that always answers the same."""

import json
import random
from datetime import date, timedelta
from functools import partial

import httpx

from tests.benchmarks.load import Load, Target, microseconds
from tests.benchmarks.people import Couple
from tests.benchmarks.servers import Server
from tests.benchmarks.table import Figure, Setting, at_least, at_most, in_turn, median, only, ratio
from tests.benchmarks.writes import stage

COUPLES = 40
DAYS = 730
TRENDS = 100  # asked for in a round, each for the first time


def measure(setting: Setting) -> list[Figure]:
    """Balances against a bare GET; trends by the service's own clock."""
    with stage(setting, "reads", COUPLES, DAYS) as on:
        balances = [f"{couple.path}/balances" for couple in on.couples]
        whole = [Target(path, c.first.token) for path, c in zip(balances, on.couples, strict=True)]
        homes = [Target(f"{couple.path}/home", couple.first.token) for couple in on.couples]
        longest = max(length_of(on.service, one) for one in homes)
        known = [Target(t.path, t.token, tag_of(on.service, t)) for t in whole]
        found = in_turn(
            {
                "bare": partial(on.run, on.bare, Load("get", whole)),
                "304": partial(on.run, on.service, Load("get", known)),
                "200": partial(on.run, on.service, Load("get", whole)),
                "home": partial(on.run, on.service, Load("get", homes)),
            },
            setting.rounds,
        )
        trends = [cold_trends(on.service, on.couples, i) for i in range(setting.rounds)]
    rates = {name: [served.per_second for served in rounds] for name, rounds in found.items()}
    shares = [(served.server_share, served.generator_share) for served in found["bare"]]
    return [
        at_least("balances, 304, of a bare GET", ratio(rates["304"], rates["bare"]), 0.6, _a_second(rates["304"])),
        at_least("balances, 200, of a bare GET", ratio(rates["200"], rates["bare"]), 0.35, _a_second(rates["200"])),
        at_most(
            "home, p50 over that of balances",
            median(one.p50_ms / other.p50_ms for one, other in zip(found["home"], found["200"], strict=True)),
            2,
            _a_second(rates["home"]),
        ),
        at_most("home, longest answer in KiB", longest / 1024, 16),
        only("processor time of bare, 304, 200 and home, µs", ", ".join(map(microseconds, found.values()))),
        only("bare GET: share of a core, server and generator", ", ".join(f"{s:.2f}" for s in max(shares))),
        at_most("trend over 24 months, cold, p50 in ms of server time", median(trends), 5),
    ]


def _a_second(rates: list[float]) -> str:
    return f"{median(rates):.0f} a second"


def tag_of(server: Server, target: Target) -> str:
    """The entity tag of an answer, which is really answered with 304 then."""
    # As wrk asks: a compressed answer has another tag.
    headers = {"Authorization": f"Bearer {target.token}", "Accept-Encoding": "identity"}
    with httpx.Client(base_url=server.url, headers=headers) as http:
        tag: str = http.get(target.path).raise_for_status().headers["etag"]
        assert http.get(target.path, headers={"If-None-Match": tag}).status_code == 304
    return tag


def length_of(server: Server, target: Target) -> int:
    """How many bytes an answer has."""
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {target.token}"}) as http:
        return len(http.get(target.path).raise_for_status().content)


def cold_trends(server: Server, couples: list[Couple], round_: int) -> float:
    """The median of the milliseconds that the service says a trend took that nobody had asked for before."""
    chance, today = random.Random(round_), date.today()
    logged = server.log.stat().st_size
    with httpx.Client(base_url=server.url) as http:
        for _ in range(TRENDS):
            couple = chance.choice(couples)
            # A window of its own, so that no answer is kept already.
            query = {"measure": "initiates", "window": str(chance.randint(20, 366)), "step": "7"}
            query |= {"from": str(today - timedelta(days=DAYS)), "to": str(today - timedelta(days=round_))}
            headers = {"Authorization": f"Bearer {couple.first.token}"}
            http.get(f"{couple.path}/trends", params=query, headers=headers).raise_for_status()
    with server.log.open() as log:
        log.seek(logged)
        lines = [json.loads(line) for line in log if line.startswith("{")]
    return median(line["milliseconds"] for line in lines if str(line.get("route")).endswith("/trends"))
