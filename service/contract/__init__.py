"""The OpenAPI document, made from the routes and the structs, and the examples in it.

Enters: the application's routes.
Leaves: openapi/openapi.json, byte for byte.
Writes: no table.
Never imports: `cli`; nothing imports it but `app` and `cli`.
"""
