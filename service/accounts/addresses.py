"""Mail addresses as people type them, and as they are kept: one spelling for each."""

import re
from typing import Annotated

import idna
from msgspec import Meta

from service.core.keyboards import AROUND, trimmed
from service.errors import Invalid

MAX_CHARACTERS = 254

LOCAL = r"[A-Za-z0-9.!#$%&'*+/=^_`{|}~-]+"
LABEL = r"[A-Za-z0-9\u00a1-\uffff-]+"
ASCII_LABEL = "[a-z0-9-]+"

Email = Annotated[
    str,
    Meta(
        max_length=MAX_CHARACTERS,
        # The end as Python and ECMAScript both mean it: in Python, $ alone also stands before a last line break.
        pattern=rf"^[{AROUND}]*{LOCAL}@{LABEL}(\.{LABEL})*[{AROUND}]*$(?!\n)",
        description="A mail address. Case does not matter, nor does white space around it; a domain may be "
        "international.",
        examples=["someone@example.org"],
    ),
]

_mailable = re.compile(rf"{LOCAL}@{ASCII_LABEL}(\.{ASCII_LABEL})*")


def canonical(email: str, pointer: str = "/email") -> str:
    """The one spelling under which an address is kept and mailed to. Raises Invalid where it is none."""
    local, _, domain = trimmed(email).partition("@")
    address = f"{local}@{_ascii(domain, pointer)}".lower()
    if len(address) > MAX_CHARACTERS or not _mailable.fullmatch(address):
        raise _no_address(pointer)
    return address


def _ascii(domain: str, pointer: str) -> str:
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        raise _no_address(pointer) from None


def _no_address(pointer: str) -> Invalid:
    return Invalid(f"This is no mail address at {pointer}.", pointer)
