"""A month in words: counts, what it felt like beside them, and a card for each reading that leans or is about even.

All of it is of what the reader can read alone; no sentence follows from what somebody felt.
"""

from calendar import monthrange
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Literal
from uuid import UUID

from msgspec import Struct, field

from events.encryption import RelationshipKeys
from events.entries import CheckIn, Decision, Request, Retraction, day_of
from events.heads import DbConnection
from events.reading import read_back
from events.rules import Recorded
from projections import balances, tallies
from projections import counts as counting
from projections.balances import Asked, Telling
from projections.counts import Counts, Told
from projections.month_texts import LANGUAGES, CounterId, Numbers, SentenceId, Subject, Texts
from projections.occasions import figure
from projections.reader import Reader
from projections.standing import standing
from projections.statistics import Felt, Split
from projections.windows import MEASURES, FigureName

MAX_EVIDENCE = 50


class MonthWindow(Struct, frozen=True, rename={"from_": "from"}):
    """The days of the month."""

    from_: date
    to: date


class Sentence(Struct, frozen=True):
    """One sentence and its numbers. `evidence` are ids of entries behind a reading, `counter` stands against it."""

    id: SentenceId
    text: str
    figure: Literal[FigureName, "felt"]
    numbers: dict[str, float]
    window: MonthWindow
    evidence: list[UUID] = field(default_factory=list)
    counter: list[str] = field(default_factory=list)


class Review(Struct, frozen=True):
    """A month in words, in one language."""

    month: str
    language: str
    sentences: list[Sentence]


class Month(Struct, frozen=True):
    """A month of the calendar."""

    year: int
    number: int

    @property
    def first(self) -> date:
        """Its first day."""
        return date(self.year, self.number, 1)

    @property
    def last(self) -> date:
        """Its last day."""
        return date(self.year, self.number, monthrange(self.year, self.number)[1])

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"


async def read_counts(
    db: DbConnection, keys: RelationshipKeys, reader: Reader, month: Month, member_id: UUID
) -> Counts:
    """What this reader can count in the month. The database acts for that member."""
    return await counting.read(db, keys, reader, month.first, month.last, None, member_id)


async def read_events(db: DbConnection, keys: RelationshipKeys, reader: Reader) -> list[Recorded]:
    """The entries that this reader can read and that stand: what a check-in is about may be of any time."""
    found = [
        event
        for stream in reader.streams
        async for part in read_back(db, keys, stream)
        for event in part
        if isinstance(event.fact, CheckIn | Request | Decision | Retraction)
    ]
    return standing(found)


def fold(counts: Counts, events: Iterable[Recorded], reader: Reader, month: Month, language: str) -> Review:
    """The month in words."""
    writing = _Writing(counts, list(events), reader, month, LANGUAGES[language])
    return Review(str(month), language, list(writing.sentences()))


