"""Answers that were computed before, kept by who reads, what they asked, and the version of what they can read."""

from collections import OrderedDict
from typing import TypeAlias

from msgspec import Struct

from service.web.responses import Cacheable

Name: TypeAlias = tuple[object, ...]

BYTES_KEPT = 32 * 1024 * 1024
OVERHEAD_BYTES = 500  # of an entry, beside its content


class _Entry(Struct, frozen=True):
    version: str
    answer: Cacheable

    @property
    def size(self) -> int:
        return len(self.answer.content) + OVERHEAD_BYTES


class AnswerCache:
    """The newest of each name; when they are too many, those go that nobody has asked for the longest."""

    def __init__(self, bytes_kept: int = BYTES_KEPT) -> None:
        self._free = bytes_kept
        self._entries: OrderedDict[Name, _Entry] = OrderedDict()

    def find(self, name: Name, version: str) -> Cacheable | None:
        """The answer, if it is of that version."""
        entry = self._entries.get(name)
        if entry is None or entry.version != version:
            return None
        self._entries.move_to_end(name)
        return entry.answer

    def keep(self, name: Name, version: str, answer: Cacheable) -> None:
        """Keep it instead of what stood there."""
        if before := self._entries.pop(name, None):
            self._free += before.size
        self._entries[name] = entry = _Entry(version, answer)
        self._free -= entry.size
        while self._free < 0:
            self._free += self._entries.popitem(last=False)[1].size
