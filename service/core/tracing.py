"""Traces, for who has set OTLP_URL and installed the extra `otel`: a span for each request.

A span holds the method, the route's template, the status and the request's id: no address, no query, no member, nothing
that was sent. The usual instrumentation notes addresses and queries, so the spans are made here.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from service.errors import StartupError


class Span(Protocol):
    """What of a span is used here."""

    def update_name(self, name: str) -> None: ...

    def set_attributes(self, attributes: Mapping[str, str | int]) -> None: ...


class Tracing(Protocol):
    """Makes spans, and sends them on."""

    def request(self, headers: Mapping[str, str]) -> Any: ...

    def close(self) -> None: ...


class OpenTelemetry:
    """Spans by way of OpenTelemetry, sent as protobuf over HTTP."""

    def __init__(self, provider: Any, propagator: Any) -> None:
        self._provider, self._propagator = provider, propagator
        self._tracer = provider.get_tracer("mutuality")

    @contextmanager
    def request(self, headers: Mapping[str, str]) -> Iterator[Span]:
        """A span for a request, below the one that its `traceparent` names."""
        with self._tracer.start_as_current_span("request", context=self._propagator.extract(headers)) as span:
            yield span

    def close(self) -> None:
        """Send what is left, and stop."""
        self._provider.shutdown()


def tracing_to(url: str) -> OpenTelemetry:
    """Spans that go to that collector (http://host:4318/v1/traces). Raises StartupError without the extra."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError as error:
        raise StartupError("MUTUALITY_OTLP_URL needs the extra otel: `make otel` installs it.") from error
    provider = TracerProvider(resource=Resource({"service.name": "mutuality"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url)))
    return OpenTelemetry(provider, TraceContextTextMapPropagator())
