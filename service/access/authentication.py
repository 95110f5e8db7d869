"""Authentication: from the access token of a request to the member and the session that it names."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from msgspec import Struct

from events.heads import DbConnection
from service.context import Context
from service.core import tokens
from service.database.group_commit import GroupCommit, Slot
from service.errors import NotSignedIn, StepUpRequired, TooManyRequests
from service.web.rate_limits import ALLOWANCE, limits_of
from service.web.requests import ApiRequest, context_of, header_of, state_of

STEP_UP_TTL = timedelta(minutes=5)

MAX_REMEMBERED = 50_000
ADMITTED = "mutuality_member"  # in the scope of a request, for the line that is logged
ADMITTED_AT = "mutuality_admitted_at"  # there as well: a call reads the clock once


class Bearer(Struct, frozen=True):
    """The member and session of an access token, until it expires. None of it changes, but the session may end."""

    member_id: UUID
    session_id: UUID
    access_expires_at: datetime


class Member(Bearer, frozen=True):
    """The caller as they are now. The name stays encrypted until somebody has to see it."""

    name_ciphertext: bytes | None
    time_zone: str
    consent_version: str | None
    stepped_up_at: datetime | None


AnyBearer = TypeVar("AnyBearer", bound=Bearer)


BY_ACCESS_TOKENS = """
SELECT
    access_tokens.token_hash,
    members.member_id,
    sessions.session_id,
    access_tokens.expires_at,
    members.name AS name_ciphertext,
    members.time_zone,
    members.consent_version,
    sessions.stepped_up_at
FROM unnest($1::bytea[]) AS wanted (token_hash)
JOIN access_tokens USING (token_hash)
JOIN sessions USING (session_id)
JOIN members USING (member_id)
"""


class Authenticator:
    """Looks up access tokens, several with one statement, and remembers the bearers that it has seen."""

    def __init__(self, context: Context, max_remembered: int = MAX_REMEMBERED) -> None:
        self._context, self._max_remembered = context, max_remembered
        self._grouped = GroupCommit[bytes, Member | None](self._look_up, _slot_of)
        self._remembered: dict[bytes, Bearer] = {}

    async def authenticate(self, token_hash: bytes) -> Member | None:
        """The member that it names at this moment."""
        return await self._grouped.submit(token_hash)

    async def authenticate_cached(self, token_hash: bytes) -> Bearer | None:
        """The bearer that it named when it first came: the session may have ended since."""
        if remembered := self._remembered.get(token_hash):
            return remembered
        found = await self.authenticate(token_hash)
        if found is None:
            return None
        self._make_room()
        bearer = self._remembered[token_hash] = Bearer(found.member_id, found.session_id, found.access_expires_at)
        return bearer

    def evict(self, token_hash: bytes) -> None:
        """Forget a token whose session has ended."""
        self._remembered.pop(token_hash, None)

    def _make_room(self) -> None:
        """Forget the oldest while they have expired or there are too many.

        Each came within a quarter of an hour before its end, so none that came later is kept for longer than that.
        """
        now = self._context.now()
        while self._remembered:
            token_hash, oldest = next(iter(self._remembered.items()))
            if len(self._remembered) < self._max_remembered and oldest.access_expires_at > now:
                break
            del self._remembered[token_hash]

    async def _look_up(self, token_hashes: Sequence[bytes], wait_for_locks: bool) -> Sequence[Member | None]:
        rows = await self._context.admission_db.fetch(BY_ACCESS_TOKENS, list(set(token_hashes)))
        found = {token_hash: Member(*member) for token_hash, *member in rows}
        return [found.get(token_hash) for token_hash in token_hashes]


def _slot_of(token_hash: bytes) -> Slot:
    """All tokens are looked up together; one that fails, fails alone."""
    return Slot(lane=None, streams=frozenset((token_hash,)), blocking_key=token_hash)


def authenticator_of(request: ApiRequest) -> Authenticator:
    """The one authenticator of this process."""
    authenticator: Authenticator = state_of(request).authenticator
    return authenticator


async def current_member(request: ApiRequest) -> Member:
    """The caller, by their access token, as of now. Raises NotSignedIn and TooManyRequests."""
    return admit(request, await authenticator_of(request).authenticate(_token_hash(request)))


async def bearer_without_recheck(request: ApiRequest) -> Bearer:
    """The caller, though their session may have ended: that is for the handler's own statement to find.

    For what is called all the time. Where that statement finds nothing, the handler calls `recheck_session`. Raises as
    `current_member` does.
    """
    bearer = await authenticator_of(request).authenticate_cached(_token_hash(request))
    try:
        return admit(request, bearer)
    except TooManyRequests:
        # How often its member calls is not for a phone that was signed out.
        await recheck_session(request)
        raise


async def recheck_session(request: ApiRequest) -> None:
    """Raises NotSignedIn where the session has ended since its token first came; the call then counts for nobody."""
    authenticator, token_hash = authenticator_of(request), _token_hash(request)
    if await authenticator.authenticate(token_hash) is None:
        authenticator.evict(token_hash)
        request.scope.pop(ALLOWANCE, None)  # type: ignore[misc]
        if member_id := request.scope.pop(ADMITTED, None):  # type: ignore[misc]
            limits_of(request).requests.give_back(_counted_for(UUID(member_id)))
        raise NotSignedIn


def _token_hash(request: ApiRequest) -> bytes:
    scheme, _, token = header_of(request, b"authorization").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotSignedIn
    return tokens.token_hash(token)


def admit(request: ApiRequest, found: AnyBearer | None) -> AnyBearer:
    """The bearer that was found, whose call then counts. Raises NotSignedIn and TooManyRequests."""
    now = context_of(request).now()
    if found is None or found.access_expires_at <= now:
        raise NotSignedIn
    limit, key = limits_of(request).requests, _counted_for(found.member_id)
    try:
        limit.take(key, now)
    finally:
        request.scope[ALLOWANCE] = limit.left(key, now)  # type: ignore[literal-required]
    request.scope[ADMITTED] = str(found.member_id)  # type: ignore[literal-required]
    request.scope[ADMITTED_AT] = now  # type: ignore[literal-required]
    return found


def admitted_at(request: ApiRequest) -> datetime:
    """When the caller was admitted, in UTC."""
    at: datetime = request.scope[ADMITTED_AT]  # type: ignore[literal-required]
    return at


def _counted_for(member_id: UUID) -> tuple[bytes]:
    """By a member's own calls alone: what the other does must not show."""
    return (member_id.bytes,)


async def require_step_up(request: ApiRequest) -> Member:
    """The caller, where their session was stepped up just now. Raises NotSignedIn and StepUpRequired."""
    member = await current_member(request)
    check_step_up(member, context_of(request).now())
    return member


def check_step_up(member: Member, now: datetime) -> None:
    """Raises StepUpRequired where the member's session was not stepped up just now."""
    if member.stepped_up_at is None or now > member.stepped_up_at + STEP_UP_TTL:
        raise StepUpRequired


# Whoever ends the session, or erases its member, waits: what is written for it meanwhile goes with it.
LOCK_SESSION = """
SELECT session_id
FROM sessions
WHERE session_id = $1
    AND member_id = $2
FOR KEY SHARE
"""


async def lock_session(db: DbConnection, member: Member) -> None:
    """Lock the session until the transaction ends. Raises NotSignedIn where it has ended since it was looked up."""
    if await db.fetchval(LOCK_SESSION, member.session_id, member.member_id) is None:
        raise NotSignedIn
