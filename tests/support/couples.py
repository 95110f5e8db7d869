"""Many couples from two people: a member may have several relationships, and a further one needs no further sign-in."""

from copy import copy
from typing import TypeAlias

from tests.support.phones import Phone, Running, link

Couple: TypeAlias = tuple[Phone, Phone]


async def two_members(service: Running) -> Couple:
    """The first two people of a database, who have consented and are in no relationship yet."""
    one = await service.phone().sign_in("one@example.org")
    two = await service.phone().sign_in("two@example.org")
    await one.consent()
    await two.consent()
    return one, two


async def another_couple(one: Phone, two: Phone) -> Couple:
    """A new active relationship of the same two members; the first one invites."""
    first, second = copy(one), copy(two)
    made = await first.expect(201, "POST", "/v1/relationships", {})
    first.rid, first.author = made["id"], made["author"]
    await link(first, second)
    return first, second
