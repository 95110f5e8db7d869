"""The OpenAPI document, generated from the routes and structs, with its examples; and its pages under /docs.

Enters: the application's routes.
Leaves: openapi/openapi.json, byte for byte; pages for people, without a script.
Writes: no table.
Never imports: `cli`; nothing imports it but `app` and `cli`.
"""

from typing import Any

from service.contract.pages import get_docs, get_docs_page, get_document, get_error_list, get_error_page

ROUTES: list[Any] = [
    get_document,
    get_docs,
    get_docs_page,
    get_error_list,
    get_error_page,
]
