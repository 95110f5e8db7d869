"""Leaks to be planted, one for each way in which designs like this one have told what is private.

Each replaces a function of the running service in both worlds. What a leak needs to know it takes from what was
appended, which `Log` overhears, or reads as the database's superuser: no wall of the database may hide it.
"""

import hashlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from inspect import isawaitable
from types import SimpleNamespace
from typing import Any, TypeAlias, cast
from uuid import UUID

import pytest
from msgspec.structs import astuple, replace

from events import errors, records, rules
from events.entries import Audience, CheckIn, Decision, complete, is_sealed, refers_to, thing_of
from events.reading import read_back
from events.records import Stored, StreamKey, header_of
from events.reveals import answers_of
from events.rules import Recorded
from projections import (
    balances,
    counts,
    feed,
    month,
    openings,
    pages,
    perspectives,
    requests,
    roles,
    trends,
)
from projections.pages import Page, PageKey
from projections.reader import Reader
from service import edge
from service.access import authentication, memberships
from service.errors import NotFound, TooManyRequests
from service.prompts import planner, prompts_api
from service.push import payloads
from service.reading import asking, live
from service.reading.answer_cache import AnswerCache
from service.recording import append, entries, offline_queue
from service.recording.recorder import Recorder
from service.relationships import home, view
from service.web import health, problems, responses
from tests.noninterference.worlds import World, playing

Patch: TypeAlias = pytest.MonkeyPatch
Leak: TypeAlias = Callable[[Patch], None]
LEAKS: dict[str, Leak] = {}
LEAKS_BETWEEN_WORKERS: dict[str, Leak] = {}  # where one worker serves, nothing tells


def leak(channel: str) -> Callable[[Leak], Leak]:
    """Name a leak by what tells."""

    def named(planted: Leak) -> Leak:
        LEAKS[channel] = planted
        return planted

    return named


@contextmanager
def planted(channel: str) -> Iterator[None]:
    """The service leaks there until the block ends."""
    with pytest.MonkeyPatch.context() as patch:
        _overhear(patch)
        (LEAKS | LEAKS_BETWEEN_WORKERS)[channel](patch)
        yield


def everywhere(patch: Patch, original: Any, replacement: Any) -> None:
    """Replace a function in every module of ours that has it, under whatever name."""
    ours = [
        m for name, m in list(sys.modules.items()) if name.partition(".")[0] in ("events", "projections", "service")
    ]
    places = [(m, name) for m in ours for name, value in list(vars(m).items()) if value is original]
    assert places, original
    for module, name in places:
        patch.setattr(module, name, replacement)


def within(patch: Patch, user: Any, used: Any, **replaced: Any) -> None:
    """Let one module see another one changed."""
    patch.setattr(user, used.__name__.rpartition(".")[2], SimpleNamespace(**{**vars(used), **replaced}))


# --- What leaks know


def here() -> World:
    """The world in which something happens."""
    return playing[0]


def _overhear(patch: Patch) -> None:
    encrypt, paged, write = records.encrypt_event, pages.page_row, append.append
    encrypted: dict[bytes, tuple[StreamKey, Stored]] = {}  # by link
    written: dict[bytes, tuple[PageKey, Page]] = {}  # by ciphertext

    def overheard(keys: Any, head: Any, stream: Any, *args: Any) -> Stored:
        stored = encrypt(keys, head, stream, *args)
        encrypted[stored.link] = stream, stored
        return stored

    def noted(keys: Any, key: Any, page: Any, *args: Any) -> Any:
        row = paged(keys, key, page, *args)
        written[row[-1]] = key, page
        return row

    async def overheard_rows(db: Any, rows: append.Rows) -> bool:
        done = await write(db, rows)
        if done:
            here().memory.setdefault("log", []).extend(encrypted[row.link] for row in rows.events)
            here().memory.setdefault("pages", {}).update(written[row.ciphertext] for row in rows.pages)
        return done

    everywhere(patch, encrypt, overheard)
    everywhere(patch, paged, noted)
    everywhere(patch, write, overheard_rows)


