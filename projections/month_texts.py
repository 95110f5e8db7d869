"""The sentences of a month, in English and German: what was counted and how it felt, never what it means.

Each says what it says for any numbers. Nothing is recommended, nobody is judged, and of the other's feelings there is
nothing. A new language is one more `Texts`.
"""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from events.entries import FeltItem

Numbers: TypeAlias = Mapping[str, float]
SentenceId: TypeAlias = Literal[
    "asks",
    "initiates_mine",
    "initiates_partners",
    "decides_mine",
    "decides_partners",
    "both_mine",
    "both_partners",
    "counted_mine",
    "counted_partners",
    "felt",
    "leans",
    "about_even",
]
CounterId: TypeAlias = Literal[
    "in_the_log", "my_entries", "partners_entries", "empty_days", "other_silent", "other_says"
]
Subject: TypeAlias = Literal["asks", "initiates_mine", "initiates_partners", "decides_mine", "decides_partners"]


class Texts(Struct, frozen=True):
    """One language: its sentences by their ids, what stands against a reading, and the names of what was felt."""

    sentences: Mapping[SentenceId, Callable[[Numbers], str]]
    subjects: Mapping[Subject, str]
    counters: Mapping[CounterId, Callable[[Numbers], str]]
    felt: Mapping[FeltItem, str]


def _whole(number: float) -> str:
    return f"{number:,.0f}"


def _en_days(number: float) -> str:
    return "no day" if number == 0 else "1 day" if number == 1 else f"{_whole(number)} days"


def _en_bare(number: float) -> str:
    return "none" if number == 0 else _whole(number)


def _en_times(number: float) -> str:
    return "once" if number == 1 else f"{_whole(number)} times"


def _en_occasions(number: float) -> str:
    return "1 occasion" if number == 1 else f"{_whole(number)} occasions"


def _en_yours(n: Numbers) -> str:
    me = "None" if n["me"] == 0 else _whole(n["me"])
    return f"{me} of {_en_occasions(n['n'])} {'was' if n['me'] == 1 else 'were'} yours"


def _en_between(n: Numbers) -> str:
    return f"By these numbers, your part lies between {_whole(n['low'])} and {_whole(n['high'])} in 100."


def _en_felt(n: Numbers) -> str:
    answers = "1 answer" if n["n"] == 1 else f"{_whole(n['n'])} answers"
    if "mean" in n:
        return f"{answers}, {n['mean']:.1f} on average, of 1 to 7."
    if "low" in n:
        return f"{answers}, between {n['low']:.1f} and {n['high']:.1f} on average, of 1 to 7."
    return f"{answers} of 1 to 7, too few for an average."


def _en_input(n: Numbers) -> str:
    return f"in {_en_bare(n['counted'])} of them it did, at least partly."


