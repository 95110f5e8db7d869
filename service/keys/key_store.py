"""The key hierarchy, and the store of its upper half: root key and epoch keys.

    root key      a file by default; a key management service can take its place
     └ epoch key  numbered; wraps the keys of all members; destroyed once it wraps nothing any more
        └ member key, relationship key   random, in the schema `keys`, wrapped

A backup of the database holds wrapped keys only. Once their epoch is destroyed, it decrypts nothing of an erased
member, even with the root key.
"""

import os
from functools import cached_property
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from events.encryption import KEY_BYTES, NONCE_BYTES
from service.errors import KeyStoreError


class KeyStore(Protocol):
    """The three calls that a key management service must offer. Epochs are numbered."""

    def wrap(self, epoch: int, key: bytes) -> bytes:
        """The key, encrypted with the epoch's; an epoch begins when it is first named."""
        ...

    def unwrap(self, epoch: int, wrapped: bytes) -> bytes:
        """The reverse. Raises KeyStoreError where the epoch is destroyed, or another one wrapped it."""
        ...

    def destroy(self, epoch: int) -> None:
        """Forget an epoch for ever; a second time changes nothing."""
        ...


class FileKeyStore:
    """Keys in a folder that only the service's user can enter: `root.key`, and each epoch's key wrapped by it.

    Beside them `database.secret`, which opens the database and decrypts nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._epochs: dict[int, bytes] = {}

    @cached_property
    def _root(self) -> bytes:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._read("root.key") or self._create("root.key", os.urandom(KEY_BYTES))

    @cached_property
    def database_secret(self) -> bytes:
        """From this the roles' passwords for the database are made. Deleted, another one is, when all are set anew."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._read("database.secret") or self._create("database.secret", os.urandom(KEY_BYTES))

    def wrap(self, epoch: int, key: bytes) -> bytes:
        """See KeyStore."""
        return _encrypt(self._epoch_key(epoch, create=True), key, _bound(epoch))

    def unwrap(self, epoch: int, wrapped: bytes) -> bytes:
        """See KeyStore."""
        return _decrypt(self._epoch_key(epoch, create=False), wrapped, _bound(epoch))

    def destroy(self, epoch: int) -> None:
        """See KeyStore. The file is overwritten first, as far as the disk lets that mean something."""
        self._epochs.pop(epoch, None)
        path = self.folder / f"{epoch}.key"
        if path.exists():
            path.write_bytes(bytes(path.stat().st_size))
            path.unlink()

    def _epoch_key(self, epoch: int, *, create: bool) -> bytes:
        if epoch not in self._epochs:
            root = self._root
            wrapped = self._read(f"{epoch}.key")
            if wrapped is None and not create:
                raise KeyStoreError(f"The key of epoch {epoch} is not in {self.folder}: what it wraps cannot be read.")
            if wrapped is None:
                wrapped = self._create(f"{epoch}.key", _encrypt(root, os.urandom(KEY_BYTES), _bound(epoch)))
            self._epochs[epoch] = _decrypt(root, wrapped, _bound(epoch))
        return self._epochs[epoch]

    def _read(self, name: str) -> bytes | None:
        path = self.folder / name
        return path.read_bytes() if path.exists() else None

    def _create(self, name: str, content: bytes) -> bytes:
        """Write a new file for its owner alone, wholly or not at all; where another process was first, use its file."""
        path = self.folder / name
        draft = self.folder / f"{name}.{os.getpid()}.draft"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            content = path.read_bytes()
        finally:
            draft.unlink()
        return content


def _bound(epoch: int) -> str:
    return f"epoch {epoch}"


def _encrypt(key: bytes, secret: bytes, bound: str) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, secret, bound.encode())


def _decrypt(key: bytes, wrapped: bytes, bound: str) -> bytes:
    try:
        return AESGCM(key).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound.encode())
    except InvalidTag:
        raise KeyStoreError(
            f"A key of {bound} does not open: it belongs to another root key, or was changed."
        ) from None