def log(relationship_id: UUID | None = None) -> list[tuple[StreamKey, Stored]]:
    """All that was appended to the relationship, in order."""
    wanted = relationship_id or UUID(here().names["rid"])
    found: list[tuple[StreamKey, Stored]] = here().memory.get("log", [])
    return [(key, stored) for key, stored in found if key.relationship_id == wanted]


def hidden_from(author_id: UUID) -> list[Recorded]:
    """What others keep from that author."""
    events = [stored.event for _, stored in log()]
    return [event for event in events if event.audience == "private" and event.author != author_id]


def hidden_stream(author_id: UUID) -> StreamKey | None:
    """The private stream of another, once something is in it."""
    private = [(key, stored) for key, stored in log() if key.audience == "private"]
    return next((key for key, stored in private if stored.event.author != author_id), None)


def kept_pages() -> dict[PageKey, Page]:
    """What is counted in the relationship, by everybody, as it was last written."""
    found: dict[PageKey, Page] = here().memory.get("pages", {})
    return {key: page for key, page in found.items() if str(key.stream.relationship_id) == here().names["rid"]}


class Nosy(Reader, frozen=True):
    """A reader of all pages."""


def nosy(reader: Reader) -> Nosy:
    """That reader, with access to everything that is counted."""
    return Nosy(*astuple(reader))


def _count_everything(patch: Patch) -> None:
    """Whoever is nosy reads the pages that the other keeps, too."""
    readable = counts._pages

    async def every(db: Any, keys: Any, reader: Reader, *args: Any) -> Any:
        found = await readable(db, keys, reader, *args)
        hidden = [one for one in kept_pages().items() if one[0].stream.number not in (0, reader.seat)]
        return [*found, *hidden] if isinstance(reader, Nosy) else found

    everywhere(patch, readable, every)


def count_of(name: object) -> int:
    """How often this was asked in this world, from 1."""
    counted = here().memory
    counted[name] = counted.get(name, 0) + 1
    return int(counted[name])


# --- The log


def _resealed(patch: Patch, change: Callable[[Any, Any, Any], tuple[Any, Any]]) -> None:
    seal = records.encrypt_event

    def sealed(keys: Any, head: Any, key: Any, draft: Any) -> Any:
        head, draft = change(head, key, draft)
        return seal(keys, head, key, draft)

    everywhere(patch, seal, sealed)


@leak("one sequence for all streams")
def _one_sequence(patch: Patch) -> None:
    def numbered(head: Any, key: Any, draft: Any) -> tuple[Any, Any]:
        return replace(head, position=count_of(("position", key.relationship_id)) - 1), draft

    _resealed(patch, numbered)


@leak("chain links over private events")
def _one_chain(patch: Patch) -> None:
    def chained(head: Any, key: Any, draft: Any) -> tuple[Any, Any]:
        private = b"".join(s.link for _, s in log(key.relationship_id) if s.event.audience == "private")
        return replace(head, link=hashlib.sha256(head.link + private).digest()), draft

    _resealed(patch, chained)


@leak("openings drawn from what was recorded before")
def _telling_openings(patch: Patch) -> None:
    def opened(head: Any, key: Any, draft: Any) -> tuple[Any, Any]:
        count = len(log(key.relationship_id))
        return head, replace(draft, opening=hashlib.sha256(draft.opening + bytes([count % 256])).digest())

    _resealed(patch, opened)


@leak("recorded_at moved by private events")
def _one_clock(patch: Patch) -> None:
    def moved(head: Any, key: Any, draft: Any) -> tuple[Any, Any]:
        return head, replace(draft, at=draft.at + timedelta(microseconds=len(log(key.relationship_id))))

    _resealed(patch, moved)


@leak("the prompt that an entry answers")
def _told_prompt(patch: Patch) -> None:
    def told(entry: Any, recorded_at: Any) -> Any:
        completed = complete(entry, recorded_at)
        return replace(completed, prompt_id=entry.prompt_id) if isinstance(entry, CheckIn) else completed

    everywhere(patch, complete, told)


