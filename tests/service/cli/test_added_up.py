"""Figures of several processes as one: what only grows goes on counting when its process has ended."""

import socket
from collections.abc import Iterator
from threading import Thread

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from service.cli.added_up import FiguresOfOne, add_up, counts_of, read, tell


class Process:
    """What a process has counted."""

    def __init__(self, calls: int, waiting: int) -> None:
        self.registry = CollectorRegistry()
        counted = Counter("calls", "Calls", ("route",), registry=self.registry)
        counted.labels("/v1/me").inc(calls)
        Histogram("seconds", "Seconds", buckets=(1, 2), registry=self.registry).observe(1.5)
        Gauge("waiting", "Who waits", registry=self.registry).set(waiting)

    @property
    def text(self) -> str:
        return generate_latest(self.registry).decode()


def values(*texts: str, ended: tuple[str, ...] = ()) -> dict[str, float]:
    """The samples of all together."""
    kept = counts_of(metric for text in ended for metric in read(text))
    metrics = add_up([*kept, *(metric for text in texts for metric in read(text))])
    return {one.name: one.value for metric in metrics for one in metric.samples if not one.name.endswith("_created")}


def test_counts_are_added_up_and_so_is_what_is_now() -> None:
    found = values(Process(2, 1).text, Process(3, 4).text)
    assert (found["calls_total"], found["seconds_count"], found["seconds_sum"], found["waiting"]) == (5, 2, 3, 5)


def test_of_who_has_ended_the_counts_are_kept_and_nobody_waits_there() -> None:
    found = values(Process(2, 1).text, ended=(Process(3, 4).text, Process(5, 6).text))
    assert (found["calls_total"], found["seconds_count"], found["waiting"]) == (10, 3, 1)


@pytest.fixture
def ends() -> Iterator[tuple[FiguresOfOne, socket.socket]]:
    """Both ends of a socket: the parent's and the worker's."""
    parents, workers = socket.socketpair()
    figures = FiguresOfOne(parents)
    with workers:
        yield figures, workers
    figures.close()


def test_a_worker_tells_what_it_is_asked_and_once_more_at_its_end(ends: tuple[FiguresOfOne, socket.socket]) -> None:
    figures, workers = ends
    tell(workers, Process(1, 0).registry)
    assert figures.answers()
    assert "calls_total" in figures.text
    last = CollectorRegistry()
    many = Counter("many", "More than a socket holds", ("number",), registry=last)
    for number in range(20_000):
        many.labels(str(number)).inc()

    def end() -> None:
        tell(workers, last)
        workers.close()

    ending = Thread(target=end)
    ending.start()
    figures.hear_last()
    ending.join()
    assert figures.text == generate_latest(last).decode()
    assert len(figures.text) > 1_000_000


def test_of_who_was_killed_it_is_known_what_they_told_whole(ends: tuple[FiguresOfOne, socket.socket]) -> None:
    (figures, workers), process = ends, Process(1, 0)
    tell(workers, process.registry)
    workers.sendall((1000).to_bytes(8) + b"calls_to")
    workers.close()
    figures.hear_last()
    assert figures.text == process.text
    assert not figures.answers()
