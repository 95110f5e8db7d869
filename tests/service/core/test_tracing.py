"""Spans tell of a request what its line in the log tells, and reach a collector that speaks OTLP."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from service.core.tracing import tracing_to
from service.errors import StartupError
from tests.support.phones import running, unlimited

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(HTTPServer):
    """Keeps the bodies that are sent to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.bodies: list[bytes] = []


class Taking(BaseHTTPRequestHandler):
    """Takes whatever comes."""

    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector on loopback."""
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_a_span_tells_route_status_and_id_and_nothing_else(database_url: str, collector: Collector) -> None:
    url = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    async with running(database_url, settings=unlimited(otlp_url=url)) as service:
        one = await service.member()
        parent = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        answer = await one.call("GET", f"/v1/relationships/{one.rid}/balances?window=30", headers=parent)
    await asyncio.sleep(0)
    sent = [ExportTraceServiceRequest.FromString(body) for body in collector.bodies]
    spans = [span for each in sent for r in each.resource_spans for s in r.scope_spans for span in s.spans]
    (found,) = [span for span in spans if span.name == "GET /v1/relationships/{rid}/balances"]
    told = {one.key: one.value.string_value or one.value.int_value for one in found.attributes}
    assert told == {
        "http.request.method": "GET",
        "http.route": "/v1/relationships/{rid}/balances",
        "http.response.status_code": 200,
        "mutuality.request_id": answer.headers["x-request-id"],
    }
    assert (found.trace_id.hex(), found.parent_span_id.hex()) == (TRACE, PARENT)
    assert not any(one.rid.encode() in body or one.email.encode() in body for body in collector.bodies)


def test_without_the_extra_the_service_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(StartupError, match="make otel"):
        tracing_to("http://127.0.0.1:1/v1/traces")
