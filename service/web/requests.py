"""Requests: bodies, queries and ids decoded strictly, and what handlers share."""

import re
from collections.abc import Container
from itertools import islice
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from asyncpg.pgproto import pgproto
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import ReceiveMessage
from msgspec import Struct

from service.context import Context
from service.core.languages import accepted_languages, best_of
from service.errors import Invalid, MalformedJson, NotFound, TooLarge, UnsupportedMediaType, Violation
from service.web.nulls import without_nulls
from service.web.violations import MAX_VIOLATIONS, in_words, violations

ApiRequest: TypeAlias = Request[Any, Any, State]
T = TypeVar("T")

JSON = "application/json"
UTF_8 = ("utf-8", "utf8")
HYPHENATED = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


APP_STATE = "app_state"


def state_of(request: ApiRequest) -> Any:
    """The `AppState` of `service.app`. No room may import that, so each has accessors that name the types of its part.

    It is one item of Litestar's State, whose attributes take six times as long to find.
    """
    return request.app.state[APP_STATE]


def context_of(request: ApiRequest) -> Context:
    """The context that the application was started with."""
    context: Context = state_of(request).context
    return context


def path_uuid(text: str) -> UUID:
    """The id in a path. A malformed one is as unknown as any other: raises NotFound."""
    if not HYPHENATED.fullmatch(text):
        raise NotFound
    # The driver's own kind of UUID, as rows bring it: it is made, hashed and written in a fraction of the time.
    return pgproto.UUID(text)


async def decode_body(request: ApiRequest, kind: type[T]) -> T:
    """The body, decoded strictly.

    Raises UnsupportedMediaType, TooLarge, MalformedJson, and Invalid with a pointer to what does not fit.
    """
    return decode(await json_of(request), kind)


async def json_of(request: ApiRequest) -> bytes:
    """The body as it was sent, once. Raises UnsupportedMediaType where it does not call itself JSON, and TooLarge."""
    media_type = header_of(request, b"content-type")
    if media_type != JSON:
        _check_media_type(media_type)
    if header_of(request, b"content-encoding").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType("Send the body as it is, without Content-Encoding: it is not decompressed here.")
    return await _read_body(request)


def _check_media_type(given: str) -> None:
    media_type, *parameters = (part.strip().lower() for part in given.split(";"))
    if media_type != JSON:
        raise UnsupportedMediaType
    for name, _, value in (parameter.partition("=") for parameter in parameters):
        if name.strip() == "charset" and value.strip().strip('"') not in UTF_8:
            raise UnsupportedMediaType("Send the body in UTF-8; JSON in another charset is not read.")


SMALL_BODY_BYTES = 64 * 1024  # less than any body may have


async def _read_body(request: ApiRequest) -> bytes:
    # A small one that comes in one piece, as most do, is taken as it is: the framework takes 15 µs to join it.
    announced = header_of(request, b"content-length")
    if not announced.isdecimal() or len(announced) > 9 or int(announced) > SMALL_BODY_BYTES:
        return await _join_body(request)
    piece = await request.receive()
    if piece["type"] == "http.request" and not piece.get("more_body") and len(piece["body"]) <= SMALL_BODY_BYTES:
        return piece["body"]
    return await _join_body(request, piece)


async def _join_body(request: ApiRequest, *received: ReceiveMessage) -> bytes:
    """A body as the framework joins and limits it; one that is announced as too large is refused unread."""
    pieces, receive = list(received), request.receive

    async def replay() -> ReceiveMessage:
        return pieces.pop() if pieces else await receive()

    request.receive = replay
    try:
        return await request.body()
    except RequestEntityTooLarge:
        raise TooLarge from None


def decode(text: bytes | msgspec.Raw, kind: type[T]) -> T:
    """JSON as values of a type, strictly; times are cut off at microseconds, and null is as absent.

    Raises MalformedJson and Invalid.
    """
    cut = _cut(bytes(text)) if FINER.search(text) else text
    try:
        return decode_uncut(cut, kind)
    except Invalid:
        if b"null" not in bytes(cut):
            raise
    return decode_uncut(without_nulls(bytes(cut), kind), kind)


