"""What members say of themselves is sealed: it opens in its own place only, and stands in no table in the clear."""

from uuid import UUID, uuid4

import asyncpg
import pytest

from events.encryption import DecryptionFailed
from service.core.randomness import system_random_bytes
from service.database.pool import create_pool
from service.database.roles import KEYS_ROLE
from service.keys import field_encryption
from service.keys.keyring import SEATS, WRAPPED_KEY, Keyring
from tests.support.phones import KEYS, Clock, Running
from tests.support.postgres import execute
from tests.support.statements import overheard

KEY, MEMBER = bytes(range(32)), uuid4()
NOTE = {"occurred_at": "2026-06-15T10:00:00+02:00", "note": "a walk"}
CANARIES = ("canaryaddress", "Canaryname", "canaryphone")
TABLES = """
SELECT oid::regclass::text
FROM pg_class
WHERE relkind = 'r'
    AND relnamespace IN ('public'::regnamespace, 'keys'::regnamespace)
"""


def test_what_is_sealed_opens_again() -> None:
    assert (
        field_encryption.decrypt(KEY, MEMBER, "name", field_encryption.encrypt(KEY, MEMBER, "name", "Ada É."))
        == "Ada É."
    )


def test_the_same_name_is_sealed_differently_each_time() -> None:
    assert field_encryption.encrypt(KEY, MEMBER, "name", "Ada") != field_encryption.encrypt(KEY, MEMBER, "name", "Ada")


def test_it_opens_for_no_other_key_member_or_field_and_not_when_changed() -> None:
    sealed = field_encryption.encrypt(KEY, MEMBER, "name", "Ada")
    for key, member, field, text in (
        (bytes(32), MEMBER, "name", sealed),
        (KEY, uuid4(), "name", sealed),
        (KEY, MEMBER, "email", sealed),
        (KEY, MEMBER, "name", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (KEY, MEMBER, "name", b""),
    ):
        with pytest.raises(DecryptionFailed):
            field_encryption.decrypt(key, member, field, text)  # type: ignore[arg-type]


async def test_no_table_holds_an_address_or_a_name_in_the_clear(service: Running) -> None:
    one, two = await service.member(), await service.phone().sign_in("canaryaddress@example.org", "canaryphone")
    await two.expect(200, "PATCH", "/v1/me", {"name": "Canaryname"})
    await two.consent()
    code = (await one.expect(201, "POST", "/v1/relationships/{rid}/invites"))["code"]
    await two.expect(200, "POST", "/v1/invites/accept", {"code": code})
    await two.expect(202, "POST", "/v1/sign-in-codes", {"email": two.email})
    assert (await one.get("/v1/relationships/{rid}"))["partner"] == {"name": "Canaryname"}
    assert await hits(service, two.member_id) > 3
    assert [await hits(service, text) + await hits(service, text.encode().hex()) for text in CANARIES] == [0, 0, 0]


async def hits(service: Running, text: str) -> int:
    """In how many rows of all tables a text stands."""
    db = await asyncpg.connect(service.database_url)
    try:
        tables = [row[0] for row in await db.fetch(TABLES)]
        found = [await db.fetchval(f"SELECT count(*) FROM {t} AS t WHERE t::text LIKE $1", f"%{text}%") for t in tables]
        return sum(found)
    finally:
        await db.close()


async def test_two_processes_that_begin_at_once_hash_alike(database_url: str) -> None:
    async with create_pool(database_url, KEYS_ROLE, 2) as db:
        keyrings = [Keyring(db, KEYS, Clock(), system_random_bytes) for _ in range(2)]
        one, two = [await keyring.blind_index("address", "a@example.org") for keyring in keyrings]
        assert one == two
        assert one != await keyrings[0].blind_index("identity", "a@example.org")
        assert await keyrings[0].blind_index("identity", "ab", "c") != await keyrings[0].blind_index(
            "identity", "a", "bc"
        )


async def test_without_the_look_up_key_no_address_is_found(database_url: str) -> None:
    async with create_pool(database_url, KEYS_ROLE, 1) as db:
        before = await Keyring(db, KEYS, Clock(), system_random_bytes).blind_index("address", "a@example.org")
        await execute(database_url, "DELETE FROM keys.wrapped WHERE purpose = 'look-up'")
        assert await Keyring(db, KEYS, Clock(), system_random_bytes).blind_index("address", "a@example.org") != before


async def test_without_a_key_nothing_opens(service: Running) -> None:
    phone = await service.phone().sign_in()
    keys = service.app.state.context.keys
    await keys.destroy_for_member(UUID(phone.member_id))
    assert (await phone.call("GET", "/v1/me")).status_code == 503


# --- Who has fetched them


async def test_keys_that_the_other_has_fetched_are_fetched_by_me_all_the_same(service: Running) -> None:
    one, two = await service.couple()
    ring, rid = service.app.state.context.keys, UUID(one.rid)
    authors = [UUID(phone.author) for phone in (one, two)]
    mine, theirs = [(rid, author) for author in authors]
    async with overheard(ring._db) as statements:  # type: ignore[arg-type]
        asked = []
        for wanted in ([mine], [mine], [theirs, mine], [theirs], [mine]):
            statements.clear()
            await ring.many_relationship_keys(wanted)
            asked.append(statements.count(SEATS))
    assert asked == [1, 0, 1, 0, 0]


async def test_a_name_that_the_other_has_read_is_read_by_its_member_as_if_nobody_had(service: Running) -> None:
    one, two = await service.couple()
    await two.expect(200, "PATCH", "/v1/me", {"name": "Ada"})
    ring = Keyring(service.app.state.context.keys._db, KEYS, Clock(), system_random_bytes)
    member, sealed = UUID(two.member_id), await ring.encrypt_for(UUID(two.member_id), "name", "Ada")
    fresh = Keyring(service.app.state.context.keys._db, KEYS, Clock(), system_random_bytes)
    async with overheard(ring._db) as statements:  # type: ignore[arg-type]
        for reader in (UUID(one.author), UUID(one.author), None, None):
            assert await fresh.decrypt_for(member, "name", sealed, reader) == "Ada"
    assert statements.count(WRAPPED_KEY) == 2


async def test_who_comes_in_place_of_somebody_who_was_not_confirmed_can_record(service: Running) -> None:
    one, two, three = await service.member(), await service.phone().sign_in(), await service.phone().sign_in()
    for phone in (two, three):
        await phone.consent()
        code = (await one.expect(201, "POST", "/v1/relationships/{rid}/invites"))["code"]
        phone.rid = (await phone.expect(200, "POST", "/v1/invites/accept", {"code": code}))["relationship_id"]
        await one.put("check-ins", NOTE)  # now its keys are known, with those of whoever may come in
        if phone is two:
            await two.expect(204, "POST", "/v1/relationships/{rid}/leave")
    await one.expect(200, "POST", "/v1/relationships/{rid}/confirm")
    await three.put("check-ins", NOTE | {"audience": "shared"})
    assert [event["kind"] for event in await one.events()] == ["opened", "check_in"]