@leak("what is shared later is told apart from what is shared at once")
def _told_later(patch: Patch) -> None:
    def dated(head: Any, key: Any, draft: Any) -> tuple[Any, Any]:
        before = [s.event for _, s in log(key.relationship_id) if s.event.event_id == draft.event_id]
        kept = [event for event in before if event.audience == "private" and event.author == draft.by]
        return head, replace(draft, at=draft.at - timedelta(microseconds=len(kept) if key.audience == "shared" else 0))

    _resealed(patch, dated)


# --- Live events


@leak("the id of a live frame, which counts the private events of both")
def _counting_frames(patch: Patch) -> None:
    said = live._id

    def counted(reached: dict[Audience, int]) -> str:
        private = [one for _, one in log() if one.event.audience == "private"]
        return said({**reached, "private": len(private)})

    patch.setattr(live, "_id", counted)


# --- Pages


def _repaged(patch: Patch, change: Callable[[Any, Any, str, int, int], Any]) -> None:
    page = feed.page

    async def changed(db: Any, keys: Any, reader: Any, audience: Any, after: Any, limit: Any, **named: Any) -> Any:
        found = await page(db, keys, reader, audience, after, limit, **named)
        return change(found, reader, audience, after, limit)

    everywhere(patch, page, changed)


@leak("a page filtered after LIMIT")
def _filtered_late(patch: Patch) -> None:
    def filtered(found: Any, reader: Any, audience: str, after: int, limit: int) -> Any:
        ids = [str(stored.event.event_id) for key, stored in log() if key.stream_id != reader.private_stream]
        return replace(found, events=[event for event in found.events if str(event.id) in ids[after : after + limit]])

    _repaged(patch, filtered)


@leak("whether there is more, over all streams")
def _more_of_all(patch: Patch) -> None:
    def more(found: Any, reader: Any, audience: str, after: int, limit: int) -> Any:
        return replace(found, more=found.more or len(log()) > after + limit)

    _repaged(patch, more)


@leak("a total over all streams")
def _total(patch: Patch) -> None:
    def total(found: Any, reader: Any, audience: str, after: int, limit: int) -> Any:
        return replace(found, head=replace(found.head, position=len(log())))

    _repaged(patch, total)


@leak("the head of the other's private stream")
def _foreign_head(patch: Patch) -> None:
    def head(found: Any, reader: Any, audience: str, after: int, limit: int) -> Any:
        links = [s.link.hex() for key, s in log() if key == hidden_stream(reader.author_id)]
        return replace(found, head=replace(found.head, link=links[-1])) if links else found

    _repaged(patch, head)


@leak("the other's page in the answer to sync")
def _foreign_page(patch: Patch) -> None:
    async def page(db: Any, keys: Any, reader: Any, audience: Any, after: Any, limit: Any, **named: Any) -> Any:
        theirs = hidden_stream(reader.author_id)
        if audience == "private" and theirs:
            db, reader = here().superuser, replace(reader, seat=theirs.number, private_stream=theirs.stream_id)
        return await feed.page(db, keys, reader, audience, after, limit, **named)

    within(patch, offline_queue, feed, page=page)


@leak("late, as counted from private events")
def _late(patch: Patch) -> None:
    is_late = rules.is_late

    def late(event: Recorded) -> bool:
        return is_late(event) != any(
            one.recorded_at >= event.recorded_at for one in hidden_from(event.author or UUID(int=0))
        )

    everywhere(patch, is_late, late)


# --- Writing


def _redecided(patch: Patch, change: Callable[..., Any]) -> None:
    decide = rules.decide

    def decided(entry_id: UUID, entry: Any, author: Any, known: Any, now: Any) -> Any:
        return change(decide, entry_id, entry, author, known, now)

    everywhere(patch, decide, decided)