def decode_uncut(text: bytes | msgspec.Raw, kind: type[T]) -> T:
    """The same for what holds no times but in values that are decoded later, and may be long."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind, strict=True)
    try:
        value: T = decoder.decode(text)
    except msgspec.ValidationError as error:
        # The first value that does not fit ends the decoding: what follows may not even be JSON.
        if not _is_json(text):
            raise MalformedJson from None
        raise _invalid(error, _value_of(text), kind) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedJson from None
    return value


# Skips what it reads: to make values of it, only to throw them away, took 128 ms for a body of 2 MiB.
_skipping = msgspec.json.Decoder(msgspec.Raw)

# Java and C# send seven or nine digits of a second. Rounded, as decoders do, the last moment of a day is the next day.
FINER = re.compile(rb":[0-9]{2}\.[0-9]{7}")
FINER_TIME = re.compile(r"(.{10}[Tt ].{8}\.[0-9]{6})[0-9]+(.*)", re.DOTALL)
TIMES = ("occurred_at", "expires_at", "paused_until")
IN_OWN_WORDS = "words"  # whose members may have any name


def _cut(text: bytes) -> bytes:
    """The JSON with its times cut off at microseconds. Where it cannot be read it stays, for the decoder to refuse."""
    try:
        return msgspec.json.encode(_with_cut_times(msgspec.json.decode(text)))
    except (ValueError, RecursionError):  # what msgspec raises is a ValueError
        return text


def _with_cut_times(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_cut_times(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: _member_with_cut_times(name, one) for name, one in value.items()}


def _member_with_cut_times(name: str, value: Any) -> Any:
    if name in TIMES and isinstance(value, str):
        return FINER_TIME.sub(r"\1\2", value)
    return value if name == IN_OWN_WORDS else _with_cut_times(value)


def _is_json(text: bytes | msgspec.Raw) -> bool:
    try:
        str(memoryview(text), "utf-8")
        _skipping.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def decode_query(request: ApiRequest, kind: type[T]) -> T:
    """The query as a struct: unknown and repeated names are refused, and so are spellings like 1e2. Raises Invalid."""
    given = request.scope["query_string"]
    pairs = parse_qsl(given.decode("latin-1"), keep_blank_values=True) if given else []
    values = {name: _typed(text) for name, text in pairs}
    if len(values) < len(pairs):
        raise Invalid("A parameter stands twice in the query.")
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise _invalid(error, values, kind) from None


def _typed(text: str) -> str | int | bool:
    """The text as JSON, if that is a whole number or a boolean; a query cannot hold null."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return int(text) if re.fullmatch(r"-?(0|[1-9][0-9]{,30})", text, re.ASCII) else text


def _invalid(error: msgspec.ValidationError, value: Any, kind: type[Any]) -> Invalid:
    """All that does not fit; what the decoder has said where nothing is found by looking again."""
    found = list(islice(violations(value, kind), MAX_VIOLATIONS)) or [Violation("", in_words(str(error)))]
    first, more = found[0], _more(len(found) - 1)
    detail = f"{first.pointer}: {first.message}{more}" if first.pointer else first.message
    return Invalid(detail, violations=found if first.pointer else ())


def _value_of(text: bytes | msgspec.Raw) -> Any:
    """The JSON as it is, to be looked into; nothing where it holds what no value can be made of."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):  # what msgspec raises is a ValueError
        return None


def _more(places: int) -> str:
    match places:
        case 0:
            return ""
        case 1:
            return " And one more place does not fit."
        case _:
            return f" And {places} more places do not fit."


def header_of(request: ApiRequest, name: bytes) -> str:
    """The first header of that name, which is in lower case; empty where there is none.

    A linear search among the few that there are: the framework's mapping of all of them takes longer to make.
    """
    for known, value in request.scope["headers"]:
        if known == name:
            return value.decode("latin-1")
    return ""


def language_of(request: ApiRequest, asked: str | None, there: Container[str]) -> str:
    """The language asked for in the query, else what Accept-Language wants most, of those there are."""
    return best_of([asked] if asked else accepted_languages(headers_of(request, b"accept-language")), there)


def headers_of(request: ApiRequest, name: bytes) -> str:
    """All headers of that name as one, though each may have come in a line of its own; empty where there is none."""
    return b",".join([value for known, value in request.scope["headers"] if known == name]).decode("latin-1")


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """An empty object."""
