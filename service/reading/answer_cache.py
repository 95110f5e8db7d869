"""A cache of computed answers, by reader and question, each of one version of what its reader can read."""

from collections import OrderedDict
from typing import TypeAlias

from msgspec import Struct

from service.web.responses import Cacheable

CacheKey: TypeAlias = tuple[object, ...]

MAX_BYTES = 32 * 1024 * 1024
OVERHEAD_BYTES = 500  # of an entry, beside its content


class _Entry(Struct, frozen=True):
    version: str
    answer: Cacheable

    @property
    def size(self) -> int:
        return len(self.answer.content) + OVERHEAD_BYTES


class AnswerCache:
    """The newest answer of each key; the least recently used go where there are too many bytes."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._free = max_bytes
        self._entries: OrderedDict[CacheKey, _Entry] = OrderedDict()

    def get(self, key: CacheKey, version: str) -> Cacheable | None:
        """The answer, if it is of that version."""
        entry = self._entries.get(key)
        if entry is None or entry.version != version:
            return None
        self._entries.move_to_end(key)
        return entry.answer

    def put(self, key: CacheKey, version: str, answer: Cacheable) -> None:
        """Keep it instead of an older one."""
        if before := self._entries.pop(key, None):
            self._free += before.size
        self._entries[key] = entry = _Entry(version, answer)
        self._free -= entry.size
        while self._free < 0:
            self._free += self._entries.popitem(last=False)[1].size
