"""The OpenAPI document, generated from the routes and structs, with its examples.

Enters: the application's routes.
Leaves: openapi/openapi.json, byte for byte.
Writes: no table.
Never imports: `cli`; nothing imports it but `app` and `cli`.
"""
