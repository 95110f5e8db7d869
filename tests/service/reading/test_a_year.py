"""A whole year, recorded over HTTP: every figure is what a plain count of what was sent says."""

from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any

from service.cli.demo_couple import TellerAndEntry, year
from tests.service.reading.test_reads import read
from tests.support.phones import NOON, Json, Phone, Running

TURNED = {"me": "partner", "partner": "me", "both": "both", "neither": "neither"}
WHO = ("me", "partner", "both", "neither")
TELLERS = ("first", "second")


async def recorded(service: Running) -> tuple[list[TellerAndEntry], dict[str, Phone]]:
    """The synthetic year of the demo, sent by both."""
    phones = dict(zip(TELLERS, await service.couple(), strict=True))
    sent = list(year(NOON))
    batch: list[Json] = []
    for (teller, entry), following in zip(sent, [*sent[1:], None], strict=True):
        batch.append(entry)
        if following is None or following[0] != teller or len(batch) == 200:
            answer = await phones[teller].expect(200, "POST", "/v1/relationships/{rid}/sync", {"entries": batch})
            assert {result["status"] for result in answer["results"]} == {"recorded"}
            batch = []
    return sent, phones


class Plain:
    """What a reader can count of the year, entry by entry, with nothing of the service's own."""

    def __init__(self, sent: list[TellerAndEntry], reader: str) -> None:
        self.asks: Counter[str] = Counter()
        self.told: dict[str, Counter[tuple[str, str]]] = {teller: Counter() for teller in TELLERS}
        self.occasions: dict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
        self.closed: list[tuple[str, Json]] = []
        self.views: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._reader = reader
        for teller, entry in sent:
            body = entry[entry["kind"]]
            # What both sealed on the last evening was revealed.
            if teller == reader or entry["kind"] != "check_in" or body["audience"] in ("shared", "sealed"):
                self._count(teller, entry["kind"], body)

    def _count(self, teller: str, kind: str, body: Json) -> None:
        if kind == "request" and "in_reply_to" not in body:
            self._note(teller, "asks", "me", body)
        if kind == "decision" and "decided_by" in body:
            self._note(teller, "decides", body["decided_by"], body)
            if body.get("raised_by"):
                self._note(teller, "initiates", body["raised_by"], body)
                roles = f"{self._seen(teller, body['raised_by'])}/{self._seen(teller, body['decided_by'])}"
                self.told[teller]["roles", roles] += 1
            if body.get("my_input") and body["decided_by"] != "me":
                self.told[teller][f"input:{body['decided_by']}", body["my_input"]] += 1
            if body.get("opening_id"):
                self.closed.append((teller, body))
        if kind == "check_in":
            if body.get("initiated_by"):
                self._note(teller, "initiates", body["initiated_by"], body)
            for item, value in body.get("felt", {}).items():
                self.told[teller][f"felt:{item}", str(value)] += 1
            if "about" in body:
                self.views[body["about"]].append((teller, body["occurred_at"]))

    def _note(self, teller: str, measure: str, who: str, body: Json) -> None:
        seen = self._seen(teller, who)
        telling = "asks" if measure == "asks" else teller
        if measure == "asks":
            self.asks[seen] += 1
        else:
            self.told[teller][measure, seen] += 1
        sign = {"me": 1, "partner": -1}.get(seen, 0)
        self.occasions[telling, measure][body["occurred_at"][:10], body.get("domain", "other")] += sign

    def _seen(self, teller: str, who: str) -> str:
        return who if teller == self._reader else TURNED[who]

    def split(self, telling: str, measure: str) -> Json:
        """Counts by who, and occasions."""
        counts = self.asks if measure == "asks" else {who: self.told[telling][measure, who] for who in WHO}
        ahead = self.occasions[telling, measure].values()
        occasions = {"me": sum(by > 0 for by in ahead), "partner": sum(by < 0 for by in ahead)}
        return {"counts": {who: counts[who] for who in WHO}, "occasions": occasions}

    def voice(self, decider: str) -> list[int]:
        """n, both_spoke, only_decider, only_other, neither; of both, mine is the decider's."""
        found = [0, 0, 0, 0]
        for teller, body in self.closed:
            if self._seen(teller, body["decided_by"]) == decider:
                before = {who for who, at in self.views[body["opening_id"]] if at <= body["occurred_at"]}
                mine, others = self._reader in before, bool(before - {self._reader})
                spoken = (others, mine) if decider == "partner" else (mine, others)
                found[[(True, True), (True, False), (False, True), (False, False)].index(spoken)] += 1
        return [sum(found), *found]


async def test_all_figures_of_a_year_are_what_a_plain_count_says(service: Running) -> None:
    sent, phones = await recorded(service)
    for reader, phone in phones.items():
        await hold(Plain(sent, reader), phone, reader)


async def hold(plain: Plain, phone: Phone, reader: str) -> None:
    """Every figure against what was counted plainly."""
    other = next(teller for teller in TELLERS if teller != reader)
    balances = await read(phone, "balances", window=366)
    roles = await read(phone, "roles", window=366)
    voice = await read(phone, "voice", window=366)
    assert cut(balances["asks"]) == plain.split("asks", "asks")
    for column, teller in (("mine", reader), ("partners", other)):
        for measure in ("initiates", "decides"):
            assert cut(balances[column][measure]) == plain.split(teller, measure)
        answers = balances[column]["counted"]["when_other_decided"]
        for answer in ("not_asked", "asked", "partly", "counted"):
            assert answers[answer] == plain.told[teller]["input:partner", answer]
        for item, felt in balances[column]["felt"].items():
            assert felt["counts"] == [plain.told[teller][f"felt:{item}", str(value)] for value in range(1, 8)]
        table = [[plain.told[teller]["roles", f"{one}/{two}"] for two in WHO] for one in WHO]
        assert (roles[column]["table"], roles[column]["n"]) == (table, sum(map(sum, table)))
    names = ("n", "both_spoke", "only_decider", "only_other", "neither")
    for decider in ("me", "partner", "both"):
        assert [voice[decider][name] for name in names] == plain.voice(decider)
    told = (balances["asks"]["n"], roles["mine"]["n"] + roles["partners"]["n"], len(plain.closed), len(plain.views))
    assert min(told) > 20


def cut(split: Json) -> Json:
    return {name: split[name] for name in ("counts", "occasions")}


def test_the_year_is_the_same_each_time_and_holds_what_it_promises() -> None:
    sent = list(year(NOON))
    assert sent == list(year(NOON))
    kinds = Counter(entry["kind"] for _, entry in sent)
    assert kinds["opening"] == 28
    bodies: list[Any] = [entry[entry["kind"]] for _, entry in sent]
    assert sum("in_reply_to" in body for body in bodies) > 5
    assert sum(body.get("outcome") == "no" for body in bodies) > 10
    assert sum(body.get("audience") == "sealed" for body in bodies) == 2
    days: dict[str, set[str]] = {teller: set() for teller in TELLERS}
    for teller, entry in sent:
        if entry["kind"] == "check_in":
            days[teller].add(entry["check_in"]["occurred_at"][:10])
    assert len(days["first"]) > 1.5 * len(days["second"])
    gap = {str((NOON - timedelta(days=365 - day)).date()) for day in range(255, 285)}
    assert len(gap & days["second"]) <= 3  # views of what was opened
