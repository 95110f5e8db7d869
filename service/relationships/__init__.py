"""Link two members, by an invite, its acceptance and a confirmation; let one of them leave.

Enters: members; invite codes.
Leaves: a relationship as its member sees it; a first screen.
Writes: `relationships`, `memberships`, `readers`, `invites`.
Never imports: `data_rights`, `accounts`.
"""

from typing import Any

from service.relationships.home import get_home, get_next_step
from service.relationships.leaving import leave
from service.relationships.linking import accept_invite, confirm, invite, make_relationship
from service.relationships.view import get_relationship, list_relationships

ROUTES: list[Any] = [
    make_relationship,
    invite,
    accept_invite,
    confirm,
    list_relationships,
    get_relationship,
    get_home,
    get_next_step,
    leave,
]
