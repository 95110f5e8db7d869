"""What keyboards and clipboards add to what somebody types: white space, zero-width marks, other dashes.

The names in capitals are parts of character classes, in the syntax that Python and ECMAScript share: the same text
stands in the patterns of the contract document.
"""

import re

SPACES = r"\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
ZERO_WIDTH = r"\u00ad\u180e\u200b-\u200d\u2060-\u2064\ufeff"
DIRECTIONS = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"
DASHES = r"\-\u2010-\u2015\u2212\ufe58\ufe63\uff0d"
AROUND = f"{SPACES}{ZERO_WIDTH}{DIRECTIONS}"

_around = re.compile(f"^[{AROUND}]+|[{AROUND}]+$")
_between = re.compile(f"[{AROUND}{DASHES}]+")


def trimmed(text: str) -> str:
    """The text without what stands around it unseen."""
    return _around.sub("", text)


def without_separators(text: str) -> str:
    """A code without what people and keyboards put between its characters."""
    return _between.sub("", text)
