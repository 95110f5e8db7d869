"""A month in words: every sentence for every number, mirrored between the two, and honest about what is behind it."""

import re
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any, get_args
from uuid import UUID

import pytest

from events.entries import FELT_ITEMS
from events.rules import Recorded
from projections.month import MAX_EVIDENCE, Month, Review, fold
from projections.month_texts import LANGUAGES, CounterId, SentenceId, Subject
from tests.support.counting import I_READ, seen
from tests.support.given import ask, check_in, mine, partners, settle
from tests.test_words import found_in

MARCH = Month(2026, 3)
IDS = [UUID(int=100 + i) for i in range(400)]
NUMBERS = (0, 1, 2, 1000)


def at(day: int) -> datetime:
    return datetime(2026, 3, day, 12, tzinfo=UTC)


def review(*events: Recorded, language: str = "en", month: Month = MARCH) -> Review:
    return fold(seen(*events), events, I_READ, month, language)


def texts(*events: Recorded, language: str = "en") -> list[str]:
    return [one.text for one in review(*events, language=language).sentences]


# The catalogue


def every_text(language: str) -> list[str]:
    """Each sentence of a language, with extreme numbers."""
    catalogue = LANGUAGES[language]
    found = [*catalogue.subjects.values(), *catalogue.felt.values()]
    names = ("me", "partner", "both", "n", "counted", "empty", "days", "other_n", "other_me", "low", "high", "mean")
    for a, b in product(NUMBERS, repeat=2):
        numbers = dict(zip(names, [a, b] * 6, strict=True))
        some = [numbers, {name: n for name, n in numbers.items() if name != "mean"}, {"n": a}]
        for name, write in catalogue.sentences.items():
            found += [write(one) for one in (some if name == "felt" else some[:1])]
        found += [write(numbers) for write in catalogue.counters.values()]
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_catalogue_is_whole(language: str) -> None:
    catalogue = LANGUAGES[language]
    assert set(catalogue.sentences) == set(get_args(SentenceId))
    assert set(catalogue.subjects) == set(get_args(Subject))
    assert set(catalogue.counters) == set(get_args(CounterId))
    assert set(catalogue.felt) == set(FELT_ITEMS)


