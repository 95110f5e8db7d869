"""A provider of identities on loopback: keys made here, published over real HTTP, and tokens signed with them."""

import hashlib
import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.support.phones import NOON, Json, Running

RSA_KEY, OTHER_RSA_KEY = (rsa.generate_private_key(65537, 2048) for _ in range(2))
EC_KEY = ec.generate_private_key(ec.SECP256R1())
NONCE = "a nonce of this sign-in"
CLIENT_ID = "org.example.mutuality"
APPLE, GOOGLE = "https://appleid.apple.com", "https://accounts.google.com"


def hashed(nonce: str) -> str:
    """What the provider is given of a nonce, and puts into its token."""
    return hashlib.sha256(nonce.encode()).hexdigest()


def published(key: Any, key_id: str, **more: str) -> Json:
    """A public key as providers publish it."""
    if isinstance(key, rsa.RSAPrivateKey):
        return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig", **more}
    return {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, **more}


class KeyServer:
    """Publishes a key set while it is `answering`; `status`, `headers` and `content` may be changed meanwhile."""

    def __init__(self) -> None:
        self.fetched, self.answering = 0, threading.Event()
        self.answering.set()
        self.url, self.status, self.headers = "", 200, dict[str, str]()
        self.publish(published(RSA_KEY, "first", alg="RS256"), published(EC_KEY, "curve", alg="ES256"))

    def publish(self, *keys: Json) -> None:
        """From now on these."""
        self.content = json.dumps({"keys": keys}).encode()

    @contextmanager
    def open(self) -> Iterator["KeyServer"]:
        """Listen on a free port."""
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                told.fetched += 1
                told.answering.wait()
                self.send_response(told.status)
                for name, value in {"Content-Length": str(len(told.content)), **told.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(told.content)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_address[1]}/keys"
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield self
            finally:
                self.answering.set()
                server.shutdown()
                thread.join()


def registered(keys: KeyServer) -> dict[str, str]:
    """The settings of a service that both providers know, each with these keys."""
    ids = {"apple_client_ids": f"org.example.web, {CLIENT_ID}", "google_client_ids": CLIENT_ID}
    return {**ids, "apple_keys_url": keys.url, "google_keys_url": keys.url}


def claims(service: Running | None = None, **changed: Any) -> Json:
    """What a token of Apple says, but for what is changed; None leaves a claim out."""
    now = int((service.clock() if service else NOON).timestamp())
    said = {"iss": APPLE, "aud": CLIENT_ID, "sub": "a person", "iat": now, "exp": now + 600, "nonce": NONCE}
    # What a provider adds makes no two tokens alike.
    said |= {"jti": uuid4().hex, "email": "somebody@example.org", "email_verified": True} | changed
    return {name: value for name, value in said.items() if value is not None}


def token(key: Any = RSA_KEY, algorithm: str = "RS256", key_id: str | None = "first", **said: Any) -> str:
    """A signed token. `header_…` are put into its header, all others are claims."""
    header = {name.removeprefix("header_"): said.pop(name) for name in [*said] if name.startswith("header_")}
    header |= {"kid": key_id} if key_id else {}
    return jwt.encode(claims(**said), key, algorithm=algorithm, headers=header)


def unsigned(header: Json, payload: bytes, signature: bytes = b"") -> str:
    """A token of any bytes."""
    parts = (json.dumps(header).encode(), payload, signature)
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
