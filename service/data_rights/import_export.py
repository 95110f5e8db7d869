"""Import one member's export into a service that has no members yet.

All of it is verified before anything is written, against its own proofs and by the code that made it, and it is
written in one transaction. Bodies are encrypted again with new keys; headers, openings, bodies and links stay the same,
so each head is the one that the member's phone remembers.

The schedule is imported. Devices are not, for their addresses are not in the export, nor prompts, for they are over.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from events import chain, encryption, entries
from events.entries import (
    REQUEST_OPEN_FOR,
    CheckIn,
    Decision,
    Ended,
    Erased,
    Fact,
    Opened,
    Opening,
    Request,
    Retraction,
)
from events.errors import UnknownKind
from events.heads import DbConnection, create_stream, lock_heads
from events.records import SHARED, Stored, StreamKey
from events.rules import Recorded
from projections import feed
from projections.feed import Event, Page, Proof
from projections.rebuild import Stream, rebuild
from service.access.memberships import RelationshipState
from service.access.pauses import Pause
from service.accounts import members
from service.accounts.addresses import Email, canonical
from service.accounts.me import Me, Name, zones
from service.accounts.pauses import MAX_PAUSES
from service.core.randomness import system_random_bytes
from service.data_rights.export import Export, ExportedRelationship
from service.errors import ImportRefused, Invalid
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring
from service.prompts.schedule import validate
from service.prompts.schedule_api import keep_schedule
from service.recording.recorder import append_uncounted
from service.relationships import seats
from service.relationships.seats import MembershipRow

CHUNK_EVENTS = 500
# A request that names no end lapses so much later, which has to be a date.
LAST_RECORDED = datetime.max.replace(tzinfo=UTC) - REQUEST_OPEN_FOR


class VerifiedRelationship(Struct, frozen=True):
    """A relationship that verified: its two logs, not encrypted yet, and the partner's author id where it is known."""

    exported: ExportedRelationship
    shared: list[Stored]
    private: list[Stored]
    partner: UUID | None

    @property
    def alone(self) -> bool:
        """Whether there is nobody to keep a seat for."""
        return self.exported.relationship.partner is None and self.partner is None

    @property
    def partner_erased(self) -> bool:
        """Whether the partner was erased: then nothing of theirs counts any more."""
        return any(s.event.author == self.partner and isinstance(s.event.fact, Erased) for s in self.shared)


# --- Reading and verifying, without a database


