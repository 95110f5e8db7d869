"""The figures of several serving processes as one: each is asked, and what they have counted is added up.

What those have counted that have ended goes on counting: a sum that goes down is read as a service that began anew.
"""

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from threading import Lock
from typing import TypeAlias

from msgspec import Struct
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from service.metrics import serving_registry

Labels: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]

# What each of them reads from the same database is no more when two read it.
THE_SAME_FOR_ALL = ("mutuality_pushes_", "mutuality_erasures_")
# A time, not an amount: that of the oldest.
TIMES = ("process_start_time_seconds",)
COUNTS = ("counter", "histogram")

ANSWER_SECONDS = 3.0
LENGTH_BYTES = 8
TELLING = Lock()


class Figures(Struct, frozen=True):
    """What the parent knows of its workers."""

    ready: dict[int, bool]  # by number, of those that are to serve
    spares: int  # how many wait for a place, with everything open
    texts: Sequence[str]  # of those that live
    ended: Sequence[Metric]  # what those have counted that do not live any more


class FiguresOfOne:
    """The parent's end of a socket on which a worker tells its figures: when it is asked, and once at its end."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._heard, self._asking = connection, b"", Lock()
        self.text = ""  # what it has told last
        connection.settimeout(ANSWER_SECONDS)

    def answers(self) -> bool:
        """Ask for its figures, and say whether it has told them."""
        with self._asking, suppress(OSError):
            self._connection.sendall(b"?")
            while not self._take():
                self._hear()
            return True
        return False

    def hear_last(self) -> None:
        """Whatever it tells until it has ended."""
        with self._asking, suppress(OSError):
            while True:
                self._take()
                self._hear()

    def close(self) -> None:
        """Listen no more."""
        self._connection.close()

    def _hear(self) -> None:
        heard = self._connection.recv(65536)
        if not heard:
            raise ConnectionError
        self._heard += heard

    def _take(self) -> bool:
        """Keep the newest of what was told whole."""
        found = False
        while len(self._heard) >= LENGTH_BYTES:
            end = LENGTH_BYTES + int.from_bytes(self._heard[:LENGTH_BYTES])
            if len(self._heard) < end:
                break
            self.text, self._heard, found = self._heard[LENGTH_BYTES:end].decode(), self._heard[end:], True
        return found


def tell(connection: socket.socket, registry: CollectorRegistry) -> None:
    """The worker's end: its figures, as text for Prometheus behind its length. Waits until all of it is heard."""
    text = generate_latest(registry)
    with TELLING, suppress(OSError):
        connection.sendall(len(text).to_bytes(LENGTH_BYTES) + text)


def serving(figures: Callable[[], Figures], host: str, port: int) -> AbstractContextManager[str]:
    """Serve what `figures` tells until the end of the block, at the address that is yielded. Raises StartupError."""
    registry = CollectorRegistry()
    registry.register(_AddedUp(figures))
    return serving_registry(registry, host, port)


class _AddedUp(Collector):
    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def describe(self) -> list[Metric]:
        """Nothing: to register it asks nobody."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every worker's figures together, which workers are ready, and how many wait."""
        found = self._figures()
        ready = GaugeMetricFamily("mutuality_worker_ready", "Whether a worker can answer", labels=["worker"])
        for number, is_ready in found.ready.items():
            ready.add_metric([str(number)], float(is_ready))
        yield ready
        yield GaugeMetricFamily("mutuality_worker_spares", "Workers that wait for the place of another", found.spares)
        yield from add_up([*found.ended, *(metric for text in found.texts for metric in read(text))])


def read(text: str) -> list[Metric]:
    """The metrics in a text for Prometheus."""
    return list(text_string_to_metric_families(text))


def counts_of(metrics: Iterable[Metric]) -> list[Metric]:
    """Those that only ever grow, added up: what is now ends with its process."""
    return add_up([one for one in metrics if one.type in COUNTS])


def add_up(metrics: Iterable[Metric]) -> list[Metric]:
    """The metrics of several processes as one, by name and labels."""
    families: dict[str, Metric] = {}
    values: dict[str, dict[Labels, float]] = {}
    for family in metrics:
        families.setdefault(family.name, family)
        added = values.setdefault(family.name, {})
        for sample in family.samples:
            name = (sample.name, tuple(sorted(sample.labels.items())))
            added[name] = _together(sample.name, added.get(name), sample.value)
    return [_family(families[name], added) for name, added in values.items()]


def _together(name: str, before: float | None, value: float) -> float:
    if before is None:
        return value
    if name.startswith(THE_SAME_FOR_ALL):
        return max(before, value)
    if name in TIMES or name.endswith("_created"):
        return min(before, value)
    return before + value


def _family(like: Metric, values: dict[Labels, float]) -> Metric:
    family = Metric(like.name, like.documentation, like.type)
    for (name, labels), value in values.items():
        family.add_sample(name, dict(labels), value)
    return family
