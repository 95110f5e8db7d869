"""The phone app in the browser, as the service itself serves it: one page, its files, its manifest, its service worker.

Enters: nothing but addresses; the files that `make .venv/.web_app` has built from `src/` into `built/`.
Leaves: those files under a policy that lets in nothing from elsewhere; where nothing was built, a page that says so.
Writes: no table.
Never imports: any room that knows a member: the app reaches the service over the API alone, as every phone does.
"""

from typing import Any

from service.web_app.pages import get_app, get_app_file, get_icon, get_manifest, get_service_worker

ROUTES: list[Any] = [
    get_app,
    get_app_file,
    get_icon,
    get_manifest,
    get_service_worker,
]
