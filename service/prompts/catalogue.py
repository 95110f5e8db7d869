"""The questions that a prompt can ask, in plain language: ids, texts by language, and how each is answered.

Each question is about the reader's own feelings and acts; none asks for the other's, or about them.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from events.entries import FELT_ITEMS, FeltItem
from service.core.languages import ENGLISH, best_language

# Raised whenever a text changes its meaning: an answer belongs to the question that was asked.
CATALOGUE_VERSION = "1"

AfterQuestion = Literal["how_was_it", "enjoyable", "change"]
SelfQuestion = Literal["my_week", "my_part"]
OpeningQuestion = Literal["my_view", "their_sense"]
QuestionId = Literal[FeltItem, AfterQuestion, SelfQuestion, OpeningQuestion]

AFTER_QUESTIONS: tuple[AfterQuestion, ...] = get_args(AfterQuestion)
SELF_QUESTIONS: tuple[SelfQuestion, ...] = get_args(SelfQuestion)
OPENING_QUESTIONS: tuple[OpeningQuestion, ...] = get_args(OpeningQuestion)
QUESTIONS: tuple[QuestionId, ...] = (*FELT_ITEMS, *AFTER_QUESTIONS, *SELF_QUESTIONS, *OPENING_QUESTIONS)

Asked = Annotated[
    Literal["felt", "after", "self", "opening"],
    Meta(description="At any time, after a shared event, about oneself, or before something is decided."),
]

Texts = Mapping[str, Mapping[QuestionId, str]]

# By language (BCP 47, lower case). English is complete; another language may lack some, which then come in English.
TEXTS: Texts = {
    ENGLISH: {
        "valued": "How valued did you feel?",
        "heard": "How much did you feel heard?",
        "room_for_me": "How much room was there for what you wanted?",
        "free_to_say_no": "How free did you feel to say no?",
        "fair": "How fair did it feel to you?",
        "close": "How close did you feel?",
        "enjoyed": "How much did you enjoy it?",
        "satisfied": "How satisfied were you?",
        "conflict": "How much conflict did you feel?",
        "how_was_it": "How was that for you?",
        "enjoyable": "What was enjoyable?",
        "change": "What would you like to change?",
        "my_week": "What did you do this week that was good for you?",
        "my_part": "What did I do to contribute?",
        "my_view": "What do you want, and why does it matter to you?",
        "their_sense": "What makes sense to you in the wish that is not yours?",
    },
    "de": {
        "valued": "Wie sehr hast du dich geschätzt gefühlt?",
        "heard": "Wie sehr hast du dich gehört gefühlt?",
        "room_for_me": "Wie viel Raum war für das, was du wolltest?",
        "free_to_say_no": "Wie frei hast du dich gefühlt, Nein zu sagen?",
        "fair": "Wie fair hat es sich für dich angefühlt?",
        "close": "Wie nah hast du dich gefühlt?",
        "enjoyed": "Wie sehr hast du es genossen?",
        "satisfied": "Wie zufrieden warst du?",
        "conflict": "Wie viel Streit hast du gespürt?",
        "how_was_it": "Wie war das für dich?",
        "enjoyable": "Was war schön?",
        "change": "Was möchtest du ändern?",
        "my_week": "Was hast du diese Woche getan, das dir gutgetan hat?",
        "my_part": "Was habe ich beigetragen?",
        "my_view": "Was möchtest du, und warum ist es dir wichtig?",
        "their_sense": "Was leuchtet dir an dem anderen Wunsch ein?",
    },
}


class Question(Struct, frozen=True):
    """One question, and how it is answered: `felt` by a number from 1 to 7, `words` by a text under its name."""

    question: QuestionId
    asked: Asked
    answer: Literal["felt", "words"]
    language: Annotated[str, Meta(description="Of the text: the one asked for, or en where it has none.")]
    text: str


class Questions(Struct, frozen=True):
    """The catalogue in one language."""

    version: str
    language: str
    questions: list[Question]


def catalogue(language: str, texts: Texts = TEXTS) -> Questions:
    """All questions in the language that fits best: `de-AT` is served by `de-at`, else `de`, else English.

    A question that has no text in it comes in English: one that is understood by half is better than none.
    """
    found = best_language(language, texts)
    return Questions(CATALOGUE_VERSION, found, [_question(one, found, texts) for one in QUESTIONS])


def _question(one: QuestionId, language: str, texts: Texts) -> Question:
    served = language if one in texts[language] else ENGLISH
    if one in FELT_ITEMS:
        return Question(one, "felt", "felt", served, texts[served][one])
    return Question(one, _asked(one), "words", served, texts[served][one])


def _asked(one: QuestionId) -> Asked:
    return "self" if one in SELF_QUESTIONS else "opening" if one in OPENING_QUESTIONS else "after"