def read_export(file: Path) -> Export:
    """The export in a file. Raises ImportRefused."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Export)
    except OSError as error:
        raise ImportRefused(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # what msgspec raises is a ValueError, and so is what is no UTF-8
        raise ImportRefused(f"{file} is not a whole export of a format that this version knows: {error}.") from error


def signing_in_by(export: Export, email: str) -> Export:
    """The export of the same member with that mail address instead of theirs. Raises ImportRefused."""
    try:
        return replace(export, me=replace(export.me, email=canonical(email)))
    except Invalid:
        raise ImportRefused("This is no mail address by which anybody could sign in.") from None


def verify_export(export: Export) -> list[VerifiedRelationship]:
    """The relationships, each event of which is what its proof says. Raises ImportRefused."""
    _check_texts(export)
    _check_member(export.me)
    _check_schedule(export)
    _check_pauses(export.pauses)
    return [_relationship(one) for one in export.relationships]


def _check_texts(export: Export) -> None:
    """Of texts that are not looked into otherwise: PostgreSQL keeps no NUL."""
    names = [one.relationship.partner.name for one in export.relationships if one.relationship.partner]
    if any("\0" in text for text in (*names, export.me.consent.accepted) if text):
        raise ImportRefused("A name, or the version of a consent, in the export holds the character NUL.")


def _check_member(me: Me) -> None:
    try:
        msgspec.convert(me.email, Email | None)
        msgspec.convert(me.name, Name | None)
    except msgspec.ValidationError as error:
        raise ImportRefused(f"The member in the export cannot be one: {error}.") from error
    if (me.email is not None and not _is_canonical(me.email)) or me.time_zone not in zones():
        raise ImportRefused("The member in the export cannot be one: their mail address or time zone is none.")


def _is_canonical(email: str) -> bool:
    try:
        return canonical(email) == email
    except Invalid:
        return False


def _check_schedule(export: Export) -> None:
    try:
        validate(export.schedule, {one.relationship.id for one in export.relationships})
    except Invalid as error:
        raise ImportRefused(f"The schedule in the export cannot be one: {error.detail}") from error


def _check_pauses(pauses: list[Pause]) -> None:
    ids, ends = {one.id for one in pauses}, [(one.from_, one.to or date.max) for one in pauses]
    if not len(pauses) == len(ids) <= MAX_PAUSES or any(first > last for first, last in ends):
        raise ImportRefused("The pauses in the export cannot be: one ends before it begins, or stands there twice.")


def _relationship(exported: ExportedRelationship) -> VerifiedRelationship:
    view = exported.relationship
    me, ids = view.author, view.streams
    shared = list(_verified(exported.shared, StreamKey(view.id, SHARED, ids.shared), me))
    private_key = StreamKey(view.id, 1, ids.private)
    private = list(_verified(exported.private or _nothing(private_key), private_key, me))
    others = {s.event.author for s in shared} - {me, None}
    if len(others) > 1 or {s.event.author for s in private} - {me}:
        raise ImportRefused(f"In relationship {view.id} there are entries of somebody who is not in it.")
    return VerifiedRelationship(exported, shared, private, next(iter(others), None))


def _nothing(stream: StreamKey) -> Page:
    """A stream that was left out: there it begins anew."""
    return Page([], feed.as_head(chain.genesis(stream.stream_id)), more=False)


def _verified(page: Page, stream: StreamKey, me: UUID) -> Iterator[Stored]:
    """The events of a stream, as the log has them. Raises ImportRefused at the first that is not what it should be."""
    head, before = chain.genesis(stream.stream_id), dict[UUID, Recorded]()
    for event in page.events:
        stored = _proven(event, stream, head)
        # Its header is rendered again whenever it is asked for, so it has to be the very text that leads to the link.
        if stored is None or not _says(event, stored, stream, me) or not _fits(stored.event, before):
            raise ImportRefused(
                f"The {stream.audience} stream {stream.stream_id} does not verify at position {head.position + 1}."
            )
        head = chain.Head(stored.event.position, stored.link)
        before[event.id] = stored.event
        yield stored
    if page.more or feed.as_head(head) != page.head:
        raise ImportRefused(
            f"The {stream.audience} stream {stream.stream_id} does not lead to the head that the export names."
        )


def _says(event: Event, stored: Stored, stream: StreamKey, me: UUID) -> bool:
    # As texts: two times are equal when only their offsets differ, but then their days may not be.
    return msgspec.json.encode(feed.with_proof(stored, stream, me)) == msgspec.json.encode(event)


def _proven(event: Event, stream: StreamKey, head: chain.Head) -> Stored | None:
    """The event that the proof proves; null where the proof is not whole, or is of another stream or position."""
    if event.proof is None or (event.proof.body is None) != (event.proof.opening is None):
        return None
    try:
        header = chain.read_header(event.proof.header.encode())
        opening, fact = _opened(event.proof, header)
        commitment = bytes.fromhex(header.commit)
    except (ValueError, RecursionError, UnknownKind):  # what msgspec raises is a ValueError
        return None
    expected = (1, stream.stream_id, head.position + 1)
    if (header.v, header.stream, header.position) != expected or not header.recorded_at.tzinfo or len(commitment) != 32:
        return None
    link = chain.follow(head, stream.stream_id, event.proof.header.encode()).link
    recorded = Recorded(stream.audience, header.position, header.id, header.by, header.recorded_at, fact)
    return Stored(recorded, commitment, link, None, event.proof.body, opening)


def _opened(proof: Proof, header: chain.Header) -> tuple[bytes | None, Fact]:
    """The opening, and what the body says; an erased one has neither. Raises ValueError and UnknownKind."""
    if proof.body is None or proof.opening is None:
        return None, Erased()
    opening, body = bytes.fromhex(proof.opening), proof.body.encode()
    if chain.commit(opening, header.stream, header.id, body).hex() != header.commit:
        raise ValueError
    return opening, entries.from_text(body)


def _fits(event: Recorded, before: dict[UUID, Recorded]) -> bool:
    """Whether the log could have this event after those: its readers rely on that."""
    if event.event_id in before or (event.author is None) != isinstance(event.fact, Opened | Ended):
        return False
    match event.fact:
        case Retraction():
            retracted = before.get(event.fact.event_id)
            return retracted is not None and retracted.author == event.author
        case CheckIn() | Request() | Opening() | Decision():
            return event.recorded_at <= LAST_RECORDED and entries.complete(event.fact, event.recorded_at) == event.fact
        case _:
            return True


# --- Writing

# Nobody becomes a member meanwhile.
LOCK_MEMBERS = "LOCK TABLE members IN SHARE ROW EXCLUSIVE MODE"

ANYBODY = "SELECT EXISTS (SELECT FROM members)"

# It writes rows of a member for whom it does not act, which row-level security forbids to all others.
UNBOUND = """
SELECT rolsuper OR rolbypassrls
FROM pg_roles
WHERE rolname = current_user
"""


async def write_export(db: DbConnection, store: KeyStore, export: Export, now: datetime) -> int:
    """Write the export into a migrated database without members, all of it or nothing; returns how many events.

    The connection is that of a user whom row-level security does not bind. Raises ImportRefused.
    """
    verified = verify_export(export)
    if not await db.fetchval(UNBOUND):
        raise ImportRefused("An import needs a database user who is a superuser, or bypasses row-level security.")
    try:
        async with db.transaction():
            await db.execute(LOCK_MEMBERS)
            if await db.fetchval(ANYBODY):
                raise ImportRefused("This service has members already: an export goes into an empty one only.")
            # On this connection, so that a refusal leaves no keys behind.
            keys = Keyring(db, store, lambda: now, system_random_bytes)
            await keys.make_for_member(export.me.member_id)
            await members.insert(db, keys, export.me, export.pauses, now)
            # Planned from now on, by a seed of this service's own.
            await keep_schedule(db, keys, system_random_bytes, export.me.member_id, export.schedule, now)
            # They are listed by when somebody joined, the newest first.
            for i, one in enumerate(verified):
                await _write_one(db, keys, export.me, one, now - timedelta(microseconds=i))
    except asyncpg.IntegrityConstraintViolationError as error:
        raise ImportRefused("The export names twice what can be there only once.") from error
    return sum(len(one.shared) + len(one.private) for one in verified)


async def _write_one(db: DbConnection, keys: Keyring, me: Me, one: VerifiedRelationship, joined_at: datetime) -> None:
    view = one.exported.relationship
    await keys.make_for_relationship(view.id)
    shared, private = view.streams.shared, view.streams.private
    # Who is alone may invite; where two were, the other is not here, and nothing more can be shared.
    state: RelationshipState = "solo" if view.state in ("solo", "inviting") else "ended"
    await seats.insert(db, view.id, state, shared, joined_at)
    name = await _name(keys, me.member_id, me.name)
    await seats.join(db, MembershipRow(view.id, 1, me.member_id, view.author, private, name, joined_at))
    await seats.let_read(db, view.id, 1, me.member_id)
    if not one.alone:
        await _keep_seat_of_partner(db, keys, one, joined_at)
    encrypting = (await keys.fetch_relationship_keys([view.id]))[view.id]
    shared_key = StreamKey(view.id, SHARED, shared)
    # The private one refers to what is in the shared one.
    await _fill(db, Stream(shared_key, shared_key, encrypting), one.shared)
    await _fill(db, Stream(StreamKey(view.id, 1, private), shared_key, encrypting), one.private)


async def _keep_seat_of_partner(
    db: DbConnection, keys: Keyring, one: VerifiedRelationship, joined_at: datetime
) -> None:
    """A membership of nobody: what the partner shared has an author, but no address leads to them."""
    view = one.exported.relationship
    nobody, author_id = None if one.partner_erased else uuid4(), one.partner or uuid4()
    name = None
    if nobody:
        await keys.make_for_member(nobody)
        name = await _name(keys, nobody, view.partner.name if view.partner else None)
    await seats.join(db, MembershipRow(view.id, 2, nobody, author_id, uuid4(), name, joined_at))


async def _name(keys: Keyring, member_id: UUID, name: str | None) -> bytes | None:
    return await keys.encrypt_for(member_id, "name", name) if name else None


async def _fill(db: DbConnection, stream: Stream, log: list[Stored]) -> None:
    await create_stream(db, stream.key)
    version = (await lock_heads(db, [stream.key]))[stream.key].version
    for first in range(0, len(log), CHUNK_EVENTS):
        encrypted = [_encrypted(stream, stored) for stored in log[first : first + CHUNK_EVENTS]]
        version = await append_uncounted(db, stream.keys, stream.key, version, encrypted)
    await rebuild(db, [stream])


def _encrypted(stream: Stream, stored: Stored) -> Stored:
    if stored.opening is None or stored.body is None:
        return stored
    event = stored.event
    place = encryption.AssociatedData(stream.key.stream_id, event.event_id, event.author, stored.commitment)
    return replace(stored, ciphertext=encryption.encrypt(stream.keys, place, stored.opening, stored.body.encode()))
