"""Keys: where the root and the epochs lie, which member keys they wrap, what these encrypt.

Enters: member ids, author ids, texts.
Leaves: the keys of a relationship; ciphertexts of fields, and fields again; a rotation.
Writes: `keys.epochs`, `keys.wrapped`.
Never imports: a room that knows a member by anything but an id; no web framework.
"""
