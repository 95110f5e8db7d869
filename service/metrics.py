"""Prometheus metrics, on a port of their own: how many requests there were, how long they took, how many wait.

A label holds a route template, a method or a status: no id, no address, nothing that anybody sent.
"""

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.context import Context
from service.database.outages import DATABASE_UNAVAILABLE
from service.errors import StartupError
from service.push import outbox
from service.push.outbox import Waiting

LOOK_SECONDS = 2.0  # Prometheus waits for 10 by default
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# Anybody may send any word as a method, and each would stay as a label for ever.
METHODS = {"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"}


class Metrics:
    """The metrics of one application; `counts` are those of them that only grow, and that ask no database."""

    def __init__(self) -> None:
        self.registry, self.counts = CollectorRegistry(), CollectorRegistry()
        self._requests = Histogram(
            "mutuality_request_seconds",
            "Seconds from a request to the end of its answer",
            ("route", "method", "status"),
            buckets=SECONDS,
            registry=None,
        )
        for registry in (self.registry, self.counts):
            registry.register(ProcessCollector(registry=None))
            registry.register(self._requests)
        # Finding a histogram by its labels takes longer than counting.
        self._by_labels: dict[tuple[str, str, int], Histogram] = {}

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request. The route is a template."""
        labels = (route, method if method in METHODS else "other", status)
        histogram = self._by_labels.get(labels)
        if histogram is None:
            histogram = self._by_labels[labels] = self._requests.labels(*labels)
        histogram.observe(seconds)

    def watch(self, name: str, what: str, length: Callable[[], int]) -> None:
        """Report the length of a queue at each scrape; `length` is called from another thread."""
        Gauge(f"mutuality_{name}", what, registry=self.registry).set_function(length)

    def watch_pushes(self, context: Context, loop: AbstractEventLoop, timeout_seconds: float = LOOK_SECONDS) -> None:
        """Report on the outbox at each scrape. `loop` is the one that the context's connections belong to."""
        self.registry.register(_Pushes(context, loop, timeout_seconds))

    def watch_erasures(self, context: Context, loop: AbstractEventLoop, timeout_seconds: float = LOOK_SECONDS) -> None:
        """Report, at each scrape, how many erased members' entries an older backup still opens."""
        self.registry.register(_Erasures(context, loop, timeout_seconds))


class _Pushes(Collector):
    """Reports on the outbox by class of push, and nothing where the database does not answer soon."""

    def __init__(self, context: Context, loop: AbstractEventLoop, timeout_seconds: float) -> None:
        self._context, self._loop, self._timeout_seconds = context, loop, timeout_seconds

    def describe(self) -> list[GaugeMetricFamily]:
        """The metrics without samples: registering them asks nothing of the database."""
        return self._families([])

    def collect(self) -> list[GaugeMetricFamily]:
        """The metrics as they are now; called from another thread."""
        looking = asyncio.run_coroutine_threadsafe(outbox.waiting(self._context), self._loop)
        try:
            return self._families(looking.result(self._timeout_seconds))
        except DATABASE_UNAVAILABLE:
            looking.cancel()
            return self._families([])

    def _families(self, found: Iterable[Waiting]) -> list[GaugeMetricFamily]:
        waiting = GaugeMetricFamily("mutuality_pushes_waiting", "Pushes that are to be sent", labels=["class"])
        parked = GaugeMetricFamily("mutuality_pushes_parked", "Pushes that no provider will take", labels=["class"])
        late = GaugeMetricFamily(
            "mutuality_pushes_late_seconds", "Seconds for which the oldest push has been due", labels=["class"]
        )
        for one in found:
            waiting.add_metric([one.kind], one.waiting)
            parked.add_metric([one.kind], one.parked)
            late.add_metric([one.kind], one.late_seconds)
        return [waiting, parked, late]


class _Erasures(Collector):
    """Reports erasures since the last rotation, and nothing where the database does not answer soon."""

    def __init__(self, context: Context, loop: AbstractEventLoop, timeout_seconds: float) -> None:
        self._context, self._loop, self._timeout_seconds = context, loop, timeout_seconds

    def describe(self) -> list[GaugeMetricFamily]:
        """The metric without a sample."""
        return [self._family()]

    def collect(self) -> list[GaugeMetricFamily]:
        """The metric as it is now; called from another thread."""
        looking, found = asyncio.run_coroutine_threadsafe(self._context.keys.epochs(), self._loop), self._family()
        try:
            found.add_metric([], looking.result(self._timeout_seconds).erasures)
        except DATABASE_UNAVAILABLE:
            looking.cancel()
        return [found]

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(
            "mutuality_erasures_before_rotation", "Erased members whose entries backups from before still open"
        )


def serving(metrics: Metrics, host: str, port: int) -> AbstractContextManager[str]:
    """Serve the metrics until the end of the block, at the address that is yielded. Raises StartupError."""
    return serving_registry(metrics.registry, host, port)


@contextmanager
def serving_registry(registry: CollectorRegistry, host: str, port: int) -> Iterator[str]:
    """The same for all that a registry knows."""
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise StartupError(
            f"{host}:{port} is in use, or not an address of this machine; MUTUALITY_METRICS_PORT chooses another port."
        ) from error
    try:
        yield f"http://{host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
