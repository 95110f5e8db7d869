"""The mails that carry a code: what it is for, how long it works, and what to do if nobody asked for it.

Plain text of 7 bits in every language, so that no mail program has anything to decode; hence German without umlauts.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from service.core import tokens
from service.core.mail import Mail

Occasion: TypeAlias = Literal["sign in", "step up", "change address"]


class CodeMail(Struct, frozen=True):
    """A subject, and a text with room for the code."""

    subject: str
    text: str


TEXTS: Mapping[str, Mapping[Occasion, CodeMail]] = {
    "en": {
        "sign in": CodeMail(
            "Your code to sign in",
            """\
Your code to sign in is {code}

It signs in the device that asked for it, and no other. It works for 10 minutes.
If you did not ask for it, nothing needs to be done: without this code nobody can
sign in with your address. Tell it to nobody.
""",
        ),
        "step up": CodeMail(
            "Your code to confirm that it is you",
            """\
Your code to export or erase your data, or to move to another address, is {code}

The device that asked for it is signed in with your account. With this code it
may, for 5 minutes, take everything of yours along, erase it for ever, or have
you sign in by another mail address. The code works for 5 minutes. If you did
not ask for it, tell it to nobody, and look at your list of devices.
""",
        ),
        "change address": CodeMail(
            "Your code to confirm this mail address",
            """\
Your code to use this mail address is {code}

Somebody who is signed in to the app wants to sign in by this address from now on.
The code works for 10 minutes, on the device that asked for it. If you did not
ask for it, nothing needs to be done: without this code nothing changes. Tell it
to nobody.
""",
        ),
    },
    "de": {
        "sign in": CodeMail(
            "Dein Code zum Anmelden",
            """\
Dein Code zum Anmelden ist {code}

Er gilt nur dort, wo er angefordert wurde, und 10 Minuten lang. Hast du ihn nicht
angefordert, ist nichts zu tun: Ohne diesen Code kann sich niemand mit deiner
Adresse anmelden. Sage ihn niemandem.
""",
        ),
        "step up": CodeMail(
            "Dein Code als Nachweis, dass du es bist",
            """\
Dein Code, um deine Daten mitzunehmen oder zu vernichten oder um die Adresse zu
wechseln, ist {code}

Wo er angefordert wurde, ist jemand mit deinem Konto angemeldet. Mit diesem Code
kann man dort 5 Minuten lang alles von dir mitnehmen, es unwiderruflich vernichten
oder eine andere Mail-Adresse zum Anmelden eintragen. Der Code gilt 5 Minuten.
Hast du ihn nicht angefordert, sage ihn niemandem, und sieh in der App nach, wo
du angemeldet bist.
""",
        ),
        "change address": CodeMail(
            "Dein Code zu dieser Mail-Adresse",
            """\
Dein Code, um diese Mail-Adresse zu benutzen, ist {code}

Jemand, der in der App angemeldet ist, will sich von nun an mit dieser Adresse
anmelden. Der Code gilt 10 Minuten, und nur dort, wo er angefordert wurde. Hast du
ihn nicht angefordert, ist nichts zu tun: Ohne diesen Code wird nichts anders.
Sage ihn niemandem.
""",
        ),
    },
}


def code_mail(to: str, occasion: Occasion, language: str, code: str) -> Mail:
    """The mail with a code, in a language that there is."""
    found = TEXTS[language][occasion]
    return Mail(to, found.subject, found.text.format(code=tokens.grouped(code)))
