"""What a phone looks at: events, requests, balances, trends, perspectives, roles, changes, and events as they happen.

Enters: a bearer and a relationship's id.
Leaves: the result structs of `projections`, with an ETag of what this reader may see; server-sent events.
Writes: `live_tickets`.
Never imports: `recording`; statistics or SQL over events, which are the projections'.
"""

from typing import Any

from service.reading.figures import get_changes, get_review, get_roles, get_voice
from service.reading.live import listen_live
from service.reading.live_tickets import make_live_ticket
from service.reading.reads import get_balances, get_perspectives, get_trend, list_events, list_openings, list_requests

ROUTES: list[Any] = [
    list_events,
    list_requests,
    list_openings,
    get_balances,
    get_trend,
    get_perspectives,
    get_roles,
    get_changes,
    get_voice,
    get_review,
    listen_live,
    make_live_ticket,
]