MUST_NOT = re.compile(
    r"\b(should|must|ought|need to|better|worse|too much|unfair|refus\w*|reject\w*|sollt\w*|musst?|m\u00fcss\w*|besser|"
    r"schlechter|unfair|abgelehnt|verweiger\w*)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_describes_and_grades_nothing(language: str) -> None:
    for text in every_text(language):
        assert found_in(text) == [], text
        assert not MUST_NOT.search(text), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_is_well_formed_for_any_number(language: str) -> None:
    for text in every_text(language):
        assert text == text.strip()
        assert "  " not in text
        assert text[0].isupper() or text[0].isdigit() or text.startswith("eine Antwort"), text
        assert text[-1] in ".:", text
        assert not re.search(r"[{}]|\bnan\b|None\b(?! of)", text), text


PLURALS = {
    "en": re.compile(r"\b(1 days|1 occasions|1 answers|1 times|[02-9] day\b|[02-9] occasion\b|[02-9] answer\b)"),
    "de": re.compile(r"\b(1 Tagen|1 Gelegenheiten|1 Antworten|1-mal|einem Tagen|[2-9] Tag\b|[2-9] Gelegenheit\b)"),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_is_one_and_many_are_many(language: str) -> None:
    assert [text for text in every_text(language) if PLURALS[language].search(text)] == []


# What it says


def test_an_empty_month_says_nothing() -> None:
    assert review().sentences == []


def test_days_are_told_not_entries() -> None:
    asked = [mine(IDS[i], ask(occurred_at=at(1 + i % 30))) for i in range(60)]
    events = [*asked, partners(IDS[100], ask(occurred_at=at(3)))]
    assert texts(*events)[0] == "You asked on 30 days, your partner on 1."
    german = texts(*events, language="de")[0]
    assert german == "Du hast an 30 Tagen um etwas gebeten, dein Gegen\u00fcber an einem."


def test_two_tellings_stand_apart() -> None:
    events = [
        mine(IDS[0], check_in(occurred_at=at(1), initiated_by="me")),
        partners(IDS[1], check_in(occurred_at=at(2), initiated_by="me")),
        partners(IDS[2], settle(occurred_at=at(2), decided_by="both")),
    ]
    assert texts(*events) == [
        "By your entries, you began something on 1 day, your partner on none.",
        "By your partner's shared entries, you began something on no day, your partner on 1.",
        "By your partner's shared entries, both of you decided together on 1 day.",
    ]


def test_input_is_told_by_who_noted_it() -> None:
    said: dict[int, Any] = {1: "counted", 2: "partly", 3: "asked"}
    told = [settle(occurred_at=at(day), decided_by="partner", my_input=how) for day, how in said.items()]
    assert texts(*(mine(IDS[i], one) for i, one in enumerate(told)))[1] == (
        "Of what your partner decided, you noted 3 times whether your input counted: "
        "in 2 of them it did, at least partly."
    )
    assert texts(*(partners(IDS[i], one) for i, one in enumerate(told)))[1] == (
        "Of what you decided, your partner noted 3 times whether their input counted: "
        "in 2 of them it did, at least partly."
    )


@pytest.mark.parametrize(("n", "text"), [(7, "too few for an average"), (8, "between"), (20, "6.0 on average")])
def test_what_i_felt_stands_beside_with_no_more_than_it_carries(n: int, text: str) -> None:
    felt = [mine(IDS[i], check_in(occurred_at=at(1 + i % 30), felt={"close": 6})) for i in range(n)]
    (sentence,) = review(*felt).sentences
    assert sentence.text.startswith("How close you felt:")
    assert text in sentence.text


def test_nothing_is_said_of_what_the_other_felt() -> None:
    felt = [partners(IDS[i], check_in(occurred_at=at(1 + i), felt={"close": 1, "conflict": 7})) for i in range(28)]
    assert review(*felt).sentences == []


# Cards


def lean(by: Any = mine, who: str = "me") -> list[Recorded]:
    return [by(IDS[i], check_in(occurred_at=at(1 + i), initiated_by=who)) for i in range(28)]


def test_a_reading_has_a_card_with_what_is_behind_it_and_against_it() -> None:
    events = [*lean(), partners(IDS[200], check_in(occurred_at=at(1), initiated_by="partner"))]
    card = review(*events).sentences[-1]
    assert (card.id, card.figure) == ("leans", "initiates")
    assert card.text.startswith(
        "Who began something, by your entries: 28 of 28 occasions were yours. By these numbers,"
    )
    assert set(card.evidence) == {IDS[i] for i in range(28)}
    assert card.counter == [
        "You alone recorded this, so it is what you noticed.",
        "Nothing of it was recorded on 3 days of 31.",
        "The other telling has 1 occasion, of which 1 yours.",
    ]


def test_the_evidence_ends_somewhere() -> None:
    events = [mine(IDS[i], check_in(occurred_at=at(1 + i % 30), initiated_by="me")) for i in range(90)]
    assert len(review(*events).sentences[-1].evidence) == MAX_EVIDENCE


def test_what_is_unclear_or_too_few_has_no_card() -> None:
    assert [one.id for one in review(*lean()[:7]).sentences] == ["initiates_mine"]


def test_what_is_about_an_own_entry_is_no_evidence() -> None:
    about = mine(IDS[300], check_in(occurred_at=at(5), initiated_by="me", about=IDS[0]))
    assert IDS[300] not in review(*lean(), about).sentences[-1].evidence


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_two_read_mirrored_texts(language: str) -> None:
    """What I recorded reads to me as what the partner recorded reads to them."""
    mine_told, theirs = review(*lean(), language=language), review(*lean(by=partners, who="me"), language=language)
    assert [one.id for one in mine_told.sentences] == ["initiates_mine", "leans"]
    assert [one.id for one in theirs.sentences] == ["initiates_partners", "leans"]
    assert mine_told.sentences[0].numbers == {"me": 28, "partner": 0}
    assert theirs.sentences[0].numbers == {"me": 0, "partner": 28}


def test_days_of_other_months_are_left_aside() -> None:
    days = [date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 31), date(2026, 4, 1)]
    events = [
        mine(IDS[i], ask(occurred_at=datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=1)))
        for i, day in enumerate(days)
    ]
    assert review(*events).sentences[0].numbers == {"me": 2, "partner": 0}
