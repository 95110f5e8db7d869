"""How the service logs in: as one role for each kind of work, each by a password of its own, made from one secret.

The URL that an operator sets names who migrates. What serves knows another one, with the secret in the place of a
password and nobody's name: whoever has that cannot log in as who migrates.

An embedded PostgreSQL asks for no password: it knows who is at the other end of its socket.
"""

import hmac
from base64 import b64encode
from collections.abc import Sequence
from hashlib import pbkdf2_hmac, sha256
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import asyncpg
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from msgspec import Struct

from service.database.roles import ROLES, Connection, set_passwords
from service.errors import MigrationError

SCRAM_ITERATIONS = 4096  # PostgreSQL's own; nobody guesses a password of 256 bits


def serving_url(url: str, secret: bytes) -> str:
    """The same database for who serves: without the user that the URL names, and with the secret of the roles."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name not in ("user", "password")]
    hosts = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f":{secret.hex()}@{hosts}", query=urlencode(query, quote_via=quote)))


class Login(Struct, frozen=True):
    """As whom to connect: null is who the URL names, or a server that knows the system user."""

    user: str | None
    password: str | None


def login_of(url: str, role: str) -> Login:
    """How that role logs in to a database."""
    secret = urlsplit(url).password
    return Login(role, _derived(secret, "password", role).hex() if secret else None)


def verifier(url: str, role: str) -> str:
    """What PostgreSQL keeps in place of the role's password, which itself is told to nobody (RFC 5803)."""
    secret, password = urlsplit(url).password, login_of(url, role).password
    assert secret is not None
    assert password is not None
    salt = _derived(secret, "salt", role)[:16]
    salted = pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored = sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    keys = ":".join(b64encode(key).decode() for key in (stored, hmac.digest(salted, b"Server Key", "sha256")))
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{b64encode(salt).decode()}${keys}"


def verifiers(url: str, roles: Sequence[str] = ROLES) -> dict[str, str]:
    """The same for several, by role."""
    return {role: verifier(url, role) for role in roles}


def _derived(secret: str, what: str, role: str) -> bytes:
    return HKDFExpand(SHA256(), 32, f"mutuality/database-{what}/v1|{role}".encode()).derive(secret.encode())


async def locked_out(url: str) -> list[str]:
    """The roles that cannot log in."""
    refused = []
    for role in ROLES:
        login = login_of(url, role)
        try:
            db = await asyncpg.connect(url, user=login.user, password=login.password)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            refused.append(role)
        else:
            await db.close()
    return refused


async def ensure_logins(connection: Connection, url: str) -> None:
    """Let all roles log in to the database of that URL: who is not let in gets the password that belongs to the secret.

    Raises MigrationError where the connecting user may not do that, or where it does not help.
    """
    refused = await locked_out(url)
    if not refused:
        return
    await set_passwords(connection, verifiers(url, refused))
    if refused := await locked_out(url):
        raise MigrationError(
            f"PostgreSQL does not let {', '.join(refused)} in: its pg_hba.conf must let them log in with a password."
        )