@leak("ids unique over all streams")
def _unique_everywhere(patch: Patch) -> None:
    def taken(decide: Any, entry_id: UUID, entry: Any, author: Any, known: Any, now: Any) -> Any:
        decided = decide(entry_id, entry, author, known, now)
        if isinstance(decided, rules.Accepted) and entry_id in {stored.event.event_id for _, stored in log()}:
            raise errors.IdTaken
        return decided

    _redecided(patch, taken)


@leak("an answer kept for all who send that id")
def _one_idempotency(patch: Patch) -> None:
    record = entries._record

    async def recorded(request: Any, rid: str, entry_id: str, kind: Any) -> Any:
        kept, key = here().memory.setdefault("answers", {}), (rid, entry_id)
        if key not in kept:
            kept[key] = await record(request, rid, entry_id, kind)
        return kept[key]

    everywhere(patch, record, recorded)


@leak("a quota over all streams")
def _one_quota(patch: Patch) -> None:
    def refused(decide: Any, entry_id: UUID, entry: Any, author: Any, known: Any, now: Any) -> Any:
        if len(log()) >= 8:
            raise errors.NotActive
        return decide(entry_id, entry, author, known, now)

    _redecided(patch, refused)


def _names_hidden(entry: Any, author: Any) -> bool:
    return refers_to(entry) in {event.event_id for event in hidden_from(author.author_id)}


@leak("403 for what is private, 404 for what is not there")
def _forbidden(patch: Patch) -> None:
    def forbidden(decide: Any, entry_id: UUID, entry: Any, author: Any, known: Any, now: Any) -> Any:
        try:
            return decide(entry_id, entry, author, known, now)
        except errors.UnknownEvent:
            raise errors.NotActive if _names_hidden(entry, author) else errors.UnknownEvent from None

    _redecided(patch, forbidden)


@leak("an error text that knows what is private")
def _explained(patch: Patch) -> None:
    def explained(decide: Any, entry_id: UUID, entry: Any, author: Any, known: Any, now: Any) -> Any:
        try:
            return decide(entry_id, entry, author, known, now)
        except errors.UnknownEvent:
            raise errors.UnknownEvent(_names_hidden(entry, author)) from None

    patch.setattr(errors.UnknownEvent, "detail", property(lambda refusal: f"Is it private? {refusal.args}"))
    _redecided(patch, explained)


@leak("an order of validation that depends on what is private")
def _other_order(patch: Patch) -> None:
    def ordered(decide: Any, entry_id: UUID, entry: Any, author: Any, known: Any, now: Any) -> Any:
        if _names_hidden(entry, author) and known.find(refers_to(entry), *rules.AUDIENCES) is None:
            raise errors.UnknownEvent
        return decide(entry_id, entry, author, known, now)

    _redecided(patch, ordered)


@leak("a quiet answer closes the request to other answers")
def _closed(patch: Patch) -> None:
    def closed(decide: Any, entry_id: UUID, entry: Any, author: Any, known: Any, now: Any) -> Any:
        decided = decide(entry_id, entry, author, known, now)
        answered = {one.fact.request_id for one in hidden_from(author.author_id) if isinstance(one.fact, Decision)}
        if isinstance(decided, rules.Accepted) and refers_to(entry) in answered:
            raise errors.AlreadyRetracted
        return decided

    _redecided(patch, closed)


# --- Sealed check-ins


def waiting_for(author_id: UUID) -> list[Recorded]:
    """What the other has sealed, and that author cannot read."""
    return [event for event in hidden_from(author_id) if is_sealed(event.fact)]


@leak("an answer to sealing that tells whether the other has sealed something")
def _told_of_waiting(patch: Patch) -> None:
    def told(decide: Any, entry_id: UUID, entry: Any, author: Any, known: Any, now: Any) -> Any:
        decided = decide(entry_id, entry, author, known, now)
        if isinstance(decided, rules.Accepted) and is_sealed(entry) and waiting_for(author.author_id):
            raise errors.NotActive
        return decided

    _redecided(patch, told)


