"""What anybody wants to be asked stands in no table in the clear, and its length tells little (R23)."""

import base64
from collections.abc import Sequence
from uuid import UUID

import msgspec
import pytest

from events.encryption import DecryptionFailed
from service.prompts.catalogue import QUESTIONS, QuestionId
from service.prompts.ciphertexts import decrypt_questions, decrypt_schedule, encrypt_questions, encrypt_schedule
from service.prompts.schedule import Schedule
from tests.support.asking import rows
from tests.support.phones import Phone, Running
from tests.support.prompting import Remembering, context_of, evenings, prompts_of, want, work

OVERHEAD_BYTES = 12 + 16  # a nonce, and what authenticates
PRESSED = {"felt": {"free_to_say_no": 1}}


@pytest.fixture
def service(swept_service: Running) -> Running:
    return swept_service


async def test_each_opens_as_what_it_is_and_for_its_member_alone(service: Running) -> None:
    one, two = await service.couple()
    mine, theirs = UUID(one.member_id), UUID(two.member_id)
    keys, schedule, questions = context_of(service).keys, evenings(one), list(QUESTIONS)
    said, asked = await encrypt_schedule(keys, mine, schedule), await encrypt_questions(keys, mine, questions)
    assert await decrypt_schedule(keys, mine, said) == schedule
    assert await decrypt_questions(keys, mine, asked) == questions
    for reading in (
        decrypt_schedule(keys, theirs, said),
        decrypt_schedule(keys, mine, asked),
        decrypt_questions(keys, theirs, asked),
    ):
        with pytest.raises(DecryptionFailed):
            await reading


# --- In the tables


def spellings(word: str) -> list[str]:
    """A word as it would stand in a dump: as it is or in base64, wherever it begins there, and both in hex."""
    inside = [base64.b64encode(bytes(n) + word.encode()).decode()[4 * (n > 0) : -4] for n in range(3)]
    return [spelled for text in (word, *inside) for spelled in (text, text.encode().hex())]


def told(found: str, words: Sequence[str]) -> set[str]:
    """Those words that stand in a dump in any spelling."""
    return {word for word in words if any(spelled in found for spelled in spellings(word))}


async def dumped(service: Running) -> str:
    """All rows of both tables, as text."""
    found = await rows(service, "schedules") + await rows(service, "prompts")
    values = [value for row in found for value in row.values()]
    return "\n".join(value.hex() if isinstance(value, bytes) else str(value) for value in values)


WORDS = ["free_to_say_no", '"from":"20:17"', "weekdays", "after_events"]


async def test_no_row_tells_what_is_asked(service: Running) -> None:
    one = await service.member()
    schedule = evenings(one, "20:17", "21:43", ["free_to_say_no", "my_part"])
    await want(service, one, schedule)
    await work(service, Remembering(service.clock))
    assert await prompts_of(service, one)
    assert told(await dumped(service), [*WORDS, one.member_id]) == {one.member_id}
    # What is looked for is found where it stands there.
    for planted in (msgspec.json.encode(schedule), base64.b64encode(msgspec.json.encode(schedule))):
        await service.ask("UPDATE prompts SET questions = $1", planted)
        assert told(await dumped(service), WORDS) == set(WORDS)


async def lengths(service: Running, phone: Phone, schedule: Schedule) -> set[int]:
    """Those of the schedule, and of each prompt."""
    await want(service, phone, schedule)
    await work(service, Remembering(service.clock))
    asked = [row["questions"] for row in await prompts_of(service, phone)]
    assert asked
    (said,) = [row["schedule"] for row in await rows(service, "schedules") if str(row["member_id"]) == phone.member_id]
    return {len(said), *map(len, asked)}


async def test_schedules_and_questions_of_other_content_have_one_length(service: Running) -> None:
    found: list[set[int]] = []
    for questions in (["fair"], ["free_to_say_no", "my_part"]):
        phone = await service.member()
        found.append(await lengths(service, phone, evenings(phone, questions=questions)))
    assert found[0] == found[1]
    assert [(length - OVERHEAD_BYTES) % 128 for length in found[0]] == [0, 0]


async def test_any_usual_choice_of_questions_fits_into_one_unit(service: Running) -> None:
    one = await service.member()
    keys, member = context_of(service).keys, UUID(one.member_id)
    choices: list[Sequence[QuestionId]] = [[], ["fair"], QUESTIONS[:9], QUESTIONS[-9:]]
    assert {len(await encrypt_questions(keys, member, each)) for each in choices} == {OVERHEAD_BYTES + 128}


# What is not encrypted of a prompt that waits, but for its name and its times.
CLEAR = "SELECT reason, looked_into, length(questions), state, late FROM prompts WHERE member_id = $1 ORDER BY due_at"


async def test_a_row_does_not_tell_whether_it_asks_about_oneself_or_whether_that_rests(service: Running) -> None:
    phones = [await service.member() for _ in range(3)]
    asked = (["close"], ["close", "my_part"], ["close", "my_part"])
    for phone, questions in zip(phones, asked, strict=True):
        await want(service, phone, evenings(phone, "20:00", "20:30", questions))
    await phones[2].put("check-ins", {"occurred_at": service.clock().isoformat(), **PRESSED})
    for hours in (0, 9):  # planned, then sent
        service.clock.advance(hours=hours)
        before = await dumped(service)
        await work(service, Remembering(service.clock))
        clear = [await service.ask(CLEAR, UUID(phone.member_id)) for phone in phones]
        assert clear[0] == clear[1] == clear[2]
        assert clear[0][0]["looked_into"] == (hours > 0)
        written = [(await prompts_of(service, phone))[0]["questions"].hex() for phone in phones]
        assert [one for one in written if one in before] == []
