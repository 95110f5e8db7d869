"""Mail: one kind only, the sign-in code. Addresses and codes never reach a log."""

import asyncio
import sys
from email.message import EmailMessage
from typing import Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog

log = structlog.get_logger()

TIMEOUT_SECONDS = 20


class Mailer(Protocol):
    """Sends a plain text to one address."""

    async def send(self, to: str, subject: str, text: str) -> None: ...


class ConsoleMailer:
    """Prints mails, for a first look without a mail server."""

    async def send(self, to: str, subject: str, text: str) -> None:
        """Print the mail on standard output."""
        sys.stdout.write(f"\n--- mail to {to} ---\n{subject}\n\n{text}--- end of mail ---\n")
        sys.stdout.flush()


class SmtpMailer:
    """Sends through the server of an smtp:// (STARTTLS where offered) or smtps:// address."""

    def __init__(self, url: str, sender: str) -> None:
        parts = urlsplit(url)
        self._tls = parts.scheme == "smtps"
        self._host = parts.hostname or "localhost"
        self._port = parts.port or (465 if self._tls else 25)
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._sender = sender

    async def send(self, to: str, subject: str, text: str) -> None:
        """Hand the mail to the server. Raises aiosmtplib.SMTPException and OSError."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, to, subject
        message.set_content(text, charset="us-ascii", cte="7bit")
        await aiosmtplib.send(
            message,
            sender=self._sender,
            recipients=[to],
            hostname=self._host,
            port=self._port,
            username=self._user,
            password=self._password,
            use_tls=self._tls,
            timeout=TIMEOUT_SECONDS,
        )


class Postman:
    """Sends in the background, so that a response takes the same time whether a mail server is slow or absent."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer
        self._under_way: set[asyncio.Task[None]] = set()

    async def send(self, to: str, subject: str, text: str) -> None:
        """Begin to send; a failure is logged by its kind alone."""
        task = asyncio.create_task(self._deliver(to, subject, text))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Wait until all mails are sent or have failed."""
        await asyncio.gather(*self._under_way)

    async def _deliver(self, to: str, subject: str, text: str) -> None:
        try:
            await self._mailer.send(to, subject, text)
        except Exception as failure:  # whatever it is, it must reach neither a log nor the shutdown
            log.error("mail_failed", failure=type(failure).__name__)


def mailer_for(smtp_url: str | None, sender: str) -> Mailer:
    """The mailer that the settings ask for."""
    return SmtpMailer(smtp_url, sender) if smtp_url else ConsoleMailer()
