"""Mails: encrypted on their way unless told otherwise, few at a time, and none lost that was promised."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiosmtplib
import pytest

from service.core import mail
from service.core.mail import Mail, Postman, SmtpMailer, start_tls_of
from service.errors import Overloaded
from service.settings import Settings, mail_server
from tests.support.phones import PostBox, Running

ADDRESS = "one@example.org"
CODE = Mail(ADDRESS, "Your code", "1234 5678\n")
ELSEWHERE = "mail.example.org"


@pytest.fixture
async def post() -> AsyncIterator[PostBox]:
    """A mail server without TLS."""
    async with PostBox().open() as opened:
        yield opened


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that no loopback has leads to it."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *given: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host == ELSEWHERE else host, *given, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


# --- On the way


@pytest.mark.parametrize(
    ("scheme", "host", "start_tls"),
    [
        ("smtp", ELSEWHERE, True),
        ("smtp", "192.0.2.1", True),
        ("smtp", "localhost.example.org", True),
        ("smtp", "localhost", None),
        ("smtp", "127.0.0.1", None),
        ("smtp", "::1", None),
        ("smtp+plain", ELSEWHERE, False),
        ("smtps", ELSEWHERE, False),  # it is encrypted from the first byte
    ],
)
def test_starttls_is_required_of_all_but_this_machine(scheme: str, host: str, start_tls: bool | None) -> None:
    assert start_tls_of(scheme, host) is start_tls


@pytest.mark.usefixtures("elsewhere")
async def test_to_a_server_elsewhere_without_starttls_nothing_is_sent(post: PostBox) -> None:
    port = urlsplit(post.url).port
    with pytest.raises(aiosmtplib.SMTPException):
        await SmtpMailer(f"smtp://{ELSEWHERE}:{port}", "x@example.org").send(CODE)
    assert post.unread() == 0
    await SmtpMailer(f"smtp+plain://{ELSEWHERE}:{port}", "x@example.org").send(CODE)
    assert post.unread() == 1


@pytest.mark.parametrize("url", ["mail.example.org", "http://mail.example.org", "smtp://", "smtp+tls://x"])
def test_what_is_no_mail_server_is_no_setting(url: str) -> None:
    with pytest.raises(ValueError, match="smtp"):
        mail_server(url)
    with pytest.raises(ValueError, match="smtp"):
        Settings(smtp_url=url)


# --- What was promised


class Server:
    """A mail server that takes, delays or refuses what comes, as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.taken, self.tries = list(failures), list[Mail](), 0
        self.at_once = self._now = 0
        self.answering = asyncio.Event()
        self.answering.set()

    async def send(self, sent: Mail) -> None:
        """Take it, or not."""
        self.tries += 1
        self._now += 1
        self.at_once = max(self.at_once, self._now)
        try:
            await self.answering.wait()
            if self.failures:
                raise self.failures.pop(0)
            self.taken.append(sent)
        finally:
            self._now -= 1


def promise(postman: Postman, times: int = 1) -> None:
    for _ in range(times):
        with postman.reserve() as place:
            place.fill(CODE)


AWAY = [OSError(), TimeoutError(), aiosmtplib.SMTPServerDisconnected("gone"), aiosmtplib.SMTPDataError(451, "later")]


@pytest.mark.parametrize("failure", AWAY, ids=lambda failure: type(failure).__name__)
async def test_a_promised_mail_is_tried_until_the_server_takes_it(failure: Exception) -> None:
    server = Server(failure, failure)
    postman = Postman(server, retry_seconds=(0, 0, 0))
    promise(postman)
    async with asyncio.timeout(5):
        while not server.taken:  # noqa: ASYNC110 it is tried by timers
            await asyncio.sleep(0)
    assert (server.taken, server.tries) == ([CODE], 3)
    await postman.close()


async def test_what_the_server_refuses_for_good_is_sent_once() -> None:
    server = Server(aiosmtplib.SMTPDataError(550, "no such mailbox"))
    postman = Postman(server, retry_seconds=(0, 0))
    promise(postman)
    await postman.close()
    assert (server.taken, server.tries) == ([], 1)


async def test_what_waits_to_be_tried_again_is_tried_at_the_end() -> None:
    server = Server(OSError())
    postman = Postman(server, retry_seconds=(3600,))
    promise(postman)
    async with asyncio.timeout(5):
        while not postman._later:  # noqa: ASYNC110 it is tried by a task
            await asyncio.sleep(0)
    await postman.close()
    assert server.taken == [CODE]


async def test_few_connections_are_open_however_many_mails_wait() -> None:
    server = Server()
    server.answering.clear()
    postman = Postman(server)
    promise(postman, 100)
    for _ in range(10):
        await asyncio.sleep(0)
    assert server.at_once == mail.MAX_CONNECTIONS
    server.answering.set()
    await postman.close()
    assert (len(server.taken), server.at_once) == (100, mail.MAX_CONNECTIONS)


async def test_who_finds_no_room_is_told_so_before_anything_is_promised() -> None:
    server = Server()
    server.answering.clear()
    postman = Postman(server, max_waiting=3)
    promise(postman, 3)
    with pytest.raises(Overloaded):
        promise(postman)
    # What nobody waits for has room of its own.
    postman.notify(Mail(ADDRESS, "A new sign-in", "x\n"))
    server.answering.set()
    await postman.close()
    assert len(server.taken) == 4


async def test_a_place_that_is_not_filled_is_given_back() -> None:
    postman = Postman(Server(), max_waiting=1)
    for _ in range(3):
        with postman.reserve():
            assert postman.waiting == 1
    assert postman.waiting == 0


async def test_without_room_for_a_mail_no_code_is_asked_for(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    postman = service.app.state.context.mailer
    one = await service.phone().sign_in()
    monkeypatch.setattr(postman, "_max_waiting", 0)
    for path, body in (("/v1/sign-in-codes", {"email": "two@example.org"}), ("/v1/sessions/step-up-codes", {})):
        answer = await one.call("POST", path, body)
        assert (answer.status_code, answer.headers["Retry-After"].isdecimal()) == (503, True)
    monkeypatch.undo()
    assert await service.ask("SELECT FROM sign_in_attempts WHERE used_at IS NULL") == []
    assert await service.ask("SELECT FROM session_codes") == []
