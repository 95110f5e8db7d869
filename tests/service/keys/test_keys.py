"""The key store of files: what is kept, who can read it, what a missing key says."""

from pathlib import Path

import pytest

from service.errors import KeyStoreError
from service.keys.key_store import FileKeyStore

KEY = bytes(range(32))


def test_a_wrapped_key_opens_with_a_store_on_the_same_folder(tmp_path: Path) -> None:
    wrapped = FileKeyStore(tmp_path).wrap(1, KEY)
    assert KEY not in wrapped
    assert FileKeyStore(tmp_path).unwrap(1, wrapped) == KEY


def test_a_wrapped_key_opens_in_no_other_epoch(tmp_path: Path) -> None:
    store = FileKeyStore(tmp_path)
    wrapped = store.wrap(1, KEY)
    store.wrap(2, KEY)
    with pytest.raises(KeyStoreError, match="epoch 2"):
        store.unwrap(2, wrapped)


def test_a_destroyed_epoch_opens_nothing_and_leaves_no_file(tmp_path: Path) -> None:
    store = FileKeyStore(tmp_path)
    wrapped = store.wrap(1, KEY)
    store.destroy(1)
    store.destroy(1)
    for each in (store, FileKeyStore(tmp_path)):
        with pytest.raises(KeyStoreError, match="cannot be read"):
            each.unwrap(1, wrapped)
    assert {path.name for path in tmp_path.iterdir()} == {"root.key"}


def test_without_its_root_key_a_store_opens_nothing(tmp_path: Path) -> None:
    wrapped = FileKeyStore(tmp_path).wrap(1, KEY)
    (tmp_path / "root.key").unlink()
    with pytest.raises(KeyStoreError, match="another root key"):
        FileKeyStore(tmp_path).unwrap(1, wrapped)


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    FileKeyStore(tmp_path / "keys").wrap(1, KEY)
    modes = {path.name: path.stat().st_mode & 0o777 for path in [tmp_path / "keys", *(tmp_path / "keys").iterdir()]}
    assert modes == {"keys": 0o700, "root.key": 0o600, "1.key": 0o600}


def test_two_processes_that_begin_at_once_agree_on_one_key(tmp_path: Path) -> None:
    one, two = FileKeyStore(tmp_path), FileKeyStore(tmp_path)
    assert two.unwrap(1, one.wrap(1, KEY)) == KEY
    assert one.unwrap(2, two.wrap(2, KEY)) == KEY
