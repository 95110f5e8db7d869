"""What connections may cost: their number, their time, and the length of what comes before a body."""

import asyncio
import json
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import pytest

from service.cli import http_protocol
from tests.support.wire import Wire, served

HEAD = b"GET /health/live HTTP/1.1\r\nHost: here\r\n"
BODY = b"POST /v1/sessions HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"
PATIENCE = 10.0


@pytest.fixture
def wire(database_url: str) -> Iterator[Wire]:
    with served(database_url) as started:
        yield started


@contextmanager
def connected(wire: Wire) -> Iterator[socket.socket]:
    address = urlsplit(wire.url)
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
        yield connection


def heard(connection: socket.socket) -> bytes:
    """All that comes until the service hangs up."""
    parts = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def status(connection: socket.socket) -> int:
    """Of one answer."""
    return int(connection.recv(1 << 16).split()[1])


@pytest.mark.parametrize("sent", [b"", b"GET", HEAD, HEAD + b"\r\n" + HEAD], ids=["nothing", "a word", "a head", "two"])
def test_a_head_comes_in_time_or_never(wire: Wire, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)
    with connected(wire) as connection:
        connection.sendall(sent)
        answers = heard(connection)
    assert answers.count(b"HTTP/1.1 200") == sent.count(b"\r\n\r\n")


def test_byte_by_byte_gains_no_time(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)
    sent = 0
    with connected(wire) as connection, suppress(OSError):
        connection.sendall(HEAD + b"X-Slow: ")
        while sent < 100:
            connection.sendall(b"a")
            sent += 1
            time.sleep(0.05)
    assert sent < 100


def test_a_body_comes_in_time_or_never(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "BODY_SECONDS", 0.3)
    with connected(wire) as connection:
        connection.sendall(BODY)
        assert heard(connection) == b""


def test_who_asks_again_and_again_has_time_for_each(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.5)
    with connected(wire) as connection:
        for _ in range(4):
            connection.sendall(HEAD)
            time.sleep(0.2)
            connection.sendall(b"\r\n")
            assert status(connection) == 200


ENDLESS = {
    "one header": [b"X-Long: " + b"a" * 50_000, *[b"a" * 50_000] * 20],
    "many headers": [b"X-Long: a\r\n" * 5_000] * 20,
    "an address": [b"/" + b"a" * 50_000] * 20,
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_comes_before_the_body_ends(wire: Wire, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 10 * PATIENCE)
    with connected(wire) as connection:
        with suppress(OSError):
            connection.sendall(b"GET /" if what == "an address" else HEAD)
            for part in ENDLESS[what]:
                connection.sendall(part)
        answer = heard(connection)  # it hangs up though nothing has ended
    if answer:  # the system may throw it away with what was still on its way
        assert answer.startswith(b"HTTP/1.1 431 ")


SIZED = b"POST /v1/sessions HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


def statuses(answers: bytes) -> list[int]:
    return [int(line.split()[1]) for line in answers.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


def test_what_comes_before_the_second_of_two_requests_is_not_of_its_head(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "MAX_HEAD_BYTES", 500)
    with connected(wire) as connection:
        # In one piece: the body of the first, which is longer than a head may be, and the beginning of the second.
        connection.sendall(SIZED % (600, b" " * 600) + HEAD)
        assert status(connection) == 400
        connection.sendall(b"Connection: close\r\n\r\n")
        assert statuses(heard(connection)) == [200]


def test_and_where_its_own_head_is_too_long_it_is_refused(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "MAX_HEAD_BYTES", 500)
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 10 * PATIENCE)
    with connected(wire) as connection:
        connection.sendall(SIZED % (600, b" " * 600) + HEAD)
        assert status(connection) == 400
        with suppress(OSError):
            for _ in range(10):
                connection.sendall(b"X-Long: " + b"a" * 80 + b"\r\n")
                time.sleep(0.01)
        assert statuses(heard(connection)) in ([431], [])  # the system may throw it away


def test_a_head_that_comes_in_pieces_counts_once(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "MAX_HEAD_BYTES", 500)
    with connected(wire) as connection:
        head = HEAD + b"X-Long: " + b"a" * 300 + b"\r\nConnection: close\r\n\r\n"
        for begin in range(0, len(head), 40):
            connection.sendall(head[begin : begin + 40])
            time.sleep(0.01)
        assert statuses(heard(connection)) == [200]


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_a_long_head_is_refused_however_it_is_cut(wire: Wire, monkeypatch: pytest.MonkeyPatch, pieces: int) -> None:
    monkeypatch.setattr(http_protocol, "MAX_HEAD_BYTES", 500)
    with connected(wire) as connection:
        head = HEAD + b"X-Long: " + b"a" * 480 + b"\r\n\r\n"
        size = -(-len(head) // pieces)
        for begin in range(0, len(head), size):
            connection.sendall(head[begin : begin + size])
            time.sleep(0.01)
        assert statuses(heard(connection)) == [431]


def test_a_body_behind_a_head_in_pieces_is_not_of_the_head(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "MAX_HEAD_BYTES", 500)
    with connected(wire) as connection:
        sent = SIZED % (600, b" " * 600)
        connection.sendall(sent[:20])
        time.sleep(0.01)
        connection.sendall(sent[20:])
        assert status(connection) == 400


class Written(asyncio.Transport):
    """Keeps what is written, each write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.pieces.append(b"closed")


async def test_no_more_than_one_piece_is_held() -> None:
    written = Written()
    joined = http_protocol.JoinedWrites(written, asyncio.get_running_loop())
    for piece in range(9):
        joined.write(b"%d" % piece)
    assert written.pieces == [b"01", b"23", b"45", b"67"]
    await asyncio.sleep(0)
    assert written.pieces[-1] == b"8"


async def test_what_is_written_in_one_turn_goes_out_together() -> None:
    written = Written()
    joined = http_protocol.JoinedWrites(written, asyncio.get_running_loop())
    joined.write(b"head ")
    joined.write(b"body")
    joined.flush()
    joined.write(b"a stream's head")
    await asyncio.sleep(0)
    joined.write(b"its last ")
    joined.write(b"words")
    joined.close()
    await asyncio.sleep(0)
    assert written.pieces == [b"head body", b"a stream's head", b"its last words", b"closed"]


def data_segments(connection: socket.socket) -> int:
    """How many packets with data have come, as Linux counts them (tcpi_data_segs_in of tcp(7)'s TCP_INFO)."""
    (count,) = struct.unpack_from("I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 152)
    return int(count)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how many packets came")
def test_head_and_body_of_an_answer_are_one_packet(wire: Wire) -> None:
    with connected(wire) as connection:
        for asked in range(1, 4):
            connection.sendall(HEAD + b"\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                answer += connection.recv(1 << 16)
            assert data_segments(connection) == asked


def test_what_is_no_http_is_a_problem_too(wire: Wire) -> None:
    with connected(wire) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        head, _, body = heard(connection).partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert (json.loads(body)["status"], json.loads(body)["code"]) == (400, "malformed_request")


def test_silent_connections_make_room_for_who_asks(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "max_connections", lambda: 20)
    with ExitStack() as stack:
        silent = [stack.enter_context(connected(wire)) for _ in range(60)]
        asking = stack.enter_context(connected(wire))
        asking.sendall(HEAD + b"\r\n")
        assert status(asking) == 200
        # The oldest went.
        assert heard(silent[0]) == b""
