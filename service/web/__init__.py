"""HTTP: requests decoded strictly, responses with their ETags, problems, rate limits, what an operation declares.

Enters: ASGI requests, exceptions.
Leaves: structs; responses; the one table from exceptions to statuses.
Writes: no table.
Never imports: any room that knows what is asked (`access` and above).
"""

from typing import Any

from service.web.associations import get_android_association, get_apple_association
from service.web.health import get_liveness, get_readiness
from service.web.help import get_help
from service.web.version import get_version

ROUTES: list[Any] = [
    get_help,
    get_version,
    get_apple_association,
    get_android_association,
    get_liveness,
    get_readiness,
]
