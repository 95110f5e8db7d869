"""Keys: the root and epoch keys in their store, the member keys that they wrap, the fields that these encrypt.

Enters: member ids, author ids, texts.
Leaves: the keys of a relationship; fields encrypted and decrypted; a rotation.
Writes: `keys.epochs`, `keys.wrapped`.
Never imports: a room that knows a member by anything but an id; no web framework.
"""