@leak("ids of sealed entries unique over both private streams")
def _one_id_for_sealed(patch: Patch) -> None:
    def taken(decide: Any, entry_id: UUID, entry: Any, author: Any, known: Any, now: Any) -> Any:
        decided = decide(entry_id, entry, author, known, now)
        if isinstance(decided, rules.Accepted) and entry_id in {e.event_id for e in waiting_for(author.author_id)}:
            raise errors.IdTaken
        return decided

    _redecided(patch, taken)


@leak("balances: how many sealed entries of the other wait")
def _waiting_in_balances(patch: Patch) -> None:
    found = balances.balances

    async def counted(db: Any, keys: Any, reader: Reader, *args: Any) -> Any:
        plain = await found(db, keys, reader, *args)
        return replace(plain, window=plain.window + len(waiting_for(reader.author_id)))

    everywhere(patch, found, counted)


@leak("the shared head moved by what is sealed")
def _moved_head(patch: Patch) -> None:
    def moved(found: Any, reader: Any, audience: str, after: int, limit: int) -> Any:
        waiting = len(waiting_for(reader.author_id)) if audience == "shared" else 0
        return replace(found, head=replace(found.head, position=found.head.position + waiting))

    _repaged(patch, moved)


@leak("a reveal of what is sealed for another thing")
def _anything(patch: Patch) -> None:
    everywhere(patch, thing_of, lambda check_in: "anything")


@leak("a reveal for a dummy")
def _dummies(patch: Patch) -> None:
    everywhere(patch, answers_of, lambda check_in: [*answers_of(check_in), "anything"])


# --- Projections


@leak("balances: my telling with the partner's private events")
def _mine(patch: Patch) -> None:
    found = balances.balances

    async def counted(db: Any, keys: Any, reader: Reader, *args: Any) -> Any:
        all_of_it = await found(db, keys, nosy(reader), *args)
        return replace(await found(db, keys, reader, *args), mine=all_of_it.partners)

    _count_everything(patch)
    everywhere(patch, found, counted)


def _nosily(patch: Patch, found: Any) -> None:
    """Let a read count what the other keeps, too."""

    async def counted(db: Any, keys: Any, reader: Reader, *args: Any) -> Any:
        return await found(db, keys, nosy(reader), *args)

    _count_everything(patch)
    everywhere(patch, found, counted)


@leak("balances: the partner's telling with private events")
def _partners(patch: Patch) -> None:
    _nosily(patch, balances.balances)


@leak("trends: the partner's telling with private events")
def _trends(patch: Patch) -> None:
    _nosily(patch, trends.trend)


@leak("roles with private events")
def _roles(patch: Patch) -> None:
    _nosily(patch, roles.roles)


@leak("the month in words, with private counts")
def _month(patch: Patch) -> None:
    _nosily(patch, month.read_counts)


@leak("a first screen whose figures count what is private")
def _home(patch: Patch) -> None:
    read = counts.read

    async def counted(db: Any, keys: Any, reader: Reader, *args: Any) -> Any:
        return await read(db, keys, nosy(reader), *args)

    _count_everything(patch)
    patch.setattr(home, "counting", SimpleNamespace(**{**vars(counts), "read": counted}))


@leak("voice, over private views")
def _voice(patch: Patch) -> None:
    _widened(patch, openings, "shared")


@leak("a shared page read with private counts")
def _private_counts(patch: Patch) -> None:
    def decrypt_all(*args: Any) -> list[tuple[PageKey, Page]]:
        found = list(pages.decrypt_all(*args))
        for key, page in found:
            for other, kept in kept_pages().items():
                if (other.author, other.month) == (key.author, key.month) and other.stream != key.stream:
                    for counted, count in pages.counted(other, kept).items():
                        pages.add(page, counted, count)
        return found

    within(patch, counts, pages, decrypt_all=decrypt_all)


@leak("a page's size")
def _page_size(patch: Patch) -> None:
    kept = "SELECT sum(length(ciphertext)) FROM pages WHERE relationship_id = $1"
    _reshown(patch, lambda one: here().superuser.fetchval(kept, one.relationship_id))


