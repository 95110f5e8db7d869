"""Mail: codes, and what happened to an account. Addresses, codes and texts never reach a log.

A mail that was promised is tried until the server takes or refuses it, or its time is over. A fixed number of
connections is open at once, and a fixed number of mails waits: whoever finds no room is told so before anything is
promised.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog
from msgspec import Struct

from service.errors import Overloaded

log = structlog.get_logger()

TIMEOUT_SECONDS = 20
SCHEMES = ("smtp", "smtps", "smtp+plain")

MAX_CONNECTIONS = 4
MAX_WAITING = 1000
MAX_NOTICES = 1000  # beside codes, so that who floods these keeps no notice back
RETRY_SECONDS = (1, 5, 15, 60, 120, 240)  # together somewhat less than a code lives
CLOSE_SECONDS = 10


class Mail(Struct, frozen=True):
    """A plain text to one address."""

    to: str
    subject: str
    text: str


class Mailer(Protocol):
    """Hands a mail to whatever delivers it."""

    async def send(self, mail: Mail) -> None: ...


class ConsoleMailer:
    """Prints mails, for a first look without a mail server."""

    async def send(self, mail: Mail) -> None:
        """Print the mail on standard output."""
        sys.stdout.write(f"\n--- mail to {mail.to} ---\n{mail.subject}\n\n{mail.text}--- end of mail ---\n")
        sys.stdout.flush()


class SmtpMailer:
    """Sends through the server of an smtp://, smtps:// or smtp+plain:// address.

    smtp:// asks for STARTTLS and sends nothing without it, but for a server on this machine, where it is taken if
    offered. smtp+plain:// never encrypts: for a network that is trusted.
    """

    def __init__(self, url: str, sender: str) -> None:
        parts = urlsplit(url)
        self._tls = parts.scheme == "smtps"
        self._host = parts.hostname or "localhost"
        self._start_tls = start_tls_of(parts.scheme, self._host)
        self._port = parts.port or (465 if self._tls else 25)
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        """Hand the mail to the server. Raises aiosmtplib.SMTPException and OSError."""
        await aiosmtplib.send(
            _message(mail, self._sender),
            sender=self._sender,
            recipients=[mail.to],
            hostname=self._host,
            port=self._port,
            username=self._user,
            password=self._password,
            use_tls=self._tls,
            start_tls=self._start_tls,
            timeout=TIMEOUT_SECONDS,
        )


def start_tls_of(scheme: str, host: str) -> bool | None:
    """Whether STARTTLS is required (True), never used (False), or used where it is offered (None)."""
    if scheme != "smtp":
        return False
    return None if _is_loopback(host) else True


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _message(mail: Mail, sender: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, mail.to, mail.subject
    if mail.text.isascii():
        message.set_content(mail.text, charset="us-ascii", cte="7bit")
    else:
        message.set_content(mail.text, charset="utf-8", cte="quoted-printable")
    return message


class Place:
    """Room for one mail, which cannot be taken by another any more."""

    def __init__(self, postman: "Postman") -> None:
        self._postman, self.filled = postman, False

    def fill(self, mail: Mail) -> None:
        """Promise the mail."""
        self.filled = True
        self._postman.accept(mail)


class Postman:
    """Sends in the background, so that a response takes the same time whether a mail server is slow or absent."""

    def __init__(
        self, mailer: Mailer, max_waiting: int = MAX_WAITING, retry_seconds: tuple[float, ...] = RETRY_SECONDS
    ) -> None:
        self._mailer, self._max_waiting, self._retry_seconds = mailer, max_waiting, retry_seconds
        self._ready: deque[tuple[Mail, int]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._later: dict[asyncio.TimerHandle, tuple[Mail, int]] = {}
        self._reserved, self._closing = 0, False

    @property
    def waiting(self) -> int:
        """How many mails have a place: promised, or about to be."""
        return self._reserved + len(self._ready) + len(self._under_way) + len(self._later)

    @contextmanager
    def reserve(self) -> Iterator[Place]:
        """A place for a mail, given back at the end of the block unless it was filled. Raises Overloaded."""
        if self.waiting >= self._max_waiting:
            raise Overloaded
        self._reserved += 1
        place = Place(self)
        try:
            yield place
        finally:
            if not place.filled:
                self._reserved -= 1

    def accept(self, mail: Mail) -> None:
        """Take the mail for which there is a place."""
        self._reserved -= 1
        self._put(mail, 0)

    def notify(self, mail: Mail) -> None:
        """Send what nobody waits for; without room for it, that is logged."""
        if self.waiting >= self._max_waiting + MAX_NOTICES:
            log.error("mail_dropped")
        else:
            self._put(mail, 0)

    async def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Try once more to send all that was promised, for so long."""
        self._closing = True
        for timer, (mail, tries) in list(self._later.items()):
            timer.cancel()
            self._ready.append((mail, tries))
        self._later.clear()
        self._go_on()
        try:
            async with asyncio.timeout(seconds):
                while self._under_way:
                    await asyncio.wait(self._under_way)
        except TimeoutError:
            log.error("mails_lost", count=self.waiting)
            for task in self._under_way:
                task.cancel()

    def _put(self, mail: Mail, tries: int) -> None:
        self._ready.append((mail, tries))
        self._go_on()

    def _go_on(self) -> None:
        while self._ready and len(self._under_way) < MAX_CONNECTIONS:
            task = asyncio.create_task(self._deliver(*self._ready.popleft()))
            self._under_way.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            self._go_on()

    async def _deliver(self, mail: Mail, tries: int) -> None:
        try:
            await self._mailer.send(mail)
        except Exception as failure:  # whatever it is, it must reach neither a log nor the shutdown
            if _is_final(failure) or self._closing or tries >= len(self._retry_seconds):
                log.error("mail_failed", failure=type(failure).__name__)
            else:
                log.warning("mail_delayed", failure=type(failure).__name__)
                self._try_later(mail, tries)

    def _try_later(self, mail: Mail, tries: int) -> None:
        def again() -> None:
            self._put(*self._later.pop(timer))

        timer = asyncio.get_running_loop().call_later(self._retry_seconds[tries], again)
        self._later[timer] = (mail, tries + 1)


def _is_final(failure: Exception) -> bool:
    """Whether the server said no for good."""
    if isinstance(failure, aiosmtplib.SMTPRecipientsRefused):
        return all(one.code >= 500 for one in failure.recipients)
    return isinstance(failure, aiosmtplib.SMTPResponseException) and failure.code >= 500


def mailer_for(smtp_url: str | None, sender: str) -> Mailer:
    """The mailer that the settings ask for."""
    return SmtpMailer(smtp_url, sender) if smtp_url else ConsoleMailer()