class _Writing:
    """The sentences of a month, while they are written."""

    def __init__(self, counts: Counts, events: Sequence[Recorded], reader: Reader, month: Month, texts: Texts) -> None:
        self._counts, self._events, self._reader, self._texts = counts, events, reader, texts
        self._by_id = {(one.audience, one.event_id): one for one in events}
        self._first, self._last = month.first, month.last
        self._days = (month.last - month.first).days + 1
        self._window = MonthWindow(month.first, month.last)
        self._told = balances.fold(counts, Asked(month.last, self._days))

    def sentences(self) -> Iterator[Sentence]:
        """All of them, in an order that is always the same."""
        counts, told = self._counts, self._told
        yield from self._who("asks", "asks", counts.asks)
        for telling, side, of in ((counts.mine, "mine", told.mine), (counts.partners, "partners", told.partners)):
            for name in ("initiates", "decides"):
                yield from self._who(f"{name}_{side}", name, telling)  # type: ignore[arg-type]
            yield from self._together(f"both_{side}", telling)  # type: ignore[arg-type]
            yield from self._counted(f"counted_{side}", of)  # type: ignore[arg-type]
        for item, felt in told.mine.felt.items():
            yield self._sentence("felt", "felt", _felt(felt), self._texts.felt[item])
        yield from self._cards()

    def _sentence(
        self, name: SentenceId, of: Literal[FigureName, "felt"], numbers: Numbers, before: str = ""
    ) -> Sentence:
        text = " ".join(part for part in (before, self._texts.sentences[name](numbers)) if part)
        return Sentence(name, text, of, dict(numbers), self._window)

    def _days_of(self, telling: Told, of: FigureName) -> dict[str, set[int]]:
        """On which days each value was counted."""
        found = figure(telling.of(MEASURES[of]), None, self._first.toordinal(), self._last.toordinal())
        return {value: set(days) for value, days in found.values.items()}

    def _on(self, telling: Told, of: FigureName) -> dict[str, int]:
        return {value: len(days) for value, days in self._days_of(telling, of).items()}

    def _who(self, name: SentenceId, of: FigureName, telling: Told) -> Iterator[Sentence]:
        days = self._on(telling, of)
        if days.get("me") or days.get("partner"):
            yield self._sentence(name, of, {"me": days.get("me", 0), "partner": days.get("partner", 0)})

    def _together(self, name: SentenceId, telling: Told) -> Iterator[Sentence]:
        if both := self._on(telling, "decides").get("both"):
            yield self._sentence(name, "decides", {"both": both})

    def _counted(self, name: SentenceId, telling: Telling) -> Iterator[Sentence]:
        answers = telling.counted.when_other_decided
        if answers.n:
            yield self._sentence(name, "counted", {"n": answers.n, "counted": answers.partly + answers.counted})

    # --- Cards

    def _cards(self) -> Iterator[Sentence]:
        told = self._told
        yield from self._card("asks", "asks", told.asks, None, self._counts.asks)
        pairs: list[tuple[Subject, FigureName, Split, Split, Told]] = [
            ("initiates_mine", "initiates", told.mine.initiates, told.partners.initiates, self._counts.mine),
            ("initiates_partners", "initiates", told.partners.initiates, told.mine.initiates, self._counts.partners),
            ("decides_mine", "decides", told.mine.decides, told.partners.decides, self._counts.mine),
            ("decides_partners", "decides", told.partners.decides, told.mine.decides, self._counts.partners),
        ]
        for subject, of, split, other, telling in pairs:
            yield from self._card(subject, of, split, other, telling)

    def _card(
        self, subject: Subject, of: FigureName, split: Split, other: Split | None, telling: Told
    ) -> Iterator[Sentence]:
        if split.reading not in ("leans_to_me", "leans_to_partner", "about_even"):
            return
        assert split.low is not None
        assert split.high is not None
        low, high = 100 * split.low, 100 * split.high
        numbers = {"me": split.occasions.me, "n": split.n, "low": round(low), "high": round(high)}
        name: SentenceId = "about_even" if split.reading == "about_even" else "leans"
        against = dict(numbers) | {
            "days": self._days,
            "empty": self._days - len(set().union(*self._days_of(telling, of).values())),
        }
        if other is not None:
            against |= {"other_n": other.n, "other_me": other.occasions.me}
        counter = [self._texts.counters[each](against) for each in _counters(subject, other)]
        found = self._sentence(name, of, numbers, self._texts.subjects[subject])
        evidence = self._evidence(subject, of)
        yield Sentence(found.id, found.text, of, found.numbers, self._window, evidence, counter)

    def _evidence(self, subject: Subject, of: FigureName) -> list[UUID]:
        """The entries that were counted, the latest first; of requests those of both, else those of one telling."""
        me, paused = self._reader.author_id, self._counts.paused
        return [
            event.event_id
            for event in sorted(self._events, key=lambda one: (-one.recorded_at.timestamp(), one.event_id))
            if isinstance(event.fact, CheckIn | Request | Decision)
            and (subject == "asks" or (event.author == me) == subject.endswith("mine"))
            and self._first <= day_of(event.fact) <= self._last
            and day_of(event.fact).toordinal() not in paused
            and self._counts_in(event, of)
        ][:MAX_EVIDENCE]

    def _counts_in(self, event: Recorded, of: FigureName) -> bool:
        target = tallies.about(event, lambda audience, event_id: self._by_id.get((audience, event_id)))
        already = tallies.is_counted_already(event, target)
        return any(measure in MEASURES[of] for measure, _ in tallies.told(event.fact, already))


def _counters(subject: Subject, other: Split | None) -> list[CounterId]:
    if other is None:
        return ["in_the_log", "empty_days"]
    who: CounterId = "my_entries" if subject.endswith("mine") else "partners_entries"
    return [who, "empty_days", "other_says" if other.n else "other_silent"]


def _felt(felt: Felt) -> Numbers:
    numbers: dict[str, float] = {"n": felt.n}
    if felt.mean is not None:
        numbers["mean"] = round(felt.mean, 1)
    elif felt.low is not None and felt.high is not None:
        numbers |= {"low": round(felt.low, 1), "high": round(felt.high, 1)}
    return numbers
