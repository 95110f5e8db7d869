"""The questions: complete, in plain language, about the reader alone; and when those about oneself rest."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import msgspec
import pytest

from events.entries import FELT_ITEMS, CheckIn, Decision, FeltItem
from events.rules import Recorded
from service.prompts.catalogue import AFTER_QUESTIONS, QUESTIONS, TEXTS, Question, catalogue
from service.prompts.self_questions import asked_questions, paused_by
from tests.support.phones import Running
from tests.test_words import found_in

# The catalogue


def test_english_is_complete() -> None:
    assert list(TEXTS["en"]) == list(QUESTIONS)
    assert set(FELT_ITEMS) == set(get_args(FeltItem)) < set(QUESTIONS)


def test_the_after_questions_ask_what_they_always_ask() -> None:
    assert [TEXTS["en"][one] for one in AFTER_QUESTIONS] == [
        "How was that for you?",
        "What was enjoyable?",
        "What would you like to change?",
    ]
    assert TEXTS["en"]["my_part"] == "What did I do to contribute?"


@pytest.mark.parametrize("language", list(TEXTS))
def test_a_text_is_one_short_plain_question(language: str) -> None:
    for text in TEXTS[language].values():
        assert re.fullmatch(r"\w[\w, äöüßÄÖÜ]+\?", text), text
        assert len(text.split()) <= 12, text
        assert found_in(text) == []


ABOUT_ANOTHER = re.compile(
    r"\b(they|them|their|he|him|his|she|hers?|partner|we|us|our|both|er|sie|ihn|ihm|ihr|wir|uns|beide)\b", re.IGNORECASE
)


@pytest.mark.parametrize("language", list(TEXTS))
def test_no_text_is_about_anybody_but_the_reader(language: str) -> None:
    assert [text for text in TEXTS[language].values() if ABOUT_ANOTHER.search(text)] == []
    assert all(re.search(r"\b(you|I|du|dich|dir|ich|was)\b", text, re.IGNORECASE) for text in TEXTS[language].values())


def test_numbers_answer_what_is_felt_and_words_the_rest() -> None:
    found = {(one.asked, one.answer) for one in catalogue("en").questions}
    assert found == {("felt", "felt"), ("after", "words"), ("self", "words"), ("opening", "words")}
    assert [one.question for one in catalogue("en").questions if one.answer == "felt"] == list(FELT_ITEMS)


@pytest.mark.parametrize(
    ("wanted", "found"), [("en", "en"), ("de", "de"), ("DE-at", "de"), ("tlh", "en"), ("", "en"), ("dex", "en")]
)
def test_the_language_that_fits_best_is_served(wanted: str, found: str) -> None:
    served = catalogue(wanted)
    assert (served.language, {one.language for one in served.questions}) == (found, {found})
    assert [one.question for one in served.questions] == list(QUESTIONS)


def test_a_text_that_a_language_lacks_comes_in_english() -> None:
    texts: Any = {**TEXTS, "nl": {"close": "Hoe dichtbij voelde je je?"}, "nl-be": {}}
    told = {one.question: one for one in catalogue("nl-NL", texts).questions}
    assert told["close"] == Question("close", "felt", "felt", "nl", "Hoe dichtbij voelde je je?")
    assert (told["fair"].language, told["fair"].text) == ("en", TEXTS["en"]["fair"])
    assert catalogue("nl-BE", texts).language == "nl-be"


async def test_a_phone_keeps_the_catalogue_until_it_changes(service: Running) -> None:
    phone = await service.phone().sign_in("one@example.org")
    answer = await phone.call("GET", "/v1/questions?language=de-AT")
    assert answer.json() == msgspec.to_builtins(catalogue("de"))
    again = await phone.call("GET", "/v1/questions?language=de", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await phone.call("GET", "/v1/questions")).headers["etag"] != answer.headers["etag"]


# R15: questions about oneself rest

ME, PARTNER = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


def told(fact: Any, audience: Any = "private", by: UUID = ME, days_ago: int = 0) -> Recorded:
    return Recorded(audience, 1, UUID(int=9), by, NOW - timedelta(days=days_ago), fact)


def felt(days_ago: int = 0, **items: int) -> CheckIn:
    named = {item: items[item] for item in FELT_ITEMS if item in items}
    return CheckIn(occurred_at=NOW - timedelta(days=days_ago), felt=named)


@pytest.mark.parametrize(
    ("entry", "rest"),
    [
        (told(felt(free_to_say_no=2)), True),
        (told(felt(free_to_say_no=2), "shared"), True),
        (told(felt(free_to_say_no=3)), False),
        (told(felt(conflict=6)), True),
        (told(felt(conflict=5)), False),
        (told(felt(conflict=1)), False),
        (told(felt(conflict=7), "shared"), False),
        (told(felt(heard=2)), True),
        (told(felt(heard=3, fair=7)), False),
        (told(felt(heard=1), "shared"), False),
        (told(CheckIn(occurred_at=NOW, note="hard")), False),
        (told(CheckIn(occurred_at=NOW, concerns=["pressured"])), True),
        (told(CheckIn(occurred_at=NOW, concerns=[], note="fine")), False),
        (told(Decision(occurred_at=NOW, request_id=UUID(int=3), outcome="no")), False),
    ],
)
def test_a_concern_is_named_or_told_by_numbers(entry: Recorded, rest: bool) -> None:
    assert paused_by([told(felt(close=6)), entry], ME, NOW) is rest


@pytest.mark.parametrize("audience", ["shared", "private"])
def test_what_the_other_tells_changes_nothing_for_me(audience: str) -> None:
    assert not paused_by([told(felt(free_to_say_no=1), audience, by=PARTNER)], ME, NOW)


@pytest.mark.parametrize(("occurred", "recorded", "rest"), [(89, 89, True), (90, 90, False), (200, 89, True)])
def test_they_rest_for_90_days_from_the_later_of_happening_and_recording(
    occurred: int, recorded: int, rest: bool
) -> None:
    entry = told(felt(occurred, free_to_say_no=1), days_ago=recorded)
    assert paused_by([entry], ME, NOW) is rest


def test_only_questions_about_oneself_rest() -> None:
    assert asked_questions(["close", "my_part", "my_week", "change"], paused=True) == ["close", "change"]
    assert asked_questions(["my_part", "close"], paused=False) == ["my_part", "close"]