ENGLISH = Texts(
    sentences={
        "asks": lambda n: f"You asked on {_en_days(n['me'])}, your partner on {_en_bare(n['partner'])}.",
        "initiates_mine": lambda n: (
            f"By your entries, you began something on {_en_days(n['me'])}, your partner on {_en_bare(n['partner'])}."
        ),
        "initiates_partners": lambda n: (
            f"By your partner's shared entries, you began something on {_en_days(n['me'])}, "
            f"your partner on {_en_bare(n['partner'])}."
        ),
        "decides_mine": lambda n: (
            f"By your entries, you decided on {_en_days(n['me'])}, your partner on {_en_bare(n['partner'])}."
        ),
        "decides_partners": lambda n: (
            f"By your partner's shared entries, you decided on {_en_days(n['me'])}, "
            f"your partner on {_en_bare(n['partner'])}."
        ),
        "both_mine": lambda n: f"By your entries, both of you decided together on {_en_days(n['both'])}.",
        "both_partners": lambda n: (
            f"By your partner's shared entries, both of you decided together on {_en_days(n['both'])}."
        ),
        "counted_mine": lambda n: (
            f"Of what your partner decided, you noted {_en_times(n['n'])} whether your input counted: {_en_input(n)}"
        ),
        "counted_partners": lambda n: (
            f"Of what you decided, your partner noted {_en_times(n['n'])} whether their input counted: {_en_input(n)}"
        ),
        "felt": _en_felt,
        "leans": lambda n: f"{_en_yours(n)}. {_en_between(n)}",
        "about_even": lambda n: f"{_en_yours(n)}, about half. {_en_between(n)}",
    },
    subjects={
        "asks": "Who asked:",
        "initiates_mine": "Who began something, by your entries:",
        "initiates_partners": "Who began something, by your partner's shared entries:",
        "decides_mine": "Who decided, by your entries:",
        "decides_partners": "Who decided, by your partner's shared entries:",
    },
    counters={
        "in_the_log": lambda n: "Requests stand in the log for both of you; it is nobody's telling.",
        "my_entries": lambda n: "You alone recorded this, so it is what you noticed.",
        "partners_entries": lambda n: "Your partner alone recorded this, and shared it.",
        "empty_days": lambda n: f"Nothing of it was recorded on {_en_days(n['empty'])} of {_whole(n['days'])}.",
        "other_silent": lambda n: "The other telling has nothing of it.",
        "other_says": lambda n: (
            f"The other telling has {_en_occasions(n['other_n'])}, of which {_en_bare(n['other_me'])} yours."
        ),
    },
    felt={
        "valued": "How valued you felt:",
        "heard": "How much you felt heard:",
        "room_for_me": "How much room there was for what you wanted:",
        "free_to_say_no": "How free you felt to say no:",
        "fair": "How fair it felt to you:",
        "close": "How close you felt:",
        "enjoyed": "How much you enjoyed it:",
        "satisfied": "How satisfied you were:",
        "conflict": "How much conflict you felt:",
    },
)


def _de_whole(number: float) -> str:
    return _whole(number).replace(",", ".")


def _de_days(number: float) -> str:
    return "keinem Tag" if number == 0 else "einem Tag" if number == 1 else f"{_de_whole(number)} Tagen"


def _de_bare(number: float) -> str:
    return "keinem" if number == 0 else "einem" if number == 1 else _de_whole(number)


def _de_times(number: float) -> str:
    return "einmal" if number == 1 else f"{_de_whole(number)}-mal"


def _de_input(n: Numbers) -> str:
    return f"{'keinmal' if n['counted'] == 0 else _de_times(n['counted'])} hat es das, zumindest teilweise."


def _de_decimal(number: float) -> str:
    return f"{number:.1f}".replace(".", ",")


def _de_felt(n: Numbers) -> str:
    answers = "eine Antwort" if n["n"] == 1 else f"{_de_whole(n['n'])} Antworten"
    if "mean" in n:
        return f"{answers}, im Mittel {_de_decimal(n['mean'])}, von 1 bis 7."
    if "low" in n:
        return f"{answers}, im Mittel zwischen {_de_decimal(n['low'])} und {_de_decimal(n['high'])}, von 1 bis 7."
    return f"{answers} von 1 bis 7, zu wenige für ein Mittel."


def _de_yours(n: Numbers) -> str:
    occasions = "einer Gelegenheit" if n["n"] == 1 else f"{_de_whole(n['n'])} Gelegenheiten"
    me = "lag keine" if n["me"] == 0 else "lag eine" if n["me"] == 1 else f"lagen {_de_whole(n['me'])}"
    return f"Von {occasions} {me} bei dir"


def _de_between(n: Numbers) -> str:
    return f"Nach diesen Zahlen liegt dein Teil zwischen {_whole(n['low'])} und {_whole(n['high'])} von 100."


def _de_other(n: Numbers) -> str:
    many = "eine Gelegenheit" if n["other_n"] == 1 else f"{_de_whole(n['other_n'])} Gelegenheiten"
    mine = "keine" if n["other_me"] == 0 else "eine" if n["other_me"] == 1 else _de_whole(n["other_me"])
    return f"Die andere Erzählung kennt {many}, davon {mine} bei dir."


