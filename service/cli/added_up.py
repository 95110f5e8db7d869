"""The figures of several serving processes as one: each is asked, and what they have counted is added up."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from service.metrics import serving_registry

# Of each worker: its number, whether it is ready, and its text.
Figures: TypeAlias = Sequence[tuple[int, bool, str | None]]
Labels: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]

# What each of them reads from the same database is no more when two read it.
THE_SAME_FOR_ALL = ("mutuality_pushes_", "mutuality_erasures_")
# A time, not an amount: that of the oldest.
TIMES = ("process_start_time_seconds",)


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
        """Every worker's figures together, and which workers are ready."""
        found = self._figures()
        ready = GaugeMetricFamily("mutuality_worker_ready", "Whether a worker can answer", labels=["worker"])
        for number, is_ready, text in found:
            ready.add_metric([str(number)], float(is_ready and text is not None))
        yield ready
        yield from add_up([text for _, _, text in found if text is not None])


def add_up(texts: Sequence[str]) -> list[Metric]:
    """The metrics of several processes as one, by name and labels."""
    families: dict[str, Metric] = {}
    values: dict[str, dict[Labels, float]] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
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
