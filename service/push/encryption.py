"""Web Push encryption: RFC 8291, one record of RFC 8188's aes128gcm. Only the subscribed browser can decrypt it."""

import struct
from base64 import urlsafe_b64decode

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.push.notices import SubscriptionKeys

RECORD_BYTES = 4096
SECRET_BYTES = 16
SALT_BYTES = 16
LAST_RECORD = b"\x02"


class BadKeys(Exception):
    """The keys of a subscription are no keys."""


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key as 65 bytes."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def read_keys(keys: SubscriptionKeys) -> tuple[ec.EllipticCurvePublicKey, bytes]:
    """A browser's public key and secret. Raises BadKeys: also for a point that is not on the curve."""
    try:
        public, secret = _decoded(keys.p256dh), _decoded(keys.auth)
        if len(secret) != SECRET_BYTES:
            raise BadKeys
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public), secret
    except ValueError:
        raise BadKeys from None


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))


def encrypt(
    text: bytes,
    browser: ec.EllipticCurvePublicKey,
    secret: bytes,
    ours: ec.EllipticCurvePrivateKey,
    salt: bytes,
    padded_to: int = 0,
) -> bytes:
    """The body for one browser. `ours` and `salt` are made for this body alone."""
    about = b"WebPush: info\0" + point(browser) + point(ours.public_key())
    shared = _derived(secret, ours.exchange(ec.ECDH(), browser), about, 32)
    key = _derived(salt, shared, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derived(salt, shared, b"Content-Encoding: nonce\0", 12)
    record = (text + LAST_RECORD).ljust(padded_to, b"\0")
    head = salt + struct.pack("!IB", RECORD_BYTES, len(point(ours.public_key()))) + point(ours.public_key())
    return head + AESGCM(key).encrypt(nonce, record, None)


def _derived(salt: bytes, secret: bytes, info: bytes, size: int) -> bytes:
    return HKDF(SHA256(), size, salt, info).derive(secret)