GERMAN = Texts(
    sentences={
        "asks": lambda n: (
            f"Du hast an {_de_days(n['me'])} um etwas gebeten, dein Gegenüber an {_de_bare(n['partner'])}."
        ),
        "initiates_mine": lambda n: (
            f"Nach deinen Einträgen hast du an {_de_days(n['me'])} etwas begonnen, "
            f"dein Gegenüber an {_de_bare(n['partner'])}."
        ),
        "initiates_partners": lambda n: (
            f"Nach den geteilten Einträgen deines Gegenübers hast du an {_de_days(n['me'])} etwas begonnen, "
            f"dein Gegenüber an {_de_bare(n['partner'])}."
        ),
        "decides_mine": lambda n: (
            f"Nach deinen Einträgen hast du an {_de_days(n['me'])} entschieden, "
            f"dein Gegenüber an {_de_bare(n['partner'])}."
        ),
        "decides_partners": lambda n: (
            f"Nach den geteilten Einträgen deines Gegenübers hast du an {_de_days(n['me'])} entschieden, "
            f"dein Gegenüber an {_de_bare(n['partner'])}."
        ),
        "both_mine": lambda n: f"Nach deinen Einträgen habt ihr an {_de_days(n['both'])} gemeinsam entschieden.",
        "both_partners": lambda n: (
            f"Nach den geteilten Einträgen deines Gegenübers habt ihr an {_de_days(n['both'])} gemeinsam entschieden."
        ),
        "counted_mine": lambda n: (
            f"Zu dem, was dein Gegenüber entschied, hast du {_de_times(n['n'])} notiert, ob dein Wort gezählt hat: "
            f"{_de_input(n)}"
        ),
        "counted_partners": lambda n: (
            f"Zu dem, was du entschieden hast, hat dein Gegenüber {_de_times(n['n'])} notiert, ob das eigene Wort "
            f"gezählt hat: {_de_input(n)}"
        ),
        "felt": _de_felt,
        "leans": lambda n: f"{_de_yours(n)}. {_de_between(n)}",
        "about_even": lambda n: f"{_de_yours(n)}, etwa die Hälfte. {_de_between(n)}",
    },
    subjects={
        "asks": "Wer gebeten hat:",
        "initiates_mine": "Wer etwas begonnen hat, nach deinen Einträgen:",
        "initiates_partners": "Wer etwas begonnen hat, nach den geteilten Einträgen deines Gegenübers:",
        "decides_mine": "Wer entschieden hat, nach deinen Einträgen:",
        "decides_partners": "Wer entschieden hat, nach den geteilten Einträgen deines Gegenübers:",
    },
    counters={
        "in_the_log": lambda n: "Bitten stehen für euch beide im Verlauf; das ist niemandes Erzählung.",
        "my_entries": lambda n: "Das hast allein du festgehalten; es ist, was dir aufgefallen ist.",
        "partners_entries": lambda n: "Das hat allein dein Gegenüber festgehalten und geteilt.",
        "empty_days": lambda n: (
            f"An {_de_days(n['empty'])} von {_de_whole(n['days'])} wurde nichts davon festgehalten."
        ),
        "other_silent": lambda n: "Die andere Erzählung hat nichts davon.",
        "other_says": _de_other,
    },
    felt={
        "valued": "Wie geschätzt du dich gefühlt hast:",
        "heard": "Wie sehr du dich gehört gefühlt hast:",
        "room_for_me": "Wie viel Raum für das war, was du wolltest:",
        "free_to_say_no": "Wie frei du dich gefühlt hast, Nein zu sagen:",
        "fair": "Wie fair es sich für dich angefühlt hat:",
        "close": "Wie nah du dich gefühlt hast:",
        "enjoyed": "Wie sehr du es genossen hast:",
        "satisfied": "Wie zufrieden du warst:",
        "conflict": "Wie viel Streit du gespürt hast:",
    },
)

LANGUAGES: Mapping[str, Texts] = {"en": ENGLISH, "de": GERMAN}
