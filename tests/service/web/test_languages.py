"""What a person reads comes in the language that their phone asks for, where there is one."""

import tomllib
from pathlib import Path

import pytest

from service.accounts import consent, mail_texts
from service.core.languages import accepted_languages, best_of
from service.core.version import CONTRACT_VERSION, SERVICE_VERSION
from tests.support.phones import Phone, Running

GERMAN = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("", []),
        ("de", ["de"]),
        ("en;q=0.5, de-AT , fr;q=0", ["de-AT", "en"]),
        ("*;q=0.1, de;q=1.000", ["de"]),
        ("de;q=nonsense", ["de"]),
        ("\N{SNOWMAN}, de_AT, a" + ",x" * 5000, []),
    ],
)
def test_a_header_is_read_by_its_weights(header: str, tags: list[str]) -> None:
    assert accepted_languages(header) == tags


def test_the_first_that_is_there_is_taken() -> None:
    there = {"en", "de"}
    assert [best_of(wanted, there) for wanted in ([], ["fr"], ["fr", "de-CH"], ["en-GB", "de"], ["de", "en"])] == [
        "en",
        "en",
        "de",
        "en",
        "de",
    ]


async def test_questions_and_months_come_in_the_language_of_the_phone(service: Running) -> None:
    one, _ = await service.couple()
    for path in ("/v1/questions", "/v1/relationships/{rid}/reviews/2026-05", "/v1/consent"):
        said = [(await one.call("GET", path, headers=headers)).json()["language"] for headers in ({}, GERMAN)]
        assert said == ["en", "de"], path
        asked = await one.call("GET", f"{path}?language=en", headers=GERMAN)
        assert asked.json()["language"] == "en", path


async def test_a_code_is_mailed_in_the_language_of_the_phone(service: Running) -> None:
    phone = service.phone()
    await phone.expect(202, "POST", "/v1/sign-in-codes", {"email": "a@example.org"}, headers=GERMAN)
    mail = await service.post.next_mail("a@example.org")
    assert mail["Subject"] == "Dein Code zum Anmelden"
    assert "Er gilt nur dort" in str(mail.get_payload())


@pytest.mark.parametrize("language", mail_texts.TEXTS)
def test_mails_are_plain_in_each_language(language: str) -> None:
    texts = mail_texts.TEXTS[language]
    assert texts.keys() == mail_texts.TEXTS["en"].keys()
    for one in texts.values():
        assert (one.subject + one.text).isascii()
        assert "code" in one.subject.lower()
        assert one.text.count("{code}") == 1
        assert max(map(len, one.text.splitlines())) <= 83


async def test_the_text_of_the_consent_is_there_before_an_account(service: Running) -> None:
    phone: Phone = service.phone()
    text = await phone.get("/v1/consent")
    assert text["text"] == consent.TEXTS["en"]
    await phone.sign_in()
    assert text["version"] == (await phone.get("/v1/me"))["consent"]["version"]
    assert consent.TEXTS.keys() == mail_texts.TEXTS.keys()


async def test_the_release_is_told(service: Running) -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    told = await service.phone().get("/v1/version")
    assert told == {"service": project["version"], "contract": CONTRACT_VERSION}
    assert project["version"] == SERVICE_VERSION