@leak("a header rendered from another stream")
def _foreign_header(patch: Patch) -> None:
    def rendered(key: StreamKey, stored: Stored) -> str:
        elsewhere = [(other, one) for other, one in log(key.relationship_id) if other != key]
        there = [(other, one) for other, one in elsewhere if one.event.position == stored.event.position]
        return header_of(*there[-1] if there else (key, stored))

    everywhere(patch, header_of, rendered)


def _widened(patch: Patch, user: Any, audience: Audience) -> None:
    async def read_all(db: Any, keys: Any, stream: StreamKey, since: Any = None) -> AsyncIterator[list[Recorded]]:
        if stream.audience == "shared":
            private = [one.event for key, one in log(stream.relationship_id) if key.audience == "private"]
            yield [replace(event, audience=audience) for event in private]
        async for part in read_back(db, keys, stream, since):
            yield part

    patch.setattr(user, "read_back", read_all)


@leak("perspectives over private events")
def _perspectives(patch: Patch) -> None:
    _widened(patch, perspectives, "shared")


@leak("requests that show a private answer")
def _decided(patch: Patch) -> None:
    _widened(patch, requests, "private")


def _restood(patch: Patch, change: Callable[[Any], Any]) -> None:
    listed = requests.requests

    async def changed(db: Any, keys: Any, reader: Any, state: Any, now: Any) -> Any:
        found = await listed(db, keys, reader, state, now)
        declined = {one.fact.request_id for one in hidden_from(reader.author_id) if isinstance(one.fact, Decision)}
        stand = [change(one) if one.event.id in declined else one for one in found.requests]
        return replace(found, requests=[one for one in stand if one])

    everywhere(patch, listed, changed)


@leak("a request that lapses when it is declined in private")
def _lapses(patch: Patch) -> None:
    _restood(patch, lambda one: replace(one, state="lapsed"))


@leak("a request that is gone when it is declined in private")
def _gone(patch: Patch) -> None:
    _restood(patch, lambda one: None)


@leak("today, in the zone that the other chose")
def _zone(patch: Patch) -> None:
    current_reader = asking.current_reader

    async def moved(request: Any, rid: str) -> Any:
        found = await current_reader(request, rid)
        zone = await here().superuser.fetchval(ZONE_OF_OTHER, found.reader.relationship_id, found.member_id)
        return replace(found, time_zone=zone or found.time_zone)

    everywhere(patch, current_reader, moved)


ZONE_OF_OTHER = """
SELECT time_zone
FROM members
JOIN memberships USING (member_id)
WHERE relationship_id = $1
    AND member_id <> $2
"""


# --- Caches


def _recached(patch: Patch, change: Callable[..., Any]) -> None:
    answer = responses.cacheable_answer

    def answered(request: Any, value: Any) -> Any:
        return change(answer, request, value)

    everywhere(patch, answer, answered)


@leak("an ETag made from a version of the relationship")
def _versioned(patch: Patch) -> None:
    def tagged(answer: Any, request: Any, value: Any) -> Any:
        return answer(request, replace(value, tag=f'"{len(log())}"'.encode()))

    _recached(patch, tagged)


@leak("304 decided by a version of the relationship")
def _not_modified(patch: Patch) -> None:
    def decided(answer: Any, request: Any, value: Any) -> Any:
        key = (str(request.url), request.scope["mutuality_member"])
        known, here().memory[key] = here().memory.get(key), len(log())
        if known == len(log()) and "if-none-match" in request.headers:
            return responses.RawResponse(304, [], b"")
        return answer(SimpleNamespace(scope={"headers": []}), value)

    _recached(patch, decided)


@leak("a cache keyed by relationship")
def _one_cache(patch: Patch) -> None:
    def cached(answer: Any, request: Any, value: Any) -> Any:
        shared = sum(stored.event.audience == "shared" for _, stored in log())
        return answer(request, here().memory.setdefault((str(request.url), shared), value))

    _recached(patch, cached)


