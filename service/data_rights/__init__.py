"""Data rights: export everything of mine, import it into an empty service, erase me.

Enters: a member who has stepped up; an export.
Leaves: one document with all proofs; of an erased member nothing that can be read.
Writes: `due_recounts`; all else each room inserts and forgets by itself.
Never imports: `cli`.
"""

from typing import Any

from service.data_rights.erasure import erase_me
from service.data_rights.export import export_me

ROUTES: list[Any] = [
    export_me,
    erase_me,
]
