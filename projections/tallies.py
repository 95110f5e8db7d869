"""Daily counts, added up in the transaction that appends: addition forgets order, delay and grouping.

A value is kept relative to the teller (`me` is who tells), so that one row serves both readers. A request counts in
both tellings, twice in each, and is kept once: `read` makes four of it. To write it as four rows took the database
longer than all else of an entry together.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import TypeAlias
from uuid import UUID

import msgspec
from msgspec import Struct

from events.entries import (
    WHO,
    CheckIn,
    Decision,
    Ended,
    Erased,
    Fact,
    Opened,
    Request,
    Retraction,
    Who,
    day_of,
    other,
)
from events.heads import DbConnection
from events.records import StreamKey
from events.rules import Recorded


class Key(Struct, frozen=True, order=True):
    """What is counted: in whose telling, on which day, in which domain, which value of which measure."""

    stream: StreamKey
    day: date
    teller: UUID
    domain: str
    measure: str
    value: str


# The same but for the day: stream, teller, domain, measure, value.
Place: TypeAlias = tuple[StreamKey, UUID, str, str, str]


class Tellers(Struct, frozen=True):
    """The author of an event and the other member, who is unknown while the author is alone."""

    author: UUID
    partner: UUID | None


# A request, kept in the telling of who asks; and what it counts there. In the other telling it is the same, turned.
ASKS = "asks"
# Who is asked holds the yes or no, whatever is answered.
ASKED = (("initiates", "me"), ("decides", "partner"))

# What is added to each key.
Counts: TypeAlias = list[tuple[Key, int]]


def tally(stream: StreamKey, event: Recorded, partner: UUID | None, find: Callable[[UUID], Fact]) -> Counts:
    """What one event adds. `find` gives the entry that a retraction takes back: it subtracts what that had added."""
    if event.author is None:
        return []
    tellers = Tellers(event.author, partner)
    if isinstance(event.fact, Retraction):
        return _counts(stream, find(event.fact.event_id), tellers, -1)
    return _counts(stream, event.fact, tellers, 1)


def _counts(stream: StreamKey, fact: Fact, tellers: Tellers, times: int) -> Counts:
    if isinstance(fact, Retraction | Opened | Ended | Erased):
        return []
    day, domain = day_of(fact), fact.domain or "other"
    return [(Key(stream, day, teller, domain, measure, v), times) for teller, measure, v in told(fact, tellers)]


def told(fact: CheckIn | Request | Decision, tellers: Tellers) -> Iterator[tuple[UUID, str, str]]:
    """In whose telling an entry counts, for which measure, which value."""
    match fact:
        case CheckIn():
            yield from _told_by_check_in(fact, tellers.author)
        case Request() if tellers.partner:
            yield tellers.author, ASKS, "me"
        case Request():
            # Who was asked is gone, and so is their telling.
            yield from ((tellers.author, measure, value) for measure, value in ASKED)
        case Decision(decided_by=None):
            return  # an answer to a request counts nothing, ever
        case Decision():
            yield from _told_by_decision(fact, tellers.author)


def _told_by_check_in(fact: CheckIn, author: UUID) -> Iterator[tuple[UUID, str, str]]:
    if fact.initiated_by:
        yield author, "initiates", fact.initiated_by
    if fact.decided_by:
        yield author, "decides", fact.decided_by
    for item, answer in (fact.felt or {}).items():
        yield author, f"felt:{item}", str(answer)


def _told_by_decision(fact: Decision, author: UUID) -> Iterator[tuple[UUID, str, str]]:
    if fact.decided_by:
        yield author, "decides", fact.decided_by
    if fact.raised_by:
        yield author, "initiates", fact.raised_by
    if fact.my_input:
        yield author, "counted", fact.my_input


def read(mine: bool, measure: str, value: str) -> Iterator[tuple[bool, str, str]]:
    """What is kept, as its reader sees it: whether it counts in my telling, for which measure, which value.

    `mine` says whether it is kept in the reader's own telling.
    """
    if measure == ASKS:
        for asked_for, who in ASKED:
            yield from ((telling, asked_for, who if mine else turned(asked_for, who)) for telling in (True, False))
    else:
        yield mine, measure, value if mine else turned(measure, value)


def turned(measure: str, value: str) -> str:
    """A value of the partner's telling, seen from the reader. Only who did something depends on who looks."""
    if measure not in ("initiates", "decides"):
        return value
    return _TURNED[value]


_TURNED: dict[str, Who] = {who: other(who) for who in WHO}


ADD = """
INSERT INTO tallies (
    relationship_id,
    stream_id,
    day,
    teller,
    domain,
    measure,
    value,
    count
)
SELECT
    (added ->> 0)::uuid,
    (added ->> 1)::uuid,
    (added ->> 2)::date,
    (added ->> 3)::uuid,
    added ->> 4,
    added ->> 5,
    added ->> 6,
    (added ->> 7)::bigint
FROM json_array_elements(convert_from($1, 'UTF8')::json) AS added
ON CONFLICT (relationship_id, stream_id, day, teller, domain, measure, value)
DO UPDATE SET count = tallies.count + excluded.count
"""


async def add(db: DbConnection, counts: Mapping[Key, int]) -> None:
    """Add counts to what is kept. The heads of their streams must be locked by this transaction."""
    await db.execute(ADD, as_rows(counts))


def as_rows(counts: Mapping[Key, int]) -> bytes:
    """The rows to be added, as JSON.

    As eight arrays they would take the driver five times as long to send, and the database no less to read.
    """
    return msgspec.json.encode(
        [
            (k.stream.relationship_id, k.stream.stream_id, k.day, k.teller, k.domain, k.measure, k.value, count)
            for k, count in counts.items()
            if count
        ]
    )


# Days as Python numbers them, and a row for all days of what is told: to read a row for each took three times as long.
KEPT = """
SELECT
    relationship_id,
    stream_id,
    teller,
    domain,
    measure,
    value,
    array_agg(day - DATE '0001-01-01' + 1) AS days,
    array_agg(count) AS counts
FROM unnest($1::uuid[], $2::uuid[]) AS wanted (relationship_id, stream_id)
JOIN tallies USING (relationship_id, stream_id)
WHERE count <> 0
GROUP BY
    relationship_id,
    stream_id,
    teller,
    domain,
    measure,
    value
"""


async def kept(db: DbConnection, keys: Sequence[StreamKey]) -> dict[Place, dict[int, int]]:
    """All counts that are kept for some streams, by the ordinal of the day."""
    rows = await db.fetch(KEPT, [key.relationship_id for key in keys], [key.stream_id for key in keys])
    return {(StreamKey(row[0], row[1]), *row[2:6]): dict(zip(row[6], row[7], strict=True)) for row in rows}


FORGET = """
DELETE FROM tallies
WHERE relationship_id = $1
    AND stream_id = $2
    AND (teller = $3 OR count = 0)
"""


async def forget(db: DbConnection, stream: StreamKey, teller: UUID) -> None:
    """Erase a telling, and the rows that count nothing any more: they would tell what had been there."""
    await db.execute(FORGET, stream.relationship_id, stream.stream_id, teller)