# --- Around it


@leak("request ids from a counter")
def _counted_requests(patch: Patch) -> None:
    defaults = edge._with_defaults

    def numbered(*args: Any) -> Any:
        return [*defaults(*args), (b"x-request-id", str(count_of("requests")).encode())]

    everywhere(patch, defaults, numbered)


def _reseen(patch: Patch, change: Callable[[Any, Any], Any]) -> None:
    """The membership that calls are based on, changed with the member who asks at hand."""
    of = memberships.membership_in

    async def changed(db: Any, member_id: UUID, *args: Any) -> Any:
        return await change(await of(db, member_id, *args), SimpleNamespace(member_id=member_id))

    everywhere(patch, of, changed)


@leak("a rate limit per relationship")
def _one_limit(patch: Patch) -> None:
    record = Recorder.record

    async def limited(recorder: Recorder, submission: Any) -> Any:
        if count_of(submission.submitter.relationship_id) > 10:
            raise TooManyRequests(1)
        return await record(recorder, submission)

    patch.setattr(Recorder, "record", limited)


@leak("a Retry-After counted over both members")
def _retry_after(patch: Patch) -> None:
    async def limited(membership: Any, member: Any) -> Any:
        calls = count_of(membership.relationship_id)
        if count_of(member.member_id) % 10 == 0:
            raise TooManyRequests(calls)
        return membership

    _reseen(patch, limited)


class Shown(view.Relationship, frozen=True):
    """A relationship that shows more than it may."""

    at: Any


def _reshown(patch: Patch, at: Callable[[Any], Any]) -> None:
    view_of, leaking = view.view_of, cast(Any, Shown)

    async def shown(world: Any, membership: Any) -> Any:
        seen = await view_of(world, membership)
        found = at(membership)
        told = await found if isawaitable(found) else found
        return leaking(*[getattr(seen, name) for name in view.Relationship.__struct_fields__], told)

    everywhere(patch, view_of, shown)


@leak("how many devices the other has")
def _devices(patch: Patch) -> None:
    counted = "SELECT count(*) FROM sessions WHERE member_id = $1"
    _reshown(patch, lambda one: here().superuser.fetchval(counted, one.partner_member_id))


@leak("where the other's pushes go, counted")
def _push_devices(patch: Patch) -> None:
    counted = "SELECT count(*) FROM devices WHERE member_id = $1"
    _reshown(patch, lambda one: here().superuser.fetchval(counted, one.partner_member_id))


def _reasked(patch: Patch, told: str) -> None:
    """My prompts, with one more for what a query says of the other members of my relationships."""
    of = prompts_api.prompts_of

    async def changed(world: Any, member_id: UUID, *args: Any) -> Any:
        found, more = await of(world, member_id, *args), await here().superuser.fetchval(told, member_id)
        return [*found, more] if more else found

    everywhere(patch, of, changed)


@leak("a prompt when the other has a schedule")
def _their_schedule(patch: Patch) -> None:
    _reasked(patch, f"SELECT count(*) FROM schedules WHERE plan_at IS NOT NULL AND member_id IN ({OTHERS})")


@leak("a badge that counts the other's private entries")
def _badge(patch: Patch) -> None:
    _reasked(patch, f"SELECT count(*) FROM events WHERE (relationship_id, stream) IN ({PRIVATE_OF_OTHERS})")


OTHERS = """
SELECT theirs.member_id
FROM memberships AS mine
JOIN memberships AS theirs USING (relationship_id)
WHERE mine.member_id = $1
    AND theirs.member_id <> $1
"""
PRIVATE_OF_OTHERS = """
SELECT
    theirs.relationship_id,
    theirs.seat
FROM memberships AS mine
JOIN memberships AS theirs USING (relationship_id)
WHERE mine.member_id = $1
    AND theirs.member_id <> $1
"""


