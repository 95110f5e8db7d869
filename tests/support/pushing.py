"""Push services on loopback, which speak HTTP/2 over TLS as the real ones do, and the keys that are sent with.

What they answer is laid out beforehand; what they were sent is kept.
"""

import asyncio
import ssl
import tempfile
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

import h2.config
import h2.connection
import h2.events
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from msgspec import Struct, json

CANARY = "c0ffee" * 10  # a device token, and a part of every other address
SILENCE_SECONDS = 1.0
FRAME_BYTES = 16_000

DRIP_SECONDS = 0.02

Then = Literal["go on", "hang up", "hang up halfway", "say goodbye", "keep silent", "drip"]


class Reply(Struct, frozen=True):
    """What is answered, and what happens then (or instead)."""

    status: int = 200
    content: bytes = b""
    headers: dict[str, str] = {}
    then: Then = "go on"


class Received(Struct, frozen=True):
    """One request, its header names in lower case."""

    path: str
    headers: dict[str, str]
    content: bytes


LOST = [Reply(then="hang up"), Reply(then="hang up halfway"), Reply(then="keep silent")]


def said(status: int, **body: Any) -> Reply:
    """An answer in JSON."""
    return Reply(status, json.encode(body))


class PushService:
    """One provider. It answers as told by `replies`, one a request, then 200; `at` answers for single paths."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.open_connections = 0
        self.received: list[Received] = []
        self.replies: deque[Reply] = deque()
        self.at: dict[str, Callable[[Received], Reply]] = {}

    @asynccontextmanager
    async def open(self, host: str = "127.0.0.1") -> AsyncIterator["PushService"]:
        """Listen on a free port."""
        server = await asyncio.get_running_loop().create_server(lambda: _Http2(self), "127.0.0.1", 0, ssl=SERVER_TLS)
        self.url = f"https://{host}:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    def reply_to(self, request: Received) -> Reply:
        """Called for each request when it is complete."""
        if request.path in self.at:
            return self.at[request.path](request)
        self.received.append(request)
        return self.replies.popleft() if self.replies else Reply()


class _Http2(asyncio.Protocol):
    """One connection."""

    def __init__(self, service: PushService) -> None:
        self._service = service
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._begun: dict[int, tuple[dict[str, str], bytearray]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._service.connections += 1
        self._service.open_connections += 1
        self._http.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._service.open_connections -= 1

    def data_received(self, data: bytes) -> None:
        for event in self._http.receive_data(data):
            match event:
                case h2.events.RequestReceived(stream_id=int(stream), headers=list(headers)):
                    self._begun[stream] = ({name.decode(): value.decode() for name, value in headers}, bytearray())
                case h2.events.DataReceived(stream_id=int(stream), data=bytes(piece)):
                    self._begun[stream][1].extend(piece)
                    self._http.acknowledge_received_data(len(piece), stream)
                case h2.events.StreamEnded(stream_id=int(stream)):
                    self._answer(stream, *self._begun.pop(stream))
        self._flush()

    def _answer(self, stream: int, headers: dict[str, str], content: bytearray) -> None:
        reply = self._service.reply_to(Received(headers[":path"], headers, bytes(content)))
        if reply.then == "hang up":
            self._transport.abort()
        elif reply.then != "keep silent":
            self._send(stream, reply)

    def _send(self, stream: int, reply: Reply) -> None:
        self._http.send_headers(stream, [(":status", str(reply.status)), *reply.headers.items()])
        if reply.then == "hang up halfway":
            self._flush()
            self._transport.close()
            return
        if reply.then == "drip":
            self._drip(stream)
            return
        for begin in range(0, len(reply.content), FRAME_BYTES):
            self._http.send_data(stream, reply.content[begin : begin + FRAME_BYTES])
        self._http.end_stream(stream)
        if reply.then == "say goodbye":
            self._http.close_connection(last_stream_id=stream)
            self._flush()
            self._transport.close()

    def _drip(self, stream: int) -> None:
        """Never quite silent, and never done."""
        if not self._transport.is_closing():
            self._http.send_data(stream, b" ")
            self._flush()
            asyncio.get_running_loop().call_later(DRIP_SECONDS, self._drip, stream)

    def _flush(self) -> None:
        self._transport.write(self._http.data_to_send())


def _certificate() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A certificate of one's own for this machine, good for an hour."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "push services on loopback")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    return key, made


def _tls() -> tuple[ssl.SSLContext, ssl.SSLContext, bytes]:
    """For the services, for who shall trust them, and the certificate as a file holds it."""
    key, certificate = _certificate()
    pem = certificate.public_bytes(Encoding.PEM)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cadata=pem.decode())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "both.pem"
        file.write_bytes(private(key) + pem)
        server.load_cert_chain(file)
    server.set_alpn_protocols(["h2"])
    client.set_alpn_protocols(["h2", "http/1.1"])
    return server, client, pem


def private(key: Any) -> bytes:
    """A private key as a PEM file holds it."""
    made: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made


def unpadded(content: bytes) -> str:
    """In base64url, as browsers write it."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()


SERVER_TLS, CLIENT_TLS, SERVER_PEM = _tls()
EC_KEY = ec.generate_private_key(ec.SECP256R1())