@leak("the other's name after the end")
def _new_name(patch: Patch) -> None:
    view_of, current = view.view_of, "SELECT name FROM members WHERE member_id = $1"

    async def shown(world: Any, membership: Any) -> Any:
        name = await here().superuser.fetchval(current, membership.partner_member_id)
        return await view_of(world, replace(membership, partner_name_ciphertext=name))

    everywhere(patch, view_of, shown)


@leak("updated_at of the relationship")
def _updated_at(patch: Patch) -> None:
    _reshown(patch, lambda one: [stored.event.recorded_at for _, stored in log(one.relationship_id)][-1:])


@leak("last seen")
def _last_seen(patch: Patch) -> None:
    signed_in = authentication.bearer_without_recheck

    async def noticed(request: Any) -> Any:
        member = await signed_in(request)
        here().memory.setdefault("seen", {})[member.member_id] = here().clock.time
        return member

    everywhere(patch, signed_in, noticed)
    _reshown(patch, lambda one: sorted(here().memory.get("seen", {}).items()))


@leak("presence: who has called since I did")
def _presence(patch: Patch) -> None:
    signed_in = authentication.bearer_without_recheck

    async def noticed(request: Any) -> Any:
        member = await signed_in(request)
        here().memory.setdefault("calls", []).append(member.member_id)
        return member

    everywhere(patch, signed_in, noticed)
    _reshown(patch, lambda one: len(set(here().memory["calls"][-3:])) > 1)


@leak("a health answer that counts events")
def _healthy(patch: Patch) -> None:
    answer = responses.json_answer

    def counted(value: Any, *args: Any) -> Any:
        return answer({"status": value.status, "events": len(here().memory.get("log", []))}, *args)

    patch.setattr(health, "json_answer", counted)


@leak("a 404 for strangers that depends on what is there")
def _strangers(patch: Patch) -> None:
    def told(found: Any, headers: Any = None) -> Any:
        there = len(log()) if found.code == NotFound.code else 0
        return original(replace(found, detail=f"{found.detail} {there}"), headers)

    original = problems.answer
    everywhere(patch, original, told)


# --- Prompts


@leak("a badge that counts")
def _counting_badge(patch: Patch) -> None:
    class Counted(dict[Any, bytes]):
        def __getitem__(self, kind: Any) -> bytes:
            return super().__getitem__(kind) + str(len(log())).encode()

    patch.setattr(payloads, "FCM", Counted(payloads.FCM))


# --- Prompts


@leak("a prompt after what is private")
def _private_occasions(patch: Patch) -> None:
    def occasion(event: Recorded) -> bool:
        return original(replace(event, audience="shared"))

    original = rules.is_occasion
    everywhere(patch, original, occasion)


@leak("a prompt after the delay that the other has set")
def _their_delay(patch: Patch) -> None:
    after, members = planner._after, planner._members

    async def remembered(*args: Any) -> Any:
        here().memory["members"] = await members(*args)
        return here().memory["members"]

    def delayed(context: Any, member: Any, *args: Any) -> Any:
        found = here().memory["members"].values()
        theirs = [one.schedule.after_events for one in found if one.member_id != member.member_id]
        for one in (one for one in theirs if one.enabled):
            member = replace(member, schedule=replace(member.schedule, after_events=one))
        return after(context, member, *args)

    everywhere(patch, members, remembered)
    everywhere(patch, after, delayed)


# --- Where several workers serve


def _known_to_one_worker(patch: Patch) -> None:
    """Answers last until their own worker has recorded something, whatever others have recorded."""
    commit = Recorder._commit

    async def committed(recorder: Recorder, *args: Any) -> Any:
        done = await commit(recorder, *args)
        for state in here().states():
            if state.recorder is recorder:
                state.answer_cache._entries.clear()
        return done

    def whatever_its_version(cache: AnswerCache, key: Any, version: str) -> Any:
        entry = cache._entries.get(key)
        return entry.answer if entry else None

    patch.setattr(Recorder, "_commit", committed)
    patch.setattr(AnswerCache, "get", whatever_its_version)


LEAKS_BETWEEN_WORKERS["what one worker alone has recorded"] = _known_to_one_worker
